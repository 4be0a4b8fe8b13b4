//! A store and a simple model of it, asked the same, answer the same, step by step.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tokio::runtime::Builder;

use super::*;
use crate::job::State;
use crate::later::record::Millis;
use crate::later::store::{Expired, Position};
use crate::observe::{CountsByRoute, RecordCounts};

/// Few and small, so that all bounds are met.
const SMALL: Settings = Settings {
    max_jobs: 6,
    max_bytes: 300,
    keep: Duration::from_millis(1000),
    job_timeout: Duration::from_secs(10),
    max_wait: Duration::ZERO,
    max_attempts: 3,
};

#[derive(Clone, Debug)]
struct Job {
    route: u8,
    bytes: usize,
    key: Option<u8>,
    digest: u8,
    stream: Option<u8>,
    frame: u8,
    /// From when it is made on.
    deadline: Millis,
}

/// What is asked. Records are named by a number among all that were ever made, and
/// positions by one among those that were ever read.
#[derive(Clone, Debug)]
enum Step {
    Accept(Vec<Job>),
    Sent(Vec<usize>),
    QueuedAgain(Vec<usize>),
    /// Where jobs are claimed: of a route, which of them, and how many and how much at
    /// most.
    Claim(u8, Asked, usize, usize),
    Release(Vec<usize>),
    /// Where records outlast the process.
    Reopen,
    Finish(Vec<(usize, u16, usize)>),
    /// For its answer or its state.
    Fetch(usize, bool),
    Delete(usize),
    Pass(u64),
    Read(u8, Option<usize>, usize),
}

/// Which jobs are claimed, told from the time of that step on.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// The oldest is due that is so old.
    Batch(Millis),
    Any,
    Overdue,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let job = (
        0..2_u8,
        10..80_usize,
        option::of(0..3_u8),
        0..2_u8,
        option::of(0..3_u8),
        0..2_u8,
        100..2000_u64,
    );
    let job = job.prop_map(|(route, bytes, key, digest, stream, frame, deadline)| Job {
        route,
        bytes,
        key,
        digest,
        stream,
        frame,
        deadline,
    });
    let which = || 0..1000_usize;
    let status = prop_oneof![Just(200_u16), Just(503)];
    let asked = prop_oneof![
        (0..700_u64).prop_map(Asked::Batch),
        Just(Asked::Any),
        Just(Asked::Overdue),
    ];
    let claim = (0..2_u8, asked, 1..4_usize, 1..200_usize);
    let step = prop_oneof![
        4 => vec(job, 1..4).prop_map(Step::Accept),
        3 => vec(which(), 1..4).prop_map(Step::Sent),
        1 => vec(which(), 1..4).prop_map(Step::QueuedAgain),
        5 => claim.prop_map(|(route, asked, items, bytes)| Step::Claim(route, asked, items, bytes)),
        1 => vec(which(), 1..4).prop_map(Step::Release),
        1 => Just(Step::Reopen),
        3 => vec((which(), status, 0..90_usize), 1..4).prop_map(Step::Finish),
        1 => (which(), any::<bool>()).prop_map(|(which, look)| Step::Fetch(which, look)),
        2 => which().prop_map(Step::Delete),
        2 => (1..700_u64).prop_map(Step::Pass),
        3 => (0..4_u8, option::of(which()), 1..4_usize)
            .prop_map(|(stream, after, limit)| Step::Read(stream, after, limit)),
    ];
    vec(step, 1..60)
}

#[derive(Clone, Debug)]
struct Kept {
    new: NewRecord,
    state: State,
    read: bool,
    bytes: usize,
    expires_at: Millis,
    /// How many had finished before.
    finished: Option<(u64, Answer)>,
    position: Option<Position>,
    /// Whether the process has claimed it, where jobs are claimed.
    claimed: bool,
    interrupted: u32,
}

