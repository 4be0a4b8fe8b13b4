use super::*;

const NOW: Millis = 1_000_000;

fn route(is_idempotent: bool) -> Route {
    Route {
        batch: BatchSize {
            items: 10,
            bytes: 1_000,
            max_wait: Duration::from_millis(500),
        },
        is_idempotent,
        max_attempts: 3,
    }
}

/// A few jobs that wait since so long ago, and are answered after so long.
fn few(age: Millis) -> Waiting {
    Waiting {
        jobs: 3,
        items: 3,
        bytes: 30,
        oldest: Some(NOW - age),
        deadline: Some(NOW + 60_000),
        lapses: None,
    }
}

fn ask(ready: bool, which: Which, until: Millis) -> Next {
    let until = Some(until);
    Next::Ask {
        ready,
        which,
        until,
    }
}

#[test]
fn the_table_of_what_is_next() {
    let batch = Which::Batch { due: NOW - 500 };
    let overdue = Next::Answer(Which::Overdue { now: NOW });
    let end = NOW + 60_000;
    let nothing = Waiting::default();
    let deadline = Some(NOW);
    for (case, waiting, idempotent, flushed, expected) in [
        ("nothing", nothing, false, None, Next::Rest { until: None }),
        (
            "nothing here, and another process has some",
            Waiting {
                lapses: Some(NOW + 7),
                ..nothing
            },
            false,
            None,
            Next::Rest {
                until: Some(NOW + 7),
            },
        ),
        (
            "nothing, though all was flushed",
            nothing,
            false,
            Some(NOW),
            Next::Rest { until: None },
        ),
        (
            "few and young",
            few(100),
            false,
            None,
            ask(false, batch, NOW + 400),
        ),
        ("due", few(500), false, None, ask(true, batch, end)),
        (
            "as many as fill a batch",
            Waiting {
                items: 10,
                ..few(0)
            },
            false,
            None,
            ask(true, batch, end),
        ),
        (
            "as much as fills a batch",
            Waiting {
                bytes: 1_000,
                ..few(0)
            },
            false,
            None,
            ask(true, batch, end),
        ),
        (
            "flushed",
            few(100),
            false,
            Some(NOW - 100),
            ask(true, Which::Any, end),
        ),
        (
            "flushed before",
            few(100),
            false,
            Some(NOW - 101),
            ask(false, batch, NOW + 400),
        ),
        (
            "ahead by no more than they may wait, as by another's clock",
            Waiting {
                oldest: Some(NOW + 500),
                ..few(0)
            },
            false,
            None,
            ask(false, batch, NOW + 1_000),
        ),
        (
            "ahead by more, since the clock was set back",
            Waiting {
                oldest: Some(NOW + 501),
                ..few(0)
            },
            false,
            None,
            ask(true, Which::Any, end),
        ),
        (
            "overdue",
            Waiting {
                deadline,
                ..few(100)
            },
            false,
            None,
            overdue,
        ),
        (
            "overdue, and interrupted",
            Waiting {
                deadline,
                lapses: Some(0),
                ..few(100)
            },
            false,
            None,
            overdue,
        ),
        (
            "interrupted, not to be sent again",
            Waiting {
                lapses: Some(NOW),
                ..few(0)
            },
            false,
            None,
            Next::Answer(Which::Any),
        ),
        (
            "interrupted, to be sent again",
            Waiting {
                lapses: Some(NOW),
                ..few(0)
            },
            true,
            None,
            ask(true, Which::Any, end),
        ),
        (
            "interrupted alone",
            Waiting {
                lapses: Some(0),
                ..nothing
            },
            true,
            None,
            Next::Ask {
                ready: true,
                which: Which::Any,
                until: None,
            },
        ),
        (
            "another process's lapse before they are due",
            Waiting {
                lapses: Some(NOW + 3),
                ..few(100)
            },
            true,
            None,
            ask(false, batch, NOW + 3),
        ),
        (
            "their end before they are due",
            Waiting {
                deadline: Some(NOW + 2),
                ..few(100)
            },
            true,
            None,
            ask(false, batch, NOW + 2),
        ),
    ] {
        let found = next(&waiting, NOW, &route(idempotent), flushed);
        assert_eq!(found, expected, "{case}");
    }
}

/// Whatever waits, there is something that ends the wait, and it is yet to come: no claimer
/// spins, and none sleeps over anything.
#[test]
fn a_time_to_look_again_is_yet_to_come() {
    for jobs in [0, 1] {
        let times = [None, Some(NOW - 600), Some(NOW), Some(NOW + 1)];
        for oldest in times {
            for deadline in times {
                for lapses in times {
                    let waiting = Waiting {
                        jobs,
                        oldest,
                        deadline,
                        lapses,
                        ..Waiting::default()
                    };
                    for is_idempotent in [false, true] {
                        let until = match next(&waiting, NOW, &route(is_idempotent), None) {
                            Next::Rest { until } | Next::Ask { until, .. } => until,
                            Next::Answer(_) => continue,
                        };
                        assert!(until.is_none_or(|it| it > NOW), "{waiting:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_table_of_fates() {
    use NotSent::{AttemptsExhausted, Interrupted, Overdue, OverdueOnceSent};
    use Recovered as As;
    let answered = Fate::Answered;
    let alone = Fate::Sent(Leaves::Alone);
    let in_time = Fate::Sent(Leaves::InTime);
    for (interrupted, overdue, idempotent, expected) in [
        (0, false, false, (in_time, None)),
        (0, false, true, (in_time, None)),
        (0, true, false, (answered(Overdue), None)),
        (0, true, true, (answered(Overdue), None)),
        (
            1,
            false,
            false,
            (answered(Interrupted), Some(As::Interrupted)),
        ),
        (
            1,
            true,
            false,
            (answered(Interrupted), Some(As::Interrupted)),
        ),
        (1, false, true, (alone, Some(As::QueuedAgain))),
        (2, false, true, (alone, Some(As::QueuedAgain))),
        (1, true, true, (answered(OverdueOnceSent), None)),
        (
            3,
            false,
            true,
            (answered(AttemptsExhausted), Some(As::AttemptsExhausted)),
        ),
        (
            4,
            true,
            true,
            (answered(AttemptsExhausted), Some(As::AttemptsExhausted)),
        ),
    ] {
        let found = fate(interrupted, overdue, Leaves::InTime, &route(idempotent));
        assert_eq!(found, expected, "{interrupted} {overdue} {idempotent}");
    }
}
