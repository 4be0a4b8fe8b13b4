//! Writes down what has changed of the records, and takes it back where that fails.

use std::collections::HashMap;

use bytes::Bytes;

use super::claims::{ClaimChanges, Claims};
use super::file::{File, NoBody};
use super::row::{Row, Rows};
use super::trouble::NotCommitted;
use super::writing::{Content, NewRow, Writing};
use crate::job::{Handle, RouteName, State};
use crate::later::answer::Answer;
use crate::later::answer_bytes;
use crate::later::backlog::NO_FRAME;
use crate::later::records::{Change, Entry};

/// What a process that is gone has left.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    /// What it had sent: interrupted.
    pub sent: Vec<Handle>,
    pub lost: Vec<Lost>,
}

/// A record that can't be read.
#[derive(Debug)]
pub(super) struct Lost {
    pub number: i64,
    pub route: Option<RouteName>,
    pub state: State,
}

/// The records and their file.
#[derive(Debug)]
pub(super) struct Journal {
    pub records: Rows,
    file: File,
    claims: Claims,
    /// The number of the last row that was made.
    last: i64,
    /// What the first commit is to settle, until it has: one that fails is tried again.
    unsettled: Option<Unsettled>,
    /// Whether the file has what has changed.
    is_written: bool,
    /// Jobs and answers that are not in the file yet, by the numbers of their records.
    jobs: HashMap<i64, Bytes>,
    answers: HashMap<i64, Answer>,
}

impl Journal {
    /// The records as the file has them. Their changes are remembered from here on.
    pub fn new(mut records: Rows, file: File, unsettled: Unsettled, last: i64) -> Self {
        records.remember_changes();
        Self {
            records,
            file,
            // Those that the file has end with the first commit.
            claims: Claims::default(),
            last,
            unsettled: Some(unsettled),
            is_written: false,
            jobs: HashMap::new(),
            answers: HashMap::new(),
        }
    }

    /// The number of a new row, whose job this is.
    pub fn number(&mut self, job: Vec<u8>) -> i64 {
        self.last += 1;
        self.jobs.insert(self.last, job.into());
        self.last
    }

    /// A job that was just made was not.
    pub fn forget_job(&mut self, number: i64) {
        self.jobs.remove(&number);
    }

    /// The answer of a record that is about to be finished, unless it has one.
    pub fn answer(&mut self, number: i64, answer: Answer) {
        self.answers.entry(number).or_insert(answer);
    }

    /// The number of a record's row.
    pub fn number_of(&self, handle: &Handle) -> Option<i64> {
        self.records.job(handle).map(|it| it.number)
    }

    /// The same, if it has no answer.
    pub fn unfinished(&self, handle: &Handle) -> Option<i64> {
        self.records.unfinished_job(handle).map(|it| it.number)
    }

    /// The job of a record that has no answer.
    pub fn job_of(&self, number: i64) -> Result<Bytes, NoBody> {
        match self.jobs.get(&number) {
            Some(job) => Ok(job.clone()),
            None => self.file.body(number),
        }
    }

    /// The answer of a record that has one.
    pub fn answer_of(&self, number: i64) -> Result<Answer, Unreadable> {
        if let Some(answer) = self.answers.get(&number) {
            return Ok(answer.clone());
        }
        Ok(answer_bytes::from_bytes(&self.file.body(number)?)?)
    }

    /// Whether there is something to be committed.
    pub fn is_changed(&self) -> bool {
        self.unsettled.is_some() || self.records.is_changed()
    }

    /// Whether there is something to be committed that somebody has asked for.
    pub fn is_asked_for(&self) -> bool {
        self.records.is_changed()
    }

    /// What was sent waits again, and what is lost is counted.
    fn settle(&mut self) {
        if let Some(Unsettled { sent, lost }) = &self.unsettled {
            sent.iter().for_each(|it| self.records.abandon(it));
            for it in lost {
                let route = it.route.as_ref();
                route.inspect(|route| self.records.lose(route, it.state));
            }
        }
    }

