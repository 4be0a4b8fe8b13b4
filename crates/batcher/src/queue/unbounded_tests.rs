//! The queue that always has room, whose items ride along and come back, against the same
//! naive model.

use std::time::Duration;

use proptest::prelude::*;

use super::entry::*;
use super::model::*;
use super::tests::{bounds, options};
use super::*;
use crate::options::Options;

#[derive(Clone, Debug)]
enum Step {
    Push {
        frame: Option<u8>,
        options: Options,
        lives: Option<u64>,
    },
    Remove {
        one_in: usize,
    },
    Take {
        frame: Option<u8>,
        bounds: Extent,
    },
    Ride {
        frame: Option<u8>,
        others: Vec<Options>,
        bounds: Extent,
    },
    PutBack {
        one_in: usize,
    },
    Pass {
        ms: u64,
    },
    Clear,
}

fn frame() -> impl Strategy<Value = Option<u8>> {
    prop::option::weighted(0.6, 0..2_u8)
}

fn step() -> impl Strategy<Value = Step> {
    let others = prop::collection::vec(options(), 0..3);
    let wide = (1..8_usize, 20..100_usize).prop_map(|(weight, bytes)| Extent { weight, bytes });
    prop_oneof![
        6 => (frame(), options(), prop::option::weighted(0.8, 0..40_u64))
            .prop_map(|(frame, options, lives)| Step::Push { frame, options, lives }),
        2 => (0..8_usize).prop_map(|one_in| Step::Remove { one_in }),
        2 => (frame(), bounds()).prop_map(|(frame, bounds)| Step::Take { frame, bounds }),
        2 => (frame(), others, wide)
            .prop_map(|(frame, others, bounds)| Step::Ride { frame, others, bounds }),
        4 => (0..8_usize).prop_map(|one_in| Step::PutBack { one_in }),
        1 => (0..30_u64).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Clear),
    ]
}

fn of(frame: Option<u8>) -> Option<Frame> {
    frame.map(|it| Frame::new([it]))
}

fn entry(waits: &Waits) -> Entry<Number> {
    waits.entry(waits.number)
}

fn numbers<'a>(entries: impl IntoIterator<Item = &'a Entry<Number>>) -> Vec<Number> {
    entries.into_iter().map(|it| it.item).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_unbounded_queue_does_as_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let mut now = Instant::now();
        let mut queue = Queue::unbounded(&settings());
        let mut model = Model::default();
        let (mut tickets, mut away) = (Vec::new(), Vec::<Waits>::new());
        for step in steps {
            match step {
                Step::Push { frame, options, lives } => {
                    let number = queue.next_number();
                    let mut entry = Entry::new(number, options, now);
                    entry.frame = of(frame);
                    entry.deadline = lives.map(|ms| now + Duration::from_millis(ms));
                    model.put_back(Waits::of(&entry, number));
                    let (ticket, room) = queue.push(entry, None);
                    prop_assert_eq!((ticket.number, room), (number, Room::Queue));
                    tickets.push(ticket);
                }
                Step::Remove { one_in } => {
                    // Or one that is away, whose place may be another's by then.
                    let all = model.queue.iter().chain(&away);
                    let number = all.map(|it| it.number).nth(one_in).unwrap_or_default();
                    let ticket = tickets.get(number as usize);
                    let removed = ticket.and_then(|&it| queue.remove(it));
                    let removed: Vec<_> = removed.map(|(it, room)| (it.item, room)).into_iter().collect();
                    prop_assert_eq!(removed, model.remove(|it| it.number == number));
                }
                Step::Take { frame, bounds } => {
                    let frame = of(frame);
                    let (taken, _) = queue.take(frame.as_ref(), bounds);
                    let expected = model.take(&frame, bounds);
                    prop_assert_eq!(numbers(&taken), expected.iter().map(|it| it.number).collect::<Vec<_>>());
                    away.extend(expected);
                }
                Step::Ride { frame, others, bounds } => {
                    let frame = of(frame);
                    let beside = others.into_iter().map(|it| {
                        let mut entry = Entry::new(Number::MAX, it, now);
                        entry.frame = frame.clone();
                        entry
                    });
                    let beside: Vec<_> = beside.collect();
                    let others: Vec<_> = beside.iter().map(|it| Waits::of(it, Number::MAX)).collect();
                    let riders = queue.take_riders(frame.as_ref(), &beside, bounds);
                    let expected = model.take_riders(&frame, &others, bounds);
                    prop_assert_eq!(numbers(&riders), expected.iter().map(|it| it.number).collect::<Vec<_>>());
                    away.extend(expected);
                }
                Step::PutBack { one_in } if one_in < away.len() => {
                    let waits = away.remove(one_in);
                    let (ticket, item) = queue.put_back(waits.number, entry(&waits));
                    prop_assert_eq!((ticket.number, *item), (waits.number, waits.number));
                    tickets[waits.number as usize] = ticket;
                    model.put_back(waits);
                }
                Step::PutBack { .. } => {}
                Step::Pass { ms } => {
                    now += Duration::from_millis(ms);
                    let expired = queue.expire(now, usize::MAX);
                    let mut expired: Vec<_> = expired.into_iter().map(|(it, room)| (it.item, room)).collect();
                    expired.sort_by_key(|&(number, _)| number);
                    prop_assert_eq!(expired, model.remove(|it| it.is_due(now)));
                }
                Step::Clear => {
                    let cleared = queue.clear();
                    let cleared: Vec<_> = cleared.into_iter().map(|(it, room)| (it.item, room)).collect();
                    prop_assert_eq!(cleared, model.remove(|_| true));
                }
            }
            prop_assert_eq!((queue.items(), queue.overflow()), (model.queue.len(), 0));
            prop_assert_eq!(queue.load(), model.load());
            prop_assert_eq!(queue.followers, model.followers());
            let deadlines = model.queue.iter().filter_map(|it| it.deadline);
            prop_assert_eq!(queue.earliest_deadline(), deadlines.min());
            for frame in [None, Some(0), Some(1)].map(of) {
                let waiting = model.queue.iter().filter(|it| it.frame == frame);
                let bounds = Extent { weight: 3, bytes: 40 };
                let front = queue.front(frame.as_ref(), bounds);
                prop_assert_eq!(front.is_some(), frame.is_none() || waiting.clone().count() > 0);
                let oldest = front.and_then(|it| it.oldest);
                let first = waiting.clone().next().map(|it| (it.number, it.arrived));
                prop_assert_eq!(oldest, first);
                let hurried = waiting.filter_map(Waits::hurried).min();
                prop_assert_eq!(front.and_then(|it| it.hurried), hurried);
                let full = model.full(&frame, bounds).is_some();
                prop_assert_eq!(front.is_some_and(|it| it.full), full);
            }
        }
    }
}
