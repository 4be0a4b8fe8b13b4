//! What waits, in order: a pure value, told the time by its caller.
//!
//! Three rooms. *Ready*: the oldest waiting item of each key; a batch is taken
//! from its front. *Held*: items whose key is already ready; each becomes ready
//! when the one before it has gone. *Lobby*: items that found the queue full
//! and wait for room, first come first in. Every room is ordered by ticket, and
//! a ticket is a number that only grows.
//!
//! Batches that rest before they are sent again take up room like the items
//! they are made of, and are known here by their [`Load`] alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

/// An item's place in line.
pub(super) type Ticket = u64;

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

#[derive(Debug)]
pub(super) struct Queue<T> {
    capacity_jobs: usize,
    capacity_bytes: usize,
    /// What a batch adds to the bytes of each of its entries.
    overhead: usize,
    next: Ticket,
    ready: BTreeMap<Ticket, Entry<T>>,
    held: BTreeMap<Ticket, Entry<T>>,
    lobby: BTreeMap<Ticket, Entry<T>>,
    keys: HashMap<u64, Chain>,
    bytes: usize,
    ready_bytes: usize,
    lobby_bytes: usize,
    /// Of the batches that rest.
    resting: Load,
    /// Of all that wait, the earliest first.
    deadlines: BTreeSet<(Instant, Ticket)>,
    entered: u64,
}

/// The tickets of one key: one ready, the others held.
#[derive(Debug)]
struct Chain {
    ready: Ticket,
    held: BTreeSet<Ticket>,
}

impl<T> Queue<T> {
    pub fn new(capacity_jobs: usize, capacity_bytes: usize, overhead: usize) -> Self {
        Self {
            capacity_jobs,
            capacity_bytes,
            overhead,
            next: 0,
            ready: BTreeMap::new(),
            held: BTreeMap::new(),
            lobby: BTreeMap::new(),
            keys: HashMap::new(),
            bytes: 0,
            ready_bytes: 0,
            lobby_bytes: 0,
            resting: Load::default(),
            deadlines: BTreeSet::new(),
            entered: 0,
        }
    }

    /// How many items wait in the queue proper.
    pub fn jobs(&self) -> usize {
        self.ready.len() + self.held.len()
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

    /// The oldest item's ticket and arrival.
    pub fn oldest(&self) -> Option<(Ticket, Instant)> {
        let (&ticket, entry) = self.ready.first_key_value()?;
        Some((ticket, entry.arrived))
    }

    /// The ticket that the next item will get.
    pub fn next_ticket(&self) -> Ticket {
        self.next
    }

    /// The earliest deadline of all that wait.
    pub fn earliest_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
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
        let ticket = self.next;
        self.next += 1;
        self.deadlines.insert((entry.deadline, ticket));
        if self.has_room(entry.bytes) {
            self.enter(ticket, entry);
            (ticket, Room::Queue)
        } else {
            self.lobby_bytes += entry.bytes;
            self.lobby.insert(ticket, entry);
            (ticket, Room::Lobby)
        }
    }

    fn enter(&mut self, ticket: Ticket, entry: Entry<T>) {
        self.entered += 1;
        self.bytes += entry.bytes;
        if let Some(chain) = self.keys.get_mut(&entry.key) {
            chain.held.insert(ticket);
            self.held.insert(ticket, entry);
        } else {
            let held = BTreeSet::new();
            self.keys.insert(
                entry.key,
                Chain {
                    ready: ticket,
                    held,
                },
            );
            self.ready_bytes += entry.bytes;
            self.ready.insert(ticket, entry);
        }
    }

    /// Lets in from the lobby, in order, as many as fit.
    fn admit(&mut self) {
        while let Some((_, first)) = self.lobby.first_key_value()
            && self.fits(first.bytes)
            && let Some((ticket, entry)) = self.lobby.pop_first()
        {
            self.lobby_bytes -= entry.bytes;
            self.enter(ticket, entry);
        }
    }

    /// Takes one entry out, wherever it waits; `None` if it no longer does.
    pub fn remove(&mut self, ticket: Ticket) -> Option<(Entry<T>, Room)> {
        let removed = self.remove_only(ticket);
        self.admit();
        removed
    }

    fn remove_only(&mut self, ticket: Ticket) -> Option<(Entry<T>, Room)> {
        let removed = if let Some(entry) = self.lobby.remove(&ticket) {
            self.lobby_bytes -= entry.bytes;
            (entry, Room::Lobby)
        } else if let Some(entry) = self.held.remove(&ticket) {
            if let Some(chain) = self.keys.get_mut(&entry.key) {
                chain.held.remove(&ticket);
            }
            self.bytes -= entry.bytes;
            (entry, Room::Queue)
        } else {
            let entry = self.ready.remove(&ticket)?;
            self.bytes -= entry.bytes;
            self.ready_bytes -= entry.bytes;
            self.promote(entry.key);
            (entry, Room::Queue)
        };
        self.deadlines.remove(&(removed.0.deadline, ticket));
        Some(removed)
    }

    /// After the ready entry of `key` has gone: the next of that key is ready.
    fn promote(&mut self, key: u64) {
        let Some(chain) = self.keys.get_mut(&key) else {
            return;
        };
        match chain.held.pop_first() {
            Some(ticket) => {
                chain.ready = ticket;
                if let Some(entry) = self.held.remove(&ticket) {
                    self.ready_bytes += entry.bytes;
                    self.ready.insert(ticket, entry);
                }
            }
            None => {
                self.keys.remove(&key);
            }
        }
    }

    /// What keeps the batch at the front from growing, if it is full.
    pub fn full(&self, max_size: usize, max_bytes: usize) -> Option<Full> {
        let ready_bytes = self.ready_bytes + self.ready.len() * self.overhead;
        if self.ready.len() < max_size && ready_bytes <= max_bytes {
            return None;
        }
        let mut bytes = 0;
        for entry in self.ready.values().take(max_size) {
            bytes += entry.bytes + self.overhead;
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
            && let Some(first) = self.ready.first_entry()
            && bytes + first.get().bytes + (taken.len() + 1) * self.overhead <= max_bytes
        {
            let (ticket, entry) = first.remove_entry();
            self.deadlines.remove(&(entry.deadline, ticket));
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
        while let Some(&(deadline, ticket)) = self.deadlines.first()
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
        let tickets: BTreeSet<Ticket> = [&self.ready, &self.held, &self.lobby]
            .into_iter()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect();
        let gone = |ticket| self.remove_only(ticket);
        tickets.into_iter().filter_map(gone).collect()
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
