//! Items of several frames in one batcher, on a paused clock.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::tests::{Batches, FAR, Job, MS, answer, by_hand, keys};
use super::*;

fn submit(batcher: &Batcher<Job, u64>, frame: &str, key: u64) -> Reply<Job, u64> {
    let options = Options::default().key(key).bytes(1);
    let options = options.frame(Frame::new(frame.as_bytes()));
    batcher.submit_with(Job(key, 1), options).unwrap()
}

fn name(batch: &Batch<Job, u64>) -> &str {
    let frame = batch.frame().map(Frame::as_bytes).unwrap_or_default();
    std::str::from_utf8(frame).unwrap()
}

async fn next(batches: &mut Batches) -> Batch<Job, u64> {
    let next = tokio::time::timeout(FAR, batches.recv()).await;
    next.expect("no batch came").unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_frame_has_its_own_size_wait_and_keys() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 2,
        ..Settings::default()
    });
    let start = Instant::now();
    let _early = [
        submit(&batcher, "one", 1),
        submit(&batcher, "other", 1),
        batcher.submit(Job(1, 1)).unwrap(),
    ];
    sleep(2 * MS).await;
    assert!(batches.try_recv().is_err(), "no batch is full");
    let _late = submit(&batcher, "late", 1);
    let _full = submit(&batcher, "one", 2);
    let batch = next(&mut batches).await;
    assert_eq!((name(&batch), keys(&batch)), ("one", vec![1, 2]));
    assert_eq!(
        (batch.reason(), start.elapsed()),
        (FlushReason::Size, 2 * MS)
    );
    let mut waited = [next(&mut batches).await, next(&mut batches).await];
    assert_eq!(start.elapsed(), 5 * MS);
    waited.sort_by(|one, other| name(one).cmp(name(other)));
    assert_eq!(waited.each_ref().map(name), ["", "other"]);
    assert!(waited.iter().all(|it| it.reason() == FlushReason::Wait));
    assert_eq!(waited[0].frame(), None);
    assert_eq!(name(&next(&mut batches).await), "late");
    assert_eq!(start.elapsed(), 7 * MS);
    assert_eq!(batcher.snapshot().kept_apart, 0);
}

#[tokio::test(start_paused = true)]
async fn a_single_item_does_not_wait_for_ten_thousand_of_another_frame() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 100,
        max_in_flight: 1,
        max_wait: Duration::ZERO,
        queue_items: 20_000,
        ..Settings::default()
    });
    for alone in [Some("small"), None] {
        let large: Vec<_> = (0..10_000)
            .map(|key| submit(&batcher, "large", key))
            .collect();
        let first = next(&mut batches).await;
        assert_eq!((name(&first), first.len()), ("large", 100));
        let small = match alone {
            Some(frame) => submit(&batcher, frame, 7),
            None => batcher.submit(Job(7, 1)).unwrap(),
        };
        tokio::task::yield_now().await;
        // One batch of the large one at most was ready before.
        let mut answered = 0;
        answer(first);
        loop {
            let batch = next(&mut batches).await;
            let found = name(&batch) != "large";
            answer(batch);
            if found {
                break;
            }
            answered += 1;
        }
        assert!(answered <= 1, "after {answered} batches");
        assert_eq!(small.await, Ok(70));
        drop(large);
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_ready_take_turns() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 2,
        max_in_flight: 1,
        ..Settings::default()
    });
    let _busy = submit(&batcher, "busy", 0);
    batcher.flush();
    let mut batch = next(&mut batches).await;
    let frames = ["a", "b", "c"];
    let replies = (0..6).flat_map(|key| frames.map(|frame| submit(&batcher, frame, key)));
    let _replies: Vec<_> = replies.collect();
    let mut order = String::new();
    for _ in 0..9 {
        answer(batch);
        batch = next(&mut batches).await;
        assert_eq!(batch.len(), 2);
        order.push_str(name(&batch));
    }
    assert_eq!(order, "abcabcabc");
}

#[tokio::test(start_paused = true)]
async fn a_flush_sends_every_frame_and_a_deadline_is_kept_in_each() {
    let (batcher, mut batches) = by_hand(Settings {
        max_wait: FAR / 2,
        ..Settings::default()
    });
    let _waiting = ["a", "b"].map(|frame| submit(&batcher, frame, 1));
    assert_eq!(batcher.flush(), 2);
    let mut flushed = [next(&mut batches).await, next(&mut batches).await];
    flushed.sort_by(|one, other| name(one).cmp(name(other)));
    assert_eq!(flushed.each_ref().map(name), ["a", "b"]);
    assert!(flushed.iter().all(|it| it.reason() == FlushReason::Flush));

    let start = Instant::now();
    let options = Options::default().frame(Frame::new(*b"a"));
    let hasty = options.deadline(start + 10 * MS);
    let _hasty = batcher.submit_with(Job(1, 1), hasty).unwrap();
    assert_eq!(name(&next(&mut batches).await), "a");
    assert_eq!(start.elapsed(), 5 * MS, "half of its time");
}

/// Whatever makes all of them ready at once.
#[tokio::test(start_paused = true)]
async fn frames_that_become_ready_together_leave_in_the_order_of_their_oldest_items() {
    let frames: Vec<_> = ('a'..='t').map(String::from).collect();
    let all_at_once: [fn(&Batcher<Job, u64>); 3] = [
        |batcher| assert_eq!(batcher.flush(), 20),
        |batcher| {
            let until = Instant::now() + FAR;
            let items = Some(Ceiling { most: 1, until });
            batcher.cap(Cap { items, bytes: None });
        },
        Batcher::close,
    ];
    for happens in all_at_once {
        let (batcher, mut batches) = by_hand(Settings {
            max_wait: FAR / 2,
            max_in_flight: 1,
            ..Settings::default()
        });
        let replies = frames.iter().map(|frame| submit(&batcher, frame, 1));
        let _replies: Vec<_> = replies.collect();
        happens(&batcher);
        for frame in &frames {
            let batch = next(&mut batches).await;
            assert_eq!(name(&batch), frame);
            answer(batch);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_wait_is_over_for_all_frames_when_every_source_has_items_in() {
    let (batcher, mut batches) = by_hand(Settings {
        wait: Wait::Adaptive,
        max_wait: FAR / 2,
        ..Settings::default()
    });
    let [one, other] = [batcher.source(), batcher.source()];
    let framed = |name: &'static [u8]| Options::default().frame(Frame::new(name));
    let start = Instant::now();
    let first = one.submit_with(Job(1, 1), framed(b"a")).unwrap();
    sleep(MS).await;
    assert!(batches.try_recv().is_err(), "the other may come");
    let second = other.submit_with(Job(2, 1), framed(b"b")).unwrap();
    for _ in 0..2 {
        let batch = next(&mut batches).await;
        assert_eq!(batch.reason(), FlushReason::Idle);
        answer(batch);
    }
    assert_eq!(start.elapsed(), MS);
    assert_eq!((first.await, second.await), (Ok(10), Ok(20)));
}

#[tokio::test(start_paused = true)]
async fn halves_and_taken_items_keep_their_frame() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 2,
        ..Settings::default()
    });
    let _replies = [1, 2].map(|key| submit(&batcher, "a", key));
    let mut batch = next(&mut batches).await;
    let half = batch.split();
    assert_eq!((name(&batch), name(&half)), ("a", "a"));
    let (jobs, left) = half.take_items(|_| ());
    assert_eq!(jobs, [Job(2, 1)]);
    assert_eq!(left.frame(), batch.frame());
}
