//! That each request is counted once, also one whose handler panics.

use std::borrow::Borrow;

use tokio::time::Instant;

use crate::code::Code;
use crate::route::Route;

/// A request until its answer is counted: one whose handler panics is counted too.
pub(super) struct Uncounted<R: Borrow<Route>> {
    route: R,
    /// Who counts how it ends.
    pub stage: CountedBy,
}

/// Who counts how a request ends.
pub(super) enum CountedBy {
    /// It is refused unless its job is taken.
    Refusal,
    /// Its job is in: its reply, when dropped, tells that its caller has left.
    Batcher,
    /// Its job is done, and arrived then.
    Outcome(Instant),
}

impl<R: Borrow<Route>> Uncounted<R> {
    pub fn new(route: R) -> Self {
        let stage = CountedBy::Refusal;
        Self { route, stage }
    }
}

impl<R: Borrow<Route>> Drop for Uncounted<R> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let (route, code) = (self.route.borrow(), Code::Internal);
        match self.stage {
            CountedBy::Refusal => route.refused(code),
            CountedBy::Batcher => {}
            CountedBy::Outcome(arrived) => route.answered(code, arrived),
        }
    }
}
