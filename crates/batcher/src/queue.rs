//! What waits, in order: a pure value, told the time by its caller.
//!
//! Each frame has a [`FrameQueue`](frame_queue::FrameQueue) of its own, from whose front its batches are taken:
//! an item is *ready* if it is the oldest of each of its keys, else it is *held*, and
//! becomes ready when all before it have gone that have a key of its own. Items that found
//! the queue full are in the *overflow* and wait for room, first come first in, whatever
//! their frames. Everything is ordered by number, and numbers only grow.
//!
//! All frames share the bounds. What all followers, those that wait for another that has a
//! key of theirs, may take up is bounded too, so that one key can fill neither the queue
//! nor the overflow.
//!
//! Batches that are parked before they are sent again take up room like the items
//! they are made of, and are known here by their [`Load`] alone.

mod deadlines;
mod entry;
mod frame_queue;
mod frames;
mod keys;
mod line;
mod load;
#[cfg(test)]
pub(crate) mod model;
mod put_back;
mod riders;

use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::extent::Extent;
use crate::frame::Frame;
use crate::keys::Keys as ItemKeys;
use crate::policy::longest_wait;
use crate::settings::Settings;
use deadlines::Deadlines;
use entry::{Position, Waiting};
use frame_queue::FrameQueue;
use frames::Frames;
use keys::Keys;
use line::Line;
use load::Bounds;

pub(crate) use entry::{Entry, Full, Room};
pub(crate) use frame_queue::Turn;
pub(crate) use keys::{Number, Ticket};
pub(crate) use load::{Load, Loads};

/// Room for this many items is kept while nothing waits, and no more.
const SPARE: usize = 16_384;

#[derive(Debug)]
pub(crate) struct Queue<T> {
    bounds: Bounds,
    max_wait: Duration,
    next: Number,
    /// All that wait. All else names them by their places here.
    waiting: Slab<Waiting<T>>,
    pub frames: Frames,
    overflow: Line<Number>,
    overflow_bytes: usize,
    bytes: usize,
    followers: Load,
    /// How many were ever passed over on account of their key, where that is counted.
    kept_apart: Option<u64>,
    /// Of the batches that are parked.
    parked: Load,
    deadlines: Deadlines,
    entered: u64,
    /// How often an entry was looked at.
    #[cfg(test)]
    visits: std::cell::Cell<u64>,
}

/// What is known of the batch at the front of a frame's queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front {
    /// The oldest item's number and arrival.
    pub oldest: Option<(Number, Instant)>,
    /// See [`FrameQueue::hurried`](frame_queue::FrameQueue::hurried).
    pub hurried: Option<Instant>,
    /// Whether it can't grow.
    pub full: bool,
    /// The usual time between arrivals lately, and the last.
    pub gap: Option<Duration>,
    pub last_arrival: Option<Instant>,
}

impl<T> Queue<T> {
    pub fn new(settings: &Settings) -> Self {
        Self::within(Bounds::of(settings), Some(0), Keys::few, settings)
    }

    /// One that always has room. It does not count what is passed over on account of its
    /// key, which takes a look at each.
    pub fn unbounded(settings: &Settings) -> Self {
        Self::within(Bounds::NONE, None, Keys::many, settings)
    }

    fn within(
        bounds: Bounds,
        kept_apart: Option<u64>,
        keys: fn() -> Keys,
        settings: &Settings,
    ) -> Self {
        Self {
            bounds,
            max_wait: settings.max_wait,
            next: 0,
            waiting: Slab::new(),
            frames: Frames::new(settings.max_wait * 4, keys),
            overflow: Line::default(),
            overflow_bytes: 0,
            bytes: 0,
            followers: Load::default(),
            kept_apart,
            parked: Load::default(),
            deadlines: Deadlines::default(),
            entered: 0,
            #[cfg(test)]
            visits: std::cell::Cell::new(0),
        }
    }

