//! The processor between a scripted upstream and callers, on a paused clock: what
//! only shows at one moment and no other.

use std::collections::VecDeque;

use bytes::Bytes;
use http_body_util::Full;
use tokio::time::{advance, sleep};

use super::*;
use crate::batcher::{Batcher, Reply, Settings};
use crate::observe::Bounds;
use crate::resilience::limit;

use crate::upstream::{CallError, Outgoing};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// What the upstream does to one call: after so long it answers this.
#[derive(Clone, Copy)]
struct Step(Duration, u16, Option<u64>);

/// A status that no upstream says: the call panics.
const PANICS: u16 = 0;

/// At once.
fn says(status: u16) -> Step {
    Step(Duration::ZERO, status, None)
}

#[derive(Clone, Default)]
struct Script(Arc<Mutex<(VecDeque<Step>, Vec<String>)>>);

impl Script {
    fn calls(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }
}

/// Once the script is over it answers 200, and each job itself.
impl Call for Script {
    async fn post(&self, batch: Outgoing<'_>) -> Result<Response, CallError> {
        let text = String::from_utf8(batch.array.concat()).unwrap();
        let step = {
            let mut script = self.0.lock().unwrap();
            script.1.push(text.clone());
            script.0.pop_front().unwrap_or(says(200))
        };
        assert!(batch.sent.ask());
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
struct House {
    settings: Settings,
    split_on: Vec<u16>,
    failures: u32,
    open_for: Duration,
    adaptive: bool,
}

impl Default for House {
    fn default() -> Self {
        Self {
            settings: Settings {
                max_size: 1,
                max_wait: MS,
                max_in_flight: 1,
                ..Settings::default()
            },
            split_on: Vec::new(),
            failures: 1,
            open_for: 5 * SECOND,
            adaptive: false,
        }
    }
}

struct Open {
    batcher: Batcher<Job, JobResult>,
    script: Script,
    circuit: Arc<Circuit>,
    observer: Arc<Observer>,
    _phase: watch::Sender<Phase>,
}

impl House {
    fn without_circuit() -> Self {
        let failures = 0;
        Self {
            failures,
            ..Self::default()
        }
    }

    fn open(self, script: impl IntoIterator<Item = Step>) -> Open {
        let steps = Script::default();
        steps.0.lock().unwrap().0.extend(script);
        let circuit = Arc::new(Circuit::new(self.failures, self.open_for));
        let (phase, current) = watch::channel(Phase::Running);
        let policy = Policy {
            results: Results::ById,
            idempotent: true,
            split_on: self.split_on,
            max_attempts: 3,
            backoff: Backoff { base: MS, cap: MS },
            patience: 5 * SECOND,
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
        let call = steps.clone();
        let processor = Processor::new(
            call,
            policy,
            budget,
            Arc::clone(&circuit),
            current,
            Arc::clone(&observer),
        );
        let processor = Arc::new(match self.adaptive {
            true => processor.adaptive(),
            false => processor,
        });
        let process = move |batch| Arc::clone(&processor).process(batch);
        Open {
            batcher: Batcher::with_batches(self.settings, process),
            script: steps,
            circuit,
            observer,
            _phase: phase,
        }
    }
}

impl Open {
    fn job(&self, id: &str, stays: Duration) -> Reply<Job, JobResult> {
        let job = Job::parse(
            &Bytes::from(format!(r#"{{"id":"{id}"}}"#)),
            crate::json::MAX_DEPTH,
        )
        .unwrap();
        let options = options(&job, Instant::now() + stays);
        self.batcher.submit_with(job, options).unwrap()
    }

    /// A caller who leaves after so long.
    async fn leaves(&self, id: &str, after: Duration) {
        let reply = self.job(id, 50 * SECOND);
        sleep(after).await;
        drop(reply);
        // Whoever is told of it has its turn.
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
    let mut house = House {
        split_on: vec![500],
        ..House::default()
    };
    house.settings.max_size = 2;
    house.settings.max_in_flight = 10;
    let slow = Step(10 * MS, 200, None);
    let house = house.open([says(500), says(500), slow, slow]);
    assert_eq!(house.outcome("a").await, Code::UpstreamError);
    advance(6 * SECOND).await;
    let (one, other) = tokio::join!(house.outcome("b"), house.outcome("c"));
    assert_eq!((one, other), (Code::Ok, Code::Ok));
    assert!(house.circuit.is_closed());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_sent_keeps_nobody_at_a_distance() {
    let mut house = House {
        open_for: 20 * SECOND,
        ..House::default()
    };
    house.settings.min_interval = 10 * SECOND;
    let house = house.open([Step(SECOND, 500, None)]);
    let first = house.job("a", 50 * SECOND);
    sleep(2 * MS).await;
    let start = Instant::now();
    let queued = ["b", "c", "d"].map(|id| house.job(id, 50 * SECOND));
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
    assert_eq!(house.outcome("e").await, Code::Ok);
    assert_eq!(house.outcome("f").await, Code::Ok);
    let waited = start.elapsed();
    assert!(waited >= 10 * SECOND, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_one_call() {
    let house = House::default().open([says(500), Step(Duration::ZERO, 503, Some(20))]);
    assert_eq!(house.outcome("a").await, Code::UpstreamError);
    advance(6 * SECOND).await;
    let start = Instant::now();
    assert_eq!(house.outcome("b").await, Code::UpstreamOverloaded);
    assert!(start.elapsed() < SECOND);
    assert_eq!(house.script.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_expired_is_in_no_second_attempt() {
    // The batch is to be sent again just when its slot comes free, and that is just
    // when one of its members has no time left.
    let mut house = House::without_circuit();
    house.settings.max_size = 2;
    let house = house.open([says(503), Step(SECOND, 200, None)]);
    let start = Instant::now();
    let hasty = house.job("hasty", SECOND);
    let patient = house.job("patient", 50 * SECOND);
    let others = ["b", "c"].map(|id| house.job(id, 50 * SECOND));
    assert_eq!(code(&hasty.await.unwrap()), Code::DeadlineExceeded);
    assert_eq!(code(&patient.await.unwrap()), Code::Ok);
    assert!(start.elapsed() >= SECOND);
    for other in others {
        assert_eq!(code(&other.await.unwrap()), Code::Ok);
    }
    let calls = house.script.calls();
    let hasty = calls.iter().filter(|call| call.contains("hasty")).count();
    assert_eq!((calls.len(), hasty), (3, 1), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_outlasts_every_caller_has_failed() {
    let hangs = Step(100 * SECOND, 200, None);
    let house = House {
        failures: 2,
        ..House::default()
    };
    let house = house.open([hangs; 4]);
    for id in ["a", "b"] {
        let result = house.job(id, 5 * SECOND).await.unwrap();
        assert_eq!(code(&result), Code::DeadlineExceeded);
    }
    assert_eq!(house.circuit.state(), "open");
}

#[tokio::test(start_paused = true)]
async fn callers_in_a_hurry_open_no_circuit() {
    let house = House::default().open([Step(3 * SECOND, 200, None); 9]);
    for id in ["a", "b", "c"] {
        let result = house.job(id, SECOND).await.unwrap();
        assert_eq!(code(&result), Code::DeadlineExceeded);
    }
    assert_eq!(house.circuit.state(), "closed");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_outlasts_every_caller_gets_fewer_calls() {
    let hangs = Step(100 * SECOND, 200, None);
    let mut house = House {
        failures: 0,
        adaptive: true,
        ..House::default()
    };
    house.settings.max_in_flight = limit::START;
    let house = house.open([hangs; 40]);
    let jobs: Vec<_> = (0..10)
        .map(|id| house.job(&id.to_string(), 5 * SECOND))
        .collect();
    for job in jobs {
        assert_eq!(code(&job.await.unwrap()), Code::DeadlineExceeded);
    }
    assert!(house.batcher.snapshot().max_in_flight < limit::START);
}

#[tokio::test(start_paused = true)]
async fn the_upstream_had_it_for_its_calls_and_not_for_the_pauses() {
    let house = House::without_circuit();
    let house = house.open([Step(SECOND, 503, Some(20)), Step(2 * SECOND, 200, None)]);
    let start = Instant::now();
    let result = house.job("a", 50 * SECOND).await.unwrap();
    assert_eq!(code(&result), Code::Ok);
    assert!(start.elapsed() >= 23 * SECOND);
    assert_eq!(result.upstream.as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn nobody_who_left_is_retried_for() {
    let mut house = House::without_circuit();
    house.settings.max_size = 2;
    let house = house.open([Step(SECOND, 503, Some(1))]);
    let leaves = house.job("leaves", 50 * SECOND);
    let hasty = house.job("hasty", SECOND + 2 * MS);
    sleep(500 * MS).await;
    drop(leaves);
    // The one that is left has no time for another attempt.
    assert_eq!(code(&hasty.await.unwrap()), Code::UpstreamOverloaded);
    assert_eq!(house.script.calls().len(), 1);
}

/// An upstream that takes 20 ms, and then hangs.
fn hangs(house: House) -> Open {
    let hangs = Step(100 * SECOND, 200, None);
    house.open([[Step(20 * MS, 200, None)].as_slice(), &[hangs; 40]].concat())
}

#[tokio::test(start_paused = true)]
async fn a_hanging_upstream_opens_the_circuit_though_its_callers_leave_first() {
    let house = hangs(House {
        failures: 2,
        ..House::default()
    });
    assert_eq!(house.outcome("a").await, Code::Ok);
    for id in ["b", "c"] {
        assert_eq!(house.circuit.state(), "closed");
        house.leaves(id, 500 * MS).await;
    }
    assert_eq!(house.circuit.state(), "open");
    assert_eq!(house.calls_counted(), [(None, 2), (Some(200), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_upstream_gets_fewer_calls_though_its_callers_leave_first() {
    let mut house = House {
        failures: 0,
        adaptive: true,
        ..House::default()
    };
    house.settings.max_in_flight = limit::START;
    let house = hangs(house);
    assert_eq!(house.outcome("a").await, Code::Ok);
    house.leaves("b", 500 * MS).await;
    assert!(house.batcher.snapshot().max_in_flight < limit::START);
}

#[tokio::test(start_paused = true)]
async fn callers_who_leave_an_upstream_that_is_as_slow_as_ever_teach_nothing() {
    // Ten times what is usual, and 100 ms where it is quick.
    for (usual, leaves) in [(20 * MS, 190 * MS), (MS, 90 * MS), (SECOND, 3 * SECOND)] {
        let hangs = Step(100 * SECOND, 200, None);
        let house = House::default().open([Step(usual, 200, None), hangs, hangs]);
        assert_eq!(house.outcome("a").await, Code::Ok);
        for id in ["b", "c"] {
            house.leaves(id, leaves).await;
        }
        assert_eq!(house.circuit.state(), "closed", "{usual:?}");
        // Each is counted all the same.
        assert_eq!(house.calls_counted(), [(None, 2), (Some(200), 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn of_an_unknown_upstream_only_most_of_the_time_that_anybody_waits_tells() {
    let hangs = Step(100 * SECOND, 200, None);
    let house = House::default().open([hangs; 9]);
    house.leaves("a", 3900 * MS).await;
    assert_eq!(house.circuit.state(), "closed");
    house.leaves("b", 4100 * MS).await;
    assert_eq!(house.circuit.state(), "open");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_told_of_before_the_pause_that_its_callers_leave_in() {
    let house = House {
        failures: 3,
        ..House::default()
    };
    let house = house.open([Step(Duration::ZERO, 503, Some(20)); 3]);
    for id in ["a", "b", "c"] {
        assert_eq!(house.circuit.state(), "closed");
        house.leaves(id, SECOND).await;
    }
    assert_eq!(house.circuit.state(), "open");
    assert_eq!(house.calls_counted(), [(Some(503), 3)]);
    // Nothing was sent again.
    assert_eq!(house.observer.metrics.total_retries(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_at_one_batch_counts() {
    let house = House {
        failures: 3,
        ..House::default()
    };
    let house = house.open([says(503), says(503), says(503)]);
    assert_eq!(house.outcome("a").await, Code::UpstreamOverloaded);
    assert_eq!(house.circuit.state(), "open");
    assert_eq!(house.calls_counted(), [(Some(503), 3)]);
    assert_eq!(house.observer.metrics.total_retries(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_is_counted_and_a_probe_that_does_is_not_lost() {
    let house = House::default().open([says(500), says(PANICS), says(200)]);
    assert_eq!(house.outcome("a").await, Code::UpstreamError);
    advance(6 * SECOND).await;
    let panicked = house.job("b", 50 * SECOND).await;
    assert!(panicked.is_err(), "{panicked:?}");
    assert_eq!(house.circuit.state(), "open");
    assert_eq!(house.outcome("c").await, Code::Ok);
    assert_eq!(house.circuit.state(), "closed");
    let counted = [(None, 1), (Some(200), 1), (Some(500), 1)];
    assert_eq!(house.calls_counted(), counted);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_leaves_the_circuit_open_though_its_caller_leaves() {
    let hangs = Step(100 * SECOND, 200, None);
    let house = House::default().open([Step(20 * MS, 200, None), says(500), hangs]);
    assert_eq!(house.outcome("a").await, Code::Ok);
    assert_eq!(house.outcome("b").await, Code::UpstreamError);
    advance(6 * SECOND).await;
    house.leaves("c", 500 * MS).await;
    assert!(house.circuit.admit(Instant::now()).is_err());
}
