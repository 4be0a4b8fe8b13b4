//! The run: one task that knows every job under way, and is told what becomes of each.
//!
//! A job is handed in, accepted, finished, written and acknowledged, in this order. What waits
//! for the proxy, the input or the output does so elsewhere and tells the run when it is over;
//! so there is one writer of all that is known, and nothing to lock.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::{Client, HandedIn, Handle, Look};
use super::early::Early;
use super::input::Line;
use super::listen::Heard;
use super::outcome::Outcome;
use super::output::Finished;
use super::progress::Figures;
use super::window::Window;

/// What a task tells the run.
#[derive(Debug)]
pub enum Told {
    /// What came of handing a job in.
    HandedIn(u64, HandedIn),
    /// What a record says.
    Looked(Handle, Look),
    /// A result is acknowledged, and its job is done with.
    Acknowledged(Handle),
}

/// A job whose result is not there.
#[derive(Debug)]
struct Pending {
    line: u64,
    job: Bytes,
    size: u64,
}

/// What the run wants to hear once a result is written.
#[derive(Debug)]
pub struct Written {
    handle: Option<Handle>,
    failed: bool,
    size: u64,
}

/// Every job under way.
#[derive(Debug)]
pub struct Run {
    client: Client,
    window: Window<Finished<Written>>,
    pending: HashMap<u64, Pending>,
    accepted: HashMap<Handle, u64>,
    /// Those whose results are there, and not acknowledged.
    finished: HashSet<Handle>,
    early: Early<Outcome>,
    /// Whether results may have been missed that nobody has asked for since.
    missed: bool,
    /// How many jobs are being handed in.
    handing_in: usize,
    /// Those whose records are being read.
    looking: HashSet<Handle>,
    output: mpsc::Sender<Finished<Written>>,
    tasks: JoinSet<Told>,
    /// What is counted.
    pub figures: Figures,
}

impl Run {
    /// Nothing under way, and at most `room` jobs at once. `output` has room for as many.
    pub fn new(
        client: Client,
        room: usize,
        ordered: bool,
        output: mpsc::Sender<Finished<Written>>,
        figures: Figures,
    ) -> Self {
        Self {
            client,
            window: Window::new(room, ordered),
            pending: HashMap::new(),
            accepted: HashMap::new(),
            finished: HashSet::new(),
            early: Early::new(room),
            missed: false,
            handing_in: 0,
            looking: HashSet::new(),
            output,
            tasks: JoinSet::new(),
            figures,
        }
    }

    /// Whether one more job may be handed in.
    pub fn has_room(&self) -> bool {
        self.window.has_room()
    }

    /// How many jobs are under way.
    pub fn under_way(&self) -> usize {
        self.window.inside()
    }

    /// What a task tells, as soon as one does; `None` while there are none.
    pub async fn told(&mut self) -> Option<Told> {
        match self.tasks.join_next().await? {
            Ok(told) => Some(told),
            Err(error) => match error.try_into_panic() {
                // What it knew of its job is lost: better an end than a wait for ever.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => None,
            },
        }
    }

    /// Whether there are tasks to be told by.
    pub fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// A line of the input.
    pub fn read(&mut self, line: Line) {
        let slot = self.window.enter();
        self.figures.skipped(line.skipped);
        let pending = Pending {
            line: line.number,
            job: line.job,
            size: line.size,
        };
        self.pending.insert(slot, pending);
        self.hand_in(slot);
    }

    fn hand_in(&mut self, slot: u64) {
        let Some(pending) = self.pending.get(&slot) else {
            return;
        };
        let (client, line, job) = (self.client.clone(), pending.line, pending.job.clone());
        self.handing_in += 1;
        self.tasks
            .spawn(async move { Told::HandedIn(slot, client.hand_in(line, job).await) });
    }

    /// What a task has told.
    pub fn take(&mut self, told: Told) {
        match told {
            Told::HandedIn(slot, handed_in) => {
                self.handing_in -= 1;
                match handed_in {
                    HandedIn::Accepted(handle) => self.accept(slot, handle),
                    HandedIn::Finished(handle, outcome) => {
                        if let Some(handle) = &handle {
                            self.early.take(handle);
                        }
                        self.finish(slot, handle, &outcome);
                    }
                }
                self.ask_for_the_missed();
            }
            Told::Looked(handle, look) => {
                self.looking.remove(&handle);
                // It may have been heard of meanwhile, and acknowledged.
                let Some(&slot) = self.accepted.get(&handle) else {
                    return;
                };
                match look {
                    Look::Unfinished => {}
                    Look::Finished(outcome) => self.finish(slot, Some(handle), &outcome),
                    Look::Gone => {
                        self.accepted.remove(&handle);
                        self.hand_in(slot);
                    }
                }
            }
            Told::Acknowledged(handle) => {
                self.finished.remove(&handle);
                self.window.leave();
            }
        }
    }

    /// What the stream tells.
    pub fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Missed => {
                self.missed = true;
                self.ask_for_the_missed();
            }
            Heard::Finished(handle, outcome) => match self.accepted.get(&handle) {
                Some(&slot) => self.finish(slot, Some(handle), &outcome),
                None if self.finished.contains(&handle) => {}
                None => self.missed |= self.early.keep(handle, outcome),
            },
        }
    }

    /// A result is written: its record is of no use any more.
    pub fn written(&mut self, written: Written) {
        self.figures.written(written.failed, written.size);
        let Some(handle) = written.handle else {
            return self.window.leave();
        };
        self.acknowledge(handle);
    }

    fn acknowledge(&mut self, handle: Handle) {
        let client = self.client.clone();
        self.tasks.spawn(async move {
            client.acknowledge(&handle).await;
            Told::Acknowledged(handle)
        });
    }

    fn accept(&mut self, slot: u64, handle: Handle) {
        if let Some(outcome) = self.early.take(&handle) {
            self.finish(slot, Some(handle), &outcome);
        } else {
            self.accepted.insert(handle, slot);
        }
    }

    /// The result of a job is there: it is written when it is its turn.
    fn finish(&mut self, slot: u64, handle: Option<Handle>, outcome: &Outcome) {
        let Some(pending) = self.pending.remove(&slot) else {
            return;
        };
        if let Some(handle) = &handle {
            self.accepted.remove(handle);
            self.finished.insert(handle.clone());
        }
        let finished = Finished {
            text: outcome.line(&pending.job, handle.as_deref(), pending.line),
            line: pending.line,
            failed: outcome.failed(),
            then: Written {
                handle,
                failed: outcome.failed(),
                size: pending.size,
            },
        };
        for due in self.window.finish(slot, finished) {
            // There is room for all that are under way. It is closed once writing has
            // failed, of which the run is told.
            let _ = self.output.try_send(due);
        }
    }

    /// Reads the record of each job that is not finished. Not while a job is being handed in:
    /// a result that was missed may be its.
    fn ask_for_the_missed(&mut self) {
        if !self.missed || self.handing_in > 0 {
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

    /// The whole input is done. What was heard of and nobody asked for are results that an
    /// earlier run has written and not come to acknowledge; of which nothing was heard by now
    /// expire by themselves.
    pub async fn clear_up(self) {
        let mut tasks = JoinSet::new();
        for handle in self.early.into_handles() {
            let client = self.client.clone();
            tasks.spawn(async move { client.acknowledge(&handle).await });
        }
        tasks.join_all().await;
    }
}
