//! The one table of metric families: name, type, labels, help, and who makes their
//! samples of what.

use std::time::SystemTime;

use super::counts::Metrics;
use super::samples::Samples;
use crate::batcher::FlushReason;
use crate::code::Code;
use crate::observe::by_code::ByCode;
use crate::observe::moment::Moment;
use crate::observe::process;
use crate::observe::records::{RecordCounts, Records};

/// What is looked up of the process.
#[derive(Clone, Copy, Debug)]
pub struct Process<'a> {
    /// Bytes of bodies that are being received and of answers that are not taken.
    pub buffered: usize,
    /// What has happened on no route.
    pub told: &'a process::Process,
    /// Lines of the log that nobody took in time.
    pub log_lines_dropped: u64,
    /// Requests that tokens have let in, by the names of those.
    pub requests_by_token: &'a [(&'a str, u64)],
    /// Spans that the collector did not take.
    pub spans_dropped: u64,
    /// Requests to paths of no route that were passed through.
    pub passed_through: u64,
    /// The store of jobs for later, unless none are taken.
    pub store: Option<Store<'a>>,
}

/// What is counted and looked up of the store of jobs for later.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// What is counted by whom the store tells.
    pub metrics: &'a Metrics,
    /// What is in it.
    pub records: &'a Records,
}

/// What is counted and looked up of one route.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// Its name.
    pub name: &'a str,
    /// What is counted.
    pub metrics: &'a Metrics,
    /// What the batcher holds, and the answered jobs at the same moment.
    pub moment: &'a Moment,
    /// What the store of jobs for later has counted of it.
    pub records: &'a RecordCounts,
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
    /// Its labels, `route` first where each route has samples of its own; `le` apart.
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
    Process(fn(&Process<'_>, &mut Samples<'_>)),
    /// Each route.
    Route(fn(&Route<'_>, &mut Samples<'_>)),
    /// The store of jobs for later; without one there is no such family.
    Store(fn(&Store<'_>, &mut Samples<'_>)),
    /// Each route, where there is such a store.
    Later(fn(&Route<'_>, &mut Samples<'_>)),
}

/// Makes the table: name, type, labels and help of each family, and who makes its samples
/// of what.
macro_rules! families {
    ($($name:literal $kind:ident $labels:tt $help:literal $maker:ident($write:expr);)+) => {
        /// Every family there is, in the order of the exposition.
        pub static FAMILIES: &[Family] = &[$(Family {
            name: $name,
            kind: Kind::$kind,
            labels: &$labels,
            help: $help,
            maker: Maker::$maker($write),
        },)+];
    };
}

