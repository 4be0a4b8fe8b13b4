//! Each situation with the sentence that it is to have first, figures that just don't
//! call for one, and sentences that must not stand beside each other.

use uuid::Uuid;

use super::*;
use crate::batcher::FlushReason;
use crate::code::Code;
use crate::fault::Unsound;
use crate::observe::live::Failures;
use crate::observe::{FailedAnswer, RecordBounds};

/// What is said of a process with the route `jobs` alone.
pub(super) fn advise(figures: &Figures, limits: &Limits) -> Vec<Advice> {
    let jobs = Subject {
        route: "jobs",
        figures,
        limits,
    };
    super::advise(&[jobs], figures, &[], SystemTime::now())
}

pub(super) fn limits() -> Limits {
    Limits {
        max_size: 100,
        max_wait_ms: 5.0,
        adaptive_wait: false,
        adaptive_in_flight: false,
        queue_jobs: 10_000,
        waits_for_room: false,
        idempotent: false,
        upstream_timeout_ms: 10_000.0,
        request_timeout_ms: 30_000.0,
        later: Some(BacklogLimits {
            store: RecordBounds {
                records: 100_000,
                bytes: 1 << 30,
            },
            max_wait_ms: 1_000.0,
            keep_ms: 3_600_000.0,
            job_timeout_ms: 3_600_000.0,
        }),
    }
}

/// Jobs for later that have waited for long.
pub(super) fn old() -> Backlog {
    Backlog {
        queued: 4_000,
        oldest_ms: 42_000.0,
        ..Backlog::default()
    }
}

/// More of them than there is room for.
pub(super) fn full() -> Backlog {
    Backlog {
        queued: 1_000,
        finished: 99_000,
        store_full: 7,
        ..Backlog::default()
    }
}

/// Batches of 60 jobs that leave on `wait`, from 200 callers.
pub(super) fn figures() -> Figures {
    Figures {
        jobs: 6_000,
        refused: 0,
        queue_full: 0,
        batches: 100,
        batch_jobs: 6_000,
        fill: 0.6,
        reasons: reasons(FlushReason::Wait, 100),
        outcomes: vec![(Code::Ok, 6_000)],
        failures: Vec::new(),
        slots_busy: 0.0,
        wait_ms: [3.0, 5.2],
        upstream_ms: [9.0, 20.0],
        queue_jobs: 60,
        waiting_for_room: 0,
        kept_apart: 0,
        departed: 0,
        retries: 0,
        splits: 0,
        splits_too_large: 0,
        log_lines_dropped: 0,
        slots: 10,
        connections: 200,
        circuit_open: false,
        later: Some(Backlog::default()),
    }
}

pub(super) fn reasons(reason: FlushReason, batches: u64) -> [u64; FlushReason::ALL.len()] {
    let mut reasons = [0; FlushReason::ALL.len()];
    reasons[reason as usize] = batches;
    reasons
}

fn failure(outcome: Code, cause: &str, answer: Option<FailedAnswer>) -> Failures {
    Failures {
        route: None,
        outcome,
        answer,
        cause: cause.to_owned(),
        count: 1,
        jobs: 60,
        first: 0.0,
        t: 0.0,
        batch_id: Uuid::nil(),
        size: 60,
        duration_ms: 1.0,
    }
}

fn answer(status: u16, excerpt: &str) -> Option<FailedAnswer> {
    Some(FailedAnswer {
        upstream_status: status,
        excerpt: (!excerpt.is_empty()).then(|| excerpt.to_owned()),
        ..FailedAnswer::default()
    })
}

/// Every job comes to this.
fn all(failures: Failures) -> Figures {
    Figures {
        outcomes: vec![(failures.outcome, 6_000)],
        failures: vec![failures],
        ..figures()
    }
}

/// One job in eight does.
fn some(failures: Failures) -> Figures {
    Figures {
        outcomes: vec![(Code::Ok, 5_250), (failures.outcome, 750)],
        failures: vec![failures],
        ..figures()
    }
}

const NOTHING: &str = "Nothing gets through: 6000 of 6000 jobs failed in the last minute with";

