//! What is decided, against a naive model that looks at everything that waits.

use proptest::prelude::*;

use super::world::{Item, MS, Step, World};
use crate::settings::Wait;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let frame = || prop::option::weighted(0.7, 0..3_u8);
    let key = || prop::option::weighted(0.5, 0..3_u64);
    let stays = || prop::option::weighted(0.5, 0..60_u64);
    let item = (frame(), key(), 1..12_usize, stays());
    let bounds = (prop::option::of(1..3_usize), prop::option::of(1..30_usize));
    let step = prop_oneof![
        12 => item.prop_map(|(frame, key, bytes, stays)| Step::Push(Item { frame, key, bytes, stays })),
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn ready_frames_take_turns_and_nothing_waits_for_nothing(
        steps in steps(),
        interval in prop_oneof![3 => Just(0), 1 => 1..6_u64],
        adaptive in any::<bool>(),
    ) {
        let wait = match adaptive {
            true => Wait::Adaptive,
            false => Wait::Fixed,
        };
        let mut world = World::new(interval as u32 * MS, wait);
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
