//! Items of different frames, under the same slots.

use microbatch_batcher::{Batcher, Frame, OnFull, Settings};
use tokio::explore::explore;

use super::harness::*;

/// Frames come and go with their items, by turns, while callers leave and expire. An
/// item could be sent in another's frame, or be left behind with a frame whose turn
/// never comes.
#[test]
fn each_frame_leaves_by_itself() {
    explore(|| async {
        let settings = Settings {
            max_wait: 2 * MS,
            queue_items: 3,
            on_full: OnFull::Wait,
            ..settings()
        };
        let batcher = Batcher::with_batches(settings, |batch: TestBatch| async move {
            let frame = batch.frame().map(|frame| frame.as_bytes()[0]);
            let of = |key| (key % 3 > 0).then_some(key as u8 % 3);
            assert!(batch.members().iter().all(|it| of(*it.item()) == frame));
            dawdle(2).await;
            answer(batch);
        });
        let callers = (0..6).map(|key| {
            let frame = (key % 3 > 0).then(|| Frame::new([key as u8 % 3]));
            let also = |it| Options { frame, ..it };
            let stay = if key == 4 { MS } else { NEVER };
            spawn(call_with(batcher.clone(), also, key, stay))
        });
        let seen = join(callers.collect()).await;
        settled(batcher, seen).await;
    });
}
