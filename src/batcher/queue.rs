//! What waits, in order: a pure value, told the time by its caller.
//!
//! Three rooms. *Ready*: the oldest waiting item of each key; a batch is taken
//! from its front. *Held*: items whose key is already ready; each becomes ready
//! when the one before it has gone. *Lobby*: items that found the queue full
//! and wait for room, first come first in. Every room is ordered by number, and
//! numbers only grow.
//!
//! Batches that rest before they are sent again take up room like the items
//! they are made of, and are known here by their [`Load`] alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map};
use std::hash::{BuildHasherDefault, Hasher};

use slab::Slab;
use tokio::time::Instant;

use super::line::Line;

/// How many items came before.
pub(super) type Number = u64;

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
    pub key: u64,
    pub bytes: usize,
    pub arrived: Instant,
    pub deadline: Instant,
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

/// An entry with where it waits.
#[derive(Debug)]
struct Waiting<T> {
    number: Number,
    stage: Stage,
    /// Its deadline comes before one of an earlier item.
    early: bool,
    entry: Entry<T>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ready,
    Held,
    Lobby,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    capacity_jobs: usize,
    capacity_bytes: usize,
    /// What a batch adds to the bytes of each of its entries.
    overhead: usize,
    next: Number,
    /// All that wait. The rooms and deadlines name them by their places here.
    waiting: Slab<Waiting<T>>,
    ready: Line<Number>,
    lobby: Line<Number>,
    /// The keys of all in the queue proper, each with those held for it.
    keys: HashMap<u64, BTreeMap<Number, usize>, BuildHasherDefault<KeyHasher>>,
    bytes: usize,
    ready_bytes: usize,
    lobby_bytes: usize,
    /// Of the batches that rest.
    resting: Load,
    /// Of all that wait but the early ones: nearly all have the same time to
    /// stay, so that their deadlines come in the order of their arrivals.
    deadlines: Line<(Instant, Number)>,
    /// The early ones', each with the place of its item.
    early: BTreeSet<(Instant, Number, usize)>,
    entered: u64,
}

impl<T> Queue<T> {
    pub fn new(capacity_jobs: usize, capacity_bytes: usize, overhead: usize) -> Self {
        Self {
            capacity_jobs,
            capacity_bytes,
            overhead,
            next: 0,
            waiting: Slab::new(),
            ready: Line::new(),
            lobby: Line::new(),
            keys: HashMap::default(),
            bytes: 0,
            ready_bytes: 0,
            lobby_bytes: 0,
            resting: Load::default(),
            deadlines: Line::new(),
            early: BTreeSet::new(),
            entered: 0,
        }
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

    /// The oldest item's number and arrival.
    pub fn oldest(&self) -> Option<(Number, Instant)> {
        let (number, at) = self.ready.first()?;
        Some((number, self.waiting[at].entry.arrived))
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
        self.lobby.len() < self.capacity_jobs.max(LOBBY_JOBS)
            && self.lobby_bytes + bytes <= self.capacity_bytes.max(LOBBY_BYTES)
    }

    /// Whether one more item of `bytes` may enter at once.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.lobby.is_empty() && self.fits(bytes)
    }

    fn fits(&self, bytes: usize) -> bool {
        let load = self.load();
        load.jobs < self.capacity_jobs && load.bytes + bytes <= self.capacity_bytes
    }