    /// Everything that has changed is in the file, or nothing, and then nothing has changed.
    /// `done` sees what it was.
    pub fn commit(&mut self, done: impl FnOnce(&Rows)) -> Result<(), NotCommitted> {
        self.settle();
        let mut claims = ClaimChanges::default();
        let (records, jobs, answers) = (&self.records, &self.jobs, &self.answers);
        let (known, unsettled) = (&self.claims, &self.unsettled);
        let written = self.file.commit(|to| {
            if let Some(Unsettled { lost, .. }) = unsettled {
                lost.iter().try_for_each(|it| to.set_aside(it.number))?;
                to.remove_claims()?;
            }
            for change in records.changes() {
                write(&change, jobs, answers, &mut claims, to)?;
            }
            known.write(&claims, to)?;
            for (route, _) in records.changed_routes().filter(|it| it.1) {
                to.route(route)?;
            }
            for (name, mark) in records.changed_streams() {
                to.stream(name, mark)?;
            }
            let marks = records.changed_marks();
            let marks = marks.or_else(|| unsettled.as_ref().map(|_| records.marks()));
            marks.map_or(Ok(()), |it| to.marks(it))
        });
        match &written {
            Ok(()) => {
                self.is_written = true;
                self.unsettled = None;
                self.claims.committed(claims);
                done(&self.records);
                self.records.committed();
            }
            Err(_) => self.records.roll_back(),
        }
        self.end_round();
        written
    }

    /// After a panic what has changed is as the file has it: in it, or not done.
    pub fn recover(&mut self) {
        match self.is_written {
            true => self.records.committed(),
            false => self.records.roll_back(),
        }
        self.end_round();
    }

    fn end_round(&mut self) {
        self.is_written = false;
        self.jobs.clear();
        self.answers.clear();
    }

    /// Ends in order.
    pub fn close(self) -> rusqlite::Result<()> {
        let read = self.records.read();
        let read: Vec<_> = read.flat_map(|it| it.number.to_le_bytes()).collect();
        self.file.close(&read)
    }

    #[cfg(test)]
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Writes one record's change.
fn write(
    change: &Change<'_, Row, ()>,
    jobs: &HashMap<i64, Bytes>,
    answers: &HashMap<i64, Answer>,
    claims: &mut ClaimChanges,
    to: &Writing<'_>,
) -> rusqlite::Result<()> {
    let (before, after) = (change.before, change.after);
    let Some(Row { number, .. }) = after.or(before).map(|it| &it.job) else {
        return Ok(());
    };
    let (had, has) = (before.and_then(claim_of), after.and_then(claim_of));
    if had != has {
        let is_waiting = after.is_some_and(|it| it.answer.is_none());
        had.inspect(|claim| claims.gone(*claim, *number, is_waiting));
        has.inspect(|claim| claims.come(*claim, *number));
    }
    let Some(after) = after else {
        return to.remove(*number);
    };
    let answer = answers.get(number).map(answer_bytes::to_bytes);
    let (keeps_answer, until) = (after.answer.is_some(), after.until);
    let content = |body| Content {
        bytes: after.bytes,
        until,
        position: after.answer.as_ref().map(|it| it.0),
        failed: after.state == State::Failed,
        body,
    };
    let is_finished = keeps_answer && before.is_none_or(|it| it.answer.is_none());
    match before {
        None => {
            let job = jobs.get(number).map(|it| &**it);
            let body = answer.as_deref().or(job).unwrap_or_default();
            to.make(&new_row(change.handle, after, content(body)))
        }
        Some(_) if is_finished => {
            to.finish(*number, &content(answer.as_deref().unwrap_or_default()))
        }
        Some(before) => {
            let [was, is] = [before, after].map(|it| it.job.claimable.interrupted);
            match was == is {
                true => Ok(()),
                false => to.interrupt(*number, is),
            }
        }
    }
}

/// The claim that the file has a record in: while it is sent.
fn claim_of(entry: &Entry<Row, ()>) -> Option<u64> {
    let is_sent = entry.state == State::Sent;
    is_sent.then_some(entry.job.claimable.claim)
}

fn new_row<'a>(handle: &Handle, entry: &'a Entry<Row, ()>, content: Content<'a>) -> NewRow<'a> {
    let claimable = &entry.job.claimable;
    let idempotency = entry.idempotency();
    NewRow {
        number: entry.job.number,
        handle: handle.to_bytes(),
        route: entry.route.0,
        items: claimable.items,
        interrupted: claimable.interrupted,
        frame: (claimable.frame != NO_FRAME).then_some(claimable.frame),
        id: entry.id.as_ref().map(|it| it.written().into_owned()),
        stream: entry.stream().map(|it| it.as_str()),
        key: idempotency.map(|it| it.key.as_str()),
        digest: idempotency.map(|it| it.digest),
        content,
    }
}

/// A record's bytes can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Body(#[from] NoBody),
    #[error(transparent)]
    Answer(#[from] answer_bytes::NotAnAnswer),
}
