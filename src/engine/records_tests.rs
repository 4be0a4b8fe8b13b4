//! Jobs for later between their store and an upstream of which the test answers every
//! call, on a paused clock.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, sleep};

use super::attempts_tests::{FAR, MS, Posted, Proxy, Rules, failed, was_taken};
use super::outcome::{JobOutcome, JobResult};
use super::{Phase, options};
use crate::batcher::{self, Batcher, Detached, Error, Options};
use crate::code::Code;
use crate::job::{Handle, Job, RouteName, State};
use crate::later::answer::Answer;
use crate::later::backlog::Claimed;
use crate::later::clock;
use crate::later::faulty_tests::{Fault, Faulty};
use crate::later::kept::Kept;
use crate::later::store::{Pending, Store};
use crate::later::{
    BatchSize, ClaimingLane, HandIn, Lane, Later, Leaves, Look, NotSent, Settings, Wanted, Withdraw,
};
use crate::observe::{Bounds, Observer, StoreStep};
use crate::shape::Shape;

pub(super) const SETTINGS: Settings = Settings {
    max_jobs: 1000,
    max_bytes: 1 << 20,
    keep: FAR,
    job_timeout: FAR,
    max_wait: SECOND,
    max_attempts: 3,
};

/// The batcher's lane, of which the answers are kept.
#[derive(Clone)]
pub(super) struct Queue(pub Batcher<Job, JobResult>, pub Later);

struct Queued(Option<Detached<Job, JobResult>>);

impl Queue {
    fn submit_with(
        &self,
        job: Job,
        deadline: Instant,
        also: impl FnOnce(Options) -> Options,
    ) -> Box<dyn Withdraw> {
        let (later, handle) = (self.1.clone(), job.handle().unwrap());
        let options = also(options(Shape::jobs(), &job, deadline));
        let on_answer = move |result| later.answered(handle, answer(result));
        let queued = self.0.submit_detached(job, options, Box::new(on_answer));
        Box::new(Queued(match queued {
            Ok(detached) => Some(detached),
            Err((_, error)) => {
                self.1.answered(handle, answer(Err(error)));
                None
            }
        }))
    }
}

impl Lane for Queue {
    fn submit(&self, _route: &RouteName, job: Job, deadline: Instant) -> Box<dyn Withdraw> {
        self.submit_with(job, deadline, |it| it)
    }

    fn claiming(&self) -> Vec<Arc<dyn ClaimingLane>> {
        vec![Arc::new(Claiming(self.clone(), RouteName::jobs()))]
    }
}

/// The same, of a store that jobs are claimed from.
pub(super) struct Claiming(pub Queue, pub RouteName);

impl ClaimingLane for Claiming {
    fn route(&self) -> &RouteName {
        &self.1
    }

    fn batch(&self) -> BatchSize {
        BatchSize {
            items: 2,
            bytes: 1 << 20,
            max_wait: SECOND,
        }
    }

    fn is_idempotent(&self) -> bool {
        false
    }

    fn wanted(&self, ready: bool) -> Pending<'_, Wanted> {
        Box::pin(async move {
            match self.0.0.detached_wanted(ready).await {
                batcher::Wanted::Batch => Wanted::Batch,
                batcher::Wanted::Riders(places) => Wanted::Riders(places.get()),
            }
        })
    }

    fn take(&self, claimed: Claimed, leaves: Leaves) -> Box<dyn Withdraw> {
        let body = Kept::from_bytes(&claimed.job).unwrap().body;
        let job = Job::parse(body, crate::json::MAX_DEPTH).unwrap();
        let deadline = clock::instant_at(claimed.deadline);
        let long_ago = Instant::now().checked_sub(SECOND).unwrap();
        self.0
            .submit_with(job.for_later(claimed.handle), deadline, |it| match leaves {
                Leaves::InTime => it,
                Leaves::AtOnce => it.arrived(long_ago),
                Leaves::Alone => it.alone(),
            })
    }

    fn fail(&self, claimed: Claimed, why: NotSent) {
        let code = match why {
            NotSent::Overdue => Code::QueueTimeout,
            NotSent::OverdueOnceSent => Code::DeadlineExceeded,
            NotSent::Interrupted => Code::Interrupted,
            NotSent::AttemptsExhausted => Code::AttemptsExhausted,
        };
        let answer = Answer::new(
            code,
            StatusCode::BAD_GATEWAY,
            &HeaderMap::new(),
            &Bytes::new(),
        );
        self.0.1.answered(claimed.handle, answer);
    }
}