    fn at(&self, at: usize) -> &Waiting<T> {
        #[cfg(test)]
        self.visits.set(self.visits.get() + 1);
        &self.waiting[at]
    }

    #[cfg(test)]
    pub fn visits(&self) -> u64 {
        self.visits.get()
    }

    /// How many items wait, in the queue proper or for room in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many items wait in the queue proper.
    #[inline]
    pub fn items(&self) -> usize {
        self.waiting.len() - self.overflow.len()
    }

    /// What takes up room: the queue proper, and the batches that are parked.
    pub fn load(&self) -> Load {
        let mut load = self.parked;
        load += Load {
            items: self.items(),
            bytes: self.bytes,
        };
        load
    }

    /// A batch is parked, whether there is room for it or not.
    pub fn park(&mut self, load: Load) {
        self.parked += load;
    }

    /// A batch is parked no longer, or has lost a member.
    pub fn unpark(&mut self, load: Load) {
        self.parked -= load;
        self.admit();
    }

    /// How many wait for room.
    pub fn overflow(&self) -> usize {
        self.overflow.len()
    }

    /// How many have ever entered the queue proper.
    pub fn entered(&self) -> u64 {
        self.entered
    }

    /// How many were ever kept apart from a batch that had keys of theirs: it left without
    /// them though there was room, or took younger ones.
    pub fn kept_apart(&self) -> u64 {
        self.kept_apart.unwrap_or_default()
    }

    /// What all that wait take up of batches, or as much of that as one batch may have.
    pub fn extent_within(&self, bounds: Extent) -> Extent {
        let mut extent = Extent::default();
        for (_, waiting) in &self.waiting {
            if !extent.is_within(bounds) {
                break;
            }
            extent += waiting.entry.extent;
        }
        extent
    }

    /// What is known of the next batch of a frame, whose entries may take up so much.
    pub fn front(&self, frame: Option<&Frame>, bounds: Extent) -> Option<Front> {
        let queue = self.frames.get(frame)?;
        let oldest = queue.ready.first();
        Some(Front {
            oldest: oldest.map(|(number, at)| (number, self.at(at).entry.arrived)),
            hurried: queue.hurried(),
            full: queue.is_full(bounds),
            gap: queue.arrivals.gap(),
            last_arrival: queue.arrivals.last(),
        })
    }

    /// The number that the next item will get.
    pub fn next_number(&self) -> Number {
        self.next
    }

