//! Callers who ask for the same keys while others leave.

use std::convert::Infallible;

use microbatch_batcher::{Loader, Settings};
use tokio::explore::explore;
use tokio::select;

use super::harness::*;

/// Asks for a key at some moment, and may leave.
async fn ask(loader: Loader<u64, u64>, key: u64) {
    dawdle(3).await;
    let leaves = choose(3) == 0;
    select! {
        biased;
        value = loader.load(key) => assert_eq!(value, Ok(own(key))),
        () = dawdle(4), if leaves => {}
    }
}

/// The first caller of a key submits it, and any of those that wait may be the one to
/// see its answer: whichever leave, the others must be woken. A load that all have left
/// must be none that another caller joins and waits for forever.
#[test]
fn a_caller_that_joins_a_load_gets_its_value() {
    explore(|| async {
        let settings = Settings {
            max_wait: MS,
            max_in_flight: 2,
            ..settings()
        };
        let loader = Loader::new(settings, |keys: Vec<u64>| async move {
            dawdle(3).await;
            let values = keys.into_iter().map(|key| (key, Ok(own(key))));
            Ok::<_, Infallible>(values)
        });
        let callers = (0..6).map(|n| spawn(ask(loader.clone(), n / 3)));
        join(callers.collect()).await;
        loader.vacated().await;
        assert_eq!(loader.snapshot().queued, 0);
    });
}
