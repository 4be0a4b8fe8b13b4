//! What waits, in order: a pure value, told the time by its caller.
//!
//! Three rooms. *Ready*: the oldest waiting item of each key; a batch is taken
//! from its front. *Held*: items whose key is already ready; each becomes ready
//! when the one before it has gone. *Lobby*: items that found the queue full
//! and wait for room, first come first in. Every room is ordered by number, and
//! numbers only grow.
//!
//! Of each key the oldest is its *leader*, all others are *followers*: they wait
//! for one another, whatever room they are in. What all followers may take up is
//! bounded, so that one key can fill neither the queue nor the lobby.
//!
//! Batches that rest before they are sent again take up room like the items
//! they are made of, and are known here by their [`Load`] alone.

use std::collections::BTreeSet;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

pub(super) use super::keys::Number;
use super::keys::{Keys, Rank};
use super::line::Line;
use super::policy::longest_wait;
use super::settings::Settings;

/// An item's place in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub number: Number,
    /// Where it is kept.
    at: usize,
}

/// One item that waits.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub item: T,
    /// Entries with equal keys never share a batch.
    pub key: Option<u64>,
    pub bytes: usize,
    pub arrived: Instant,
    pub deadline: Option<Instant>,
}

/// Where an entry was when it was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// In the queue proper, ready or held.
    Queue,
    /// Waiting for room in the queue.
    Lobby,
}

/// Why a batch can't grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Size,
    Bytes,
}

/// How many items there are, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub jobs: usize,
    pub bytes: usize,
}

impl Load {
    /// One item of `bytes`.
    pub fn one(bytes: usize) -> Self {
        Self { jobs: 1, bytes }
    }

    /// Whether one more item of `bytes` keeps it within the bounds.
    pub fn has_room_for(self, bytes: usize, bounds: Self) -> bool {
        let all = self.bytes.checked_add(bytes);
        self.jobs < bounds.jobs && all.is_some_and(|all| all <= bounds.bytes)
    }
}

impl std::ops::AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.bytes += other.bytes;
    }
}

impl std::ops::SubAssign for Load {
    fn sub_assign(&mut self, other: Self) {
        self.jobs -= other.jobs;
        self.bytes -= other.bytes;
    }
}

impl std::iter::Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), |mut sum, load| {
            sum += load;
            sum
        })
    }
}

/// The lobby holds as many items as the queue, or this many if that is more: a
/// short queue is one way to have callers wait outside.
const LOBBY_JOBS: usize = 1_000;

/// The same for their bytes.
const LOBBY_BYTES: usize = 64 << 20;

/// Followers take up at most one part in this many of the queue, or as much as
/// one full batch if that is more.
const FOLLOWERS_SHARE: usize = 10;

/// An entry with where it waits.
#[derive(Debug)]
struct Waiting<T> {
    number: Number,
    stage: Stage,
    rank: Rank,
    /// Its deadline comes before one of an earlier item.
    early: bool,
    /// Until when it waits for company, if not as long as any may.
    hurried: Option<Instant>,
    entry: Entry<T>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ready,
    Held,
    Lobby,
}

/// The most that may be in each room.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    queue: Load,
    lobby: Load,
    followers: Load,
}

