//! Detached items beside those of callers: withdrawn, put back and answered at any moment.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use microbatch_batcher::{Batcher, Detached, Error, OnAnswer, OnFull, Settings, Stage};
use shuttle::sync::atomic::AtomicUsize;
use tokio::explore::explore;
use tokio::time::Instant;

use super::harness::*;

/// What became of detached items: of each how often its answer was told, and whether what
/// is done with it is still there.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(u64, Result<u64, Error>)>>>);

impl Told {
    fn submit(&self, batcher: &TestBatcher, key: u64) -> Detached<u64, u64> {
        self.try_submit(batcher, key).unwrap()
    }

    fn try_submit(&self, batcher: &TestBatcher, key: u64) -> Option<Detached<u64, u64>> {
        let told = self.clone();
        let on_answer: OnAnswer<u64> = Box::new(move |answer| {
            // Not shuttle's: it is no part of the story.
            let mut told = told.0.lock().unwrap_or_else(PoisonError::into_inner);
            assert!(answer.is_err() || answer == Ok(own(key)));
            told.push((key, answer));
        });
        let submitted = batcher.submit_detached(key, options(key, NEVER), on_answer);
        submitted.ok()
    }

    fn times(&self, key: u64) -> usize {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().filter(|it| it.0 == key).count()
    }

    /// Nothing holds what is to be done with an answer any more.
    fn is_over(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// Answers, forgets, parks or puts back what it gets, as a processor does whose upstream
/// comes and goes.
async fn process(mut batch: TestBatch) {
    match choose(5) {
        0 => drop(batch),
        1 => {
            batch.put_back_detached();
            dawdle(2).await;
            answer(batch);
        }
        2 => {
            batch.park();
            dawdle(2).await;
            batch.resume(batch.slot().await);
            answer(batch);
        }
        3 => {
            let half = batch.split();
            dawdle(1).await;
            answer(batch);
            answer(half);
        }
        _ => {
            dawdle(2).await;
            answer(batch);
        }
    }
}

/// Callers and detached items, some of which are withdrawn at some moment. An item could
/// be told twice or never, be withdrawn and told after all that, be lost on its way back,
/// or be counted among the callers'.
#[test]
fn a_detached_item_is_told_once_or_was_withdrawn() {
    explore(|| async {
        let settings = Settings {
            max_wait: MS,
            detached_max_wait: MS,
            queue_items: 2,
            on_full: OnFull::Wait,
            ..settings()
        };
        let batcher = Batcher::with_batches(settings, process);
        let told = Told::default();
        let callers = (0..3).map(|key| spawn(call(batcher.clone(), key, NEVER)));
        let callers = callers.collect();
        // Two have the key of a caller's, and of each other.
        let keys = [0, 7, 8];
        let detached = keys.map(|key| {
            let (batcher, told) = (batcher.clone(), told.clone());
            spawn(async move {
                dawdle(2).await;
                let detached = told.submit(&batcher, key);
                if choose(2) == 0 {
                    dawdle(5).await;
                    detached.withdraw();
                    assert_eq!(detached.stage(), None);
                    return true;
                }
                false
            })
        });
        let seen = join(callers).await;
        let withdrawn = join(detached.into()).await;
        settled(batcher, seen).await;
        for (key, withdrawn) in keys.into_iter().zip(withdrawn) {
            let times = told.times(key);
            assert!(times == 1 || withdrawn && times == 0, "{key}: {times}");
        }
        assert!(told.is_over());
    });
}

/// It is put back while it is withdrawn: it could be left in line with nobody to answer,
/// or its batch never hear of it.
#[test]
fn a_withdrawn_item_is_not_put_back() {
    explore(|| async {
        let settings = Settings {
            detached_max_wait: MS,
            ..settings()
        };
        let (batcher, mut batches) = by_hand(settings);
        let told = Told::default();
        let first = told.submit(&batcher, 1);
        let second = told.submit(&batcher, 2);
        let mut batch = batches.recv().await.unwrap();
        let abandoned = batch.abandoned();
        let withdrawer = spawn(async move {
            dawdle(2).await;
            first.withdraw();
        });
        batcher.hold_detached(Some(Instant::now() + NEVER));
        dawdle(2).await;
        let put_back = batch.put_back_detached();
        assert!(put_back == 1 || put_back == 2);
        abandoned.await;
        drop(batch);
        withdrawer.await.unwrap();
        assert_eq!(batcher.snapshot().detached_queued, 1);
        assert_eq!(second.stage(), Some(Stage::Queued));
        batcher.hold_detached(None);
        let batch = batches.recv().await.unwrap();
        assert_eq!(batch.len(), 1);
        answer(batch);
        settled(batcher, []).await;
        assert_eq!((told.times(1), told.times(2)), (0, 1));
    });
}

/// The last is withdrawn while its batch is answered or is not: whoever waits for the batch
/// to be abandoned must hear of it in any case, and its slot be free again.
#[test]
fn a_batch_of_withdrawn_items_is_abandoned() {
    explore(|| async {
        let (batcher, mut batches) = by_hand(settings());
        let told = Told::default();
        let detached = [1, 2].map(|key| told.submit(&batcher, key));
        let batch = batches.recv().await.unwrap();
        let abandoned = batch.abandoned();
        let withdrawers = detached.map(|it| {
            spawn(async move {
                dawdle(2).await;
                it.withdraw();
            })
        });
        let answers = choose(2) == 0;
        let (answerer, kept) = match answers {
            true => {
                let answerer = spawn(async move {
                    dawdle(2).await;
                    answer(batch);
                });
                (Some(answerer), None)
            }
            false => (None, Some(batch)),
        };
        abandoned.await;
        drop(kept);
        join(withdrawers.into()).await;
        join(answerer.into_iter().collect()).await;
        settled(batcher, []).await;
        assert!(told.times(1) <= usize::from(answers));
        assert!(told.is_over());
    });
}

/// It closes and is abandoned while a batch puts its items back: they could wait in a
/// batcher that nothing leaves any more. Whoever waits for it to be vacant must not be told
/// before the last answer is.
#[test]
fn nothing_is_left_of_what_is_put_back_at_the_end() {
    explore(|| async {
        let settings = Settings {
            detached_max_wait: MS,
            ..settings()
        };
        let (batcher, mut batches) = by_hand(settings);
        let told = Told::default();
        let items = Arc::new(AtomicUsize::new(0));
        let submitting = (batcher.clone(), told.clone(), Arc::clone(&items));
        let submitter = spawn(async move {
            let (batcher, told, items) = submitting;
            for key in 1..4 {
                if told.try_submit(&batcher, key).is_some() {
                    items.fetch_add(1, Ordering::SeqCst);
                }
                dawdle(1).await;
            }
        });
        let putting = spawn(async move {
            while let Some(mut batch) = batches.recv().await {
                dawdle(1).await;
                if choose(2) == 0 {
                    batch.put_back_detached();
                }
                answer(batch);
            }
        });
        submitter.await.unwrap();
        batcher.close();
        batcher.hold_detached(Some(Instant::now() + NEVER));
        dawdle(3).await;
        batcher.abandon();
        batcher.vacated().await;
        let told: usize = (1..4).map(|key| told.times(key)).sum();
        assert_eq!(told, items.load(Ordering::SeqCst));
        drop((batcher, putting));
    });
}
