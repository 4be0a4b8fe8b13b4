//! What the batcher's lock guards, and the steps taken under it.
//!
//! A step decides and takes out; what it decided is carried out as [`Work`]
//! after the lock is released. The time is told by the caller.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::batch::Batch;
use super::cap::Cap;
use super::desk::Index;
use super::error::Error;
use super::local::Local;
use super::policy::{Action, Company, FlushReason, View, decide};
use super::queue::{Entry, Full, Load, Number, Queue, Room, Ticket};
use super::rate::{Arrivals, Departures};
use super::returning::{Place, Returning};
use super::seat::{Answerer, Caller};
use super::settings::{OnFull, Settings, Wait};
use super::{Shared, Slot};

/// An item that waits, and the duty to answer it.
pub(super) struct Pending<J, R> {
    pub item: J,
    pub answerer: Answerer<R>,
    /// Where its caller waits.
    pub desk: Index,
}

pub(super) struct State<J: Send + 'static, R: Send + 'static> {
    queue: Queue<Pending<J, R>>,
    max_in_flight: usize,
    in_flight: usize,
    /// Those of them that are halves of a batch that was split.
    halves: usize,
    /// Below the configured bounds.
    cap: Cap,
    saturated: Saturation,
    /// The most that waited, in the queue and for room in it, and the most batches
    /// in flight, since they were asked for with [`State::observe`].
    most_queued: usize,
    most_waiting_for_room: usize,
    most_in_flight: usize,
    /// Batches that have given their slots back for a while.
    resting: usize,
    /// Those of them that want a slot again.
    returning: Returning<J, R>,
    /// Items with a number below this are to leave without waiting.
    flush_below: Number,
    closing: bool,
    last_left: Option<Instant>,
    /// What that was before, in case the last has not been sent.
    before_last: Option<Instant>,
    arrivals: Arrivals,
    departures: Departures,
    /// When each desk's clock will look at this state by itself.
    armed: Vec<Option<Instant>>,
    cancelled_queued: u64,
    cancelled_in_flight: u64,
}

/// How long all slots were taken.
#[derive(Debug, Default)]
struct Saturation {
    since: Option<Instant>,
    before: Duration,
}

impl Saturation {
    fn set(&mut self, saturated: bool, now: Instant) {
        match (self.since, saturated) {
            (None, true) => self.since = Some(now),
            (Some(since), false) => {
                self.before += now.saturating_duration_since(since);
                self.since = None;
            }
            _ => {}
        }
    }

    fn total(&self, now: Instant) -> Duration {
        let current = self.since.map(|since| now.saturating_duration_since(since));
        self.before + current.unwrap_or_default()
    }
}

/// What is left to do once the lock is released.
pub(super) struct Work<J: Send + 'static, R: Send + 'static> {
    pub batches: Vec<Batch<J, R>>,
    /// Slots for batches that have rested.
    pub slots: Vec<(Place<J, R>, Slot<J, R>)>,
    /// Places that nobody wants.
    pub unwanted: Vec<Place<J, R>>,
    /// Items whose callers were answered under the lock, and whom to wake.
    pub gone: Vec<(J, Option<Caller>)>,
}

impl<J: Send + 'static, R: Send + 'static> Work<J, R> {
    fn new(gone: Vec<(J, Option<Caller>)>) -> Self {
        Self {
            batches: Vec::new(),
            slots: Vec::new(),
            unwanted: Vec::new(),
            gone,
        }
    }
}

/// The counts of a batcher at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Items that ever entered the queue.
    pub accepted: u64,
    /// Items that wait: in the queue, and in batches that rest.
    pub queued: usize,
    /// The most that waited since the last [`Batcher::observe`](super::Batcher::observe).
    pub most_queued: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Items that wait for room in the queue.
    pub waiting_for_room: usize,
    /// The most of them since the last [`Batcher::observe`](super::Batcher::observe).
    pub most_waiting_for_room: usize,
    /// Items that were ever kept apart from a batch by their keys: it left without
    /// them though there was room, or took later ones.
    pub kept_apart: u64,
    /// Batches in flight.
    pub in_flight: usize,
    /// The most of them since the last [`Batcher::observe`](super::Batcher::observe).
    pub most_in_flight: usize,
    /// How many there may be.
    pub max_in_flight: usize,
    /// How long every slot was taken, in all.
    pub saturated: Duration,
    /// How many [`Source`](super::Source)s are open.
    pub sources: usize,
    /// Items whose caller left while they were queued.
    pub cancelled_queued: u64,
    /// Items whose caller left later: while their batch was in flight, or with an
    /// answer that it had not yet taken.
    pub cancelled_in_flight: u64,
}

