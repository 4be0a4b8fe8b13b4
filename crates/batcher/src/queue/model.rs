//! The queue, naively: one list, searched from the front.

use std::time::Duration;

use tokio::time::Instant;

use super::entry::{Entry, Full, Room};
use super::keys::Number;
use super::load::Load;
use crate::extent::Extent;
use crate::frame::Frame;
use crate::keys::Keys;
use crate::settings::Settings;

pub(crate) const ITEMS: usize = 6;
pub(crate) const BYTES: usize = 60;
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
    pub keys: Keys,
    pub extent: Extent,
    pub frame: Option<Frame>,
    pub bytes: usize,
    pub arrived: Instant,
    pub deadline: Option<Instant>,
    /// A batch has left without it that had a key of its own.
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
        let mut keys = self.keys.into_iter();
        self.frame == other.frame && keys.any(|it| other.keys.as_slice().contains(&it))
    }

    /// What is known of an entry whose item is this number.
    pub fn of<T>(entry: &Entry<T>, number: Number) -> Self {
        Self {
            number,
            keys: entry.keys.clone(),
            extent: entry.extent,
            frame: entry.frame.clone(),
            bytes: entry.bytes,
            arrived: entry.arrived,
            deadline: entry.deadline,
            kept_apart: false,
        }
    }

    /// The entry of this item.
    pub fn entry<T>(&self, item: T) -> Entry<T> {
        Entry {
            item,
            keys: self.keys.clone(),
            extent: self.extent,
            bytes: self.bytes,
            frame: self.frame.clone(),
            arrived: self.arrived,
            deadline: self.deadline,
        }
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

    /// Those of a frame that have no key of an older one.
    pub fn ready(&self, frame: &Option<Frame>) -> Vec<Waits> {
        let (mut ready, mut older) = (Vec::new(), Vec::new());
        for it in self.queue.iter().filter(|it| it.frame == *frame) {
            if !older.iter().any(|other: &&Waits| other.shares_key(it)) {
                ready.push(it.clone());
            }
            older.push(it);
        }
        ready
    }

    pub fn all(&self) -> impl Iterator<Item = &Waits> + Clone {
        self.queue.iter().chain(&self.overflow)
    }

    /// All that have a key of an older one.
    pub fn followers(&self) -> Load {
        let (mut older, mut load) = (Vec::<&Waits>::new(), Load::default());
        for it in self.all() {
            if older.iter().any(|other| other.shares_key(it)) {
                load += Load::one(it.bytes);
            }
            older.push(it);
        }
        load
    }

    /// Whether one more of these keys may be among them, or need not.
    pub fn may_follow(&self, frame: &Option<Frame>, keys: &Keys, bytes: usize) -> bool {
        let mut load = self.followers();
        load += Load::one(bytes);
        let follows = self.all().any(|it| {
            let mut keys = keys.into_iter();
            it.frame == *frame && keys.any(|key| it.keys.as_slice().contains(&key))
        });
        !follows || load.items <= FOLLOWERS.items && load.bytes <= FOLLOWERS.bytes
    }

    pub fn take(&mut self, frame: &Option<Frame>, bounds: Extent) -> Vec<Waits> {
        let mut taken: Vec<Waits> = Vec::new();
        for it in self.ready(frame) {
            let all = extent(taken.iter().chain([&it]));
            if !taken.is_empty() && exceeds(all, bounds).is_some() {
                break;
            }
            taken.push(it);
        }
        self.queue.retain(|it| !taken.contains(it));
        let full = self.was_full(frame, &taken, bounds);
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
    pub fn was_full(&self, frame: &Option<Frame>, taken: &[Waits], bounds: Extent) -> bool {
        let queue = self.queue.iter().filter(|it| it.frame == *frame);
        let before = |it: &Waits| {
            let mut before = taken.iter().chain(queue.clone());
            before.any(|other| other.number < it.number && other.shares_key(it))
        };
        let mut ready = queue.clone().filter(|it| !before(it));
        let next = ready.next();
        let exceeds = |it| exceeds(extent(taken.iter().chain([it])), bounds).is_some();
        extent(taken).weight >= bounds.weight || next.is_some_and(exceeds)
    }

    pub fn full(&self, frame: &Option<Frame>, bounds: Extent) -> Option<Full> {
        let ready = self.ready(frame);
        for many in 1..=ready.len() {
            let (before, all) = (extent(&ready[..many - 1]), extent(&ready[..many]));
            if before.weight >= bounds.weight {
                return Some(Full::Size);
            }
            if let Some(full) = exceeds(all, bounds)
                && many > 1
            {
                return Some(full);
            }
        }
        let all = extent(&ready);
        match all.weight >= bounds.weight {
            true => Some(Full::Size),
            // One alone.
            false => (all.bytes > bounds.bytes).then_some(Full::Bytes),
        }
    }

    /// Those that fit beside `others`, naively: each in its turn, or passed over.
    pub fn take_riders(
        &mut self,
        frame: &Option<Frame>,
        others: &[Waits],
        bounds: Extent,
    ) -> Vec<Waits> {
        let mut riders: Vec<Waits> = Vec::new();
        for it in self.ready(frame) {
            let aboard = || others.iter().chain(&riders);
            let fits = exceeds(extent(aboard().chain([&it])), bounds).is_none();
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

/// What they take up of a batch together.
fn extent<'a>(waits: impl IntoIterator<Item = &'a Waits>) -> Extent {
    waits.into_iter().map(|it| it.extent).sum()
}

/// By what a batch of this extent exceeds its bounds, the first of the two.
fn exceeds(all: Extent, bounds: Extent) -> Option<Full> {
    match all.weight > bounds.weight {
        true => Some(Full::Size),
        false => (all.bytes > bounds.bytes).then_some(Full::Bytes),
    }
}
