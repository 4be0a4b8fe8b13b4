//! Two batchers side by side, of which only one is given detached items: what the other
//! does, the first has to do as well, at the same time. Of batches of detached items alone
//! the other knows that a slot is taken by something.
//!
//! What is detached is compared with a naive model of its lane.

use super::lanes::Choices;
use super::world::{self, Item, MS};
use super::*;
use crate::cap::Ceiling;
use crate::extent::{Extent, MORE_THAN_ANY_BATCH};
use crate::queue::Number;
use crate::queue::model::{Model, Waits};
use crate::settings::Wait;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Push(Item),
    /// It has waited elsewhere, and goes alone or not.
    Detach {
        item: Item,
        ms_before: u64,
        alone: bool,
    },
    /// The caller of one that waits leaves.
    Cancel(usize),
    Withdraw(usize),
    /// A batch in flight is over.
    End {
        which: usize,
        then: Then,
    },
    Pass {
        ms: u64,
    },
    Hold {
        ms: Option<u64>,
    },
    Flush,
    Cap {
        items: Option<usize>,
        bytes: Option<usize>,
        ms: u64,
    },
    Slots {
        slots: usize,
    },
    Company {
        anybody_left: bool,
    },
    Close,
}

/// What becomes of a batch that was in flight.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    Answered,
    /// It wants to leave again, as a half or not.
    Parked {
        half: bool,
    },
    /// Its detached members go back in line.
    PutBack,
}

/// What waits: a caller's or a detached item, and its number among such.
type Waiting = (bool, Number);

/// A batch that has left.
#[derive(Clone, Debug)]
struct UnderWay {
    half: bool,
    callers: Load,
    detached: Vec<Waits>,
}

impl UnderWay {
    fn lane(&self) -> Lane {
        match self.callers.items {
            0 => Lane::Detached,
            _ => Lane::Callers,
        }
    }

    fn loads(&self, with_detached: bool) -> Loads {
        let detached = self.detached.iter().filter(|_| with_detached);
        Loads {
            callers: self.callers,
            detached: detached.map(|it| Load::one(it.bytes)).sum(),
        }
    }
}

pub(super) struct TwoLanes {
    with: State<Waiting, u64>,
    /// None where something detached may be old, so that callers do wait for it.
    without: Option<State<Waiting, u64>>,
    now: Instant,
    interval: Duration,
    detached_max_wait: Duration,
    anybody_left: bool,
    /// The tickets of callers' items, the same in both, and of detached ones.
    tickets: Vec<Ticket>,
    detached_tickets: Vec<Ticket>,
    /// What became of each detached item: answered, withdrawn, expired.
    outcomes: Vec<usize>,
    model: Model,
    in_flight: Vec<UnderWay>,
    parked: Vec<(u64, UnderWay)>,
    unparked: Vec<UnderWay>,
    lined_up: u64,
    slots: usize,
    cap: Cap,
    flush_below: Number,
    held_until: Option<Instant>,
    closing: bool,
    /// Of the batches that left or resumed while an old one of the other lane or a ready
    /// one of callers could have, the lane of the last.
    last_contest: Option<Lane>,
    /// How many of those of each lane there were.
    pub contests: (usize, usize),
    pub rode: usize,
}

impl TwoLanes {
    pub fn new(
        interval: Duration,
        wait: Wait,
        slots: usize,
        detached_max_wait: Duration,
        compares: bool,
    ) -> Self {
        let now = Instant::now();
        let settings = Settings {
            max_in_flight: slots,
            wait,
            min_interval: interval,
            detached_max_wait,
            ..world::settings()
        };
        let mut with = State::new(&settings, now);
        // However little that is.
        with.lanes = Lanes::old_after(10 * detached_max_wait);
        Self {
            with,
            without: compares.then(|| State::new(&settings, now)),
            now,
            interval,
            detached_max_wait,
            anybody_left: true,
            tickets: Vec::new(),
            detached_tickets: Vec::new(),
            outcomes: Vec::new(),
            model: Model::default(),
            in_flight: Vec::new(),
            parked: Vec::new(),
            unparked: Vec::new(),
            lined_up: 0,
            slots,
            cap: Cap::default(),
            flush_below: 0,
            held_until: None,
            closing: false,
            last_contest: None,
            contests: (0, 0),
            rode: 0,
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            anybody_left: self.anybody_left,
        }
    }