impl Kept {
    fn is_read_as(&self, record: &Record) {
        assert_eq!(record.handle, self.new.handle);
        assert_eq!(record.route, self.new.route);
        assert_eq!(record.id.as_ref(), self.new.job.id());
        assert_eq!(
            (record.state, record.expires_at),
            (self.state, self.expires_at)
        );
        assert_eq!(record.answer, self.finished.as_ref().map(|it| it.1.clone()));
    }
}

/// What there was of a route.
#[derive(Default)]
struct Past {
    counts: RecordCounts,
    finished: BTreeMap<Code, u64>,
}

#[derive(Default)]
struct Model {
    /// Whether jobs are claimed from the store.
    is_claimed_from: bool,
    records: BTreeMap<Handle, Kept>,
    /// What there was of each route.
    past: BTreeMap<RouteName, Past>,
    order: u64,
    /// The positions at which answers were seen and have expired, in which stream.
    expired: Vec<(StreamName, Position)>,
    /// Whether an answer that nobody saw has expired since a position.
    unseen_expired: Vec<(StreamName, u64)>,
    /// After how many finished ones each position was read.
    read_at: BTreeMap<Position, u64>,
}

impl Model {
    fn counts(&self) -> CountsByRoute {
        let routes = self.past.iter();
        let counts = routes.map(|(route, past)| (route.text(), self.counts_of(route, past)));
        counts.collect()
    }

    fn counts_of(&self, route: &RouteName, past: &Past) -> RecordCounts {
        let mut counts = past.counts.clone();
        counts.finished = past.finished.iter().map(|it| (*it.0, *it.1)).collect();
        let records = self.records.values().filter(|it| it.new.route == *route);
        for kept in records.clone() {
            counts.present[kept.state as usize] += 1;
            counts.bytes += kept.bytes as u64;
        }
        let queued = records.filter(|it| it.state == State::Queued);
        let oldest = queued.map(|it| it.new.handle.millis()).min();
        counts.oldest_queued = oldest.map(|it| Duration::from_millis(clock::now() - it));
        counts
    }

    fn past(&mut self, route: &RouteName) -> &mut Past {
        self.past.entry(route.clone()).or_default()
    }

    fn next_expiry(&self) -> Option<Millis> {
        let finished = self.records.values().filter(|it| it.finished.is_some());
        finished.map(|it| it.expires_at).min()
    }

    fn accept(&mut self, new: &NewRecord) -> Result<(bool, Handle), Refused> {
        if let Some(given) = &new.idempotency {
            let same_key = |kept: &&mut Kept| {
                let key = kept.new.idempotency.as_ref().map(|it| &it.key);
                kept.new.route == new.route && key == Some(&given.key)
            };
            if let Some(kept) = self.records.values_mut().find(same_key) {
                let same = kept.new.idempotency.as_ref() == Some(given);
                kept.read |= same && kept.finished.is_some();
                let handle = kept.new.handle;
                return same.then_some((false, handle)).ok_or(Refused::KeyReused);
            }
        }
        let bytes = new.job.bytes();
        let filled = self.records.values().map(|it| it.bytes).sum::<usize>() + bytes;
        if self.records.len() >= SMALL.max_jobs || filled > SMALL.max_bytes {
            let next_expiry = self.next_expiry();
            return Err(Refused::Full { next_expiry });
        }
        self.past(&new.route).counts.accepted += 1;
        let kept = Kept {
            new: new.clone(),
            state: State::Queued,
            read: false,
            bytes,
            expires_at: new.deadline + 1000,
            finished: None,
            position: None,
            claimed: !self.is_claimed_from,
            interrupted: 0,
        };
        self.records.insert(new.handle, kept);
        Ok((true, new.handle))
    }

    fn goes_on(&mut self, handle: Handle, state: State) -> bool {
        let kept = self.records.get_mut(&handle);
        let kept = kept.filter(|it| it.finished.is_none() && it.claimed);
        kept.map(|it| it.state = state).is_some()
    }

    /// Those that wait to be claimed, of a route, in the order of their age.
    fn waiting(&self, route: &RouteName) -> Vec<&Kept> {
        let waits = |it: &&Kept| it.finished.is_none() && !it.claimed && it.new.route == *route;
        self.records.values().filter(waits).collect()
    }

