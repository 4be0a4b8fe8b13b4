//! What is wanted of whoever submits detached items in time, on a paused clock.

use std::num::NonZero;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use super::detached_tests::{Answers, settings};
use super::tests::{FAR, Job, MS, answer, by_hand, keys, submit};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

type Jobs = Batcher<Job, u64>;

fn riders(places: usize) -> Wanted {
    Wanted::Riders(NonZero::new(places).unwrap())
}

/// What is wanted at this moment.
fn wanted(batcher: &Jobs, ready: bool) -> Option<Wanted> {
    batcher.detached_wanted(ready).now_or_never()
}

/// Somebody who waits until something is.
async fn waits(batcher: &Jobs, ready: bool) -> JoinHandle<Wanted> {
    let batcher = batcher.clone();
    let waits = tokio::spawn(async move { batcher.detached_wanted(ready).await });
    yield_now().await;
    assert!(!waits.is_finished());
    waits
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_wanted_while_the_lane_holds_less_than_one() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    assert_eq!(wanted(&batcher, false), None);
    for key in 1..=3 {
        // None of these are there, as long as nothing is ready.
        assert_eq!(wanted(&batcher, true), Some(Wanted::Batch));
        answers.submit(&batcher, key);
    }
    assert_eq!(wanted(&batcher, true), None);
    let waits_for_it = waits(&batcher, true).await;
    // The slot is taken by those, and the next are claimed meanwhile.
    let first = batches.recv().await.unwrap();
    assert_eq!(waits_for_it.await.unwrap(), Wanted::Batch);
    (4..=6).for_each(|key| drop(answers.submit(&batcher, key)));
    let ahead = waits(&batcher, true).await;
    sleep(60 * SECOND).await;
    assert!(!ahead.is_finished(), "no more than one ahead");
    answer(first);
    assert_eq!(keys(&batches.recv().await.unwrap()), [4, 5, 6]);
    assert_eq!(ahead.await.unwrap(), Wanted::Batch);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_full_of_bytes_or_of_heavy_items_holds_a_batch() {
    for heavy in [
        |it: Options| it.weight(3),
        |it: Options| it.bytes(1 << 20).weight(1),
        Options::alone,
    ] {
        let (batcher, _batches) = by_hand(settings());
        batcher.hold_detached(Some(Instant::now() + SECOND));
        let answers = Answers::default();
        assert_eq!(wanted(&batcher, true), None, "held");
        batcher.hold_detached(None);
        assert_eq!(wanted(&batcher, true), Some(Wanted::Batch));
        let bytes = |it| heavy(it);
        answers.submit_also(&batcher, Job(1, 1), bytes);
        answers.submit_also(&batcher, Job(2, 1), |it| it);
        assert_eq!(wanted(&batcher, true), None);
    }
}

#[tokio::test(start_paused = true)]
async fn as_much_is_wanted_as_callers_leave_free_once_for_each_batch() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let first = waits(&batcher, false).await;
    let reply = submit(&batcher, 9);
    let batch = batches.recv().await.unwrap();
    assert_eq!(first.await.unwrap(), riders(2));
    assert_eq!(wanted(&batcher, false), None, "there were none");
    answers.submit(&batcher, 1);
    let second = waits(&batcher, false).await;
    answer(batch);
    // What rides leaves as many places free as if it had not.
    let other = submit(&batcher, 8);
    let batch = batches.recv().await.unwrap();
    assert_eq!(keys(&batch), [8, 1]);
    assert_eq!(second.await.unwrap(), riders(2));
    // The lane holds one of those that the next batch has room for.
    answers.submit(&batcher, 2);
    answer(batch);
    let _others = [3, 4].map(|key| submit(&batcher, key));
    batcher.hold_detached(Some(Instant::now() + 6 * MS));
    let batch = batches.recv().await.unwrap();
    assert_eq!(keys(&batch), [3, 4]);
    sleep(6 * MS).await;
    assert_eq!(wanted(&batcher, false), None);
    answer(batch);
    drop((reply, other));
}

#[tokio::test(start_paused = true)]
async fn full_batches_of_callers_want_nothing() {
    let (batcher, mut batches) = by_hand(settings());
    let asks = waits(&batcher, false).await;
    let replies: Vec<_> = (1..=3).map(|key| submit(&batcher, key)).collect();
    answer(batches.recv().await.unwrap());
    sleep(FAR).await;
    assert!(!asks.is_finished());
    // Weights are what counts.
    let heavy = batcher.submit_with(Job(4, 1), Options::default().weight(2));
    answer(batches.recv().await.unwrap());
    assert_eq!(asks.await.unwrap(), riders(1));
    drop((replies, heavy));
}

#[tokio::test(start_paused = true)]
async fn the_free_places_of_the_last_batch_are_remembered_for_whoever_has_asked() {
    let (batcher, mut batches) = by_hand(settings());
    drop(submit(&batcher, 1));
    let _reply = submit(&batcher, 2);
    answer(batches.recv().await.unwrap());
    assert_eq!(wanted(&batcher, false), None, "nobody had asked");
    let _reply = submit(&batcher, 3);
    answer(batches.recv().await.unwrap());
    assert_eq!(wanted(&batcher, false), Some(riders(2)));
    assert_eq!(wanted(&batcher, false), None);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_wanted_of_a_lane_that_is_held_or_closed() {
    let (batcher, _batches) = by_hand(settings());
    let start = Instant::now();
    batcher.hold_detached(Some(start + SECOND));
    let asks = waits(&batcher, true).await;
    assert_eq!(asks.await.unwrap(), Wanted::Batch);
    assert_eq!(start.elapsed(), SECOND);
    batcher.hold_detached(Some(start + FAR));
    let asks = waits(&batcher, true).await;
    batcher.hold_detached(None);
    assert_eq!(asks.await.unwrap(), Wanted::Batch);
    assert_eq!(start.elapsed(), SECOND);
    batcher.pause_detached(start + 2 * SECOND);
    assert_eq!(batcher.detached_wanted(true).await, Wanted::Batch);
    assert_eq!(start.elapsed(), 2 * SECOND);
    batcher.close();
    let asks = waits(&batcher, true).await;
    sleep(FAR).await;
    assert!(!asks.is_finished());
}

#[tokio::test(start_paused = true)]
async fn whatever_takes_items_out_of_the_lane_has_more_wanted() {
    for way in 0..3 {
        let (batcher, _batches) = by_hand(Settings {
            max_size: 2,
            detached_max_wait: FAR,
            ..settings()
        });
        let answers = Answers::default();
        // Kept apart by their key: they are a batch's worth, and do not fill one.
        let due = Instant::now() + SECOND;
        let same = || answers.submit_also(&batcher, Job(1, 1), |it| it.deadline(due + FAR));
        let first = same();
        let last = answers.submit_also(&batcher, Job(1, 1), |it| it.deadline(due));
        batcher.pause_detached(Instant::now());
        let asks = waits(&batcher, true).await;
        match way {
            0 => first.withdraw(),
            1 => assert!(last.take_back()),
            _ => sleep(SECOND + MS).await,
        }
        assert_eq!(asks.await.unwrap(), Wanted::Batch, "{way}");
    }
}
