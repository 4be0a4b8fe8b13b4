//! Attempts at one batch, on a paused clock, between a real batcher and an upstream
//! of which the test answers every call.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::circuit::Circuit;
use super::outcome::{Dispatched, Failure, JobOutcome, JobResult};
use super::{Engine, Phase, Policy, options};
use crate::batcher::{Batcher, Reply, Settings};
use crate::code::Code;
use crate::job::Job;
use crate::later::Later;
use crate::observe::{Bounds, Observer};
use crate::resilience::backoff::Backoff;
use crate::resilience::budget::Budget;
use crate::resilience::size::Size;
use crate::shape::{Keys, Shape};
use crate::upstream::{Call, CallError, DispatchFlag, Outgoing, Response};

pub(super) const MS: Duration = Duration::from_millis(1);
/// Longer than anything that a test waits for.
pub(super) const FAR: Duration = Duration::from_secs(3600);

/// Jobs of which nobody expects a result.
static TAKEN: LazyLock<Arc<Shape>> = LazyLock::new(|| {
    let keys = Keys {
        results: Some("none".to_owned()),
        ..Keys::default()
    };
    Arc::new(Shape::compile(&keys, &[]).unwrap())
});

type Answered = Result<Response, CallError>;

/// Hands every call to the test.
struct ByHand(mpsc::UnboundedSender<Posted>);

pub(super) struct Posted {
    pub at: Instant,
    batch_id: HeaderValue,
    pub array: Bytes,
    dispatch: DispatchFlag,
    answer: oneshot::Sender<Answered>,
}

impl Call for ByHand {
    async fn post(&self, batch: Outgoing<'_>) -> Answered {
        let (answer, answered) = oneshot::channel();
        let posted = Posted {
            at: Instant::now(),
            batch_id: batch.batch_id.clone(),
            array: batch.body.concat().into(),
            dispatch: batch.dispatch.clone(),
            answer,
        };
        self.0.send(posted).ok().unwrap();
        answered.await.unwrap()
    }
}

impl Posted {
    /// No connection.
    pub fn refuse(self) {
        let error = CallError::Unreachable("refused".to_owned());
        self.answer.send(Err(error)).unwrap();
    }

    pub fn status(self, status: u16, retry_after: Option<u64>) {
        assert!(self.dispatch.set());
        let mut response = http::Response::builder().status(status);
        if let Some(seconds) = retry_after {
            response = response.header("retry-after", seconds);
        }
        let response = response.body(Full::<Bytes>::default()).unwrap();
        let until = Instant::now() + FAR;
        let response = Response::new(response, &self.batch_id, 0, until, Box::new(()));
        self.answer.send(response).unwrap();
    }

    /// Takes the jobs; see [`Results::None`].
    pub fn take(self) {
        self.status(200, None);
    }
}

pub(super) struct Proxy {
    pub batcher: Batcher<Job, JobResult>,
    pub calls: mpsc::UnboundedReceiver<Posted>,
    pub phase: watch::Sender<Phase>,
    pub circuit: Arc<Circuit>,
    pub observer: Arc<Observer>,
}

/// How a test differs from the others.
pub(super) struct Rules {
    /// A batch leaves when it has so many members or has waited so long, and so many at
    /// a time.
    pub size: usize,
    pub max_wait: Duration,
    pub slots: usize,
    pub max_attempts: u32,
    pub split_on: Vec<u16>,
    /// How many retries there may be in any 10 s.
    pub budget: u32,
    /// How many failures in a row open the circuit.
    pub failures: u32,
    /// The least time between two batches.
    pub interval: Duration,
    /// Whom the engine tells of jobs for later.
    pub later: Option<Later>,
    /// Whether the upstream may be called twice.
    pub idempotent: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            size: 1,
            max_wait: FAR,
            slots: 1,
            max_attempts: 2,
            split_on: Vec::new(),
            budget: u32::MAX,
            failures: 0,
            interval: Duration::ZERO,
            later: None,
            idempotent: true,
        }
    }
}

