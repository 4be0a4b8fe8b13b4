//! The plain front: an async function over a `Vec`, one result an item, in order.
//!
//!     cargo run -p microbatch-batcher --example in_order

use std::io;

use microbatch_batcher::{Batcher, Settings};

/// Stands for a call that costs the same for one text as for many.
async fn count_words(texts: Vec<String>) -> io::Result<Vec<usize>> {
    println!("one call for {} texts", texts.len());
    Ok(texts.iter().map(|it| it.split(' ').count()).collect())
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), microbatch_batcher::Error> {
    let settings = Settings {
        max_size: 3,
        ..Settings::default()
    };
    let batcher = Batcher::new(settings, count_words);

    // Callers know nothing of one another: each submits its own text, such as from
    // the handler of a request, and awaits its own result.
    let (one, three, two) = tokio::join!(
        batcher.execute("hello".to_owned()),
        batcher.execute("how are you".to_owned()),
        batcher.execute("good bye".to_owned()),
    );
    assert_eq!((one?, three?, two?), (1, 3, 2));
    Ok(())
}