    fn bounds(&self, frame: &Option<Frame>) -> Extent {
        world::bounds(self.cap, frame, self.now)
    }

    /// The interval or the hold is not over.
    fn detached_not_before(&self) -> Option<Instant> {
        let interval = self.with.slots.last_left().map(|it| it + self.interval);
        let held = self.held_until.filter(|_| !self.closing);
        interval.max(held).filter(|&it| self.now < it)
    }

    /// When the detached batch of a frame leaves, if a slot is free.
    fn due(&self, frame: &Option<Frame>) -> Option<Instant> {
        let oldest = self.model.queue.iter().find(|it| it.frame == *frame)?;
        let full = self.model.full(frame, self.bounds(frame)).is_some();
        if full || self.closing || oldest.number < self.flush_below {
            return Some(self.now);
        }
        let all = self.model.queue.iter().filter(|it| it.frame == *frame);
        let hurried = all.filter_map(|it| it.hurried_within(self.detached_max_wait));
        let latest = hurried
            .chain([oldest.arrived + self.detached_max_wait])
            .min();
        latest.map(|it| it.max(self.now))
    }

    /// What each lane would do if a slot were free.
    fn choices(&mut self) -> Choices {
        let moment = self.moment();
        self.with.next_action(moment);
        if !self.with.slots.any_free() {
            return Choices {
                callers: Action::Nothing,
                detached: Action::Nothing,
                detached_oldest: None,
            };
        }
        let (_, callers) = self.with.next_of_callers(moment);
        self.with.choices(callers, self.now).1
    }

    /// Until when the last free slot is kept for callers.
    fn kept_until(&mut self) -> Option<Instant> {
        let Choices {
            callers,
            detached_oldest,
            ..
        } = self.choices();
        let gathers = matches!(callers, Action::Until(_));
        let kept = gathers && self.slots == self.in_flight.len() + 1;
        let old = detached_oldest? + self.detached_max_wait * 10;
        (kept && self.now < old).then_some(old)
    }

    /// When one of them leaves, by the model.
    fn detached_due(&mut self) -> Option<Instant> {
        let not_before = self.detached_not_before().max(self.kept_until());
        let frames = self.model.queue.iter().map(|it| &it.frame);
        let queued = frames.filter_map(|it| self.due(it)).min();
        let parked = self.may_resume(Lane::Detached).then_some(self.now);
        let due = queued.into_iter().chain(parked).min()?;
        Some(not_before.unwrap_or(due))
    }

    fn may_resume(&self, lane: Lane) -> bool {
        let halves_may = self.with.slots.halves_may();
        let may = |it: &&(u64, UnderWay)| it.1.lane() == lane && (!it.1.half || halves_may);
        self.parked.iter().any(|it| may(&it))
    }

    /// Takes what is due in both, one by one in the first.
    fn advance(&mut self) {
        let moment = self.moment();
        let mut expired = self.with.expire(self.now);
        let compares = self.without.is_some();
        let other = self.without.as_mut().map(|it| it.advance(moment));
        let other = other.unwrap_or_default();
        let mut others = (other.departures.into_iter(), other.resumed.into_iter());
        let mut expected = other.expired.iter().map(|(it, room)| (it.item, *room));
        for (entry, room) in expired.expired.drain(..) {
            match entry.item {
                (false, _) if compares => {
                    assert_eq!(expected.next(), Some((entry.item, room)));
                }
                (false, _) => {}
                (true, number) => {
                    self.outcomes[number as usize] += 1;
                    let gone = self.model.remove(|it| it.number == number);
                    assert_eq!(gone, [(number, Room::Queue)]);
                    assert!(entry.deadline.is_some_and(|it| it <= self.now));
                }
            }
        }
        assert!(!compares || expected.next().is_none());
        loop {
            let choices = self.choices();
            let due = self.detached_due();
            let mut decisions = Decisions::default();
            let any_free = self.with.slots.any_free();
            if !self.with.step(moment, &mut decisions) {
                let ready = |due: Option<Instant>| due.is_some_and(|it| it <= self.now);
                assert!(!any_free || !ready(due), "detached items are due");
                break;
            }
            assert!(any_free);
            let lane = match (decisions.departures.pop(), decisions.resumed.pop()) {
                (Some(departure), None) => {
                    let lane = self.departed(&departure);
                    if compares && lane == Lane::Callers {
                        let other = others.0.next().unwrap();
                        assert_eq!(items(&departure.entries), items(&other.entries));
                        assert_eq!(departure.frame, other.frame);
                        assert_eq!(departure.reason, other.reason);
                    }
                    lane
                }
                (None, Some(resumed)) => {
                    let lane = self.resumed(resumed);
                    if compares && lane == Lane::Callers {
                        assert_eq!(others.1.next(), Some(resumed));
                    }
                    lane
                }
                _ => panic!("one at a time"),
            };
            let ready = |action: Action| action.due(self.now).is_some_and(|it| it <= self.now);
            if lane == Lane::Detached {
                assert!(due.is_some_and(|it| it <= self.now), "they had time");
            }
            self.note_contest(
                lane,
                ready(choices.callers),
                ready(choices.detached),
                &choices,
            );
        }
        assert!(!compares || others.0.next().is_none() && others.1.next().is_none());
        if !self.unparked.is_empty() {
            self.unpark();
            return self.advance();
        }
        self.compare();
    }