impl Withdraw for Queued {
    fn withdraw(&self) {
        self.0.iter().for_each(Detached::withdraw);
    }

    fn take_back(&self) -> bool {
        self.0.as_ref().is_some_and(Detached::take_back)
    }
}

fn answer(result: Result<JobResult, Error>) -> Answer {
    let code = match result.map(|it| it.outcome) {
        Ok(JobOutcome::Failed(failure)) => failure.code(),
        Ok(_) => Code::Ok,
        Err(Error::Expired { .. }) => Code::QueueTimeout,
        Err(Error::Abandoned | Error::Closed) => Code::ShuttingDown,
        Err(_) => Code::Internal,
    };
    let status = match code {
        Code::Ok => StatusCode::OK,
        _ => StatusCode::BAD_GATEWAY,
    };
    Answer::new(code, status, &HeaderMap::new(), &bytes::Bytes::new())
}

/// A proxy, its store, and the jobs for later in it.
pub(super) struct WithLater {
    pub proxy: Proxy,
    pub later: Later,
    pub store: Arc<Faulty>,
}

impl WithLater {
    pub fn start(rules: Rules) -> Self {
        Self::with(Faulty::new(&SETTINGS), SETTINGS, rules)
    }

    pub fn with(store: Faulty, settings: Settings, rules: Rules) -> Self {
        Self::over(Arc::new(store), settings, rules)
    }

    /// With a store that jobs are claimed from.
    pub fn lasting(rules: Rules) -> Self {
        Self::with(Faulty::lasting(&SETTINGS), SETTINGS, rules)
    }

    pub fn over(store: Arc<Faulty>, settings: Settings, rules: Rules) -> Self {
        let observer = Arc::new(Observer::new(Bounds {
            max_size: 1,
            max_bytes: 1,
        }));
        let kept: Arc<dyn Store> = store.clone();
        let later = Later::new(kept, settings, [observer]);
        let proxy = Rules {
            later: Some(later.clone()),
            ..rules
        }
        .start();
        later.start(Arc::new(Queue(proxy.batcher.clone(), later.clone())));
        Self {
            proxy,
            later,
            store,
        }
    }

