//! The options: what each layer gives, as it is written, and every setting in one table.
//!
//! Each layer is [`Options`] of its own, and an upper one is [combined](Options::combine) with those
//! below it, key by key. The table has all there is to know of a setting: its meaning, type,
//! default, range and flag. A new setting is a new row, and a new section a new block and a field;
//! the rest (layers, flags, printing) follows from here, see [`super::table`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use url::Url;

use super::address::{address, optional_address};
use super::door::{collector, mode, otlp_protocol, server_name};
use super::duration::{DAY, HOUR, MILLISECOND, MONTH, ZERO, time};
use super::given::Given;
use super::headers::{forward_headers, headers};
use super::kind::{Kind, Raw, must_be};
use super::level::level;
use super::list::{host_names, statuses};
use super::mistake::Origin;
use super::number::{count, fraction, or, switch};
use super::shape::ShapeOptions;
use super::size::{GIB, size};
use super::store::{file, prefix, store};
use super::table::{Key, sections};
use super::target::target;
use super::words::words;
use crate::address::Address;
use crate::batcher::{OnFull, Wait};
use crate::later::StoreKind;
use crate::printable::shown;
use crate::telemetry::{Format, Protocol};

/// What a setting is.
pub type KeyInfo = Key<Options>;

/// What one layer gives, or several that are combined. `Debug` and whatever prints it redact
/// secrets.
#[derive(Clone, Default)]
pub struct Options {
    pub(crate) server: ServerOptions,
    pub(crate) server_tls: ServerTlsOptions,
    pub(crate) server_auth: ServerAuthOptions,
    pub(crate) admin: AdminOptions,
    pub(crate) admin_tls: AdminTlsOptions,
    pub(crate) admin_auth: AdminAuthOptions,
    /// Of the route `jobs`, and what other routes inherit.
    pub(crate) route: RouteOptions,
    /// What the other routes have of their own, by name: their `route` alone is ever given.
    pub(crate) routes: BTreeMap<String, Options>,
    pub(crate) passthrough: PassthroughOptions,
    pub(crate) later: LaterOptions,
    pub(crate) shutdown: ShutdownOptions,
    pub(crate) log: LogOptions,
    pub(crate) otlp: OtlpOptions,
}

/// What is about where jobs go, and how.
#[derive(Clone, Default)]
pub(crate) struct RouteOptions {
    /// Where it is first spoken of, unless it is the top level's.
    pub(crate) place: Option<Origin>,
    pub(crate) own: OwnOptions,
    pub(crate) shape: ShapeOptions,
    pub(crate) batch: BatchOptions,
    pub(crate) queue: QueueOptions,
    pub(crate) upstream: UpstreamOptions,
    pub(crate) upstream_tls: UpstreamTlsOptions,
    pub(crate) retry: RetryOptions,
    pub(crate) circuit: CircuitOptions,
}

fn wait() -> Kind<Wait> {
    words(&[("fixed", Wait::Fixed), ("adaptive", Wait::Adaptive)])
}

fn on_full() -> Kind<OnFull> {
    words(&[("reject", OnFull::Reject), ("wait", OnFull::Wait)])
}

fn log_format() -> Kind<Format> {
    words(&[
        ("auto", Format::Auto),
        ("text", Format::Text),
        ("json", Format::Json),
    ])
}

fn path() -> Kind<String> {
    const ALLOWED: &str = "an absolute path in printable ASCII such as \"/v1/models/{model}\"";
    let read = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
        match text.starts_with('/') && text.bytes().all(plain) {
            true => Ok(text.to_owned()),
            false => Err(must_be(ALLOWED, shown(text))),
        }
    };
    Kind::text(ALLOWED, read, String::clone)
}

/// The most memory that a bound may be: 64 GiB, or all there can be.
const LARGEST: usize = GIB.saturating_mul(64);