impl Rules {
    /// Of an upstream that is not to be called twice.
    pub fn careful() -> Self {
        Self {
            idempotent: false,
            ..Self::default()
        }
    }

    /// Everything may be sent twice; the first pause is a second at most, and any
    /// four.
    pub fn start(self) -> Proxy {
        let settings = Settings {
            max_size: self.size,
            max_in_flight: self.slots,
            max_wait: self.max_wait,
            min_interval: self.interval,
            ..Settings::default()
        };
        let policy = Policy {
            idempotent: self.idempotent,
            split_on: self.split_on,
            max_attempts: self.max_attempts,
            backoff: Backoff {
                base: 1000 * MS,
                cap: 4000 * MS,
            },
            longest_wait: FAR,
            largest: Size {
                jobs: self.size,
                bytes: 1 << 20,
            },
            excerpts: true,
        };
        let (sender, calls) = mpsc::unbounded_channel();
        let budget = Budget::new(0.0, self.budget, Instant::now());
        let circuit = Arc::new(Circuit::new(self.failures, 1000 * MS));
        let (phase, current) = watch::channel(Phase::Running);
        let observer = Arc::new(Observer::new(Bounds {
            max_size: self.size,
            max_bytes: 1 << 20,
        }));
        let engine = Engine::new(
            ByHand(sender),
            Arc::clone(&TAKEN),
            policy,
            budget,
            Arc::clone(&circuit),
            current,
            Arc::clone(&observer),
        );
        let engine = Arc::new(match self.later {
            Some(later) => engine.with_later(later),
            None => engine,
        });
        Proxy {
            batcher: Batcher::with_batches(settings, move |batch| {
                Arc::clone(&engine).process(batch)
            }),
            calls,
            phase,
            circuit,
            observer,
        }
    }
}

