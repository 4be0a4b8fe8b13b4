//! The last five minutes, on a paused clock.

use tokio::time::advance;

use std::time::Duration;

use super::*;
use crate::batcher::FlushReason;
use crate::code::Code;
use crate::observe::metrics::Metrics;
use crate::observe::records::{RecordBounds, RecordCounts, Recovered};

const SECOND: Duration = Duration::from_secs(1);
const BOUNDS: Bounds = Bounds {
    max_size: 100,
    max_bytes: 1_000,
};

/// The counts so far.
struct Proxy {
    metrics: Metrics,
    batcher: Snapshot,
    live: Live,
}

impl Proxy {
    fn new() -> Self {
        Self {
            metrics: Metrics::new(BOUNDS),
            batcher: Snapshot::default(),
            live: Live::new(BOUNDS),
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            batcher: self.batcher,
            totals: self.metrics.totals(),
            log_lines_dropped: 0,
        }
    }

    fn tell(&self, event: &Event) {
        self.metrics.count(event);
        self.live.note(event, |_| self.moment());
    }

    /// A batch of so many jobs, which is full by its bytes to a tenth.
    fn batch(&mut self, jobs: usize) {
        self.batch_after(jobs, SECOND);
    }

    /// The same of jobs that have waited so long.
    fn batch_after(&mut self, jobs: usize, waited: Duration) {
        let batcher = self.batcher;
        self.batcher.accepted += jobs as u64;
        let (reason, outcome) = (FlushReason::Wait, Code::Ok);
        self.tell(&Event::BatchLeft {
            jobs,
            items: jobs,
            bytes: 100,
            reason,
            batcher,
        });
        (0..jobs).for_each(|_| self.tell(&Event::JobLeft { waited }));
        self.tell(&Event::BatchEnded {
            jobs,
            reason,
            outcome,
            upstream: SECOND,
            batcher,
        });
    }

    fn answer(&self, jobs: u64, after: Duration) {
        let outcome = Code::Ok;
        (0..jobs).for_each(|_| self.tell(&Event::Answered { outcome, after }));
    }

    fn seconds(&self) -> Vec<Second> {
        self.live.read(None, || self.moment()).seconds
    }
}

fn oks(second: &Second) -> u64 {
    second.outcomes[Code::Ok]
}

#[tokio::test(start_paused = true)]
async fn jobs_come_before_their_batch_and_answers_after_it() {
    let mut proxy = Proxy::new();
    proxy.batch(5);
    advance(100 * SECOND).await;
    // The answers are those of the batch before the long silence.
    proxy.answer(5, SECOND);
    proxy.batch(7);
    proxy.answer(7, SECOND);
    let seconds = proxy.seconds();
    let found: Vec<_> = seconds
        .iter()
        .map(|it| (it.counts.jobs, it.batch_jobs, oks(it)))
        .collect();
    assert_eq!(found, [(5, 5, 5), (7, 7, 7)]);
    assert_eq!(seconds[1].t - seconds[0].t, 100);
    assert!(seconds.iter().all(|it| it.mean_fill() == 0.1));
}

