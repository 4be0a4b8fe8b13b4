//! Each rule with figures that call for it, and with figures that just don't.

use super::*;

fn limits() -> Limits {
    Limits {
        max_size: 100,
        max_wait_ms: 5.0,
        adaptive_wait: false,
        adaptive_in_flight: false,
        queue_jobs: 10_000,
        idempotent: false,
    }
}

/// Batches of 60 jobs that leave on `wait`, from 200 callers.
fn figures() -> Figures {
    let mut reasons = [0; FlushReason::ALL.len()];
    reasons[FlushReason::Wait as usize] = 100;
    Figures {
        jobs: 6_000,
        batches: 100,
        batch_jobs: 6_000,
        fill: 0.6,
        reasons,
        outcomes: vec![(Code::Ok, 6_000)],
        slots_busy: 0.0,
        wait_ms: [3.0, 5.2],
        upstream_ms: [9.0, 20.0],
        queue_jobs: 60,
        kept_apart: 0,
        retries: 0,
        splits: 0,
        slots: 10,
        connections: 200,
        circuit_open: false,
    }
}

fn reason(reason: FlushReason, batches: u64) -> [u64; FlushReason::ALL.len()] {
    let mut reasons = [0; FlushReason::ALL.len()];
    reasons[reason as usize] = batches;
    reasons
}

fn said(figures: &Figures, limits: &Limits) -> Vec<(Kind, String)> {
    let advice = advise(figures, limits);
    advice.into_iter().map(|it| (it.kind, it.text)).collect()
}

#[test]
fn where_nothing_stands_out_that_is_said() {
    let text = "Nothing stands out: 60 jobs to a batch, 60 % full; callers wait 3 ms for their batch \
                and 9 ms for the upstream.";
    assert_eq!(said(&figures(), &limits()), [(Kind::Good, text.to_owned())]);
}

#[test]
fn every_rule_has_its_sentence() {
    let base = figures;
    for (figures, limits, kind, setting, sentence) in [
        (
            Figures {
                jobs: 0,
                batches: 0,
                ..base()
            },
            limits(),
            Kind::Hint,
            Some("server.listen"),
            "No job came in the last minute. Send one: `POST /jobs` on `server.listen`, with a body such as `{\"id\":\"1\"}`.",
        ),
        (
            Figures {
                circuit_open: true,
                ..base()
            },
            limits(),
            Kind::Problem,
            Some("circuit.failures"),
            "The circuit is open: the upstream has failed `circuit.failures` times in a row, and jobs are refused until a probing batch is answered. Look at the last failed batches.",
        ),
        (
            Figures {
                kept_apart: 4_500,
                ..base()
            },
            limits(),
            Kind::Hint,
            None,
            "4500 jobs had to wait for another of the same `id`, 75 % of those that came: two jobs of one `id` never share a batch. Give each job an `id` of its own.",
        ),
        (
            Figures {
                fill: 0.07,
                batch_jobs: 700,
                ..base()
            },
            limits(),
            Kind::Hint,
            Some("batch.wait"),
            "100 % of batches leave on `wait`, 7 % full: callers pay 5 ms for little company. `batch.wait = \"adaptive\"` would spare it, a longer `batch.max_wait` find more.",
        ),
        (
            Figures {
                slots_busy: 0.96,
                wait_ms: [40.0, 80.0],
                ..base()
            },
            limits(),
            Kind::Problem,
            Some("upstream.max_in_flight"),
            "All 10 slots are taken 96 % of the time, and jobs wait 40 ms for one: the upstream limits you, or raise `upstream.max_in_flight`.",
        ),
        (
            Figures {
                slots_busy: 0.96,
                wait_ms: [40.0, 80.0],
                ..base()
            },
            Limits {
                adaptive_in_flight: true,
                ..limits()
            },
            Kind::Problem,
            Some("upstream.max_in_flight"),
            "All 10 slots are taken 96 % of the time, and jobs wait 40 ms for one: the upstream limits you, and more would make it slower.",
        ),
        (
            Figures {
                connections: 32,
                batch_jobs: 3_000,
                ..base()
            },
            limits(),
            Kind::Hint,
            Some("batch.max_size"),
            "32 connections with a job each can never fill batches of 100: the mean is 30. More callers would, or several jobs at a time by HTTP/2.",
        ),
        (
            Figures {
                queue_jobs: 8_000,
                ..base()
            },
            limits(),
            Kind::Problem,
            Some("queue.max_jobs"),
            "8000 jobs waited at once, 80 % of `queue.max_jobs`: beyond that they are refused. More comes in than the upstream takes.",
        ),
        (
            Figures {
                retries: 20,
                ..base()
            },
            limits(),
            Kind::Hint,
            Some("retry.max_attempts"),
            "20 batches were sent again in the last minute, 20 % of those that left: callers wait longer for it, and the upstream works more.",
        ),
        (
            Figures {
                splits: 7,
                ..base()
            },
            limits(),
            Kind::Hint,
            Some("batch.max_size"),
            "7 batches were sent again in halves: where the upstream answers 413 to large ones, a lower `batch.max_size` or `batch.max_bytes` spares that.",
        ),
        (
            Figures {
                reasons: reason(FlushReason::Bytes, 40),
                ..base()
            },
            limits(),
            Kind::Hint,
            Some("batch.max_bytes"),
            "40 % of batches leave because the next job would exceed `batch.max_bytes`: raise it if the upstream takes more.",
        ),
        (
            Figures {
                reasons: reason(FlushReason::Size, 90),
                fill: 1.0,
                ..base()
            },
            limits(),
            Kind::Good,
            Some("batch.max_size"),
            "90 % of batches leave full, with 100 jobs: a larger `batch.max_size` pays if the upstream takes more at once.",
        ),
        (
            Figures {
                reasons: reason(FlushReason::Idle, 100),
                wait_ms: [0.04, 0.1],
                ..base()
            },
            limits(),
            Kind::Good,
            Some("batch.wait"),
            "100 % of batches leave at once because nobody is worth waiting for: callers wait 0 ms for their batch.",
        ),
    ] {
        let advice = advise(&figures, &limits);
        let expected = Advice {
            kind,
            text: sentence.to_owned(),
            setting,
        };
        assert_eq!(advice, [expected]);
    }
}

