//! The options: what each layer gives, as it is written, and every setting in one table.
//!
//! Each layer is [`Options`] of its own, and an upper one is [combined](Options::combine) with those
//! below it, key by key. The table has all there is to know of a setting: its meaning, type,
//! default, range and flag. A new setting is a new row, and a new section a new block and a field;
//! the rest (layers, flags, printing) follows from here, see [`super::table`].

use std::time::Duration;

use http::HeaderMap;
use url::Url;

use super::address::{address, optional_address};
use super::duration::{DAY, HOUR, MILLISECOND, MONTH, ZERO, time};
use super::given::Given;
use super::headers::headers;
use super::kind::{Kind, Raw};
use super::level::level;
use super::list::{host_names, statuses};
use super::mistake::Origin;
use super::number::{count, fraction, or, switch};
use super::size::{GIB, size};
use super::table::{Key, sections};
use super::target::target;
use super::words::words;
use crate::batcher::{OnFull, Wait};
use crate::later::StoreKind;
use crate::telemetry::Format;

/// What a setting is.
pub type KeyInfo = Key<Options>;

/// What one layer gives, or several that are combined. `Debug` and whatever prints it redact
/// secrets.
#[derive(Clone, Default)]
pub struct Options {
    pub(crate) server: ServerOptions,
    pub(crate) admin: AdminOptions,
    pub(crate) route: RouteOptions,
    pub(crate) later: LaterOptions,
    pub(crate) shutdown: ShutdownOptions,
    pub(crate) log: LogOptions,
}

/// The sections that are about where jobs go, and how. A route that has some of its own takes the
/// rest, key by key, from those that are [combined](Options::combine) below them.
#[derive(Clone, Default)]
pub(crate) struct RouteOptions {
    pub(crate) batch: BatchOptions,
    pub(crate) queue: QueueOptions,
    pub(crate) upstream: UpstreamOptions,
    pub(crate) retry: RetryOptions,
    pub(crate) circuit: CircuitOptions,
}

fn wait() -> Kind<Wait> {
    words(&[("fixed", Wait::Fixed), ("adaptive", Wait::Adaptive)])
}

fn on_full() -> Kind<OnFull> {
    words(&[("reject", OnFull::Reject), ("wait", OnFull::Wait)])
}

/// Whether there are any.
fn results() -> Kind<bool> {
    words(&[("by-id", true), ("none", false)])
}

fn store() -> Kind<StoreKind> {
    words(&[("memory", StoreKind::Memory), ("off", StoreKind::Off)])
}

fn log_format() -> Kind<Format> {
    words(&[
        ("auto", Format::Auto),
        ("text", Format::Text),
        ("json", Format::Json),
    ])
}

/// The most memory that a bound may be: 64 GiB, or all there can be.
const LARGEST: usize = GIB.saturating_mul(64);

