//! One batch to the answers of its members.
//!
//! The batcher hands a batch over; from then on every member is answered here,
//! whatever happens: by its result, by the batch's failure, or by its deadline,
//! which does not disturb the others. When nobody is left to answer, the call to
//! the upstream is given up.

pub mod correlate;
pub mod encode;
pub mod outcome;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::batcher;
use crate::code::Code;
use crate::job::Job;
use crate::telemetry::Seldom;
use crate::trace_context::TraceContext;
use crate::upstream::{CallError, Response, Sent, Upstream};
use correlate::{Correlation, NotResults, Outcome, correlate};
use outcome::{BatchTag, Failure, JobOutcome, JobResult, Passthrough, Refusal, code_of_status};

/// A batch of jobs.
pub type Batch = batcher::Batch<Job, JobResult>;

type Member = batcher::Member<Job, JobResult>;

/// The longest body of a refusal that is handed on to a caller: under 64 KiB.
const MAX_PASSTHROUGH: usize = 64 * 1024 - 1;

impl batcher::Item for Job {
    fn key(&self) -> u64 {
        Job::key(self)
    }

    fn bytes(&self) -> usize {
        self.raw().len()
    }
}

/// Whether answers are read for results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// An array of objects, matched by id.
    ById,
    /// None are expected; any 2xx will do.
    None,
}

/// Processes batches for one upstream.
#[derive(Debug)]
pub struct Processor {
    upstream: Upstream,
    results: Results,
    give_up: watch::Receiver<bool>,
    mismatches: Seldom,
}

/// A batch's number, its headers, and when it left.
struct Trip {
    tag: Arc<BatchTag>,
    size: usize,
    left: Instant,
    /// Whether its end is in the log.
    told: AtomicBool,
}

impl Drop for Trip {
    fn drop(&mut self) {
        // A batch whose processing panicked has failed like any other.
        if !self.told.load(Ordering::Relaxed) && std::thread::panicking() {
            self.log(Code::Internal, "its processing panicked");
        }
    }
}

/// What a whole batch came to.
enum Answer {
    Results(u16, bytes::Bytes),
    Taken(Response),
    Failed(Failure, String, Option<Response>),
}

/// Why the call was given up.
enum NobodyLeft {
    Expired,
    GivenUp { sent: bool },
    Departed,
}

impl Processor {
    /// A processor that answers everyone with [`Failure::GivenUp`] as
    /// soon as `give_up` turns true.
    pub fn new(upstream: Upstream, results: Results, give_up: watch::Receiver<bool>) -> Self {
        Self {
            upstream,
            results,
            give_up,
            mismatches: Seldom::default(),
        }
    }

    /// Takes a batch to the upstream and answers each member.
    pub async fn process(&self, mut batch: Batch) {
        let trip = Trip::new(&batch);
        let body = encode::array(batch.members().iter().map(Member::item));
        debug!(
            batch_id = %trip.tag.id,
            size = trip.size,
            bytes = body.len(),
            reason = batch.reason().as_str(),
            "batch left"
        );
        let trace = TraceContext::for_batch(batch.members().iter().map(|m| m.item().trace()));
        let sent = Sent::default();
        let call = self.call(&trip, body, &trace, &sent);
        let leftover = match self.attend(&mut batch, &trip, call, &sent).await {
            Ok(Answer::Results(status, body)) => {
                self.deliver(&mut batch, &trip, status, &body);
                None
            }
            Ok(Answer::Taken(response)) => {
                trip.log(Code::Ok, "");
                batch.answer_all(|member| trip.result(member, JobOutcome::Taken));
                Some(response)
            }
            Ok(Answer::Failed(failure, cause, response)) => {
                trip.log(failure.code(), &cause);
                batch.answer_all(|member| trip.failed(member, failure.clone()));
                response
            }
            Err(NobodyLeft::Expired) => {
                trip.log(Code::DeadlineExceeded, "every member's deadline passed");
                None
            }
            Err(NobodyLeft::GivenUp { sent }) => {
                trip.log(Failure::GivenUp { sent }.code(), "shutdown.timeout");
                None
            }
            Err(NobodyLeft::Departed) => {
                let (batch_id, size) = (trip.tag.id, trip.size);
                debug!(%batch_id, size, outcome = "abandoned", "batch done");
                None
            }
        };
        // Everybody is answered; the slot is taken until the call is over.
        if let Some(response) = leftover {
            response.discard().await;
        }
    }