impl Proxy {
    pub fn job(&self, id: u64) -> Reply<Job, JobResult> {
        let job = Bytes::from(format!(r#"{{"id":{id}}}"#));
        let job = Job::parse(job, crate::json::MAX_DEPTH).unwrap();
        let options = options(&TAKEN, &job, Instant::now() + FAR);
        self.batcher.submit_with(job, options).unwrap()
    }

    pub async fn next(&mut self) -> Posted {
        let call = timeout(FAR, self.calls.recv()).await;
        call.expect("a call").expect("an engine")
    }

    /// The jobs of the next call, which takes them.
    pub async fn takes(&mut self) -> Bytes {
        let call = self.next().await;
        let array = call.array.clone();
        call.take();
        array
    }
}

pub(super) async fn failed(reply: Reply<Job, JobResult>) -> Failure {
    match reply.await.expect("an answer").outcome {
        JobOutcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn was_taken(reply: Reply<Job, JobResult>) -> bool {
    matches!(reply.await.expect("an answer").outcome, JobOutcome::Taken)
}

#[tokio::test(start_paused = true)]
async fn the_pauses_double_up_to_the_cap_and_are_spread() {
    const BATCHES: u64 = 100;
    let mut proxy = Rules {
        slots: 1000,
        max_attempts: 5,
        ..Rules::default()
    }
    .start();
    let _replies: Vec<_> = (0..BATCHES).map(|id| proxy.job(id)).collect();
    let mut attempts: HashMap<HeaderValue, Vec<Instant>> = HashMap::new();
    for _ in 0..BATCHES * 5 {
        let call = proxy.next().await;
        let of_batch = attempts.entry(call.batch_id.clone()).or_default();
        of_batch.push(call.at);
        call.refuse();
    }
    for (n, bound) in [1000, 2000, 4000, 4000].into_iter().enumerate() {
        let pauses = attempts.values().map(|at| at[n + 1] - at[n]);
        let (shortest, longest) = (pauses.clone().min().unwrap(), pauses.max().unwrap());
        // The clock's steps are milliseconds.
        assert!(longest <= (bound + 1) * MS, "{n}: {longest:?}");
        // By chance once in 10¹² times.
        assert!(longest > bound * MS * 3 / 4, "{n}: {longest:?}");
        assert!(shortest < bound * MS / 4, "{n}: {shortest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_every_deadline_costs_no_budget() {
    let mut proxy = Rules {
        budget: 1,
        ..Rules::default()
    }
    .start();
    let hopeless = proxy.job(1);
    proxy.next().await.status(503, Some(3600));
    assert_eq!(failed(hopeless).await.code(), Code::UpstreamOverloaded);
    let other = proxy.job(2);
    proxy.next().await.status(503, None);
    // The only retry of the budget is left for it.
    assert_eq!(proxy.takes().await, r#"[{"id":2}]"#);
    assert!(was_taken(other).await);
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_a_batch_that_waits_for_a_slot_to_be_sent_again() {
    let mut proxy = Rules::default().start();
    let waiting = proxy.job(1);
    proxy.next().await.status(503, None);
    let _other = proxy.job(2);
    let _busy = proxy.next().await;
    // Its pause is over, but not the other's call.
    sleep(10_000 * MS).await;
    let start = Instant::now();
    proxy.phase.send_replace(Phase::Draining);
    assert_eq!(failed(waiting).await.code(), Code::UpstreamOverloaded);
    assert_eq!(start.elapsed(), Duration::ZERO);
    // And not by being sent when the slot is free.
    assert!(proxy.calls.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn halves_that_wait_for_a_slot_are_given_up_too() {
    let mut proxy = Rules {
        size: 4,
        ..Rules::default()
    }
    .start();
    let replies = [1, 2, 3, 4].map(|id| proxy.job(id));
    proxy.next().await.status(413, None);
    let _busy = proxy.next().await;
    let start = Instant::now();
    proxy.phase.send_replace(Phase::GivingUp);
    for reply in replies {
        // The upstream had them all once.
        let failure = failed(reply).await;
        assert!(
            matches!(failure, Failure::GivenUp { sent: true }),
            "{failure:?}"
        );
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    let vacated = timeout(FAR, proxy.batcher.vacated()).await;
    vacated.expect("a vacant batcher");
}

#[tokio::test(start_paused = true)]
async fn the_members_of_a_half_were_dispatched_before() {
    let mut proxy = Rules {
        size: 2,
        slots: 2,
        max_attempts: 1,
        ..Rules::default()
    }
    .start();
    let replies = [1, 2].map(|id| proxy.job(id));
    proxy.next().await.status(413, None);
    for _ in 0..2 {
        proxy.next().await.refuse();
    }
    for reply in replies {
        let result = reply.await.unwrap();
        assert_eq!(result.earlier, Dispatched::Yes, "{result:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn against_an_open_circuit_nothing_is_sent_again() {
    let mut proxy = Rules {
        slots: 2,
        failures: 1,
        ..Rules::default()
    }
    .start();
    let (opens, other) = (proxy.job(1), proxy.job(2));
    let (opening, late) = (proxy.next().await, proxy.next().await);
    opening.status(500, None);
    assert_eq!(failed(opens).await.code(), Code::UpstreamError);
    assert!(!proxy.circuit.is_closed());
    late.status(503, None);
    assert_eq!(failed(other).await.code(), Code::UpstreamOverloaded);
    assert!(proxy.calls.try_recv().is_err());

    // Not the probe either: it is one call, and has decided.
    sleep(1000 * MS).await;
    let probe = proxy.job(3);
    proxy.next().await.refuse();
    assert_eq!(failed(probe).await.code(), Code::UpstreamUnreachable);
    assert!(!proxy.circuit.is_closed());
    assert!(proxy.calls.try_recv().is_err());
}

/// Has these calls answered with these statuses, and tells whether the circuit is
/// open after that. Batches of one job first, then one of two, which is split.
async fn opens(failures: u32, before: &[u16], whole: u16, halves: [u16; 2]) -> bool {
    let mut proxy = Rules {
        size: 2,
        max_attempts: 1,
        split_on: vec![500],
        failures,
        ..Rules::default()
    }
    .start();
    for status in before {
        let reply = proxy.job(1);
        proxy.batcher.flush();
        proxy.next().await.status(*status, None);
        failed(reply).await;
    }
    let replies = [1, 2].map(|id| proxy.job(id));
    proxy.next().await.status(whole, None);
    for status in halves {
        proxy.next().await.status(status, None);
    }
    for reply in replies {
        reply.await.unwrap();
    }
    !proxy.circuit.is_closed()
}

#[tokio::test(start_paused = true)]
async fn a_split_tells_the_circuit_that_the_upstream_answered() {
    // So the failure before no longer counts, whatever the answer was.
    assert!(!opens(3, &[500], 413, [500, 500]).await);
    assert!(opens(2, &[], 413, [500, 500]).await);
    // Where one job may be to blame, its half will tell.
    assert!(!opens(3, &[500], 500, [500, 500]).await);
    assert!(opens(2, &[500], 500, [500, 500]).await);
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_callers_depart_in_the_pause_costs_no_budget() {
    let mut proxy = Rules {
        budget: 1,
        ..Rules::default()
    }
    .start();
    let leaves = proxy.job(1);
    proxy.next().await.status(503, Some(30));
    sleep(MS).await;
    drop(leaves);
    sleep(MS).await;
    let other = proxy.job(2);
    proxy.next().await.status(503, None);
    assert_eq!(proxy.takes().await, r#"[{"id":2}]"#);
    assert!(was_taken(other).await);
}

#[tokio::test(start_paused = true)]
async fn a_half_as_large_as_what_was_refused_meanwhile_is_split_without_a_call() {
    let mut proxy = Rules {
        size: 4,
        ..Rules::default()
    }
    .start();
    let replies = [1, 2, 3, 4].map(|id| proxy.job(id));
    let mut sizes = Vec::new();
    for _ in 0..6 {
        let call = proxy.next().await;
        let jobs = call.array.iter().filter(|byte| **byte == b'{').count();
        sizes.push(jobs);
        match jobs {
            1 => call.take(),
            _ => call.status(413, None),
        }
    }
    assert_eq!(sizes, [4, 2, 1, 1, 1, 1]);
    for reply in replies {
        assert!(was_taken(reply).await);
    }
    // And for a minute none leaves with so many.
    let replies = [1, 2].map(|id| proxy.job(id));
    for _ in 0..2 {
        proxy.next().await.take();
    }
    for reply in replies {
        assert!(was_taken(reply).await);
    }
    sleep(60_000 * MS).await;
    let _replies = [1, 2, 3, 4].map(|id| proxy.job(id));
    let array = proxy.takes().await;
    assert_eq!(array, r#"[{"id":1},{"id":2},{"id":3},{"id":4}]"#);
}

#[tokio::test(start_paused = true)]
async fn halves_leave_a_slot_to_new_batches() {
    let mut proxy = Rules {
        size: 4,
        slots: 2,
        split_on: vec![400],
        ..Rules::default()
    }
    .start();
    let _replies = [1, 2, 3, 4].map(|id| proxy.job(id));
    proxy.next().await.status(400, None);
    let half = proxy.next().await;
    assert_eq!(half.array, r#"[{"id":1},{"id":2}]"#);
    // The other half waits, though a slot is free.
    sleep(MS).await;
    assert!(proxy.calls.try_recv().is_err());
    let _new = [5, 6, 7, 8].map(|id| proxy.job(id));
    assert_eq!(
        proxy.takes().await,
        r#"[{"id":5},{"id":6},{"id":7},{"id":8}]"#
    );
    half.take();
    assert_eq!(proxy.takes().await, r#"[{"id":3},{"id":4}]"#);
}
