//! Who has a slot that both lanes want, as tables.

use super::*;
use crate::policy::FlushReason;

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_table_of_lanes() {
    use Action::{Leave, LeaveFull, Nothing, Resume, Until};
    use Lane::{Callers, Detached};
    let now = Instant::now();
    let (wait, drain) = (Leave(FlushReason::Wait), Leave(FlushReason::Drain));
    let (soon, later) = (Until(now + MS), Until(now + 2 * MS));
    let (young, old) = (Some(now - 9 * MS), Some(now - 10 * MS));
    for (what, callers, detached, oldest, let_pass, lane) in [
        ("nothing waits", Nothing, Nothing, None, false, Callers),
        ("callers alone", wait, Nothing, None, false, Callers),
        (
            "detached items alone",
            Nothing,
            wait,
            young,
            false,
            Detached,
        ),
        ("resuming alone", Nothing, Resume, young, false, Detached),
        (
            "callers have time",
            later,
            LeaveFull,
            young,
            false,
            Detached,
        ),
        (
            "detached items have time",
            wait,
            soon,
            young,
            false,
            Callers,
        ),
        (
            "whose time comes first",
            later,
            soon,
            young,
            false,
            Detached,
        ),
        ("or the other's", soon, later, young, false, Callers),
        ("or both at a time", soon, soon, young, false, Callers),
        ("both full", LeaveFull, LeaveFull, young, false, Callers),
        ("both resume", Resume, Resume, young, false, Callers),
        (
            "full goes not before",
            wait,
            LeaveFull,
            young,
            false,
            Callers,
        ),
        ("nor resuming", wait, Resume, young, false, Callers),
        ("nor at the end", drain, drain, young, false, Callers),
        (
            "nor once let pass while young",
            wait,
            wait,
            young,
            true,
            Callers,
        ),
        ("nor by its age", wait, wait, old, false, Callers),
        ("but by turns", wait, wait, old, true, Detached),
        ("resuming too", Resume, Resume, old, true, Detached),
        ("that has time", wait, soon, old, true, Callers),
    ] {
        let lanes = Lanes {
            let_pass,
            ..Lanes::new(MS)
        };
        let wishes = Wishes {
            callers,
            detached,
            detached_oldest: oldest,
        };
        assert_eq!(lanes.next(&wishes, now), lane, "{what}");
    }
}

/// As long as both are ready at each slot.
#[test]
fn the_old_have_every_other_slot() {
    let now = Instant::now();
    let ready = Action::Leave(FlushReason::Wait);
    for (age, detached) in [(9, 0), (10, 5), (1_000, 5)] {
        let wishes = Wishes {
            callers: ready,
            detached: ready,
            detached_oldest: Some(now - age * MS),
        };
        let mut lanes = Lanes::new(MS);
        let slots: Vec<_> = std::iter::repeat_with(|| {
            let lane = lanes.next(&wishes, now);
            lanes.left(lane, &wishes, now);
            lane
        })
        .take(10)
        .collect();
        assert_eq!(slots[0], Lane::Callers);
        let count = slots.iter().filter(|&&it| it == Lane::Detached).count();
        assert_eq!(count, detached, "{age} ms");
    }
}