    /// Of an old batch of detached items and one of callers that are both ready, each has
    /// its turn.
    fn note_contest(&mut self, lane: Lane, callers: bool, detached: bool, choices: &Choices) {
        let old_after = self.detached_max_wait * 10;
        let oldest = choices.detached_oldest;
        let old = oldest.is_some_and(|it| it + old_after <= self.now);
        if !callers || !detached {
            self.last_contest = None;
            return;
        }
        match lane {
            Lane::Detached => {
                assert!(old, "they go before callers, and are young");
                assert_eq!(self.last_contest, Some(Lane::Callers), "they go first");
                self.contests.1 += 1;
                self.last_contest = Some(lane);
            }
            Lane::Callers if old => {
                assert_ne!(self.last_contest, Some(Lane::Callers), "it was their turn");
                self.contests.0 += 1;
                self.last_contest = Some(lane);
            }
            Lane::Callers => self.last_contest = None,
        }
    }

    /// A batch leaves, of which the model must say the same.
    fn departed(&mut self, departure: &Departure<Waiting>) -> Lane {
        let Departure {
            entries,
            riders,
            frame,
            ..
        } = departure;
        let lane = match entries[0].item.0 {
            true => Lane::Detached,
            false => Lane::Callers,
        };
        assert!(
            entries
                .iter()
                .all(|it| it.item.0 == (lane == Lane::Detached))
        );
        assert!(riders.iter().all(|it| it.item.0));
        let bounds = self.bounds(frame);
        let held = self
            .held_until
            .is_some_and(|it| self.now < it && !self.closing);
        let detached = match lane {
            Lane::Detached => {
                assert!(!held && riders.is_empty());
                if let Some(without) = &mut self.without {
                    without.slots.occupy(false, self.now);
                }
                self.model.take(frame, bounds)
            }
            Lane::Callers if held => Vec::new(),
            Lane::Callers => {
                let others: Vec<_> = entries.iter().map(waits).collect();
                self.model.take_riders(frame, &others, bounds)
            }
        };
        let left: Vec<_> = entries
            .iter()
            .chain(riders)
            .filter(|it| it.item.0)
            .collect();
        assert_eq!(
            left.iter().map(|it| it.item.1).collect::<Vec<_>>(),
            detached.iter().map(|it| it.number).collect::<Vec<_>>()
        );
        let alone = |it: &Entry<Waiting>| it.extent.weight == MORE_THAN_ANY_BATCH;
        assert!(entries.len() == 1 || !entries.iter().any(alone));
        assert!(!riders.iter().any(alone));
        self.rode += riders.len();
        self.in_flight.push(UnderWay {
            half: false,
            callers: match lane {
                Lane::Callers => entries.iter().map(|it| Load::one(it.bytes)).sum(),
                Lane::Detached => Load::default(),
            },
            detached,
        });
        lane
    }

    fn resumed(&mut self, (whom, half): (u64, bool)) -> Lane {
        let at = self.parked.iter().position(|it| it.0 == whom).unwrap();
        let (_, batch) = self.parked.remove(at);
        assert_eq!(batch.half, half);
        let lane = batch.lane();
        if lane == Lane::Detached
            && let Some(without) = &mut self.without
        {
            without.slots.occupy(half, self.now);
        }
        self.unparked.push(batch.clone());
        self.in_flight.push(batch);
        lane
    }