#[test]
fn failures_are_told_by_what_most_of_them_are() {
    for (code, setting, words) in [
        (
            Code::UpstreamUnreachable,
            Some("upstream.url"),
            "nobody answers there",
        ),
        (
            Code::UpstreamConnectTimeout,
            Some("upstream.url"),
            "nobody answers there",
        ),
        (
            Code::UpstreamTimeout,
            Some("upstream.timeout"),
            "needs longer",
        ),
        (
            Code::DeadlineExceeded,
            Some("upstream.timeout"),
            "needs longer",
        ),
        (
            Code::UpstreamOverloaded,
            Some("upstream.idempotent"),
            "asks for patience",
        ),
        (
            Code::UpstreamRejectedBatch,
            Some("upstream.split_on"),
            "one bad job",
        ),
        (Code::UpstreamAuth, Some("upstream.headers"), "credentials"),
        (Code::QueueTimeout, Some("server.request_timeout"), "expire"),
        (Code::ResultMissing, None, "look at the last failed batches"),
    ] {
        let outcomes = vec![(Code::Ok, 88), (code, 10), (Code::Internal, 2)];
        let advice = advise(
            &Figures {
                outcomes,
                ..figures()
            },
            &limits(),
        );
        assert_eq!(
            (advice[0].kind, advice[0].setting),
            (Kind::Problem, setting)
        );
        let start = format!("12 % of jobs fail, most with `{code}`: ");
        assert!(advice[0].text.starts_with(&start), "{advice:?}");
        assert!(advice[0].text.contains(words), "{advice:?}");
    }
    let idempotent = Limits {
        idempotent: true,
        ..limits()
    };
    let outcomes = vec![(Code::UpstreamOverloaded, 1)];
    let advice = advise(
        &Figures {
            outcomes,
            ..figures()
        },
        &idempotent,
    );
    assert_eq!(advice[0].setting, Some("upstream.max_in_flight"));
}

#[test]
fn what_only_comes_near_is_not_said() {
    let fine = said(&figures(), &limits());
    for (what, figures, limits) in [
        (
            "a job's own fault",
            Figures {
                outcomes: vec![(Code::JobError, 50), (Code::Ok, 50)],
                ..figures()
            },
            limits(),
        ),
        (
            "few failures",
            Figures {
                outcomes: vec![(Code::Ok, 1000), (Code::UpstreamError, 9)],
                ..figures()
            },
            limits(),
        ),
        (
            "busy slots without a wait",
            Figures {
                slots_busy: 0.96,
                ..figures()
            },
            limits(),
        ),
        (
            "a filling queue",
            Figures {
                queue_jobs: 7_999,
                ..figures()
            },
            limits(),
        ),
        (
            "many jobs on a connection",
            Figures {
                connections: 10,
                ..figures()
            },
            limits(),
        ),
        (
            "one retry",
            Figures {
                retries: 0,
                splits: 4,
                ..figures()
            },
            limits(),
        ),
    ] {
        assert_eq!(said(&figures, &limits), fine, "{what}");
    }
    let adaptive = Limits {
        adaptive_wait: true,
        ..limits()
    };
    let lonely = Figures {
        fill: 0.07,
        ..figures()
    };
    assert_eq!(advise(&lonely, &adaptive).len(), 1);
    assert_eq!(advise(&lonely, &adaptive)[0].kind, Kind::Good);
}

#[test]
fn what_presses_most_is_said_first() {
    let figures = Figures {
        outcomes: vec![(Code::UpstreamTimeout, 1)],
        reasons: reason(FlushReason::Size, 100),
        retries: 50,
        ..figures()
    };
    let kinds: Vec<_> = advise(&figures, &limits())
        .iter()
        .map(|it| it.kind)
        .collect();
    assert_eq!(kinds, [Kind::Problem, Kind::Hint, Kind::Good]);
}

#[test]
fn shares_and_times_read_well() {
    for (value, text) in [
        (0.0, "0 %"),
        (0.001, "under 1 %"),
        (0.5, "50 %"),
        (0.999, "over 99 %"),
        (1.0, "100 %"),
    ] {
        assert_eq!(percent(value), text);
    }
    for (value, text) in [
        (0.04, "0 ms"),
        (1.26, "1.3 ms"),
        (40.4, "40 ms"),
        (30_000.0, "30 s"),
    ] {
        assert_eq!(ms(value), text);
    }
}