    fn release(&mut self, handle: Handle) {
        let kept = self.records.get_mut(&handle);
        if let Some(kept) = kept.filter(|it| it.finished.is_none() && it.claimed) {
            (kept.claimed, kept.state) = (false, State::Queued);
        }
    }

    /// The process ends, and another begins.
    fn reopened(&mut self) {
        for kept in self.records.values_mut() {
            let was_sent = kept.finished.is_none() && kept.claimed && kept.state == State::Sent;
            kept.interrupted += u32::from(was_sent);
            if kept.finished.is_none() {
                (kept.claimed, kept.state) = (false, State::Queued);
            }
        }
    }

    fn finish(&mut self, handle: Handle, answer: &Answer) -> Option<StreamName> {
        let kept = self.records.get_mut(&handle)?;
        if kept.finished.is_none() {
            self.order += 1;
            kept.finished = Some((self.order, answer.clone()));
            kept.state = answer.state();
            kept.bytes = answer.bytes();
            kept.expires_at = clock::now() + 1000;
            let past = self.past.entry(kept.new.route.clone()).or_default();
            *past.finished.entry(answer.code()).or_default() += 1;
        }
        kept.new.stream.clone()
    }

    fn expire(&mut self) -> usize {
        let now = clock::now();
        let due = |kept: &Kept| kept.finished.is_some() && kept.expires_at <= now;
        let due = self.records.extract_if(.., |_, kept| due(kept));
        let due: Vec<_> = due.map(|it| it.1).collect();
        for kept in &due {
            let counts = &mut self.past(&kept.new.route).counts;
            match kept.read {
                true => counts.expired_read += 1,
                false => counts.expired_unread += 1,
            }
            if let Some(stream) = kept.new.stream.clone() {
                match (kept.position, &kept.finished) {
                    (Some(position), _) => self.expired.push((stream, position)),
                    (None, Some((order, _))) => self.unseen_expired.push((stream, *order)),
                    (None, None) => unreachable!("it is finished"),
                }
            }
        }
        due.len()
    }

    /// The answers of a stream after a position, which is told by how many had finished.
    fn stream(&self, name: &StreamName, after: Option<u64>) -> Vec<Handle> {
        let order = |kept: &Kept| kept.finished.as_ref().map(|it| it.0);
        let of_it = self
            .records
            .values()
            .filter(|it| it.new.stream.as_ref() == Some(name));
        let later = of_it.filter(|it| order(it).is_some_and(|it| after.is_none_or(|at| it > at)));
        let mut found: Vec<_> = later.map(|it| (order(it), it.new.handle)).collect();
        found.sort();
        found.into_iter().map(|it| it.1).collect()
    }
}

/// The store, the model, and what was ever made.
struct Both<S> {
    /// But while it is opened again.
    store: Option<S>,
    model: Model,
    made: Vec<Handle>,
}

impl<S: Store> Both<S> {
    fn store(&self) -> &S {
        self.store.as_ref().unwrap()
    }