/// Situations in which jobs fail: the figures, the first sentence, its setting.
fn failing() -> Vec<(Figures, String, Option<&'static str>)> {
    use Code::*;
    let location = Some(FailedAnswer {
        upstream_status: 308,
        location: Some("https://new.example/v2?…".to_owned()),
        ..FailedAnswer::default()
    });
    let gzip = Some(FailedAnswer {
        upstream_status: 200,
        content_encoding: Some("gzip".to_owned()),
        ..FailedAnswer::default()
    });
    let own = || failure(UpstreamRejectedJob, "status 404", answer(404, ""));
    let other_type = || {
        failure(
            ResultMissing,
            &Unsound::OtherType.to_string(),
            answer(200, ""),
        )
    };
    let rows: Vec<(Figures, &str, &str, Option<&'static str>)> = vec![
        (
            all(failure(
                UpstreamRejectedBatch,
                "status 404",
                answer(404, "{\"detail\":\"Not Found\"}"),
            )),
            NOTHING,
            "`upstream-rejected-batch`: the upstream answers 404 to every batch; check the path of `upstream.url`. It says: {\"detail\":\"Not Found\"}",
            Some("upstream.url"),
        ),
        (
            all(own()),
            NOTHING,
            "`upstream-rejected-job`: the upstream answers 404 to every batch; check the path of `upstream.url`.",
            Some("upstream.url"),
        ),
        (
            all(failure(
                UpstreamRejectedBatch,
                "status 422",
                answer(422, "want an object"),
            )),
            NOTHING,
            "`upstream-rejected-batch`: the upstream answers 422 to every batch; a batch is a `POST` of a JSON array of the jobs, so check that this is what `upstream.url` takes. It says: want an object",
            Some("upstream.url"),
        ),
        (
            some(failure(
                UpstreamRejectedBatch,
                "status 422",
                answer(422, ""),
            )),
            "12 % of jobs fail with",
            "`upstream-rejected-batch`: the upstream answers 422 to a whole batch, and takes others: one odd job may spoil its batch; with 422 in `upstream.split_on` it is found, and the others get their results.",
            Some("upstream.split_on"),
        ),
        (
            all(failure(UpstreamError, "status 500", answer(500, "boom"))),
            NOTHING,
            "`upstream-error`: the upstream answers 500: the fault is on its side, and its own log may say why. It says: boom",
            None,
        ),
        (
            all(failure(UpstreamError, "status 308", location)),
            NOTHING,
            "`upstream-error`: the upstream redirects (308) to `https://new.example/v2?…`, and redirects are not followed; set `upstream.url` to where it points.",
            Some("upstream.url"),
        ),
        (
            all(failure(UpstreamMalformed, "compressed (gzip)", gzip)),
            NOTHING,
            "`upstream-malformed`: the upstream's answers are compressed (`gzip`), which was not asked for; have it answer without a `Content-Encoding`.",
            None,
        ),
        (
            all(failure(
                UpstreamMalformed,
                "not an array but HTML or XML",
                answer(200, "<html>"),
            )),
            NOTHING,
            "`upstream-malformed`: the upstream's answer is not an array but HTML or XML; check that `upstream.url` is where batches are taken, and not a page. It says: <html>",
            Some("upstream.url"),
        ),
        (
            all(failure(
                UpstreamMalformed,
                "not an array but an object with an array in it: the results must be the whole answer",
                answer(200, ""),
            )),
            NOTHING,
            "`upstream-malformed`: the upstream's answer is not an array but an object with an array in it: the results must be the whole answer; have it answer with that array alone, or set `shape.results` to where it is.",
            Some("shape.results"),
        ),
        (
            all(failure(
                UpstreamMalformed,
                "no array at /predictions: the answer is an object",
                answer(200, ""),
            )),
            NOTHING,
            "`upstream-malformed`: the upstream's answer has no array at /predictions: the answer is an object; set `shape.results` to where its results are.",
            Some("shape.results"),
        ),
        (
            all(failure(
                UpstreamMalformed,
                "no array at /predictions: the answer is HTML or XML",
                answer(200, ""),
            )),
            NOTHING,
            "`upstream-malformed`: the upstream's answer has no array at /predictions: the answer is HTML or XML; check that `upstream.url` is where batches are taken, and not a page.",
            Some("upstream.url"),
        ),
        (
            all(failure(
                UpstreamMalformed,
                "not an array but an object",
                answer(200, ""),
            )),
            NOTHING,
            "`upstream-malformed`: the upstream's answer is not an array but an object; have it answer with an array of objects, each with the `id` of its job, or set `shape.results = \"none\"` if it gives no results.",
            Some("shape.results"),
        ),
        (
            all(other_type()),
            NOTHING,
            "`result-missing`: ids come back as another JSON type; have the upstream return each `id` as it came, 7 as `7` and \"7\" as `\"7\"`.",
            None,
        ),
        (
            all(failure(ResultMissing, "no result", answer(200, ""))),
            NOTHING,
            "`result-missing`: the upstream's answers have no result under the job's `id`; have it answer each job of a batch under that.",
            None,
        ),
        (
            some(failure(ResultAmbiguous, "", answer(200, ""))),
            "12 % of jobs fail with",
            "`result-ambiguous`: the upstream's answers have different results under one `id`; have it give one for each job.",
            None,
        ),
        (
            all(failure(
                ResultCount,
                "3 results for 4 items",
                answer(200, ""),
            )),
            NOTHING,
            "`result-count`: results find their jobs by their places, and 3 results for 4 items; have the upstream answer with one for each item.",
            None,
        ),
        (
            some(failure(ResultMalformed, "", answer(200, ""))),
            "12 % of jobs fail with",
            "`result-malformed`: results are not JSON, such as a bare `NaN`; have the upstream write what JSON knows.",
            None,
        ),
        (
            all(failure(UpstreamAuth, "status 401", answer(401, "no token"))),
            NOTHING,
            "`upstream-auth`: the upstream answers 401: it wants other credentials in `upstream.headers`. It says: no token",
            Some("upstream.headers"),
        ),
        (
            all(failure(UpstreamTooLarge, "status 413", answer(413, ""))),
            NOTHING,
            "`upstream-too-large`: the upstream answers 413 to a job alone; lower `server.max_body`, or have it take more.",
            Some("server.max_body"),
        ),
        (
            some(failure(UpstreamOverloaded, "status 429", answer(429, ""))),
            "12 % of jobs fail with",
            "`upstream-overloaded`: the upstream answers 429, it has too much to do; `upstream.max_in_flight = \"adaptive\"` finds what it bears, and with `upstream.idempotent` its batches would be sent again.",
            Some("upstream.max_in_flight"),
        ),
        (
            all(failure(
                UpstreamUnreachable,
                "no connection: Connection refused",
                None,
            )),
            NOTHING,
            "`upstream-unreachable`: nobody answers at `upstream.url` (no connection: Connection refused); check that the upstream runs, and that this is its address.",
            Some("upstream.url"),
        ),
        (
            all(failure(UpstreamConnectTimeout, "", None)),
            NOTHING,
            "`upstream-connect-timeout`: nobody answers at `upstream.url` within `upstream.connect_timeout`; check that the upstream runs, and that this is its address.",
            Some("upstream.url"),
        ),
        (
            some(failure(UpstreamTimeout, "", None)),
            "12 % of jobs fail with",
            "`upstream-timeout`: the upstream is slow, and has no complete answer within `upstream.timeout` (10 s); have it answer sooner, or raise that.",
            Some("upstream.timeout"),
        ),
        (
            some(failure(DeadlineExceeded, "", None)),
            "12 % of jobs fail with",
            "`deadline-exceeded`: the upstream is slow, and answers come later than callers wait (`server.request_timeout`, 30 s, or less by `Prefer`); have it answer sooner, or let them wait longer.",
            Some("server.request_timeout"),
        ),
        (
            some(failure(QueueTimeout, "", None)),
            "12 % of jobs fail with",
            "`queue-timeout`: jobs expire before a batch takes them: the upstream is too slow for what comes in.",
            Some("server.request_timeout"),
        ),
        (
            some(failure(
                UpstreamGatewayTimeout,
                "status 504",
                answer(504, ""),
            )),
            "12 % of jobs fail with",
            "`upstream-gateway-timeout`: the upstream answers 504: what it asks in turn is slow; have it answer sooner.",
            None,
        ),
        (
            some(failure(UpstreamDisconnected, "connection lost", None)),
            "12 % of jobs fail with",
            "`upstream-disconnected`: the upstream breaks the connection in the middle of a call (connection lost); its own log may say why.",
            None,
        ),
        (
            all(failure(UpstreamResponseTooLarge, "", answer(200, ""))),
            NOTHING,
            "`upstream-response-too-large`: its answers are larger than `upstream.max_response`; raise that, or lower `batch.max_size`.",
            Some("upstream.max_response"),
        ),
        (
            some(failure(Internal, "its processing panicked", None)),
            "12 % of jobs fail with",
            "`internal`: look at what failed last.",
            None,
        ),
        (
            Figures {
                outcomes: vec![(Ok, 500), (UpstreamError, 5_000), (CircuitOpen, 500)],
                ..all(failure(UpstreamError, "status 503", answer(500, "")))
            },
            "Hardly anything gets through: 5500 of 6000 jobs failed in the last minute, most with",
            "`upstream-error`: the upstream answers 500: the fault is on its side, and its own log may say why.",
            None,
        ),
        (
            Figures {
                outcomes: vec![(CircuitOpen, 1)],
                ..all(failure(UpstreamTimeout, "", None))
            },
            "Nothing gets through: 1 of 1 job failed in the last minute with",
            "`circuit-open`: the upstream is slow, and has no complete answer within `upstream.timeout` (10 s); have it answer sooner, or raise that.",
            Some("upstream.timeout"),
        ),
        (
            Figures {
                circuit_open: true,
                ..all(failure(UpstreamError, "status 500", answer(500, "boom")))
            },
            "The circuit is open: the upstream has failed `circuit.failures` times in a row, and jobs are refused until a probing batch is answered. It failed with",
            "`upstream-error`: the upstream answers 500: the fault is on its side, and its own log may say why. It says: boom",
            Some("circuit.failures"),
        ),
    ];
    rows.into_iter()
        .map(|(figures, start, sentence, setting)| {
            (figures, format!("{start} {sentence}"), setting)
        })
        .collect()
}

