//! A loader: single loads by key, made together, and equal keys loaded once.
//!
//!     cargo run -p microbatch-batcher --example loader

use std::sync::atomic::{AtomicUsize, Ordering};

use microbatch_batcher::{Error, Loader, Settings};
use thiserror::Error;

static QUERIES: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, Error, PartialEq)]
#[error("author {0} is not to be seen")]
struct Hidden(u32);

/// Stands for `SELECT … WHERE id IN (…)`.
async fn authors(ids: Vec<u32>) -> Result<Vec<(u32, Result<String, Hidden>)>, Hidden> {
    QUERIES.fetch_add(1, Ordering::Relaxed);
    let row = |id| match id {
        7 => Err(Hidden(id)),
        _ => Ok(format!("author {id}")),
    };
    let known = ids.into_iter().filter(|id| *id < 10);
    Ok(known.map(|id| (id, row(id))).collect())
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Error> {
    let loader = Loader::new(Settings::default(), authors);

    // Two books of one author, rendered by parts of a page that know nothing of each
    // other, and a list: one query.
    let (one, other, list) = tokio::join!(
        loader.load(1),
        loader.load(1),
        loader.load_many([2, 7, 12, 1]),
    );
    assert_eq!(
        (one?, other?),
        ("author 1".to_owned(), "author 1".to_owned())
    );
    assert_eq!(
        (&list[0], &list[3]),
        (&Ok("author 2".to_owned()), &Ok("author 1".to_owned()))
    );
    assert_eq!(
        list[1].as_ref().err().and_then(Error::failure),
        Some(&Hidden(7))
    );
    assert_eq!(list[2], Err(Error::Missing { strays: 0 }));
    assert_eq!(QUERIES.load(Ordering::Relaxed), 1);

    // It is no cache: what is asked for later is loaded again.
    loader.load(1).await?;
    assert_eq!(QUERIES.load(Ordering::Relaxed), 2);
    Ok(())
}
