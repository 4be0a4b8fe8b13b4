//! The metrics as text: each family of the table with its help, its type and its samples.

use super::families::{FAMILIES, Kind, Maker, Process, Route};
use super::samples::Samples;

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

    /// What a family of samples with this name is called, and its type. OpenMetrics names
    /// the families of counters and of facts without the suffix that their samples have,
    /// and knows a type for facts.
    fn described(self, name: &str, kind: Kind) -> (&str, &'static str) {
        let (suffix, kind) = match (self, kind) {
            (Self::OpenMetrics, Kind::Counter) => ("_total", kind.as_str()),
            (Self::OpenMetrics, Kind::Info) => ("_info", "info"),
            _ => ("", kind.as_str()),
        };
        (name.strip_suffix(suffix).unwrap_or(name), kind)
    }
}

/// Everything that is counted or looked up, as text.
pub fn exposition(process: &Process<'_>, routes: &[Route<'_>], format: Format) -> String {
    let mut text = String::with_capacity(32 * 1024 * routes.len());
    for family in FAMILIES {
        let is_of_later = matches!(family.maker, Maker::Store(_) | Maker::Later(_));
        if is_of_later && process.store.is_none() {
            continue;
        }
        let (name, kind) = format.described(family.name, family.kind);
        let help = family.help;
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        let mut samples = Samples {
            name: family.name,
            labels: family.labels,
            route: None,
            text: &mut text,
        };
        match family.maker {
            Maker::Process(write) => write(process, &mut samples),
            Maker::Store(write) => {
                let store = process.store.iter();
                store.for_each(|store| write(store, &mut samples));
            }
            Maker::Route(write) | Maker::Later(write) => {
                for route in routes {
                    samples.route = Some(route.name);
                    write(route, &mut samples);
                }
            }
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::code::Code;
    use crate::observe::event::{Bounds, Event};
    use crate::observe::metrics::counts::Metrics;
    use crate::observe::metrics::families::Store;
    use crate::observe::moment::Moment;
    use crate::observe::process;
    use crate::observe::records::{RecordBounds, RecordCounts, Records, StoreStep};

    #[test]
    fn open_metrics_names_families_without_the_suffix_of_their_samples() {
        use Format::{OpenMetrics, Text};
        for (format, name, kind, described) in [
            (Text, "a_total", Kind::Counter, ("a_total", "counter")),
            (Text, "b_info", Kind::Info, ("b_info", "gauge")),
            (
                Text,
                "c_seconds",
                Kind::Histogram,
                ("c_seconds", "histogram"),
            ),
            (OpenMetrics, "a_total", Kind::Counter, ("a", "counter")),
            (OpenMetrics, "b_info", Kind::Info, ("b", "info")),
            (OpenMetrics, "b_info", Kind::Gauge, ("b_info", "gauge")),
        ] {
            assert_eq!(format.described(name, kind), described, "{format:?}");
        }
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

    fn process(told: &process::Process) -> Process<'_> {
        Process {
            buffered: 0,
            told,
            log_lines_dropped: 0,
            passed_through: 0,
            store: None,
        }
    }

    static NONE: RecordCounts = RecordCounts {
        present: [0; 4],
        bytes: 0,
        oldest_queued: None,
        accepted: 0,
        finished: Vec::new(),
        deleted: [0; 4],
        expired_read: 0,
        expired_unread: 0,
    };

    fn metrics() -> Metrics {
        Metrics::new(Bounds {
            max_size: 1,
            max_bytes: 1,
        })
    }

    fn route<'a>(name: &'a str, metrics: &'a Metrics, moment: &'a Moment) -> Route<'a> {
        Route {
            records: &NONE,
            name,
            metrics,
            moment,
            queue_capacity: 0,
            circuit_open: false,
        }
    }

    #[test]
    fn each_route_has_samples_of_its_own_and_a_family_stays_together() {
        let [one, other] = [(); 2].map(|()| metrics());
        other.count(&Event::Alone { why: "stream" });
        let moment = Moment::default();
        let told = process::Process::default();
        let routes = [route("jobs", &one, &moment), route("two", &other, &moment)];
        let text = exposition(&process(&told), &routes, Format::Text);
        let alone =
            |route, count| format!("alone_total{{route=\"{route}\",why=\"stream\"}} {count}\n");
        for sample in [alone("jobs", 0), alone("two", 1)] {
            assert!(text.contains(&sample), "no {sample} in {text}");
        }
        let names: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("# TYPE "))
            .collect();
        let once: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), once.len());
        for family in FAMILIES {
            let of_a_route = matches!(family.maker, Maker::Route(_) | Maker::Later(_));
            let labelled = family.labels.first() == Some(&"route");
            assert_eq!(labelled, of_a_route, "{}", family.name);
        }
    }

    #[test]
    fn families_of_jobs_for_later_are_there_where_such_are_taken() {
        let (metrics, moment) = (metrics(), Moment::default());
        metrics.count(&Event::StoreFailed {
            step: StoreStep::Fetch,
        });
        let counts = RecordCounts {
            present: [4, 3, 2, 1],
            bytes: 600,
            oldest_queued: Some(Duration::from_millis(2_500)),
            accepted: 20,
            finished: vec![(Code::Ok, 8), (Code::UpstreamTimeout, 3)],
            deleted: [1, 1, 3, 0],
            expired_read: 4,
            expired_unread: 1,
        };
        let records = Records {
            counts: counts.clone(),
            bounds: RecordBounds {
                records: 100,
                bytes: 1_000,
            },
        };
        let store = Store {
            metrics: &metrics,
            records: &records,
        };
        let exposed = |store| {
            let told = process::Process::default();
            let process = Process {
                store,
                ..process(&told)
            };
            let route = Route {
                records: &counts,
                ..route("jobs", &metrics, &moment)
            };
            exposition(&process, &[route], Format::Text)
        };
        let without = exposed(None);
        assert!(!without.contains("_later_") && !without.contains("_store_"));
        let with = exposed(Some(store));
        for sample in [
            "later_jobs{route=\"jobs\",state=\"sent\"} 3",
            "later_accepted_total{route=\"jobs\"} 20",
            "later_finished_total{route=\"jobs\",outcome=\"upstream-timeout\"} 3",
            "later_finished_total{route=\"jobs\",outcome=\"job-error\"} 0",
            "later_deleted_total{route=\"jobs\",state=\"done\"} 3",
            "later_expired_total{route=\"jobs\",read=\"true\"} 4",
            "later_expired_total{route=\"jobs\",read=\"false\"} 1",
            "later_oldest_queued_seconds{route=\"jobs\"} 2.5",
            "store_fill_ratio 0.6",
            "store_errors_total{op=\"fetch\"} 1",
            "store_errors_total{op=\"accept\"} 0",
            "store_commit_seconds_count 0",
            "later_free_seats_total{route=\"jobs\"} 0",
        ] {
            let line = format!("\nmicrobatch_{sample}\n");
            assert!(with.contains(&line), "no {sample} in {with}");
        }
        assert!(!with.contains("later_finished_total{route=\"jobs\",outcome=\"store-full\"}"));
    }
}
