//! What `GET /metrics` says, read by a parser that is not ours.

use std::collections::{BTreeMap, BTreeSet};

use openmetrics_parser::openmetrics::parse_openmetrics;
use openmetrics_parser::prometheus::parse_prometheus;
use openmetrics_parser::{HistogramValue, OpenMetricsValue, PrometheusValue};

use super::{Proxy, Request, send};

/// What Prometheus sends by default.
const OPEN_METRICS: &str =
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";

/// One answer of `GET /metrics`.
pub struct Scrape {
    pub text: String,
    /// By name, as the samples have it.
    pub families: BTreeMap<String, Family>,
    /// Counters, gauges, and of histograms `_count` and `_sum`, as
    /// `jobs_total{outcome="ok"}`.
    pub values: BTreeMap<String, f64>,
}

/// A name, and what is said of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    pub kind: String,
    pub help: String,
    /// Each label with the values that it has here; `le` apart.
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

type Labels = Vec<(String, String)>;

impl Scrape {
    /// The text format 0.0.4.
    pub async fn of(proxy: &Proxy) -> Self {
        let answer = proxy.admin("GET", "/metrics").await;
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, content_type)
        );
        let text = answer.text().to_owned();
        let mut scrape = Self::described(&text);
        let parsed = parse_prometheus(&without_empty(&text));
        let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {text}"));
        for (name, family) in &parsed.families {
            for sample in family.iter_samples() {
                let labels = labels(sample.get_labelset().expect("labels").iter());
                match &sample.value {
                    PrometheusValue::Counter(it) => scrape.add(name, labels, it.value.as_f64()),
                    PrometheusValue::Gauge(it) => scrape.add(name, labels, it.as_f64()),
                    PrometheusValue::Histogram(it) => scrape.add_histogram(name, labels, it),
                    other => panic!("{name} is {other:?}"),
                }
            }
        }
        scrape
    }

    /// OpenMetrics 1.0, with the names that Prometheus stores.
    pub async fn of_open_metrics(proxy: &Proxy) -> Self {
        let admin = proxy.admin_addr.expect("an admin listener");
        let request = Request::new("GET", "/metrics").header("accept", OPEN_METRICS);
        let answer = send(admin, request).await;
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, content_type)
        );
        let text = answer.text().to_owned();
        let mut scrape = Self::described(&text);
        let parsed = parse_openmetrics(&without_empty(&text));
        let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {text}"));
        for (name, family) in &parsed.families {
            for sample in family.iter_samples() {
                let labels = labels(sample.get_labelset().expect("labels").iter());
                match &sample.value {
                    OpenMetricsValue::Counter(it) => {
                        scrape.add(&format!("{name}_total"), labels, it.value.as_f64());
                    }
                    OpenMetricsValue::Gauge(it) => scrape.add(name, labels, it.as_f64()),
                    OpenMetricsValue::Info => scrape.add(&format!("{name}_info"), labels, 1.0),
                    OpenMetricsValue::Histogram(it) => scrape.add_histogram(name, labels, it),
                    other => panic!("{name} is {other:?}"),
                }
            }
        }
        scrape
    }

    /// What the comments say, by the names that the samples of a text scrape have.
    fn described(text: &str) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        for line in text.lines() {
            if let Some((name, help)) = words(line, "# HELP ") {
                let known = families.insert(name.to_owned(), Family::default());
                assert_eq!(known, None, "{name} is told twice");
                families.get_mut(name).expect("it was put there").help = help.to_owned();
            }
            if let Some((name, kind)) = words(line, "# TYPE ") {
                let family = families.get_mut(name);
                let family = family.unwrap_or_else(|| panic!("no HELP before TYPE of {name}"));
                family.kind = kind.to_owned();
            }
        }
        let stored = |(name, mut family): (String, Family)| match family.kind.as_str() {
            "counter" if !name.ends_with("_total") => (name + "_total", family),
            "info" => {
                family.kind = "gauge".to_owned();
                (name + "_info", family)
            }
            _ => (name, family),
        };
        Self {
            text: text.to_owned(),
            families: families.into_iter().map(stored).collect(),
            values: BTreeMap::new(),
        }
    }

    fn add(&mut self, name: &str, labels: Labels, value: f64) {
        let family = self.families.get_mut(name);
        let family = family.unwrap_or_else(|| panic!("{name} has neither HELP nor TYPE"));
        for (label, value) in &labels {
            family
                .labels
                .entry(label.clone())
                .or_default()
                .insert(value.clone());
        }
        self.put(name, "", &labels, value);
    }

    /// Prometheus takes cumulative buckets for granted, the last one infinite and
    /// the count itself.
    fn add_histogram(&mut self, name: &str, labels: Labels, histogram: &HistogramValue) {
        let buckets = &histogram.buckets;
        let (count, sum) = (
            histogram.count.expect("a count"),
            histogram.sum.expect("a sum"),
        );
        assert!(
            buckets.windows(2).all(|pair| {
                pair[0].upper_bound < pair[1].upper_bound
                    && pair[0].count.as_f64() <= pair[1].count.as_f64()
            }),
            "{name}: {buckets:?}"
        );
        let last = buckets.last().expect("a bucket");
        assert_eq!(
            (last.upper_bound, last.count.as_f64()),
            (f64::INFINITY, count as f64),
            "{name}"
        );
        // No value is under the bucket below its own.
        let (mut least, mut below, mut from) = (0.0, 0.0, 0.0);
        for bucket in buckets {
            least += (bucket.count.as_f64() - below) * from;
            (below, from) = (bucket.count.as_f64(), bucket.upper_bound);
        }
        assert!(
            sum.as_f64() >= least * 0.999,
            "{name}: {} < {least}",
            sum.as_f64()
        );
        self.add(name, labels.clone(), 0.0);
        self.values.remove(&sample(name, "", &labels));
        self.put(name, "_count", &labels, count as f64);
        self.put(name, "_sum", &labels, sum.as_f64());
    }

    fn put(&mut self, name: &str, suffix: &str, labels: &Labels, value: f64) {
        let sample = sample(name, suffix, labels);
        let before = self.values.insert(sample.clone(), value);
        assert_eq!(before, None, "{sample} is there twice");
    }

    /// One value, 0 where there is none.
    pub fn get(&self, sample: &str) -> f64 {
        self.values.get(sample).copied().unwrap_or_default()
    }

    /// The sum of a family, over all its labels.
    pub fn sum(&self, family: &str) -> f64 {
        let values = self.values.iter();
        let values = values.filter(|(sample, _)| sample.split('{').next() == Some(family));
        values.map(|(_, value)| value).sum()
    }

    /// Accepted jobs that were neither answered nor given up by their callers.
    pub fn unanswered(&self) -> f64 {
        self.sum("jobs_accepted_total") - self.sum("jobs_total") - self.sum("jobs_cancelled_total")
    }
}

