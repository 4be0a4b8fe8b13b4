//! The standard variables of OpenTelemetry (`OTEL_…`), as far as they say where spans go and
//! how. The settings of `[telemetry.otlp]` win over them.
//!
//! Many processes share such variables, so that a value which is not understood is told of and
//! left out, as their specification wants it; an endpoint that is none is a mistake.
//!
//! Source: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry
//! Protocol Exporter".

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::door::collector;
use super::kind::Raw;
use super::mistake::{Mistake, Origin};
use super::options::OtlpOptions;
use crate::telemetry::{Collector, Protocol, Sampler};

/// What is to be sent, and what was said of it.
#[derive(Default)]
pub(crate) struct Spans {
    /// Where they go, if anywhere.
    pub collector: Option<Collector>,
    /// What is not understood, and what is done in its place.
    pub warnings: Vec<String>,
    /// What nothing can be done about.
    pub mistakes: Vec<Mistake>,
}

/// The port that gRPC has by convention.
const GRPC_PORT: u16 = 4317;

const SERVICE_NAME: &str = "service.name";

/// What these settings and this environment come to.
pub(crate) fn spans(options: &OtlpOptions, env: &[(OsString, OsString)]) -> Spans {
    let mut env = Otel {
        env,
        warnings: Vec::new(),
    };
    let mut mistakes = Vec::new();
    let collector = match env.is_off() {
        true => None,
        false => env.collector(options, &mut mistakes),
    };
    // Nobody is told of what is not used.
    let warnings = match collector {
        Some(_) => env.warnings,
        None => Vec::new(),
    };
    Spans {
        collector,
        warnings,
        mistakes,
    }
}

struct Otel<'a> {
    env: &'a [(OsString, OsString)],
    warnings: Vec<String>,
}

