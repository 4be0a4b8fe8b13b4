//! Somebody who listens to a stream, now and then slowly.

use std::collections::BTreeSet;
use std::time::Duration;

use microbatch::job::Handle;
use microbatch::later::{Heard, Listener};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::ledger::Ledger;

/// What somebody heard until the end of a stream.
pub struct Told {
    stream: &'static str,
    handles: BTreeSet<Handle>,
    gap: bool,
}

pub async fn listen(mut listener: Listener, stream: &'static str, seed: u64) -> Told {
    let mut rng = StdRng::seed_from_u64(seed);
    let dawdles = [0.0, 0.2][rng.random_range(0..2)];
    let (mut last, mut handles, mut gap) = (0, BTreeSet::new(), false);
    loop {
        match listener.next().await {
            Ok(Some(Heard::Finished(position, record))) => {
                assert!(last < position, "{last} before {position}");
                last = position;
                assert!(record.state.is_finished());
                assert!(handles.insert(record.handle), "told twice");
            }
            Ok(Some(Heard::Gap)) => gap = true,
            Ok(None) => {
                return Told {
                    stream,
                    handles,
                    gap,
                };
            }
            // The store is away; it may be asked again.
            Err(_) => {}
        }
        if rng.random_bool(dawdles) {
            sleep(Duration::from_millis(rng.random_range(0..300))).await;
        }
    }
}

impl Told {
    /// All that there was to be told, unless some of it had expired, and nothing else.
    pub fn judge(&self, ledger: &Ledger) -> bool {
        for handle in &self.handles {
            let stream = ledger.with(*handle, |entry| entry.stream.clone());
            assert_eq!(stream.as_deref(), Some(self.stream));
        }
        let told = ledger.told_on(self.stream);
        let missed = told.iter().filter(|it| !self.handles.contains(*it)).count();
        assert!(missed == 0 || self.gap, "{missed} not told");
        self.gap
    }
}