    /// Waits for the call while members expire or leave, and gives it up when
    /// none is left.
    async fn attend(
        &self,
        batch: &mut Batch,
        trip: &Trip,
        call: impl Future<Output = Answer>,
        sent: &Sent,
    ) -> Result<Answer, NobodyLeft> {
        let mut call = std::pin::pin!(call);
        let mut abandoned = std::pin::pin!(batch.abandoned());
        let mut give_up = self.give_up.clone();
        let mut given_up = std::pin::pin!(give_up.wait_for(|&given_up| given_up));
        let expired = |member: &Member| {
            let sent = sent.get();
            trip.failed(member, Failure::DeadlineExceeded { sent })
        };
        loop {
            let Some(deadline) = batch.earliest_deadline() else {
                return Err(NobodyLeft::Expired);
            };
            tokio::select! {
                // An answer that is there goes before a deadline that has come.
                biased;
                answer = &mut call => return Ok(answer),
                () = sleep_until(deadline) => batch.answer_expired(Instant::now(), expired),
                _ = &mut given_up => {
                    let sent = sent.get();
                    batch.answer_all(|member| trip.failed(member, Failure::GivenUp { sent }));
                    return Err(NobodyLeft::GivenUp { sent });
                }
                () = &mut abandoned => return Err(NobodyLeft::Departed),
            }
        }
    }

    async fn call(
        &self,
        trip: &Trip,
        body: bytes::Bytes,
        trace: &TraceContext,
        sent: &Sent,
    ) -> Answer {
        let tag = &trip.tag;
        let posted = self
            .upstream
            .post(body, &tag.id_header, &tag.size_header, trace, sent);
        let mut response = match posted.await {
            Ok(response) => response,
            Err(error) => return Answer::from_error(error),
        };
        let status = response.status();
        if !(200..=299).contains(&status) {
            return refusal(response, trip.size).await;
        }
        if self.results == Results::None {
            return Answer::Taken(response);
        }
        match response.body().await {
            Ok(body) => Answer::Results(status, body),
            Err(error) => Answer::from_error(error),
        }
    }

    fn deliver(&self, batch: &mut Batch, trip: &Trip, status: u16, answer: &bytes::Bytes) {
        let ids = batch.members().iter().map(|member| member.item().id());
        let correlation = match correlate(ids, answer) {
            Ok(correlation) => correlation,
            Err(error) => return self.malformed(batch, trip, status, &error),
        };
        self.warn_of_mismatch(trip, batch.len(), &correlation);
        trip.log(Code::Ok, "");
        let mut outcomes = correlation.outcomes.into_iter();
        batch.answer_all(|member| {
            let outcome = match outcomes.next() {
                Some(Outcome::Found(element)) => JobOutcome::Element {
                    raw: element.raw,
                    error: element.error,
                },
                Some(Outcome::Ambiguous) => JobOutcome::Failed(Failure::ResultAmbiguous(status)),
                Some(Outcome::Missing) | None => JobOutcome::Failed(Failure::ResultMissing(status)),
            };
            trip.result(member, outcome)
        });
    }

    fn malformed(&self, batch: &mut Batch, trip: &Trip, status: u16, error: &NotResults) {
        trip.log(Code::UpstreamMalformed, &error.to_string());
        batch.answer_all(|member| trip.failed(member, Failure::Malformed(status)));
    }