    /// Those that have a slot again know it once all is decided.
    fn unpark(&mut self) {
        for batch in self.unparked.drain(..) {
            self.with.unpark(batch.loads(true));
            if batch.lane() == Lane::Callers
                && let Some(without) = &mut self.without
            {
                without.unpark(batch.loads(false));
            }
        }
    }

    /// Nothing about callers is otherwise than without detached items, and the clock comes
    /// when something is due.
    fn compare(&mut self) {
        let moment = self.moment();
        let counts = self.with.snapshot(0, self.now);
        assert_eq!(counts.in_flight, self.in_flight.len());
        assert!(counts.in_flight <= self.slots.max(self.in_flight.len()));
        let parked = self
            .parked
            .iter()
            .map(|it| it.1.detached.len())
            .sum::<usize>();
        assert_eq!(counts.detached_queued, self.model.queue.len() + parked);
        assert_eq!(counts.detached_rode, self.rode as u64);
        self.compare_wanted();
        let due = self.with.rearm(0, moment);
        let Some(without) = &mut self.without else {
            return;
        };
        let callers = Snapshot {
            detached_queued: 0,
            detached_oldest: None,
            detached_rode: 0,
            ..counts
        };
        assert_eq!(callers, without.snapshot(0, self.now));
        let without = without.rearm(0, moment);
        let free = self.with.slots.any_free();
        let leave = self.detached_due().filter(|_| free);
        let expire = self.model.queue.iter().filter_map(|it| it.deadline).min();
        assert_eq!(due, without.into_iter().chain(leave).chain(expire).min());
    }

    /// A batch is wanted where the lane holds less than one, and may be left.
    fn compare_wanted(&mut self) {
        let lane: Extent = self.model.queue.iter().map(|it| it.extent).sum();
        let bounds = self.bounds(&None);
        let holds_less = lane.weight < bounds.weight && lane.bytes <= bounds.bytes;
        let held = self.held_until.is_some_and(|it| self.now < it);
        let wanted = self.with.wanted(true, self.now);
        assert_eq!(wanted.is_ok(), holds_less && !held && !self.closing);
    }

    fn push(&mut self, item: Item) {
        let options = item.options(self.now);
        let entered = self.with.may_enter(&options, self.now);
        if let Some(without) = &mut self.without {
            assert_eq!(entered, without.may_enter(&options, self.now));
        }
        if entered.is_err() {
            return;
        }
        let number = self.tickets.len() as Number;
        let entry = |options: Options| Entry::new((false, number), options, self.now);
        let place = self.with.push(entry(options.clone()), None);
        if let Some(without) = &mut self.without {
            assert_eq!(without.push(entry(options), None), place);
        }
        self.tickets.push(place.0);
    }

    fn detach(&mut self, item: Item, ms_before: u64, alone: bool) {
        if self.closing {
            return;
        }
        let number = self.with.next_detached();
        assert_eq!(number as usize, self.outcomes.len());
        let arrived = self.now - ms_before as u32 * MS;
        let mut entry = Entry::new((true, number), item.options(self.now), arrived);
        if alone {
            entry.extent.weight = MORE_THAN_ANY_BATCH;
        }
        self.model.put_back(waits(&entry));
        self.detached_tickets.push(self.with.push_detached(entry));
        self.outcomes.push(0);
    }

    fn withdraw(&mut self, which: usize) {
        // One that waits, or any, which may be anywhere.
        let waiting = self.model.queue.get(which).map(|it| it.number);
        let number = waiting.unwrap_or(which as Number);
        let waits = self.model.queue.iter().any(|it| it.number == number);
        let Some(&ticket) = self.detached_tickets.get(number as usize) else {
            return;
        };
        let withdrawn = self.with.withdraw(ticket);
        assert_eq!(withdrawn.is_some(), waits);
        if withdrawn.is_some() {
            self.model.remove(|it| it.number == number);
            self.outcomes[number as usize] += 1;
        }
    }

