//! Detached items that have waited elsewhere, go alone, or are taken back, on a paused
//! clock.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::detached_tests::{Answers, nothing_left, settings};
use super::tests::{FAR, Job, MS, answer, by_hand, keys, submit};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_has_waited_elsewhere_waits_that_much_less() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    sleep(FAR).await;
    let start = Instant::now();
    let since = |ago: Duration| move |it: Options| it.arrived(start - ago);
    answers.submit_also(&batcher, Job(1, 1), since(400 * MS));
    assert_eq!(batcher.snapshot().detached_oldest, Some(start - 400 * MS));
    let batch = batches.recv().await.unwrap();
    assert_eq!((start.elapsed(), keys(&batch)), (600 * MS, vec![1]));
    assert_eq!(batch.members()[0].waited(batch.left()), SECOND);
    answer(batch);
    answers.submit_also(&batcher, Job(2, 1), since(FAR));
    let batch = batches.recv().await.unwrap();
    assert_eq!(start.elapsed(), 600 * MS, "at once");
    assert_eq!(batch.reason(), FlushReason::Wait);
    answer(batch);
    // What is yet to come has come.
    let start = Instant::now();
    answers.submit_also(&batcher, Job(3, 1), |it| it.arrived(start + FAR));
    assert_eq!(batcher.snapshot().detached_oldest, Some(start));
    answer(batches.recv().await.unwrap());
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(answers.take().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_old_elsewhere_takes_turns_with_callers() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    sleep(FAR).await;
    let replies: Vec<_> = (100..112).map(|key| submit(&batcher, key)).collect();
    let old = Instant::now() - 10 * SECOND;
    for key in 1..=3 {
        answers.submit_also(&batcher, Job(key, 1), |it| it.arrived(old));
    }
    let mut lanes = Vec::new();
    for _ in 0..5 {
        let batch = batches.recv().await.unwrap();
        lanes.push(batch.members()[0].is_detached());
        answer(batch);
    }
    // The first has left before they came.
    assert_eq!(lanes, [false, false, true, false, false]);
    drop(replies);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_goes_alone_shares_no_batch() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let come = Instant::now();
    batcher.hold_detached(Some(come + FAR));
    answers.submit(&batcher, 1);
    answers.submit_also(&batcher, Job(2, 1), |it| it.weight(2).alone());
    answers.submit_also(&batcher, Job(3, 1), Options::alone);
    answers.submit(&batcher, 4);
    let reply = submit(&batcher, 9);
    batcher.hold_detached(None);
    // Those that ride pass it by.
    let mut batch = batches.recv().await.unwrap();
    assert_eq!(keys(&batch), [9, 1, 4]);
    assert_eq!(batch.put_back_detached(), 2);
    answer(batch);
    assert_eq!(reply.await, Ok(90));
    let start = Instant::now();
    for (keys_of, weight) in [(1, 1), (2, 2), (3, 1)] {
        let mut batch = batches.recv().await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO, "it waits for no company");
        assert_eq!((keys(&batch), batch.weight()), (vec![keys_of], weight));
        if keys_of == 2 {
            // It is as it was when it comes again.
            assert_eq!(batch.put_back_detached(), 1);
            drop(batch);
            batch = batches.recv().await.unwrap();
            assert_eq!((keys(&batch), batch.weight()), (vec![2], 2));
        }
        answer(batch);
    }
    let batch = batches.recv().await.unwrap();
    assert_eq!((come.elapsed(), keys(&batch)), (SECOND, vec![4]));
    answer(batch);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_is_neither_sent_nor_answered() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let detached = [1, 2, 3].map(|key| answers.submit(&batcher, key));
    let mut batch = batches.recv().await.unwrap();
    let queued = answers.submit(&batcher, 4);
    assert!(queued.take_back());
    assert!(!queued.take_back(), "it is gone");
    assert_eq!((queued.stage(), answers.expected()), (None, 3));
    // Those are under way.
    assert!(!detached.iter().any(Detached::take_back));
    batch.park();
    assert!(!detached.iter().any(Detached::take_back));
    batch.resume(batch.slot().await);
    batcher.hold_detached(Some(Instant::now() + FAR));
    assert_eq!(batch.put_back_detached(), 3);
    drop(batch);
    assert!(detached[1].take_back(), "it waits again");
    let [first, _, last] = detached;
    last.withdraw();
    assert!(!last.take_back());
    batcher.hold_detached(None);
    let batch = batches.recv().await.unwrap();
    assert_eq!(keys(&batch), [1]);
    answer(batch);
    assert!(!first.take_back(), "it is answered");
    assert_eq!((answers.take(), answers.expected()), (vec![(1, Ok(10))], 0));
    nothing_left(&mut batches);
}

#[tokio::test(start_paused = true)]
async fn a_batcher_of_which_all_is_taken_back_is_vacant() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let detached = [1, 2].map(|key| answers.submit(&batcher, key));
    batcher.pause_detached(Instant::now() + FAR);
    batcher.close();
    let waiting = batcher.clone();
    let vacated = tokio::spawn(async move { waiting.vacated().await });
    tokio::task::yield_now().await;
    assert!(!vacated.is_finished());
    assert!(detached.iter().all(Detached::take_back));
    vacated.await.unwrap();
    assert_eq!((answers.take(), answers.expected()), (vec![], 0));
    nothing_left(&mut batches);
}
