//! The queue against a naive model.

use std::time::Duration;

use proptest::prelude::*;

use super::entry::*;
use super::load::{OVERFLOW_BYTES, OVERFLOW_ITEMS};
use super::model::*;
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
    Pass {
        ms: u64,
    },
    Park {
        items: usize,
        bytes: usize,
    },
    Unpark {
        items: usize,
    },
    Clear,
}

/// None in one of five cases.
fn sometimes<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.8, of)
}

/// None, or one of two.
fn frames() -> impl Strategy<Value = Option<u8>> {
    prop::option::weighted(0.6, 0..2_u8)
}

/// Keys, weight and sizes.
pub(super) fn options() -> impl Strategy<Value = Options> {
    let keys = prop_oneof![
        1 => Just(vec![]),
        3 => prop::collection::vec(0..4_u64, 1),
        2 => prop::collection::vec(0..5_u64, 2..4),
    ];
    let weight = prop_oneof![3 => Just(1), 1 => 2..6_usize];
    let options = (keys, weight, 1..30_usize, 1..32_usize);
    options.prop_map(|(keys, weight, bytes, in_batch)| {
        let options = Options::default().keys(keys).weight(weight);
        options.bytes(bytes).bytes_in_batch(in_batch)
    })
}

/// Of a batch, which an item may exceed alone by its weight.
pub(super) fn bounds() -> impl Strategy<Value = Extent> {
    (1..5_usize, 32..60_usize).prop_map(|(weight, bytes)| Extent { weight, bytes })
}

fn of(frame: Option<u8>) -> Option<Frame> {
    frame.map(|it| Frame::new([it]))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (frames(), options(), sometimes(0..40_u64))
            .prop_map(|(frame, options, lives)| Step::Push { frame, options, lives }),
        2 => (0..8_usize).prop_map(|one_in| Step::Remove { one_in }),
        2 => (frames(), bounds()).prop_map(|(frame, bounds)| Step::Take { frame, bounds }),
        1 => (0..30_u64).prop_map(|ms| Step::Pass { ms }),
        1 => (1..4_usize, 1..30_usize).prop_map(|(items, bytes)| Step::Park { items, bytes }),
        2 => (1..4_usize).prop_map(|items| Step::Unpark { items }),
        1 => Just(Step::Clear),
    ]
}