    fn end(&mut self, which: usize, then: Then) {
        if which >= self.in_flight.len() {
            return;
        }
        let mut batch = self.in_flight.remove(which);
        let was_half = batch.half;
        match then {
            Then::Parked { half } => {
                batch.half = half;
                self.park(batch);
            }
            Then::PutBack => {
                for waits in batch.detached {
                    let number = waits.number;
                    let ticket = self.with.put_back(number, back(&waits)).unwrap().0;
                    self.detached_tickets[number as usize] = ticket;
                    self.model.put_back(waits);
                }
            }
            Then::Answered => {
                for waits in batch.detached {
                    self.outcomes[waits.number as usize] += 1;
                }
            }
        }
        self.with.free_slot(was_half, self.now);
        if let Some(without) = &mut self.without {
            without.free_slot(was_half, self.now);
        }
    }

    fn park(&mut self, batch: UnderWay) {
        let (lane, whom) = (batch.lane(), self.lined_up);
        self.lined_up += 1;
        let resuming = Resuming {
            lane,
            half: batch.half,
            oldest: batch
                .detached
                .iter()
                .map(|it| it.arrived)
                .min()
                .unwrap_or(self.now),
        };
        self.with.park(batch.loads(true));
        self.with.line_up(whom, resuming);
        if lane == Lane::Callers
            && let Some(without) = &mut self.without
        {
            without.park(batch.loads(false));
            without.line_up(whom, resuming);
        }
        self.parked.push((whom, batch));
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Push(item) => self.push(item),
            Step::Detach {
                item,
                ms_before,
                alone,
            } => self.detach(item, ms_before, alone),
            Step::Cancel(which) => {
                if let Some(&ticket) = self.tickets.iter().rev().nth(which) {
                    let cancelled = self.with.cancel(ticket);
                    if let Some(without) = &mut self.without {
                        assert_eq!(cancelled, without.cancel(ticket));
                    }
                }
            }
            Step::Withdraw(which) => self.withdraw(which),
            Step::End { which, then } => self.end(which, then),
            Step::Pass { ms } => self.now += ms as u32 * MS,
            Step::Hold { ms } => {
                self.held_until = ms.map(|ms| self.now + ms as u32 * MS);
                self.with.hold_detached(self.held_until);
            }
            Step::Flush => {
                let detached = self.model.queue.len();
                let flushed = self.with.flush();
                if let Some(without) = &mut self.without {
                    assert_eq!(flushed, without.flush() + detached);
                }
                self.flush_below = self.outcomes.len() as Number;
            }
            Step::Cap { items, bytes, ms } => {
                let until = self.now + ms as u32 * MS;
                let ceiling = |most| Ceiling { most, until };
                self.cap = Cap {
                    items: items.map(ceiling),
                    bytes: bytes.map(ceiling),
                };
                self.with.cap(self.cap);
                if let Some(without) = &mut self.without {
                    without.cap(self.cap);
                }
            }
            Step::Slots { slots } => {
                self.slots = slots;
                self.with.set_max_in_flight(slots, self.now);
                if let Some(without) = &mut self.without {
                    without.set_max_in_flight(slots, self.now);
                }
            }
            Step::Company { anybody_left } => self.anybody_left = anybody_left,
            Step::Close => {
                self.with.close();
                if let Some(without) = &mut self.without {
                    without.close();
                }
                self.closing = true;
            }
        }
        self.advance();
    }

    /// Everything leaves, and nothing is left behind.
    pub fn end_all(&mut self) {
        self.step(Step::Hold { ms: None });
        while !(self.in_flight.is_empty() && self.parked.is_empty() && self.with.is_empty()) {
            self.step(Step::Close);
            self.step(Step::Pass { ms: 6 });
            let then = Then::Answered;
            self.step(Step::End { which: 0, then });
        }
        assert!(
            self.outcomes.iter().all(|&it| it == 1),
            "{:?}",
            self.outcomes
        );
        for lane in [&self.with.callers, &self.with.detached] {
            assert_eq!(lane.turns(), 0);
            assert_eq!(lane.queue.frames.sizes().0, 0);
            assert_eq!(lane.queue.load(), Load::default());
        }
    }
}

impl<T, P> State<T, P> {
    fn is_empty(&self) -> bool {
        self.callers.is_empty() && self.detached.is_empty()
    }
}

fn items(entries: &[Entry<Waiting>]) -> Vec<Waiting> {
    entries.iter().map(|it| it.item).collect()
}

fn waits(entry: &Entry<Waiting>) -> Waits {
    Waits::of(entry, entry.item.1)
}

fn back(waits: &Waits) -> Entry<Waiting> {
    waits.entry((true, waits.number))
}