    /// An upstream that mixes up its results would flood the log.
    fn warn_of_mismatch(&self, trip: &Trip, members: usize, correlation: &Correlation) {
        let count = |wanted| {
            correlation
                .outcomes
                .iter()
                .filter(|&it| *it == wanted)
                .count()
        };
        let (missing, ambiguous) = (count(Outcome::Missing), count(Outcome::Ambiguous));
        let mut unmatched = correlation.unmatched;
        // The results of members that expired meanwhile are nobody's fault.
        let expired = trip.size - members;
        unmatched.unknown_id = unmatched.unknown_id.saturating_sub(expired);
        if missing + ambiguous + unmatched.total() > 0
            && let Some(silent) = self.mismatches.now()
        {
            warn!(
                batch_id = %trip.tag.id,
                size = trip.size,
                missing,
                ambiguous,
                unknown_id = unmatched.unknown_id,
                no_id = unmatched.no_id,
                two_ids = unmatched.two_ids,
                not_an_object = unmatched.not_an_object,
                batches_not_warned_of = silent,
                "unmatched results"
            );
        }
    }
}

/// What an answer that is no success means; reads its body where the one caller
/// may see it.
async fn refusal(mut response: Response, size: usize) -> Answer {
    let status = response.status();
    let code = code_of_status(status, size);
    let retry_after = response.retry_after();
    let mut body = None;
    if code == Code::UpstreamRejectedJob
        && response.is_plain()
        && let Some(content_type) = response
            .content_type()
            .filter(|it| is_readable(it))
            .cloned()
    {
        // Without a readable body the caller gets a problem with the status.
        body = response
            .body_up_to(MAX_PASSTHROUGH)
            .await
            .ok()
            .map(|bytes| Passthrough {
                content_type,
                bytes,
            });
    }
    let refusal = Refusal {
        status,
        code,
        retry_after,
        body,
    };
    let cause = format!("status {status}");
    Answer::Failed(Failure::Status(refusal), cause, Some(response))
}

/// Whether a body of this type may be handed on: JSON or text.
fn is_readable(content_type: &HeaderValue) -> bool {
    let Ok(text) = content_type.to_str() else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json") || essence.starts_with("text/")
}

impl Answer {
    fn from_error(error: CallError) -> Self {
        let failure = match &error {
            CallError::Unreachable(_) => Failure::Unreachable,
            CallError::ConnectTimeout => Failure::ConnectTimeout,
            CallError::Disconnected(_) => Failure::Disconnected,
            CallError::Timeout => Failure::Timeout,
            CallError::TooLarge(status) => Failure::ResponseTooLarge(*status),
        };
        Self::Failed(failure, error.to_string(), None)
    }
}

#[expect(
    clippy::expect_used,
    reason = "hexadecimal digits and hyphens are allowed in headers"
)]
fn header(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).expect("an id that a header may hold")
}

impl Trip {
    fn new(batch: &Batch) -> Self {
        let id = Uuid::now_v7();
        let size = batch.len();
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = id.hyphenated().encode_lower(&mut text);
        Self {
            tag: Arc::new(BatchTag {
                id,
                id_header: header(text),
                size_header: HeaderValue::from(size),
            }),
            size,
            left: batch.left(),
            told: AtomicBool::new(false),
        }
    }

    fn result(&self, member: &Member, outcome: JobOutcome) -> JobResult {
        JobResult {
            outcome,
            batch: Arc::clone(&self.tag),
            queued: member.waited(self.left),
            upstream: self.left.elapsed(),
        }
    }

    fn failed(&self, member: &Member, failure: Failure) -> JobResult {
        self.result(member, JobOutcome::Failed(failure))
    }

    /// One line for each batch, aloud where it failed.
    fn log(&self, outcome: Code, cause: &str) {
        self.told.store(true, Ordering::Relaxed);
        // To the microsecond; more digits are noise.
        let duration_ms = self.left.elapsed().as_micros() as f64 / 1e3;
        let (batch_id, size) = (self.tag.id, self.size);
        if outcome == Code::Ok {
            debug!(%batch_id, size, outcome = outcome.as_str(), duration_ms, "batch done");
        } else {
            warn!(%batch_id, size, outcome = outcome.as_str(), duration_ms, cause, "batch failed");
        }
    }
}