families! {
    "microbatch_build_info" Info ["version"] "The running version"
        Process(|_, out| out.labelled([env!("CARGO_PKG_VERSION")], 1));
    "microbatch_jobs_accepted_total" Counter ["route"] "Jobs that entered the queue"
        Route(|it, out| out.number(it.moment.batcher.accepted));
    "microbatch_jobs_total" Counter ["route", "outcome"]
        "Accepted jobs that were answered, by what they came to"
        Route(|it, out| by_code(&it.moment.totals.answered, Code::ends_jobs, out));
    "microbatch_jobs_cancelled_total" Counter ["route", "when"]
        "Accepted jobs whose caller left, while queued or later"
        Route(departures);
    "microbatch_jobs_refused_total" Counter ["route", "code"]
        "Requests that never entered the queue, by problem"
        Route(|it, out| by_code(&it.metrics.refusals(), Code::refuses, out));
    "microbatch_jobs_kept_apart_total" Counter ["route"]
        "Jobs that a batch left without because it had another of the same id, once each"
        Route(|it, out| out.number(it.moment.batcher.kept_apart));
    "microbatch_job_duration_seconds" Histogram ["route"] "Time of accepted jobs from arrival to answer"
        Route(|it, out| out.histogram(&it.metrics.job_duration.read()));
    "microbatch_queue_wait_seconds" Histogram ["route"]
        "Time of jobs from arrival to their batch leaving for the first time"
        Route(|it, out| out.histogram(&it.metrics.queue_wait.read()));
    "microbatch_queue_jobs" Gauge ["route"] "Jobs that wait, in the queue or for a retry"
        Route(|it, out| out.number(it.moment.batcher.queued));
    "microbatch_queue_bytes" Gauge ["route"] "Their bytes"
        Route(|it, out| out.number(it.moment.batcher.queued_bytes));
    "microbatch_queue_waiting_for_room_jobs" Gauge ["route"]
        "Jobs that found the queue full and wait for room (queue.on_full = \"wait\")"
        Route(|it, out| out.number(it.moment.batcher.waiting_for_room));
    "microbatch_buffered_bytes" Gauge []
        "Bytes of bodies being received and of answers not taken yet (server.max_buffered)"
        Process(|it, out| out.number(it.buffered));
    "microbatch_queue_capacity_jobs" Gauge ["route"] "Most jobs that may wait (queue.max_jobs)"
        Route(|it, out| out.number(it.queue_capacity));
    "microbatch_batches_total" Counter ["route", "reason", "outcome"]
        "Batches that ended, by why they left and what they came to"
        Route(batches);
    "microbatch_batch_size_jobs" Histogram ["route"] "Jobs in a batch when it leaves"
        Route(|it, out| out.histogram(&it.metrics.batch_jobs.read()));
    "microbatch_batch_size_bytes" Histogram ["route"] "Bytes of a batch's array when it leaves"
        Route(|it, out| out.histogram(&it.metrics.batch_bytes.read()));
    "microbatch_batch_fill_ratio" Histogram ["route"]
        "How full a batch is when it leaves, of batch.max_size or batch.max_bytes, whichever is more"
        Route(|it, out| out.histogram(&it.metrics.batch_fill.read()));
    "microbatch_batches_in_flight" Gauge ["route"] "Batches that occupy a slot"
        Route(|it, out| out.number(it.moment.batcher.in_flight));
    "microbatch_in_flight_limit" Gauge ["route"] "Slots there are (upstream.max_in_flight)"
        Route(|it, out| out.number(it.moment.batcher.max_in_flight));
    "microbatch_upstream_duration_seconds" Histogram ["route", "outcome"]
        "Time of calls to the upstream, by what they came to"
        Route(calls);
    "microbatch_upstream_requests_total" Counter ["route", "status"]
        "Calls to the upstream, by the status of its answer or none"
        Route(statuses);
    "microbatch_retries_total" Counter ["route"] "Batches sent again"
        Route(|it, out| out.number(it.metrics.total_retries()));
    "microbatch_retry_budget_exhausted_total" Counter ["route"]
        "Batches not sent again for want of retry.budget"
        Route(|it, out| out.number(it.metrics.budget_exhausted()));
    "microbatch_splits_total" Counter ["route", "cause"] "Batches sent again in halves, by why"
        Route(splits);
    "microbatch_alone_total" Counter ["route", "why"]
        "Calls that were forwarded by themselves, as they came, by why they were not merged"
        Route(alone);
    "microbatch_passthrough_total" Counter []
        "Requests to paths of no route that were passed through (passthrough.url)"
        Process(|it, out| out.number(it.passed_through));
    "microbatch_results_unmatched_total" Counter ["route", "kind"]
        "Results that no job of their batch has asked for, by what is wrong with them"
        Route(unmatched);
    "microbatch_circuit_open" Gauge ["route"]
        "1 while jobs are refused because the upstream has failed too often"
        Route(|it, out| out.number(u64::from(it.circuit_open)));
    "microbatch_later_jobs" Gauge ["route", "state"]
        "Jobs for later that are kept, by how far they have come"
        Later(|it, out| by_state(&it.records.present, out));
    "microbatch_later_accepted_total" Counter ["route"] "Jobs for later that were taken"
        Later(|it, out| out.number(it.records.accepted));
    "microbatch_later_finished_total" Counter ["route", "outcome"]
        "Jobs for later that were finished, by what they came to"
        Later(finished);
    "microbatch_later_deleted_total" Counter ["route", "state"]
        "Jobs for later that were deleted, by how far they had come"
        Later(|it, out| by_state(&it.records.deleted, out));
    "microbatch_later_expired_total" Counter ["route", "read"]
        "Jobs for later whose later.keep was over, by whether anybody had read the result"
        Later(expired);
    "microbatch_later_recovered_total" Counter ["route", "as"]
        "Jobs for later that a process had sent which is gone, by what became of them here"
        Later(recovered);
    "microbatch_later_fenced_total" Counter ["route"]
        "Jobs for later whose results were dropped here, since their lease (later.lease) was over"
        Later(|it, out| out.number(it.metrics.fenced()));
    "microbatch_later_oldest_queued_seconds" Gauge ["route"]
        "How long the oldest job for later has waited of those that wait, 0 without any"
        Later(|it, out| {
            let oldest = it.records.oldest_queued.unwrap_or_default();
            out.decimal(oldest.as_secs_f64());
        });
    "microbatch_later_free_seats_total" Counter ["route"]
        "Jobs for later that left in free places of callers' batches"
        Later(|it, out| out.number(it.moment.batcher.detached_rode));
    "microbatch_store_fill_ratio" Gauge []
        "How full the store of jobs for later is, of later.max_jobs or later.max_bytes, whichever is more"
        Store(|it, out| out.decimal(it.records.fill()));
    "microbatch_store_commit_seconds" Histogram [] "Time of commits to the store of jobs for later"
        Store(|it, out| out.histogram(&it.metrics.commit_duration.read()));
    "microbatch_store_commit_records" Histogram [] "Jobs for later in a commit"
        Store(|it, out| out.histogram(&it.metrics.commit_records.read()));
    "microbatch_store_errors_total" Counter ["op"]
        "What the store of jobs for later failed to do, by what that was"
        Store(store_errors);
    "microbatch_tls_reloads_total" Counter ["result"]
        "Changed files of certificates that were read again, by what came of it"
        Process(|it, out| reloads(it.told.tls_reloads(), out));
    "microbatch_tokens_reloads_total" Counter ["result"]
        "Changed files of tokens that were read again, by what came of it"
        Process(|it, out| reloads(it.told.tokens_reloads(), out));
    "microbatch_requests_by_token_total" Counter ["token"]
        "Requests that a token has let in, on either listener, by its name in the file"
        Process(|it, out| {
            for &(token, count) in it.requests_by_token {
                out.labelled([token], count);
            }
        });
    "microbatch_tls_certificate_expiry_seconds" Gauge ["file"]
        "Time until the first certificate of a chain ends, or the last of those that others are \
         checked with; negative once it has"
        Process(|it, out| {
            let now = SystemTime::now();
            for certificate in it.told.certificates().iter() {
                out.decimal_of([&certificate.file], certificate.seconds_left(now));
            }
        });
    "microbatch_tls_handshakes_failed_total" Counter ["reason"]
        "TLS handshakes of callers and operators that failed, by why"
        Process(|it, out| {
            for (why, count) in it.told.handshakes_failed() {
                out.labelled([why], count);
            }
        });
    "microbatch_config_reloads_total" Counter ["result"]
        "Reloads of the settings, by what came of them"
        Process(|it, out| {
            for (result, count) in it.told.config_reloads() {
                out.labelled([result.as_str()], count);
            }
        });
    "microbatch_config_last_reload_timestamp_seconds" Gauge []
        "When the settings were last reloaded, in Unix time; 0 where they are those of the start"
        Process(|it, out| out.decimal(it.told.config_reloaded()));
    "microbatch_log_lines_dropped_total" Counter []
        "Lines of the log that were dropped, since stderr did not take them"
        Process(|it, out| out.number(it.log_lines_dropped));
    "microbatch_telemetry_spans_dropped_total" Counter []
        "Spans that were dropped, since the collector did not take them"
        Process(|it, out| out.number(it.spans_dropped));
}

