//! A batcher's decisions and a model of them, side by side.

use std::collections::HashMap;

use super::*;
use crate::cap::Ceiling;
use crate::extent::Extent;
use crate::policy::FlushReason;
use crate::queue::model::{self, FOLLOWERS, MAX_WAIT, Model, Waits};
use crate::queue::{Full, Loads};
use crate::rate::Arrivals;
use crate::settings::Wait;

pub(super) const MS: Duration = Duration::from_millis(1);

/// What may be said of an item, and for how long it stays.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub frame: Option<u8>,
    pub keys: Vec<u64>,
    pub weight: usize,
    pub bytes: usize,
    pub bytes_in_batch: usize,
    pub stays: Option<u64>,
}

impl Item {
    /// The same, as the batcher is told.
    pub fn options(&self, now: Instant) -> Options {
        let options = Options::default().keys(self.keys.iter().copied());
        let options = options.weight(self.weight).bytes(self.bytes);
        Options {
            bytes_in_batch: Some(self.bytes_in_batch),
            frame: self.frame.map(frame),
            deadline: self.stays.map(|ms| now + ms as u32 * MS),
            ..options
        }
    }
}

/// What a batch has besides its items where they have no frame.
const OVERHEAD: usize = 3;

/// One that has its own such bytes.
fn frame(it: u8) -> Frame {
    Frame::with_overhead([it], 2 * usize::from(it))
}

/// As a batcher is set up, with what is the queue's.
pub(super) fn settings() -> Settings {
    Settings {
        batch_overhead: OVERHEAD,
        on_full: OnFull::Wait,
        ..model::settings()
    }
}