fn numbers(entries: &[(Entry<Number>, Room)]) -> Vec<(Number, Room)> {
    entries.iter().map(|(it, room)| (it.item, *room)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_queue_does_as_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let mut now = Instant::now();
        let mut queue = Queue::new(&settings());
        let mut model = Model::default();
        let mut tickets = Vec::new();
        for step in steps {
            match step {
                Step::Push { frame, options, lives } => {
                    let number = queue.next_number();
                    let mut entry = Entry::new(number, options, now);
                    entry.frame = of(frame);
                    entry.deadline = lives.map(|ms| now + Duration::from_millis(ms));
                    let (frame, bytes) = (entry.frame.clone(), entry.bytes);
                    let may_follow = model.may_follow(&frame, &entry.keys, bytes);
                    prop_assert_eq!(queue.may_follow(frame.as_ref(), &entry.keys, bytes), may_follow);
                    if !may_follow {
                        continue;
                    }
                    let room = model.overflow.is_empty() && model.fits(bytes);
                    prop_assert_eq!(queue.has_room(bytes), room);
                    model.overflow.push(Waits::of(&entry, number));
                    model.admit();
                    let at = if room { Room::Queue } else { Room::Overflow };
                    let (ticket, entered) = queue.push(entry, None);
                    prop_assert_eq!((ticket.number, entered), (number, at));
                    tickets.push(ticket);
                }
                Step::Remove { one_in } => {
                    let all = model.queue.iter().chain(&model.overflow);
                    // Or one whose place may be another's by then.
                    let number = all.map(|it| it.number).nth(one_in).unwrap_or_default();
                    let ticket = tickets.get(number as usize);
                    let removed: Vec<_> = ticket.and_then(|&it| queue.remove(it)).into_iter().collect();
                    prop_assert_eq!(numbers(&removed), model.remove(|it| it.number == number));
                }
                Step::Take { frame, bounds } => {
                    let frame = of(frame);
                    let full = model.full(&frame, bounds);
                    let front = queue.front(frame.as_ref(), bounds);
                    prop_assert_eq!(front.is_some_and(|it| it.full), full.is_some());
                    let (taken, found) = queue.take(frame.as_ref(), bounds);
                    prop_assert_eq!(found, full);
                    let taken: Vec<_> = taken.iter().map(|it| it.item).collect();
                    let expected = model.take(&frame, bounds);
                    let expected: Vec<_> = expected.iter().map(|it| it.number).collect();
                    prop_assert_eq!(taken, expected);
                }
                Step::Pass { ms } => {
                    now += Duration::from_millis(ms);
                    let mut expired = numbers(&queue.expire(now, usize::MAX));
                    expired.sort_by_key(|&(number, _)| number);
                    prop_assert_eq!(expired, model.remove(|it| it.is_due(now)));
                }
                Step::Park { items, bytes } => {
                    queue.park(Load { items, bytes: items * bytes });
                    model.parked.extend(std::iter::repeat_n(bytes, items));
                }
                Step::Unpark { items } => {
                    let last = model.parked.len().saturating_sub(items);
                    queue.unpark(model.parked.drain(last..).map(Load::one).sum());
                    model.admit();
                }
                Step::Clear => {
                    // As when closing: nobody is let in any more.
                    let cleared = numbers(&queue.clear());
                    let queued = model.queue.drain(..).map(|it| (it.number, Room::Queue));
                    let overflow = model.overflow.drain(..).map(|it| (it.number, Room::Overflow));
                    prop_assert_eq!(cleared, queued.chain(overflow).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(queue.items(), model.queue.len());
            prop_assert_eq!(queue.load(), model.load());
            prop_assert_eq!(queue.followers, model.followers());
            prop_assert_eq!(queue.overflow(), model.overflow.len());
            prop_assert_eq!(queue.entered(), model.entered);
            for frame in [None, Some(0), Some(1)].map(of) {
                let mut queued = model.queue.iter().filter(|it| it.frame == frame);
                let front = queue.front(frame.as_ref(), Extent::default());
                prop_assert_eq!(
                    front.and_then(|it| it.oldest).map(|(number, _)| number),
                    queued.next().map(|it| it.number)
                );
                let waiting = model.all().filter(|it| it.frame == frame);
                let hurried = waiting.clone().filter_map(Waits::hurried).min();
                prop_assert_eq!(front.and_then(|it| it.hurried), hurried);
                // Made with the first item and gone with the last.
                let there = frame.is_none() || waiting.count() > 0;
                prop_assert_eq!(front.is_some(), there);
            }
            let deadlines = model.all().filter_map(|it| it.deadline);
            prop_assert_eq!(queue.earliest_deadline(), deadlines.min());
            prop_assert_eq!(queue.kept_apart(), model.kept_apart);
        }
    }
}

fn extent(weight: usize, bytes: usize) -> Extent {
    Extent { weight, bytes }
}

#[test]
fn the_overflow_is_bounded_too() {
    let mut queue = Queue::new(&Settings {
        queue_items: 1,
        queue_bytes: 10,
        ..Settings::default()
    });
    let now = Instant::now();
    let options = |item| Options::default().key(item).bytes(10).deadline(now);
    let entry = |item: u64| Entry::new(item, options(item), now);
    let mut tickets = Vec::new();
    for item in 0..=OVERFLOW_ITEMS as u64 {
        assert!(queue.overflow_has_room(10));
        tickets.push(queue.push(entry(item), None).0);
    }
    assert!(!queue.overflow_has_room(10));
    queue.remove(tickets[5]);
    assert!(queue.overflow_has_room(OVERFLOW_BYTES - 10 * (OVERFLOW_ITEMS - 1)));
    assert!(!queue.overflow_has_room(OVERFLOW_BYTES - 10 * (OVERFLOW_ITEMS - 1) + 1));
    // Who enters the queue is no longer in the overflow.
    queue.take(None, extent(1, 10));
    assert!(queue.overflow_has_room(OVERFLOW_BYTES - 10 * (OVERFLOW_ITEMS - 2)));
}

/// So that submitting costs no more while a full batch waits for its time.
#[test]
fn whether_a_batch_is_full_is_known_without_looking_at_what_waits() {
    const MANY: u64 = 50_000;
    let mut queue = Queue::new(&Settings {
        queue_items: MANY as usize,
        ..Settings::default()
    });
    let now = Instant::now();
    for item in 0..MANY {
        let options = Options::default().key(item).bytes(10);
        let options = options.deadline(now + MAX_WAIT);
        queue.push(Entry::new(item, options, now), None);
    }
    let visits = queue.visits();
    for (max_size, max_bytes, full) in [
        (MANY as usize, usize::MAX, true),
        (MANY as usize + 1, usize::MAX, false),
        (MANY as usize, 10 * MANY as usize - 1, true),
        (MANY as usize + 1, 10 * MANY as usize, false),
    ] {
        let front = queue.frames.get(None);
        let bounds = extent(max_size, max_bytes);
        assert_eq!(front.map(|it| it.is_full(bounds)), Some(full));
    }
    assert_eq!(queue.visits(), visits);
    assert!(visits <= MANY, "each looked at once when it came, at most");
}

/// A hundred thousand frames, a thousand at a time, then all at once.
#[test]
fn frames_that_are_gone_leave_nothing_behind() {
    const MANY: usize = 100_000;
    let mut queue = Queue::new(&Settings {
        queue_items: MANY,
        ..Settings::default()
    });
    let now = Instant::now();
    let push = |queue: &mut Queue<usize>, item: usize| {
        let options = Options::default().keys([item as u64, MANY as u64 + item as u64]);
        let options = options.frame(Frame::new(item.to_le_bytes())).bytes(10);
        let entry = Entry::new(item, options.deadline(now), now);
        queue.push(entry, None).0
    };
    for together in [1_000, MANY] {
        for first in (0..MANY).step_by(together) {
            let items = first..first + together;
            let tickets: Vec<_> = items.clone().map(|it| push(&mut queue, it)).collect();
            assert_eq!(queue.frames.sizes().0, together);
            for (item, ticket) in items.zip(tickets) {
                let taken = match item % 3 {
                    0 => queue.remove(ticket).map(|(entry, _)| entry),
                    1 => {
                        let frame = Frame::new(item.to_le_bytes());
                        queue.take(Some(&frame), extent(10, 1_000)).0.pop()
                    }
                    _ => continue,
                };
                assert_eq!(taken.unwrap().item, item);
            }
            queue.expire(now, usize::MAX);
            drop(queue.frames.take_changes());
        }
        let (frames, room) = queue.frames.sizes();
        assert_eq!((frames, queue.items()), (0, 0));
        assert!(room <= 200, "room for {room} frames is kept");
        let items = queue.capacity();
        assert!(items <= SPARE, "room for {items} items is kept");
    }
}

#[test]
fn a_burst_leaves_no_room_behind() {
    const MANY: usize = 100_000;
    let mut queue = Queue::new(&Settings {
        queue_items: MANY,
        ..Settings::default()
    });
    let now = Instant::now();
    for item in 0..MANY {
        let options = Options::default().key(item as u64).bytes(1);
        let options = options.deadline(now + MAX_WAIT);
        queue.push(Entry::new(item, options, now), None);
    }
    assert!(queue.capacity() >= MANY);
    assert_eq!(queue.take(None, extent(MANY, MANY)).0.len(), MANY);
    let room = queue.capacity();
    assert!(room <= SPARE, "room for {room} items is kept");
}

/// What can't ride is behind so many others, or not.
#[test]
fn the_search_for_riders_is_bounded() {
    for (passed_over, rides) in [(0, 1), (63, 1), (64, 0), (50_000, 0)] {
        let mut queue = Queue::unbounded(&Settings::default());
        let now = Instant::now();
        let entry = |item: u64, bytes: usize| {
            let options = Options::default().key(item).bytes(bytes);
            Entry::new(item, options, now)
        };
        for item in 0..passed_over {
            queue.push(entry(item, 1_000), None);
        }
        queue.push(entry(passed_over, 1), None);
        let visits = queue.visits();
        let others = [entry(100_000, 1)];
        let riders = queue.take_riders(None, &others, extent(100, 500));
        assert_eq!(riders.len(), rides, "{passed_over}");
        assert!(queue.visits() - visits <= 65);
        // Those that were passed over are where they were.
        let (next, _) = queue.take(None, extent(1, 1_000));
        let first = if passed_over > 0 { vec![0] } else { vec![] };
        assert_eq!(next.iter().map(|it| it.item).collect::<Vec<_>>(), first);
    }
}