    /// Lines an entry up, in the lobby where there is no room for it.
    pub fn push(&mut self, entry: Entry<T>) -> (Ticket, Room) {
        let number = self.next;
        self.next += 1;
        let (bytes, deadline) = (entry.bytes, entry.deadline);
        let enters = self.has_room(bytes);
        let latest = self.deadlines.last();
        let early = latest.is_some_and(|(latest, _)| deadline < latest);
        let at = self.waiting.insert(Waiting {
            number,
            stage: Stage::Lobby,
            early,
            entry,
        });
        match early {
            true => drop(self.early.insert((deadline, number, at))),
            false => self.deadlines.join((deadline, number), at),
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
        match self.keys.entry(waiting.entry.key) {
            hash_map::Entry::Occupied(mut held) => {
                waiting.stage = Stage::Held;
                held.get_mut().insert(number, at);
            }
            hash_map::Entry::Vacant(key) => {
                waiting.stage = Stage::Ready;
                key.insert(BTreeMap::new());
                self.ready_bytes += bytes;
                self.ready.join(number, at);
            }
        }
    }

    /// Lets in from the lobby, in order, as many as fit.
    fn admit(&mut self) {
        while let Some((number, at)) = self.lobby.first() {
            let bytes = self.waiting[at].entry.bytes;
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
        let Waiting {
            stage,
            early,
            entry,
            ..
        } = waits.then(|| self.waiting.remove(at))?;
        self.forget_deadline(early, entry.deadline, Ticket { number, at });
        let room = match stage {
            Stage::Lobby => {
                self.lobby.leave(number);
                self.lobby_bytes -= entry.bytes;
                Room::Lobby
            }
            Stage::Held => {
                if let Some(held) = self.keys.get_mut(&entry.key) {
                    held.remove(&number);
                }
                self.bytes -= entry.bytes;
                Room::Queue
            }
            Stage::Ready => {
                self.ready.leave(number);
                self.bytes -= entry.bytes;
                self.ready_bytes -= entry.bytes;
                self.promote(entry.key);
                Room::Queue
            }
        };
        Some((entry, room))
    }

    fn forget_deadline(&mut self, early: bool, deadline: Instant, ticket: Ticket) {
        let Ticket { number, at } = ticket;
        match early {
            true => drop(self.early.remove(&(deadline, number, at))),
            false => drop(self.deadlines.leave((deadline, number))),
        }
    }

    /// After the ready entry of `key` has gone: the next of that key is ready.
    fn promote(&mut self, key: u64) {
        let hash_map::Entry::Occupied(mut held) = self.keys.entry(key) else {
            return;
        };
        match held.get_mut().pop_first() {
            Some((number, at)) => {
                let waiting = &mut self.waiting[at];
                waiting.stage = Stage::Ready;
                self.ready_bytes += waiting.entry.bytes;
                self.ready.join(number, at);
            }
            None => drop(held.remove()),
        }
    }

    /// What keeps the batch at the front from growing, if it is full.
    pub fn full(&self, max_size: usize, max_bytes: usize) -> Option<Full> {
        let ready_bytes = self.ready_bytes + self.ready.len() * self.overhead;
        if ready_bytes <= max_bytes {
            return (self.ready.len() >= max_size).then_some(Full::Size);
        }
        let mut bytes = 0;
        for at in self.ready.iter().take(max_size) {
            bytes += self.waiting[at].entry.bytes + self.overhead;
            if bytes > max_bytes {
                return Some(Full::Bytes);
            }
        }
        Some(Full::Size)
    }

    /// Takes a batch: from the oldest on, one of each key, until `max_size`
    /// are taken or the next would exceed `max_bytes`.
    pub fn take(&mut self, max_size: usize, max_bytes: usize) -> Vec<Entry<T>> {
        let mut taken = Vec::with_capacity(max_size.min(self.ready.len()));
        let mut bytes = 0;
        while taken.len() < max_size
            && let Some((number, at)) = self.ready.first()
            && bytes + self.waiting[at].entry.bytes + (taken.len() + 1) * self.overhead <= max_bytes
        {
            self.ready.pop();
            let Waiting { early, entry, .. } = self.waiting.remove(at);
            self.forget_deadline(early, entry.deadline, Ticket { number, at });
            bytes += entry.bytes;
            taken.push(entry);
        }
        self.bytes -= bytes;
        self.ready_bytes -= bytes;
        // Only once the batch is complete: promoted earlier, a later item of a
        // key would be taken into the batch of the earlier one.
        for entry in &taken {
            self.promote(entry.key);
        }
        self.admit();
        taken
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

/// Spreads keys, which are hashes or numbers already, over all bits: a multiply
/// by 2⁶⁴ over the golden ratio (Knuth, The Art of Computer Programming, 6.4).
/// Against keys that somebody chose to collide, the keys must be keyed hashes.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        // The product's upper half is the mixed one, and a table goes by the lower.
        self.0.rotate_left(32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
