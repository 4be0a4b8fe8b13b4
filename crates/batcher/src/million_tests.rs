//! A million detached items.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::queue::Entry;
use crate::state::{Moment, State};

const MANY: u64 = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);

fn entry(item: u64, arrived: Instant) -> Entry<u64> {
    let options = Options::default().key(item).bytes(100);
    Entry::new(item, options.deadline(arrived + 3600 * SECOND), arrived)
}

fn settings() -> Settings {
    Settings {
        max_bytes: 10_050,
        max_in_flight: 1,
        ..Settings::default()
    }
}

fn backlog(items: u64, now: Instant) -> State<u64, ()> {
    let mut state = State::new(&settings(), now);
    for item in 0..items {
        state.push_detached(entry(item, now));
    }
    state
}

/// With the one slot taken and with it free, with batches that are full of callers and
/// batches that have room, whose keys the first of the detached items have.
#[test]
fn a_backlog_costs_callers_no_look_at_it() {
    let mut now = Instant::now();
    let mut state = backlog(MANY, now);
    let moment = |now| Moment {
        now,
        anybody_left: true,
    };
    // A batch of detached items is full, and takes the slot.
    assert_eq!(state.advance(moment(now)).departures.len(), 1);
    let (mut most_a_push, mut most_a_step) = (0, 0);
    for round in 0..100 {
        let callers = [150, 30][round % 2];
        for item in 0..callers {
            let before = state.visits();
            state.push(entry(100 + item, now), None);
            state.pushed(0, moment(now));
            most_a_push = most_a_push.max(state.visits() - before);
        }
        now += Duration::from_millis(5);
        for _ in 0..2 {
            let before = state.visits();
            state.free_slot(false, now);
            let left = state.advance(moment(now)).departures;
            most_a_step = most_a_step.max(state.visits() - before);
            assert_eq!(left.len(), 1);
        }
    }
    assert!(most_a_push <= 8, "{most_a_push} looks for an item");
    // A batch, what is passed over, and what both lanes are asked.
    assert!(
        most_a_step <= 100 + 64 + 16,
        "{most_a_step} looks for a batch"
    );
}

/// How long one step takes at most while there are so many, and how much memory each
/// takes up. `cargo test -p microbatch-batcher --lib --
/// --ignored --nocapture a_million`, with `--config
/// profile.dev.package.microbatch-batcher.opt-level=3` for times that mean something.
#[test]
#[ignore = "a measurement"]
fn a_million_steps() {
    let now = Instant::now();
    let mut longest = [Duration::ZERO; 5];
    let time = |longest: &mut Duration, step: &mut dyn FnMut()| {
        let start = busy();
        step();
        *longest = (*longest).max(busy() - start);
    };
    let mut state: State<u64, ()> = State::new(&settings(), now);
    let mut tickets = Vec::new();
    for item in 0..MANY {
        let mut ticket = None;
        time(&mut longest[0], &mut || {
            ticket = Some(state.push_detached(entry(item, now)));
        });
        tickets.extend(ticket);
    }
    for item in (0..MANY / 2).map(|it| it * 2 + 1) {
        let ticket = tickets[item as usize];
        time(&mut longest[1], &mut || {
            state.withdraw(ticket);
        });
    }
    let mut left = Vec::new();
    let moment = Moment {
        now,
        anybody_left: true,
    };
    for _ in 0..MANY / 400 {
        time(&mut longest[2], &mut || {
            left.extend(state.advance(moment).departures);
        });
        state.free_slot(false, now);
    }
    for entry in left.drain(..).flat_map(|it| it.entries).rev() {
        let mut entry = Some(entry);
        time(&mut longest[3], &mut || {
            let entry = entry.take().unwrap();
            state.put_back(entry.item, entry).unwrap();
        });
    }
    let later = Moment {
        now: now + 3600 * SECOND,
        ..moment
    };
    while state.snapshot(0, now).detached_queued > 100 {
        time(&mut longest[4], &mut || drop(state.advance(later)));
    }
    for (what, longest) in ["push", "withdraw", "leave", "put back", "expire"]
        .iter()
        .zip(longest)
    {
        println!("{what}: {longest:?} at most");
    }
}

/// How long this thread was on a processor, to the millisecond or so.
fn busy() -> Duration {
    let all = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(all.split_whitespace().next().unwrap().parse().unwrap())
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with("VmRSS:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_million_items_in_memory() {
    let batcher: Batcher<u64, u64> = Batcher::with_batches(settings(), |_| async {});
    batcher.hold_detached(Some(Instant::now() + 3600 * SECOND));
    let mut detached = Vec::with_capacity(MANY as usize);
    detached.resize_with(MANY as usize, || None);
    let before = resident();
    for item in 0..MANY {
        let deadline = Instant::now() + 3600 * SECOND;
        let options = Options::default().key(item.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let options = options.bytes(8).deadline(deadline);
        let on_answer: OnAnswer<u64> = Box::new(move |answer| drop((item, answer)));
        detached[item as usize] = batcher.submit_detached(item, options, on_answer).ok();
    }
    let each = (resident() - before) as f64 / MANY as f64;
    println!(
        "{each:.0} bytes a detached item of 8 bytes, its handle's {} and its callback's 8 among them",
        size_of::<Detached<u64, u64>>()
    );
    let start = std::time::Instant::now();
    detached.iter().flatten().for_each(Detached::withdraw);
    println!("withdrawn in {:?}", start.elapsed());
}