#[tokio::test(start_paused = true)]
async fn a_second_without_anything_does_not_exist() {
    let mut proxy = Proxy::new();
    assert!(proxy.seconds().is_empty());
    proxy.batch(1);
    advance(10 * SECOND).await;
    assert_eq!(proxy.seconds().len(), 1);
    // Somebody waits, so something happens.
    proxy.batcher.accepted += 1;
    assert_eq!(proxy.seconds().len(), 2);
    assert_eq!(proxy.seconds().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn five_minutes_are_kept_and_no_more() {
    let mut proxy = Proxy::new();
    for _ in 0..400 {
        proxy.batch(1);
        advance(SECOND).await;
    }
    assert!((299..=300).contains(&proxy.seconds().len()));
    advance(100 * SECOND).await;
    assert!((199..=200).contains(&proxy.seconds().len()));
    advance(1000 * SECOND).await;
    assert!(proxy.seconds().is_empty());
}

#[tokio::test(start_paused = true)]
async fn slots_that_were_taken_for_long_were_so_in_every_second() {
    let mut proxy = Proxy::new();
    for _ in 0..3 {
        proxy.batch(1);
        advance(SECOND).await;
    }
    proxy.batcher.saturated = 2 * SECOND + SECOND / 2;
    proxy.batch(1);
    let busy: Vec<_> = proxy.seconds().iter().map(Second::slots_busy).collect();
    assert_eq!(busy, [0.0, 0.5, 1.0, 1.0]);
}

/// Each second has the times of its own batches and answers.
#[tokio::test(start_paused = true)]
async fn times_of_jobs_stand_in_the_second_of_their_batch_and_of_their_answer() {
    let mut proxy = Proxy::new();
    for ms in [10, 1_000] {
        let time = Duration::from_millis(ms);
        proxy.batch_after(3, time);
        proxy.answer(3, time);
        advance(2 * SECOND).await;
    }
    let seconds = proxy.seconds();
    for (second, ms) in seconds.iter().zip([10.0, 1_000.0]) {
        for times in [&second.wait, &second.job] {
            let found = [0.5, 0.99].map(|share| times.quantile_ms(share).unwrap() / ms);
            assert!(found.iter().all(|it| (it - 1.0).abs() < 0.13), "{found:?}");
        }
    }
    assert_eq!(seconds.len(), 2);
}

/// Threads note in another order than they counted.
#[tokio::test(start_paused = true)]
async fn a_count_that_is_older_than_the_last_is_nothing_new() {
    let mut proxy = Proxy::new();
    let older = {
        proxy.batcher.accepted = 3;
        proxy.answer(2, SECOND);
        proxy.moment()
    };
    proxy.batcher.accepted = 10;
    proxy.answer(7, SECOND);
    proxy.batcher.saturated = SECOND / 2;
    let (code, batcher) = (Code::NotFound, proxy.batcher);
    for moment in [proxy.moment(), older.clone(), proxy.moment()] {
        let refused = Event::Refused { code, batcher };
        proxy.live.note(&refused, |_| moment);
    }
    proxy.live.read(None, || older.clone());
    let seconds = proxy.seconds();
    let jobs: u64 = seconds.iter().map(|it| it.counts.jobs).sum();
    let answered: u64 = seconds.iter().map(oks).sum();
    let busy: f64 = seconds.iter().map(Second::slots_busy).sum();
    assert_eq!((jobs, answered, busy), (10, 9, 0.5));
}

/// The queue is empty whenever a batch of all that waited has left.
#[tokio::test(start_paused = true)]
async fn the_most_that_waited_is_not_what_waits_once_a_batch_has_left() {
    let mut proxy = Proxy::new();
    (proxy.batcher.most_queued, proxy.batcher.most_in_flight) = (7, 2);
    proxy.batcher.most_waiting_for_room = 5;
    proxy.batch(7);
    proxy.batcher.most_waiting_for_room = 0;
    (proxy.batcher.most_queued, proxy.batcher.most_in_flight) = (0, 0);
    proxy.batch(1);
    let seconds = proxy.seconds();
    assert_eq!((seconds[0].queue_jobs, seconds[0].in_flight), (7, 2));
    assert_eq!(seconds[0].waiting_for_room, 5);
}

/// A store that lasts has counted before.
#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_did_did_not_happen_in_a_second() {
    let proxy = Proxy::new();
    let counts = |accepted, finished| RecordCounts {
        present: [accepted - finished, 0, 0, 0],
        accepted,
        finished: vec![(Code::Ok, finished)],
        ..RecordCounts::default()
    };
    proxy.tell(&Event::Found(counts(1_000, 900)));
    let asked = |accepted, finished| Records {
        counts: counts(accepted, finished),
        bounds: RecordBounds {
            records: 10,
            bytes: 10,
        },
    };
    let read = |asked| proxy.live.read(Some(asked), || proxy.moment()).seconds;
    let found = |seconds: Vec<Second>| {
        let second = seconds.last().cloned().unwrap_or_default();
        let later = second.later;
        (
            later.handed_in,
            later.finished[Code::Ok],
            second.backlog,
            seconds.len(),
        )
    };
    assert_eq!(found(read(asked(1_000, 900))), (0, 0, Some(100), 1));
    proxy.tell(&Event::Recorded(counts(1_001, 901)));
    assert_eq!(found(proxy.seconds()), (1, 1, Some(100), 1));
    advance(2 * SECOND).await;
    assert_eq!(found(read(asked(1_001, 911))), (0, 10, Some(90), 2));
}

/// They are seen with whatever is told next, or by whoever asks.
#[tokio::test(start_paused = true)]
async fn what_was_recovered_and_fenced_stands_in_its_second() {
    let proxy = Proxy::new();
    for (how, records) in Recovered::ALL.into_iter().zip([3, 2, 1]) {
        proxy.tell(&Event::Recovered { how, records });
    }
    proxy.tell(&Event::Fenced { records: 4 });
    let seconds = proxy.seconds();
    let [second] = &seconds[..] else {
        panic!("{seconds:?}");
    };
    assert_eq!(
        (second.counts.recovered, second.counts.fenced),
        ([3, 2, 1], 4)
    );
    let json = serde_json::to_value(second).unwrap();
    let later = &json["later"];
    let recovered =
        serde_json::json!({"queued_again": 3, "interrupted": 2, "attempts_exhausted": 1});
    assert_eq!(
        (&later["recovered"], &later["fenced"]),
        (&recovered, &4.into())
    );
}

/// Whoever tells of a commit, and whoever asks, has the counts of the store.
#[tokio::test(start_paused = true)]
async fn jobs_for_later_stand_in_the_second_of_their_commit() {
    let proxy = Proxy::new();
    let counts = |queued, finished, expired_unread| RecordCounts {
        present: [queued, 0, 0, 0],
        accepted: 10,
        finished: vec![(Code::Ok, finished), (Code::JobError, 1)],
        expired_unread,
        ..RecordCounts::default()
    };
    let commit = |counts| {
        proxy.tell(&Event::Recorded(counts));
    };
    commit(counts(9, 0, 0));
    commit(counts(7, 2, 0));
    advance(2 * SECOND).await;
    commit(counts(0, 8, 0));
    // An older one, which another thread tells later.
    commit(counts(4, 5, 0));
    advance(2 * SECOND).await;
    let asked = Records {
        counts: counts(0, 8, 3),
        bounds: RecordBounds {
            records: 10,
            bytes: 10,
        },
    };
    let seconds = (0..2).map(|_| proxy.live.read(Some(asked.clone()), || proxy.moment()));
    let seconds = seconds.last().unwrap().seconds;
    let found: Vec<_> = seconds
        .iter()
        .map(|it| {
            let later = &it.later;
            let oks = later.finished[Code::Ok];
            (later.handed_in, oks, later.expired_unread, it.backlog)
        })
        .collect();
    let expected = [(10, 2, 0, Some(9)), (0, 6, 0, Some(4)), (0, 0, 3, Some(0))];
    assert_eq!(found, expected);
    let json = serde_json::to_value(&seconds[0]).unwrap();
    let expected = serde_json::json!({
        "handed_in": 10, "outcomes": {"ok": 2, "job-error": 1}, "expired_unread": 0,
        "free_seats": 0, "recovered": {}, "fenced": 0, "backlog": 9,
    });
    assert_eq!(json["later"], expected);
    assert_eq!(
        serde_json::to_value(Second::new(1)).unwrap()["later"],
        serde_json::Value::Null
    );
}
