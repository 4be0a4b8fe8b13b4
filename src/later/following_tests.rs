//! Routes that change, come and go, and bounds that do, while jobs wait in a store that lasts.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lasting_tests::{Process, SECOND, SETTINGS, answer, at_once, job_of, settle};
use super::{NotSent, Settings};
use crate::job::State;

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_claimed_for_the_new_form() {
    let process = Process::new();
    process.lane.wants(2, 0);
    let handles = process.hand_in(1..=6).await;
    assert_eq!(process.lane.taken(), at_once(&[1, 2, 3, 4, 5, 6]));
    let [changed] = &process.serves(&["jobs"], false).await[..] else {
        panic!("one");
    };
    assert_eq!(process.store.claimed(), 0);
    for handle in &handles {
        assert_eq!(process.state(*handle).await, State::Queued);
    }
    changed.wants(2, 0);
    settle().await;
    assert_eq!(changed.taken(), at_once(&[1, 2, 3, 4, 5, 6]));
    assert_eq!(process.later.withdrawals(), 6);
    let counts = process.later.counts().total();
    assert_eq!((counts.accepted, counts.present), (6, [0, 6, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_stays_with_the_form_that_sent_it() {
    let process = Process::new();
    process.lane.wants(1, 0);
    let handles = process.hand_in(1..=3).await;
    *process.lane.sent.lock().unwrap() = true;
    let changed = process.serves(&["jobs"], false).await;
    changed[0].wants(9, 9);
    settle().await;
    assert_eq!((changed[0].taken(), process.store.claimed()), (vec![], 3));
    for handle in &handles {
        process.later.answered(*handle, answer(200));
    }
    settle().await;
    for handle in handles {
        assert_eq!(process.state(handle).await, State::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_comes_is_claimed_for_at_once() {
    let process = Process::new();
    let other = process.later.hand_in(job_of("other", 1)).await.unwrap();
    sleep(2 * SECOND).await;
    let lanes = process.serves(&["jobs", "other"], false).await;
    lanes[1].wants(1, 0);
    settle().await;
    assert_eq!(lanes[1].taken(), at_once(&[1]));
    assert_eq!(process.state(other.handle).await, State::Sent);
    // What is handed in from here on too.
    process.later.hand_in(job_of("other", 2)).await.unwrap();
    lanes[1].wants(1, 0);
    sleep(2 * SECOND).await;
    assert_eq!(lanes[1].taken(), at_once(&[1, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_route_that_goes_has_its_jobs_wait_until_it_comes_again() {
    let process = Process::new();
    process.lane.wants(1, 0);
    let handles = process.hand_in(1..=4).await;
    let others = process.serves(&["other"], false).await;
    others[0].wants(9, 9);
    sleep(SETTINGS.job_timeout / 2).await;
    for handle in &handles {
        assert_eq!(process.state(*handle).await, State::Queued);
    }
    assert_eq!((others[0].taken(), others[0].failed()), (vec![], vec![]));
    let again = process.serves(&["other", "jobs"], false).await;
    again[1].wants(2, 0);
    settle().await;
    assert_eq!(again[1].taken(), at_once(&[1, 2, 3, 4]));
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_route_that_has_gone_are_answered_when_they_are_overdue() {
    let process = Process::new();
    process.lane.wants(1, 0);
    let handles = process.hand_in(1..=3).await;
    process.serves(&["other"], false).await;
    let before = Instant::now();
    sleep(SETTINGS.job_timeout + SECOND).await;
    for handle in &handles {
        assert_eq!(process.state(*handle).await, State::Failed);
    }
    let late = before.elapsed();
    assert!(late <= SETTINGS.job_timeout + SECOND, "{late:?}");
    assert_eq!(process.later.counts().total().present, [0, 0, 0, 3]);
}

#[tokio::test(start_paused = true)]
async fn whether_a_job_may_be_sent_twice_is_as_its_route_is_by_now() {
    let process = Process::new();
    process.serves(&["jobs"], true).await[0].wants(1, 0);
    process.hand_in(1..=3).await;
    let next = process.crash(true).await;
    let lanes = next.serves(&["jobs"], false).await;
    settle().await;
    let first = next.lane.taken().len() + lanes[0].failed().len();
    assert!(first > 0);
    lanes[0].wants(9, 9);
    sleep(10 * SECOND).await;
    let failed = lanes[0].failed();
    assert!(
        failed.iter().all(|it| it.1 == NotSent::Interrupted),
        "{failed:?}"
    );
    assert_eq!(next.lane.taken(), []);
    assert_eq!(failed.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn bounds_are_set_of_what_is_there_already() {
    let process = Process::new();
    let set = |settings| process.later.set(settings, Duration::ZERO);
    process.lane.wants(1, 0);
    let handles = process.hand_in(1..=3).await;
    process.later.answered(handles[0], answer(200));
    settle().await;
    let first = process.later.fetch(handles[0], super::Look::ForState).await;
    let first = first.unwrap().expires_at;
    set(Settings {
        max_jobs: 3,
        keep: 5 * SECOND,
        ..SETTINGS
    });
    assert!(process.later.hand_in(job_of("jobs", 4)).await.is_err());
    process.later.answered(handles[1], answer(200));
    settle().await;
    sleep(4 * SECOND).await;
    assert_eq!(process.later.counts().total().present, [0, 1, 2, 0]);
    // It expires by the new time, though one that was finished before is kept for longer.
    sleep(2 * SECOND).await;
    assert_eq!(process.later.counts().total().present, [0, 1, 1, 0]);
    let still = process.later.fetch(handles[0], super::Look::ForState).await;
    assert_eq!(still.unwrap().expires_at, first, "it was told so");
    assert!(process.later.hand_in(job_of("jobs", 5)).await.is_ok());
    set(SETTINGS);
    let (made, deadline) = (super::clock::now(), SETTINGS.job_timeout + SETTINGS.keep);
    let record = process.later.hand_in(job_of("jobs", 6)).await.unwrap();
    assert_eq!(record.expires_at, made + super::clock::millis(deadline));
    // Deadlines are no other than before.
    sleep(SETTINGS.job_timeout + SECOND).await;
    assert_eq!(process.later.counts().total().present[1], 1, "it was sent");
    assert_eq!(process.lane.failed().len(), 2);
}
