//! What of items of several keys, of weights and of sizes shares a batch, on a paused clock.

use tokio::time::Instant;

use super::tests::{Batches, FAR, Job, MS, answer, by_hand, keys};
use super::*;

fn settings() -> Settings {
    Settings {
        max_size: 5,
        max_wait: FAR / 2,
        ..Settings::default()
    }
}

fn submit(batcher: &Batcher<Job, u64>, number: u64, options: Options) -> Reply<Job, u64> {
    batcher.submit_with(Job(number, 1), options).unwrap()
}

fn weighing(units: usize) -> Options {
    Options::default().weight(units)
}

async fn next(batches: &mut Batches) -> Batch<Job, u64> {
    let next = tokio::time::timeout(FAR, batches.recv()).await;
    next.expect("no batch came").unwrap()
}

#[tokio::test(start_paused = true)]
async fn items_with_any_key_in_common_share_no_batch() {
    let (batcher, mut batches) = by_hand(settings());
    let all: [&[u64]; 6] = [&[1, 2], &[2, 3], &[3, 4], &[5, 5], &[], &[4, 6, 7]];
    let keyed = |keys: &[u64]| Options::default().keys(keys.iter().copied());
    let replies = (0..)
        .zip(all)
        .map(|(at, it)| submit(&batcher, at, keyed(it)));
    let _replies: Vec<_> = replies.collect();
    assert_eq!(batcher.flush(), 6);
    // Each behind the one before it, so that the oldest is never passed by for good.
    for expected in [&[0, 3, 4][..], &[1], &[2], &[5]] {
        let batch = next(&mut batches).await;
        assert_eq!(keys(&batch), expected);
    }
    assert_eq!(batcher.snapshot().kept_apart, 3);
}

