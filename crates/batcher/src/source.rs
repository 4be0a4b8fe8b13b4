//! One caller of a batcher, counted so that nobody is waited for who can't come.

use std::sync::Arc;

use crate::batcher::Batcher;
use crate::error::Error;
use crate::options::Options;
use crate::reply::Reply;
use crate::settings::Wait;
use crate::sources::{Counted, InFlight};

/// One caller of a [`Batcher`] that usually submits one item and waits for its answer,
/// such as a connection; made by [`Batcher::source`].
#[derive(Debug)]
pub struct Source<J: Send + 'static, R: Send + 'static> {
    batcher: Batcher<J, R>,
    counted: Arc<Counted>,
}

impl<J: Send + 'static, R: Send + 'static> Batcher<J, R> {
    /// A caller that submits one item at a time, see [`Source`].
    pub fn source(&self) -> Source<J, R> {
        let sources = Arc::clone(&self.0.shared.sources);
        Source {
            batcher: self.clone(),
            counted: Arc::new(Counted::open(sources)),
        }
    }

    fn is_adaptive(&self) -> bool {
        self.0.shared.settings.wait == Wait::Adaptive
    }
}

impl<J: Send + 'static, R: Send + 'static> Source<J, R> {
    /// Says that this source may submit any number of items at a time, so that
    /// having one in is no sign of having no other.
    pub fn set_multiplexed(&self) {
        self.counted.set_multiplexed();
    }

    /// Says that this source waits for something else: until what this gives is dropped
    /// nobody waits for an item of it.
    pub fn occupied(&self) -> Occupied {
        let in_flight = self.batcher.is_adaptive();
        let in_flight = in_flight.then(|| Counted::submits(&self.counted));
        if in_flight.is_some() {
            // One less to wait for: waiting may no longer pay.
            self.batcher.0.proceed(self.batcher.0.lock());
        }
        Occupied(in_flight)
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
        let in_flight = self.batcher.is_adaptive();
        let in_flight = in_flight.then(|| Counted::submits(&self.counted));
        let submitted = self.batcher.submit_from(item, options, in_flight);
        submitted.map_err(|(_, error)| error)
    }

    /// As [`Batcher::execute`], on behalf of this source.
    ///
    /// # Errors
    /// As [`Batcher::execute`].
    pub async fn execute(&self, item: J) -> Result<R, Error> {
        self.submit(item)?.await
    }
}

/// That a source waits for something else than an item, see [`Source::occupied`]; over
/// when dropped.
#[derive(Debug)]
#[must_use = "it is over when this is dropped"]
pub struct Occupied(#[expect(dead_code, reason = "it is there to be dropped")] Option<InFlight>);

impl<J: Send + 'static, R: Send + 'static> Drop for Source<J, R> {
    fn drop(&mut self) {
        self.counted.close();
        // One less to wait for: waiting may no longer pay.
        if self.batcher.is_adaptive() {
            self.batcher.0.proceed(self.batcher.0.lock());
        }
    }
}