/// Situations in which they don't.
fn working() -> Vec<(Figures, Limits, Kind, Option<&'static str>, &'static str)> {
    use Kind::*;
    let base = figures;
    let waiting = Limits {
        waits_for_room: true,
        ..limits()
    };
    let adaptive = Limits {
        adaptive_wait: true,
        ..limits()
    };
    let unwaiting = Limits {
        max_wait_ms: 0.0,
        ..limits()
    };
    let busy = || Figures {
        slots_busy: 0.96,
        wait_ms: [40.0, 80.0],
        ..base()
    };
    let callers = |connections, mean: u64| Figures {
        connections,
        batch_jobs: mean * 100,
        fill: mean as f64 / 100.0,
        ..base()
    };
    vec![
        (
            base(),
            limits(),
            Good,
            None,
            "Nothing stands out: 60 jobs to a batch, 60 % full; callers wait 3 ms for their batch and 9 ms for the upstream.",
        ),
        (
            Figures {
                jobs: 0,
                batches: 0,
                outcomes: Vec::new(),
                ..base()
            },
            limits(),
            Hint,
            Some("server.listen"),
            "No job came in the last minute. Send one: `POST /jobs` on `server.listen`, with a body such as `{\"id\":\"1\"}`.",
        ),
        (
            Figures {
                jobs: 0,
                batches: 0,
                outcomes: Vec::new(),
                refused: 1,
                ..base()
            },
            limits(),
            Hint,
            Some("server.listen"),
            "No job was taken in the last minute, and 1 request was refused: each answer says why, and `jobs_refused_total` counts them by code.",
        ),
        (
            Figures {
                circuit_open: true,
                ..base()
            },
            limits(),
            Problem,
            Some("circuit.failures"),
            "The circuit is open: the upstream has failed `circuit.failures` times in a row, and jobs are refused until a probing batch is answered.",
        ),
        (
            Figures {
                kept_apart: 4_500,
                reasons: reasons(FlushReason::Idle, 100),
                ..callers(64, 1)
            },
            limits(),
            Problem,
            None,
            "4500 jobs had to wait for another of the same `id`, 75 % of those that came: two jobs of one `id` never share a batch. Give each job an `id` of its own.",
        ),
        (
            Figures {
                departed: 6_000,
                outcomes: Vec::new(),
                ..base()
            },
            limits(),
            Problem,
            Some("upstream.timeout"),
            "6000 of 6000 callers left before the upstream had answered: it takes longer than they wait, or hangs. See how long its answers take (`upstream_duration_seconds`), and give callers more time than `upstream.timeout`.",
        ),
        (
            Figures {
                departed: 2_000,
                outcomes: vec![(Code::Ok, 4_000)],
                ..base()
            },
            limits(),
            Problem,
            Some("upstream.timeout"),
            "2000 of 6000 callers left before the upstream had answered: it takes longer than they wait, or hangs. See how long its answers take (`upstream_duration_seconds`), and give callers more time than `upstream.timeout`.",
        ),
        (
            Figures {
                kept_apart: 100,
                ..base()
            },
            limits(),
            Hint,
            None,
            "100 jobs had to wait for another of the same `id`, 2 % of those that came: two jobs of one `id` never share a batch. Give each job an `id` of its own.",
        ),
        (
            callers(200, 7),
            limits(),
            Hint,
            Some("batch.wait"),
            "100 % of batches leave on `wait`, 7 % full: callers pay 5 ms for little company. `batch.wait = \"adaptive\"` would spare it, a longer `batch.max_wait` find more.",
        ),
        (
            callers(200, 1),
            unwaiting,
            Hint,
            Some("batch.max_wait"),
            "Batches leave without waiting for company, 1 % full with 1 job each: a longer `batch.max_wait` (0 ms now) would find more.",
        ),
        (
            callers(32, 30),
            limits(),
            Hint,
            Some("batch.wait"),
            "32 callers with a job each can't fill batches of 100: the mean is 30. More callers at a time would, or several jobs at a time from one, by HTTP/2. Nobody else comes while they wait 5 ms: `batch.wait = \"adaptive\"` would spare them that.",
        ),
        (
            callers(1, 1),
            adaptive,
            Hint,
            Some("batch.max_size"),
            "1 caller with a job each can't fill batches of 100: the mean is 1. More callers at a time would, or several jobs at a time from one, by HTTP/2.",
        ),
        (
            busy(),
            limits(),
            Problem,
            Some("upstream.max_in_flight"),
            "All 10 slots are taken 96 % of the time, and jobs wait 40 ms for one: the upstream limits you, with 9 ms for a batch. Have it answer sooner; raise `upstream.max_in_flight` if it bears more.",
        ),
        (
            Figures {
                slots: 1,
                reasons: reasons(FlushReason::Size, 100),
                ..busy()
            },
            Limits {
                adaptive_in_flight: true,
                ..limits()
            },
            Problem,
            Some("upstream.max_in_flight"),
            "The only slot is taken 96 % of the time, and jobs wait 40 ms for one: the upstream limits you, with 9 ms for a batch. Have it answer sooner; more slots would make it slower, or `batch.max_size` if it takes more at once.",
        ),
        (
            Figures {
                queue_jobs: 10_000,
                queue_full: 2_000,
                refused: 2_000,
                ..base()
            },
            limits(),
            Problem,
            Some("queue.max_jobs"),
            "2000 jobs were refused with `queue-full`, 25 % of those that came: 10000 jobs waited at once, and more comes in than the upstream takes.",
        ),
        (
            Figures {
                queue_jobs: 10_000,
                queue_full: 1,
                ..base()
            },
            waiting,
            Problem,
            Some("queue.max_jobs"),
            "1 job was refused with `queue-full`, under 1 % of those that came: no room came until their deadline, since more comes in than the upstream takes.",
        ),
        (
            Figures {
                queue_jobs: 10_000,
                waiting_for_room: 40,
                ..base()
            },
            waiting,
            Problem,
            Some("queue.max_jobs"),
            "40 jobs waited for room in the queue at once, beside 10000 jobs in it: callers wait longer, and none was refused. The queue is full, since more comes in than the upstream takes.",
        ),
        (
            Figures {
                queue_full: 2_000,
                ..base()
            },
            limits(),
            Problem,
            Some("queue.max_bytes"),
            "2000 jobs were refused with `queue-full`, 25 % of those that came: 60 jobs filled `queue.max_bytes`, and more comes in than the upstream takes.",
        ),
        (
            Figures {
                queue_jobs: 8_000,
                ..base()
            },
            limits(),
            Problem,
            Some("queue.max_jobs"),
            "8000 jobs waited at once, 80 % of `queue.max_jobs`: beyond that they are refused, and more comes in than the upstream takes.",
        ),
        (
            Figures {
                queue_jobs: 8_000,
                ..base()
            },
            waiting,
            Problem,
            Some("queue.max_jobs"),
            "8000 jobs waited at once, 80 % of `queue.max_jobs`: beyond that they wait for room, and more comes in than the upstream takes.",
        ),
        (
            Figures {
                retries: 1,
                ..base()
            },
            limits(),
            Hint,
            Some("retry.max_attempts"),
            "1 batch was sent again in the last minute, 1 % of those that left: callers wait longer for it, and the upstream works more.",
        ),
        (
            Figures {
                splits: 7,
                splits_too_large: 7,
                ..base()
            },
            limits(),
            Hint,
            Some("batch.max_size"),
            "7 batches were sent again in halves, since the upstream answers 413 to large ones: a lower `batch.max_size` or `batch.max_bytes` spares that.",
        ),
        (
            Figures {
                splits: 7,
                outcomes: vec![(Code::Ok, 5_999), (Code::UpstreamRejectedJob, 1)],
                ..base()
            },
            limits(),
            Hint,
            Some("upstream.split_on"),
            "7 batches were sent again in halves to find the jobs that the upstream refuses (`upstream.split_on`): 1 job was refused, and the others were done. Fewer odd jobs would spare calls.",
        ),
        (
            Figures {
                reasons: reasons(FlushReason::Bytes, 40),
                ..base()
            },
            limits(),
            Hint,
            Some("batch.max_bytes"),
            "40 % of batches leave because the next job would exceed `batch.max_bytes`: raise it if the upstream takes more.",
        ),
        (
            Figures {
                reasons: reasons(FlushReason::Size, 90),
                fill: 1.0,
                ..base()
            },
            limits(),
            Good,
            Some("batch.max_size"),
            "90 % of batches leave full, with 100 jobs: a larger `batch.max_size` pays if the upstream takes more at once.",
        ),
        (
            Figures {
                reasons: reasons(FlushReason::Idle, 100),
                wait_ms: [0.04, 0.1],
                ..base()
            },
            limits(),
            Good,
            Some("batch.wait"),
            "100 % of batches leave at once because nobody is worth waiting for: callers wait 0 ms for their batch.",
        ),
    ]
}

