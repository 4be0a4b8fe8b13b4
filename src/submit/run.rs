//! The run: one task that knows every job under way, and is told what becomes of each.
//!
//! A job is handed in, accepted, finished, written and acknowledged, in this order. What waits
//! for the proxy, the input or the output does so elsewhere and tells the run when it is over;
//! so there is one writer of all that is known, and nothing to lock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::pending;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::client::{Client, HandedIn, Look, PAUSES, TooLong};
use super::early::Early;
use super::entry::{Entry, Held};
use super::hand_ins::HandIns;
use super::handle::Handle;
use super::input::Line;
use super::listen::Heard;
use super::outcome::Outcome;
use super::output::Finished;
use super::progress::Figures;
use super::state::{Journal, StateError};
use super::window::Window;

/// What a task, or the clock, tells the run.
#[derive(Debug)]
pub enum Told {
    /// What came of handing a job in.
    HandedIn(u64, Result<HandedIn, TooLong>),
    /// What a record says.
    Looked(Handle, Result<Look, TooLong>),
    /// A record is removed, or left to expire.
    Acknowledged(Handle, Result<(), StateError>),
    /// It is time to see whether the store has room again.
    TryAgain,
}

/// Why a run can't go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// A result is too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The state file can't be used.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A job whose result is not there.
#[derive(Debug)]
struct Pending {
    line: u64,
    job: Bytes,
    size: u64,
}

/// Every job under way.
#[derive(Debug)]
pub struct Run {
    client: Client,
    window: Window<Finished>,
    pending: HashMap<u64, Pending>,
    accepted: HashMap<Handle, u64>,
    /// Those whose results are there, and not acknowledged.
    finished: HashSet<Handle>,
    /// Records that are being removed of jobs that don't wait for it: their results are
    /// written by an earlier run, or in the state file.
    released: HashSet<Handle>,
    /// Results of lines that an earlier run has left in the state file.
    held: BTreeMap<u64, Held>,
    early: Early<Outcome>,
    /// Whether results may have been missed that nobody has asked for since.
    missed: bool,
    hand_ins: HandIns,
    /// How often in a row a job found no room, and when one is tried again.
    no_room: u32,
    again: Option<Instant>,
    /// Those whose records are being read.
    looking: HashSet<Handle>,
    output: mpsc::Sender<Finished>,
    journal: Journal,
    tasks: JoinSet<Told>,
    /// What is counted.
    pub figures: Figures,
}

impl Run {
    /// Nothing under way, and at most `room` jobs at once, of which so many are being handed
    /// in by `requests`. `output` has room for as many.
    pub fn new(
        client: Client,
        (room, requests): (usize, usize),
        ordered: bool,
        output: mpsc::Sender<Finished>,
        journal: Journal,
        figures: Figures,
    ) -> Self {
        Self {
            client,
            window: Window::new(room, ordered),
            pending: HashMap::new(),
            accepted: HashMap::new(),
            finished: HashSet::new(),
            released: HashSet::new(),
            held: BTreeMap::new(),
            early: Early::new(room),
            missed: false,
            hand_ins: HandIns::new(requests),
            no_room: 0,
            again: None,
            looking: HashSet::new(),
            output,
            journal,
            tasks: JoinSet::new(),
            figures,
        }
    }

    /// Goes on after an earlier run: with results that wait for their turn, and with records
    /// that it has not come to remove.
    pub fn go_on(&mut self, held: BTreeMap<u64, Held>, records: BTreeMap<u64, Handle>) {
        self.held = held;
        for (line, handle) in records {
            self.release(line, handle);
        }
    }

    /// Whether there is nothing to wait for.
    pub fn is_idle(&self) -> bool {
        self.window.is_empty() && self.released.is_empty()
    }

    /// Whether one more job may be handed in.
    pub fn has_room(&self) -> bool {
        self.window.has_room()
    }

    /// How many jobs are under way.
    pub fn under_way(&self) -> usize {
        self.window.inside()
    }