impl Snapshot {
    /// With the most of either, where both were told once.
    pub fn with_most_of(mut self, other: Self) -> Self {
        self.most_queued = self.most_queued.max(other.most_queued);
        self.most_waiting_for_room = self.most_waiting_for_room.max(other.most_waiting_for_room);
        self.most_in_flight = self.most_in_flight.max(other.most_in_flight);
        self
    }
}

impl<J: Send + 'static, R: Send + 'static> State<J, R> {
    pub fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            queue: Queue::new(settings),
            max_in_flight: settings.max_in_flight.max(1),
            in_flight: 0,
            halves: 0,
            cap: Cap::default(),
            saturated: Saturation::default(),
            most_queued: 0,
            most_waiting_for_room: 0,
            most_in_flight: 0,
            resting: 0,
            returning: Returning::new(),
            flush_below: 0,
            closing: false,
            last_left: None,
            before_last: None,
            arrivals: Arrivals::new(settings.max_wait * 4),
            departures: Departures::new(now),
            armed: Vec::new(),
            cancelled_queued: 0,
            cancelled_in_flight: 0,
        }
    }

    /// Whether an item of this key and size may be pushed.
    pub fn may_enter(
        &mut self,
        settings: &Settings,
        (key, bytes): (Option<u64>, usize),
        now: Instant,
    ) -> Result<(), Error> {
        let waits = settings.on_full == OnFull::Wait;
        if self.closing {
            Err(Error::Closed)
        } else if !(self.queue.has_room(bytes) || waits && self.queue.lobby_has_room(bytes)) {
            let room_in = self.room_in(now);
            Err(Error::Full { room_in })
        } else if !self.queue.may_follow(key, bytes) {
            let room_in = self.room_in(now);
            Err(Error::KeyFull { room_in })
        } else {
            Ok(())
        }
    }

    /// Lines an entry up that came from `source`, if that is known.
    pub fn push(&mut self, entry: Entry<Pending<J, R>>, source: Option<u64>) -> (Ticket, Room) {
        self.arrivals.record(entry.arrived, source);
        let place = self.queue.push(entry);
        self.queue_grew();
        place
    }

    fn queue_grew(&mut self) {
        self.most_queued = self.most_queued.max(self.queue.load().jobs);
        self.most_waiting_for_room = self.most_waiting_for_room.max(self.queue.lobby());
    }

    fn room_in(&mut self, now: Instant) -> Duration {
        let oldest = self.queue.oldest().map(|(_, arrived)| arrived);
        self.departures.room_in(oldest, now)
    }

    /// Everything that waits now is to leave; tells how many that is.
    pub fn flush(&mut self) -> usize {
        self.flush_below = self.queue.next_number();
        self.queue.jobs() + self.queue.lobby()
    }

    pub fn close(&mut self) {
        self.closing = true;
    }

    pub fn is_closed(&self) -> bool {
        self.closing
    }

    pub fn set_max_in_flight(&mut self, limit: usize) {
        self.max_in_flight = limit.max(1);
        self.slots_changed();
    }

    pub fn cap(&mut self, cap: Cap) {
        self.cap = cap;
    }

    pub fn free_slot(&mut self, half: bool) {
        self.in_flight -= 1;
        self.halves -= usize::from(half);
        self.slots_changed();
    }

    fn slots_changed(&mut self) {
        let all = self.in_flight >= self.max_in_flight;
        self.saturated.set(all, Instant::now());
    }

    /// A batch rests: these members of it count as waiting.
    pub fn rest(&mut self, load: Load) {
        self.resting += 1;
        self.queue.rest(load);
        self.queue_grew();
    }

    /// Members of a batch that rests are answered or have left.
    pub fn end_rest(&mut self, load: Load) {
        self.queue.end_rest(load);
    }

    /// A batch has rested, with these members to the last.
    pub fn rested(&mut self, load: Load) {
        self.resting -= 1;
        self.queue.end_rest(load);
    }

    /// The batch that left last has not been sent: the next need not keep its
    /// distance from it.
    pub fn last_was_not_sent(&mut self) {
        self.last_left = self.before_last;
    }

    /// A batch that rests wants a slot, as a half of one that was split or not.
    pub fn line_up(&mut self, place: Place<J, R>, half: bool) {
        self.returning.join(place, half);
    }

    /// The caller of a queued item has left. `None` if its batch left first.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<Pending<J, R>> {
        let (entry, room) = self.queue.remove(ticket)?;
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
        self.in_flight == 0
            && self.resting == 0
            && self.queue.jobs() == 0
            && self.queue.lobby() == 0
    }

    pub fn snapshot(&self, sources: usize) -> Snapshot {
        let Load { jobs, bytes } = self.queue.load();
        Snapshot {
            accepted: self.queue.entered(),
            queued: jobs,
            most_queued: self.most_queued,
            queued_bytes: bytes,
            waiting_for_room: self.queue.lobby(),
            most_waiting_for_room: self.most_waiting_for_room,
            kept_apart: self.queue.kept_apart(),
            in_flight: self.in_flight,
            most_in_flight: self.most_in_flight,
            max_in_flight: self.max_in_flight,
            saturated: self.saturated.total(Instant::now()),
            sources,
            cancelled_queued: self.cancelled_queued,
            cancelled_in_flight: self.cancelled_in_flight,
        }
    }

    /// A snapshot; what was the most until now is forgotten.
    pub fn observe(&mut self, sources: usize) -> Snapshot {
        let snapshot = self.snapshot(sources);
        self.most_queued = snapshot.queued;
        self.most_waiting_for_room = snapshot.waiting_for_room;
        self.most_in_flight = snapshot.in_flight;
        snapshot
    }

    /// Takes everything out, answered as abandoned.
    pub fn clear(&mut self) -> Work<J, R> {
        let cleared = self.queue.clear();
        Work::new(answer(cleared, |room| match room {
            Room::Queue => Error::Abandoned,
            Room::Lobby => Error::Closed,
        }))
    }

    /// Does all that is due: expires, and takes the batches that may leave.
    pub fn advance(&mut self, local: &Arc<Local<J, R>>, now: Instant) -> Work<J, R> {
        let mut work = Work::new(self.expire(now));
        loop {
            let reason = match self.next_action(&local.shared, now) {
                Some(Action::Return) => {
                    if let Some((place, half)) = self.returning.next(self.halves_may()) {
                        work.slots.push((place, self.occupy_slot(local, half, now)));
                    }
                    continue;
                }
                Some(Action::LeaveFull) => None,
                Some(Action::Leave(reason)) => Some(reason),
                Some(Action::Rest | Action::Until(_)) | None => break,
            };
            let (entries, full) = self.take(&local.shared, now);
            if entries.is_empty() {
                break;
            }
            let reason = reason.unwrap_or(match full {
                Some(Full::Size) => FlushReason::Size,
                // None where the first alone is over a cap.
                Some(Full::Bytes) | None => FlushReason::Bytes,
            });
            self.departures.record(entries.len(), now);
            let slot = self.occupy_slot(local, false, now);
            work.batches.push(Batch::new(entries, reason, now, slot));
        }
        work.unwanted = self.returning.unwanted();
        work
    }

    /// As [`advance`](Self::advance), right after a push: only a full batch
    /// leaves now. Whatever else is due leaves by the clock, after one turn of
    /// the event loop, so that what arrived together leaves together.
    pub fn advance_full(&mut self, local: &Arc<Local<J, R>>, now: Instant) -> Work<J, R> {
        match self.next_action(&local.shared, now) {
            Some(Action::LeaveFull) => self.advance(local, now),
            _ => Work::new(Vec::new()),
        }
    }

    /// Sets the time at which a desk's clock is to look; true if that is earlier
    /// than it would by itself.
    pub fn arm(&mut self, shared: &Shared<J, R>, desk: Index, now: Instant) -> bool {
        let Some(due) = self.next_due(shared, now) else {
            return false;
        };
        let armed = self.armed_at(desk);
        let earlier = armed.is_none_or(|armed| due < armed);
        if earlier {
            *armed = Some(due);
        }
        earlier
    }

    fn armed_at(&mut self, desk: Index) -> &mut Option<Instant> {
        if self.armed.len() <= desk {
            self.armed.resize(desk + 1, None);
        }
        &mut self.armed[desk]
    }

    /// As [`arm`](Self::arm), by the clock itself, which then sleeps until the
    /// time this returns, or until it is woken.
    pub fn rearm(&mut self, shared: &Shared<J, R>, desk: Index, now: Instant) -> Option<Instant> {
        let due = self.next_due(shared, now);
        *self.armed_at(desk) = due;
        due
    }

    /// How often what waits was looked at.
    #[cfg(test)]
    pub fn visits(&self) -> u64 {
        self.queue.visits()
    }

    /// When a desk's clock will look by itself.
    #[cfg(test)]
    pub fn armed(&self, desk: Index) -> Option<Instant> {
        self.armed.get(desk).copied().flatten()
    }

    fn next_due(&mut self, shared: &Shared<J, R>, now: Instant) -> Option<Instant> {
        let leave = match self.next_action(shared, now) {
            Some(Action::LeaveFull | Action::Leave(_) | Action::Return) => Some(now),
            Some(Action::Until(time)) => Some(time),
            Some(Action::Rest) | None => None,
        };
        [leave, self.queue.earliest_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What the policy says, while a slot is free.
    fn next_action(&mut self, shared: &Shared<J, R>, now: Instant) -> Option<Action> {
        let settings = &shared.settings;
        if self.in_flight >= self.max_in_flight {
            return None;
        }
        let oldest = self.queue.oldest();
        let (max_size, max_bytes) = self.bounds(settings, now);
        let view = View {
            returning: self.returning.wants_slot(self.halves_may()),
            oldest: oldest.map(|(_, arrived)| arrived),
            hurried: self.queue.hurried(),
            full: self.queue.is_full(max_size, max_bytes),
            flushing: oldest.is_some_and(|(number, _)| number < self.flush_below),
            closing: self.closing,
            not_before: self.last_left.map(|left| left + settings.min_interval),
            max_wait: settings.max_wait,
            wait: settings.wait,
            company: Company {
                anybody_left: settings.wait == Wait::Fixed || shared.census.anybody_left(),
                gap: self.arrivals.gap(),
                last_arrival: self.arrivals.last().unwrap_or(now),
            },
        };
        Some(decide(&view, now))
    }

    fn take(
        &mut self,
        shared: &Shared<J, R>,
        now: Instant,
    ) -> (Vec<Entry<Pending<J, R>>>, Option<Full>) {
        let (max_size, max_bytes) = self.bounds(&shared.settings, now);
        // The first leaves whatever its size.
        let first = self.queue.first_bytes().unwrap_or_default();
        self.queue.take(max_size, max_bytes.max(first))
    }

    /// The most items and bytes of a batch.
    fn bounds(&self, settings: &Settings, now: Instant) -> (usize, usize) {
        self.cap.bounds(settings.max_size, settings.max_bytes, now)
    }

    /// Whether a half of a batch may have a slot that is free: they leave one to
    /// others, where there is more than one.
    fn halves_may(&self) -> bool {
        self.halves < self.max_in_flight.saturating_sub(1).max(1)
    }

    fn occupy_slot(&mut self, local: &Arc<Local<J, R>>, half: bool, now: Instant) -> Slot<J, R> {
        self.before_last = self.last_left.replace(now);
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
        self.halves += usize::from(half);
        self.slots_changed();
        Slot::new(Arc::clone(local), half)
    }

    fn expire(&mut self, now: Instant) -> Vec<(J, Option<Caller>)> {
        if self.queue.earliest_deadline().is_none_or(|it| now < it) {
            return Vec::new();
        }
        let room_in = self.room_in(now);
        let expired = self.queue.expire(now);
        answer(expired, |room| match room {
            Room::Queue => Error::Expired { room_in },
            Room::Lobby => Error::Full { room_in },
        })
    }
}

/// Answers entries that were taken out, still under the lock, so that whoever
/// leaves finds its item either queued, in flight or answered.
fn answer<J, R>(
    entries: Vec<(Entry<Pending<J, R>>, Room)>,
    reason: impl Fn(Room) -> Error,
) -> Vec<(J, Option<Caller>)> {
    let answered = entries.into_iter().map(|(entry, room)| {
        let Pending { item, answerer, .. } = entry.item;
        // Nothing is lost by an answer that nobody waits for: it is an error.
        (item, answerer.answer(Err(reason(room))).ok())
    });
    answered.collect()
}