#[test]
fn the_table_of_situations_in_which_jobs_fail() {
    for (figures, text, setting) in failing() {
        let advice = advise(&figures, &limits());
        let kind = Kind::Problem;
        let expected = Advice {
            kind,
            text,
            setting,
            route: None,
        };
        assert_eq!(advice[0], expected);
    }
}

#[test]
fn the_table_of_situations_in_which_they_do_not() {
    for (figures, limits, kind, setting, text) in working() {
        let advice = advise(&figures, &limits);
        let expected = Advice {
            kind,
            text: text.to_owned(),
            setting,
            route: None,
        };
        assert_eq!(advice, [expected]);
    }
}

#[test]
fn dropped_log_lines_are_told_whatever_else_is() {
    for circuit_open in [false, true] {
        let figures = Figures {
            log_lines_dropped: 3,
            circuit_open,
            ..figures()
        };
        let advice = advise(&figures, &limits());
        let text = "3 log lines were dropped in the last minute: who reads standard error is too slow for what is logged. Have it read faster, or set `log.level` to tell less.";
        let told = advice.iter().find(|it| it.setting == Some("log.level"));
        assert_eq!(told.unwrap().text, text);
        assert_eq!(advice.len(), 2);
    }
}

#[test]
fn what_only_comes_near_is_not_said() {
    let fine = advise(&figures(), &limits());
    for (what, figures) in [
        (
            "a job's own fault",
            Figures {
                outcomes: vec![(Code::JobError, 50), (Code::Ok, 50)],
                ..figures()
            },
        ),
        (
            "a job that was refused alone",
            Figures {
                outcomes: vec![(Code::UpstreamRejectedJob, 50), (Code::Ok, 50)],
                ..figures()
            },
        ),
        (
            "few failures",
            Figures {
                outcomes: vec![(Code::Ok, 1000), (Code::UpstreamError, 9)],
                ..figures()
            },
        ),
        (
            "busy slots without a wait",
            Figures {
                slots_busy: 0.96,
                ..figures()
            },
        ),
        (
            "a filling queue",
            Figures {
                queue_jobs: 7_999,
                ..figures()
            },
        ),
        (
            "many jobs on a connection",
            Figures {
                connections: 10,
                ..figures()
            },
        ),
        (
            "four bisections",
            Figures {
                splits: 4,
                ..figures()
            },
        ),
        (
            "few equal ids",
            Figures {
                kept_apart: 59,
                ..figures()
            },
        ),
    ] {
        assert_eq!(advise(&figures, &limits()), fine, "{what}");
    }
}