impl Otel<'_> {
    /// Whether no span is to be sent, whatever else is said.
    fn is_off(&mut self) -> bool {
        let disabled = self.get("OTEL_SDK_DISABLED");
        let exporter = self.get("OTEL_TRACES_EXPORTER");
        disabled.is_some_and(|it| it.eq_ignore_ascii_case("true"))
            || exporter.is_some_and(|it| it == "none")
    }

    fn collector(
        &mut self,
        options: &OtlpOptions,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Collector> {
        let protocol = self.protocol(options);
        let (endpoint, named) = match options.endpoint.get() {
            Some(base) => (below(base, protocol), "telemetry.otlp.endpoint"),
            // What is wrong there is told there.
            None if options.endpoint.origin().is_some() => return None,
            None => self.endpoint(protocol, mistakes)?,
        };
        let is_grpc = protocol == Protocol::Grpc;
        if endpoint.port() == Some(GRPC_PORT) && !is_grpc {
            self.warnings.push(format!(
                "{named}: port {GRPC_PORT} is that of gRPC by convention, and the protocol is \
                 http/protobuf, whose port is 4318; set telemetry.otlp.protocol = \"grpc\" or \
                 another port"
            ));
        }
        self.check_words();
        self.check_headers();
        let export = self.millis("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT");
        let export = export.or_else(|| self.millis("OTEL_EXPORTER_OTLP_TIMEOUT"));
        let whole = self.millis("OTEL_BSP_EXPORT_TIMEOUT");
        let export = export.unwrap_or(Duration::from_secs(10));
        let queue = self.count("OTEL_BSP_MAX_QUEUE_SIZE", 2_048);
        let mut resource = self.resource();
        let position = resource.iter().position(|it| it.0 == SERVICE_NAME);
        let of_resource = position.map(|at| resource.swap_remove(at).1);
        let service = self.get("OTEL_SERVICE_NAME").or(of_resource);
        let delay = self.millis("OTEL_BSP_SCHEDULE_DELAY");
        Some(Collector {
            endpoint,
            protocol,
            timeout: export.min(whole.unwrap_or(Duration::from_secs(30))),
            ca: self.either("CERTIFICATE").map(|it| PathBuf::from(it.1)),
            sampler: self.sampler(),
            queue,
            batch: self.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512).min(queue),
            delay: delay.unwrap_or(Duration::from_secs(5)),
            service: service.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned()),
            resource,
        })
    }

    /// Its value, unless it is empty, which is as if it were not set.
    fn get(&mut self, name: &str) -> Option<String> {
        let value = self.env.iter().find(|it| it.0 == OsStr::new(name))?;
        match value.1.to_str() {
            Some("") => None,
            Some(value) => Some(value.trim().to_owned()),
            None => {
                self.doubt(name, "is not UTF-8", "it is left out");
                None
            }
        }
    }

    /// The one of traces, else the one of all signals, with its name.
    fn either(&mut self, what: &str) -> Option<(String, String)> {
        let names = [
            format!("OTEL_EXPORTER_OTLP_TRACES_{what}"),
            format!("OTEL_EXPORTER_OTLP_{what}"),
        ];
        names.into_iter().find_map(|name| {
            let value = self.get(&name)?;
            Some((name, value))
        })
    }

    fn doubt(&mut self, name: &str, wrong: &str, instead: &str) {
        self.warnings.push(format!("{name}: {wrong}; {instead}"));
    }

    fn protocol(&mut self, options: &OtlpOptions) -> Protocol {
        let given = options.protocol.origin();
        let own = options.protocol.get().unwrap_or(Protocol::HttpProtobuf);
        if given.is_some_and(|it| *it != Origin::Default) {
            return own;
        }
        match self.either("PROTOCOL") {
            Some((_, value)) if value == "grpc" => Protocol::Grpc,
            Some((_, value)) if value == "http/protobuf" => Protocol::HttpProtobuf,
            Some((name, _)) => {
                self.doubt(
                    &name,
                    "must be \"http/protobuf\" or \"grpc\"",
                    "http/protobuf is spoken",
                );
                own
            }
            None => own,
        }
    }

    fn endpoint(
        &mut self,
        protocol: Protocol,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<(Url, &'static str)> {
        const OF_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        const OF_ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let (name, text) = match self.get(OF_TRACES) {
            Some(text) => (OF_TRACES, text),
            None => (OF_ALL, self.get(OF_ALL)?),
        };
        match collector().read(Raw::Text(&text)) {
            Ok(url) if name == OF_TRACES => Some((url, name)),
            Ok(base) => Some((below(base, protocol), name)),
            Err(wrong) => {
                mistakes.extend(wrong.0.into_iter().map(|part| Mistake {
                    origin: Some(Origin::Env(name.to_owned())),
                    key: String::new(),
                    what: part.what,
                }));
                None
            }
        }
    }

    fn sampler(&mut self) -> Sampler {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let Some(name) = self.get(NAME) else {
            return Sampler::default();
        };
        let kind = name.strip_prefix("parentbased_");
        let heeds_callers = kind.is_some();
        let ratio = match kind.unwrap_or(&name) {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => self.ratio(),
            _ => {
                self.doubt(
                    NAME,
                    "must be always_on, always_off or traceidratio, or one of them after \
                     parentbased_",
                    "parentbased_always_off is used",
                );
                return Sampler::default();
            }
        };
        Sampler {
            heeds_callers,
            ratio,
        }
    }

    fn ratio(&mut self) -> f64 {
        const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
        let ratio = self.get(NAME).map(|it| it.parse::<f64>());
        match ratio {
            None => 1.0,
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
            Some(_) => {
                self.doubt(NAME, "must be a number from 0 to 1", "1 is used");
                1.0
            }
        }
    }

    fn millis(&mut self, name: &str) -> Option<Duration> {
        let value = self.get(name)?;
        match value.parse::<u32>() {
            Ok(millis) if millis > 0 => Some(Duration::from_millis(millis.into())),
            _ => {
                let wrong = "must be a number of milliseconds, at least 1";
                self.doubt(name, wrong, "the default is used");
                None
            }
        }
    }

    fn count(&mut self, name: &str, default: usize) -> usize {
        /// A span takes some hundred bytes, and a few thousand with all its links.
        const MOST: usize = 1_000_000;
        let Some(value) = self.get(name) else {
            return default;
        };
        match value.parse::<usize>() {
            Ok(count) if (1..=MOST).contains(&count) => count,
            _ => {
                let wrong = format!("must be a number from 1 to {MOST}");
                self.doubt(name, &wrong, &format!("{default} is used"));
                default
            }
        }
    }

    /// `key=value` pairs with commas between them, percent-encoded.
    fn resource(&mut self) -> Vec<(String, String)> {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let text = self.get(NAME).unwrap_or_default();
        match pairs(&text) {
            Some(pairs) => pairs,
            None => {
                let wrong = "must be key=value pairs with commas between them, percent-encoded";
                self.doubt(NAME, wrong, "all of it is left out");
                Vec::new()
            }
        }
    }

    /// The exporter reads them by itself, and leaves out what is none.
    fn check_headers(&mut self) {
        let Some((name, text)) = self.either("HEADERS") else {
            return;
        };
        let is_header = |(name, value): (String, String)| {
            HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok()
        };
        if !pairs(&text).is_some_and(|it| it.into_iter().all(is_header)) {
            let wrong = "must be name=value pairs with commas between them, percent-encoded";
            self.doubt(&name, wrong, "what is no header is left out");
        }
    }

    fn check_words(&mut self) {
        let is_word = |value: &str| ["true", "false"].contains(&&*value.to_ascii_lowercase());
        let disabled = self.get("OTEL_SDK_DISABLED");
        if disabled.is_some_and(|it| !is_word(&it)) {
            let wrong = "must be \"true\" or \"false\"";
            self.doubt("OTEL_SDK_DISABLED", wrong, "spans are sent");
        }
        let exporter = self.get("OTEL_TRACES_EXPORTER");
        if exporter.is_some_and(|it| it != "otlp") {
            let wrong = "must be \"otlp\" or \"none\"";
            self.doubt("OTEL_TRACES_EXPORTER", wrong, "spans are sent by OTLP");
        }
        if let Some((name, _)) = self.either("COMPRESSION").filter(|it| it.1 != "none") {
            let wrong = "must be \"none\", which is all that is spoken";
            self.doubt(&name, wrong, "spans are sent as they are");
        }
        for what in ["CLIENT_CERTIFICATE", "CLIENT_KEY"] {
            if let Some((name, _)) = self.either(what) {
                self.doubt(&name, "is not read", "the collector sees no certificate");
            }
        }
    }
}

