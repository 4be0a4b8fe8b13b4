//! The engine between a scripted upstream and callers, on a paused clock: what
//! only shows at one moment and no other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use tokio::sync::watch;
use tokio::time::{Instant, advance, sleep};

use super::circuit::Circuit;
use super::outcome::{JobOutcome, JobResult};
use super::{Engine, Phase, Policy, options};
use crate::batcher::{Batcher, Reply, Settings};
use crate::code::Code;
use crate::job::Job;
use crate::later::Later;
use crate::observe::{Bounds, Observer};
use crate::resilience::backoff::Backoff;
use crate::resilience::budget::Budget;
use crate::resilience::limit;
use crate::resilience::size::Size;
use crate::shape::Shape;
use crate::upstream::{Call, CallError, Outgoing, Response};

pub(super) const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// What the upstream does to one call: after so long it answers this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step(pub Duration, pub u16, pub Option<u64>);

/// A status that no upstream says: the call panics.
pub(super) const PANICS: u16 = 0;

/// At once.
fn says(status: u16) -> Step {
    Step(Duration::ZERO, status, None)
}

#[derive(Clone, Default)]
pub(super) struct Script(Arc<Mutex<(VecDeque<Step>, Vec<String>)>>, OnCall);

/// What a test looks at as a call begins.
pub(super) type OnCall = Option<Arc<dyn Fn(&str) + Send + Sync>>;

impl Script {
    pub fn calls(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }
}

/// Once the script is over it answers 200, and each job itself.
impl Call for Script {
    async fn post(&self, batch: Outgoing<'_>) -> Result<Response, CallError> {
        let text = String::from_utf8(batch.body.concat()).unwrap();
        let step = {
            let mut script = self.0.lock().unwrap();
            script.1.push(text.clone());
            script.0.pop_front().unwrap_or(says(200))
        };
        if let Some(on_call) = &self.1 {
            on_call(&text);
        }
        assert!(batch.dispatch.set());
        sleep(step.0).await;
        assert_ne!(step.1, PANICS, "a panic that the test asked for");
        let mut response = http::Response::builder().status(step.1);
        if let Some(seconds) = step.2 {
            response = response.header("retry-after", seconds);
        }
        let body = if step.1 == 200 { text } else { String::new() };
        let response = response.body(Full::from(body)).unwrap();
        let deadline = Instant::now() + 60 * SECOND;
        Response::new(response, batch.batch_id, 1 << 20, deadline, Box::new(()))
    }
}

/// One slot for batches of one, an idempotent upstream, and a circuit that one
/// failure opens for 5 s.
pub(super) struct Setup {
    pub shape: Arc<Shape>,
    pub settings: Settings,
    pub split_on: Vec<u16>,
    pub idempotent: bool,
    pub failures: u32,
    pub open_for: Duration,
    pub adaptive: bool,
    pub later: Option<Later>,
    pub on_call: OnCall,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            shape: Arc::clone(Shape::jobs()),
            settings: Settings {
                max_size: 1,
                max_wait: MS,
                max_in_flight: 1,
                ..Settings::default()
            },
            split_on: Vec::new(),
            idempotent: true,
            failures: 1,
            open_for: 5 * SECOND,
            adaptive: false,
            later: None,
            on_call: None,
        }
    }
}

pub(super) struct Proxy<C = Script> {
    pub batcher: Batcher<Job, JobResult>,
    pub script: C,
    pub circuit: Arc<Circuit>,
    pub observer: Arc<Observer>,
    pub phase: watch::Sender<Phase>,
}

impl Setup {
    fn without_circuit() -> Self {
        let failures = 0;
        Self {
            failures,
            ..Self::default()
        }
    }

    pub fn start(mut self, script: impl IntoIterator<Item = Step>) -> Proxy {
        let steps = Script(Arc::default(), self.on_call.take());
        steps.0.lock().unwrap().0.extend(script);
        self.before(steps)
    }