    pub async fn hand_in(&self, id: u64) -> Handle {
        let body = Bytes::from(format!(r#"{{"id":{id}}}"#));
        let hand_in = HandIn {
            lane: None,
            route: RouteName::jobs(),
            job: Job::parse(body, crate::json::MAX_DEPTH).unwrap(),
            stream: None,
            key: None,
            frame: crate::later::backlog::NO_FRAME,
        };
        self.later.hand_in(hand_in).await.unwrap().handle
    }

    pub async fn state(&self, handle: Handle) -> State {
        self.later
            .fetch(handle, Look::ForAnswer)
            .await
            .unwrap()
            .state
    }

    /// What a job comes to.
    pub async fn outcome(&self, handle: Handle) -> Code {
        let until = Instant::now() + FAR;
        let record = self
            .later
            .fetch_finished(handle, Look::ForAnswer, until)
            .await
            .unwrap();
        record.answer.expect("an answer").code()
    }

    pub async fn next(&mut self) -> Posted {
        self.proxy.next().await
    }

    /// Lets everything go on that can.
    pub async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    pub async fn expect_no_call(&mut self) {
        self.settle().await;
        assert!(self.proxy.calls.try_recv().is_err(), "it was sent");
    }

    pub fn open_circuit(&self) {
        let now = Instant::now();
        let permit = self.proxy.circuit.enter(now).unwrap();
        permit.tell(crate::resilience::circuit::Signal::Failed, now);
        assert_eq!(self.proxy.circuit.state(), "open");
    }
}

pub(super) fn ids(array: &Bytes) -> Vec<u64> {
    let array: Vec<serde_json::Value> = serde_json::from_slice(array).unwrap();
    array.iter().map(|it| it["id"].as_u64().unwrap()).collect()
}

pub(super) const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_job_is_told_to_be_sent_before_its_first_byte_leaves() {
    let mut it = WithLater::start(Rules::default());
    let handle = it.hand_in(1).await;
    assert_eq!(it.state(handle).await, State::Queued);
    let call = it.next().await;
    assert_eq!(it.state(handle).await, State::Sent);
    call.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
    assert_eq!(it.store.asked(StoreStep::Sent), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_its_time_has_the_call_wait_for_it() {
    let mut it = WithLater::start(Rules::careful());
    it.store.set(StoreStep::Sent, Some(Fault::Takes(SECOND)));
    let start = Instant::now();
    let handle = it.hand_in(1).await;
    let call = it.next().await;
    assert_eq!(call.at - start, SECOND);
    assert_eq!(it.state(handle).await, State::Sent);
    call.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn whose_records_are_gone_are_not_sent() {
    let mut it = WithLater::start(Rules {
        size: 2,
        ..Rules::default()
    });
    let gone = it.hand_in(1).await;
    // By somebody of whom this process does not hear.
    it.store.delete(gone).await.unwrap();
    let other = it.hand_in(2).await;
    let call = it.next().await;
    assert_eq!(ids(&call.array), [2]);
    call.take();
    assert_eq!(it.outcome(other).await, Code::Ok);
    // A batch of nobody else is no call.
    for id in [3, 4] {
        let gone = it.hand_in(id).await;
        it.store.delete(gone).await.unwrap();
    }
    it.expect_no_call().await;
    assert_eq!(it.proxy.batcher.snapshot().in_flight, 0);
    assert_eq!(it.later.counts().total().finished, [(Code::Ok, 1)]);
    assert_eq!(it.later.withdrawals(), 0);
}

#[tokio::test(start_paused = true)]
async fn during_a_pause_a_job_is_queued_again() {
    let mut it = WithLater::start(Rules::default());
    let handle = it.hand_in(1).await;
    it.next().await.refuse();
    it.settle().await;
    assert_eq!(it.state(handle).await, State::Queued);
    let call = it.next().await;
    assert_eq!(it.state(handle).await, State::Sent);
    call.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
    // Sent, queued again, and sent again.
    assert_eq!(it.store.asked(StoreStep::Sent), 3);
}

#[tokio::test(start_paused = true)]
async fn a_job_deleted_in_a_pause_is_not_sent_again() {
    let mut it = WithLater::start(Rules::default());
    let handle = it.hand_in(1).await;
    it.next().await.refuse();
    it.settle().await;
    it.store.delete(handle).await.unwrap();
    sleep(10 * SECOND).await;
    it.expect_no_call().await;
    assert_eq!(it.proxy.batcher.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_jobs_for_later_wait() {
    for fault in [Fault::NotCommitted, Fault::Unanswered] {
        let mut it = WithLater::start(Rules::default());
        let handle = it.hand_in(1).await;
        it.store.set(StoreStep::Sent, Some(fault));
        sleep(10 * SECOND).await;
        it.expect_no_call().await;
        let asked = it.store.asked(StoreStep::Sent);
        assert!((5..=15).contains(&asked), "asked {asked} times");
        it.store.set(StoreStep::Sent, None);
        it.next().await.take();
        assert_eq!(it.outcome(handle).await, Code::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn callers_notice_nothing_of_a_store_that_is_away() {
    let faults = [Fault::NotCommitted, Fault::Unanswered, Fault::Hangs];
    for fault in faults.into_iter().chain([Fault::Takes(SECOND)]) {
        let mut it = WithLater::start(Rules {
            size: 2,
            max_wait: MS,
            ..Rules::careful()
        });
        let handle = it.hand_in(1).await;
        it.store.set(StoreStep::Sent, Some(fault));
        let start = Instant::now();
        let caller = it.proxy.job(2);
        let call = it.next().await;
        assert_eq!(
            (call.at - start, ids(&call.array)),
            (MS, vec![2]),
            "{fault:?}"
        );
        call.take();
        assert!(was_taken(caller).await);
        it.store.set(StoreStep::Sent, None);
        assert_eq!(ids(&it.next().await.array), [1]);
        assert_eq!(it.state(handle).await, State::Sent);
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_ride_along_where_the_store_answers_at_once_alone() {
    for fault in [None, Some(Fault::Takes(MS))] {
        let mut it = WithLater::start(Rules {
            size: 2,
            max_wait: MS,
            ..Rules::careful()
        });
        it.store.set(StoreStep::Sent, fault);
        let handle = it.hand_in(1).await;
        let caller = it.proxy.job(2);
        let call = it.next().await;
        match fault {
            None => assert_eq!(ids(&call.array), [2, 1]),
            Some(_) => assert_eq!(ids(&call.array), [2]),
        }
        call.take();
        assert!(was_taken(caller).await);
        if fault.is_some() {
            it.next().await.take();
        }
        assert_eq!(it.outcome(handle).await, Code::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_retry_may_not_be_sent_the_job_has_its_failure() {
    let mut it = WithLater::start(Rules::default());
    let handle = it.hand_in(1).await;
    let call = it.next().await;
    it.settle().await;
    call.refuse();
    it.settle().await;
    it.store.set(StoreStep::Sent, Some(Fault::NotCommitted));
    assert_eq!(it.outcome(handle).await, Code::UpstreamUnreachable);
    it.expect_no_call().await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_on_for_callers_where_the_store_is_away() {
    let mut it = WithLater::start(Rules {
        size: 2,
        max_wait: MS,
        ..Rules::default()
    });
    let handle = it.hand_in(1).await;
    let caller = it.proxy.job(2);
    let call = it.next().await;
    assert_eq!(ids(&call.array), [2, 1]);
    call.refuse();
    it.settle().await;
    it.store.set(StoreStep::Sent, Some(Fault::NotCommitted));
    let call = it.next().await;
    assert_eq!(ids(&call.array), [2]);
    call.take();
    assert!(was_taken(caller).await);
    assert_eq!(it.outcome(handle).await, Code::UpstreamUnreachable);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_queued_again_is_sent_as_it_is() {
    let mut it = WithLater::start(Rules::default());
    let handle = it.hand_in(1).await;
    let call = it.next().await;
    it.store.set(StoreStep::Sent, Some(Fault::NotCommitted));
    call.refuse();
    it.next().await.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn while_the_circuit_is_open_jobs_wait_and_then_probe() {
    let mut it = WithLater::start(Rules {
        failures: 1,
        ..Rules::default()
    });
    it.open_circuit();
    let start = Instant::now();
    let handle = it.hand_in(1).await;
    sleep(500 * MS).await;
    it.expect_no_call().await;
    assert_eq!(it.state(handle).await, State::Queued);
    // A caller does not wait.
    let caller = it.proxy.job(2);
    assert_eq!(failed(caller).await.code(), Code::CircuitOpen);
    let call = it.next().await;
    assert_eq!(call.at - start, SECOND);
    assert_eq!(it.proxy.circuit.state(), "probing");
    call.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
    assert_eq!(it.proxy.circuit.state(), "closed");
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_callers_fails_for_them_alone_while_the_circuit_is_open() {
    let mut it = WithLater::start(Rules {
        size: 2,
        max_wait: MS,
        failures: 1,
        ..Rules::default()
    });
    let handle = it.hand_in(1).await;
    it.open_circuit();
    let caller = it.proxy.job(2);
    assert_eq!(failed(caller).await.code(), Code::CircuitOpen);
    assert_eq!(it.state(handle).await, State::Queued);
    it.next().await.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn once_the_circuit_is_closed_what_was_held_leaves() {
    let mut it = WithLater::start(Rules {
        slots: 2,
        failures: 1,
        ..Rules::default()
    });
    it.open_circuit();
    sleep(SECOND).await;
    let caller = it.proxy.job(1);
    let probe = it.next().await;
    let start = Instant::now();
    let handle = it.hand_in(2).await;
    sleep(100 * MS).await;
    it.expect_no_call().await;
    probe.take();
    assert!(was_taken(caller).await);
    let call = it.next().await;
    assert_eq!(call.at - start, 100 * MS);
    call.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_which_nobody_is_left_leaves_its_place() {
    let mut it = WithLater::start(Rules {
        failures: 1,
        ..Rules::default()
    });
    it.open_circuit();
    sleep(SECOND).await;
    let gone = it.hand_in(1).await;
    it.store.delete(gone).await.unwrap();
    it.settle().await;
    assert_eq!(it.proxy.circuit.state(), "open");
    it.hand_in(2).await;
    assert_eq!(ids(&it.next().await.array), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_does_not_outlast_a_deadline() {
    let settings = Settings {
        job_timeout: SECOND,
        max_wait: SECOND,
        max_attempts: 3,
        ..SETTINGS
    };
    let it = WithLater::with(Faulty::new(&SETTINGS), settings, Rules::careful());
    it.store.set(StoreStep::Sent, Some(Fault::Hangs));
    let start = Instant::now();
    let handle = it.hand_in(1).await;
    assert_eq!(it.outcome(handle).await, Code::DeadlineExceeded);
    assert!(start.elapsed() <= SECOND + MS);
    assert_eq!(it.proxy.batcher.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_does_not_outlast_the_process() {
    let it = WithLater::start(Rules::careful());
    it.store.set(StoreStep::Sent, Some(Fault::Hangs));
    let handle = it.hand_in(1).await;
    it.settle().await;
    it.proxy.phase.send_replace(Phase::GivingUp);
    assert_eq!(it.outcome(handle).await, Code::ShuttingDown);
}

#[tokio::test(start_paused = true)]
async fn deleting_the_last_job_of_a_call_aborts_it() {
    let mut it = WithLater::start(Rules::default());
    let handle = it.hand_in(1).await;
    let _call = it.next().await;
    assert_eq!(it.later.delete(handle).await, Ok(State::Sent));
    it.settle().await;
    assert_eq!(it.proxy.batcher.snapshot().in_flight, 0);
    assert_eq!(it.later.counts().total().finished, []);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_jobs_for_later_waited_is_not_counted_as_callers() {
    let mut it = WithLater::start(Rules {
        size: 2,
        max_wait: MS,
        ..Rules::default()
    });
    let longest = |it: &WithLater| {
        let recent = it
            .proxy
            .observer
            .recent(|| it.proxy.batcher.snapshot(), None);
        let seconds = recent.last(300);
        let jobs = seconds.iter().map(|it| it.batch_jobs).sum::<u64>();
        let waits = seconds.iter().map(|it| it.wait.clone());
        let wait = waits.reduce(|mut one, other| {
            one.merge(&other);
            one
        });
        (jobs, wait.and_then(|it| it.quantile_ms(1.0)))
    };
    let alone = it.hand_in(1).await;
    it.next().await.take();
    assert_eq!(it.outcome(alone).await, Code::Ok);
    assert_eq!(longest(&it), (1, None));
    it.hand_in(2).await;
    sleep(500 * MS).await;
    let caller = it.proxy.job(3);
    it.next().await.take();
    assert!(was_taken(caller).await);
    sleep(2 * SECOND).await;
    let (jobs, wait) = longest(&it);
    assert_eq!(jobs, 3);
    assert!(wait.unwrap() < 5.0, "{wait:?} ms");
}

#[tokio::test(start_paused = true)]
async fn a_half_is_not_sent_where_the_store_is_away() {
    let mut it = WithLater::start(Rules {
        size: 2,
        slots: 2,
        split_on: vec![413],
        ..Rules::default()
    });
    let handles = [it.hand_in(1).await, it.hand_in(2).await];
    let paused = it.next().await;
    let others = [it.hand_in(3).await, it.hand_in(4).await];
    let too_large = it.next().await;
    paused.refuse();
    it.settle().await;
    assert_eq!(it.state(handles[0]).await, State::Queued);
    // Which has the first split before it is sent again.
    too_large.status(413, None);
    for other in others {
        it.next().await.take();
        assert_eq!(it.outcome(other).await, Code::Ok);
    }
    it.store.set(StoreStep::Sent, Some(Fault::NotCommitted));
    for handle in handles {
        assert_eq!(it.outcome(handle).await, Code::UpstreamUnreachable);
    }
    it.expect_no_call().await;
    assert_eq!(it.proxy.batcher.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_half_that_meets_an_open_circuit_waits_for_it_unless_callers_do() {
    let mut it = WithLater::start(Rules {
        size: 4,
        max_wait: MS,
        failures: 1,
        split_on: vec![413],
        ..Rules::default()
    });
    let handle = it.hand_in(1).await;
    let callers = [2, 3, 4].map(|id| it.proxy.job(id));
    let call = it.next().await;
    assert_eq!(ids(&call.array), [2, 3, 4, 1]);
    call.status(413, None);
    let call = it.next().await;
    assert_eq!(ids(&call.array), [2, 3]);
    let start = Instant::now();
    call.refuse();
    let [one, other, third] = callers;
    for caller in [one, other] {
        assert_eq!(failed(caller).await.code(), Code::UpstreamUnreachable);
    }
    assert_eq!(failed(third).await.code(), Code::CircuitOpen);
    it.settle().await;
    assert_eq!(it.state(handle).await, State::Queued);
    assert_eq!(it.proxy.batcher.snapshot().in_flight, 0);
    let call = it.next().await;
    assert_eq!((call.at - start, ids(&call.array)), (SECOND, vec![1]));
    assert_eq!(it.state(handle).await, State::Sent);
    call.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_nothing_is_sent_takes_no_interval() {
    let mut it = WithLater::start(Rules {
        interval: 60 * SECOND,
        ..Rules::default()
    });
    let gone = it.hand_in(1).await;
    it.store.delete(gone).await.unwrap();
    it.settle().await;
    it.store.set(StoreStep::Sent, Some(Fault::NotCommitted));
    let start = Instant::now();
    let handle = it.hand_in(2).await;
    it.settle().await;
    it.store.set(StoreStep::Sent, None);
    let call = it.next().await;
    assert_eq!((call.at - start, ids(&call.array)), (SECOND, vec![2]));
    call.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn at_a_drain_nothing_waits_for_an_open_circuit() {
    let mut it = WithLater::start(Rules {
        failures: 1,
        ..Rules::default()
    });
    it.open_circuit();
    let start = Instant::now();
    let handle = it.hand_in(1).await;
    it.settle().await;
    assert_eq!(it.state(handle).await, State::Queued);
    it.proxy.batcher.close();
    it.proxy.phase.send_replace(Phase::Draining);
    assert_eq!(it.outcome(handle).await, Code::CircuitOpen);
    it.proxy.batcher.vacated().await;
    assert_eq!(start.elapsed(), std::time::Duration::ZERO);
    it.expect_no_call().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_call_has_opened_the_circuit_waits_for_it() {
    let mut it = WithLater::start(Rules {
        size: 2,
        max_wait: MS,
        failures: 1,
        ..Rules::default()
    });
    let handle = it.hand_in(1).await;
    let caller = it.proxy.job(2);
    let call = it.next().await;
    assert_eq!(ids(&call.array), [2, 1]);
    let start = Instant::now();
    call.refuse();
    // Who does not.
    assert_eq!(failed(caller).await.code(), Code::UpstreamUnreachable);
    it.settle().await;
    assert_eq!(it.state(handle).await, State::Queued);
    assert_eq!(it.proxy.batcher.snapshot().in_flight, 0);
    let call = it.next().await;
    assert_eq!((call.at - start, ids(&call.array)), (SECOND, vec![1]));
    assert_eq!(it.proxy.circuit.state(), "probing");
    assert_eq!(it.state(handle).await, State::Sent);
    // It has had its attempts.
    call.refuse();
    assert_eq!(it.outcome(handle).await, Code::UpstreamUnreachable);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_opens_in_a_pause_is_waited_for() {
    let mut it = WithLater::start(Rules {
        failures: 2,
        slots: 2,
        ..Rules::default()
    });
    let handle = it.hand_in(1).await;
    it.next().await.refuse();
    it.settle().await;
    let start = Instant::now();
    let caller = it.proxy.job(2);
    it.next().await.refuse();
    assert_eq!(failed(caller).await.code(), Code::UpstreamUnreachable);
    let call = it.next().await;
    assert!(call.at - start >= SECOND);
    assert_eq!(
        (ids(&call.array), it.proxy.circuit.state()),
        (vec![1], "probing")
    );
    call.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
    it.expect_no_call().await;
}

#[tokio::test(start_paused = true)]
async fn no_probe_waits_for_a_store() {
    let mut it = WithLater::start(Rules {
        slots: 2,
        failures: 1,
        ..Rules::careful()
    });
    it.open_circuit();
    sleep(SECOND).await;
    it.store.set(StoreStep::Sent, Some(Fault::Takes(SECOND)));
    let start = Instant::now();
    let handle = it.hand_in(1).await;
    it.settle().await;
    assert_eq!(it.proxy.circuit.state(), "open");
    let caller = it.proxy.job(2);
    let probe = it.next().await;
    assert_eq!((probe.at, ids(&probe.array)), (start, vec![2]));
    sleep(2 * SECOND).await;
    // That is under way, and the other has waited for its store in vain.
    it.expect_no_call().await;
    assert_eq!(it.state(handle).await, State::Queued);
    it.store.set(StoreStep::Sent, None);
    probe.take();
    assert!(was_taken(caller).await);
    it.next().await.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_sent_twice_waits_for_no_store() {
    let mut it = WithLater::start(Rules::default());
    it.store.set(StoreStep::Sent, Some(Fault::Takes(50 * MS)));
    let start = Instant::now();
    let handle = it.hand_in(1).await;
    let call = it.next().await;
    assert_eq!(call.at, start);
    assert_eq!(it.state(handle).await, State::Queued);
    sleep(60 * MS).await;
    assert_eq!(it.state(handle).await, State::Sent, "it is written");
    call.take();
    assert_eq!(it.outcome(handle).await, Code::Ok);
    // Unless the store says that it is away.
    it.store.set(StoreStep::Sent, Some(Fault::NotCommitted));
    let _waits = it.hand_in(2).await;
    it.expect_no_call().await;
}
