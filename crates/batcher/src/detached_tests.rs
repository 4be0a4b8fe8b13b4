//! Detached items beside those of callers, on a paused clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, advance, sleep};

use super::tests::{Batches, FAR, Job, MS, answer, by_hand, keys, submit};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A key, and what became of its item.
type Answered = (u64, Result<u64, Error>);

/// What became of detached items, in the order of their answers.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<Vec<Answered>>>);

impl Answers {
    fn on_answer(&self, key: u64) -> OnAnswer<u64> {
        let answers = self.clone();
        Box::new(move |answer| answers.0.lock().unwrap().push((key, answer)))
    }

    fn submit(&self, batcher: &Batcher<Job, u64>, key: u64) -> Detached<Job, u64> {
        self.submit_with(batcher, Job(key, 1), Instant::now() + FAR)
    }

    fn submit_with(
        &self,
        batcher: &Batcher<Job, u64>,
        job: Job,
        deadline: Instant,
    ) -> Detached<Job, u64> {
        let options = Options::default().key(job.0).bytes(job.1);
        let on_answer = self.on_answer(job.0);
        let submitted = batcher.submit_detached(job, options.deadline(deadline), on_answer);
        submitted.unwrap()
    }

    fn take(&self) -> Vec<Answered> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Of how many the answer may still come.
    fn expected(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

fn settings() -> Settings {
    Settings {
        max_size: 3,
        max_in_flight: 1,
        ..Settings::default()
    }
}

fn nothing_left(batches: &mut Batches) {
    assert!(batches.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn detached_items_leave_alone_when_full_or_after_their_own_wait() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let start = Instant::now();
    let detached = [1, 2].map(|key| answers.submit(&batcher, key));
    let batch = batches.recv().await.unwrap();
    assert_eq!((start.elapsed(), keys(&batch)), (SECOND, vec![1, 2]));
    assert_eq!(batch.reason(), FlushReason::Wait);
    assert!(batch.members().iter().all(Member::is_detached));
    assert!(
        detached
            .iter()
            .all(|it| it.stage() == Some(Stage::InFlight))
    );
    answer(batch);
    assert_eq!(answers.take(), [(1, Ok(10)), (2, Ok(20))]);
    assert!(detached.iter().all(|it| it.stage().is_none()));
    let start = Instant::now();
    (3..=5).for_each(|key| drop(answers.submit(&batcher, key)));
    let batch = batches.recv().await.unwrap();
    assert_eq!(
        (start.elapsed(), batch.reason()),
        (Duration::ZERO, FlushReason::Size)
    );
    drop(batch);
    let dropped = [3, 4, 5].map(|key| (key, Err(Error::Dropped)));
    assert_eq!(answers.take(), dropped);
    assert_eq!(answers.expected(), 0);
}

#[tokio::test(start_paused = true)]
async fn detached_items_take_free_places_and_no_more() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    // The second has the key of the caller's, and the last finds no place.
    let detached = [1, 2, 3, 4].map(|key| answers.submit(&batcher, key));
    batcher.hold_detached(Some(Instant::now() + MS));
    let start = Instant::now();
    let reply = submit(&batcher, 2);
    let batch = batches.recv().await.unwrap();
    assert_eq!(start.elapsed(), MS, "full once they are released");
    assert_eq!(keys(&batch), [1, 2, 3]);
    answer(batch);
    let batch = batches.recv().await.unwrap();
    assert_eq!(start.elapsed(), 5 * MS);
    assert_eq!(keys(&batch), [2, 4]);
    let mine = |member: &Member<Job, u64>| !member.is_detached();
    assert_eq!(batch.members().iter().filter(|it| mine(it)).count(), 1);
    answer(batch);
    assert_eq!(reply.await, Ok(20));
    assert_eq!(batcher.snapshot().detached_rode, 1);
    assert_eq!(answers.take().len(), 4);
    drop(detached);
    let counts = batcher.snapshot();
    assert_eq!(
        (counts.accepted, counts.queued, counts.most_queued),
        (1, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn bytes_bound_what_rides() {
    let (batcher, mut batches) = by_hand(Settings {
        max_bytes: 10,
        item_overhead: 1,
        ..settings()
    });
    let answers = Answers::default();
    let deadline = Instant::now() + FAR;
    for (key, bytes) in [(1, 7), (2, 6)] {
        drop(answers.submit_with(&batcher, Job(key, bytes), deadline));
        batcher.hold_detached(Some(Instant::now() + 2 * MS));
    }
    let reply = submit(&batcher, 3);
    sleep(2 * MS).await;
    drop(reply);
    let batch = batches.recv().await.unwrap();
    assert_eq!(
        (keys(&batch), batch.reason()),
        (vec![1], FlushReason::Bytes)
    );
    let _reply = submit(&batcher, 3);
    answer(batch);
    let batch = batches.recv().await.unwrap();
    assert_eq!(keys(&batch), [3, 2], "2 and 1, 6 and 1");
    answer(batch);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_item_is_not_sent_and_nothing_is_done_with_its_answer() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let [first, second] = [1, 2].map(|key| answers.submit(&batcher, key));
    first.withdraw();
    assert_eq!((first.stage(), answers.expected()), (None, 1));
    assert_eq!(batcher.snapshot().detached_queued, 1);
    let batch = batches.recv().await.unwrap();
    assert_eq!(keys(&batch), [2]);
    second.withdraw();
    batch.abandoned().await;
    answer(batch);
    assert_eq!((answers.take(), answers.expected()), (vec![], 0));
    first.withdraw();
    let counts = batcher.snapshot();
    assert_eq!(
        (counts.cancelled_queued, counts.cancelled_in_flight),
        (0, 0)
    );
    batcher.vacated().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_has_its_place_its_deadline_and_its_handle() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let start = Instant::now();
    let detached = [1, 2, 3].map(|key| answers.submit(&batcher, key));
    let mut batch = batches.recv().await.unwrap();
    let _later = [2, 4].map(|key| answers.submit(&batcher, key));
    batcher.hold_detached(Some(start + 20 * SECOND));
    let abandoned = batch.abandoned();
    assert_eq!(batch.put_back_detached(), 3);
    assert!(batch.is_empty());
    abandoned.await;
    drop(batch);
    assert!(detached.iter().all(|it| it.stage() == Some(Stage::Queued)));
    let counts = batcher.snapshot();
    assert_eq!(
        (counts.detached_queued, counts.detached_oldest),
        (5, Some(start))
    );
    detached[0].withdraw();
    batcher.flush();
    sleep(19 * SECOND).await;
    nothing_left(&mut batches);
    let batch = batches.recv().await.unwrap();
    assert_eq!(start.elapsed(), 20 * SECOND);
    assert_eq!(keys(&batch), [2, 3, 4]);
    answer(batch);
    let batch = batches.recv().await.unwrap();
    assert_eq!(keys(&batch), [2], "the younger of the two");
    answer(batch);
    let answered: Vec<_> = answers.take().iter().map(|it| it.0).collect();
    assert_eq!(answered, [2, 3, 4, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_end_is_the_end_of_both_lanes() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let _detached = [1, 2, 3, 4, 5].map(|key| answers.submit(&batcher, key));
    let mut batch = batches.recv().await.unwrap();
    batcher.close();
    let refused = batcher.submit_detached(Job(9, 1), Options::default(), answers.on_answer(9));
    assert!(matches!(refused, Err((Job(9, 1), Error::Closed))));
    batcher.abandon();
    let abandoned = [4, 5].map(|key| (key, Err(Error::Abandoned)));
    assert_eq!(answers.take(), abandoned);
    assert_eq!(batch.put_back_detached(), 3);
    let abandoned = [1, 2, 3].map(|key| (key, Err(Error::Abandoned)));
    assert_eq!(answers.take(), abandoned);
    drop(batch);
    batcher.vacated().await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_batcher_drains_both_lanes() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let _detached = [1, 2, 3, 4].map(|key| answers.submit(&batcher, key));
    batcher.hold_detached(Some(Instant::now() + SECOND));
    let reply = submit(&batcher, 7);
    batcher.close();
    answer(batches.recv().await.unwrap());
    assert_eq!(reply.await, Ok(70));
    let waiting = batcher.clone();
    let vacated = tokio::spawn(async move { waiting.vacated().await });
    for expected in [vec![1, 2, 3], vec![4]] {
        let batch = batches.recv().await.unwrap();
        assert_eq!(
            (keys(&batch), batch.reason()),
            (expected, FlushReason::Drain)
        );
        assert!(!vacated.is_finished());
        answer(batch);
    }
    vacated.await.unwrap();
    assert_eq!(answers.take().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_comes_in_the_lane_too() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    batcher.hold_detached(Some(Instant::now() + FAR));
    let soon = Instant::now() + 50 * MS;
    let detached = answers.submit_with(&batcher, Job(1, 1), soon);
    advance(49 * MS).await;
    assert_eq!(detached.stage(), Some(Stage::Queued));
    batcher.vacated().await;
    let answered = answers.take();
    assert!(matches!(answered[..], [(1, Err(Error::Expired { .. }))]));
    nothing_left(&mut batches);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_what_is_done_with_an_answer_is_nobody_elses() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let panics: OnAnswer<u64> = Box::new(|_| panic!("of the test's"));
    let options = Options::default();
    let _panics = batcher.submit_detached(Job(1, 1), options, panics).unwrap();
    let _detached = answers.submit(&batcher, 2);
    let reply = submit(&batcher, 3);
    answer(batches.recv().await.unwrap());
    assert_eq!(reply.await, Ok(30));
    assert_eq!(answers.take(), [(2, Ok(20))]);
    batcher.vacated().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_store_says_is_gone_is_dropped_without_an_answer() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let _detached = [1, 2].map(|key| answers.submit(&batcher, key));
    let reply = submit(&batcher, 3);
    let mut batch = batches.recv().await.unwrap();
    batch.dismiss_detached(|member| member.item().0 != 2);
    assert_eq!(keys(&batch), [3, 2]);
    answer(batch);
    assert_eq!(reply.await, Ok(30));
    assert_eq!((answers.take(), answers.expected()), (vec![(2, Ok(20))], 0));
}

#[tokio::test(start_paused = true)]
async fn detached_members_are_answered_apart_from_those_of_callers() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let _detached = [1, 2].map(|key| answers.submit(&batcher, key));
    let reply = submit(&batcher, 3);
    let mut batch = batches.recv().await.unwrap();
    batch.answer_detached(|member| member.item().0);
    assert_eq!(keys(&batch), [3]);
    assert_eq!(answers.take(), [(1, Ok(1)), (2, Ok(2))]);
    answer(batch);
    assert_eq!(reply.await, Ok(30));
}

/// Callers that saturate the one slot, and detached items that are there from the start.
#[tokio::test(start_paused = true)]
async fn detached_items_wait_for_callers_until_they_are_old() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let start = Instant::now();
    let replies: Vec<_> = (100..400).map(|key| submit(&batcher, key)).collect();
    let _detached: Vec<_> = (1..=6).map(|key| answers.submit(&batcher, key)).collect();
    let mut left = Vec::new();
    for _ in 0..50 {
        let batch = batches.recv().await.unwrap();
        left.push((start.elapsed().as_secs(), batch.members()[0].is_detached()));
        sleep(SECOND).await;
        answer(batch);
    }
    let detached: Vec<_> = left.iter().filter(|it| it.1).map(|it| it.0).collect();
    // Old at 10 s, let pass by one batch, and the other after one more.
    assert_eq!(detached, [11, 13], "{left:?}");
    assert_eq!(answers.take().len(), 6);
    drop(replies);
}

#[tokio::test(start_paused = true)]
async fn a_parked_batch_of_detached_items_does_not_resume_before_callers() {
    let (batcher, mut batches) = by_hand(settings());
    let answers = Answers::default();
    let _detached = [1, 2, 3].map(|key| answers.submit(&batcher, key));
    let mut parked = batches.recv().await.unwrap();
    let _replies: Vec<_> = (10..16).map(|key| submit(&batcher, key)).collect();
    parked.park();
    assert_eq!(batcher.snapshot().detached_queued, 3);
    assert_eq!(batcher.snapshot().queued, 3, "the others have its slot");
    let resumed = tokio::spawn(async move {
        let slot = parked.slot().await;
        parked.resume(slot);
        answer(parked);
    });
    for _ in 0..2 {
        let batch = batches.recv().await.unwrap();
        tokio::task::yield_now().await;
        assert!(!resumed.is_finished() && !batch.members()[0].is_detached());
        answer(batch);
    }
    resumed.await.unwrap();
    assert_eq!(answers.take().len(), 3);
}