    /// Before this upstream.
    pub fn before<C: Call + Clone>(self, script: C) -> Proxy<C> {
        let circuit = Arc::new(Circuit::new(self.failures, self.open_for));
        let (phase, current) = watch::channel(Phase::Running);
        let policy = Policy {
            idempotent: self.idempotent,
            split_on: self.split_on,
            max_attempts: 3,
            backoff: Backoff { base: MS, cap: MS },
            longest_wait: 5 * SECOND,
            largest: Size {
                jobs: self.settings.max_size,
                bytes: self.settings.max_bytes,
            },
            excerpts: true,
        };
        let budget = Budget::new(1.0, 100, Instant::now());
        let observer = Arc::new(Observer::new(Bounds {
            max_size: self.settings.max_size,
            max_bytes: self.settings.max_bytes,
        }));
        let call = script.clone();
        let engine = Engine::new(
            call,
            Arc::clone(&self.shape),
            policy,
            budget,
            Arc::clone(&circuit),
            current,
            Arc::clone(&observer),
        );
        let engine = match self.adaptive {
            true => engine.adaptive(),
            false => engine,
        };
        let engine = Arc::new(match self.later {
            Some(later) => engine.with_later(later),
            None => engine,
        });
        let process = move |batch| Arc::clone(&engine).process(batch);
        Proxy {
            batcher: Batcher::with_batches(self.settings, process),
            script,
            circuit,
            observer,
            phase,
        }
    }
}

