//! When a batch leaves, as tables.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Half of a wait of 10 ms has passed; nobody asked for anything.
fn view(now: Instant) -> View {
    View {
        oldest: Some(now - 5 * MS),
        hurried: None,
        full: false,
        flushing: false,
        closing: false,
        max_wait: 10 * MS,
        wait: Wait::Fixed,
        company: Company {
            anybody_left: true,
            gap: None,
            last_arrival: now,
        },
    }
}

#[test]
fn the_table_of_reasons() {
    use Action::{Leave, LeaveFull, Nothing, Until};
    let now = Instant::now();
    let base = view(now);
    let overdue = Some(now - 10 * MS);
    let later = now + 3 * MS;
    for (what, view, action) in [
        (
            "nothing waits",
            View {
                oldest: None,
                closing: true,
                flushing: true,
                ..base
            },
            Nothing,
        ),
        ("there is time", base, Until(now + 5 * MS)),
        ("full", View { full: true, ..base }, LeaveFull),
        (
            "waited",
            View {
                oldest: overdue,
                ..base
            },
            Leave(FlushReason::Wait),
        ),
        (
            "another's deadline is near",
            View {
                hurried: Some(later),
                ..base
            },
            Until(later),
        ),
        (
            "another's deadline is as near as it may be",
            View {
                hurried: Some(now),
                ..base
            },
            Leave(FlushReason::Wait),
        ),
        (
            "another's deadline is near, but the oldest waits no longer for it",
            View {
                hurried: Some(now + 8 * MS),
                ..base
            },
            Until(now + 5 * MS),
        ),
        (
            "no wait at all",
            View {
                oldest: Some(now),
                max_wait: Duration::ZERO,
                ..base
            },
            Leave(FlushReason::Wait),
        ),
        (
            "flush",
            View {
                flushing: true,
                ..base
            },
            Leave(FlushReason::Flush),
        ),
        (
            "closing",
            View {
                closing: true,
                ..base
            },
            Leave(FlushReason::Drain),
        ),
        (
            "full goes before waited",
            View {
                full: true,
                oldest: overdue,
                ..base
            },
            LeaveFull,
        ),
        (
            "waited goes before flush",
            View {
                oldest: overdue,
                flushing: true,
                ..base
            },
            Leave(FlushReason::Wait),
        ),
        (
            "closing goes before full",
            View {
                closing: true,
                full: true,
                ..base
            },
            Leave(FlushReason::Drain),
        ),
    ] {
        assert_eq!(decide(&view, now), action, "{what}");
    }
}

#[test]
fn what_goes_for_all_frames() {
    use Action::{Leave, LeaveFull, Nothing, Resume, Until};
    let now = Instant::now();
    let (wait, drain) = (Leave(FlushReason::Wait), Leave(FlushReason::Drain));
    let later = now + 3 * MS;
    let over = Until(now + 5 * MS);
    for (what, ready_to_resume, not_before, next, action) in [
        ("nothing waits", false, None, Nothing, Nothing),
        ("the frames' choice", false, None, wait, wait),
        ("a parked batch goes first", true, None, LeaveFull, Resume),
        ("when closing too", true, None, drain, Resume),
        ("a parked batch resumes alone", true, None, Nothing, Resume),
        (
            "an interval holds a parked one up",
            true,
            Some(later),
            wait,
            Until(later),
        ),
        (
            "an interval holds all up",
            false,
            Some(later),
            drain,
            Until(later),
        ),
        (
            "even what waits longer",
            false,
            Some(later),
            over,
            Until(later),
        ),
        (
            "an interval holds up nothing",
            false,
            Some(later),
            Nothing,
            Nothing,
        ),
        ("an interval that is over", false, Some(now), over, over),
    ] {
        let gate = Gate {
            ready_to_resume,
            not_before,
        };
        assert_eq!(gate.pass(next, now), action, "{what}");
    }
}

#[test]
fn half_of_a_short_time_is_the_upstreams() {
    let now = Instant::now();
    for (time, waits) in [(0, 0), (1, 0), (10, 5), (19, 9), (20, 10), (1_000, 10)] {
        let micros = Duration::from_micros;
        let longest = longest_wait(now, Some(now + micros(time)), micros(10));
        let half = micros(time) / 2;
        assert_eq!(longest, half.min(micros(10)), "{time} µs");
        assert_eq!(longest.as_micros(), waits);
    }
    assert_eq!(longest_wait(now, Some(now - MS), MS), Duration::ZERO);
    assert_eq!(longest_wait(now, None, MS), MS);
}

#[test]
fn the_adaptive_wait() {
    use Action::{Leave, LeaveFull, Until};
    let now = Instant::now();
    let adaptive = View {
        wait: Wait::Adaptive,
        ..view(now)
    };
    let company = |anybody_left, gap: Option<u32>, silent: u32| View {
        company: Company {
            anybody_left,
            gap: gap.map(|ms| ms * MS),
            last_arrival: now - silent * MS,
        },
        ..adaptive
    };
    let idle = Leave(FlushReason::Idle);
    for (what, view, action) in [
        ("nobody left to wait for", company(false, Some(1), 0), idle),
        (
            "nothing known of arrivals",
            company(true, None, 0),
            Until(now + 5 * MS),
        ),
        ("the next comes too late", company(true, Some(5), 0), idle),
        (
            "the next may come",
            company(true, Some(1), 0),
            Until(now + 4 * MS),
        ),
        (
            "the next is late",
            company(true, Some(1), 3),
            Until(now + MS),
        ),
        ("the next is not coming", company(true, Some(1), 4), idle),
        (
            "no longer than the next is expected in time",
            company(true, Some(3), 0),
            Until(now + 2 * MS),
        ),
        (
            "nor than a deadline allows",
            View {
                hurried: Some(now + MS),
                ..company(true, None, 0)
            },
            Until(now + MS),
        ),
        (
            "full goes first",
            View {
                full: true,
                ..company(false, None, 0)
            },
            LeaveFull,
        ),
        (
            "waited goes first",
            View {
                oldest: Some(now - 10 * MS),
                ..company(false, None, 0)
            },
            Leave(FlushReason::Wait),
        ),
        (
            "idle goes before flush",
            View {
                flushing: true,
                ..company(false, None, 0)
            },
            idle,
        ),
        (
            "flush goes before waiting",
            View {
                flushing: true,
                ..company(true, Some(1), 0)
            },
            Leave(FlushReason::Flush),
        ),
    ] {
        assert_eq!(decide(&view, now), action, "{what}");
    }
}