sections! { Options:
    /// `[server]`: the listener that takes jobs.
    server at [server]: ServerOptions {
        /// Where jobs come in; port 0 is any free one
        listen: String = "127.0.0.1:8080", address(), "--listen" "HOST:PORT";
        /// Threads that serve callers, or auto
        threads: Option<usize> = "auto", or(count(1..=1_024), "auto"), "--threads" "N";
        /// Largest body of one job
        max_body: usize = "256KiB", size(1..=GIB), "--max-body" "SIZE";
        /// Levels that a job may nest, itself the first
        max_depth: usize = "128", count(1..=128);
        /// Most memory for bodies being received and answers not taken
        max_buffered: usize = "256MiB", size(1..=LARGEST);
        /// Longest a job may stay, arrival to answer
        request_timeout: Duration = "30s", time(MILLISECOND..=DAY), "--request-timeout" "DURATION";
        /// Longest a caller may take to send a head, and then a body
        read_timeout: Duration = "10s", time(MILLISECOND..=DAY);
        /// Longest a connection may be idle between two requests
        idle_timeout: Duration = "1m 15s", time(MILLISECOND..=DAY);
        /// Longest a caller may take nothing of an answer
        write_timeout: Duration = "30s", time(MILLISECOND..=DAY);
        /// Most connections of callers, or auto
        max_connections: Option<usize> = "auto", or(count(1..=10_000_000), "auto");
        /// Answer with a Server-Timing header
        timing: bool = "true", switch();
        /// Host names to answer to on loopback, besides localhost
        hosts: Vec<String> = "[]", host_names();
    }

    /// `[admin]`: the listener for operators.
    admin at [admin]: AdminOptions {
        /// Live page, metrics and health; "" for nowhere
        listen: Option<String> = "127.0.0.1:8081", optional_address(), "--admin-listen" "HOST:PORT";
        /// Host names to answer to on loopback, besides localhost
        hosts: Vec<String> = "[]", host_names();
    }

    /// `[batch]`: when a batch leaves, and how large it may be.
    batch at [route.batch]: BatchOptions {
        /// Most jobs in one batch
        max_size: usize = "100", count(1..=100_000), "--max-size" "N";
        /// Largest array sent upstream
        max_bytes: usize = "1MiB", size(1..=GIB), "--max-bytes" "SIZE";
        /// Longest a job waits for company while a slot is free
        max_wait: Duration = "5ms", time(ZERO..=HOUR), "--max-wait" "DURATION";
        /// Whether to wait less where waiting can't pay
        wait: Wait = "fixed", wait(), "--wait" "fixed|adaptive";
    }

    /// `[queue]`: what bounds the jobs that wait.
    queue at [route.queue]: QueueOptions {
        /// Most jobs that wait
        max_jobs: usize = "10000", count(1..=10_000_000), "--queue-max-jobs" "N";
        /// Most bytes of jobs that wait
        max_bytes: usize = "64MiB", size(1..=LARGEST);
        /// What a job does that finds the queue full: reject or wait
        on_full: OnFull = "reject", on_full();
    }

    /// `[upstream]`: where batches go, and how.
    upstream at [route.upstream]: UpstreamOptions {
        /// Where batches are POSTed (required)
        url: Url, target(), "--upstream" "URL";
        /// Most batches in flight at once, or adaptive
        max_in_flight: Option<usize> = "10", or(count(1..=10_000), "adaptive"), "--max-in-flight" "N";
        /// Longest the upstream may take to answer a batch
        timeout: Duration = "10s", time(MILLISECOND..=DAY), "--upstream-timeout" "DURATION";
        /// Longest a connection to the upstream may take to open
        connect_timeout: Duration = "1s", time(MILLISECOND..=HOUR);
        /// Largest answer to one batch
        max_response: usize = "16MiB", size(2..=GIB);
        /// Longest a connection to the upstream is kept without a batch
        idle_timeout: Duration = "4s", time(MILLISECOND..=HOUR);
        /// Longest a connection to the upstream is given new batches; 0 for no limit
        max_connection_age: Duration = "1m", time(ZERO..=DAY);
        /// Header sent with every batch (repeatable)
        headers: HeaderMap = "{}", headers(), "--upstream-header" "K: V";
        /// Whether the upstream answers by-id, or none that is read
        results: bool = "by-id", results();
        /// Status of a job whose result has an error
        job_error_status: u16 = "422", count(400..=599);
        /// Whether doing a job twice does no harm
        idempotent: bool = "false", switch();
        /// Statuses on which a batch is bisected to find the job to blame
        split_on: Vec<u16> = "[]", statuses();
        /// Shortest time between two batches leaving; 0 for none
        min_interval: Duration = "0", time(ZERO..=HOUR);
    }

    /// `[later]`: answers fetched later.
    later at [later]: LaterOptions {
        /// Where answers fetched later are kept: memory, or off
        store: StoreKind = "memory", store();
        /// Most jobs that are kept, finished or not
        max_jobs: usize = "100000", count(1..=100_000_000);
        /// Most bytes of their jobs and answers
        max_bytes: usize = "1GiB", size(1..=LARGEST);
        /// How long an answer is kept
        keep: Duration = "1h", time(MILLISECOND..=MONTH);
        /// Longest that a job may take to finish
        job_timeout: Duration = "1h", time(MILLISECOND..=MONTH);
        /// Longest a job for later waits for company
        max_wait: Duration = "1s", time(ZERO..=HOUR);
    }

    /// `[retry]`: when a failed batch is sent again.
    retry at [route.retry]: RetryOptions {
        /// Most times one batch is sent, the first included; 1 for no retries
        max_attempts: u32 = "3", count(1..=100);
        /// Longest pause before the first retry
        base: Duration = "25ms", time(MILLISECOND..=HOUR);
        /// Longest pause before any retry
        cap: Duration = "1s", time(MILLISECOND..=HOUR);
        /// Retries allowed, as a share of the batches of the last 10 s
        budget: f64 = "0.2", fraction(0.0..=1.0);
        /// Retries allowed in any 10 s whatever the load
        budget_min: u32 = "3", count(0..=1_000_000);
    }

    /// `[circuit]`: when jobs are refused because the upstream is down.
    circuit at [route.circuit]: CircuitOptions {
        /// Failed calls in a row that open the circuit; 0 for never
        failures: u32 = "0", count(0..=1_000_000);
        /// Time from the circuit opening to the probing batch
        open_for: Duration = "5s", time(MILLISECOND..=HOUR);
    }

    /// `[shutdown]`: how the process ends.
    shutdown at [shutdown]: ShutdownOptions {
        /// Time from /readyz saying no to the listener closing
        delay: Duration = "0", time(ZERO..=HOUR);
        /// Longest that accepted jobs may take to finish
        timeout: Duration = "5s", time(ZERO..=HOUR), "--shutdown-timeout" "DURATION";
    }

    /// `[log]`: what is logged to stderr.
    log at [log]: LogOptions {
        /// Level, or by target: warn,microbatch=debug
        level: String = "info", level(), "--log-level" "LEVEL";
        /// Auto is text on a terminal, else json
        format: Format = "auto", log_format(), "--log-format" "auto|text|json";
        /// Whether log and live page show what an answer said that failed a whole batch
        upstream_errors: bool = "true", switch();
    }
}