sections! { Options:
    /// What a route has besides its sections.
    in [] at [route.own]: OwnOptions {
        /// Path that the route answers to, with {placeholders}
        path: String, path();
        /// Headers of callers that travel with their batch
        forward_headers: Vec<HeaderName> = "[]", forward_headers();
    }

    /// `[server]`: the listener that takes jobs.
    in [server] at [server]: ServerOptions {
        /// Where jobs come in; port 0 is any free one
        listen: Address = "127.0.0.1:8080", address(), "--listen" "ADDRESS";
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
        /// Permissions of the socket, where server.listen is one
        socket_mode: u32 = "0660", mode();
    }

    /// `[server.tls]`: the listener's certificate.
    in [server.tls] at [server_tls]: ServerTlsOptions {
        /// Certificate with its chain, in PEM; with one the listener speaks TLS alone
        cert: PathBuf, file();
        /// Its private key, in PEM
        key: PathBuf, file();
        /// Certificates, in PEM, one of which must have signed the client's
        client_ca: PathBuf, file();
    }

    /// `[server.auth]`: who may come in.
    in [server.auth] at [server_auth]: ServerAuthOptions {
        /// File of the tokens that are let in, by their digests
        tokens: PathBuf, file();
    }

    /// `[admin]`: the listener for operators.
    in [admin] at [admin]: AdminOptions {
        /// Live page, metrics and health; "" for nowhere
        listen: Option<Address> = "127.0.0.1:8081", optional_address(), "--admin-listen" "ADDRESS";
        /// Host names to answer to on loopback, besides localhost
        hosts: Vec<String> = "[]", host_names();
        /// Permissions of the socket, where admin.listen is one
        socket_mode: u32 = "0660", mode();
    }

    /// `[admin.tls]`: the listener's certificate.
    in [admin.tls] at [admin_tls]: AdminTlsOptions {
        /// Certificate with its chain, in PEM; with one the listener speaks TLS alone
        cert: PathBuf, file();
        /// Its private key, in PEM
        key: PathBuf, file();
        /// Certificates, in PEM, one of which must have signed the client's
        client_ca: PathBuf, file();
    }

    /// `[admin.auth]`: who may come in.
    in [admin.auth] at [admin_auth]: AdminAuthOptions {
        /// File of the tokens that are let in, by their digests
        tokens: PathBuf, file();
    }

    /// `[batch]`: when a batch leaves, and how large it may be.
    in [batch] at [route.batch]: BatchOptions {
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
    in [queue] at [route.queue]: QueueOptions {
        /// Most jobs that wait
        max_jobs: usize = "10000", count(1..=10_000_000), "--queue-max-jobs" "N";
        /// Most bytes of jobs that wait
        max_bytes: usize = "64MiB", size(1..=LARGEST);
        /// What a job does that finds the queue full: reject or wait
        on_full: OnFull = "reject", on_full();
    }

    /// `[upstream]`: where batches go, and how.
    in [upstream] at [route.upstream]: UpstreamOptions {
        /// Where batches are POSTed
        url: Url, target(), "--upstream" "URL";
        /// Where calls go that are not merged, if not there
        alone_url: Url, target();
        /// Most calls under way that are not merged
        max_alone: usize = "100", count(1..=10_000);
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
        /// Whether doing a job twice does no harm
        idempotent: bool = "false", switch();
        /// Statuses on which a batch is bisected to find the job to blame
        split_on: Vec<u16> = "[]", statuses();
        /// Shortest time between two batches leaving; 0 for none
        min_interval: Duration = "0", time(ZERO..=HOUR);
    }

    /// `[upstream.tls]`: what an `https` upstream is to show, and is shown.
    in [upstream.tls] at [route.upstream_tls]: UpstreamTlsOptions {
        /// Certificates, in PEM, that sign the upstream's, instead of the system's
        ca: PathBuf, file();
        /// Our certificate with its chain, in PEM
        cert: PathBuf, file();
        /// Its private key, in PEM
        key: PathBuf, file();
        /// Name that the upstream's certificate must have, instead of the URL's host
        server_name: String, server_name();
    }

    /// `[passthrough]`: where requests go that are no route's.
    in [passthrough] at [passthrough]: PassthroughOptions {
        /// Where requests go that are no route's
        url: Url, target();
    }

    /// `[later]`: answers fetched later.
    in [later] at [later]: LaterOptions {
        /// Where jobs and answers are kept; off for nowhere
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
        /// Times an idempotent job is sent if each ends in a crash, the first included
        max_attempts: u32 = "3", count(1..=100);
        /// How long a replica has what it claimed unless it renews it
        lease: Duration = "30s", time(MILLISECOND..=MONTH);
        /// What keys in Redis begin with
        prefix: String = "microbatch", prefix();
        /// Longest a step in Redis may take
        timeout: Duration = "2s", time(MILLISECOND..=HOUR);
        /// Certificates that a Redis is trusted by, in place of the system's
        ca: PathBuf, file();
        /// Whether a Redis will do that may lose jobs
        allow_volatile: bool = "false", switch();
    }

    /// `[retry]`: when a failed batch is sent again.
    in [retry] at [route.retry]: RetryOptions {
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
    in [circuit] at [route.circuit]: CircuitOptions {
        /// Failed calls in a row that open the circuit; 0 for never
        failures: u32 = "0", count(0..=1_000_000);
        /// Time from the circuit opening to the probing batch
        open_for: Duration = "5s", time(MILLISECOND..=HOUR);
    }

    /// `[shutdown]`: how the process ends.
    in [shutdown] at [shutdown]: ShutdownOptions {
        /// Time from /readyz saying no to the listener closing
        delay: Duration = "0", time(ZERO..=HOUR);
        /// Longest that accepted jobs may take to finish
        timeout: Duration = "5s", time(ZERO..=HOUR), "--shutdown-timeout" "DURATION";
    }

    /// `[log]`: what is logged to stderr.
    in [log] at [log]: LogOptions {
        /// Level, or by target: warn,microbatch=debug
        level: String = "info", level(), "--log-level" "LEVEL";
        /// Auto is text on a terminal, else json
        format: Format = "auto", log_format(), "--log-format" "auto|text|json";
        /// Whether log and live page show what an answer said that failed a whole batch
        upstream_errors: bool = "true", switch();
        /// Whether each answered request is a line of JSON on stdout
        access: bool = "false", switch();
    }

    /// `[telemetry.otlp]`: where spans go.
    in [telemetry.otlp] at [otlp]: OtlpOptions {
        /// Collector that spans are sent to by OTLP
        endpoint: Url, collector();
        /// How it is spoken to: http/protobuf or grpc
        protocol: Protocol = "http/protobuf", otlp_protocol();
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
        let keys = keys().iter();
        keys.for_each(|key| (key.combine)(&mut self, lower));
        self.route.shape.combine(&lower.route.shape);
        let place = lower.route.place.clone();
        self.route.place = place.or(self.route.place);
        for (name, lower) in &lower.routes {
            let upper = self.routes.remove(name).unwrap_or_default();
            self.routes.insert(name.clone(), upper.combine(lower));
        }
        self
    }

    /// All options as a route has them: its own, and where those say nothing, the top level's. No
    /// form and no credential reaches another service by default, so where to call, with which
    /// headers, whose, and in which shape is not inherited.
    pub(crate) fn of_route(&self, own: &Options) -> Options {
        let mut top = self.clone();
        top.routes.clear();
        let route = &mut top.route;
        route.own = OwnOptions::default();
        route.shape = ShapeOptions::default();
        route.upstream.url = Given::default();
        route.upstream.alone_url = Given::default();
        route.upstream.headers = Given::default();
        route.upstream_tls = UpstreamTlsOptions::default();
        own.clone().combine(&top).combine(&Options::defaults())
    }

    /// Where a value of the top level belongs, or of a route.
    pub(crate) fn of(&mut self, route: Option<&str>) -> &mut Options {
        match route {
            None => self,
            Some(name) => self.routes.entry(name.to_owned()).or_default(),
        }
    }
}

/// The sections of the top level, or those of a route.
pub(crate) fn sections(of_routes: bool) -> impl Iterator<Item = &'static str> + Clone {
    let mut sections = Vec::new();
    for section in known(of_routes).map(KeyInfo::section) {
        if !section.is_empty() && !sections.contains(&section) {
            sections.push(section);
        }
    }
    sections.into_iter()
}

/// The settings that the top level has, or a route.
pub(crate) fn known(of_routes: bool) -> impl Iterator<Item = &'static KeyInfo> + Clone {
    let has = move |key: &&KeyInfo| match of_routes {
        true => key.of_routes,
        false => !key.of_routes_alone(),
    };
    keys().iter().filter(has)
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml};
    use super::*;

    #[test]
    fn every_name_follows_from_the_key() {
        for key in keys() {
            let env = key.key.to_uppercase().replace('.', "__");
            let of_route = format!("MICROBATCH_ROUTES__A_1__{env}");
            assert_eq!(key.env_of("a_1"), of_route);
            match key.of_routes_alone() {
                true => assert_eq!(key.env(), key.env_of("name")),
                false => assert_eq!(key.env(), format!("MICROBATCH_{env}")),
            }
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
        ]);
        let all = top.combine(&Options::defaults()).of_route(&own).route;
        assert_eq!(all.batch.max_size.get(), Some(32));
        assert_eq!(all.batch.wait.get(), Some(Wait::Adaptive));
        assert_eq!(all.batch.max_wait.get(), Some(Duration::from_millis(5)));
        assert_eq!(all.retry.max_attempts.get(), Some(1));
        assert_eq!(all.retry.cap.get(), Some(Duration::from_secs(1)));
        assert_eq!(all.upstream.url.get().unwrap().as_str(), "http://own/");
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
        assert_eq!(value(&log_format(), "auto"), Format::Auto);
        assert_eq!(value(&log_format(), "text"), Format::Text);
        assert_eq!(value(&log_format(), "json"), Format::Json);
        for text in ["Fixed", "fixd", "", " fixed"] {
            let expected = format!("must be \"fixed\" or \"adaptive\", not {text:?}");
            assert_eq!(from_text(&wait(), text), Err(expected));
        }
        let expected = "must be \"auto\" or \"text\" or \"json\", not a boolean".to_owned();
        assert_eq!(from_toml(&log_format(), "true"), Err(expected));
    }
}