/// Words of two sentences that contradict each other, or that distract from what
/// dominates.
const NEVER_TOGETHER: [(&str, &str); 17] = [
    ("a longer `batch.max_wait`", "More callers"),
    ("a longer `batch.max_wait`", "nobody is worth waiting for"),
    ("lower `batch.max_size`", "a larger `batch.max_size`"),
    ("lower `batch.max_size`", "exceed `batch.max_bytes`"),
    ("75 % of those that came", "slots are taken"),
    ("75 % of those that came", "More callers"),
    ("75 % of those that came", "a longer `batch.max_wait`"),
    ("75 % of those that came", "than the upstream takes"),
    ("gets through", "`batch."),
    ("gets through", "split_on"),
    ("circuit is open", "`batch."),
    ("the upstream limits you", "More callers"),
    ("the upstream limits you", "a longer `batch.max_wait`"),
    ("none was refused", "beyond that they are refused"),
    ("for later wait", "Nothing stands out"),
    ("circuit is open", "Slots are free"),
    ("store-full", "Nothing stands out"),
];

/// Anything that may be the matter at once with something else.
fn matters() -> Vec<fn(&mut Figures)> {
    vec![
        |it| it.kept_apart = 4_500,
        |it| it.departed = 2_000,
        |it| (it.slots_busy, it.wait_ms) = (0.9, [40.0, 80.0]),
        |it| (it.queue_jobs, it.queue_full) = (10_000, 3_000),
        |it| (it.queue_jobs, it.waiting_for_room) = (10_000, 40),
        |it| (it.connections, it.batch_jobs, it.fill) = (30, 2_900, 0.29),
        |it| (it.batch_jobs, it.fill) = (700, 0.07),
        |it| (it.splits, it.splits_too_large) = (20, 20),
        |it| it.splits = 20,
        |it| it.retries = 20,
        |it| it.reasons = reasons(FlushReason::Size, 100),
        |it| it.reasons = reasons(FlushReason::Bytes, 100),
        |it| it.reasons = reasons(FlushReason::Idle, 100),
        |it| it.outcomes = vec![(Code::Ok, 50), (Code::UpstreamTimeout, 50)],
        |it| it.outcomes = vec![(Code::Ok, 50), (Code::QueueTimeout, 50)],
        |it| it.outcomes = vec![(Code::UpstreamRejectedBatch, 50)],
        |it| it.outcomes = vec![(Code::UpstreamError, 50)],
        |it| it.failures = vec![failure(Code::UpstreamRejectedBatch, "", answer(404, ""))],
        |it| it.circuit_open = true,
        |it| it.log_lines_dropped = 7,
        |it| it.later = Some(old()),
        |it| it.later = Some(full()),
    ]
}

