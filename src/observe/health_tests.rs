//! What is said of the last seconds, and what of it is worse.

use Code::{JobError, Ok, UpstreamRejectedJob as Rejected, UpstreamTimeout as Timeout};
use Kind::{Good, Hint, Problem};

use super::*;

const PRESENT: Present = Present {
    queue_jobs: 10_000,
    circuit: "closed",
    ready: true,
};

fn recent(seconds: impl Into<Vec<Second>>) -> Recent {
    Recent {
        date: 1_000.5,
        seconds: seconds.into(),
        ..Recent::default()
    }
}

fn second(t: u64, outcomes: &[(Code, u64)], refused: u64) -> Second {
    let mut second = Second::new(t);
    second.counts.refused = refused;
    for &(code, count) in outcomes {
        second.outcomes[code] = count;
    }
    second
}

#[track_caller]
fn says(recent: &Recent, present: &Present, kind: Kind, state: &str, text: &str) {
    let health = Health::of(recent, present);
    let found = (health.kind, health.state, &*health.text);
    assert_eq!(found, (kind, state, text), "{recent:?}");
}

#[test]
fn jobs_that_fail_are_told_by_their_share() {
    type Row<'a> = (&'a [(Code, u64)], u64, u64, Kind, &'a str, &'a str);
    let both = "75 % of jobs fail or are refused";
    let departures = "10 % of callers leave unanswered";
    let table: [Row<'_>; 10] = [
        (&[(Ok, 9)], 0, 0, Good, "ready", "ready"),
        (&[(Ok, 9), (JobError, 9)], 0, 0, Good, "ready", "ready"),
        (&[(Timeout, 9)], 0, 0, Problem, "outage", "every job fails"),
        (&[(Rejected, 9)], 0, 0, Problem, "outage", "no job succeeds"),
        (&[], 9, 0, Problem, "outage", "every job is refused"),
        (&[(Ok, 1), (Timeout, 1)], 2, 0, Problem, "failing", both),
        (
            &[(Ok, 1)],
            1,
            0,
            Problem,
            "failing",
            "50 % of jobs are refused",
        ),
        (
            &[(Ok, 999), (Timeout, 1)],
            0,
            0,
            Hint,
            "failing",
            "some jobs fail",
        ),
        (&[(Ok, 999)], 1, 0, Hint, "failing", "some jobs are refused"),
        (&[(Ok, 9)], 0, 1, Problem, "departures", departures),
    ];
    for (outcomes, refused, departed, kind, state, text) in table {
        let mut second = second(999, outcomes, refused);
        second.counts.departed = departed;
        says(&recent([second]), &PRESENT, kind, state, text);
    }
}

/// Each is worse than those before it, and all are true in the end.
#[test]
fn the_worst_is_said() {
    let (mut recent, mut present) = (recent([]), PRESENT);
    present.ready = false;
    says(&recent, &present, Hint, "draining", "draining");
    present.circuit = "probing";
    says(
        &recent,
        &present,
        Hint,
        "circuit-probing",
        "circuit probing",
    );
    (
        recent.moment.batcher.in_flight,
        recent.moment.batcher.queued,
    ) = (1, 1);
    says(
        &recent,
        &present,
        Problem,
        "no-answer",
        "no job answered in 10 s",
    );
    recent.seconds = vec![second(999, &[(Ok, 999), (Timeout, 1)], 0)];
    says(&recent, &present, Hint, "failing", "some jobs fail");
    recent.moment.batcher.queued = 10_000;
    says(
        &recent,
        &present,
        Problem,
        "queue-full",
        "the queue is full",
    );
    recent.moment.batcher.waiting_for_room = 1;
    says(
        &recent,
        &present,
        Problem,
        "queue-full",
        "1 job waits for room",
    );
    recent.moment.batcher.waiting_for_room = 2;
    says(
        &recent,
        &present,
        Problem,
        "queue-full",
        "2 jobs wait for room",
    );
    recent.seconds = vec![second(999, &[(Timeout, 1)], 0)];
    says(&recent, &present, Problem, "outage", "every job fails");
    present.circuit = "open";
    let text = "circuit open, jobs are refused";
    says(&recent, &present, Problem, "circuit-open", text);
}

