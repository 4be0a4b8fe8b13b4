//! What traces hear of: jobs whose trace is sampled, and the calls that they travel with.
//!
//! `http` tells of jobs and `engine` of calls, as values; what becomes of them is up to the
//! [`Tracer`], which `telemetry` has. Without one, or for a trace that nobody keeps, nothing
//! is made up and nothing is allocated.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::batcher::FlushReason;
use crate::code::Code;
use crate::trace_context::TraceContext;

/// Who keeps spans. None of it waits.
pub trait Tracer: Debug + Send + Sync {
    /// The place of a job whose caller has this one, if it has any. Where it is to be kept
    /// that is sampled, and below its caller's or the first of a trace; else it is not.
    fn sample(&self, caller: Option<TraceContext>) -> Option<TraceContext>;

    /// Something is over.
    fn tell(&self, span: Span);

    /// How many spans were lost.
    fn dropped(&self) -> u64;
}

/// The process's tracer, if it has one. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Spans(Option<Arc<dyn Tracer>>);

impl From<Arc<dyn Tracer>> for Spans {
    fn from(tracer: Arc<dyn Tracer>) -> Self {
        Self(Some(tracer))
    }
}

impl Spans {
    /// See [`Tracer::sample`]; its caller's where nobody keeps spans.
    #[inline]
    pub fn sample(&self, caller: Option<TraceContext>) -> Option<TraceContext> {
        match &self.0 {
            None => caller,
            Some(tracer) => tracer.sample(caller),
        }
    }

    /// Whether what is in this place is to be told of.
    #[inline]
    pub fn wants(&self, place: Option<&TraceContext>) -> bool {
        self.0.is_some() && place.is_some_and(TraceContext::is_sampled)
    }

    /// Something is over.
    pub fn tell(&self, span: Span) {
        if let Some(tracer) = &self.0 {
            tracer.tell(span);
        }
    }

    /// How many spans were lost.
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |it| it.dropped())
    }
}

/// What the spans of one route have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub route: String,
    /// The pattern of its path.
    pub path: String,
    /// Where its batches go, without secrets.
    pub url: String,
    /// The path of that.
    pub url_path: String,
    /// The host of that.
    pub host: String,
    /// The port of that.
    pub port: Option<u16>,
}

/// One that is over.
#[derive(Clone, Debug)]
pub enum Span {
    /// A job, from its request's head to its answer.
    Job(Box<JobSpan>),
    /// A call of the upstream with a batch.
    Call(Box<CallSpan>),
}

/// A job, from its request's head to its answer.
#[derive(Clone, Debug)]
pub struct JobSpan {
    /// Its place, below its caller's.
    pub place: TraceContext,
    /// Its route.
    pub of: Arc<Described>,
    /// When it ended.
    pub ended: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub end: JobEnd,
    /// The status of its answer, where there was one.
    pub status: Option<u16>,
    /// The batch that it was in last, if it was in one that left.
    pub joined: Option<Joined>,
}

/// How a request with a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// It came to this.
    Answered(Code),
    /// Its answer is fetched later.
    HandedIn,
    /// Its caller left first.
    CallerLeft,
}

impl JobEnd {
    /// What it came to, where it was answered.
    pub fn code(self) -> Option<Code> {
        match self {
            Self::Answered(code) => Some(code),
            Self::HandedIn | Self::CallerLeft => None,
        }
    }
}

/// What a job knows of its batch.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The batch.
    pub batch_id: Uuid,
    /// The place of its last call, where there was one.
    pub call: Option<TraceContext>,
    /// How long the job waited for it to leave.
    pub queued: Duration,
    /// How long ago it left.
    pub left: Duration,
}

/// A call of the upstream with a batch.
#[derive(Clone, Debug)]
pub struct CallSpan {
    /// Its place, which the upstream was told.
    pub place: TraceContext,
    /// Its route.
    pub of: Arc<Described>,
    /// When it ended.
    pub ended: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What it came to; `None` where every caller left before that.
    pub outcome: Option<Code>,
    /// The status of its answer, where there was one.
    pub status: Option<u16>,
    /// What it is about.
    pub about: CallAbout,
}

/// What a call is about, known when it begins.
#[derive(Clone, Debug)]
pub struct CallAbout {
    /// The batch.
    pub batch_id: Uuid,
    /// The batch that it is a half of.
    pub half_of: Option<Uuid>,
    /// How many jobs are in it.
    pub jobs: usize,
    /// How many items those have together.
    pub items: usize,
    /// The bytes of its body.
    pub bytes: usize,
    /// Why it left.
    pub reason: FlushReason,
    /// Which call with this batch it is, from 1 on.
    pub attempt: u32,
    /// The places of its sampled jobs: [`MAX_LINKS`] at most.
    pub links: Vec<TraceContext>,
    /// How many more there are.
    pub more_links: usize,
}

/// The most places that a span is linked to: what the SDKs of OpenTelemetry have by default
/// (`OTEL_SPAN_LINK_COUNT_LIMIT`).
pub const MAX_LINKS: usize = 128;

impl CallAbout {
    /// The same, linked to those of these places whose traces are sampled.
    #[must_use]
    pub fn linked<'a>(mut self, places: impl Iterator<Item = &'a TraceContext>) -> Self {
        let mut sampled = places.filter(|it| it.is_sampled());
        self.links = sampled.by_ref().take(MAX_LINKS).cloned().collect();
        self.more_links = sampled.count();
        self
    }
}