impl Bounds {
    fn of(settings: &Settings) -> Self {
        let queue = Load {
            jobs: settings.queue_jobs.max(1),
            bytes: settings.queue_bytes,
        };
        Self {
            queue,
            lobby: Load {
                jobs: queue.jobs.max(LOBBY_JOBS),
                bytes: queue.bytes.max(LOBBY_BYTES),
            },
            followers: Load {
                jobs: (queue.jobs / FOLLOWERS_SHARE).max(settings.max_size),
                bytes: (queue.bytes / FOLLOWERS_SHARE).max(settings.max_bytes),
            },
        }
    }
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    bounds: Bounds,
    /// What a batch adds to the bytes of each of its entries.
    overhead: usize,
    max_wait: Duration,
    next: Number,
    /// All that wait. The rooms and deadlines name them by their places here.
    waiting: Slab<Waiting<T>>,
    ready: Line<Number>,
    lobby: Line<Number>,
    keys: Keys,
    bytes: usize,
    ready_bytes: usize,
    lobby_bytes: usize,
    /// All that wait for another of their key, wherever.
    followers: Load,
    /// How many were ever passed over on account of their key.
    kept_apart: u64,
    /// Of the batches that rest.
    resting: Load,
    /// Of all that wait but the early ones: nearly all have the same time to
    /// stay, so that their deadlines come in the order of their arrivals.
    deadlines: Line<(Instant, Number)>,
    /// The early ones', each with the place of its item.
    early: BTreeSet<(Instant, Number, usize)>,
    /// Until when those wait for company at most whose time is too short for
    /// `max_wait`.
    hurried: BTreeSet<(Instant, Number)>,
    entered: u64,
    /// How often an entry was looked at.
    #[cfg(test)]
    visits: std::cell::Cell<u64>,
}

