//! What a batcher decides: a pure value, told the time, that returns what is to be done.
//!
//! It knows what waits and how many slots are taken, and says which entries leave and
//! why, which parked batches get a slot, and when to look again. Its caller,
//! [`handle`](crate::handle), holds the lock, makes the handles and spawns.
//!
//! What waits does so in two lanes, for callers and detached; [`lanes`] says which of them
//! has a slot that both want.
//!
//! A `T` is what is to be done about an item, a `P` whom to tell of a slot.

mod armed;
mod backlog;
mod decision;
mod detached_items;
mod lanes;
mod moment;
mod parked;
mod slots;
mod turns;
mod wants;

use std::time::Duration;

use tokio::time::Instant;

use crate::cap::Cap;
use crate::error::Error;
use crate::frame::Frame;
use crate::options::Options;
use crate::policy::{Action, FlushReason};
use crate::queue::{Entry, Load, Loads, Room, Ticket};
use crate::rate::Departures;
use crate::settings::{OnFull, Settings};
use crate::snapshot::Snapshot;
use armed::Armed;
use backlog::Backlog;
use lanes::Lanes;
use parked::Parked;
use slots::Slots;
use wants::Wants;

pub(crate) use backlog::Departure;
pub(crate) use lanes::Lane;
pub(crate) use moment::Moment;
pub(crate) use parked::{Place, Resuming};

/// So many detached items expire in one step at most, so that no caller waits for more.
const EXPIRE_AT_ONCE: usize = 100;

