//! One record, as it is among the others.

use std::fmt;

use super::routes::{Route, RouteNumber};
use crate::code::Code;
use crate::job::{Handle, State};
use crate::job_id::JobId;
use crate::later::answer::Answer;
use crate::later::record::{FrameKey, Idempotency, Millis, Record, StreamName};
use crate::later::store::{Look, Position};

/// What a store keeps of a job, besides what every record has.
pub(in crate::later) trait Job: Clone + fmt::Debug {
    /// What it is claimed by; `None` in a store that has its jobs wait elsewhere.
    fn claimable(&self) -> Option<&Claimable>;

    /// The same, to be changed.
    fn claimable_mut(&mut self) -> Option<&mut Claimable>;
}

/// Of a job that waits in a lane nothing is kept.
impl Job for () {
    fn claimable(&self) -> Option<&Claimable> {
        None
    }

    fn claimable_mut(&mut self) -> Option<&mut Claimable> {
        None
    }
}

/// What a job is claimed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::later) struct Claimable {
    /// What it has in common with those that it may share a batch with.
    pub frame: FrameKey,
    /// How many items it is.
    pub items: u32,
    /// How often it was claimed by a process that is gone.
    pub interrupted: u32,
    /// The number of the claim that has it, from 1 on; 0 while none has.
    pub claim: u64,
}

impl Claimable {
    /// Of a job that waits.
    pub fn new(frame: FrameKey, items: usize) -> Self {
        Self {
            frame,
            items: u32::try_from(items).unwrap_or(u32::MAX),
            interrupted: 0,
            claim: 0,
        }
    }
}

impl Job for Claimable {
    fn claimable(&self) -> Option<&Claimable> {
        Some(self)
    }

    fn claimable_mut(&mut self) -> Option<&mut Claimable> {
        Some(self)
    }
}

/// A job that was claimed, but for the job itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::later) struct ClaimedRecord {
    /// Its record's address.
    pub handle: Handle,
    /// When it is answered at the latest.
    pub deadline: Millis,
    /// How often it was claimed by a process that is gone.
    pub interrupted: u32,
}

/// What a record came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::later) struct Outcome {
    /// By what it is counted.
    pub code: Code,
    /// `done` or `failed`.
    pub state: State,
    /// The bytes of its answer.
    pub bytes: usize,
}

impl From<&Answer> for Outcome {
    fn from(answer: &Answer) -> Self {
        Self {
            code: answer.code(),
            state: answer.state(),
            bytes: answer.bytes(),
        }
    }
}

/// A record; of its job `J` is kept, and of its answer `A`.
#[derive(Clone, Debug)]
pub(in crate::later) struct Entry<J, A> {
    pub route: RouteNumber,
    pub id: Option<JobId>,
    pub state: State,
    /// Whether somebody has read its answer.
    pub read: bool,
    /// Of its job, or of its answer once it has one.
    pub bytes: usize,
    /// When it expires; unfinished, when it is answered at the latest.
    pub until: Millis,
    pub answer: Option<(Position, A)>,
    /// What few have.
    pub given: Option<Box<Given>>,
    pub job: J,
}

/// What was handed in with a job.
#[derive(Clone, Debug)]
pub(in crate::later) struct Given {
    pub stream: Option<StreamName>,
    pub idempotency: Option<Idempotency>,
}

impl Given {
    /// Nothing, where neither is there.
    pub fn new(stream: Option<StreamName>, idempotency: Option<Idempotency>) -> Option<Box<Self>> {
        let is_given = stream.is_some() || idempotency.is_some();
        is_given.then(|| {
            Box::new(Self {
                stream,
                idempotency,
            })
        })
    }
}

impl<J: Job, A: Clone> Entry<J, A> {
    pub fn stream(&self) -> Option<&StreamName> {
        self.given.as_ref().and_then(|it| it.stream.as_ref())
    }

    pub fn idempotency(&self) -> Option<&Idempotency> {
        self.given.as_ref().and_then(|it| it.idempotency.as_ref())
    }

    /// What it can be claimed by at this moment.
    pub fn waiting(&self) -> Option<&Claimable> {
        let waits = |it: &&Claimable| it.claim == 0 && self.answer.is_none();
        self.job.claimable().filter(waits)
    }

    /// As it is read where what finishes now is kept for so long, but for its answer, and
    /// what is kept of that.
    pub fn read(
        &mut self,
        handle: Handle,
        look: Look,
        route: &Route,
        keep: Millis,
    ) -> (Record, Option<A>) {
        self.read |= self.answer.is_some() && look == Look::ForAnswer;
        let expires_at = match self.answer {
            Some(_) => self.until,
            None => self.until.saturating_add(keep),
        };
        let record = Record {
            handle,
            route: route.name.clone(),
            id: self.id.clone(),
            state: self.state,
            expires_at,
            answer: None,
        };
        (record, self.answer.as_ref().map(|it| it.1.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be a million.
    #[test]
    fn a_record_is_no_larger_for_its_route_nor_for_how_others_are_claimed() {
        struct Unrouted {
            _id: Option<JobId>,
            _state: State,
            _read: bool,
            _bytes: usize,
            _until: Millis,
            _answer: Option<(Position, Answer)>,
            _given: Option<Box<Given>>,
        }
        assert_eq!(size_of::<Entry<(), Answer>>(), size_of::<Unrouted>());
        assert_eq!(
            size_of::<Entry<Claimable, Answer>>(),
            size_of::<Unrouted>() + size_of::<Claimable>()
        );
    }
}
