//! Detached items beside those of callers, on a paused clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, advance, sleep};

use super::tests::{Batches, FAR, Job, MS, answer, by_hand, keys, submit};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A key, and what became of its item.
pub(super) type Answered = (u64, Result<u64, Error>);

/// What became of detached items, in the order of their answers.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<Mutex<Vec<Answered>>>);

impl Answers {
    fn on_answer(&self, key: u64) -> OnAnswer<u64> {
        let answers = self.clone();
        Box::new(move |answer| answers.0.lock().unwrap().push((key, answer)))
    }

    pub(super) fn submit(&self, batcher: &Batcher<Job, u64>, key: u64) -> Detached<Job, u64> {
        self.submit_with(batcher, Job(key, 1), Instant::now() + FAR)
    }

    fn submit_with(
        &self,
        batcher: &Batcher<Job, u64>,
        job: Job,
        deadline: Instant,
    ) -> Detached<Job, u64> {
        self.submit_also(batcher, job, |it| it.deadline(deadline))
    }

    /// Where `also` says more of it.
    pub(super) fn submit_also(
        &self,
        batcher: &Batcher<Job, u64>,
        job: Job,
        also: impl FnOnce(Options) -> Options,
    ) -> Detached<Job, u64> {
        let options = Options::default().key(job.0).bytes(job.1);
        let on_answer = self.on_answer(job.0);
        let submitted = batcher.submit_detached(job, also(options), on_answer);
        submitted.unwrap()
    }

    pub(super) fn take(&self) -> Vec<Answered> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Of how many the answer may still come.
    pub(super) fn expected(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        max_size: 3,
        max_in_flight: 1,
        ..Settings::default()
    }
}