    /// Claims, and sees that it was given what it may be.
    async fn claim(&mut self, route_number: u8, asked: Asked, items: usize, bytes: usize) {
        let route = route(&format!("r{route_number}"));
        let (now, store) = (clock::now(), self.store.as_ref().unwrap());
        let which = match asked {
            Asked::Batch(age) => Which::Batch { due: now - age },
            Asked::Any => Which::Any,
            Asked::Overdue => Which::Overdue { now },
        };
        let Some(backlog) = store.backlog() else {
            return;
        };
        let claim = Claim {
            route: route.clone(),
            max_items: items,
            max_bytes: bytes,
            which,
        };
        let claimed = backlog.claim(claim).await.unwrap();
        let waiting = self.model.waiting(&route);
        let allowed = |it: &&Kept| match which {
            Which::Overdue { now } => it.new.deadline <= now,
            Which::Any | Which::Batch { .. } => true,
        };
        let allowed: Vec<_> = waiting.into_iter().filter(allowed).collect();
        let handles = |these: &[&Kept]| these.iter().map(|it| it.new.handle).collect::<Vec<_>>();
        let given: Vec<_> = claimed.iter().map(|it| it.handle).collect();
        if let Some(first) = allowed.iter().find(|it| it.interrupted > 0) {
            let of_that_kind = allowed.iter().filter(|it| it.interrupted > 0);
            match which {
                // Which of those comes first is nobody's business.
                Which::Overdue { .. } => {
                    let possible: Vec<_> = of_that_kind.map(|it| it.new.handle).collect();
                    assert!(given.len() == 1 && possible.contains(&given[0]));
                }
                _ => assert_eq!(given, [first.new.handle]),
            }
        } else if let Which::Overdue { .. } = which {
            assert_eq!(given.is_empty(), allowed.is_empty());
            assert!(given.iter().all(|it| handles(&allowed).contains(it)));
        } else {
            let frames: Vec<Vec<&Kept>> = [0, 1]
                .map(|frame| {
                    let of_it = allowed.iter().filter(|it| it.new.frame == [frame; 16]);
                    of_it.copied().collect()
                })
                .to_vec();
            let size = |these: &[&Kept]| these.iter().map(|it| it.bytes).sum::<usize>();
            let is_full = |these: &[&Kept]| these.len() >= items || size(these) >= bytes;
            let oldest = allowed.first();
            let is_due = oldest.is_some_and(|it| match which {
                Which::Batch { due } => it.new.handle.millis() <= due,
                _ => true,
            });
            // Of a frame the oldest, as many as fit.
            let prefix = |frame: &Vec<&Kept>| {
                let fits = |n: &usize| *n == 1 || (*n <= items && size(&frame[..*n]) <= bytes);
                let most = (1..=frame.len()).take_while(fits).last().unwrap_or(0);
                handles(&frame[..most])
            };
            // Which of those comes first that came in one moment is nobody's business.
            let since = |it: Option<&&Kept>| it.map(|it| it.new.handle.millis());
            let possible = frames.iter().filter(|frame| match is_due {
                true => since(frame.first()) == since(oldest),
                false => is_full(frame),
            });
            let possible: Vec<_> = possible.filter(|it| !it.is_empty()).map(prefix).collect();
            match given.is_empty() {
                true => assert!(possible.is_empty(), "{possible:?}"),
                false => assert!(possible.contains(&given), "{given:?} of {possible:?}"),
            }
        }
        for claimed in claimed {
            let kept = self.model.records.get_mut(&claimed.handle).unwrap();
            let job = crate::later::kept::Kept::of(&kept.new.job).to_bytes();
            assert_eq!(claimed.job, job);
            assert_eq!(
                (claimed.deadline, claimed.interrupted),
                (kept.new.deadline, kept.interrupted)
            );
            (kept.claimed, kept.state) = (true, State::Sent);
        }
    }

    /// What waits is known.
    fn waits(&self) {
        let Some(backlog) = self.store().backlog() else {
            return;
        };
        for number in 0..2 {
            let route = route(&format!("r{number}"));
            let (waiting, expected) = (backlog.waiting(&route), self.model.waiting(&route));
            assert_eq!(waiting.jobs, expected.len() as u64);
            let oldest = expected.first().map(|it| it.new.handle.millis());
            assert_eq!(waiting.oldest, oldest);
            let deadline = expected.iter().map(|it| it.new.deadline).min();
            assert_eq!(waiting.deadline, deadline);
            let lapses = expected.iter().any(|it| it.interrupted > 0);
            // What is claimed may lapse one day, too.
            let has_lapsed = waiting.lapses.is_some_and(|it| it <= clock::now());
            assert_eq!(has_lapsed, lapses);
        }
    }

    fn handles(&self, which: &[usize]) -> Vec<Handle> {
        let handles = which.iter().filter_map(|it| self.handle(*it));
        let mut handles: Vec<_> = handles.collect();
        handles.sort();
        handles.dedup();
        handles
    }

    fn handle(&self, which: usize) -> Option<Handle> {
        let index = which.checked_rem(self.made.len())?;
        Some(self.made[index])
    }