    /// The earliest deadline of all that wait.
    #[inline]
    pub fn earliest_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| deadline)
    }

    /// Whether one more item of `bytes` may wait for room.
    pub fn overflow_has_room(&self, bytes: usize) -> bool {
        let overflow = Load {
            items: self.overflow.len(),
            bytes: self.overflow_bytes,
        };
        overflow.has_room_for(bytes, self.bounds.overflow)
    }

    /// Whether one more item of `bytes` may enter at once.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.overflow.is_empty() && self.fits(bytes)
    }

    /// Whether one more item of these keys may wait, the others that have one of them
    /// considered.
    pub fn may_follow(&self, frame: Option<&Frame>, keys: &ItemKeys, bytes: usize) -> bool {
        if self.followers.has_room_for(bytes, self.bounds.followers) {
            return true;
        }
        let queue = self.frames.get(frame);
        let waits = |key| queue.is_some_and(|queue| queue.keys.contains(key));
        !keys.into_iter().any(waits)
    }

    fn fits(&self, bytes: usize) -> bool {
        self.load().has_room_for(bytes, self.bounds.queue)
    }

    /// Lines an entry up that came from `source`, if that is known; in the overflow
    /// where there is no room for it.
    pub fn push(&mut self, entry: Entry<T>, source: Option<u64>) -> (Ticket, Room) {
        let number = self.next;
        self.next += 1;
        let bytes = entry.bytes;
        let room = match self.has_room(bytes) {
            true => Room::Queue,
            false => Room::Overflow,
        };
        let hurried = self.hurried(&entry);
        let at = self.waiting.vacant_key();
        let ticket = Ticket { number, at };
        let deadline = entry.deadline;
        let early = deadline.is_some_and(|deadline| self.deadlines.join(deadline, ticket));
        let queue = self.frames.get_or_make(entry.frame.as_ref());
        queue.arrivals.record(entry.arrived, source);
        let behind = queue.join(ticket, &entry.keys, hurried);
        if behind > 0 {
            self.followers += Load::one(bytes);
        }
        self.waiting.insert(Waiting {
            number,
            position: Position::Overflow,
            behind,
            kept_apart: false,
            early,
            hurried,
            entry,
        });
        match room {
            Room::Queue => self.enter(ticket),
            Room::Overflow => {
                self.overflow_bytes += bytes;
                self.overflow.join(number, at);
            }
        }
        (ticket, room)
    }

    /// Until when it waits for company, if not as long as any may.
    #[inline]
    fn hurried(&self, entry: &Entry<T>) -> Option<Instant> {
        let waits = longest_wait(entry.arrived, entry.deadline, self.max_wait);
        (waits < self.max_wait).then(|| entry.arrived + waits)
    }

    fn enter(&mut self, ticket: Ticket) {
        let waiting = &mut self.waiting[ticket.at];
        self.entered += 1;
        self.bytes += waiting.entry.bytes;
        if waiting.behind > 0 {
            waiting.position = Position::Held;
            return;
        }
        waiting.position = Position::Ready;
        if let Some(queue) = self.frames.get_mut(waiting.entry.frame.as_ref()) {
            queue.make_ready(ticket, waiting.entry.extent);
        }
    }

    /// Lets in from the overflow, in order, as many as fit.
    fn admit(&mut self) {
        while let Some((number, at)) = self.overflow.first() {
            let bytes = self.at(at).entry.bytes;
            // The one at the door takes up no room yet.
            if !self.fits(bytes) {
                return;
            }
            self.overflow.pop();
            self.overflow_bytes -= bytes;
            self.enter(Ticket { number, at });
        }
    }

    /// Takes one entry out, wherever it waits; `None` if it no longer does.
    pub fn remove(&mut self, ticket: Ticket) -> Option<(Entry<T>, Room)> {
        let removed = self.remove_only(ticket);
        self.admit();
        removed
    }

    fn remove_only(&mut self, ticket: Ticket) -> Option<(Entry<T>, Room)> {
        let Ticket { number, at } = ticket;
        let waits = self.waiting.get(at)?.number == number;
        let removed = waits.then(|| self.waiting.remove(at))?;
        let entry = removed.entry;
        let (frame, bytes) = (entry.frame.as_ref(), entry.bytes);
        if let Some(deadline) = entry.deadline {
            self.deadlines.leave(deadline, ticket, removed.early);
        }
        let queue = self.frames.get_mut(frame)?;
        queue.leave(number, removed.hurried);
        if removed.position == Position::Ready {
            queue.ready.leave(number);
            queue.ready_extent -= entry.extent;
        }
        if removed.behind > 0 {
            self.followers -= Load::one(bytes);
        }
        for key in &entry.keys {
            if let Some(next) = queue.keys.leave(key, ticket) {
                self.followers -= queue.follow_up(next, &mut self.waiting);
            }
        }
        self.frames.forget_if_empty(frame);
        let room = match removed.position {
            Position::Overflow => {
                self.overflow.leave(number);
                self.overflow_bytes -= bytes;
                Room::Overflow
            }
            Position::Held | Position::Ready => {
                self.bytes -= bytes;
                Room::Queue
            }
        };
        self.shrink_if_empty();
        Some((entry, room))
    }

    /// Takes a batch of a frame: from the oldest on, one of each key, until they take up
    /// what is allowed or the next would exceed it; the first leaves whatever it takes up.
    /// Tells by what it was full, if it was.
    pub fn take(&mut self, frame: Option<&Frame>, bounds: Extent) -> (Vec<Entry<T>>, Option<Full>) {
        let Some(queue) = self.frames.get_mut(frame) else {
            return (Vec::new(), None);
        };
        let mut taken = Vec::with_capacity(bounds.weight.min(queue.ready.len()));
        let (mut extent, mut bytes, mut last) = (Extent::default(), 0, 0);
        let full = loop {
            if extent.weight >= bounds.weight {
                break Some(Full::Size);
            }
            let Some((number, at)) = queue.ready.first() else {
                break None;
            };
            let with_next = extent.with(self.waiting[at].entry.extent);
            if !taken.is_empty() && with_next.weight > bounds.weight {
                break Some(Full::Size);
            }
            if !taken.is_empty() && with_next.bytes > bounds.bytes {
                break Some(Full::Bytes);
            }
            queue.ready.pop();
            let ticket = Ticket { number, at };
            let entry = take_out(&mut self.waiting, &mut self.deadlines, queue, ticket);
            (extent, last) = (with_next, number);
            bytes += entry.bytes;
            taken.push(entry);
        };
        self.bytes -= bytes;
        // The batch had room for all that were in the queue, or took what came
        // after them.
        let passed_below = match full {
            Some(_) => last,
            None => self.overflow.first().map_or(self.next, |(it, _)| it),
        };
        // Only once the batch is complete: promoted earlier, a later item of a
        // key would be taken into the batch of the earlier one.
        for key in taken.iter().flat_map(|entry| &entry.keys) {
            if let Some(kept_apart) = &mut self.kept_apart {
                for at in queue.keys.pass(key, passed_below) {
                    let before = std::mem::replace(&mut self.waiting[at].kept_apart, true);
                    *kept_apart += u64::from(!before);
                }
            }
            if let Some(next) = queue.keys.succeed(key) {
                self.followers -= queue.follow_up(next, &mut self.waiting);
            }
        }
        self.frames.forget_if_empty(frame);
        self.admit();
        self.shrink_if_empty();
        (taken, full)
    }

    /// Takes out those whose deadline has come, the earliest first, `most` at a time.
    pub fn expire(&mut self, now: Instant, most: usize) -> Vec<(Entry<T>, Room)> {
        let mut expired = Vec::new();
        // Nothing is let in before all have gone: an item of the overflow that is due
        // as well was never accepted.
        while expired.len() < most
            && let Some((deadline, ticket)) = self.deadlines.first()
            && deadline <= now
        {
            expired.extend(self.remove_only(ticket));
        }
        if !expired.is_empty() {
            self.admit();
        }
        expired
    }

    /// Takes out everything, oldest first.
    pub fn clear(&mut self) -> Vec<(Entry<T>, Room)> {
        let waiting = self.waiting.iter();
        let mut tickets: Vec<Ticket> = waiting
            .map(|(at, &Waiting { number, .. })| Ticket { number, at })
            .collect();
        tickets.sort_unstable_by_key(|ticket| ticket.number);
        let gone = |ticket| self.remove_only(ticket);
        tickets.into_iter().filter_map(gone).collect()
    }

    fn shrink_if_empty(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > SPARE {
            self.waiting = Slab::new();
            self.overflow = Line::default();
            self.deadlines = Deadlines::default();
            self.frames.shrink_unframed();
        }
    }

    /// For how many items there is room without asking for more.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.waiting.capacity().max(self.frames.unframed_capacity())
    }
}

/// Takes one out that was ready, and is no longer in that line.
#[inline]
fn take_out<T>(
    waiting: &mut Slab<Waiting<T>>,
    deadlines: &mut Deadlines,
    queue: &mut FrameQueue,
    ticket: Ticket,
) -> Entry<T> {
    let removed = waiting.remove(ticket.at);
    queue.leave(ticket.number, removed.hurried);
    queue.ready_extent -= removed.entry.extent;
    if let Some(deadline) = removed.entry.deadline {
        deadlines.leave(deadline, ticket, removed.early);
    }
    removed.entry
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod unbounded_tests;