/// Those for later count as jobs that ended, and are no callers who stay.
#[test]
fn jobs_for_later_that_fail_are_told_too() {
    let mut second = second(999, &[(Ok, 9)], 0);
    second.later.finished[Timeout] = 9;
    second.counts.departed = 1;
    let text = "10 % of callers leave unanswered";
    says(
        &recent([second.clone()]),
        &PRESENT,
        Problem,
        "departures",
        text,
    );
    second.counts.departed = 0;
    let text = "50 % of jobs fail";
    says(
        &recent([second.clone()]),
        &PRESENT,
        Problem,
        "failing",
        text,
    );
    second.outcomes[Ok] = 0;
    let text = "every job fails";
    says(&recent([second.clone()]), &PRESENT, Problem, "outage", text);
    second.t = 900;
    let text = "the last job failed, none answered since";
    says(&recent([second]), &PRESENT, Problem, "failing", text);
}

#[test]
fn a_failing_store_is_a_hint_and_the_least_of_them() {
    let mut second = second(999, &[(Ok, 999)], 0);
    second.counts.store_errors = 1;
    let text = "the store of jobs for later fails";
    says(
        &recent([second.clone()]),
        &PRESENT,
        Hint,
        "store-failing",
        text,
    );
    second.outcomes[Timeout] = 1;
    says(
        &recent([second]),
        &PRESENT,
        Hint,
        "failing",
        "some jobs fail",
    );
}

#[test]
fn a_failure_stands_until_a_job_is_answered_again() {
    let (failed, ok) = ([(Timeout, 1)], [(Ok, 1)]);
    let text = "the last job failed, none answered since";
    let long_ago = [
        second(900, &ok, 0),
        second(980, &failed, 0),
        Second::new(985),
    ];
    says(&recent(long_ago), &PRESENT, Problem, "failing", text);
    let since = [second(980, &failed, 0), second(985, &ok, 0)];
    says(&recent(since), &PRESENT, Good, "ready", "ready");
}

#[test]
fn now_is_ten_seconds_and_the_running_one() {
    for (t, state) in [(989, "failing"), (990, "outage"), (1_000, "outage")] {
        let health = Health::of(&recent([second(t, &[(Timeout, 1)], 0)]), &PRESENT);
        assert_eq!(health.state, state, "{t}");
    }
}

#[test]
fn of_several_routes_the_worst_is_told_by_its_name() {
    let of = |seconds: Vec<Second>, circuit| {
        let present = Present { circuit, ..PRESENT };
        Health::of(&recent(seconds), &present)
    };
    let well = || of(vec![second(1_000, &[(Ok, 9)], 0)], "closed");
    let some = || of(vec![second(1_000, &[(Ok, 9), (Timeout, 9)], 0)], "closed");
    let dead = || of(vec![second(1_000, &[(Timeout, 9)], 0)], "closed");
    let open = || of(Vec::new(), "open");
    let table = [
        (vec![("a", dead())], "every job fails", None),
        (vec![("a", well()), ("b", well())], "ready", None),
        (
            vec![("a", well()), ("b", dead())],
            "b: every job fails",
            Some("b"),
        ),
        (
            vec![("a", some()), ("b", dead()), ("c", open()), ("d", well())],
            "c: circuit open, jobs are refused, and 2 other routes are in trouble",
            Some("c"),
        ),
    ];
    for (routes, text, route) in table {
        let worst = Health::worst(routes).unwrap();
        assert_eq!((&*worst.text, worst.route.as_deref()), (text, route));
    }
    // It is the process that drains.
    let draining = || {
        Health::of(
            &recent([]),
            &Present {
                ready: false,
                ..PRESENT
            },
        )
    };
    let worst = Health::worst([("a", draining()), ("b", draining())]).unwrap();
    assert_eq!((&*worst.text, worst.route), ("draining", None));
}