    async fn step<U: Under<Store = S>>(&mut self, step: &Step) {
        match step {
            Step::Accept(jobs) => {
                U::pass(Duration::from_millis(jobs.len() as u64)).await;
                self.accept(jobs).await;
            }
            Step::Sent(which) => {
                let mut handles = self.handles(which);
                let mut gone = self.store().sent(handles.clone()).await.unwrap();
                handles.retain(|it| !self.model.goes_on(*it, State::Sent));
                gone.sort();
                assert_eq!(gone, handles);
            }
            Step::QueuedAgain(which) => {
                let handles = self.handles(which);
                self.store().queued_again(handles.clone()).await.unwrap();
                for handle in handles {
                    self.model.goes_on(handle, State::Queued);
                }
            }
            Step::Claim(route, asked, items, bytes) => {
                self.claim(*route, *asked, *items, *bytes).await;
            }
            Step::Release(which) => {
                let handles = self.handles(which);
                if let Some(backlog) = self.store().backlog() {
                    backlog.release(handles.clone()).await.unwrap();
                    handles.into_iter().for_each(|it| self.model.release(it));
                }
            }
            Step::Reopen => {
                let store = self.store.take().unwrap();
                let lasts = store.backlog().is_some();
                self.store = Some(U::reopen(store, &SMALL).await);
                if lasts {
                    self.model.reopened();
                }
            }
            Step::Finish(which) => self.finish(which).await,
            Step::Fetch(which, for_answer) => {
                let Some(handle) = self.handle(*which) else {
                    return;
                };
                let look = match for_answer {
                    true => Look::ForAnswer,
                    false => Look::ForState,
                };
                let record = self.store().fetch(handle, look).await.unwrap();
                let kept = self.model.records.get_mut(&handle);
                assert_eq!(record.is_some(), kept.is_some());
                if let Some((record, kept)) = record.zip(kept) {
                    kept.is_read_as(&record);
                    kept.read |= *for_answer && kept.finished.is_some();
                }
            }
            Step::Delete(which) => {
                let Some(handle) = self.handle(*which) else {
                    return;
                };
                let deleted = self.store().delete(handle).await.unwrap();
                let kept = self.model.records.remove(&handle);
                assert_eq!(deleted, kept.as_ref().map(|it| it.state));
                if let Some((state, kept)) = deleted.zip(kept) {
                    let counts = &mut self.model.past(&kept.new.route).counts;
                    counts.deleted[state as usize] += 1;
                }
            }
            Step::Pass(millis) => {
                U::pass(Duration::from_millis(*millis)).await;
                let (records, next) = expire(self.store()).await;
                let expected = Expired {
                    records: self.model.expire(),
                    next: self.model.next_expiry(),
                };
                assert_eq!(Expired { records, next }, expected);
            }
            Step::Read(name, after, limit) => self.read(*name, *after, *limit).await,
        }
    }

    async fn accept(&mut self, jobs: &[Job]) {
        let now = clock::now();
        let records: Vec<_> = jobs
            .iter()
            .enumerate()
            .map(|(number, job)| NewRecord {
                route: route(&format!("r{}", job.route)),
                stream: job.stream.map(|it| stream(&format!("s{it}"))),
                idempotency: job.key.map(|key| Idempotency {
                    key: IdempotencyKey::new(&format!("k{key}")).unwrap(),
                    digest: [job.digest; 32],
                }),
                frame: [job.frame; 16],
                deadline: clock::now() + job.deadline,
                // Each of another moment, which alone puts them in order.
                ..new_at(
                    now - (jobs.len() - number) as u64,
                    self.made.len() as u64,
                    job.bytes,
                )
            })
            .collect();
        let accepted = self.store().accept(records.clone()).await;
        assert_eq!(accepted.len(), records.len());
        for (accepted, new) in accepted.into_iter().zip(&records) {
            let (made, record) = match (accepted, self.model.accept(new)) {
                (Err(refused), expected) => {
                    assert_eq!(Err(refused), expected);
                    continue;
                }
                (Ok(Accepted::New(record)), expected) => {
                    assert_eq!(expected, Ok((true, record.handle)));
                    (true, record)
                }
                (Ok(Accepted::Existing(record)), expected) => {
                    assert_eq!(expected, Ok((false, record.handle)));
                    (false, record)
                }
            };
            self.model.records[&record.handle].is_read_as(&record);
            self.made.extend(made.then_some(record.handle));
        }
    }