pub(crate) struct State<T, P> {
    callers: Backlog<T>,
    detached: Backlog<T>,
    lanes: Lanes,
    slots: Slots,
    parked: Parked<P>,
    wants: Wants,
    /// Until then no detached item leaves, unless the batcher is closed.
    held_until: Option<Instant>,
    /// Nor until then, closed or not.
    paused_until: Option<Instant>,
    /// What comes back from a batch is given up.
    given_up: bool,
    /// How many detached items have taken free places.
    rode: u64,
    /// How many were given up or have expired, and are still to be told.
    untold: usize,
    /// The most that waited, in the queue and for room in it, since they were asked for
    /// with [`State::observe`].
    most_queued: usize,
    most_waiting_for_room: usize,
    on_full: OnFull,
    min_interval: Duration,
    departures: Departures,
    armed: Armed,
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
            callers: Backlog::of_callers(settings, now),
            detached: Backlog::of_detached(settings, now),
            lanes: Lanes::new(settings.detached_max_wait),
            slots: Slots::new(settings.max_in_flight),
            parked: Parked::new(),
            wants: Wants::default(),
            held_until: None,
            paused_until: None,
            given_up: false,
            rode: 0,
            untold: 0,
            most_queued: 0,
            most_waiting_for_room: 0,
            on_full: settings.on_full,
            min_interval: settings.min_interval,
            departures: Departures::new(now),
            armed: Armed::default(),
            cancelled_queued: 0,
            cancelled_in_flight: 0,
        }
    }

    /// Whether an item may be pushed of which this is known.
    pub fn may_enter(&mut self, item: &Options, now: Instant) -> Result<(), Error> {
        let waits = self.on_full == OnFull::Wait;
        let Options { keys, bytes, .. } = item;
        let bytes = *bytes;
        let queue = &self.callers.queue;
        if self.callers.is_closed() {
            Err(Error::Closed)
        } else if !(queue.has_room(bytes) || waits && queue.overflow_has_room(bytes)) {
            let room_in = self.room_in(now);
            Err(Error::Full { room_in })
        } else if !queue.may_follow(item.frame.as_ref(), keys, bytes) {
            let room_in = self.room_in(now);
            Err(Error::KeyFull { room_in })
        } else {
            Ok(())
        }
    }

    /// Lines an entry up that came from `source`, if that is known.
    pub fn push(&mut self, entry: Entry<T>, source: Option<u64>) -> (Ticket, Room) {
        let place = self.callers.queue.push(entry, source);
        self.queue_grew();
        place
    }

    fn queue_grew(&mut self) {
        let queue = &self.callers.queue;
        self.most_queued = self.most_queued.max(queue.load().items);
        self.most_waiting_for_room = self.most_waiting_for_room.max(queue.overflow());
    }

    fn room_in(&mut self, now: Instant) -> Duration {
        self.departures.room_in(self.callers.oldest(), now)
    }

    /// Everything that waits now is to leave; tells how many that is.
    pub fn flush(&mut self) -> usize {
        self.callers.flush() + self.detached.flush()
    }

    pub fn close(&mut self) {
        self.callers.close();
        self.detached.close();
    }

    pub fn is_closed(&self) -> bool {
        self.callers.is_closed()
    }

    pub fn set_max_in_flight(&mut self, limit: usize, now: Instant) {
        self.slots.set_max(limit, now);
    }

    pub fn cap(&mut self, cap: Cap) {
        self.callers.cap(cap);
        self.detached.cap(cap);
    }

    pub fn free_slot(&mut self, half: bool, now: Instant) {
        self.slots.free(half, now);
    }

    /// A batch is parked: these members of it count as waiting.
    pub fn park(&mut self, loads: Loads) {
        self.parked.batches += 1;
        self.callers.queue.park(loads.callers);
        self.detached.queue.park(loads.detached);
        self.queue_grew();
    }

    /// Members of a parked batch are answered or have left.
    pub fn leave_parked(&mut self, loads: Loads) {
        self.callers.queue.unpark(loads.callers);
        self.detached.queue.unpark(loads.detached);
    }

    /// A batch is parked no longer, with these members to the last.
    pub fn unpark(&mut self, loads: Loads) {
        self.parked.batches -= 1;
        self.leave_parked(loads);
    }

    /// A batch, parked or about to be, is ready to resume.
    pub fn line_up(&mut self, whom: P, batch: Resuming) -> Place {
        self.parked.line_up(whom, batch)
    }

    /// The place in that line is given up; `None` if the slot was given before.
    pub fn give_up(&mut self, place: Place) -> Option<P> {
        self.parked.give_up(place)
    }

    /// The batch that left last, if that was then, has not been sent: the next need not
    /// keep its distance from it.
    pub fn last_was_not_sent(&mut self, left: Option<Instant>) {
        self.slots.last_was_not_sent(left);
    }

    /// The caller of a queued item has left. `None` if its batch left first.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        let (entry, room) = self.callers.queue.remove(ticket)?;
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
            && self.untold == 0
            && self.callers.is_empty()
            && self.detached.is_empty()
    }

    pub fn snapshot(&self, sources: usize, now: Instant) -> Snapshot {
        let Load { items, bytes } = self.callers.queue.load();
        Snapshot {
            accepted: self.callers.queue.entered(),
            queued: items,
            most_queued: self.most_queued,
            queued_bytes: bytes,
            waiting_for_room: self.callers.queue.overflow(),
            most_waiting_for_room: self.most_waiting_for_room,
            kept_apart: self.callers.queue.kept_apart(),
            detached_queued: self.detached.queue.load().items,
            detached_oldest: self.detached.oldest(),
            detached_rode: self.rode,
            in_flight: self.slots.in_flight,
            most_in_flight: self.slots.most_in_flight,
            max_in_flight: self.slots.max_in_flight,
            saturated: self.slots.saturated(now),
            sources,
            cancelled_queued: self.cancelled_queued,
            cancelled_in_flight: self.cancelled_in_flight,
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
        self.given_up = self.is_closed();
        let mut gone = self.callers.queue.clear();
        gone.extend(self.detached.queue.clear());
        self.wants.lane_shrinks();
        self.callers.set_turns(now);
        self.detached.set_turns(now);
        self.untold += gone.len();
        gone
    }

    /// Does all that is due: expires, and takes the batches that may leave.
    pub fn advance(&mut self, moment: Moment) -> Decisions<T, P> {
        let mut decisions = self.expire(moment.now);
        while self.step(moment, &mut decisions) {}
        self.untold += decisions.expired.len();
        decisions
    }

    /// So many of those that were given up or expired have been told.
    pub fn told(&mut self, items: usize) {
        self.untold -= items;
    }

    fn expire(&mut self, now: Instant) -> Decisions<T, P> {
        let mut decisions = Decisions::default();
        if self.earliest_deadline().is_some_and(|it| it <= now) {
            decisions.room_in = self.room_in(now);
            decisions.expired = self.callers.queue.expire(now, usize::MAX);
            let detached = self.detached.queue.expire(now, EXPIRE_AT_ONCE);
            if !detached.is_empty() {
                self.wants.lane_shrinks();
            }
            decisions.expired.extend(detached);
        }
        decisions
    }

    /// Takes the next batch that may leave or resume; false if there is none.
    fn step(&mut self, moment: Moment, decisions: &mut Decisions<T, P>) -> bool {
        let now = moment.now;
        let mut next = self.next_action(moment);
        let reason = match next.action {
            Action::Nothing | Action::Until(_) => return false,
            Action::Resume => {
                let halves_may = self.slots.halves_may();
                let Some((whom, half)) = self.parked.next(next.lane, halves_may) else {
                    return false;
                };
                self.slots.occupy(half, now);
                self.lanes.left(&next);
                decisions.resumed.push((whom, half));
                return true;
            }
            Action::LeaveFull => None,
            Action::Leave(reason) => Some(reason),
        };
        let frame = next.frame.take();
        let departure = match next.lane {
            Lane::Callers => self.take_with_riders(frame, reason, now),
            Lane::Detached => self.detached.take(frame, reason, now),
        };
        if departure.entries.is_empty() {
            return false;
        }
        self.slots.occupy(false, now);
        self.lanes.left(&next);
        self.note_wanted(next.lane, &departure, now);
        decisions.departures.push(departure);
        true
    }

    /// A batch leaves for callers, and what is detached takes the places that it leaves
    /// free.
    fn take_with_riders(
        &mut self,
        frame: Option<Frame>,
        reason: Option<FlushReason>,
        now: Instant,
    ) -> Departure<T> {
        let mut departure = self.callers.take(frame, reason, now);
        if departure.entries.is_empty() {
            return departure;
        }
        self.departures.record(departure.entries.len(), now);
        let may_ride = |it: &Self| it.held(now).is_none() && !it.detached_are_overdue(now);
        if !self.detached.is_empty() && may_ride(self) {
            departure.riders = self.detached.take_riders(&departure, now);
            self.rode += departure.riders.len() as u64;
        }
        departure
    }

    /// Right after a push: only a full batch leaves now. Whatever else is due leaves by
    /// the clock of this runtime, after one turn of the event loop, so that what arrived
    /// together leaves together.
    pub fn pushed(&mut self, runtime: usize, moment: Moment) -> Pushed {
        let next = self.next_action(moment);
        match next.callers_full {
            true => Pushed::Filled,
            false => Pushed::Waits {
                earlier: self.arm_for(runtime, next.action, moment.now),
            },
        }
    }

    /// Sets the time at which a runtime's clock is to look, if that is earlier than it
    /// would by itself.
    pub fn arm(&mut self, runtime: usize, moment: Moment) -> Option<Instant> {
        let action = self.next_action(moment).action;
        self.arm_for(runtime, action, moment.now)
    }

    fn arm_for(&mut self, runtime: usize, action: Action, now: Instant) -> Option<Instant> {
        let due = self.due(action, now);
        self.armed.set_earlier(runtime, due)
    }

    /// As [`arm`](Self::arm), by the clock itself, which then sleeps until the
    /// time this returns, or until it is woken.
    pub fn rearm(&mut self, runtime: usize, moment: Moment) -> Option<Instant> {
        let action = self.next_action(moment).action;
        let due = self.due(action, moment.now);
        self.armed.set(runtime, due);
        due
    }

    /// The clock of this runtime is another's, which will not look by itself.
    pub fn disarm(&mut self, runtime: usize) {
        self.armed.set(runtime, None);
    }

    /// When there is something to do, this being what is to be done next.
    fn due(&self, action: Action, now: Instant) -> Option<Instant> {
        let earliest = self.earliest_deadline();
        let due = action.due(now).or(earliest)?;
        Some(earliest.map_or(due, |earliest| due.min(earliest)))
    }

    fn earliest_deadline(&self) -> Option<Instant> {
        let callers = self.callers.queue.earliest_deadline();
        if self.detached.is_empty() {
            return callers;
        }
        let detached = self.detached.queue.earliest_deadline();
        callers.into_iter().chain(detached).min()
    }

    /// How often what waits was looked at.
    #[cfg(test)]
    pub fn visits(&self) -> u64 {
        self.callers.queue.visits() + self.detached.queue.visits()
    }

    /// What there is of frames, in both lanes.
    #[cfg(test)]
    pub fn frames(&self) -> [backlog::FrameCounts; 2] {
        [self.callers.frames(), self.detached.frames()]
    }

    /// When a runtime's clock will look by itself.
    #[cfg(test)]
    pub fn armed(&self, runtime: usize) -> Option<Instant> {
        self.armed.get(runtime)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod two_lanes;
#[cfg(test)]
mod world;