pub(super) fn nothing_left(batches: &mut Batches) {
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
    let start = Instant::now();
    let reply = submit(&batcher, 2);
    let batch = batches.recv().await.unwrap();
    assert_eq!((start.elapsed(), keys(&batch)), (5 * MS, vec![2, 1, 3]));
    let mine = |member: &Member<Job, u64>| !member.is_detached();
    assert_eq!(batch.members().iter().filter(|it| mine(it)).count(), 1);
    answer(batch);
    assert_eq!(reply.await, Ok(20));
    let batch = batches.recv().await.unwrap();
    assert_eq!((start.elapsed(), keys(&batch)), (SECOND, vec![2, 4]));
    answer(batch);
    assert_eq!(batcher.snapshot().detached_rode, 2);
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
        batch_overhead: 2,
        ..settings()
    });
    let answers = Answers::default();
    let deadline = Instant::now() + FAR;
    for (key, bytes) in [(1, 7), (2, 7)] {
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
    assert_eq!(keys(&batch), [3, 2], "2, 1 and 7");
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
    // Which ends with that, unlike the other.
    batcher.hold_detached(Some(Instant::now() + FAR));
    batcher.pause_detached(Instant::now() + SECOND);
    batcher.pause_detached(Instant::now() + MS);
    batcher.hold_detached(None);
    batcher.hold_detached(Some(Instant::now() + FAR));
    let reply = submit(&batcher, 7);
    let start = Instant::now();
    batcher.close();
    answer(batches.recv().await.unwrap());
    assert_eq!((start.elapsed(), reply.await), (Duration::ZERO, Ok(70)));
    let waiting = batcher.clone();
    let vacated = tokio::spawn(async move { waiting.vacated().await });
    for expected in [vec![1, 2, 3], vec![4]] {
        let batch = batches.recv().await.unwrap();
        assert_eq!(
            (keys(&batch), batch.reason()),
            (expected, FlushReason::Drain)
        );
        assert_eq!(start.elapsed(), SECOND);
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

#[tokio::test(start_paused = true)]
async fn the_last_free_slot_is_left_to_callers_who_gather() {
    let (batcher, mut batches) = by_hand(Settings {
        max_in_flight: 2,
        ..settings()
    });
    let answers = Answers::default();
    let start = Instant::now();
    let reply = submit(&batcher, 1);
    let detached: Vec<_> = (11..=17).map(|key| answers.submit(&batcher, key)).collect();
    let alone = batches.recv().await.unwrap();
    assert_eq!(
        (start.elapsed(), keys(&alone)),
        (Duration::ZERO, vec![11, 12, 13])
    );
    // For the callers' batch it is as if nothing else waited.
    let batch = batches.recv().await.unwrap();
    assert_eq!((start.elapsed(), keys(&batch)), (5 * MS, vec![1, 14, 15]));
    answer(batch);
    assert_eq!(reply.await, Ok(10));
    // Nobody waits any more.
    let last = batches.recv().await.unwrap();
    assert_eq!((start.elapsed(), keys(&last)), (SECOND, vec![16, 17]));
    drop((alone, last, detached));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_left_leaves_the_last_slot_too() {
    let (batcher, mut batches) = by_hand(Settings {
        max_wait: FAR,
        ..settings()
    });
    let answers = Answers::default();
    let start = Instant::now();
    let reply = submit(&batcher, 1);
    (11..=13).for_each(|key| drop(answers.submit(&batcher, key)));
    sleep(SECOND).await;
    nothing_left(&mut batches);
    drop(reply);
    let batch = batches.recv().await.unwrap();
    assert_eq!((start.elapsed(), keys(&batch)), (SECOND, vec![11, 12, 13]));
}

#[tokio::test(start_paused = true)]
async fn the_old_do_not_wait_for_callers_who_gather() {
    for (waits, old_after) in [
        (Duration::ZERO, 100 * MS),
        (5 * MS, 100 * MS),
        (50 * MS, 500 * MS),
        (SECOND, 10 * SECOND),
    ] {
        let (batcher, mut batches) = by_hand(Settings {
            max_wait: FAR,
            detached_max_wait: waits,
            ..settings()
        });
        let answers = Answers::default();
        let start = Instant::now();
        let _reply = submit(&batcher, 1);
        (11..=13).for_each(|key| drop(answers.submit(&batcher, key)));
        let batch = batches.recv().await.unwrap();
        assert_eq!(
            (start.elapsed(), keys(&batch)),
            (old_after, vec![11, 12, 13])
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_that_are_due_at_once_expire_and_none_of_them_leaves() {
    let (batcher, mut batches) = by_hand(Settings {
        max_in_flight: 9,
        ..settings()
    });
    let answers = Answers::default();
    let due = Instant::now() + SECOND;
    batcher.hold_detached(Some(due));
    for key in 0..1000 {
        drop(answers.submit_with(&batcher, Job(key, 1), due));
    }
    // A caller whose batch leaves when a first portion has expired.
    sleep(995 * MS).await;
    let reply = submit(&batcher, 7777);
    let batch = batches.recv().await.unwrap();
    assert_eq!((Instant::now(), keys(&batch)), (due, vec![7777]));
    answer(batch);
    assert_eq!(reply.await, Ok(77770));
    sleep(MS).await;
    nothing_left(&mut batches);
    let answers = answers.take();
    assert_eq!(answers.len(), 1000);
    let expired = |it: &Answered| matches!(it.1, Err(Error::Expired { .. }));
    assert!(answers.iter().all(expired));
}

/// On whichever runtime they wait.
#[test]
fn callers_are_woken_before_answers_are_handed_over() {
    use std::sync::mpsc;
    use tokio::runtime::Builder;
    let runtime = || Builder::new_current_thread().enable_time().build().unwrap();
    let (here, there) = (runtime(), runtime());
    let (batcher, mut batches) = here.block_on(async { by_hand(settings()) });
    let elsewhere = there.block_on(async { batcher.on_this_runtime() });
    let (woken, is_woken) = mpsc::channel();
    let (handed_over, was_woken) = mpsc::channel();
    let on_answer: OnAnswer<u64> = Box::new(move |_| {
        let woken = is_woken.recv_timeout(60 * SECOND);
        handed_over.send(woken).unwrap();
    });
    let detached =
        here.block_on(async { batcher.submit_detached(Job(1, 1), Options::default(), on_answer) });
    // Its waker is asked before anything is answered.
    let (asks, asked) = mpsc::channel::<()>();
    let caller = std::thread::spawn(move || {
        there.block_on(async move {
            let mut reply = submit(&elsewhere, 2);
            let mut asks = Some(asks);
            let answer = std::future::poll_fn(|context| {
                let polled = std::pin::Pin::new(&mut reply).poll(context);
                drop(asks.take());
                polled
            });
            let answer = answer.await;
            woken.send(()).unwrap();
            answer
        })
    });
    assert!(asked.recv().is_err());
    let batch = here.block_on(batches.recv()).unwrap();
    assert_eq!(keys(&batch), [2, 1]);
    here.block_on(async { answer(batch) });
    assert_eq!(
        was_woken.recv().unwrap(),
        Ok(()),
        "callers wait for what is done"
    );
    assert_eq!(caller.join().unwrap(), Ok(20));
    drop(detached);
}
