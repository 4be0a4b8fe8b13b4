//! What waits, in order: a pure value, told the time by its caller.
//!
//! Each frame has a [`FrameQueue`](frame_queue::FrameQueue) of its own, from whose front its batches are taken:
//! the oldest waiting item of each key is *ready*; those whose key is already ready are
//! *held*, and each becomes ready when the one before it has gone. Items that found the
//! queue full are in the *overflow* and wait for room, first come first in, whatever
//! their frames. Everything is ordered by number, and numbers only grow.
//!
//! All frames share the bounds. What all followers, those that wait for another of
//! their key, may take up is bounded too, so that one key can fill neither the queue nor
//! the overflow.
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

use crate::frame::Frame;
use crate::policy::longest_wait;
use crate::settings::Settings;
use deadlines::Deadlines;
use entry::{Position, Waiting};
use frame_queue::FrameQueue;
use frames::Frames;
use keys::{Keys, Rank};
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
    /// What a batch adds to the bytes of each of its entries.
    overhead: usize,
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
            overhead: settings.item_overhead,
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

    /// How many items wait in the queue proper.
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

    /// How many were ever kept apart from a batch by their keys: it left without
    /// them though there was room, or took younger ones.
    pub fn kept_apart(&self) -> u64 {
        self.kept_apart.unwrap_or_default()
    }

    /// What is known of the next batch of a frame, which these bounds hold for.
    pub fn front(&self, frame: Option<&Frame>, max_size: usize, max_bytes: usize) -> Option<Front> {
        let queue = self.frames.get(frame)?;
        let oldest = queue.ready.first();
        Some(Front {
            oldest: oldest.map(|(number, at)| (number, self.at(at).entry.arrived)),
            hurried: queue.hurried(),
            full: queue.is_full(max_size, max_bytes, self.overhead),
            gap: queue.arrivals.gap(),
            last_arrival: queue.arrivals.last(),
        })
    }

    /// The number that the next item will get.
    pub fn next_number(&self) -> Number {
        self.next
    }

    /// The earliest deadline of all that wait.
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

    /// Whether one more item of this key may wait, the others of its key
    /// considered.
    pub fn may_follow(&self, frame: Option<&Frame>, key: Option<u64>, bytes: usize) -> bool {
        let leads = |key| {
            let queue = self.frames.get(frame);
            !queue.is_some_and(|queue| queue.keys.contains(key))
        };
        self.followers.has_room_for(bytes, self.bounds.followers) || key.is_none_or(leads)
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
        let rank = queue.join(ticket, entry.key, hurried);
        if rank == Rank::Follower {
            self.followers += Load::one(bytes);
        }
        self.waiting.insert(Waiting {
            number,
            position: Position::Overflow,
            rank,
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
    fn hurried(&self, entry: &Entry<T>) -> Option<Instant> {
        let waits = longest_wait(entry.arrived, entry.deadline, self.max_wait);
        (waits < self.max_wait).then(|| entry.arrived + waits)
    }

    fn enter(&mut self, ticket: Ticket) {
        let waiting = &mut self.waiting[ticket.at];
        let bytes = waiting.entry.bytes;
        self.entered += 1;
        self.bytes += bytes;
        waiting.position = match waiting.rank {
            Rank::Follower => Position::Held,
            Rank::Leader => Position::Ready,
        };
        if waiting.position == Position::Ready
            && let Some(queue) = self.frames.get_mut(waiting.entry.frame.as_ref())
        {
            queue.make_ready(ticket, bytes);
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
            queue.ready_bytes -= bytes;
        }
        match (entry.key, removed.rank) {
            (Some(key), Rank::Leader) => self.followers -= queue.succeed(key, &mut self.waiting),
            (Some(key), Rank::Follower) => {
                queue.keys.leave(key, number);
                self.followers -= Load::one(bytes);
            }
            (None, _) => {}
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

    /// Takes a batch of a frame: from the oldest on, one of each key, until `max_size`
    /// are taken or the next would exceed `max_bytes`; the first leaves whatever its
    /// size. Tells which of the two it was, if one was.
    pub fn take(
        &mut self,
        frame: Option<&Frame>,
        max_size: usize,
        max_bytes: usize,
    ) -> (Vec<Entry<T>>, Option<Full>) {
        let Some(queue) = self.frames.get_mut(frame) else {
            return (Vec::new(), None);
        };
        let mut taken = Vec::with_capacity(max_size.min(queue.ready.len()));
        let (mut bytes, mut last) = (0, 0);
        let full = loop {
            if taken.len() == max_size {
                break Some(Full::Size);
            }
            let Some((number, at)) = queue.ready.first() else {
                break None;
            };
            let overhead = (taken.len() + 1) * self.overhead;
            let next = self.waiting[at].entry.bytes;
            if bytes + next + overhead > max_bytes && !taken.is_empty() {
                break Some(Full::Bytes);
            }
            queue.ready.pop();
            let ticket = Ticket { number, at };
            let entry = take_out(&mut self.waiting, &mut self.deadlines, queue, ticket);
            bytes += next;
            last = number;
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
        for key in taken.iter().filter_map(|entry| entry.key) {
            if let Some(kept_apart) = &mut self.kept_apart {
                *kept_apart += queue.keys.pass(key, passed_below);
            }
            self.followers -= queue.succeed(key, &mut self.waiting);
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
fn take_out<T>(
    waiting: &mut Slab<Waiting<T>>,
    deadlines: &mut Deadlines,
    queue: &mut FrameQueue,
    ticket: Ticket,
) -> Entry<T> {
    let removed = waiting.remove(ticket.at);
    queue.leave(ticket.number, removed.hurried);
    queue.ready_bytes -= removed.entry.bytes;
    if let Some(deadline) = removed.entry.deadline {
        deadlines.leave(deadline, ticket, removed.early);
    }
    removed.entry
}

#[cfg(test)]
mod tests;