impl<T> Queue<T> {
    pub fn new(settings: &Settings) -> Self {
        Self {
            bounds: Bounds::of(settings),
            overhead: settings.item_overhead,
            max_wait: settings.max_wait,
            next: 0,
            waiting: Slab::new(),
            ready: Line::new(),
            lobby: Line::new(),
            keys: Keys::default(),
            bytes: 0,
            ready_bytes: 0,
            lobby_bytes: 0,
            followers: Load::default(),
            kept_apart: 0,
            resting: Load::default(),
            deadlines: Line::new(),
            early: BTreeSet::new(),
            hurried: BTreeSet::new(),
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
    pub fn jobs(&self) -> usize {
        self.waiting.len() - self.lobby.len()
    }

    /// What takes up room: the queue proper, and the batches that rest.
    pub fn load(&self) -> Load {
        let mut load = self.resting;
        load += Load {
            jobs: self.jobs(),
            bytes: self.bytes,
        };
        load
    }

    /// A batch rests, whether there is room for it or not.
    pub fn rest(&mut self, load: Load) {
        self.resting += load;
    }

    /// A batch rests no longer, or has lost a member.
    pub fn end_rest(&mut self, load: Load) {
        self.resting -= load;
        self.admit();
    }

    /// How many wait for room.
    pub fn lobby(&self) -> usize {
        self.lobby.len()
    }

    /// How many have ever entered the queue proper.
    pub fn entered(&self) -> u64 {
        self.entered
    }

    /// How many were ever kept apart from a batch by their keys: it left without
    /// them though there was room, or took younger ones.
    pub fn kept_apart(&self) -> u64 {
        self.kept_apart
    }

    /// The oldest item's number and arrival.
    pub fn oldest(&self) -> Option<(Number, Instant)> {
        let (number, at) = self.ready.first()?;
        Some((number, self.at(at).entry.arrived))
    }

    /// The first time at which one of those that wait for company less than
    /// `max_wait`, their deadlines being that near, has waited enough.
    pub fn hurried(&self) -> Option<Instant> {
        self.hurried.first().map(|&(time, _)| time)
    }

    /// What the oldest item adds to the bytes of a batch.
    pub fn first_bytes(&self) -> Option<usize> {
        let (_, at) = self.ready.first()?;
        Some(self.waiting[at].entry.bytes + self.overhead)
    }

    /// The number that the next item will get.
    pub fn next_number(&self) -> Number {
        self.next
    }

    /// The earliest deadline of all that wait.
    pub fn earliest_deadline(&self) -> Option<Instant> {
        self.earliest().map(|(deadline, _)| deadline)
    }

    /// The same, with whose it is.
    fn earliest(&self) -> Option<(Instant, Ticket)> {
        let regular = self.deadlines.first();
        let regular = regular.map(|((deadline, number), at)| (deadline, Ticket { number, at }));
        let early = self.early.first();
        let early = early.map(|&(deadline, number, at)| (deadline, Ticket { number, at }));
        [regular, early]
            .into_iter()
            .flatten()
            .min_by_key(|&(deadline, ticket)| (deadline, ticket.number))
    }

    /// Whether one more item of `bytes` may wait for room.
    pub fn lobby_has_room(&self, bytes: usize) -> bool {
        let lobby = Load {
            jobs: self.lobby.len(),
            bytes: self.lobby_bytes,
        };
        lobby.has_room_for(bytes, self.bounds.lobby)
    }

    /// Whether one more item of `bytes` may enter at once.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.lobby.is_empty() && self.fits(bytes)
    }

    /// Whether one more item of this key may wait, the others of its key
    /// considered.
    pub fn may_follow(&self, key: Option<u64>, bytes: usize) -> bool {
        self.followers.has_room_for(bytes, self.bounds.followers)
            || !key.is_some_and(|key| self.keys.contains(key))
    }

    fn fits(&self, bytes: usize) -> bool {
        self.load().has_room_for(bytes, self.bounds.queue)
    }

    /// Lines an entry up, in the lobby where there is no room for it.
    pub fn push(&mut self, entry: Entry<T>) -> (Ticket, Room) {
        let number = self.next;
        self.next += 1;
        let (bytes, deadline) = (entry.bytes, entry.deadline);
        let enters = self.has_room(bytes);
        let latest = self.deadlines.last();
        let early = latest.is_some_and(|(latest, _)| deadline.is_some_and(|it| it < latest));
        let waits = longest_wait(entry.arrived, deadline, self.max_wait);
        let hurried = (waits < self.max_wait).then(|| entry.arrived + waits);
        let key = entry.key;
        let at = self.waiting.insert(Waiting {
            number,
            stage: Stage::Lobby,
            rank: Rank::Leader,
            early,
            hurried,
            entry,
        });
        match deadline {
            Some(deadline) if early => drop(self.early.insert((deadline, number, at))),
            Some(deadline) => self.deadlines.join((deadline, number), at),
            None => {}
        }
        if let Some(time) = hurried {
            self.hurried.insert((time, number));
        }
        if let Some(key) = key
            && self.keys.join(key, number, at) == Rank::Follower
        {
            self.waiting[at].rank = Rank::Follower;
            self.followers += Load::one(bytes);
        }
        let ticket = Ticket { number, at };
        if enters {
            self.enter(ticket);
            (ticket, Room::Queue)
        } else {
            self.lobby_bytes += bytes;
            self.lobby.join(number, at);
            (ticket, Room::Lobby)
        }
    }

    fn enter(&mut self, Ticket { number, at }: Ticket) {
        let waiting = &mut self.waiting[at];
        let bytes = waiting.entry.bytes;
        self.entered += 1;
        self.bytes += bytes;
        match waiting.rank {
            Rank::Follower => waiting.stage = Stage::Held,
            Rank::Leader => self.make_ready(number, at),
        }
    }

    fn make_ready(&mut self, number: Number, at: usize) {
        let waiting = &mut self.waiting[at];
        waiting.stage = Stage::Ready;
        self.ready_bytes += waiting.entry.bytes;
        self.ready.join(number, at);
    }

    /// Lets in from the lobby, in order, as many as fit.
    fn admit(&mut self) {
        while let Some((number, at)) = self.lobby.first() {
            let bytes = self.at(at).entry.bytes;
            // The one at the door takes up no room yet.
            if !self.fits(bytes) {
                return;
            }
            self.lobby.pop();
            self.lobby_bytes -= bytes;
            self.enter(Ticket { number, at });
        }
    }

    /// Takes one entry out, wherever it waits; `None` if it no longer does.
    pub fn remove(&mut self, ticket: Ticket) -> Option<(Entry<T>, Room)> {
        let removed = self.remove_only(ticket);
        self.admit();
        removed
    }

    fn remove_only(&mut self, Ticket { number, at }: Ticket) -> Option<(Entry<T>, Room)> {
        let waits = self.waiting.get(at)?.number == number;
        let removed = waits.then(|| self.waiting.remove(at))?;
        self.forget_times(&removed, at);
        let Waiting {
            stage, rank, entry, ..
        } = removed;
        let room = match stage {
            Stage::Lobby => {
                self.lobby.leave(number);
                self.lobby_bytes -= entry.bytes;
                Room::Lobby
            }
            Stage::Held => {
                self.bytes -= entry.bytes;
                Room::Queue
            }
            Stage::Ready => {
                self.ready.leave(number);
                self.bytes -= entry.bytes;
                self.ready_bytes -= entry.bytes;
                Room::Queue
            }
        };
        match rank {
            Rank::Leader => entry.key.into_iter().for_each(|key| self.succeed(key)),
            Rank::Follower => {
                entry.key.inspect(|&key| self.keys.leave(key, number));
                self.followers -= Load::one(entry.bytes);
            }
        }
        Some((entry, room))
    }

    fn forget_times(&mut self, removed: &Waiting<T>, at: usize) {
        let (number, deadline) = (removed.number, removed.entry.deadline);
        match deadline {
            Some(deadline) if removed.early => drop(self.early.remove(&(deadline, number, at))),
            Some(deadline) => drop(self.deadlines.leave((deadline, number))),
            None => {}
        }
        if let Some(time) = removed.hurried {
            self.hurried.remove(&(time, number));
        }
    }

    /// After the leader of `key` has gone: the next of that key leads, and is
    /// ready if it was held.
    fn succeed(&mut self, key: u64) {
        let Some((number, at)) = self.keys.succeed(key) else {
            return;
        };
        let waiting = &mut self.waiting[at];
        waiting.rank = Rank::Leader;
        self.followers -= Load::one(waiting.entry.bytes);
        if waiting.stage == Stage::Held {
            self.make_ready(number, at);
        }
    }

    /// Whether the batch at the front can't grow.
    pub fn is_full(&self, max_size: usize, max_bytes: usize) -> bool {
        let ready_bytes = self.ready_bytes + self.ready.len() * self.overhead;
        self.ready.len() >= max_size || ready_bytes > max_bytes
    }

    /// Takes a batch: from the oldest on, one of each key, until `max_size`
    /// are taken or the next would exceed `max_bytes`. Tells which of the two it
    /// was, if one was.
    pub fn take(&mut self, max_size: usize, max_bytes: usize) -> (Vec<Entry<T>>, Option<Full>) {
        let mut taken = Vec::with_capacity(max_size.min(self.ready.len()));
        let (mut bytes, mut last) = (0, 0);
        let full = loop {
            if taken.len() == max_size {
                break Some(Full::Size);
            }
            let Some((number, at)) = self.ready.first() else {
                break None;
            };
            let overhead = (taken.len() + 1) * self.overhead;
            if bytes + self.at(at).entry.bytes + overhead > max_bytes {
                break Some(Full::Bytes);
            }
            self.ready.pop();
            let removed = self.waiting.remove(at);
            self.forget_times(&removed, at);
            bytes += removed.entry.bytes;
            last = number;
            taken.push(removed.entry);
        };
        self.bytes -= bytes;
        self.ready_bytes -= bytes;
        // The batch had room for all that were in the queue, or took what came
        // after them.
        let passed_below = match full {
            Some(_) => last,
            None => self.lobby.first().map_or(self.next, |(number, _)| number),
        };
        // Only once the batch is complete: promoted earlier, a later item of a
        // key would be taken into the batch of the earlier one.
        for key in taken.iter().filter_map(|entry| entry.key) {
            self.kept_apart += self.keys.pass(key, passed_below);
            self.succeed(key);
        }
        self.admit();
        (taken, full)
    }

    /// Takes out all whose deadline has come, the earliest first.
    pub fn expire(&mut self, now: Instant) -> Vec<(Entry<T>, Room)> {
        let mut expired = Vec::new();
        // Nobody is let in before all have gone: who waits in the lobby and is
        // due as well was never accepted.
        while let Some((deadline, ticket)) = self.earliest()
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
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
