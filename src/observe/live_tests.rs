//! The last five minutes, on a paused clock.

use tokio::time::advance;

use super::*;
use crate::code::Code;
use crate::observe::metrics::{Bounds, Metrics};

const SECOND: Duration = Duration::from_secs(1);

fn left(size: usize) -> Left {
    Left {
        size,
        fill: 0.1,
        reason: FlushReason::Wait,
    }
}

/// The counts so far.
struct House {
    metrics: Metrics,
    batcher: Snapshot,
    live: Live,
}

impl House {
    fn new() -> Self {
        Self {
            metrics: Metrics::new(Bounds {
                max_size: 100,
                max_bytes: 1000,
            }),
            batcher: Snapshot::default(),
            live: Live::new(),
        }
    }

    fn now(&self) -> Now {
        Now {
            batcher: self.batcher,
            totals: self.metrics.totals(),
            log_lines_dropped: 0,
        }
    }

    fn batch(&mut self, size: usize) {
        self.batcher.accepted += size as u64;
        let waited = std::iter::repeat_n(Duration::from_millis(3), size);
        self.live.batch_left(left(size), waited, &self.now());
        self.live.batch_ended(size, SECOND, &self.now());
    }

    fn answer(&self, jobs: u64) {
        (0..jobs).for_each(|_| self.metrics.answered(Code::Ok, SECOND));
    }

    fn seconds(&self) -> Vec<Second> {
        self.live.read(|| self.now()).seconds
    }
}

fn oks(second: &Second) -> u64 {
    let ok = second.outcomes().find(|(code, _)| *code == Code::Ok);
    ok.map_or(0, |(_, count)| count)
}

#[tokio::test(start_paused = true)]
async fn jobs_come_before_their_batch_and_answers_after_it() {
    let mut house = House::new();
    house.batch(5);
    advance(100 * SECOND).await;
    // The answers are those of the batch before the long silence.
    house.answer(5);
    house.batch(7);
    house.answer(7);
    let seconds = house.seconds();
    let found: Vec<_> = seconds
        .iter()
        .map(|it| (it.jobs, it.batch_jobs, oks(it)))
        .collect();
    assert_eq!(found, [(5, 5, 5), (7, 7, 7)]);
    assert_eq!(seconds[1].t - seconds[0].t, 100);
    assert!(seconds.iter().all(|it| it.mean_fill() == 0.1));
}

#[tokio::test(start_paused = true)]
async fn a_second_without_anything_does_not_exist() {
    let mut house = House::new();
    assert!(house.seconds().is_empty());
    house.batch(1);
    advance(10 * SECOND).await;
    assert_eq!(house.seconds().len(), 1);
    // Somebody waits, so something happens.
    house.batcher.accepted += 1;
    assert_eq!(house.seconds().len(), 2);
    assert_eq!(house.seconds().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn five_minutes_are_kept_and_no_more() {
    let mut house = House::new();
    for _ in 0..400 {
        house.batch(1);
        advance(SECOND).await;
    }
    assert!((299..=300).contains(&house.seconds().len()));
    advance(100 * SECOND).await;
    assert!((199..=200).contains(&house.seconds().len()));
    advance(1000 * SECOND).await;
    assert!(house.seconds().is_empty());
}

#[tokio::test(start_paused = true)]
async fn slots_that_were_taken_for_long_were_so_in_every_second() {
    let mut house = House::new();
    for _ in 0..3 {
        house.batch(1);
        advance(SECOND).await;
    }
    house.batcher.saturated = 2 * SECOND + SECOND / 2;
    house.batch(1);
    let busy: Vec<_> = house.seconds().iter().map(Second::slots_busy).collect();
    assert_eq!(busy, [0.0, 0.5, 1.0, 1.0]);
}

/// Each second has the times of its own answers.
#[tokio::test(start_paused = true)]
async fn how_long_jobs_were_here_stands_in_the_second_of_their_answer() {
    let mut house = House::new();
    for ms in [10, 1_000] {
        house.batch(3);
        (0..3).for_each(|_| house.live.answered(Duration::from_millis(ms)));
        advance(2 * SECOND).await;
    }
    let seconds = house.seconds();
    for (second, ms) in seconds.iter().zip([10.0, 1_000.0]) {
        for share in [0.5, 0.99] {
            let found = second.job.quantile_ms(share).unwrap();
            assert!((found / ms - 1.0).abs() < 0.13, "{found} for {ms}");
        }
    }
    assert_eq!(seconds.len(), 2);
}

/// Threads note in another order than they counted.
#[tokio::test(start_paused = true)]
async fn a_count_that_is_older_than_the_last_is_nothing_new() {
    let mut house = House::new();
    let older = {
        house.batcher.accepted = 3;
        house.answer(2);
        house.now()
    };
    house.batcher.accepted = 10;
    house.answer(7);
    house.batcher.saturated = SECOND / 2;
    for now in [&house.now(), &older, &house.now()] {
        house.live.note(now);
    }
    house.live.read(|| older.clone());
    let seconds = house.seconds();
    let jobs: u64 = seconds.iter().map(|it| it.jobs).sum();
    let answered: u64 = seconds.iter().map(oks).sum();
    let busy: f64 = seconds.iter().map(Second::slots_busy).sum();
    assert_eq!((jobs, answered, busy), (10, 9, 0.5));
}

/// The queue is empty whenever a batch of all that waited has left.
#[tokio::test(start_paused = true)]
async fn the_most_that_waited_is_not_what_waits_once_a_batch_has_left() {
    let mut house = House::new();
    (house.batcher.most_queued, house.batcher.most_in_flight) = (7, 2);
    house.batcher.most_waiting_for_room = 5;
    house.batch(7);
    house.batcher.most_waiting_for_room = 0;
    (house.batcher.most_queued, house.batcher.most_in_flight) = (0, 0);
    house.batch(1);
    let seconds = house.seconds();
    assert_eq!((seconds[0].queue_jobs, seconds[0].in_flight), (7, 2));
    assert_eq!(seconds[0].waiting_for_room, 5);
}
