//! What is said of jobs for later, beside callers who are well.

use super::tests::{advise, figures, full, limits, old, reasons};
use super::{Backlog, Figures, Kind};
use crate::batcher::FlushReason;
use crate::code::Code;
use crate::observe::live::ForLater;

/// What happens to jobs for later, beside callers who are well, and what is said of it.
fn for_later() -> Vec<(Figures, Kind, &'static str, &'static str)> {
    use Kind::*;
    let with = |later| Figures {
        later: Some(later),
        ..figures()
    };
    let busy = |later| Figures {
        slots_busy: 0.96,
        upstream_ms: [2_000.0, 3_000.0],
        ..with(later)
    };
    let finished = |counts: &[(Code, u64)]| {
        let mut lately = ForLater::default();
        counts
            .iter()
            .for_each(|&(code, n)| lately.finished[code] = n);
        lately
    };
    let slow = || Backlog {
        lately: finished(&[(Code::Ok, 3_000)]),
        ..old()
    };
    let alone = |figures| Figures {
        jobs: 0,
        outcomes: Vec::new(),
        ..figures
    };
    vec![
        (
            with(old()),
            Hint,
            "",
            "4000 jobs for later wait, the oldest for 42 s: none was finished in the last minute. Slots are free: batches of 60 jobs leave, and the upstream takes 9 ms for one.",
        ),
        (
            busy(slow()),
            Hint,
            "upstream.max_in_flight",
            "4000 jobs for later wait, the oldest for 42 s: batches of waiting callers go first, and all slots are taken 96 % of the time; raise `upstream.max_in_flight` if the upstream bears more.",
        ),
        (
            alone(busy(slow())),
            Hint,
            "upstream.max_in_flight",
            "4000 jobs for later wait, the oldest for 42 s: 3000 jobs were finished in the last minute, and so the others take 80 s. The upstream takes 2 s for a batch, and all slots are taken 96 % of the time; raise `upstream.max_in_flight` if the upstream bears more.",
        ),
        (
            Figures {
                reasons: reasons(FlushReason::Size, 100),
                ..alone(busy(Backlog {
                    queued: 1,
                    oldest_ms: 5_400_000.0,
                    ..slow()
                }))
            },
            Problem,
            "upstream.max_in_flight",
            "1 job for later waits, for 90 min: 3000 jobs were finished in the last minute, and so the others take 20 ms. The upstream takes 2 s for a batch, and all slots are taken 96 % of the time; raise `upstream.max_in_flight` if the upstream bears more, or `batch.max_size` if it takes more at once. At `later.job_timeout` (1 h) they are given up.",
        ),
        (
            Figures {
                circuit_open: true,
                ..with(old())
            },
            Hint,
            "",
            "4000 jobs for later wait, the oldest for 42 s: the circuit is open, and they are not sent until the upstream answers again.",
        ),
        (
            Figures {
                kept_apart: 4_500,
                ..with(old())
            },
            Hint,
            "",
            "4000 jobs for later wait, the oldest for 42 s: batches of waiting callers go first, and these are small, since many of their jobs have the same `id`.",
        ),
        (
            with(full()),
            Problem,
            "later.max_jobs",
            "7 jobs for later were refused with `store-full` in the last minute: 100000 jobs are kept, 100 % of `later.max_jobs`, and 99000 of them are finished. Have their answers deleted once they are fetched (`DELETE`), lower `later.keep` (1 h), or raise that.",
        ),
        (
            with(Backlog {
                queued: 80,
                bytes: 900 << 20,
                ..Backlog::default()
            }),
            Hint,
            "later.max_bytes",
            "The store of jobs for later fills up: 80 jobs are kept, 88 % of `later.max_bytes`, and 80 of them wait for the upstream: more is handed in than it takes. Raise that if it is so at times, or have less handed in.",
        ),
        (
            with(Backlog {
                lately: ForLater {
                    expired_unread: 12,
                    ..ForLater::default()
                },
                ..Backlog::default()
            }),
            Hint,
            "later.keep",
            "12 results of jobs for later expired in the last minute, and nobody had fetched them: they are kept for `later.keep` (1 h). Have them fetched sooner or told on a stream (`?stream=NAME`), or raise that.",
        ),
        (
            with(Backlog {
                lately: finished(&[
                    (Code::Ok, 8),
                    (Code::QueueTimeout, 1),
                    (Code::DeadlineExceeded, 1),
                ]),
                ..Backlog::default()
            }),
            Problem,
            "later.job_timeout",
            "2 jobs for later were not finished within `later.job_timeout` (1 h), 20 % of those that ended in the last minute: their backlog takes longer than that. Raise it, or have less handed in than the upstream takes.",
        ),
        (
            with(Backlog {
                store_errors: 1,
                ..Backlog::default()
            }),
            Problem,
            "later.store",
            "The store of jobs for later failed 1 time in the last minute: what is handed in then is refused with `store-unavailable`, and answers are kept in memory until they can be committed. Callers who wait for their answers notice nothing of it. The log says why: see that the disk has room and may be written, or that Redis is up and answers within `later.timeout`.",
        ),
        (
            with(Backlog {
                recovered: [0, 7, 0],
                lately: finished(&[(Code::Interrupted, 7)]),
                ..Backlog::default()
            }),
            Problem,
            "upstream.idempotent",
            "7 jobs for later were answered with `interrupted` in the last minute: the process that had sent them was gone before it had kept what came of them. Ask the upstream what it has done before they are handed in again; where it does no harm to send a job twice, `upstream.idempotent` has it sent again.",
        ),
        (
            with(Backlog {
                recovered: [0, 0, 1],
                lately: finished(&[(Code::AttemptsExhausted, 1)]),
                ..Backlog::default()
            }),
            Problem,
            "later.max_attempts",
            "1 job for later was answered with `attempts-exhausted` in the last minute: each time that they were sent, as often as `later.max_attempts` allows, the process was gone before it had kept what came of them. They may be what ends it: look for why it ended (memory, its log) before they are handed in again.",
        ),
        (
            with(Backlog {
                recovered: [64, 0, 0],
                ..Backlog::default()
            }),
            Hint,
            "",
            "64 jobs for later were queued again in the last minute, since the process that had sent them was gone before it had kept what came of them: the upstream may have some of them twice (`upstream.idempotent`), and they go in batches of one at first. Look for why that process ended.",
        ),
        (
            with(Backlog {
                fenced: 2,
                ..Backlog::default()
            }),
            Problem,
            "later.lease",
            "2 results of jobs for later came in the last minute after their lease was over, and nobody gets them: this process was held up, or Redis was away, for longer than `later.lease`. Raise that, or find what held it up.",
        ),
        (
            alone(with(Backlog {
                lately: finished(&[(Code::UpstreamTimeout, 8)]),
                ..Backlog::default()
            })),
            Problem,
            "upstream.timeout",
            "Nothing gets through: 8 of 8 jobs failed in the last minute with `upstream-timeout`: the upstream is slow, and has no complete answer within `upstream.timeout` (10 s); have it answer sooner, or raise that.",
        ),
        (
            alone(with(Backlog {
                lately: finished(&[(Code::Ok, 8)]),
                ..Backlog::default()
            })),
            Good,
            "",
            "Nothing stands out: 60 jobs to a batch, 60 % full; the upstream takes 9 ms for one.",
        ),
    ]
}

#[test]
fn the_table_of_what_happens_to_jobs_for_later() {
    for (figures, kind, setting, text) in for_later() {
        let advice = advise(&figures, &limits());
        let told = advice.iter().find(|it| it.text == text);
        let told = told.unwrap_or_else(|| panic!("no {text:?} in {advice:#?}"));
        let setting = Some(setting).filter(|it| !it.is_empty());
        assert_eq!((told.kind, told.setting), (kind, setting));
        let other = figures.circuit_open || figures.kept_apart > 0;
        assert!(advice.len() == 1 || other, "{advice:#?}");
    }
}