impl Options {
    /// The lowest layer: every default.
    pub(crate) fn defaults() -> Self {
        let mut options = Options::default();
        for key in keys() {
            if let Some(text) = key.default {
                // A default that does not read leaves its setting without a value.
                let _ = (key.read)(&mut options, Raw::Text(text), Origin::Default);
            }
        }
        options
    }

    /// These over those of a lower layer, key by key.
    pub(crate) fn combine(mut self, lower: &Options) -> Self {
        keys()
            .iter()
            .for_each(|key| (key.combine)(&mut self, lower));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml};
    use super::*;

    #[test]
    fn every_name_follows_from_the_key() {
        for key in keys() {
            let env = key.key.to_uppercase().replace('.', "__");
            assert_eq!(key.env(), format!("MICROBATCH_{env}"));
            assert!(SECTIONS.contains(&key.section()));
            assert!(!key.help.is_empty() && !key.name().is_empty());
            assert!(key.flag.is_none_or(|flag| flag.starts_with("--")));
            assert_eq!(key.flag.is_none(), key.value_name.is_empty());
        }
    }

    #[test]
    fn every_default_reads_and_prints_as_itself() {
        let defaults = Options::defaults();
        for key in keys() {
            let printed = (key.printed)(&defaults);
            let printed = printed.as_ref().map(|value| value.trim_matches('"'));
            assert_eq!(printed, key.default, "{}", key.key);
        }
    }

    /// What one layer gives.
    fn given(given: &[(&str, &str)]) -> Options {
        let mut options = Options::default();
        for (name, text) in given {
            let key = keys().iter().find(|key| key.key == *name).unwrap();
            (key.read)(&mut options, Raw::Text(text), Origin::Env(key.env())).unwrap();
        }
        options
    }

    #[test]
    fn a_route_inherits_key_by_key() {
        let own = given(&[("batch.max_size", "32"), ("upstream.url", "http://own/")]);
        let top = given(&[
            ("batch.max_size", "7"),
            ("batch.wait", "adaptive"),
            ("retry.max_attempts", "1"),
            ("upstream.headers", "{ a = \"top\" }"),
        ]);
        let all = own.combine(&top).combine(&Options::defaults()).route;
        assert_eq!(all.batch.max_size.get(), Some(32));
        assert_eq!(all.batch.wait.get(), Some(Wait::Adaptive));
        assert_eq!(all.batch.max_wait.get(), Some(Duration::from_millis(5)));
        assert_eq!(all.retry.max_attempts.get(), Some(1));
        assert_eq!(all.retry.cap.get(), Some(Duration::from_secs(1)));
        assert_eq!(all.upstream.url.get().unwrap().as_str(), "http://own/");
        assert_eq!(all.upstream.headers.get().unwrap()["a"], "top");
        let places = [all.batch.max_size.origin(), all.batch.max_wait.origin()];
        let places = places.map(|origin| origin.unwrap().to_string());
        assert_eq!(places, ["MICROBATCH_BATCH__MAX_SIZE", "default"]);
    }

    #[test]
    fn a_wrong_value_hides_what_is_below_it() {
        let mut upper = Options::default();
        let key = keys()
            .iter()
            .find(|key| key.key == "batch.max_size")
            .unwrap();
        assert!((key.read)(&mut upper, Raw::Text("0"), Origin::Flag("--max-size")).is_err());
        let all = upper.combine(&Options::defaults());
        assert_eq!(all.route.batch.max_size.get(), None);
        assert_eq!(
            all.route.batch.max_size.origin(),
            Some(&Origin::Flag("--max-size"))
        );
    }

    #[test]
    fn words_are_exact_and_an_error_lists_them() {
        fn value<T>(kind: &Kind<T>, text: &str) -> T {
            kind.read(Raw::Text(text)).unwrap()
        }
        assert_eq!(value(&wait(), "fixed"), Wait::Fixed);
        assert_eq!(value(&wait(), "adaptive"), Wait::Adaptive);
        assert_eq!(value(&on_full(), "reject"), OnFull::Reject);
        assert_eq!(value(&on_full(), "wait"), OnFull::Wait);
        assert!(value(&results(), "by-id"));
        assert!(!value(&results(), "none"));
        assert_eq!(value(&log_format(), "auto"), Format::Auto);
        assert_eq!(value(&log_format(), "text"), Format::Text);
        assert_eq!(value(&log_format(), "json"), Format::Json);
        for text in ["Fixed", "fixd", "", " fixed"] {
            let expected = format!("must be \"fixed\" or \"adaptive\", not {text:?}");
            assert_eq!(from_text(&wait(), text), Err(expected));
        }
        let expected = "must be \"auto\" or \"text\" or \"json\", not a boolean".to_owned();
        assert_eq!(from_toml(&log_format(), "true"), Err(expected));
        let printed = from_toml(&results(), "\"by-id\"");
        assert_eq!(printed, Ok("\"by-id\"".to_owned()));
    }
}
