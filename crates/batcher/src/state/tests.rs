//! What is decided, against a naive model that looks at everything that waits.

use proptest::prelude::*;

use super::*;
use crate::cap::Ceiling;
use crate::frame::Frame;
use crate::policy::FlushReason;
use crate::queue::model::{FOLLOWERS, MAX_WAIT, Model, Waits, settings};
use crate::queue::{Entry, Load};

const SLOTS: usize = 2;
const MS: Duration = Duration::from_millis(1);

/// What may be said of an item: its frame, key, bytes and for how long it stays.
type Item = (Option<u8>, Option<u64>, usize, Option<u64>);

#[derive(Clone, Debug)]
enum Step {
    Push(Item),
    /// The caller of one that waits leaves.
    Cancel(usize),
    /// A batch in flight is over, or is parked and wants to leave again.
    End {
        parked: bool,
    },
    Pass {
        ms: u64,
    },
    Flush,
    Cap {
        items: usize,
        ms: u64,
    },
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let frame = || prop::option::weighted(0.7, 0..3_u8);
    let key = || prop::option::weighted(0.5, 0..3_u64);
    let stays = || prop::option::weighted(0.5, 0..60_u64);
    let step = prop_oneof![
        12 => (frame(), key(), 1..12_usize, stays()).prop_map(Step::Push),
        1 => (0..8_usize).prop_map(Step::Cancel),
        4 => prop::bool::weighted(0.3).prop_map(|parked| Step::End { parked }),
        4 => (0..9_u64).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Flush),
        1 => (1..3_usize, 1..20_u64).prop_map(|(items, ms)| Step::Cap { items, ms }),
        1 => prop::bool::weighted(0.05).prop_map(|close| match close {
            true => Step::Close,
            false => Step::Flush,
        }),
    ];
    prop::collection::vec(step, 1..120)
}

/// The model of the rest of a batcher.
struct World {
    model: Model,
    state: State<Number, u64>,
    now: Instant,
    interval: Duration,
    tickets: Vec<Ticket>,
    in_flight: usize,
    /// Those in line for a slot again, by the times at which they were parked.
    parked: Vec<u64>,
    flush_below: Number,
    closing: bool,
    cap: Cap,
    last_left: Option<Instant>,
    /// Of each frame that is ready, who has left since it is.
    waits_for: Vec<(Option<Frame>, Vec<Option<Frame>>)>,
}

type Number = u64;

impl World {
    fn new(interval: Duration) -> Self {
        let now = Instant::now();
        let settings = Settings {
            max_in_flight: SLOTS,
            on_full: OnFull::Wait,
            min_interval: interval,
            ..settings()
        };
        Self {
            model: Model::default(),
            state: State::new(&settings, now),
            now,
            interval,
            tickets: Vec::new(),
            in_flight: 0,
            parked: Vec::new(),
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
            anybody_left: true,
        }
    }

    fn bounds(&self) -> (usize, usize) {
        self.cap.bounds(FOLLOWERS.items, FOLLOWERS.bytes, self.now)
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
        let oldest = self.model.queue.iter().find(|it| it.frame == *frame)?;
        let (max_size, max_bytes) = self.bounds();
        let full = self.model.full(frame, max_size, max_bytes).is_some();
        if full || self.closing || oldest.number < self.flush_below {
            return Some(self.now);
        }
        let company = self.model.all().filter(|it| it.frame == *frame);
        let hurried = company.filter_map(Waits::hurried).min();
        let latest = oldest.arrived + MAX_WAIT;
        Some(hurried.map_or(latest, |hurried| latest.min(hurried)))
    }

    fn is_ready(&self, frame: &Option<Frame>) -> bool {
        self.due(frame).is_some_and(|due| due <= self.now)
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
            .filter(|it| self.is_ready(it))
            .collect();
        self.waits_for.retain(|(frame, _)| ready.contains(frame));
        for frame in ready {
            if !self.waits_for.iter().any(|(it, _)| *it == frame) {
                self.waits_for.push((frame, Vec::new()));
            }
        }
    }

