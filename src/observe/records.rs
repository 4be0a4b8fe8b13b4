//! Counts of the jobs whose answers are fetched later, as their store has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::code::Code;

/// Counts of records, all of one moment: made = deleted + expired + present, and made =
/// finished + deleted before they finished + queued + sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Records present, by state, in the order of [`STATES`](Self::STATES).
    pub present: [u64; 4],
    /// The bytes of their jobs and answers.
    pub bytes: u64,
    /// How long ago the oldest of those that are queued was handed in.
    pub oldest_queued: Option<Duration>,
    /// Records ever made.
    pub accepted: u64,
    /// Records ever finished, by what they came to.
    pub finished: Vec<(Code, u64)>,
    /// Records ever deleted, by the state they had, in the order of
    /// [`STATES`](Self::STATES).
    pub deleted: [u64; 4],
    /// Records that expired and had been read.
    pub expired_read: u64,
    /// Records that expired and that nobody had read.
    pub expired_unread: u64,
}

impl RecordCounts {
    /// The names of the states that a record can be in.
    pub const STATES: [&str; 4] = ["queued", "sent", "done", "failed"];

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.present.iter().sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        let add = |all: &mut [u64; 4], more: &[u64; 4]| {
            all.iter_mut()
                .zip(more)
                .for_each(|(all, more)| *all += more);
        };
        add(&mut self.present, &other.present);
        add(&mut self.deleted, &other.deleted);
        self.bytes += other.bytes;
        self.oldest_queued = self.oldest_queued.max(other.oldest_queued);
        self.accepted += other.accepted;
        self.expired_read += other.expired_read;
        self.expired_unread += other.expired_unread;
        let mut finished: BTreeMap<_, _> = self.finished.drain(..).collect();
        for &(code, count) in &other.finished {
            *finished.entry(code).or_default() += count;
        }
        self.finished.extend(finished);
    }
}

/// Counts of records by the names of their routes, all of one moment: of every route that
/// had one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountsByRoute(BTreeMap<Arc<str>, RecordCounts>);

impl CountsByRoute {
    /// Those of a route; none where it never had a record.
    pub fn of(&self, route: &str) -> RecordCounts {
        self.get(route).cloned().unwrap_or_default()
    }

    /// Those of a route that ever had a record.
    pub fn get(&self, route: &str) -> Option<&RecordCounts> {
        self.0.get(route)
    }

    /// Those of all routes together.
    pub fn total(&self) -> RecordCounts {
        let mut total = RecordCounts::default();
        self.0.values().for_each(|it| total.add(it));
        total
    }

    /// Each route with its own, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RecordCounts)> {
        self.0.iter().map(|(route, counts)| (&**route, counts))
    }
}

impl FromIterator<(Arc<str>, RecordCounts)> for CountsByRoute {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, RecordCounts)>>(counts: I) -> Self {
        Self(counts.into_iter().collect())
    }
}

/// What a store may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordBounds {
    /// `later.max_jobs`.
    pub records: usize,
    /// `later.max_bytes`.
    pub bytes: usize,
}

/// The records at one moment, and what their store may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// What is counted.
    pub counts: RecordCounts,
    /// The bounds.
    pub bounds: RecordBounds,
}

impl Records {
    /// How full the store is: by records or by bytes, whichever is more; over 1 by what
    /// was on its way.
    pub fn fill(&self) -> f64 {
        let by_records = self.counts.records() as f64 / self.bounds.records as f64;
        let by_bytes = self.counts.bytes as f64 / self.bounds.bytes as f64;
        by_records.max(by_bytes)
    }
}

/// What becomes of a job for later that was found sent by a process which is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// It is sent again.
    QueuedAgain,
    /// It is answered, since it must not be sent twice.
    Interrupted,
    /// It is answered, since it was sent as often as it may be.
    AttemptsExhausted,
}

impl Recovered {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::QueuedAgain,
        Self::Interrupted,
        Self::AttemptsExhausted,
    ];

    /// Its name as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueuedAgain => "queued_again",
            Self::Interrupted => "interrupted",
            Self::AttemptsExhausted => "attempts_exhausted",
        }
    }
}

/// What a store is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreStep {
    /// To make records.
    Accept,
    /// To note that jobs are about to be sent, or wait again.
    Sent,
    /// To keep answers.
    Finish,
    /// To read a record or a stream.
    Fetch,
    /// To remove a record.
    Delete,
    /// To remove what has expired.
    Expire,
}

impl StoreStep {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Accept,
        Self::Sent,
        Self::Finish,
        Self::Fetch,
        Self::Delete,
        Self::Expire,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Sent => "sent",
            Self::Finish => "finish",
            Self::Fetch => "fetch",
            Self::Delete => "delete",
            Self::Expire => "expire",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_of_all_routes_is_the_sum() {
        let one = RecordCounts {
            present: [1, 2, 3, 4],
            bytes: 5,
            oldest_queued: Some(Duration::from_secs(1)),
            accepted: 20,
            finished: vec![(Code::Ok, 6), (Code::JobError, 1)],
            deleted: [1, 1, 2, 2],
            expired_read: 3,
            expired_unread: 1,
        };
        let other = RecordCounts {
            oldest_queued: Some(Duration::from_secs(2)),
            finished: vec![(Code::Ok, 1), (Code::UpstreamError, 2)],
            ..one.clone()
        };
        let third = RecordCounts::default();
        let all = [("b", one.clone()), ("a", other), ("c", third)];
        let all: CountsByRoute = all
            .map(|(name, it)| (name.into(), it))
            .into_iter()
            .collect();
        let mut finished = vec![(Code::Ok, 7), (Code::JobError, 1), (Code::UpstreamError, 2)];
        finished.sort();
        let total = RecordCounts {
            present: [2, 4, 6, 8],
            bytes: 10,
            oldest_queued: Some(Duration::from_secs(2)),
            accepted: 40,
            finished,
            deleted: [2, 2, 4, 4],
            expired_read: 6,
            expired_unread: 2,
        };
        assert_eq!(all.total(), total);
        assert_eq!((all.of("b"), all.of("d")), (one, RecordCounts::default()));
        let names: Vec<_> = all.iter().map(|it| it.0).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn a_store_is_as_full_as_the_fuller_of_its_bounds() {
        for (present, bytes, fill) in [
            ([0; 4], 0, 0.0),
            ([1, 1, 2, 1], 100, 0.5),
            ([1, 0, 0, 0], 900, 0.9),
            ([12, 0, 0, 0], 900, 1.2),
        ] {
            let records = Records {
                counts: RecordCounts {
                    present,
                    bytes,
                    ..RecordCounts::default()
                },
                bounds: RecordBounds {
                    records: 10,
                    bytes: 1_000,
                },
            };
            assert_eq!(records.fill(), fill, "{records:?}");
        }
    }
}
