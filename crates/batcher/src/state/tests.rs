//! What is decided, against a naive model that looks at everything that waits.

use std::time::Duration;

use proptest::prelude::*;

use super::two_lanes::{self, Then, TwoLanes};
use super::world::{Item, MS, Step, World};
use crate::settings::Wait;

fn item() -> impl Strategy<Value = Item> {
    let frame = prop::option::weighted(0.7, 0..3_u8);
    let keys = prop_oneof![
        3 => Just(vec![]),
        2 => prop::collection::vec(0..3_u64, 1),
        1 => prop::collection::vec(0..4_u64, 2..4),
    ];
    let weight = prop_oneof![5 => Just(1), 1 => 2..5_usize];
    let stays = prop::option::weighted(0.5, 0..60_u64);
    let item = (frame, keys, weight, (1..12_usize, 1..14_usize), stays);
    item.prop_map(
        |(frame, keys, weight, (bytes, bytes_in_batch), stays)| Item {
            frame,
            keys,
            weight,
            bytes,
            bytes_in_batch,
            stays,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bounds = (prop::option::of(1..3_usize), prop::option::of(1..30_usize));
    let step = prop_oneof![
        12 => item().prop_map(Step::Push),
        1 => (0..8_usize).prop_map(Step::Cancel),
        4 => (0..3_usize, prop::option::weighted(0.4, any::<bool>()))
            .prop_map(|(which, parked_as_half)| Step::End { which, parked_as_half }),
        4 => (0..9_u64).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Flush),
        1 => (bounds, 1..20_u64).prop_map(|((items, bytes), ms)| Step::Cap { items, bytes, ms }),
        1 => (1..5_usize).prop_map(|slots| Step::Slots { slots }),
        1 => any::<bool>().prop_map(|anybody_left| Step::Company { anybody_left }),
        1 => prop::bool::weighted(0.05).prop_map(|close| match close {
            true => Step::Close,
            false => Step::Flush,
        }),
    ];
    prop::collection::vec(step, 1..120)
}

/// With detached items, of so many frames and no more steps of time than `longest`.
fn steps_of_both(frames: u8, longest: u64) -> impl Strategy<Value = Vec<two_lanes::Step>> {
    use two_lanes::Step;
    let bounds = (prop::option::of(1..3_usize), prop::option::of(1..30_usize));
    let item = move || {
        item().prop_map(move |item| Item {
            frame: item.frame.filter(|&it| it < frames),
            ..item
        })
    };
    let then = prop_oneof![
        4 => Just(Then::Answered),
        2 => any::<bool>().prop_map(|half| Then::Parked { half }),
        2 => Just(Then::PutBack),
    ];
    let step = prop_oneof![
        8 => item().prop_map(Step::Push),
        8 => (item(), prop_oneof![3 => Just(0), 1 => 0..30_u64], prop::bool::weighted(0.1))
            .prop_map(|(item, ms_before, alone)| Step::Detach { item, ms_before, alone }),
        1 => (0..8_usize).prop_map(Step::Cancel),
        2 => (0..8_usize).prop_map(Step::Withdraw),
        6 => (0..3_usize, then).prop_map(|(which, then)| Step::End { which, then }),
        5 => (0..longest).prop_map(|ms| Step::Pass { ms }),
        1 => prop::option::of(0..20_u64).prop_map(|ms| Step::Hold { ms }),
        1 => Just(Step::Flush),
        1 => (bounds, 1..20_u64).prop_map(|((items, bytes), ms)| Step::Cap { items, bytes, ms }),
        1 => (1..5_usize).prop_map(|slots| Step::Slots { slots }),
        1 => any::<bool>().prop_map(|anybody_left| Step::Company { anybody_left }),
        1 => prop::bool::weighted(0.05).prop_map(|close| match close {
            true => Step::Close,
            false => Step::Flush,
        }),
    ];
    prop::collection::vec(step, 1..120)
}

fn wait(adaptive: bool) -> Wait {
    match adaptive {
        true => Wait::Adaptive,
        false => Wait::Fixed,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn callers_wait_for_nothing_detached(
        steps in steps_of_both(3, 9),
        interval in prop_oneof![3 => Just(0), 1 => 1..6_u64],
        adaptive in any::<bool>(),
        slots in 1..5_usize,
    ) {
        // Nothing gets ten times as old within these steps.
        let max_wait = 100 * MS;
        let mut world = TwoLanes::new(interval as u32 * MS, wait(adaptive), slots, max_wait, true);
        for step in steps {
            world.step(step);
        }
        world.end_all();
    }

    #[test]
    fn old_detached_items_take_turns_with_callers(
        steps in steps_of_both(1, 4),
        slots in 1..3_usize,
    ) {
        let mut world = TwoLanes::new(Duration::ZERO, Wait::Fixed, slots, MS, false);
        for step in steps {
            world.step(step);
        }
        world.end_all();
    }

    #[test]
    fn ready_frames_take_turns_and_nothing_waits_for_nothing(
        steps in steps(),
        interval in prop_oneof![3 => Just(0), 1 => 1..6_u64],
        adaptive in any::<bool>(),
    ) {
        let mut world = World::new(interval as u32 * MS, wait(adaptive));
        for step in steps {
            world.step(step);
        }
        // The end: everything leaves, and nothing is left behind.
        while !world.is_over() {
            world.step(Step::Close);
            world.step(Step::Pass { ms: 6 });
            world.step(Step::End { which: 0, parked_as_half: None });
        }
        world.nothing_is_left_behind();
    }
}
