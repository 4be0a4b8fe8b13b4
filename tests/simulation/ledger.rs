//! What became of every record, from what its store has committed: each is answered once
//! or deleted, by an answer that is true, and counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use microbatch::code::Code;
use microbatch::job::{Handle, State};
use microbatch::later::answer::Answer;
use microbatch::later::backlog::{Claimed, Which};
use microbatch::later::clock;
use microbatch::later::record::{Millis, NewRecord, Record};
use microbatch::later::store::Look;
use microbatch::observe::RecordCounts;
use serde_json::Value;
use tokio::time::Instant;

use crate::callers::judge;
use crate::upstream::Oracle;

/// What can become of a record.
pub const ENDS: &[&str] = &[
    "deleted queued",
    "deleted sent",
    "deleted done",
    "deleted failed",
    "expired",
    "expired unread",
];

/// What goes for all records of a schedule.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub keep: Duration,
    /// The longest that a job waits for company.
    pub max_wait: Duration,
    /// A job that is due leaves within this time while the upstream has nothing to do.
    pub leaves_within: Duration,
    pub idempotent: bool,
    /// Whether jobs are claimed from their store, and how often one is sent by processes that
    /// die, where they are.
    pub claimed: Option<u32>,
}

/// A handle: clones are the same.
#[derive(Clone)]
pub struct Ledger {
    oracle: Oracle,
    terms: Terms,
    entries: Arc<Mutex<BTreeMap<Handle, Entry>>>,
    /// Whether what waits is to leave, come what may.
    ending: Arc<AtomicBool>,
}

/// A record.
#[derive(Debug)]
pub struct Entry {
    pub id: Value,
    pub secret: String,
    pub stream: Option<String>,
    /// When its job leaves at the latest if nothing is in its way.
    due: Instant,
    /// What it was answered, whether or not it was there any more.
    answer: Option<Answer>,
    /// Whether it was ever told to be sent.
    was_sent: bool,
    /// Whether it may come again, since nobody said that it is kept.
    repeats: bool,
    /// Whose it is, where it was claimed.
    holder: Option<u32>,
    /// Whether it is at the upstream for all that its holder has said.
    is_sent: bool,
    /// How often it was that when its holder was gone.
    interrupted: u32,
    /// Whether it has waited to be sent again.
    waited_again: bool,
    /// Whether somebody who lives has lost it, so that it may be answered again.
    was_lost: bool,
    /// Who has answered it.
    answered_by: Option<u32>,
    /// What somebody was told.
    told: Option<(u16, Vec<u8>)>,
    /// When it expires.
    expires_at: Option<Millis>,
    deleted: Option<State>,
    read: bool,
    /// Nobody was told that it was made.
    pub in_doubt: bool,
}

impl Entry {
    fn is_gone(&self) -> bool {
        let expired = self.expires_at.is_some_and(|it| it <= clock::now());
        self.deleted.is_some() || expired
    }