#[test]
fn what_contradicts_is_not_said_at_once() {
    let matters = matters();
    for one in &matters {
        for other in &matters {
            for third in &matters {
                let mut figures = figures();
                [one, other, third].iter().for_each(|it| it(&mut figures));
                let advice = advise(&figures, &limits());
                let has = |words: &str| advice.iter().any(|it| it.text.contains(words));
                for (these, those) in NEVER_TOGETHER {
                    assert!(!(has(these) && has(those)), "{these}, {those}: {advice:#?}");
                }
                let kinds: Vec<_> = advice.iter().map(|it| it.kind).collect();
                assert!(kinds.is_sorted() && !kinds.is_empty(), "{advice:#?}");
                let (first, last) = (kinds[0], kinds[kinds.len() - 1]);
                assert!(first != Kind::Problem || last != Kind::Good, "{advice:#?}");
                let whole = figures.answered() > 0 && !figures.some_succeed();
                assert!(!whole || kinds[0] == Kind::Problem, "{advice:#?}");
            }
        }
    }
}

/// Two routes with these figures, and both of them in all.
fn of_two(one: &Figures, two: &Figures, whole: &Figures) -> Vec<Advice> {
    let (limits, routes) = (&limits(), [("one", one), ("two", two)]);
    let routes = routes.map(|(route, figures)| Subject {
        route,
        figures,
        limits,
    });
    super::advise(&routes, whole)
}

