//! Jobs of a store that lasts, between it and an upstream of which the test answers every
//! call, on a paused clock.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Phase;
use super::attempts_tests::{MS, Rules, failed, was_taken};
use super::outcome::JobResult;
use super::records_tests::{SECOND, SETTINGS, WithLater, ids};
use crate::batcher::Reply;
use crate::code::Code;
use crate::job::{Handle, Job, State};
use crate::later::faulty_tests::Fault;
use crate::later::store::Store;
use crate::observe::StoreStep;

/// Batches of two, that callers wait a moment for.
fn of_two() -> Rules {
    Rules {
        size: 2,
        max_wait: MS,
        ..Rules::careful()
    }
}

impl WithLater {
    /// Ends as a process does, but for what is committed last.
    async fn drain(&self) {
        self.later.close();
        self.later.all_queued().await;
        self.proxy.batcher.close();
        self.proxy.phase.send_replace(Phase::Draining);
        self.proxy.batcher.vacated().await;
        self.later.all_queued().await;
        assert_eq!(self.later.withdrawals(), 0);
    }

    /// The job waits in the store, and the next process has it sent.
    async fn done_by_the_next(self, handle: Handle) {
        assert_eq!(self.state(handle).await, State::Queued);
        let mut next = Self::over(self.store.clone(), SETTINGS, of_two());
        next.next().await.take();
        assert_eq!(next.outcome(handle).await, Code::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claimed_job_is_sent_without_waiting_for_its_store() {
    let mut it = WithLater::lasting(of_two());
    let start = Instant::now();
    let handles = [it.hand_in(1).await, it.hand_in(2).await];
    let call = it.next().await;
    let mut sent = ids(&call.array);
    // Handles of one moment have any order.
    sent.sort_unstable();
    assert_eq!((call.at - start, sent), (Duration::ZERO, vec![1, 2]));
    call.take();
    for handle in handles {
        assert_eq!(it.outcome(handle).await, Code::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_that_were_claimed_beforehand_ride_along() {
    let mut it = WithLater::lasting(of_two());
    let waits = it.hand_in(1).await;
    it.settle().await;
    assert_eq!(it.state(waits).await, State::Queued);
    // Whose batch tells that there are free places.
    let caller = it.proxy.job(2);
    let call = it.next().await;
    assert_eq!(ids(&call.array), [2]);
    it.settle().await;
    call.take();
    assert!(was_taken(caller).await);
    let start = Instant::now();
    let caller = it.proxy.job(3);
    let call = it.next().await;
    assert_eq!((call.at - start, ids(&call.array)), (MS, vec![3, 1]));
    call.take();
    assert!(was_taken(caller).await);
    assert_eq!(it.outcome(waits).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn at_a_drain_a_job_in_a_pause_waits_in_its_store() {
    let mut it = WithLater::lasting(Rules::careful());
    let handle = it.hand_in(1).await;
    it.next().await.refuse();
    it.settle().await;
    let start = Instant::now();
    it.drain().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(it.later.counts().total().finished, []);
    it.done_by_the_next(handle).await;
}

#[tokio::test(start_paused = true)]
async fn at_a_drain_a_job_that_would_have_paused_waits_in_its_store() {
    let mut it = WithLater::lasting(Rules::careful());
    let handle = it.hand_in(1).await;
    let call = it.next().await;
    let refusing = tokio::spawn(async move {
        sleep(SECOND).await;
        call.refuse();
    });
    it.drain().await;
    refusing.await.unwrap();
    it.done_by_the_next(handle).await;
}

#[tokio::test(start_paused = true)]
async fn at_a_drain_a_job_that_waits_for_the_circuit_waits_in_its_store() {
    for was_sent in [true, false] {
        let mut it = WithLater::lasting(Rules {
            failures: 1,
            ..Rules::careful()
        });
        let handle = match was_sent {
            true => {
                let handle = it.hand_in(1).await;
                it.next().await.refuse();
                handle
            }
            false => {
                it.open_circuit();
                it.hand_in(1).await
            }
        };
        it.settle().await;
        assert_eq!(it.proxy.circuit.state(), "open");
        it.drain().await;
        it.done_by_the_next(handle).await;
    }
}

#[tokio::test(start_paused = true)]
async fn at_a_drain_callers_beside_it_have_their_failure() {
    let mut it = WithLater::lasting(of_two());
    let (handle, caller) = riding(&mut it).await;
    it.next().await.refuse();
    it.settle().await;
    it.drain().await;
    assert_eq!(failed(caller).await.code(), Code::UpstreamUnreachable);
    it.done_by_the_next(handle).await;
}

/// A job that leaves beside a caller's.
async fn riding(it: &mut WithLater) -> (Handle, Reply<Job, JobResult>) {
    let first = it.proxy.job(9);
    let call = it.next().await;
    let handle = it.hand_in(1).await;
    it.settle().await;
    // Asked for the first time, the lane has noted nothing as yet.
    call.take();
    assert!(was_taken(first).await);
    let second = it.proxy.job(8);
    it.next().await.take();
    assert!(was_taken(second).await);
    it.settle().await;
    let caller = it.proxy.job(2);
    (handle, caller)
}

#[tokio::test(start_paused = true)]
async fn a_retry_beside_callers_has_the_time_of_its_pause_for_the_store() {
    for (fault, goes) in [
        (None, true),
        (Some(Fault::Takes(50 * MS)), true),
        (Some(Fault::Takes(10 * SECOND)), false),
        (Some(Fault::Hangs), false),
    ] {
        // A pause may be any part of its time: this one is no shorter than the store takes.
        fastrand::seed(1);
        let mut it = WithLater::lasting(of_two());
        let (handle, caller) = riding(&mut it).await;
        let call = it.next().await;
        assert_eq!(ids(&call.array), [2, 1]);
        it.store.set(StoreStep::Sent, fault);
        let start = Instant::now();
        call.refuse();
        let call = it.next().await;
        assert!(call.at - start <= SECOND, "no caller waits for a store");
        match goes {
            true => assert_eq!(ids(&call.array), [2, 1]),
            false => assert_eq!(ids(&call.array), [2]),
        }
        call.take();
        assert!(was_taken(caller).await);
        let code = match goes {
            true => Code::Ok,
            false => Code::UpstreamUnreachable,
        };
        assert_eq!(it.outcome(handle).await, code, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_claim_is_lost_in_a_pause_is_not_sent_and_not_answered() {
    let mut it = WithLater::lasting(Rules::careful());
    let handle = it.hand_in(1).await;
    it.next().await.refuse();
    it.settle().await;
    // It is nobody's, and there for others.
    it.later.close();
    let backlog = it.store.backlog().unwrap();
    backlog.release(vec![handle]).await.unwrap();
    sleep(10 * SECOND).await;
    it.expect_no_call().await;
    assert_eq!(it.state(handle).await, State::Queued);
    assert_eq!(it.later.counts().total().finished, []);
    assert_eq!(it.proxy.batcher.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_half_whose_claim_is_lost_is_not_sent() {
    let mut it = WithLater::lasting(Rules {
        split_on: vec![413],
        ..of_two()
    });
    let [lost, kept] = [it.hand_in(1).await, it.hand_in(2).await];
    let call = it.next().await;
    assert_eq!(ids(&call.array).len(), 2);
    it.later.close();
    let backlog = it.store.backlog().unwrap();
    backlog.release(vec![lost]).await.unwrap();
    call.status(413, None);
    let call = it.next().await;
    assert_eq!(ids(&call.array), [2]);
    call.take();
    assert_eq!(it.outcome(kept).await, Code::Ok);
    it.expect_no_call().await;
    assert_eq!(it.state(lost).await, State::Queued);
    assert_eq!(it.proxy.batcher.snapshot().in_flight, 0);
}
