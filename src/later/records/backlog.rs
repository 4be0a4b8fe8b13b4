//! The jobs of one route that wait to be claimed, by the frames that they share.
//!
//! Those that were claimed by a process that is gone wait apart from all others: they come
//! first, and one at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::job::Handle;
use crate::later::backlog::{Waiting, Which};
use crate::later::record::{FrameKey, Millis};

/// The jobs of one route.
#[derive(Debug, Default)]
pub(in crate::later) struct Backlog {
    interrupted: Frames,
    others: Frames,
}

/// A job that waits.
#[derive(Clone, Copy, Debug)]
pub(in crate::later) struct Waits {
    pub handle: Handle,
    pub frame: FrameKey,
    pub items: u64,
    pub bytes: u64,
    pub deadline: Millis,
    pub interrupted: bool,
}

/// What fills a batch.
#[derive(Clone, Copy, Debug)]
pub(in crate::later) struct Full {
    pub items: u64,
    pub bytes: u64,
}

impl Backlog {
    pub fn insert(&mut self, job: &Waits) {
        self.of(job).insert(job);
    }

    pub fn remove(&mut self, job: &Waits) {
        self.of(job).remove(job);
    }

    fn of(&mut self, job: &Waits) -> &mut Frames {
        match job.interrupted {
            true => &mut self.interrupted,
            false => &mut self.others,
        }
    }

    /// Which jobs may be claimed, in their order; all but the first only as far as they
    /// fill no more than is asked for.
    pub fn choose(&self, which: Which, full: Full) -> Box<dyn Iterator<Item = Handle> + '_> {
        let one = match which {
            Which::Overdue { now } => self.interrupted.overdue(now).next(),
            Which::Batch { .. } | Which::Any => self.interrupted.oldest(),
        };
        if let Some(one) = one {
            return Box::new(std::iter::once(one));
        }
        let frame = match which {
            Which::Overdue { now } => return Box::new(self.others.overdue(now)),
            Which::Any => self.others.frame_of_the_oldest(Millis::MAX),
            Which::Batch { due } => {
                let due = self.others.frame_of_the_oldest(due);
                due.or_else(|| self.others.full(full))
            }
        };
        let frame = frame.and_then(|it| self.others.frames.get(&it));
        Box::new(frame.into_iter().flat_map(|it| it.jobs.iter().copied()))
    }

    pub fn oldest(&self) -> Option<Handle> {
        let both = [self.interrupted.oldest(), self.others.oldest()];
        both.into_iter().flatten().min()
    }

    pub fn waiting(&self) -> Waiting {
        let (apart, others) = (&self.interrupted, &self.others);
        let most = |sizes: &BTreeSet<(u64, FrameKey)>| sizes.last().map_or(0, |it| it.0);
        let deadlines = [apart, others].map(|it| it.deadlines.first().map(|it| it.0));
        Waiting {
            jobs: (apart.deadlines.len() + others.deadlines.len()) as u64,
            items: most(&others.by_items),
            bytes: most(&others.by_bytes),
            oldest: self.oldest().map(|it| it.millis()),
            deadline: deadlines.into_iter().flatten().min(),
            lapses: apart.oldest().map(|_| 0),
        }
    }
}

/// Frames, and those of them that come next.
#[derive(Debug, Default)]
struct Frames {
    frames: BTreeMap<FrameKey, Frame>,
    by_oldest: BTreeMap<Handle, FrameKey>,
    by_items: BTreeSet<(u64, FrameKey)>,
    by_bytes: BTreeSet<(u64, FrameKey)>,
    /// Of all jobs.
    deadlines: BTreeSet<(Millis, Handle)>,
}

#[derive(Debug, Default)]
struct Frame {
    /// The oldest first.
    jobs: BTreeSet<Handle>,
    items: u64,
    bytes: u64,
}

impl Frames {
    fn insert(&mut self, job: &Waits) {
        if !self.deadlines.insert((job.deadline, job.handle)) {
            return;
        }
        self.change(job.frame, |frame| {
            frame.jobs.insert(job.handle);
            frame.items += job.items;
            frame.bytes += job.bytes;
        });
    }

    fn remove(&mut self, job: &Waits) {
        if !self.deadlines.remove(&(job.deadline, job.handle)) {
            return;
        }
        self.change(job.frame, |frame| {
            frame.jobs.remove(&job.handle);
            frame.items -= job.items;
            frame.bytes -= job.bytes;
        });
    }

    fn change(&mut self, key: FrameKey, change: impl FnOnce(&mut Frame)) {
        let frame = self.frames.entry(key).or_default();
        let (oldest, items, bytes) = (frame.jobs.first().copied(), frame.items, frame.bytes);
        change(frame);
        let next = frame.jobs.first().copied();
        if oldest != next {
            oldest.and_then(|it| self.by_oldest.remove(&it));
            next.and_then(|it| self.by_oldest.insert(it, key));
        }
        self.by_items.remove(&(items, key));
        self.by_bytes.remove(&(bytes, key));
        match next {
            None => drop(self.frames.remove(&key)),
            Some(_) => {
                self.by_items.insert((frame.items, key));
                self.by_bytes.insert((frame.bytes, key));
            }
        }
    }

    fn oldest(&self) -> Option<Handle> {
        self.by_oldest.first_key_value().map(|it| *it.0)
    }

    /// The frame with the oldest job, if that was handed in at this time or before.
    fn frame_of_the_oldest(&self, due: Millis) -> Option<FrameKey> {
        let (oldest, frame) = self.by_oldest.first_key_value()?;
        (oldest.millis() <= due).then_some(*frame)
    }

    /// A frame that fills a batch.
    fn full(&self, full: Full) -> Option<FrameKey> {
        let by = |sizes: &BTreeSet<(u64, FrameKey)>, full| {
            let most = sizes.last().filter(|it| it.0 >= full);
            most.map(|it| it.1)
        };
        let by_items = by(&self.by_items, full.items);
        by_items.or_else(|| by(&self.by_bytes, full.bytes))
    }

    /// Those whose time is over, the first to be over first.
    fn overdue(&self, now: Millis) -> impl Iterator<Item = Handle> + '_ {
        let over = self.deadlines.iter().take_while(move |it| it.0 <= now);
        over.map(|it| it.1)
    }
}
