//! Somebody who listens to a stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::record::{Record, StreamName};
use super::reported::Reported;
use super::store::{Position, StoreError};
use super::watchers::Watch;

/// Most answers that are read at once.
const PAGE: usize = 64;

/// Where answers are kept for no time worth speaking of, nobody is to be kept busy.
const SHORTEST_REFRESH: Duration = Duration::from_millis(100);

/// Somebody who listens to a stream. It holds a page of answers at most: it reads them
/// when it is asked.
#[derive(Debug)]
pub struct Listener {
    store: Arc<Reported>,
    watch: Watch<StreamName>,
    stream: StreamName,
    ending: watch::Receiver<bool>,
    after: Option<Position>,
    heard: VecDeque<Heard>,
    /// After this long without an answer it looks where the stream is, so that its
    /// position is younger than any answer that has expired.
    refresh: Duration,
}

/// What a listener hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Answers have expired since the position that was asked for.
    Gap,
    /// A record finished, with its position.
    Finished(Position, Box<Record>),
}

impl Listener {
    pub(super) fn new(
        store: Arc<Reported>,
        watch: Watch<StreamName>,
        (stream, after): (StreamName, Option<Position>),
        keep: Duration,
        ending: watch::Receiver<bool>,
    ) -> Self {
        Self {
            store,
            watch,
            stream,
            ending,
            after,
            heard: VecDeque::new(),
            refresh: (keep / 2).max(SHORTEST_REFRESH),
        }
    }

    /// The next, as soon as there is one; `None` when the process ends. An error of the
    /// store does not end it: it may be asked again. Dropped, nothing is lost.
    ///
    /// # Errors
    /// Where the store is away.
    pub async fn next(&mut self) -> Result<Option<Heard>, StoreError> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Ok(Some(heard));
            }
            // Whatever finishes after this look wakes.
            let mut woken = std::pin::pin!(self.watch.woken());
            woken.as_mut().enable();
            let ends = *self.ending.borrow();
            let page = self.store.read_stream(&self.stream, self.after, PAGE).await;
            let page = page?;
            self.after = Some(page.next);
            self.heard.extend(page.gap.then_some(Heard::Gap));
            let answers = page.answers.into_iter();
            let finished = answers.map(|(at, record)| Heard::Finished(at, Box::new(record)));
            self.heard.extend(finished);
            if !self.heard.is_empty() {
                continue;
            }
            if ends {
                return Ok(None);
            }
            tokio::select! {
                _ = timeout(self.refresh, woken) => {}
                _ = self.ending.wait_for(|&ends| ends) => {}
            }
        }
    }
}