    /// What is told next; `None` where nothing is.
    pub async fn told(&mut self) -> Option<Told> {
        let again = self.again;
        let pause = async {
            match again {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        let told = tokio::select! {
            told = self.tasks.join_next(), if !self.tasks.is_empty() => told?,
            () = pause => return Some(Told::TryAgain),
        };
        match told {
            Ok(told) => Some(told),
            Err(error) => match error.try_into_panic() {
                // What it knew of its job is lost: better an end than a wait for ever.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => None,
            },
        }
    }

    /// A line of the input.
    pub fn read(&mut self, line: Line) {
        let slot = self.window.enter();
        self.figures.skipped(line.skipped);
        if let Some(Held { mut text, failed }) = self.held.remove(&line.number) {
            text.push('\n');
            let finished = Finished {
                text,
                line: line.number,
                failed,
                size: line.size,
                handle: None,
            };
            return self.write(slot, finished);
        }
        let pending = Pending {
            line: line.number,
            job: line.job,
            size: line.size,
        };
        self.pending.insert(slot, pending);
        self.hand_ins.add(slot, line.was_read);
        self.hand_in();
    }

    /// Hands in whatever it is time for.
    fn hand_in(&mut self) {
        while let Some(slot) = self.hand_ins.start() {
            let Some(pending) = self.pending.get(&slot) else {
                self.hand_ins.done();
                continue;
            };
            let (client, line, job) = (self.client.clone(), pending.line, pending.job.clone());
            self.tasks
                .spawn(async move { Told::HandedIn(slot, client.hand_in(line, job).await) });
        }
    }

    /// There may be room in the store.
    fn try_again(&mut self) {
        self.again = None;
        self.hand_ins.try_again();
        self.hand_in();
    }

    /// What was told.
    ///
    /// # Errors
    /// A result is too long, or the state file can't be used.
    pub fn take(&mut self, told: Told) -> Result<(), RunError> {
        match told {
            Told::HandedIn(slot, handed_in) => {
                match handed_in? {
                    HandedIn::NoRoom(retry_after) => {
                        self.hand_ins.refused(slot);
                        self.no_room += 1;
                        let pause = PAUSES.pause(self.no_room, retry_after, fastrand::f64());
                        self.again = Some(Instant::now() + pause);
                        self.make_room()?;
                        self.ask_for_the_missed();
                        self.hand_in();
                        return Ok(());
                    }
                    HandedIn::Accepted(handle) => self.accept(slot, handle)?,
                    HandedIn::Finished(handle, outcome) => {
                        if let Some(handle) = &handle {
                            self.early.take(handle);
                        }
                        self.finish(slot, handle, &outcome)?;
                    }
                }
                self.hand_ins.done();
                self.no_room = 0;
                self.hand_in();
                self.ask_for_the_missed();
            }
            Told::Looked(handle, look) => {
                self.looking.remove(&handle);
                // It may have been heard of meanwhile, and acknowledged.
                let Some(&slot) = self.accepted.get(&handle) else {
                    return Ok(());
                };
                match look? {
                    Look::Unfinished => {}
                    Look::Finished(outcome) => self.finish(slot, Some(handle), &outcome)?,
                    Look::Gone => {
                        self.accepted.remove(&handle);
                        self.hand_ins.add(slot, false);
                        self.hand_in();
                    }
                }
            }
            Told::Acknowledged(handle, noted) => {
                noted?;
                if !self.released.remove(&handle) {
                    self.finished.remove(&handle);
                    self.window.leave();
                }
                self.try_again();
            }
            Told::TryAgain => self.try_again(),
        }
        Ok(())
    }

    /// What the stream tells.
    ///
    /// # Errors
    /// The state file can't be used.
    pub fn hear(&mut self, heard: Heard) -> Result<(), RunError> {
        match heard {
            Heard::Missed => {
                self.missed = true;
                self.ask_for_the_missed();
            }
            Heard::Finished(handle, outcome) => match self.accepted.get(&handle) {
                Some(&slot) => self.finish(slot, Some(handle), &outcome)?,
                None if self.finished.contains(&handle) || self.released.contains(&handle) => {}
                None => self.missed |= self.early.keep(handle, outcome),
            },
        }
        Ok(())
    }

    /// A result is written: its record is of no use any more.
    pub fn written(&mut self, written: Finished) {
        self.figures.written(written.failed, written.size);
        let Some(handle) = written.handle else {
            return self.window.leave();
        };
        self.acknowledge(written.line, handle);
    }

    /// In the order of the input, results that are held may take up the room in the store
    /// that the job waits for whose turn it is: then they are kept in the state file instead,
    /// if there is one.
    fn make_room(&mut self) -> Result<(), RunError> {
        let turn = self.window.turn();
        if !turn.is_some_and(|slot| self.hand_ins.waits_for_room(slot)) {
            return Ok(());
        }
        let mut released = Vec::new();
        for result in self.window.held_mut() {
            let Some(handle) = result.handle.take() else {
                continue;
            };
            self.journal.append(&Entry::Held {
                line: result.line,
                handle: handle.clone(),
                held: Held {
                    text: result.text.trim_end().to_owned(),
                    failed: result.failed,
                },
            })?;
            released.push((result.line, handle));
        }
        for (line, handle) in released {
            self.finished.remove(&handle);
            self.release(line, handle);
        }
        Ok(())
    }

    fn release(&mut self, line: u64, handle: Handle) {
        self.released.insert(handle.clone());
        self.acknowledge(line, handle);
    }

    fn acknowledge(&mut self, line: u64, handle: Handle) {
        let (client, journal) = (self.client.clone(), self.journal.clone());
        self.tasks.spawn(async move {
            let noted = match client.acknowledge(&handle).await {
                Ok(true) => journal.append(&Entry::Acknowledged(line)),
                // Another run may have more luck.
                Ok(false) | Err(TooLong { .. }) => Ok(()),
            };
            Told::Acknowledged(handle, noted)
        });
    }

    fn accept(&mut self, slot: u64, handle: Handle) -> Result<(), RunError> {
        match self.early.take(&handle) {
            Some(outcome) => self.finish(slot, Some(handle), &outcome),
            None => {
                self.accepted.insert(handle, slot);
                Ok(())
            }
        }
    }

    /// The result of a job is there: it is written when it is its turn.
    fn finish(
        &mut self,
        slot: u64,
        handle: Option<Handle>,
        outcome: &Outcome,
    ) -> Result<(), RunError> {
        let Some(pending) = self.pending.remove(&slot) else {
            return Ok(());
        };
        if let Some(handle) = &handle {
            self.accepted.remove(handle);
            self.finished.insert(handle.clone());
        }
        let finished = Finished {
            text: outcome.line(&pending.job, handle.as_ref(), pending.line),
            line: pending.line,
            failed: outcome.failed(),
            size: pending.size,
            handle,
        };
        self.write(slot, finished);
        self.make_room()
    }

    /// Writes those results whose turn it is with this one.
    fn write(&mut self, slot: u64, finished: Finished) {
        for due in self.window.finish(slot, finished) {
            // There is room for all that are under way. It is closed once writing has
            // failed, of which the run is told.
            let _ = self.output.try_send(due);
        }
    }

    /// Reads the record of each job that is not finished. Not while a job is being handed in:
    /// a result that was missed may be its.
    fn ask_for_the_missed(&mut self) {
        if !self.missed || self.hand_ins.are_under_way() {
            return;
        }
        self.missed = false;
        for handle in self.accepted.keys() {
            if self.looking.insert(handle.clone()) {
                let (client, handle) = (self.client.clone(), handle.clone());
                self.tasks.spawn(async move {
                    let look = client.look(&handle).await;
                    Told::Looked(handle, look)
                });
            }
        }
    }
}
