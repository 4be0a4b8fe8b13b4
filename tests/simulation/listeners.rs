//! Somebody who listens to a stream, now and then slowly, and goes on listening to another
//! process where one dies.

use std::collections::BTreeSet;
use std::time::Duration;

use microbatch::job::Handle;
use microbatch::later::Heard;
use microbatch::later::record::StreamName;
use microbatch::later::store::Position;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::door::{Door, Front};
use crate::ledger::Ledger;

/// What somebody heard until the end of a stream.
pub struct Told {
    stream: &'static str,
    last: Option<Position>,
    handles: BTreeSet<Handle>,
    gap: bool,
    /// Whether a process died meanwhile.
    is_cut_off: bool,
}

/// Listens until a stream ends once the world does.
pub async fn listen(
    door: Door,
    stream: &'static str,
    ends: watch::Receiver<bool>,
    seed: u64,
) -> Told {
    let mut rng = StdRng::seed_from_u64(seed);
    let dawdles = [0.0, 0.2][rng.random_range(0..2)];
    let mut told = Told {
        stream,
        last: None,
        handles: BTreeSet::new(),
        gap: false,
        is_cut_off: false,
    };
    loop {
        let front = door.any(&mut rng).await;
        told.hear(&front, dawdles, &mut rng).await;
        if *ends.borrow() {
            return told;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

impl Told {
    /// Listens to one process, from what was heard last, to the end of one of both.
    async fn hear(&mut self, front: &Front, dawdles: f64, rng: &mut StdRng) {
        let stream = StreamName::new(self.stream).unwrap();
        let mut listener = front.later.listen(stream, self.last);
        loop {
            let heard = tokio::select! {
                biased;
                () = front.life.over() => {
                    self.is_cut_off = true;
                    return;
                }
                heard = listener.next() => heard,
            };
            match heard {
                Ok(Some(Heard::Finished(position, record))) => {
                    let last = self.last.replace(position);
                    assert!(last < Some(position), "{last:?} before {position}");
                    assert!(record.state.is_finished());
                    assert!(self.handles.insert(record.handle), "told twice");
                }
                Ok(Some(Heard::Gap)) => self.gap = true,
                Ok(None) => return,
                // The store is away; it may be asked again.
                Err(_) => {}
            }
            if rng.random_bool(dawdles) {
                sleep(Duration::from_millis(rng.random_range(0..300))).await;
            }
        }
    }

    /// All that there was to be told, unless some of it had expired, and nothing else.
    pub fn judge(&self, ledger: &Ledger) -> bool {
        for handle in &self.handles {
            let stream = ledger.with(*handle, |entry| entry.stream.clone());
            assert_eq!(stream.as_deref(), Some(self.stream));
        }
        let told = ledger.told_on(self.stream);
        let missed = told.iter().filter(|it| !self.handles.contains(*it)).count();
        // Who was cut off before the first knows no position to go on from.
        let unknown = self.is_cut_off && self.last.is_none();
        assert!(missed == 0 || self.gap || unknown, "{missed} not told");
        self.gap
    }
}
