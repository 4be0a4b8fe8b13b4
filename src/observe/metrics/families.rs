//! The one table of metric families: name, type, labels, help, and who makes their
//! samples of what.

use super::counts::Metrics;
use super::samples::Samples;
use crate::batcher::FlushReason;
use crate::code::Code;
use crate::observe::by_code::ByCode;
use crate::observe::moment::Moment;

/// What is looked up of the process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Bytes of bodies that are being received and of answers that are not taken.
    pub buffered: usize,
    /// Lines of the log that nobody took in time.
    pub log_lines_dropped: u64,
}

/// What is counted and looked up of one route.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// What is counted.
    pub metrics: &'a Metrics,
    /// What the batcher holds, and the answered jobs at the same moment.
    pub moment: &'a Moment,
    /// `queue.max_jobs`.
    pub queue_capacity: usize,
    /// Whether jobs are refused because the upstream has failed too often.
    pub circuit_open: bool,
}

/// Metrics of one name.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// As its samples have it, a counter's with `_total`; times end in `_seconds`, sizes
    /// in `_bytes`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels; `le` apart.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
    pub(super) maker: Maker,
}

/// A family's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts values by their size.
    Histogram,
    /// A fact: always 1, told by its labels.
    Info,
}

impl Kind {
    /// Its name in the text format, which has none for facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::Info => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Who has a family's samples of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Maker {
    /// The process.
    Process(fn(&Process, &mut Samples<'_>)),
    /// Each route.
    Route(fn(&Route<'_>, &mut Samples<'_>)),
}

use Kind::{Counter, Gauge, Histogram, Info};
use Maker::{Process as ByProcess, Route as ByRoute};

/// Every family there is, in the order of the exposition.
pub static FAMILIES: [Family; 27] = [
    Family {
        name: "microbatch_build_info",
        kind: Info,
        labels: &["version"],
        help: "The running version",
        maker: ByProcess(|_, out| out.labelled([env!("CARGO_PKG_VERSION")], 1)),
    },
    Family {
        name: "microbatch_jobs_accepted_total",
        kind: Counter,
        labels: &[],
        help: "Jobs that entered the queue",
        maker: ByRoute(|it, out| out.number(it.moment.batcher.accepted)),
    },
    Family {
        name: "microbatch_jobs_total",
        kind: Counter,
        labels: &["outcome"],
        help: "Accepted jobs that were answered, by what they came to",
        maker: ByRoute(|it, out| by_code(&it.moment.totals.answered, Code::ends_jobs, out)),
    },
    Family {
        name: "microbatch_jobs_cancelled_total",
        kind: Counter,
        labels: &["when"],
        help: "Accepted jobs whose caller left, while queued or later",
        maker: ByRoute(|it, out| {
            out.labelled(["queued"], it.moment.batcher.cancelled_queued);
            out.labelled(["in-flight"], it.moment.batcher.cancelled_in_flight);
        }),
    },
    Family {
        name: "microbatch_jobs_refused_total",
        kind: Counter,
        labels: &["code"],
        help: "Requests that never entered the queue, by problem",
        maker: ByRoute(|it, out| by_code(&it.metrics.refusals(), Code::refuses, out)),
    },
    Family {
        name: "microbatch_jobs_kept_apart_total",
        kind: Counter,
        labels: &[],
        help: "Jobs that a batch left without because it had another of the same id, once each",
        maker: ByRoute(|it, out| out.number(it.moment.batcher.kept_apart)),
    },
    Family {
        name: "microbatch_job_duration_seconds",
        kind: Histogram,
        labels: &[],
        help: "Time of accepted jobs from arrival to answer",
        maker: ByRoute(|it, out| out.histogram(&it.metrics.job_duration.read())),
    },
    Family {
        name: "microbatch_queue_wait_seconds",
        kind: Histogram,
        labels: &[],
        help: "Time of jobs from arrival to their batch leaving for the first time",
        maker: ByRoute(|it, out| out.histogram(&it.metrics.queue_wait.read())),
    },
    Family {
        name: "microbatch_queue_jobs",
        kind: Gauge,
        labels: &[],
        help: "Jobs that wait, in the queue or for a retry",
        maker: ByRoute(|it, out| out.number(it.moment.batcher.queued)),
    },
    Family {
        name: "microbatch_queue_bytes",
        kind: Gauge,
        labels: &[],
        help: "Their bytes",
        maker: ByRoute(|it, out| out.number(it.moment.batcher.queued_bytes)),
    },
    Family {
        name: "microbatch_queue_waiting_for_room_jobs",
        kind: Gauge,
        labels: &[],
        help: "Jobs that found the queue full and wait for room (queue.on_full = \"wait\")",
        maker: ByRoute(|it, out| out.number(it.moment.batcher.waiting_for_room)),
    },
    Family {
        name: "microbatch_buffered_bytes",
        kind: Gauge,
        labels: &[],
        help: "Bytes of bodies being received and of answers not taken yet (server.max_buffered)",
        maker: ByProcess(|it, out| out.number(it.buffered)),
    },
    Family {
        name: "microbatch_queue_capacity_jobs",
        kind: Gauge,
        labels: &[],
        help: "Most jobs that may wait (queue.max_jobs)",
        maker: ByRoute(|it, out| out.number(it.queue_capacity)),
    },
    Family {
        name: "microbatch_batches_total",
        kind: Counter,
        labels: &["reason", "outcome"],
        help: "Batches that ended, by why they left and what they came to",
        maker: ByRoute(|it, out| {
            for reason in FlushReason::ALL {
                for (outcome, count) in it.metrics.batches(reason) {
                    if count > 0 || outcome.is_none_or(Code::ends_batches) {
                        out.labelled([reason.as_str(), name(outcome)], count);
                    }
                }
            }
        }),
    },
    Family {
        name: "microbatch_batch_size_jobs",
        kind: Histogram,
        labels: &[],
        help: "Jobs in a batch when it leaves",
        maker: ByRoute(|it, out| out.histogram(&it.metrics.batch_jobs.read())),
    },
    Family {
        name: "microbatch_batch_size_bytes",
        kind: Histogram,
        labels: &[],
        help: "Bytes of a batch's array when it leaves",
        maker: ByRoute(|it, out| out.histogram(&it.metrics.batch_bytes.read())),
    },
    Family {
        name: "microbatch_batch_fill_ratio",
        kind: Histogram,
        labels: &[],
        help: "How full a batch is when it leaves, of batch.max_size or batch.max_bytes, whichever is more",
        maker: ByRoute(|it, out| out.histogram(&it.metrics.batch_fill.read())),
    },
    Family {
        name: "microbatch_batches_in_flight",
        kind: Gauge,
        labels: &[],
        help: "Batches that occupy a slot",
        maker: ByRoute(|it, out| out.number(it.moment.batcher.in_flight)),
    },
    Family {
        name: "microbatch_in_flight_limit",
        kind: Gauge,
        labels: &[],
        help: "Slots there are (upstream.max_in_flight)",
        maker: ByRoute(|it, out| out.number(it.moment.batcher.max_in_flight)),
    },
    Family {
        name: "microbatch_upstream_duration_seconds",
        kind: Histogram,
        labels: &["outcome"],
        help: "Time of calls to the upstream, by what they came to",
        maker: ByRoute(|it, out| {
            let calls = it.metrics.calls().map(|(outcome, it)| (outcome, it.read()));
            for (outcome, reading) in calls.filter(|(_, reading)| reading.count > 0) {
                out.histogram_of([name(outcome)], &reading);
            }
        }),
    },
    Family {
        name: "microbatch_upstream_requests_total",
        kind: Counter,
        labels: &["status"],
        help: "Calls to the upstream, by the status of its answer or none",
        maker: ByRoute(|it, out| {
            for (status, count) in it.metrics.statuses() {
                let status = status.map_or("none".to_owned(), |status| status.to_string());
                out.labelled([&status], count);
            }
        }),
    },
    Family {
        name: "microbatch_retries_total",
        kind: Counter,
        labels: &[],
        help: "Batches sent again",
        maker: ByRoute(|it, out| out.number(it.metrics.total_retries())),
    },
    Family {
        name: "microbatch_retry_budget_exhausted_total",
        kind: Counter,
        labels: &[],
        help: "Batches not sent again for want of retry.budget",
        maker: ByRoute(|it, out| out.number(it.metrics.budget_exhausted())),
    },
    Family {
        name: "microbatch_splits_total",
        kind: Counter,
        labels: &["cause"],
        help: "Batches sent again in halves, by why",
        maker: ByRoute(|it, out| {
            for (cause, count) in it.metrics.splits() {
                out.labelled([cause.as_str()], count);
            }
        }),
    },
    Family {
        name: "microbatch_results_unmatched_total",
        kind: Counter,
        labels: &["kind"],
        help: "Results that no job of their batch has asked for, by what is wrong with them",
        maker: ByRoute(|it, out| {
            for (kind, count) in it.metrics.unmatched() {
                out.labelled([kind], count);
            }
        }),
    },
    Family {
        name: "microbatch_circuit_open",
        kind: Gauge,
        labels: &[],
        help: "1 while jobs are refused because the upstream has failed too often",
        maker: ByRoute(|it, out| out.number(u64::from(it.circuit_open))),
    },
    Family {
        name: "microbatch_log_lines_dropped_total",
        kind: Counter,
        labels: &[],
        help: "Lines of the log that were dropped, since stderr did not take them",
        maker: ByProcess(|it, out| out.number(it.log_lines_dropped)),
    },
];

/// What something came to, as the label `outcome` has it.
fn name(outcome: Option<Code>) -> &'static str {
    outcome.map_or("abandoned", Code::as_str)
}

/// Those that are not zero, and those that are expected though they be zero: a counter
/// that appears with its first event seems not to have risen (`increase()`).
fn by_code(counts: &ByCode, expected: fn(Code) -> bool, out: &mut Samples<'_>) {
    for (code, &count) in counts.iter() {
        if count > 0 || expected(code) {
            out.labelled([code.as_str()], count);
        }
    }
}