#[tokio::test(start_paused = true)]
async fn a_departed_item_lets_those_pass_that_waited_for_it_alone() {
    let (batcher, mut batches) = by_hand(settings());
    let keyed = |keys: [u64; 2]| Options::default().keys(keys);
    let first = submit(&batcher, 1, keyed([1, 2]));
    let _second = submit(&batcher, 2, keyed([2, 3]));
    let third = submit(&batcher, 3, keyed([1, 3]));
    let _fourth = submit(&batcher, 4, keyed([3, 4]));
    drop(first);
    drop(third);
    batcher.flush();
    assert_eq!(keys(&next(&mut batches).await), [2]);
    assert_eq!(keys(&next(&mut batches).await), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_when_its_items_weigh_enough() {
    let (batcher, mut batches) = by_hand(settings());
    let start = Instant::now();
    let _light = [2, 2].map(|units| submit(&batcher, units as u64, weighing(units)));
    tokio::time::sleep(MS).await;
    assert!(batches.try_recv().is_err(), "there is room for one");
    assert_eq!(batcher.snapshot().queued, 2, "items, whatever they weigh");
    let _last = submit(&batcher, 1, weighing(1));
    let batch = next(&mut batches).await;
    assert_eq!((batch.reason(), start.elapsed()), (FlushReason::Size, MS));
    assert_eq!((batch.len(), batch.weight()), (3, 5));
    assert_eq!(batch.members()[0].weight(), 2);
    answer(batch);

    // What would exceed it is not divided, and nothing later goes before it.
    let _three = [3, 4, 1].map(|units| submit(&batcher, units as u64, weighing(units)));
    let [first, second] = [next(&mut batches).await, next(&mut batches).await];
    assert_eq!((keys(&first), first.reason()), (vec![3], FlushReason::Size));
    assert_eq!(
        (keys(&second), second.reason()),
        (vec![4, 1], FlushReason::Size)
    );
    assert_eq!(start.elapsed(), MS, "neither waited");
}

#[tokio::test(start_paused = true)]
async fn an_item_that_weighs_more_than_a_batch_may_leaves_alone() {
    let (batcher, mut batches) = by_hand(settings());
    let replies = [(1, 2), (2, 9), (3, 2), (4, usize::MAX), (5, 0)];
    let replies = replies.map(|(number, units)| submit(&batcher, number, weighing(units)));
    batcher.flush();
    let mut weights = Vec::new();
    for expected in [[1], [2], [3], [4], [5]] {
        let batch = next(&mut batches).await;
        assert_eq!(keys(&batch), expected);
        weights.push(batch.weight());
        answer(batch);
    }
    assert_eq!(weights, [2, 9, 2, u32::MAX as usize, 1]);
    for (reply, number) in replies.into_iter().zip(1..) {
        assert_eq!(reply.await, Ok(10 * number));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_cut_between_items_where_half_of_its_weight_is() {
    for (weights, earlier) in [
        (&[1, 1, 1, 1, 1][..], 3),
        (&[1, 1, 1, 1], 2),
        (&[4, 1], 1),
        (&[1, 4], 1),
        (&[2, 1, 1], 1),
        (&[1, 1, 1, 2], 3),
        (&[1, 3, 1], 2),
        (&[5], 1),
    ] {
        let (batcher, mut batches) = by_hand(settings());
        let replies = weights
            .iter()
            .map(|&units| submit(&batcher, 0, weighing(units)));
        let _replies: Vec<_> = replies.collect();
        batcher.flush();
        let mut batch = next(&mut batches).await;
        assert_eq!(batch.len(), weights.len(), "{weights:?}");
        let later = batch.split();
        assert_eq!(
            (batch.len(), later.len()),
            (earlier, weights.len() - earlier),
            "{weights:?}"
        );
        let total = weights.iter().sum::<usize>();
        assert_eq!(batch.weight() + later.weight(), total);
    }
}

/// Which need not be what it takes up while it waits.
#[tokio::test(start_paused = true)]
async fn what_items_add_to_a_batch_and_its_frame_are_its_bytes() {
    let settings = Settings {
        max_size: 100,
        max_bytes: 20,
        batch_overhead: 2,
        queue_bytes: 1_000,
        ..settings()
    };
    let frame = |overhead| Frame::with_overhead([overhead as u8], overhead);
    for (frame, in_batch, items) in [
        (None, 9, 2),
        (None, 10, 1),
        (Some(frame(0)), 10, 2),
        (Some(frame(8)), 6, 2),
        (Some(frame(8)), 7, 1),
        (Some(frame(12)), 4, 2),
    ] {
        let (batcher, mut batches) = by_hand(settings.clone());
        let options = Options {
            frame: frame.clone(),
            ..Options::default().bytes(300).bytes_in_batch(in_batch)
        };
        let told = format!("{frame:?} {in_batch}");
        let _replies: Vec<_> = (0..3)
            .map(|number| submit(&batcher, number, options.clone()))
            .collect();
        let batch = next(&mut batches).await;
        assert_eq!(
            (batch.len(), batch.reason()),
            (items, FlushReason::Bytes),
            "{told}"
        );
        let overhead = frame.as_ref().map_or(2, Frame::overhead);
        assert_eq!(batch.bytes(), items * in_batch + overhead, "{told}");
        answer(batch);
        assert_eq!(batcher.snapshot().queued_bytes % 300, 0, "{told}");
        let refused = batcher.submit_with(Job(3, 1), options.bytes_in_batch(20 - overhead + 1));
        assert_eq!(refused.unwrap_err(), Error::TooLarge, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn detached_items_ride_where_they_weigh_little_enough_and_come_back_as_they_were() {
    let (batcher, mut batches) = by_hand(settings());
    let detach = |number, options: Options| {
        let on_answer: OnAnswer<u64> = Box::new(drop);
        let submitted = batcher.submit_detached(Job(number, 1), options, on_answer);
        submitted.unwrap()
    };
    let keyed = |keys: [u64; 2]| Options::default().keys(keys);
    let _detached = [
        detach(1, keyed([1, 2])),
        detach(2, keyed([3, 4]).weight(2)),
        detach(3, keyed([5, 6])),
        detach(4, keyed([6, 7])),
    ];
    let _reply = submit(&batcher, 10, keyed([2, 8]).weight(4));
    batcher.flush();
    let mut batch = next(&mut batches).await;
    assert_eq!((keys(&batch), batch.weight()), (vec![10, 3], 5));
    assert_eq!(keys(&next(&mut batches).await), [1, 2, 4]);
    assert_eq!(batch.put_back_detached(), 1);
    let _later = detach(5, keyed([6, 9]));
    batcher.flush();
    assert_eq!(keys(&next(&mut batches).await), [3], "5 has its key");
    assert_eq!(keys(&next(&mut batches).await), [5]);
}
