//! The queue, naively: one list, searched from the front.

use std::time::Duration;

use tokio::time::Instant;

use super::entry::{Full, Room};
use super::keys::Number;
use super::load::Load;
use crate::frame::Frame;
use crate::settings::Settings;

pub(crate) const ITEMS: usize = 6;
pub(crate) const BYTES: usize = 60;
pub(crate) const OVERHEAD: usize = 2;
pub(crate) const MAX_WAIT: Duration = Duration::from_millis(12);
/// What followers may take up: one full batch, which is more than a tenth.
pub(crate) const FOLLOWERS: Load = Load {
    items: 3,
    bytes: 40,
};

pub(crate) fn settings() -> Settings {
    Settings {
        queue_items: ITEMS,
        queue_bytes: BYTES,
        item_overhead: OVERHEAD,
        max_wait: MAX_WAIT,
        max_size: FOLLOWERS.items,
        max_bytes: FOLLOWERS.bytes,
        ..Settings::default()
    }
}

/// An item is its own number; the rest the model must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waits {
    pub number: Number,
    pub key: Option<u64>,
    pub frame: Option<Frame>,
    pub bytes: usize,
    pub arrived: Instant,
    pub deadline: Option<Instant>,
    /// A batch has left without it on account of its key.
    pub kept_apart: bool,
}

impl Waits {
    /// Half of its time, where that is less than `max_wait`.
    pub fn hurried(&self) -> Option<Instant> {
        self.hurried_within(MAX_WAIT)
    }

    /// The same where `max_wait` is this.
    pub fn hurried_within(&self, max_wait: Duration) -> Option<Instant> {
        let half = (self.deadline? - self.arrived) / 2;
        (half < max_wait).then(|| self.arrived + half)
    }

    pub fn shares_key(&self, other: &Self) -> bool {
        self.key.is_some() && self.key == other.key && self.frame == other.frame
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|it| it <= now)
    }
}

#[derive(Default)]
pub(crate) struct Model {
    pub queue: Vec<Waits>,
    pub overflow: Vec<Waits>,
    /// The bytes of each item of a parked batch.
    pub parked: Vec<usize>,
    pub entered: u64,
    pub kept_apart: u64,
}

impl Model {
    pub fn load(&self) -> Load {
        let waiting = self.queue.iter().map(|it| it.bytes);
        waiting
            .chain(self.parked.iter().copied())
            .map(Load::one)
            .sum()
    }

    pub fn fits(&self, bytes: usize) -> bool {
        let load = self.load();
        load.items < ITEMS && load.bytes + bytes <= BYTES
    }

    pub fn admit(&mut self) {
        while let Some(first) = self.overflow.first()
            && self.fits(first.bytes)
        {
            self.queue.push(self.overflow.remove(0));
            self.entered += 1;
        }
    }

    /// The oldest of each key of a frame.
    pub fn ready(&self, frame: &Option<Frame>) -> Vec<Waits> {
        let mut ready: Vec<Waits> = Vec::new();
        for it in self.queue.iter().filter(|it| it.frame == *frame) {
            if !ready.iter().any(|other| other.shares_key(it)) {
                ready.push(it.clone());
            }
        }
        ready
    }

    pub fn all(&self) -> impl Iterator<Item = &Waits> + Clone {
        self.queue.iter().chain(&self.overflow)
    }

    /// All but the oldest of each key.
    pub fn may_follow(&self, frame: &Option<Frame>, key: Option<u64>, bytes: usize) -> bool {
        let (mut keys, mut load) = (Vec::new(), Load::one(bytes));
        for it in self.all().filter(|it| it.key.is_some()) {
            let key = (it.frame.clone(), it.key);
            match keys.contains(&key) {
                true => load += Load::one(it.bytes),
                false => keys.push(key),
            }
        }
        !keys.contains(&(frame.clone(), key))
            || load.items <= FOLLOWERS.items && load.bytes <= FOLLOWERS.bytes
    }

    pub fn take(&mut self, frame: &Option<Frame>, max_size: usize, max_bytes: usize) -> Vec<Waits> {
        let mut taken: Vec<Waits> = Vec::new();
        for it in self.ready(frame) {
            let bytes: usize = taken.iter().map(|it| it.bytes + OVERHEAD).sum();
            let exceeds = bytes + it.bytes + OVERHEAD > max_bytes;
            if taken.len() == max_size || exceeds && !taken.is_empty() {
                break;
            }
            taken.push(it);
        }
        self.queue.retain(|it| !taken.contains(it));
        let full = self.was_full(frame, &taken, max_size, max_bytes);
        for it in &mut self.queue {
            let passed = taken.last().is_some_and(|last| it.number < last.number) || !full;
            let mate = taken.iter().any(|other| other.shares_key(it));
            if mate && passed && !it.kept_apart {
                it.kept_apart = true;
                self.kept_apart += 1;
            }
        }
        self.admit();
        taken
    }

    /// Whether a batch had room for no more, as far as one can tell by what would
    /// have been the next.
    pub fn was_full(
        &self,
        frame: &Option<Frame>,
        taken: &[Waits],
        max_size: usize,
        max_bytes: usize,
    ) -> bool {
        let apart = |it: &Waits| taken.iter().any(|other| other.shares_key(it));
        let next = self
            .queue
            .iter()
            .find(|it| it.frame == *frame && !apart(it));
        let bytes: usize = taken.iter().map(|it| it.bytes + OVERHEAD).sum();
        taken.len() == max_size || next.is_some_and(|it| bytes + it.bytes + OVERHEAD > max_bytes)
    }

    pub fn full(&self, frame: &Option<Frame>, max_size: usize, max_bytes: usize) -> Option<Full> {
        let mut bytes = 0;
        for (at, it) in self.ready(frame).iter().enumerate() {
            bytes += it.bytes + OVERHEAD;
            if bytes > max_bytes {
                return Some(Full::Bytes);
            }
            if at + 1 == max_size {
                return Some(Full::Size);
            }
        }
        None
    }

    /// Those that fit beside `others`, naively: each in its turn, or passed over.
    pub fn take_riders(
        &mut self,
        frame: &Option<Frame>,
        others: &[Waits],
        max_size: usize,
        max_bytes: usize,
    ) -> Vec<Waits> {
        let mut riders: Vec<Waits> = Vec::new();
        for it in self.ready(frame) {
            let aboard = || others.iter().chain(&riders);
            let bytes: usize = aboard().map(|it| it.bytes + OVERHEAD).sum();
            let fits = bytes + it.bytes + OVERHEAD <= max_bytes && aboard().count() < max_size;
            if fits && !aboard().any(|other| other.shares_key(&it)) {
                riders.push(it);
            }
        }
        self.queue.retain(|it| !riders.contains(it));
        riders
    }

    /// One comes back to where it was.
    pub fn put_back(&mut self, waits: Waits) {
        let at = self.queue.partition_point(|it| it.number < waits.number);
        self.queue.insert(at, waits);
    }

    pub fn remove(&mut self, gone: impl Fn(&Waits) -> bool) -> Vec<(Number, Room)> {
        let mut removed = Vec::new();
        for (waits, room) in [
            (&mut self.queue, Room::Queue),
            (&mut self.overflow, Room::Overflow),
        ] {
            removed.extend(
                waits
                    .extract_if(.., |it| gone(it))
                    .map(|it| (it.number, room)),
            );
        }
        self.admit();
        removed
    }
}