    fn slot_taken(&mut self) {
        assert!(self.held_up().is_none(), "the interval is not over");
        self.in_flight += 1;
        assert!(self.in_flight <= SLOTS);
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
        self.note_ready();
        for (whom, half) in decisions.resumed {
            assert!(!half);
            assert_eq!(whom, self.parked.remove(0));
            self.slot_taken();
        }
        for Departure {
            entries,
            frame,
            reason,
        } in decisions.departures
        {
            assert!(self.parked.is_empty(), "parked batches go first");
            assert!(self.is_ready(&frame), "{frame:?} had time");
            let oldest = self.model.ready(&frame).swap_remove(0);
            let why = match reason {
                FlushReason::Drain => self.closing,
                FlushReason::Flush => oldest.number < self.flush_below,
                FlushReason::Wait => !self.closing,
                FlushReason::Size | FlushReason::Bytes => {
                    let (max_size, max_bytes) = self.bounds();
                    self.model.full(&frame, max_size, max_bytes).is_some()
                }
                FlushReason::Idle => false,
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
            let (max_size, max_bytes) = self.bounds();
            let taken: Vec<_> = entries.iter().map(|it| it.item).collect();
            let expected = self.model.take(&frame, max_size, max_bytes);
            let expected: Vec<_> = expected.iter().map(|it| it.number).collect();
            assert_eq!(taken, expected);
            self.slot_taken();
            self.note_ready();
        }
        self.nothing_is_left_to_do();
    }

    fn nothing_is_left_to_do(&mut self) {
        let free = self.in_flight < SLOTS;
        let mut due: Option<Instant> = self.model.all().filter_map(|it| it.deadline).min();
        let next = self.frames().iter().filter_map(|it| self.due(it)).min();
        let leave = match self.held_up() {
            Some(until) => (next.is_some() || !self.parked.is_empty()).then_some(until),
            None => {
                assert!(
                    !free || self.parked.is_empty(),
                    "a parked batch has no slot"
                );
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
        assert_eq!(self.state.backlog.turns(), framed);
    }

    fn push(&mut self, (frame, key, bytes, stays): Item) {
        let options = Options {
            key,
            bytes,
            frame: frame.map(|it| Frame::new([it])),
            deadline: stays.map(|ms| self.now + ms as u32 * MS),
        };
        let may_follow = self.model.may_follow(&options.frame, key, bytes);
        let entered = self.state.may_enter(&options, self.now);
        assert_eq!(entered.is_ok(), may_follow && !self.closing);
        if entered.is_err() {
            return;
        }
        let number = self.tickets.len() as u64;
        let waits = Waits {
            number,
            key,
            frame: options.frame.clone(),
            bytes,
            arrived: self.now,
            deadline: options.deadline,
            kept_apart: false,
        };
        self.model.overflow.push(waits);
        self.model.admit();
        let entry = Entry {
            item: number,
            key,
            bytes,
            frame: options.frame,
            arrived: self.now,
            deadline: options.deadline,
        };
        self.tickets.push(self.state.push(entry, None).0);
    }

    fn end(&mut self, parked: bool) {
        if self.in_flight == 0 {
            return;
        }
        self.in_flight -= 1;
        if parked {
            self.state.park(Load::default());
            let whom = self.parked.last().map_or(0, |last| last + 1);
            self.state.line_up(whom, false);
            self.parked.push(whom);
        }
        self.state.free_slot(false, self.now);
    }

    fn step(&mut self, step: Step) {
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
            Step::End { parked } => self.end(parked),
            Step::Pass { ms } => self.now += ms as u32 * MS,
            Step::Flush => {
                assert_eq!(self.state.flush(), self.model.all().count());
                self.flush_below = self.tickets.len() as u64;
            }
            Step::Cap { items, ms } => {
                let until = self.now + ms as u32 * MS;
                let items = Some(Ceiling { most: items, until });
                self.cap = Cap { items, bytes: None };
                self.state.cap(self.cap);
            }
            Step::Close => {
                self.state.close();
                self.closing = true;
            }
        }
        self.advance();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn ready_frames_take_turns_and_nothing_waits_for_nothing(
        steps in steps(),
        interval in prop_oneof![3 => Just(0), 1 => 1..6_u64],
    ) {
        let mut world = World::new(interval as u32 * MS);
        for step in steps {
            world.step(step);
        }
        // The end: everything leaves, and nothing is left behind.
        while !world.model.queue.is_empty() || world.in_flight > 0 {
            world.step(Step::Close);
            world.step(Step::Pass { ms: 6 });
            world.step(Step::End { parked: false });
        }
        prop_assert_eq!(world.state.backlog.turns(), 0);
        prop_assert_eq!(world.state.backlog.queue.frames.sizes().0, 0);
        prop_assert!(world.state.backlog.queue.frames.are_unchanged());
    }
}
