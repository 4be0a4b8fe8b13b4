//! Who may submit: so that nobody is waited for who can't come.
//!
//! A source stands for one caller that usually submits one item and waits for
//! its answer, such as a connection. While every open source has an item in,
//! nobody is left to fill the batch, and an adaptive wait is over at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Batcher, Error, Options, Reply};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize};

/// Counts of all sources of one batcher.
#[derive(Debug, Default)]
pub(super) struct Census {
    opened: AtomicU64,
    open: AtomicUsize,
    busy: AtomicUsize,
}

impl Census {
    /// How many sources are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether a source is open that may submit. Without any sources nothing is
    /// known, so anybody might.
    pub fn anybody_left(&self) -> bool {
        let open = self.open.load(Ordering::Relaxed);
        open == 0 || self.busy.load(Ordering::Relaxed) < open
    }
}

/// One caller of a [`Batcher`]; made by [`Batcher::source`].
#[derive(Debug)]
pub struct Source<J: Send + 'static, R: Send + 'static> {
    batcher: Batcher<J, R>,
    tally: Arc<Tally>,
}

/// What a source and its replies share.
#[derive(Debug)]
pub(super) struct Tally {
    census: Arc<Census>,
    /// Tells this source from others.
    number: u64,
    in_house: AtomicUsize,
    multiplexed: AtomicBool,
}

impl<J: Send + 'static, R: Send + 'static> Source<J, R> {
    pub(super) fn new(batcher: Batcher<J, R>, census: Arc<Census>) -> Self {
        census.open.fetch_add(1, Ordering::Relaxed);
        let tally = Arc::new(Tally {
            number: census.opened.fetch_add(1, Ordering::Relaxed),
            census,
            in_house: AtomicUsize::new(0),
            multiplexed: AtomicBool::new(false),
        });
        Self { batcher, tally }
    }

    /// Says that this source may submit any number of items at a time, so that
    /// having one in is no sign of having no other.
    pub fn set_multiplexed(&self) {
        self.tally.multiplexed.store(true, Ordering::Relaxed);
    }

    /// As [`Batcher::submit`], on behalf of this source.
    ///
    /// # Errors
    /// As [`Batcher::submit`].
    pub fn submit(&self, item: J) -> Result<Reply<J, R>, Error> {
        self.submit_with(item, Options::default())
    }

    /// As [`Batcher::submit_with`], on behalf of this source.
    ///
    /// # Errors
    /// As [`Batcher::submit`].
    pub fn submit_with(&self, item: J, options: Options) -> Result<Reply<J, R>, Error> {
        // Nobody else asks who has an item in.
        let in_house = self.batcher.is_adaptive();
        let in_house = in_house.then(|| Tally::enter(&self.tally));
        self.batcher.submit_from(item, options, in_house)
    }
}

impl<J: Send + 'static, R: Send + 'static> Drop for Source<J, R> {
    fn drop(&mut self) {
        self.tally.census.open.fetch_sub(1, Ordering::Relaxed);
        // One less to wait for.
        self.batcher.reconsider();
    }
}

impl Tally {
    fn enter(tally: &Arc<Self>) -> InHouse {
        let counts = !tally.multiplexed.load(Ordering::Relaxed);
        if counts && tally.in_house.fetch_add(1, Ordering::Relaxed) == 0 {
            tally.census.busy.fetch_add(1, Ordering::Relaxed);
        }
        InHouse(counts.then(|| Arc::clone(tally)))
    }
}

/// That a source has an item in; over when dropped.
#[derive(Debug)]
pub(super) struct InHouse(Option<Arc<Tally>>);

impl InHouse {
    /// The number of the source, unless it may have any number of items in.
    pub fn source(&self) -> Option<u64> {
        self.0.as_ref().map(|tally| tally.number)
    }
}

impl Drop for InHouse {
    fn drop(&mut self) {
        if let Some(tally) = &self.0
            && tally.in_house.fetch_sub(1, Ordering::Relaxed) == 1
        {
            tally.census.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
