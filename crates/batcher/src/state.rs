//! What a batcher decides: a pure value, told the time, that returns what is to be done.
//!
//! It knows what waits and how many slots are taken, and says which entries leave and
//! why, which parked batches get a slot, and when to look again. Its caller,
//! [`handle`](crate::handle), holds the lock, makes the handles and spawns.
//!
//! A `T` is what is to be done about an item, a `P` whom to tell of a slot.

mod backlog;
mod moment;
mod parked;
mod slots;
mod turns;

use std::time::Duration;

use tokio::time::Instant;

use crate::cap::Cap;
use crate::error::Error;
use crate::frame::Frame;
use crate::options::Options;
use crate::policy::{Action, Gate};
use crate::queue::{Entry, Load, Room, Ticket};
use crate::rate::Departures;
use crate::settings::{OnFull, Settings};
use crate::snapshot::Snapshot;
use backlog::Backlog;
use parked::Parked;
use slots::Slots;

pub(crate) use backlog::Departure;
pub(crate) use moment::Moment;
pub(crate) use parked::Place;

pub(crate) struct State<T, P> {
    backlog: Backlog<T>,
    slots: Slots,
    parked: Parked<P>,
    /// The most that waited, in the queue and for room in it, since they were asked for
    /// with [`State::observe`].
    most_queued: usize,
    most_waiting_for_room: usize,
    on_full: OnFull,
    min_interval: Duration,
    departures: Departures,
    /// When the clock of each runtime will look at this state by itself.
    armed: Vec<Option<Instant>>,
    cancelled_queued: u64,
    cancelled_in_flight: u64,
}

/// An entry that is given up, and where it was.
pub(crate) type Gone<T> = (Entry<T>, Room);

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Decisions<T, P> {
    pub departures: Vec<Departure<T>>,
    /// Whom to tell of a slot, and whether it is for a half of a batch.
    pub resumed: Vec<(P, bool)>,
    /// Entries whose deadlines have come.
    pub expired: Vec<Gone<T>>,
    /// How long until there should be room for one more, for those.
    pub room_in: Duration,
}

/// What has become of an item that was pushed.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// It has filled a batch: there is something to [do](State::advance).
    Filled,
    /// It waits; the clock is to come at this time, if that is `earlier` than it would.
    Waits { earlier: Option<Instant> },
}

impl<T, P> Default for Decisions<T, P> {
    fn default() -> Self {
        Self {
            departures: Vec::new(),
            resumed: Vec::new(),
            expired: Vec::new(),
            room_in: Duration::ZERO,
        }
    }
}