#[test]
fn a_dead_route_is_told_before_a_busy_one_that_limps() {
    let limps = some(failure(Code::UpstreamTimeout, "", None));
    let mut dead = all(failure(Code::UpstreamError, "status 500", answer(500, "")));
    dead.outcomes = vec![(Code::UpstreamError, 6)];
    dead.jobs = 6;
    let whole = Figures {
        log_lines_dropped: 3,
        ..figures()
    };
    let said = of_two(&limps, &dead, &whole);
    assert!(
        said[0]
            .text
            .starts_with("`two`: Nothing gets through: 6 of 6 jobs"),
        "{said:?}"
    );
    assert!(
        said[1].text.starts_with("`one`: 12 % of jobs fail"),
        "{said:?}"
    );
    let routes: Vec<_> = said.iter().map(|it| it.route.as_deref()).collect();
    assert_eq!(routes[..2], [Some("two"), Some("one")]);
    // The log is the process's, and nobody's fault alone.
    let lines = said
        .iter()
        .filter(|it| it.text.contains("log lines were dropped"));
    assert!(lines.map(|it| &it.route).eq([&None]), "{said:?}");
}

#[test]
fn of_two_routes_that_are_as_bad_the_busier_is_told_first() {
    let dead = |jobs| Figures {
        jobs,
        ..all(failure(Code::UpstreamError, "status 500", answer(500, "")))
    };
    for (one, two, first) in [(9, 1, "one"), (1, 9, "two")] {
        let said = of_two(&dead(one), &dead(two), &figures());
        assert_eq!(said[0].route.as_deref(), Some(first), "{said:?}");
    }
}

#[test]
fn of_a_route_that_nobody_calls_nothing_is_said_unless_nobody_calls_any() {
    let quiet = Figures {
        jobs: 0,
        batches: 0,
        batch_jobs: 0,
        outcomes: Vec::new(),
        ..figures()
    };
    let said = of_two(&figures(), &quiet, &figures());
    assert!(
        said.iter().all(|it| it.route.as_deref() != Some("two")),
        "{said:?}"
    );
    let said = of_two(&quiet, &quiet, &quiet);
    let [only] = &said[..] else {
        panic!("{said:?}")
    };
    let text =
        "No job came in the last minute. Send one to the `path` of a route, on `server.listen`.";
    assert_eq!((&*only.text, &only.route), (text, &None));
    let refused = Figures {
        refused: 7,
        ..quiet.clone()
    };
    let said = of_two(&figures(), &refused, &figures());
    assert!(
        said.iter()
            .any(|it| it.text.starts_with("`two`: No job was taken")),
        "{said:?}"
    );
}