/// Where traces go of a collector that takes all signals.
fn below(mut base: Url, protocol: Protocol) -> Url {
    if protocol == Protocol::HttpProtobuf {
        let path = format!("{}/v1/traces", base.path().trim_end_matches('/'));
        base.set_path(&path);
    }
    base
}

fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    let pairs = pairs.map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let decoded = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let key = key.trim();
        (!key.is_empty()).then(|| (key.to_owned(), decoded.into_owned()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::Options;

    fn read(env: &[(&str, &str)]) -> Spans {
        of(&Options::defaults().otlp, env)
    }

    fn of(options: &OtlpOptions, env: &[(&str, &str)]) -> Spans {
        let env = env
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect::<Vec<_>>();
        spans(options, &env)
    }

    const HERE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");

    /// What is left of the collector that stands there, with these variables besides.
    fn with(env: &[(&str, &str)]) -> (Collector, Vec<String>) {
        let spans = read(&[&[HERE], env].concat());
        assert_eq!(spans.mistakes, []);
        (spans.collector.unwrap(), spans.warnings)
    }

    #[test]
    fn without_an_endpoint_nothing_is_sent_and_nothing_is_said() {
        for env in [
            &[][..],
            &[("OTEL_SERVICE_NAME", "a")],
            &[("OTEL_TRACES_SAMPLER", "nonsense")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[HERE, ("OTEL_SDK_DISABLED", "TRUE")],
            &[HERE, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            let spans = read(env);
            assert!(
                spans.collector.is_none() && spans.mistakes.is_empty(),
                "{env:?}"
            );
            assert_eq!(spans.warnings, [""; 0], "{env:?}");
        }
    }

    #[test]
    fn the_endpoint_of_traces_is_taken_as_it_is() {
        const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        const GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        for (env, endpoint) in [
            (&[(ALL, "http://c:4318")][..], "http://c:4318/v1/traces"),
            (&[(ALL, "https://c/otlp/")], "https://c/otlp/v1/traces"),
            (&[(TRACES, "http://c:1/x"), HERE], "http://c:1/x"),
            (&[(ALL, "http://c:4317"), GRPC], "http://c:4317/"),
        ] {
            let collector = read(env).collector.unwrap();
            assert_eq!(collector.endpoint.as_str(), endpoint);
        }
        for env in [
            (ALL, "c:4318"),
            (TRACES, "ftp://c"),
            (ALL, "http://u:s3cret@c"),
        ] {
            let mistakes = read(&[env]).mistakes;
            let [mistake] = &mistakes[..] else {
                panic!("{mistakes:?}");
            };
            let told = mistake.to_string();
            assert!(
                told.starts_with(&format!("{}: must be a URL", env.0)),
                "{told}"
            );
            assert!(!told.contains("s3cret"));
        }
    }

    #[test]
    fn the_settings_win() {
        let mut options = Options::defaults().otlp;
        let url: Url = "http://own:4318".parse().unwrap();
        options.endpoint = super::super::given::Given::new(url, Origin::Flag("--a"));
        let env = [HERE, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
        let collector = of(&options, &env).collector.unwrap();
        assert_eq!(collector.endpoint.as_str(), "http://own:4318/");
        assert_eq!(collector.protocol, Protocol::Grpc);
        options.protocol =
            super::super::given::Given::new(Protocol::HttpProtobuf, Origin::Flag("--a"));
        let collector = of(&options, &env).collector.unwrap();
        assert_eq!(collector.endpoint.as_str(), "http://own:4318/v1/traces");
    }

    #[test]
    fn everything_else_is_read() {
        let (collector, warnings) = with(&[
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Bearer%20t, x-a=1",
            ),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ("OTEL_SERVICE_NAME", "proxy"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "a=b%2Cc, service.name=other,d=e",
            ),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ]);
        assert_eq!(warnings, [""; 0]);
        assert_eq!(collector.timeout, Duration::from_millis(1_500));
        assert_eq!(collector.ca, Some("/ca.pem".into()));
        assert_eq!(collector.service, "proxy");
        let resource = [("a", "b,c"), ("d", "e")].map(|(k, v)| (k.into(), v.into()));
        assert_eq!(collector.resource, resource);
        let sampler = Sampler {
            heeds_callers: true,
            ratio: 0.25,
        };
        assert_eq!(collector.sampler, sampler);
        let sizes = (collector.queue, collector.batch, collector.delay);
        assert_eq!(sizes, (100, 100, Duration::from_millis(20)));
    }

    #[test]
    fn what_is_not_understood_is_told_of_and_left_out() {
        let (defaults, _) = with(&[]);
        for (name, value, wrong) in [
            (
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                "http/json",
                "must be \"http/protobuf\"",
            ),
            (
                "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
                "10s",
                "must be a number of milli",
            ),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "s3cret",
                "must be name=value pairs",
            ),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "must be \"none\""),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key", "is not read"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a", "must be key=value pairs"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote", "must be always_on"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "must be \"otlp\""),
            ("OTEL_SDK_DISABLED", "1", "must be \"true\""),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "must be a number from 1"),
            ("OTEL_BSP_SCHEDULE_DELAY", "-1", "must be a number of milli"),
        ] {
            let (collector, warnings) = with(&[(name, value)]);
            let [warning] = &warnings[..] else {
                panic!("{name}: {warnings:?}");
            };
            assert!(
                warning.starts_with(&format!("{name}: {wrong}")),
                "{warning}"
            );
            assert!(!warning.contains("s3cret"));
            assert_eq!(collector.protocol, defaults.protocol);
            assert_eq!(collector.sampler, defaults.sampler);
            assert_eq!(collector.queue, defaults.queue);
        }
        let ratio = ("OTEL_TRACES_SAMPLER", "traceidratio");
        let (collector, warnings) = with(&[ratio, ("OTEL_TRACES_SAMPLER_ARG", "2")]);
        assert_eq!((collector.sampler.ratio, warnings.len()), (1.0, 1));
        let grpc_port = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        let warnings = read(&[grpc_port]).warnings;
        assert!(
            warnings[0].contains("port 4317 is that of gRPC"),
            "{warnings:?}"
        );
    }
}