    /// Whether it was finished before it was deleted, if it was.
    fn is_finished(&self) -> bool {
        self.expires_at.is_some()
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

impl Ledger {
    pub fn new(oracle: Oracle, terms: Terms) -> Self {
        Self {
            oracle,
            terms,
            entries: Arc::default(),
            ending: Arc::default(),
        }
    }

    /// Nothing waits for better times from here on.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    fn ends(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    pub fn made(&self, new: &NewRecord) {
        let mut job: BTreeMap<String, Value> = serde_json::from_slice(new.job.raw()).unwrap();
        let secret = job["body"].as_str().unwrap().to_owned();
        // Where a job may be sent twice nobody waits for what the store is told.
        if self.terms.claimed.is_some() || !self.terms.idempotent {
            self.oracle.hold(&secret);
        }
        let (now, at_most) = (Instant::now(), new.deadline - clock::now());
        let half = Duration::from_millis(at_most) / 2;
        let entry = Entry {
            id: job.remove("id").unwrap(),
            secret,
            stream: new.stream.as_ref().map(|it| it.as_str().to_owned()),
            due: now + self.terms.max_wait.min(half),
            answer: None,
            was_sent: false,
            repeats: false,
            holder: None,
            is_sent: false,
            interrupted: 0,
            waited_again: false,
            was_lost: false,
            answered_by: None,
            told: None,
            expires_at: None,
            deleted: None,
            read: false,
            in_doubt: false,
        };
        let before = self.lock().insert(new.handle, entry);
        assert!(before.is_none(), "a handle twice");
    }

    /// That it was made is not told.
    pub fn is_in_doubt(&self, handle: Handle) {
        self.with(handle, |entry| entry.in_doubt = true);
    }

    /// Those of them are not to leave that are gone, or another's.
    pub fn sent(&self, process: u32, handles: &[Handle], gone: &[Handle]) {
        for handle in handles {
            self.with(*handle, |entry| {
                let is_lost = self.terms.claimed.is_some() && entry.holder != Some(process);
                let is_over = entry.deleted.is_some() || entry.is_finished() || is_lost;
                assert_eq!(gone.contains(handle), is_over, "{entry:?}");
                entry.is_sent |= !is_over;
            });
        }
    }

    /// The others may.
    pub fn may_leave(&self, process: u32, handles: &[Handle], gone: &[Handle]) {
        for handle in handles.iter().filter(|it| !gone.contains(it)) {
            self.with(*handle, |entry| {
                // Unless it was lost meanwhile.
                if self.terms.claimed.is_none() || entry.holder == Some(process) {
                    self.oracle.lets(&entry.secret, process, true);
                    entry.was_sent = true;
                }
            });
        }
    }

    /// These may not leave before they are sent again.
    pub fn queued_again(&self, process: u32, handles: &[Handle]) {
        for handle in handles {
            self.with(*handle, |entry| {
                if self.terms.claimed.is_none() || entry.holder == Some(process) {
                    if !self.terms.idempotent {
                        self.oracle.lets(&entry.secret, process, false);
                    }
                    entry.is_sent = false;
                    entry.waited_again = true;
                }
            });
        }
    }

    /// A process has claimed these.
    pub fn claimed(&self, process: u32, claimed: &[Claimed], which: Which) {
        let max_attempts = self.terms.claimed.expect("a store that lasts");
        let alone = claimed.len() == 1 || claimed.iter().all(|it| it.interrupted == 0);
        assert!(alone, "with others: {claimed:?}");
        for claimed in claimed {
            self.with(claimed.handle, |entry| {
                let is_over = entry.deleted.is_some() || entry.is_finished();
                assert!(!is_over, "it is over: {entry:?}");
                assert_eq!(entry.holder.replace(process), None, "{entry:?}");
                assert_eq!(claimed.interrupted, entry.interrupted, "{entry:?}");
                entry.is_sent = true;
                let twice = self.terms.idempotent && entry.interrupted < max_attempts;
                let is_sent = entry.interrupted == 0 || twice;
                let is_overdue = matches!(which, Which::Overdue { .. });
                let alone = (entry.interrupted > 0 && !entry.was_lost).then_some(process);
                self.oracle.leaves_alone(&entry.secret, alone);
                let may_leave = is_sent && !is_overdue && self.terms.idempotent;
                // What it had lost before may still be on its way.
                if may_leave || !entry.was_lost {
                    self.oracle.lets(&entry.secret, process, may_leave);
                }
            });
        }
    }

    /// They are nobody's again, and were not sent.
    pub fn released(&self, process: u32, handles: &[Handle]) {
        for handle in handles {
            self.with(*handle, |entry| {
                if entry.holder == Some(process) {
                    entry.holder = None;
                    entry.is_sent = false;
                    self.oracle.lets(&entry.secret, process, false);
                }
            });
        }
    }

    /// A process is dead: nothing leaves from it any more.
    pub fn died(&self, process: u32) {
        self.gives_up(process, false);
        for entry in self.lock().values() {
            self.oracle.lets(&entry.secret, process, false);
        }
    }

    /// A process that lives has lost whatever it had claimed: how much that was.
    pub fn lost(&self, process: u32) -> u64 {
        self.gives_up(process, true)
    }

    fn gives_up(&self, process: u32, lives: bool) -> u64 {
        let mut entries = self.lock();
        let held = entries.values_mut();
        let held = held.filter(|it| it.holder == Some(process));
        let mut lost = 0;
        for entry in held {
            entry.holder = None;
            entry.was_lost |= lives;
            entry.interrupted += u32::from(std::mem::take(&mut entry.is_sent));
            lost += 1;
        }
        lost
    }

    /// It is kept, if the record is there; `said` is whether somebody is told so.
    pub fn answered(&self, process: u32, handle: Handle, answer: &Answer, said: bool) {
        self.with(handle, |entry| {
            // It comes too late: another has the job, or has answered it.
            let others = [entry.holder, entry.answered_by].into_iter().flatten();
            if others.into_iter().any(|it| it != process) {
                return;
            }
            entry.holder = None;
            entry.answered_by = Some(process);
            let repeats = std::mem::replace(&mut entry.repeats, !said);
            if entry.answer.is_some() && entry.was_lost {
                return;
            }
            if let Some(before) = &entry.answer {
                assert!(repeats && before == answer, "twice: {entry:?} {answer:?}");
                return;
            }
            let said = (answer.status(), &answer.headers(), &answer.body()[..]);
            let truth = (&entry.id, entry.secret.as_str(), &self.oracle);
            judge(said, truth, self.terms.idempotent);
            match answer.code() {
                Code::QueueTimeout => self.had_to_wait(entry),
                Code::Interrupted => {
                    assert!(entry.interrupted > 0 && !self.terms.idempotent, "{entry:?}");
                }
                Code::AttemptsExhausted => {
                    let exhausted = Some(entry.interrupted) >= self.terms.claimed;
                    assert!(exhausted && self.terms.idempotent, "{entry:?}");
                }
                // Jobs for later wait until it is closed, but for those that are under way.
                Code::CircuitOpen => assert!(entry.was_sent || self.ends(), "{entry:?}"),
                _ => {}
            }
            entry.answer = Some(answer.clone());
            if entry.deleted.is_none() {
                entry.expires_at = Some(clock::now() + self.terms.keep.as_millis() as Millis);
            }
        });
    }

    /// It has expired in its lane, though it was due: not while there was a slot for it.
    fn had_to_wait(&self, entry: &Entry) {
        if let Some(idle_since) = self.oracle.idle_since() {
            let could_leave = idle_since.max(entry.due).elapsed();
            let within = self.terms.leaves_within;
            assert!(could_leave <= within, "{could_leave:?} {entry:?}");
        }
    }

    pub fn deleted(&self, handle: Handle, state: State) {
        self.with(handle, |entry| {
            assert_eq!(entry.deleted.replace(state), None, "deleted twice");
            assert_eq!(entry.is_finished(), state.is_finished());
            entry.holder = None;
        });
    }

    /// No more have expired than have been there for their time.
    pub fn expired(&self, counts: &RecordCounts) {
        let expired = counts.expired_read + counts.expired_unread;
        let entries = self.lock();
        let is_over = |it: &&Entry| it.deleted.is_none() && it.is_gone();
        let over = entries.values().filter(is_over).count() as u64;
        assert!(expired <= over, "{expired} of {over}");
    }

    /// A record was looked for in vain.
    pub fn missed(&self, handle: Handle) {
        // One of which a store did not say what became of it may not have been made.
        if let Some(entry) = self.lock().get(&handle) {
            assert!(entry.is_gone(), "lost: {entry:?}");
        }
    }

    /// It is in a stream, and is no longer once it is deleted.
    pub fn found(&self, handle: Handle) {
        self.with(handle, |entry| {
            assert!(entry.deleted.is_none() && entry.is_finished());
        });
    }

    pub fn read(&self, record: &Record, look: Look) {
        self.with(record.handle, |entry| {
            assert_eq!(entry.deleted, None, "there all the same");
            let answer = entry.answer.as_ref().filter(|_| entry.is_finished());
            assert_eq!(record.answer.as_ref(), answer);
            entry.read |= record.answer.is_some() && look == Look::ForAnswer;
        });
    }

    /// Somebody is told its answer, which is the same for all, and for ever.
    pub fn told(&self, handle: Handle, status: u16, body: &[u8]) {
        self.with(handle, |entry| {
            let told = (status, body.to_vec());
            let before = entry.told.get_or_insert_with(|| told.clone());
            assert_eq!(*before, told, "told something else before");
        });
    }

    /// Looks at a record, which must be one.
    pub fn with<T>(&self, handle: Handle, f: impl FnOnce(&mut Entry) -> T) -> T {
        f(self.lock().get_mut(&handle).expect("a record"))
    }

    /// What must be equal at every moment.
    pub fn balance(counts: &RecordCounts) {
        let (deleted, finished) = (counts.deleted, counts.finished.iter().map(|it| it.1));
        let expired = counts.expired_read + counts.expired_unread;
        let gone = deleted.iter().sum::<u64>() + expired;
        assert_eq!(counts.accepted, gone + counts.records(), "{counts:?}");
        let unfinished = deleted[0] + deleted[1] + counts.present[0] + counts.present[1];
        assert_eq!(counts.accepted, finished.sum::<u64>() + unfinished);
    }

    /// When all is over and everything has expired: what became of them.
    pub fn close(&self, counts: &RecordCounts) -> BTreeMap<&'static str, u64> {
        Self::balance(counts);
        let entries = self.lock();
        let mut ends = BTreeMap::new();
        let (mut in_doubt, mut finished) = (0, BTreeMap::<Code, u64>::new());
        for entry in entries.values() {
            if let Some(answer) = entry.answer.as_ref().filter(|_| entry.is_finished()) {
                *finished.entry(answer.code()).or_default() += 1;
            }
            let end = match (entry.deleted, entry.is_finished()) {
                (Some(state), _) => ENDS[state as usize],
                (None, true) if entry.read => "expired",
                (None, true) => "expired unread",
                // It is not queued before the store has said that it is there.
                (None, false) if entry.in_doubt && self.terms.claimed.is_none() => {
                    in_doubt += 1;
                    continue;
                }
                (None, false) => panic!("never answered: {entry:?}"),
            };
            *ends.entry(end).or_default() += 1;
        }
        let of = |end: &str| ends.get(end).copied().unwrap_or_default();
        assert_eq!(counts.accepted, entries.len() as u64);
        assert_eq!(counts.deleted, [0, 1, 2, 3].map(|state| of(ENDS[state])));
        assert_eq!(counts.expired_read, of("expired"));
        assert_eq!(counts.expired_unread, of("expired unread"));
        assert_eq!(counts.finished, finished.into_iter().collect::<Vec<_>>());
        assert_eq!(counts.present, [in_doubt, 0, 0, 0]);
        ends
    }

    /// Nothing is done twice that must not be, nor was any called unseen that was seen.
    pub fn judge_fates(&self) {
        for entry in self.lock().values() {
            let fate = self.oracle.fate(&entry.secret);
            // What waits to be sent again does not outlive its process as more than a job
            // that waits.
            let is_forgotten = entry.waited_again && self.terms.idempotent;
            let wrongly = fate.called_unseen && fate.seen && !is_forgotten;
            assert!(!wrongly, "{fate:?} {entry:?}");
            assert!(
                fate.done <= 1 || self.terms.idempotent,
                "{fate:?} {entry:?}"
            );
        }
    }

    /// The records that a stream had to tell, unless they were deleted.
    pub fn told_on(&self, stream: &str) -> Vec<Handle> {
        let entries = self.lock();
        let is_told = |entry: &Entry| {
            let is_its = entry.stream.as_deref() == Some(stream);
            is_its && entry.is_finished() && entry.deleted.is_none()
        };
        let told = entries.iter().filter(|(_, entry)| is_told(entry));
        told.map(|(handle, _)| *handle).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Handle, Entry>> {
        // A check that fails is told once.
        let entries = self.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner)
    }
}