fn reloads(counts: impl Iterator<Item = (process::Reloaded, u64)>, out: &mut Samples<'_>) {
    for (result, count) in counts {
        out.labelled([result.as_str()], count);
    }
}

fn departures(it: &Route<'_>, out: &mut Samples<'_>) {
    out.labelled(["queued"], it.moment.batcher.cancelled_queued);
    out.labelled(["in-flight"], it.moment.batcher.cancelled_in_flight);
}

fn batches(it: &Route<'_>, out: &mut Samples<'_>) {
    for reason in FlushReason::ALL {
        for (outcome, count) in it.metrics.batches(reason) {
            if count > 0 || outcome.is_none_or(Code::ends_batches) {
                out.labelled([reason.as_str(), name(outcome)], count);
            }
        }
    }
}

fn calls(it: &Route<'_>, out: &mut Samples<'_>) {
    let calls = it.metrics.calls().map(|(outcome, it)| (outcome, it.read()));
    for (outcome, reading) in calls.filter(|(_, reading)| reading.count > 0) {
        out.histogram_of([name(outcome)], &reading);
    }
}

fn statuses(it: &Route<'_>, out: &mut Samples<'_>) {
    for (status, count) in it.metrics.statuses() {
        let status = status.map_or("none".to_owned(), |status| status.to_string());
        out.labelled([&status], count);
    }
}

fn splits(it: &Route<'_>, out: &mut Samples<'_>) {
    for (cause, count) in it.metrics.splits() {
        out.labelled([cause.as_str()], count);
    }
}

fn alone(it: &Route<'_>, out: &mut Samples<'_>) {
    for (why, count) in it.metrics.alone() {
        out.labelled([why], count);
    }
}

fn unmatched(it: &Route<'_>, out: &mut Samples<'_>) {
    for (kind, count) in it.metrics.unmatched() {
        out.labelled([kind], count);
    }
}

fn by_state(counts: &[u64; 4], out: &mut Samples<'_>) {
    for (state, count) in RecordCounts::STATES.into_iter().zip(counts) {
        out.labelled([state], *count);
    }
}

fn finished(it: &Route<'_>, out: &mut Samples<'_>) {
    let mut counts = ByCode::default();
    for &(code, count) in &it.records.finished {
        counts[code] += count;
    }
    by_code(&counts, Code::ends_jobs, out);
}

fn expired(it: &Route<'_>, out: &mut Samples<'_>) {
    out.labelled(["true"], it.records.expired_read);
    out.labelled(["false"], it.records.expired_unread);
}

fn recovered(it: &Route<'_>, out: &mut Samples<'_>) {
    for (how, count) in it.metrics.recovered() {
        out.labelled([how.as_str()], count);
    }
}

fn store_errors(it: &Store<'_>, out: &mut Samples<'_>) {
    for (step, count) in it.metrics.store_errors() {
        out.labelled([step.as_str()], count);
    }
}

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
