//! The metrics as Prometheus text.
//!
//! Which metrics there are, with their help and labels; the format is
//! `prometheus-client`'s. A label's values come from a list of ours (a code, a flush
//! reason, a status), never from a caller.
//!
//! That library, and not another, because it asks at the scrape: nothing but
//! [`Metrics`]' own additions is paid for a job, and no task has to drain anything.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{CallOutcome, Reading, SplitCause};
use crate::batcher::FlushReason;
use crate::code::Code;
use crate::observe::Observer;
use crate::observe::live::Now;

/// What is not counted but looked up.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// What the batcher holds, and the answered jobs at the same moment.
    pub now: Now,
    /// `queue.max_jobs`.
    pub queue_capacity: usize,
    /// Whether jobs are refused because the upstream has failed too often.
    pub circuit_open: bool,
    /// Lines of the log that nobody took in time.
    pub log_lines_dropped: u64,
    /// Bytes of bodies that are being received and of answers that are not taken.
    pub buffered: usize,
}

/// The two text formats that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for.
    pub fn accepted_by(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// The `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Everything that is counted or looked up, as text.
///
/// # Errors
/// The formatter's, which a `String` has none of.
pub fn exposition(
    observer: &Arc<Observer>,
    gauges: Gauges,
    format: Format,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("microbatch");
    let observer = Arc::clone(observer);
    registry.register_collector(Box::new(Exposed { observer, gauges }));
    let mut text = String::with_capacity(32 * 1024);
    encode(&mut text, &registry)?;
    Ok(match format {
        Format::OpenMetrics => text,
        Format::Text => classic(&text),
    })
}

/// OpenMetrics names the families of counters and of facts without the suffix that
/// their samples have, knows a type for facts, and ends with a mark. The older
/// format does none of that.
fn classic(open_metrics: &str) -> String {
    let family = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.rsplit_once(' ')?;
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => return None,
        };
        Some((name.to_owned(), suffix))
    };
    let families: HashMap<_, _> = open_metrics.lines().filter_map(family).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        let words = [words.next(), words.next(), words.next(), words.next()];
        if let [Some("#"), Some(what), Some(name), Some(rest)] = words
            && let Some(suffix) = families.get(name)
        {
            let rest = if rest == "info" { "gauge" } else { rest };
            text.push_str(&format!("# {what} {name}{suffix} {rest}"));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

#[derive(Debug)]
struct Exposed {
    observer: Arc<Observer>,
    gauges: Gauges,
}

/// One name with its help; each `fn` writes it whole.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn family(
        &mut self,
        (name, help): (&str, &str),
        kind: MetricType,
        write: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        write(self.0.encode_descriptor(name, help, None, kind)?)
    }

    fn gauge(&mut self, name: (&str, &str), value: usize) -> fmt::Result {
        self.family(name, MetricType::Gauge, |mut it| {
            it.encode_gauge(&(value as u64))
        })
    }

    fn counter(&mut self, name: (&str, &str), value: u64) -> fmt::Result {
        self.family(name, MetricType::Counter, |mut it| {
            it.encode_counter::<NoLabelSet, u64, f64>(&value, None)
        })
    }

    /// Counters that differ in labels.
    fn counters<const N: usize>(
        &mut self,
        name: (&str, &str),
        counts: impl Iterator<Item = ([(&'static str, String); N], u64)>,
    ) -> fmt::Result {
        self.family(name, MetricType::Counter, |mut it| {
            for (labels, count) in counts {
                it.encode_family(&labels)?
                    .encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
            }
            Ok(())
        })
    }

    fn histogram(&mut self, name: (&str, &str), reading: &Reading) -> fmt::Result {
        self.family(name, MetricType::Histogram, |mut it| {
            it.encode_histogram::<NoLabelSet>(reading.sum, reading.count, &reading.buckets, None)
        })
    }
}

fn by_code(
    label: &'static str,
    counts: impl Iterator<Item = (Code, u64)>,
) -> impl Iterator<Item = ([(&'static str, String); 1], u64)> {
    counts.map(move |(code, count)| ([(label, code.as_str().to_owned())], count))
}

fn when(queued: u64, in_flight: u64) -> impl Iterator<Item = ([(&'static str, String); 1], u64)> {
    let label = |when: &str| [("when", when.to_owned())];
    [(label("queued"), queued), (label("in-flight"), in_flight)].into_iter()
}

impl Collector for Exposed {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.jobs(&mut page)?;
        self.queue(&mut page)?;
        self.batches(&mut page)?;
        self.upstream(&mut page)
    }
}

impl Exposed {
    fn jobs(&self, page: &mut Page<'_>) -> fmt::Result {
        let (metrics, now) = (&self.observer.metrics, &self.gauges.now);
        let answered = Code::ALL
            .iter()
            .copied()
            .zip(now.totals.answered.iter().copied());
        page.family(
            ("build", "The running version"),
            MetricType::Info,
            |mut it| it.encode_info(&[("version", env!("CARGO_PKG_VERSION"))]),
        )?;
        page.counter(
            ("jobs_accepted", "Jobs that entered the queue"),
            now.batcher.accepted,
        )?;
        page.counters(
            (
                "jobs",
                "Accepted jobs that were answered, by what they came to",
            ),
            by_code(
                "outcome",
                answered.filter(|&(code, count)| count > 0 || code.ends_jobs()),
            ),
        )?;
        page.counters(
            (
                "jobs_cancelled",
                "Accepted jobs whose caller left, while queued or later",
            ),
            when(
                now.batcher.cancelled_queued,
                now.batcher.cancelled_in_flight,
            ),
        )?;
        page.counters(
            (
                "jobs_refused",
                "Requests that never entered the queue, by problem",
            ),
            by_code("code", metrics.refused.counts_of(Code::refuses)),
        )?;
        page.counter(
            (
                "jobs_kept_apart",
                "Jobs that a batch left without because it had another of the same id, once each",
            ),
            self.gauges.now.batcher.kept_apart,
        )?;
        page.histogram(
            (
                "job_duration_seconds",
                "Time of accepted jobs from arrival to answer",
            ),
            &metrics.job_duration.read(),
        )
    }

    fn queue(&self, page: &mut Page<'_>) -> fmt::Result {
        let batcher = self.gauges.now.batcher;
        page.histogram(
            (
                "queue_wait_seconds",
                "Time of jobs from arrival to their batch leaving for the first time",
            ),
            &self.observer.metrics.queue_wait.read(),
        )?;
        page.gauge(
            ("queue_jobs", "Jobs that wait, in the queue or for a retry"),
            batcher.queued,
        )?;
        page.gauge(("queue_bytes", "Their bytes"), batcher.queued_bytes)?;
        page.gauge(
            (
                "queue_waiting_for_room_jobs",
                "Jobs that found the queue full and wait for room (queue.on_full = \"wait\")",
            ),
            batcher.waiting_for_room,
        )?;
        page.gauge(
            (
                "buffered_bytes",
                "Bytes of bodies being received and of answers not taken yet (server.max_buffered)",
            ),
            self.gauges.buffered,
        )?;
        page.gauge(
            (
                "queue_capacity_jobs",
                "Most jobs that may wait (queue.max_jobs)",
            ),
            self.gauges.queue_capacity,
        )
    }

    fn batches(&self, page: &mut Page<'_>) -> fmt::Result {
        let (metrics, batcher) = (&self.observer.metrics, self.gauges.now.batcher);
        let batches = FlushReason::ALL.iter().flat_map(|reason| {
            let counts = metrics.batches[*reason as usize].counts_of(Code::ends_batches);
            let counts = counts.map(|(code, count)| (code.as_str(), count));
            let abandoned = metrics.batches_abandoned[*reason as usize].load(Ordering::Relaxed);
            counts
                .chain([("abandoned", abandoned)])
                .map(|(outcome, count)| {
                    let reason = ("reason", reason.as_str().to_owned());
                    ([reason, ("outcome", outcome.to_owned())], count)
                })
        });
        page.counters(
            (
                "batches",
                "Batches that ended, by why they left and what they came to",
            ),
            batches,
        )?;
        page.histogram(
            ("batch_size_jobs", "Jobs in a batch when it leaves"),
            &metrics.batch_jobs.read(),
        )?;
        page.histogram(
            (
                "batch_size_bytes",
                "Bytes of a batch's array when it leaves",
            ),
            &metrics.batch_bytes.read(),
        )?;
        page.histogram(
            (
                "batch_fill_ratio",
                "How full a batch is when it leaves, of batch.max_size or batch.max_bytes, whichever is more",
            ),
            &metrics.batch_fill.read(),
        )?;
        page.gauge(
            ("batches_in_flight", "Batches that occupy a slot"),
            batcher.in_flight,
        )?;
        page.gauge(
            (
                "in_flight_limit",
                "Slots there are (upstream.max_in_flight)",
            ),
            batcher.max_in_flight,
        )
    }

    fn upstream(&self, page: &mut Page<'_>) -> fmt::Result {
        let metrics = &self.observer.metrics;
        page.family(
            (
                "upstream_duration_seconds",
                "Time of calls to the upstream, by what they came to",
            ),
            MetricType::Histogram,
            |mut it| {
                for (outcome, histogram) in CallOutcome::all().zip(&metrics.upstream_duration) {
                    let reading = histogram.read();
                    if reading.count > 0 {
                        it.encode_family(&[("outcome", outcome.as_str())])?
                            .encode_histogram::<NoLabelSet>(
                                reading.sum,
                                reading.count,
                                &reading.buckets,
                                None,
                            )?;
                    }
                }
                Ok(())
            },
        )?;
        page.counters(
            (
                "upstream_requests",
                "Calls to the upstream, by the status of its answer or none",
            ),
            metrics.statuses().map(|(status, count)| {
                let status = status.map_or("none".to_owned(), |status| status.to_string());
                ([("status", status)], count)
            }),
        )?;
        page.counter(("retries", "Batches sent again"), metrics.total_retries())?;
        page.counter(
            (
                "retry_budget_exhausted",
                "Batches not sent again for want of retry.budget",
            ),
            metrics.total_budget_exhausted(),
        )?;
        page.counters(
            ("splits", "Batches sent again in halves, by why"),
            SplitCause::ALL.iter().map(|&cause| {
                (
                    [("cause", cause.as_str().to_owned())],
                    metrics.splits(cause),
                )
            }),
        )?;
        page.counters(
            (
                "results_unmatched",
                "Results that no job of their batch has asked for, by what is wrong with them",
            ),
            metrics
                .unmatched_by_kind()
                .map(|(kind, count)| ([("kind", kind.to_owned())], count)),
        )?;
        page.gauge(
            (
                "circuit_open",
                "1 while jobs are refused because the upstream has failed too often",
            ),
            usize::from(self.gauges.circuit_open),
        )?;
        page.counter(
            (
                "log_lines_dropped",
                "Lines of the log that were dropped, since stderr did not take them",
            ),
            self.gauges.log_lines_dropped,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_families_as_their_samples() {
        let open_metrics = "\
# HELP a Some a
# TYPE a counter
a_total{x=\"1\"} 2
# HELP b_info Not a fact
# TYPE b_info gauge
b_info 3
# HELP build The version
# TYPE build info
build_info{version=\"1\"} 1
# EOF
";
        let text = "\
# HELP a_total Some a
# TYPE a_total counter
a_total{x=\"1\"} 2
# HELP b_info Not a fact
# TYPE b_info gauge
b_info 3
# HELP build_info The version
# TYPE build_info gauge
build_info{version=\"1\"} 1
";
        assert_eq!(classic(open_metrics), text);
    }

    #[test]
    fn the_format_is_the_one_asked_for() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3,*/*;q=0.1";
        assert_eq!(Format::accepted_by(prometheus), Format::OpenMetrics);
        for accept in ["", "*/*", "text/plain;version=0.0.4"] {
            assert_eq!(Format::accepted_by(accept), Format::Text);
        }
    }
}
