//! Batches that are parked, resume and split, while their callers leave.

use std::pin::Pin;

use microbatch_batcher::{Batcher, OnFull, Settings};
use tokio::explore::explore;
use tokio::runtime::Handle;
use tokio::select;
use tokio::time::Instant;

use super::harness::*;

/// Sends a batch again and again, in halves at times, as a processor does whose
/// upstream fails. Boxed, since its halves come here again.
fn retry(mut batch: TestBatch) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        for _ in 0..choose(3) {
            // Lining up before it is parked keeps its turn.
            let early = (choose(2) == 0).then(|| batch.slot());
            if choose(2) == 0 {
                Handle::current().spawn(retry_parked(batch.split()));
            }
            batch.park();
            if choose(4) == 0 {
                Handle::current().spawn(retry_parked(batch.split()));
            }
            batch.answer_expired(Instant::now(), |member| own(*member.item()));
            let slot = early.unwrap_or_else(|| batch.slot());
            if !resumes(&mut batch, slot).await {
                return;
            }
        }
        if choose(4) > 0 {
            answer(batch);
        }
    })
}

/// As [`retry`], with a half that has no slot.
async fn retry_parked(mut half: TestBatch) {
    let slot = half.slot();
    if !resumes(&mut half, slot).await {
        return;
    }
    retry(half).await;
}

/// Resumes with that slot, unless nobody is left to wait for the batch.
async fn resumes(batch: &mut TestBatch, slot: impl Future<Output = TestSlot>) -> bool {
    let abandoned = batch.abandoned();
    let slot = select! {
        slot = slot => slot,
        () = abandoned => return false,
    };
    batch.resume(slot);
    true
}

/// One slot, room for two, and overflow for the others. Parked items
/// count as waiting: they could be counted twice, or still when nobody waits, and
/// then nobody is let in; or be taken off twice, which underflows.
#[test]
fn parked_batches_take_up_room_until_they_are_answered_or_left() {
    explore(|| async {
        let settings = Settings {
            max_wait: MS,
            queue_items: 2,
            on_full: OnFull::Wait,
            ..settings()
        };
        let batcher = Batcher::with_batches(settings, retry);
        let callers = (0..5).map(|key| {
            let stay = if key % 3 == 0 { 2 * MS } else { NEVER };
            spawn(call(batcher.clone(), key, stay))
        });
        let seen = join(callers.collect()).await;
        settled(batcher, seen).await;
    });
}

/// All callers leave, each at some moment, while the batch is in flight, parked
/// or split. Nobody may be told that a batch is abandoned, and its processor
/// wait for an upstream forever; and the room must be there again.
#[test]
fn an_abandoned_batch_is_told() {
    explore(|| async {
        let (batcher, mut batches) = by_hand(settings());
        let replies = [1, 2].map(|key| submit(&batcher, key));
        let mut batch = batches.recv().await.unwrap();
        let leavers = replies.map(|reply| spawn(async move { drop(reply) }));
        let abandoned = batch.abandoned();
        let half = match choose(4) {
            0 => None,
            1 => Some(batch.split()),
            2 => {
                batch.park();
                Some(batch.split())
            }
            _ => {
                batch.park();
                batch.resume(batch.slot().await);
                None
            }
        };
        abandoned.await;
        if let Some(half) = &half {
            half.abandoned().await;
        }
        join(leavers.into()).await;
        let counts = batcher.snapshot();
        assert_eq!((counts.queued, counts.queued_bytes), (0, 0));
        drop((half, batch));
        settled(
            batcher,
            [Seen {
                left: 2,
                ..Seen::default()
            }],
        )
        .await;
    });
}

/// Members are answered while their batch is parked. The first caller to hear could
/// find the room of its item still taken, and be refused the next.
#[test]
fn an_item_answered_while_parked_has_given_its_room_back() {
    explore(|| async {
        let (batcher, mut batches) = by_hand(settings());
        let replies = [1, 2].map(|key| submit(&batcher, key));
        let mut batch = batches.recv().await.unwrap();
        batch.park();
        let answerer = spawn(async move { answer(batch) });
        for reply in replies {
            reply.await.unwrap();
            assert_eq!(batcher.snapshot().queued, 0);
        }
        answerer.await.unwrap();
        let seen = Seen {
            answered: 2,
            ..Seen::default()
        };
        settled(batcher, [seen]).await;
    });
}

/// Two batches are parked and line up; one is given up, before or after its slot has
/// come. That slot could be lost, and the others never leave.
#[test]
fn an_untaken_slot_is_free_again() {
    explore(|| async {
        let (batcher, mut batches) = by_hand(settings());
        let replies: Vec<_> = (0..6).map(|key| submit(&batcher, key)).collect();
        let mut first = batches.recv().await.unwrap();
        first.park();
        let mut second = batches.recv().await.unwrap();
        let given_up = first.slot();
        let giver = spawn(async move {
            select! {
                slot = given_up => drop(slot),
                () = dawdle(4) => {}
            }
        });
        let resumed = spawn(async move {
            first.resume(first.slot().await);
            answer(first);
        });
        second.park();
        let returned = spawn(async move {
            second.resume(second.slot().await);
            answer(second);
        });
        answer(batches.recv().await.unwrap());
        join(vec![giver, resumed, returned]).await;
        assert_eq!(batcher.snapshot().in_flight, 0);
        for (reply, key) in replies.into_iter().zip(0..) {
            assert_eq!(reply.await, Ok(own(key)));
        }
        settled(
            batcher,
            [Seen {
                answered: 6,
                ..Seen::default()
            }],
        )
        .await;
    });
}
