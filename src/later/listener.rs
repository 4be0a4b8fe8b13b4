//! Somebody who listens to a stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::record::{Record, StreamName};
use super::reported::Reported;
use super::store::{Look, Position, StoreError};
use super::watchers::Watch;
use crate::job::Handle;

/// Most answers that are looked for at once.
const PAGE: usize = 64;

/// Where answers are kept for no time worth speaking of, nobody is to be kept busy.
const SHORTEST_REFRESH: Duration = Duration::from_millis(100);

/// Somebody who listens to a stream. It holds no answers: it knows where some of the next
/// are, and reads each when it is asked.
#[derive(Debug)]
pub struct Listener {
    store: Arc<Reported>,
    watch: Watch<StreamName>,
    stream: StreamName,
    ending: watch::Receiver<bool>,
    /// What is behind it.
    after: Option<Position>,
    /// What is before it, as far as it has looked, and where to look on.
    page: VecDeque<(Position, Handle)>,
    page_ends: Position,
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
            page: VecDeque::new(),
            page_ends: 0,
            refresh: (keep / 2).max(SHORTEST_REFRESH),
        }
    }

    /// Sees whether the store is there.
    ///
    /// # Errors
    /// Where it is away.
    pub async fn look(&self) -> Result<(), StoreError> {
        let page = self.store.read_stream(&self.stream, self.after, 1).await?;
        drop(page);
        Ok(())
    }

    /// The next, as soon as there is one; `None` when the process ends. An error of the
    /// store does not end it: it may be asked again. Dropped, nothing is lost.
    ///
    /// # Errors
    /// Where the store is away.
    pub async fn next(&mut self) -> Result<Option<Heard>, StoreError> {
        loop {
            if let Some(heard) = self.next_of_page().await? {
                return Ok(Some(heard));
            }
            // Whatever finishes after this look wakes.
            let mut woken = std::pin::pin!(self.watch.woken());
            woken.as_mut().enable();
            let ends = *self.ending.borrow();
            let page = self
                .store
                .read_stream(&self.stream, self.after, PAGE)
                .await?;
            self.page = page.answers.into();
            self.page_ends = page.next;
            match self.page.front() {
                // Told once: it is behind now.
                Some((first, _)) if page.gap => self.after = Some(first - 1),
                Some(_) => continue,
                None => self.after = Some(page.next),
            }
            if page.gap {
                return Ok(Some(Heard::Gap));
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

    /// Reads the next record of the page. Where it is gone it may have expired, and the
    /// page is to be read anew.
    async fn next_of_page(&mut self) -> Result<Option<Heard>, StoreError> {
        let Some((position, handle)) = self.page.front().copied() else {
            return Ok(None);
        };
        let Some(record) = self.store.fetch(handle, Look::ForAnswer).await? else {
            self.page.clear();
            return Ok(None);
        };
        self.page.pop_front();
        self.after = Some(match self.page.is_empty() {
            true => self.page_ends,
            false => position,
        });
        Ok(Some(Heard::Finished(position, Box::new(record))))
    }
}
