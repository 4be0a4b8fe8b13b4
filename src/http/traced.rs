//! A request's place in a trace; and where that is sampled its span, told once: when it is
//! answered, or when its caller leaves.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::batcher;
use crate::code::Code;
use crate::engine::outcome::JobResult;
use crate::observe::spans::{Described, JobEnd, JobSpan, Joined, Span, Spans};
use crate::route::Route;
use crate::trace_context::TraceContext;

/// See the module. Few requests have one, so that it is boxed where it is held.
pub(super) enum Traced {
    /// Its caller's place, which is all there is.
    Caller(TraceContext),
    /// The job has a place of its own.
    Kept(Open),
}

/// A span that is told when this is dropped, if it was not told before.
pub(super) struct Open {
    place: TraceContext,
    arrived: Instant,
    /// None once it is told.
    told: Option<(Spans, Arc<Described>)>,
}

impl Traced {
    /// What there is of a request that arrived then, and whose caller has this place.
    #[inline]
    pub fn of(route: &Route, caller: Option<TraceContext>, arrived: Instant) -> Option<Box<Self>> {
        let spans = route.observer.spans();
        let place = spans.sample(caller)?;
        let traced = match spans.wants(Some(&place)) {
            true => Self::Kept(Open {
                place,
                arrived,
                told: Some((spans.clone(), Arc::clone(&route.described))),
            }),
            false => Self::Caller(place),
        };
        Some(Box::new(traced))
    }

    /// What its job has of it. What is left is the span, if there is one.
    pub fn for_job(traced: &mut Option<Box<Self>>) -> Option<TraceContext> {
        if let Some(Self::Kept(open)) = traced.as_deref() {
            return Some(open.place.clone());
        }
        match *traced.take()? {
            Self::Caller(place) => Some(place),
            Self::Kept(open) => Some(open.place.clone()),
        }
    }

    /// There is no job after all, so that there is nothing to tell.
    pub fn forget(traced: Option<Box<Self>>) {
        if let Some(Self::Kept(mut open)) = traced.map(|it| *it) {
            open.told = None;
        }
    }

    /// Its request has ended so.
    pub fn ended(self, end: JobEnd, status: u16, joined: Option<Joined>) {
        if let Self::Kept(mut open) = self {
            open.tell(end, Some(status), joined);
        }
    }
}

impl Open {
    fn tell(&mut self, end: JobEnd, status: Option<u16>, joined: Option<Joined>) {
        let Some((spans, of)) = self.told.take() else {
            return;
        };
        spans.tell(Span::Job(Box::new(JobSpan {
            place: self.place.clone(),
            of,
            ended: SystemTime::now(),
            took: self.arrived.elapsed(),
            end,
            status,
            joined,
        })));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        match std::thread::panicking() {
            true => self.tell(JobEnd::Answered(Code::Internal), Some(500), None),
            false => self.tell(JobEnd::CallerLeft, None, None),
        }
    }
}

/// What the job with this result knows of its batch, if that has left.
pub(super) fn joined(result: &Result<JobResult, batcher::Error>) -> Option<Joined> {
    let result = result.as_ref().ok()?;
    // Of a batch that was never sent there is no call to point to.
    let call = result.batch.trace.clone();
    Some(Joined {
        batch_id: result.batch.id,
        call: call.filter(|_| !result.upstream.is_zero()),
        queued: result.queued,
        left: result.batch.left.elapsed(),
    })
}