impl Proxy {
    pub fn job(&self, id: &str, stays: Duration) -> Reply<Job, JobResult> {
        let job = Job::parse(
            Bytes::from(format!(r#"{{"id":"{id}"}}"#)),
            crate::json::MAX_DEPTH,
        )
        .unwrap();
        let options = options(Shape::jobs(), &job, Instant::now() + stays);
        self.batcher.submit_with(job, options).unwrap()
    }

    /// A caller who leaves after so long.
    async fn leaves(&self, id: &str, after: Duration) {
        let reply = self.job(id, 50 * SECOND);
        sleep(after).await;
        drop(reply);
        // The engine, which is told of it, has its turn.
        sleep(MS).await;
    }

    /// Calls that ended, by status.
    fn calls_counted(&self) -> Vec<(Option<usize>, u64)> {
        let counts = self.observer.metrics.statuses();
        counts.filter(|&(_, count)| count > 0).collect()
    }

    /// One job alone, from beginning to end.
    async fn outcome(&self, id: &str) -> Code {
        code(&self.job(id, 50 * SECOND).await.unwrap())
    }
}

fn code(result: &JobResult) -> Code {
    match &result.outcome {
        JobOutcome::Failed(failure) => failure.code(),
        _ => Code::Ok,
    }
}

#[tokio::test(start_paused = true)]
async fn the_halves_of_a_probe_are_both_sent() {
    let mut setup = Setup {
        split_on: vec![500],
        ..Setup::default()
    };
    setup.settings.max_size = 2;
    setup.settings.max_in_flight = 10;
    let slow = Step(10 * MS, 200, None);
    let proxy = setup.start([says(500), says(500), slow, slow]);
    assert_eq!(proxy.outcome("a").await, Code::UpstreamError);
    advance(6 * SECOND).await;
    let (one, other) = tokio::join!(proxy.outcome("b"), proxy.outcome("c"));
    assert_eq!((one, other), (Code::Ok, Code::Ok));
    assert!(proxy.circuit.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_not_sent_takes_no_interval() {
    let mut setup = Setup {
        open_for: 20 * SECOND,
        ..Setup::default()
    };
    setup.settings.min_interval = 10 * SECOND;
    let proxy = setup.start([Step(SECOND, 500, None)]);
    let first = proxy.job("a", 50 * SECOND);
    sleep(2 * MS).await;
    let start = Instant::now();
    let queued = ["b", "c", "d"].map(|id| proxy.job(id, 50 * SECOND));
    assert_eq!(code(&first.await.unwrap()), Code::UpstreamError);
    for job in queued {
        assert_eq!(code(&job.await.unwrap()), Code::CircuitOpen);
    }
    // One interval after the one that was sent, and not one after each.
    let waited = start.elapsed();
    assert!(waited < 11 * SECOND, "{waited:?}");
    // From who is sent again the next keeps its distance.
    advance(20 * SECOND).await;
    let start = Instant::now();
    assert_eq!(proxy.outcome("e").await, Code::Ok);
    assert_eq!(proxy.outcome("f").await, Code::Ok);
    let waited = start.elapsed();
    assert!(waited >= 10 * SECOND, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_one_call() {
    let proxy = Setup::default().start([says(500), Step(Duration::ZERO, 503, Some(20))]);
    assert_eq!(proxy.outcome("a").await, Code::UpstreamError);
    advance(6 * SECOND).await;
    let start = Instant::now();
    assert_eq!(proxy.outcome("b").await, Code::UpstreamOverloaded);
    assert!(start.elapsed() < SECOND);
    assert_eq!(proxy.script.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_expired_member_is_in_no_second_attempt() {
    // The batch is to be sent again just when its slot comes free, and that is just
    // when one of its members has no time left.
    let mut setup = Setup::without_circuit();
    setup.settings.max_size = 2;
    let proxy = setup.start([says(503), Step(SECOND, 200, None)]);
    let start = Instant::now();
    let hasty = proxy.job("hasty", SECOND);
    let patient = proxy.job("patient", 50 * SECOND);
    let others = ["b", "c"].map(|id| proxy.job(id, 50 * SECOND));
    assert_eq!(code(&hasty.await.unwrap()), Code::DeadlineExceeded);
    assert_eq!(code(&patient.await.unwrap()), Code::Ok);
    assert!(start.elapsed() >= SECOND);
    for other in others {
        assert_eq!(code(&other.await.unwrap()), Code::Ok);
    }
    let calls = proxy.script.calls();
    let hasty = calls.iter().filter(|call| call.contains("hasty")).count();
    assert_eq!((calls.len(), hasty), (3, 1), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_outlasts_every_deadline_has_failed() {
    let hangs = Step(100 * SECOND, 200, None);
    let setup = Setup {
        failures: 2,
        ..Setup::default()
    };
    let proxy = setup.start([hangs; 4]);
    for id in ["a", "b"] {
        let result = proxy.job(id, 5 * SECOND).await.unwrap();
        assert_eq!(code(&result), Code::DeadlineExceeded);
    }
    assert_eq!(proxy.circuit.state(), "open");
}

#[tokio::test(start_paused = true)]
async fn callers_in_a_hurry_open_no_circuit() {
    let proxy = Setup::default().start([Step(3 * SECOND, 200, None); 9]);
    for id in ["a", "b", "c"] {
        let result = proxy.job(id, SECOND).await.unwrap();
        assert_eq!(code(&result), Code::DeadlineExceeded);
    }
    assert_eq!(proxy.circuit.state(), "closed");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_outlasts_every_deadline_gets_fewer_calls() {
    let hangs = Step(100 * SECOND, 200, None);
    let mut setup = Setup {
        failures: 0,
        adaptive: true,
        ..Setup::default()
    };
    setup.settings.max_in_flight = limit::START;
    let proxy = setup.start([hangs; 40]);
    let jobs: Vec<_> = (0..10)
        .map(|id| proxy.job(&id.to_string(), 5 * SECOND))
        .collect();
    for job in jobs {
        assert_eq!(code(&job.await.unwrap()), Code::DeadlineExceeded);
    }
    assert!(proxy.batcher.snapshot().max_in_flight < limit::START);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_upstream_is_that_of_the_calls_without_the_pauses() {
    let setup = Setup::without_circuit();
    let proxy = setup.start([Step(SECOND, 503, Some(20)), Step(2 * SECOND, 200, None)]);
    let start = Instant::now();
    let result = proxy.job("a", 50 * SECOND).await.unwrap();
    assert_eq!(code(&result), Code::Ok);
    assert!(start.elapsed() >= 23 * SECOND);
    assert_eq!(result.upstream.as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_departed_caller_is_not_retried_for() {
    let mut setup = Setup::without_circuit();
    setup.settings.max_size = 2;
    let proxy = setup.start([Step(SECOND, 503, Some(1))]);
    let leaves = proxy.job("leaves", 50 * SECOND);
    let hasty = proxy.job("hasty", SECOND + 2 * MS);
    sleep(500 * MS).await;
    drop(leaves);
    // The one that is left has no time for another attempt.
    assert_eq!(code(&hasty.await.unwrap()), Code::UpstreamOverloaded);
    assert_eq!(proxy.script.calls().len(), 1);
}

/// An upstream that takes 20 ms, and then hangs.
fn hangs(setup: Setup) -> Proxy {
    let hangs = Step(100 * SECOND, 200, None);
    setup.start([[Step(20 * MS, 200, None)].as_slice(), &[hangs; 40]].concat())
}

#[tokio::test(start_paused = true)]
async fn a_hanging_upstream_opens_the_circuit_though_its_callers_depart_first() {
    let proxy = hangs(Setup {
        failures: 2,
        ..Setup::default()
    });
    assert_eq!(proxy.outcome("a").await, Code::Ok);
    for id in ["b", "c"] {
        assert_eq!(proxy.circuit.state(), "closed");
        proxy.leaves(id, 500 * MS).await;
    }
    assert_eq!(proxy.circuit.state(), "open");
    assert_eq!(proxy.calls_counted(), [(None, 2), (Some(200), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_upstream_gets_fewer_calls_though_its_callers_depart_first() {
    let mut setup = Setup {
        failures: 0,
        adaptive: true,
        ..Setup::default()
    };
    setup.settings.max_in_flight = limit::START;
    let proxy = hangs(setup);
    assert_eq!(proxy.outcome("a").await, Code::Ok);
    proxy.leaves("b", 500 * MS).await;
    assert!(proxy.batcher.snapshot().max_in_flight < limit::START);
}

#[tokio::test(start_paused = true)]
async fn departed_callers_of_an_upstream_as_slow_as_ever_teach_nothing() {
    // Ten times what is usual, and 100 ms where it is quick.
    for (usual, leaves) in [(20 * MS, 190 * MS), (MS, 90 * MS), (SECOND, 3 * SECOND)] {
        let hangs = Step(100 * SECOND, 200, None);
        let proxy = Setup::default().start([Step(usual, 200, None), hangs, hangs]);
        assert_eq!(proxy.outcome("a").await, Code::Ok);
        for id in ["b", "c"] {
            proxy.leaves(id, leaves).await;
        }
        assert_eq!(proxy.circuit.state(), "closed", "{usual:?}");
        // Each is counted all the same.
        assert_eq!(proxy.calls_counted(), [(None, 2), (Some(200), 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_upstream_hangs_after_most_of_the_longest_wait() {
    let hangs = Step(100 * SECOND, 200, None);
    let proxy = Setup::default().start([hangs; 9]);
    proxy.leaves("a", 3900 * MS).await;
    assert_eq!(proxy.circuit.state(), "closed");
    proxy.leaves("b", 4100 * MS).await;
    assert_eq!(proxy.circuit.state(), "open");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_told_of_before_the_pause_that_its_callers_depart_in() {
    let setup = Setup {
        failures: 3,
        ..Setup::default()
    };
    let proxy = setup.start([Step(Duration::ZERO, 503, Some(20)); 3]);
    for id in ["a", "b", "c"] {
        assert_eq!(proxy.circuit.state(), "closed");
        proxy.leaves(id, SECOND).await;
    }
    assert_eq!(proxy.circuit.state(), "open");
    assert_eq!(proxy.calls_counted(), [(Some(503), 3)]);
    // Nothing was sent again.
    assert_eq!(proxy.observer.metrics.total_retries(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_at_one_batch_counts() {
    let setup = Setup {
        failures: 3,
        ..Setup::default()
    };
    let proxy = setup.start([says(503), says(503), says(503)]);
    assert_eq!(proxy.outcome("a").await, Code::UpstreamOverloaded);
    assert_eq!(proxy.circuit.state(), "open");
    assert_eq!(proxy.calls_counted(), [(Some(503), 3)]);
    assert_eq!(proxy.observer.metrics.total_retries(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_is_counted_and_a_probe_that_does_is_not_lost() {
    let proxy = Setup::default().start([says(500), says(PANICS), says(200)]);
    assert_eq!(proxy.outcome("a").await, Code::UpstreamError);
    advance(6 * SECOND).await;
    let panicked = proxy.job("b", 50 * SECOND).await;
    assert!(panicked.is_err(), "{panicked:?}");
    assert_eq!(proxy.circuit.state(), "open");
    assert_eq!(proxy.outcome("c").await, Code::Ok);
    assert_eq!(proxy.circuit.state(), "closed");
    let counted = [(None, 1), (Some(200), 1), (Some(500), 1)];
    assert_eq!(proxy.calls_counted(), counted);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_probe_leaves_the_circuit_open_though_its_caller_departs() {
    let hangs = Step(100 * SECOND, 200, None);
    let proxy = Setup::default().start([Step(20 * MS, 200, None), says(500), hangs]);
    assert_eq!(proxy.outcome("a").await, Code::Ok);
    assert_eq!(proxy.outcome("b").await, Code::UpstreamError);
    advance(6 * SECOND).await;
    proxy.leaves("c", 500 * MS).await;
    assert!(proxy.circuit.admit(Instant::now()).is_err());
}