/// A name as we say it: without the prefix that all have, and without the route where that
/// is `jobs`, which most proxies have alone.
fn sample(name: &str, suffix: &str, labels: &Labels) -> String {
    let name = name.strip_prefix("microbatch_");
    let name = name.expect("every name has the prefix");
    let told = |(label, value): &&(String, String)| (&**label, &**value) != ("route", "jobs");
    let labels: Vec<_> = labels
        .iter()
        .filter(told)
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    match labels.is_empty() {
        true => format!("{name}{suffix}"),
        false => format!("{name}{suffix}{{{}}}", labels.join(",")),
    }
}

fn labels<'a>(set: impl Iterator<Item = (&'a String, &'a String)>) -> Labels {
    set.map(|(label, value)| (label.clone(), value.clone()))
        .collect()
}

fn words<'a>(line: &'a str, comment: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(comment)?.split_once(' ')
}

/// The parser takes the comments of a family without samples for those of the
/// next one, so it is not shown them.
fn without_empty(text: &str) -> String {
    let mut kept = String::new();
    let mut comments = String::new();
    for line in text.lines() {
        if line.starts_with("# HELP ") {
            comments.clear();
        }
        if line.starts_with("# HELP ") || line.starts_with("# TYPE ") {
            comments += &format!("{line}\n");
        } else {
            kept += &format!("{}{line}\n", std::mem::take(&mut comments));
        }
    }
    kept
}