impl<T, P> State<T, P> {
    pub fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            backlog: Backlog::new(settings, now),
            slots: Slots::new(settings.max_in_flight),
            parked: Parked::new(),
            most_queued: 0,
            most_waiting_for_room: 0,
            on_full: settings.on_full,
            min_interval: settings.min_interval,
            departures: Departures::new(now),
            armed: Vec::new(),
            cancelled_queued: 0,
            cancelled_in_flight: 0,
        }
    }

    /// Whether an item may be pushed of which this is known.
    pub fn may_enter(&mut self, item: &Options, now: Instant) -> Result<(), Error> {
        let waits = self.on_full == OnFull::Wait;
        let Options { key, bytes, .. } = *item;
        if self.backlog.is_closed() {
            Err(Error::Closed)
        } else if !(self.backlog.queue.has_room(bytes)
            || waits && self.backlog.queue.overflow_has_room(bytes))
        {
            let room_in = self.room_in(now);
            Err(Error::Full { room_in })
        } else if !self
            .backlog
            .queue
            .may_follow(item.frame.as_ref(), key, bytes)
        {
            let room_in = self.room_in(now);
            Err(Error::KeyFull { room_in })
        } else {
            Ok(())
        }
    }

    /// Lines an entry up that came from `source`, if that is known.
    pub fn push(&mut self, entry: Entry<T>, source: Option<u64>) -> (Ticket, Room) {
        let place = self.backlog.queue.push(entry, source);
        self.queue_grew();
        place
    }

    fn queue_grew(&mut self) {
        self.most_queued = self.most_queued.max(self.backlog.queue.load().items);
        self.most_waiting_for_room = self
            .most_waiting_for_room
            .max(self.backlog.queue.overflow());
    }

    fn room_in(&mut self, now: Instant) -> Duration {
        self.departures.room_in(self.backlog.oldest(), now)
    }

    /// Everything that waits now is to leave; tells how many that is.
    pub fn flush(&mut self) -> usize {
        self.backlog.flush()
    }

    pub fn close(&mut self) {
        self.backlog.close();
    }

    pub fn is_closed(&self) -> bool {
        self.backlog.is_closed()
    }

    pub fn set_max_in_flight(&mut self, limit: usize, now: Instant) {
        self.slots.set_max(limit, now);
    }

    pub fn cap(&mut self, cap: Cap) {
        self.backlog.cap(cap);
    }

    pub fn free_slot(&mut self, half: bool, now: Instant) {
        self.slots.free(half, now);
    }

    /// A batch is parked: these members of it count as waiting.
    pub fn park(&mut self, load: Load) {
        self.parked.batches += 1;
        self.backlog.queue.park(load);
        self.queue_grew();
    }

    /// Members of a parked batch are answered or have left.
    pub fn leave_parked(&mut self, load: Load) {
        self.backlog.queue.unpark(load);
    }

    /// A batch is parked no longer, with these members to the last.
    pub fn unpark(&mut self, load: Load) {
        self.parked.batches -= 1;
        self.backlog.queue.unpark(load);
    }

    /// A batch, parked or about to be, is ready to resume, as a half of one that was
    /// split or not.
    pub fn line_up(&mut self, whom: P, half: bool) -> Place {
        self.parked.line_up(whom, half)
    }

    /// The place in that line is given up; `None` if the slot was given before.
    pub fn give_up(&mut self, place: Place) -> Option<P> {
        self.parked.give_up(place)
    }

    /// The batch that left last has not been sent: the next need not keep its
    /// distance from it.
    pub fn last_was_not_sent(&mut self) {
        self.slots.last_was_not_sent();
    }

    /// The caller of a queued item has left. `None` if its batch left first.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        let (entry, room) = self.backlog.queue.remove(ticket)?;
        if room == Room::Queue {
            self.cancelled_queued += 1;
        }
        Some(entry.item)
    }

    /// The caller of an item in flight has left.
    pub fn cancel_in_flight(&mut self) {
        self.cancelled_in_flight += 1;
    }

    pub fn is_vacant(&self) -> bool {
        self.slots.in_flight == 0
            && self.parked.batches == 0
            && self.backlog.queue.items() == 0
            && self.backlog.queue.overflow() == 0
    }

    pub fn snapshot(&self, sources: usize, now: Instant) -> Snapshot {
        let Load { items, bytes } = self.backlog.queue.load();
        Snapshot {
            accepted: self.backlog.queue.entered(),
            queued: items,
            most_queued: self.most_queued,
            queued_bytes: bytes,
            waiting_for_room: self.backlog.queue.overflow(),
            most_waiting_for_room: self.most_waiting_for_room,
            kept_apart: self.backlog.queue.kept_apart(),
            in_flight: self.slots.in_flight,
            most_in_flight: self.slots.most_in_flight,
            max_in_flight: self.slots.max_in_flight,
            saturated: self.slots.saturated(now),
            sources,
            cancelled_queued: self.cancelled_queued,
            cancelled_in_flight: self.cancelled_in_flight,
            detached_rode: 0,
        }
    }

    /// A snapshot; what was the most until now is forgotten.
    pub fn observe(&mut self, sources: usize, now: Instant) -> Snapshot {
        let snapshot = self.snapshot(sources, now);
        self.most_queued = snapshot.queued;
        self.most_waiting_for_room = snapshot.waiting_for_room;
        self.slots.most_in_flight = snapshot.in_flight;
        snapshot
    }

    /// Takes everything out that is queued.
    pub fn clear(&mut self, now: Instant) -> Vec<Gone<T>> {
        let gone = self.backlog.queue.clear();
        self.backlog.set_turns(now);
        gone
    }

    /// Does all that is due: expires, and takes the batches that may leave.
    pub fn advance(&mut self, moment: Moment) -> Decisions<T, P> {
        let now = moment.now;
        let mut decisions = Decisions::default();
        if self
            .backlog
            .queue
            .earliest_deadline()
            .is_some_and(|it| it <= now)
        {
            decisions.room_in = self.room_in(now);
            decisions.expired = self.backlog.queue.expire(now);
        }
        loop {
            let (frame, action) = self.next_action(moment);
            let reason = match action {
                Action::Resume => {
                    if let Some(resumed) = self.parked.next(self.slots.halves_may()) {
                        self.slots.occupy(resumed.1, now);
                        decisions.resumed.push(resumed);
                    }
                    continue;
                }
                Action::LeaveFull => None,
                Action::Leave(reason) => Some(reason),
                Action::Nothing | Action::Until(_) => break,
            };
            let departure = self.backlog.take(frame, reason, now);
            if departure.entries.is_empty() {
                break;
            }
            self.departures.record(departure.entries.len(), now);
            self.slots.occupy(false, now);
            decisions.departures.push(departure);
        }
        decisions
    }

    /// Right after a push: only a full batch leaves now. Whatever else is due leaves by
    /// the clock of this runtime, after one turn of the event loop, so that what arrived
    /// together leaves together.
    pub fn pushed(&mut self, runtime: usize, moment: Moment) -> Pushed {
        match self.next_action(moment).1 {
            Action::LeaveFull => Pushed::Filled,
            action => Pushed::Waits {
                earlier: self.arm_for(runtime, self.due(action, moment.now)),
            },
        }
    }

    /// Sets the time at which a runtime's clock is to look, if that is earlier than it
    /// would by itself.
    pub fn arm(&mut self, runtime: usize, moment: Moment) -> Option<Instant> {
        let due = self.next_due(moment);
        self.arm_for(runtime, due)
    }

    fn arm_for(&mut self, runtime: usize, due: Option<Instant>) -> Option<Instant> {
        let due = due?;
        let armed = self.armed_at(runtime);
        let earlier = armed.is_none_or(|armed| due < armed);
        earlier.then(|| *armed.insert(due))
    }

    /// As [`arm`](Self::arm), by the clock itself, which then sleeps until the
    /// time this returns, or until it is woken.
    pub fn rearm(&mut self, runtime: usize, moment: Moment) -> Option<Instant> {
        let due = self.next_due(moment);
        *self.armed_at(runtime) = due;
        due
    }

    /// The clock of this runtime is another's, which will not look by itself.
    pub fn disarm(&mut self, runtime: usize) {
        *self.armed_at(runtime) = None;
    }

    fn armed_at(&mut self, runtime: usize) -> &mut Option<Instant> {
        if self.armed.len() <= runtime {
            self.armed.resize(runtime + 1, None);
        }
        &mut self.armed[runtime]
    }

    fn next_due(&mut self, moment: Moment) -> Option<Instant> {
        let (_, action) = self.next_action(moment);
        self.due(action, moment.now)
    }

    /// When there is something to do, this being what is to be done next.
    fn due(&self, action: Action, now: Instant) -> Option<Instant> {
        let due = [action.due(now), self.backlog.queue.earliest_deadline()];
        due.into_iter().flatten().min()
    }

    /// What is to be done next, and about which frame.
    fn next_action(&mut self, moment: Moment) -> (Option<Frame>, Action) {
        self.backlog.set_turns(moment.now);
        if !self.slots.any_free() {
            return (None, Action::Nothing);
        }
        let interval = self.min_interval;
        let gate = Gate {
            ready_to_resume: self.parked.any_ready(self.slots.halves_may()),
            not_before: self.slots.last_left().map(|left| left + interval),
        };
        let (frame, next) = self.backlog.next(moment);
        (frame, gate.pass(next, moment.now))
    }

    /// How often what waits was looked at.
    #[cfg(test)]
    pub fn visits(&self) -> u64 {
        self.backlog.queue.visits()
    }

    /// When a runtime's clock will look by itself.
    #[cfg(test)]
    pub fn armed(&self, runtime: usize) -> Option<Instant> {
        self.armed.get(runtime).copied().flatten()
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