    async fn finish(&mut self, which: &[(usize, u16, usize)]) {
        let answers = which.iter().filter_map(|(which, status, bytes)| {
            Some((self.handle(*which)?, answer(*status, *bytes)))
        });
        let answers: Vec<_> = answers.collect();
        let mut streams = self.store().finish(answers.clone()).await.unwrap();
        let expected = answers
            .iter()
            .filter_map(|it| self.model.finish(it.0, &it.1));
        let mut expected: Vec<_> = expected.collect();
        streams.sort();
        expected.sort();
        expected.dedup();
        assert_eq!(streams, expected);
    }

    async fn read(&mut self, name: u8, after: Option<usize>, limit: usize) {
        let name = stream(&format!("s{name}"));
        let model = &mut self.model;
        let positions: Vec<_> = model.read_at.iter().collect();
        let after = after.and_then(|which| {
            let which = which.checked_rem(positions.len())?;
            Some((*positions[which].0, *positions[which].1))
        });
        let asked = after.map(|it| it.0);
        let store = self.store.as_ref().unwrap();
        let page = store.read_stream(&name, asked, limit).await.unwrap();
        let mut expected = model.stream(&name, after.map(|it| it.1));
        let full = expected.len() >= limit;
        expected.truncate(limit);
        let found: Vec<_> = page.answers.iter().map(|it| it.1).collect();
        assert_eq!(found, expected);
        for (position, handle) in &page.answers {
            let kept = model.records.get_mut(handle).unwrap();
            assert_eq!(*kept.position.get_or_insert(*position), *position);
            let order = kept.finished.as_ref().unwrap().0;
            assert_eq!(*model.read_at.entry(*position).or_insert(order), order);
        }
        match full {
            true => assert_eq!(Some(page.next), page.answers.last().map(|it| it.0)),
            false => {
                let order = model.order;
                assert!(*model.read_at.entry(page.next).or_insert(order) <= order);
            }
        }
        let Some((after, order)) = after else {
            assert!(!page.gap, "nothing was asked for");
            return;
        };
        // Few names are never forgotten, and so a gap is told where there is one alone.
        let seen = model.expired.iter().any(|it| it.0 == name && it.1 > after);
        let mut unseen = model.unseen_expired.iter();
        let lost = seen || unseen.any(|it| it.0 == name && it.1 > order);
        assert_eq!(page.gap, lost, "{name:?} after {after}");
    }
}

/// Random steps, and after each the counts.
pub(in crate::later) fn does_as_the_model<U: Under>() {
    proptest!(|(steps in steps())| {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = U::make(&SMALL).await;
            let mut both = Both {
                model: Model {
                    is_claimed_from: store.backlog().is_some(),
                    ..Model::default()
                },
                store: Some(store),
                made: Vec::new(),
            };
            for step in &steps {
                both.step::<U>(step).await;
                assert_eq!(both.store().counts(), both.model.counts());
                for (_, counts) in both.store().counts().iter() {
                    conserves(counts);
                }
                both.waits();
            }
        });
    });
}

/// The two equations.
fn conserves(counts: &RecordCounts) {
    let sum = |numbers: &[u64]| numbers.iter().sum::<u64>();
    let expired = counts.expired_read + counts.expired_unread;
    let there_were = sum(&counts.deleted) + expired + sum(&counts.present);
    assert_eq!(counts.accepted, there_were);
    let finished: u64 = counts.finished.iter().map(|it| it.1).sum();
    let unfinished = sum(&counts.deleted[..2]) + sum(&counts.present[..2]);
    assert_eq!(counts.accepted, finished + unfinished);
}