/// The most that items of this frame take up of a batch.
pub(super) fn bounds(cap: Cap, frame: &Option<Frame>, now: Instant) -> Extent {
    let (weight, bytes) = cap.bounds(FOLLOWERS.items, FOLLOWERS.bytes, now);
    let overhead = frame.as_ref().map_or(OVERHEAD, Frame::overhead);
    Extent {
        weight,
        bytes: bytes.saturating_sub(overhead),
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Push(Item),
    /// The caller of one that waits leaves.
    Cancel(usize),
    /// A batch in flight is over, or is parked and wants to leave again, as a half of
    /// what it was or not.
    End {
        which: usize,
        parked_as_half: Option<bool>,
    },
    Pass {
        ms: u64,
    },
    Flush,
    Cap {
        items: Option<usize>,
        bytes: Option<usize>,
        ms: u64,
    },
    /// Other limits of batches in flight.
    Slots {
        slots: usize,
    },
    /// Somebody is known who may still come, or nobody.
    Company {
        anybody_left: bool,
    },
    Close,
}

/// The model of the rest of a batcher.
pub(super) struct World {
    model: Model,
    state: State<Number, u64>,
    now: Instant,
    interval: Duration,
    tickets: Vec<Ticket>,
    slots: usize,
    /// Of each batch, whether it is a half.
    in_flight: Vec<bool>,
    /// Those in line for a slot again, and whether they are halves.
    parked: Vec<(u64, bool)>,
    lined_up: u64,
    wait: Wait,
    anybody_left: bool,
    /// Of each frame that something waits of, and of what has none.
    arrivals: HashMap<Option<Frame>, Arrivals>,
    flush_below: Number,
    closing: bool,
    cap: Cap,
    last_left: Option<Instant>,
    /// Of each frame that is ready, who has left since it is.
    waits_for: Vec<(Option<Frame>, Vec<Option<Frame>>)>,
}

type Number = u64;

impl World {
    pub fn new(interval: Duration, wait: Wait) -> Self {
        let now = Instant::now();
        let settings = Settings {
            max_in_flight: 2,
            wait,
            min_interval: interval,
            ..settings()
        };
        Self {
            model: Model::default(),
            state: State::new(&settings, now),
            now,
            interval,
            tickets: Vec::new(),
            slots: 2,
            in_flight: Vec::new(),
            parked: Vec::new(),
            lined_up: 0,
            wait,
            anybody_left: true,
            arrivals: HashMap::new(),
            flush_below: 0,
            closing: false,
            cap: Cap::default(),
            last_left: None,
            waits_for: Vec::new(),
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            anybody_left: self.anybody_left || self.wait == Wait::Fixed,
        }
    }

    fn resuming(&self, lane: Lane, half: bool) -> Resuming {
        Resuming {
            lane,
            half,
            oldest: self.now,
        }
    }

    fn bounds(&self, frame: &Option<Frame>) -> Extent {
        bounds(self.cap, frame, self.now)
    }

    fn frames(&self) -> Vec<Option<Frame>> {
        let mut frames: Vec<Option<Frame>> = Vec::new();
        for it in &self.model.queue {
            if !frames.contains(&it.frame) {
                frames.push(it.frame.clone());
            }
        }
        frames
    }

    /// When the batch of a frame leaves, if a slot is free.
    fn due(&self, frame: &Option<Frame>) -> Option<Instant> {
        self.due_while(self.moment().anybody_left, frame)
    }

    fn due_while(&self, anybody_left: bool, frame: &Option<Frame>) -> Option<Instant> {
        let oldest = self.model.queue.iter().find(|it| it.frame == *frame)?;
        let full = self.model.full(frame, self.bounds(frame)).is_some();
        if full || self.closing || oldest.number < self.flush_below {
            return Some(self.now);
        }
        let company = self.model.all().filter(|it| it.frame == *frame);
        let hurried = company.filter_map(Waits::hurried).min();
        let latest = oldest.arrived + MAX_WAIT;
        let latest = hurried.map_or(latest, |hurried| latest.min(hurried));
        if !anybody_left {
            return Some(self.now);
        }
        let arrivals = &self.arrivals[frame];
        let expected = arrivals.gap().filter(|_| self.wait == Wait::Adaptive);
        let leaves = expected.map_or(latest, |gap| {
            let silent = arrivals.last().unwrap() + gap * 4;
            latest.min(latest - gap).min(silent)
        });
        Some(leaves.max(self.now))
    }

    fn full(&self, frame: &Option<Frame>) -> Option<Full> {
        self.model.full(frame, self.bounds(frame))
    }

    fn is_ready(&self, frame: &Option<Frame>) -> bool {
        self.due(frame).is_some_and(|due| due <= self.now)
    }

    /// Whether it has its turn among others, and not because nobody is left to come.
    fn has_turn(&self, frame: &Option<Frame>) -> bool {
        self.due_while(true, frame)
            .is_some_and(|due| due <= self.now)
    }

    /// The first in line that may have a slot, if one is free.
    fn next_parked(&self) -> Option<usize> {
        let halves = self.in_flight.iter().filter(|&&half| half).count();
        let halves_may = halves < self.slots.saturating_sub(1).max(1);
        self.parked.iter().position(|(_, half)| !half || halves_may)
    }

    /// The interval holds everything up until then.
    fn held_up(&self) -> Option<Instant> {
        let until = self.last_left? + self.interval;
        (self.now < until).then_some(until)
    }

    fn note_ready(&mut self) {
        let ready: Vec<_> = self
            .frames()
            .into_iter()
            .filter(|it| self.has_turn(it))
            .collect();
        self.waits_for.retain(|(frame, _)| ready.contains(frame));
        for frame in ready {
            if !self.waits_for.iter().any(|(it, _)| *it == frame) {
                self.waits_for.push((frame, Vec::new()));
            }
        }
    }

    fn slot_taken(&mut self, half: bool) {
        assert!(self.held_up().is_none(), "the interval is not over");
        self.in_flight.push(half);
        assert!(self.in_flight.len() <= self.slots);
        self.last_left = Some(self.now);
    }

    /// What is decided is right, and nothing is left that could be done.
    fn advance(&mut self) {
        let decisions = self.state.advance(self.moment());
        let mut expired: Vec<_> = decisions
            .expired
            .iter()
            .map(|(it, room)| (it.item, *room))
            .collect();
        expired.sort_by_key(|&(number, _)| number);
        let now = self.now;
        assert_eq!(expired, self.model.remove(|it| it.is_due(now)));
        self.forget_frames();
        self.note_ready();
        for (whom, half) in decisions.resumed {
            let next = self.next_parked().unwrap();
            assert_eq!((whom, half), self.parked.remove(next));
            self.slot_taken(half);
        }
        for Departure {
            entries,
            frame,
            reason,
            ..
        } in decisions.departures
        {
            assert_eq!(self.next_parked(), None, "parked batches go first");
            assert!(self.is_ready(&frame), "{frame:?} had time");
            let oldest = self.model.ready(&frame).swap_remove(0);
            let why = match reason {
                FlushReason::Drain => self.closing,
                FlushReason::Flush => oldest.number < self.flush_below,
                FlushReason::Wait => !self.closing,
                FlushReason::Size => self.full(&frame) == Some(Full::Size),
                FlushReason::Bytes => self.full(&frame) == Some(Full::Bytes),
                FlushReason::Idle => self.wait == Wait::Adaptive,
            };
            assert!(why, "{reason:?}");
            for (waiting, others) in &mut self.waits_for {
                assert!(
                    !others.contains(&frame),
                    "{waiting:?} waits for {frame:?} twice"
                );
                if *waiting == frame {
                    others.clear();
                } else {
                    others.push(frame.clone());
                }
            }
            let bounds = self.bounds(&frame);
            let taken: Vec<_> = entries.iter().map(|it| it.item).collect();
            let expected = self.model.take(&frame, bounds);
            let expected: Vec<_> = expected.iter().map(|it| it.number).collect();
            assert_eq!(taken, expected);
            self.slot_taken(false);
            self.forget_frames();
            self.note_ready();
        }
        self.nothing_is_left_to_do();
    }

    fn nothing_is_left_to_do(&mut self) {
        let free = self.in_flight.len() < self.slots;
        let parked = self.next_parked().is_some();
        let mut due: Option<Instant> = self.model.all().filter_map(|it| it.deadline).min();
        let next = self.frames().iter().filter_map(|it| self.due(it)).min();
        let leave = match self.held_up() {
            Some(until) => (next.is_some() || parked).then_some(until),
            None => {
                assert!(!free || !parked, "a parked batch has no slot");
                assert!(
                    !free || next.is_none_or(|it| it > self.now),
                    "a batch is due"
                );
                next
            }
        };
        if free {
            due = due.into_iter().chain(leave).min();
        }
        let moment = self.moment();
        assert_eq!(
            self.state.rearm(0, moment),
            due,
            "the clock looks when something is due"
        );
        let framed = self.frames().iter().flatten().count();
        assert_eq!(self.state.callers.turns(), framed);
    }

    /// What is known of a frame goes with its last item.
    fn forget_frames(&mut self) {
        let (model, arrivals) = (&self.model, &mut self.arrivals);
        arrivals.retain(|frame, _| frame.is_none() || model.all().any(|it| it.frame == *frame));
    }

    fn push(&mut self, item: Item) {
        let options = item.options(self.now);
        let Options {
            frame, keys, bytes, ..
        } = &options;
        let may_follow = self.model.may_follow(frame, keys, *bytes);
        let entered = self.state.may_enter(&options, self.now);
        assert_eq!(entered.is_ok(), may_follow && !self.closing);
        if entered.is_err() {
            return;
        }
        let number = self.tickets.len() as u64;
        let entry = Entry::new(number, options, self.now);
        let longest = MAX_WAIT * 4;
        let arrivals = self.arrivals.entry(entry.frame.clone());
        arrivals
            .or_insert_with(|| Arrivals::new(longest))
            .record(self.now, None);
        self.model.overflow.push(Waits::of(&entry, number));
        self.model.admit();
        self.tickets.push(self.state.push(entry, None).0);
    }

    fn end(&mut self, which: usize, parked_as_half: Option<bool>) {
        if which >= self.in_flight.len() {
            return;
        }
        let was_half = self.in_flight.remove(which);
        if let Some(half) = parked_as_half {
            self.state.park(Loads::default());
            let whom = self.lined_up;
            self.lined_up += 1;
            self.state.line_up(whom, self.resuming(Lane::Callers, half));
            self.parked.push((whom, half));
        }
        self.state.free_slot(was_half, self.now);
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Push(item) => self.push(item),
            Step::Cancel(which) => {
                let waiting = self.model.all().nth(which).map(|it| it.number);
                if let Some(number) = waiting {
                    let ticket = self.tickets[number as usize];
                    assert_eq!(self.state.cancel(ticket), Some(number));
                    self.model.remove(|it| it.number == number);
                }
            }
            Step::End {
                which,
                parked_as_half,
            } => self.end(which, parked_as_half),
            Step::Pass { ms } => self.now += ms as u32 * MS,
            Step::Flush => {
                assert_eq!(self.state.flush(), self.model.all().count());
                self.flush_below = self.tickets.len() as u64;
            }
            Step::Cap { items, bytes, ms } => {
                let until = self.now + ms as u32 * MS;
                let ceiling = |most| Ceiling { most, until };
                self.cap = Cap {
                    items: items.map(ceiling),
                    bytes: bytes.map(ceiling),
                };
                self.state.cap(self.cap);
            }
            Step::Slots { slots } => {
                self.slots = slots;
                self.state.set_max_in_flight(slots, self.now);
            }
            Step::Company { anybody_left } => self.anybody_left = anybody_left,
            Step::Close => {
                self.state.close();
                self.closing = true;
            }
        }
        self.advance();
    }

    /// Whether nothing waits and no batch is in flight.
    pub fn is_over(&self) -> bool {
        self.model.all().count() == 0 && self.in_flight.is_empty() && self.parked.is_empty()
    }

    pub fn nothing_is_left_behind(&self) {
        let backlog = &self.state.callers;
        assert_eq!(backlog.turns(), 0);
        assert_eq!(backlog.queue.frames.sizes().0, 0);
        assert!(backlog.queue.frames.are_unchanged());
    }
}
