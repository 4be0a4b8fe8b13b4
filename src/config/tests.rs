//! How the layers lie over each other, and what [`load`] promises as a whole.

use super::*;
use crate::batcher::{OnFull, Wait};
use crate::forward::Destination;
use crate::resilience::backoff::Backoff;
use crate::resilience::limit;
use crate::telemetry::Format;
use clap::{Args as _, FromArgMatches as _};
use std::io::Write as _;
use std::time::Duration;

/// Layers to load from, each as it is written.
#[derive(Default)]
struct Layers {
    file: Option<String>,
    env: Vec<(String, OsString)>,
    flags: Vec<String>,
}

impl Layers {
    fn file(mut self, text: &str) -> Self {
        self.file = Some(text.to_owned());
        self
    }

    fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    fn flag(mut self, flag: &str, value: &str) -> Self {
        self.flags.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    fn load(self, need: NeedUpstream) -> Result<Loaded, Mistakes> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(self.file.unwrap_or_default().as_bytes())
            .unwrap();
        let command = <Flags>::augment_args(clap::Command::new("test").no_binary_name(true));
        let matches = command.try_get_matches_from(self.flags).unwrap();
        let mut flags = <Flags>::from_arg_matches(&matches).unwrap();
        flags.config = Some(file.path().to_owned());
        let env = self.env.into_iter();
        load(&flags, env.map(|(name, value)| (name.into(), value)), need)
    }

    fn printed(self, key: &str) -> Option<String> {
        let options = self.load(NeedUpstream::No).unwrap().options;
        let mut entries = options.entries().into_iter();
        Some(entries.find(|entry| entry.key() == key)?.value)
    }

    fn settings(self) -> Settings {
        self.load(NeedUpstream::No).unwrap().settings
    }

    /// The only route.
    fn route(self) -> settings::Route {
        let [route] = &self.settings().routes[..] else {
            panic!("one route");
        };
        route.clone()
    }
}

/// Three values for each key but the headers, none its default, as TOML.
const VALUES: &[(&str, [&str; 3])] = &[
    ("forward_headers", ["[\"a\"]", "[]", "[\"b\", \"c\"]"]),
    ("server.listen", ["\"h:1\"", "\"h:2\"", "\"h:3\""]),
    ("server.threads", ["1", "\"auto\"", "3"]),
    ("server.max_body", ["\"1KiB\"", "\"2KiB\"", "3000"]),
    ("server.max_depth", ["1", "64", "127"]),
    ("server.max_buffered", ["\"1GiB\"", "\"2GiB\"", "300000000"]),
    ("server.request_timeout", ["\"1m\"", "\"2m\"", "\"3m\""]),
    ("server.read_timeout", ["\"1s\"", "\"2s\"", "\"3s\""]),
    ("server.idle_timeout", ["\"1s\"", "\"2s\"", "\"3s\""]),
    ("server.write_timeout", ["\"1s\"", "\"2s\"", "\"3s\""]),
    ("server.max_connections", ["1", "\"auto\"", "3"]),
    ("server.timing", ["false", "true", "false"]),
    ("server.hosts", ["[\"a\"]", "[]", "[\"b\", \"c.d\"]"]),
    ("server.socket_mode", ["\"0600\"", "\"0666\"", "\"0777\""]),
    ("server.tls.cert", ["\"a.pem\"", "\"b.pem\"", "\"c.pem\""]),
    ("server.tls.key", ["\"a.pem\"", "\"b.pem\"", "\"c.pem\""]),
    (
        "server.tls.client_ca",
        ["\"a.pem\"", "\"b.pem\"", "\"c.pem\""],
    ),
    ("server.auth.tokens", ["\"a\"", "\"b\"", "\"c\""]),
    ("admin.listen", ["\"h:8\"", "\"\"", "\"h:9\""]),
    ("admin.hosts", ["[\"a\"]", "[]", "[\"b\", \"c.d\"]"]),
    ("admin.socket_mode", ["\"0600\"", "\"0666\"", "\"0777\""]),
    ("admin.tls.cert", ["\"a.pem\"", "\"b.pem\"", "\"c.pem\""]),
    ("admin.tls.key", ["\"a.pem\"", "\"b.pem\"", "\"c.pem\""]),
    (
        "admin.tls.client_ca",
        ["\"a.pem\"", "\"b.pem\"", "\"c.pem\""],
    ),
    ("admin.auth.tokens", ["\"a\"", "\"b\"", "\"c\""]),
    ("batch.max_size", ["1", "2", "3"]),
    ("batch.max_bytes", ["\"2MiB\"", "\"3MiB\"", "4000000"]),
    ("batch.max_wait", ["0", "\"2ms\"", "\"3ms\""]),
    ("batch.wait", ["\"adaptive\"", "\"fixed\"", "\"adaptive\""]),
    ("queue.max_jobs", ["101", "102", "103"]),
    ("queue.max_bytes", ["\"1GiB\"", "\"2GiB\"", "\"3GiB\""]),
    ("queue.on_full", ["\"wait\"", "\"reject\"", "\"wait\""]),
    (
        "upstream.url",
        ["\"https://a/\"", "\"https://b/\"", "\"https://c/\""],
    ),
    (
        "upstream.alone_url",
        ["\"https://a/\"", "\"https://b/\"", "\"https://c/\""],
    ),
    ("upstream.max_alone", ["1", "2", "3"]),
    ("upstream.max_in_flight", ["1", "\"adaptive\"", "3"]),
    ("upstream.timeout", ["\"1s\"", "\"2s\"", "\"3s\""]),
    ("upstream.connect_timeout", ["\"2s\"", "\"3s\"", "\"4s\""]),
    ("upstream.max_response", ["\"1KiB\"", "\"2KiB\"", "3000"]),
    ("upstream.idle_timeout", ["\"2s\"", "\"3s\"", "\"5s\""]),
    ("upstream.max_connection_age", ["0", "\"3s\"", "\"5s\""]),
    ("upstream.idempotent", ["true", "false", "true"]),
    ("upstream.split_on", ["[400]", "[400, 422]", "[422]"]),
    ("upstream.min_interval", ["\"1s\"", "0", "\"3s\""]),
    ("upstream.tls.ca", ["\"a.pem\"", "\"b.pem\"", "\"c.pem\""]),
    ("upstream.tls.cert", ["\"a.pem\"", "\"b.pem\"", "\"c.pem\""]),
    ("upstream.tls.key", ["\"a.pem\"", "\"b.pem\"", "\"c.pem\""]),
    ("upstream.tls.server_name", ["\"a\"", "\"b.c\"", "\"::1\""]),
    (
        "passthrough.url",
        ["\"http://a/\"", "\"http://b/\"", "\"http://c/\""],
    ),
    (
        "later.store",
        ["\"off\"", "\"sqlite:later.db\"", "\"rediss://h:1/2\""],
    ),
    ("later.max_jobs", ["1", "2", "3"]),
    ("later.max_bytes", ["\"2MiB\"", "\"3MiB\"", "4000000"]),
    ("later.keep", ["\"1s\"", "\"2s\"", "\"3s\""]),
    ("later.job_timeout", ["\"2s\"", "\"3s\"", "\"4s\""]),
    ("later.max_wait", ["0", "\"2ms\"", "\"3ms\""]),
    ("later.max_attempts", ["1", "2", "4"]),
    ("later.lease", ["\"11s\"", "\"12s\"", "\"13s\""]),
    ("later.prefix", ["\"a\"", "\"b\"", "\"c\""]),
    ("later.timeout", ["\"1s\"", "\"3s\"", "\"4s\""]),
    ("later.ca", ["\"a.pem\"", "\"b.pem\"", "\"c.pem\""]),
    ("later.allow_volatile", ["true", "false", "true"]),
    ("retry.max_attempts", ["1", "2", "4"]),
    ("retry.base", ["\"1ms\"", "\"2ms\"", "\"3ms\""]),
    ("retry.cap", ["\"2s\"", "\"3s\"", "\"4s\""]),
    ("retry.budget", ["0", "0.5", "1"]),
    ("retry.budget_min", ["0", "1", "2"]),
    ("circuit.failures", ["1", "2", "3"]),
    ("circuit.open_for", ["\"1s\"", "\"2s\"", "\"3s\""]),
    ("shutdown.delay", ["\"1s\"", "0", "\"3s\""]),
    ("shutdown.timeout", ["\"1s\"", "0", "\"3s\""]),
    ("log.level", ["\"warn\"", "\"error\"", "\"debug,h2=off\""]),
    ("log.format", ["\"text\"", "\"json\"", "\"text\""]),
    ("log.upstream_errors", ["false", "true", "false"]),
    ("log.access", ["true", "false", "true"]),
    (
        "telemetry.otlp.endpoint",
        ["\"http://a/\"", "\"http://b/\"", "\"http://c/\""],
    ),
    (
        "telemetry.otlp.protocol",
        ["\"grpc\"", "\"http/protobuf\"", "\"grpc\""],
    ),
];

/// The files of which some are nothing without the others.
const TOGETHER: [&str; 3] = ["upstream.tls", "server.tls", "admin.tls"];

#[test]
fn for_every_key_flags_beat_environment_beats_file_beats_defaults() {
    let tested = VALUES.iter().map(|(key, _)| *key);
    let known = keys().iter().map(|key| key.key);
    assert!(tested.eq(known.filter(|key| !["path", "upstream.headers"].contains(key))));

    for (key, [file, env, flag]) in VALUES {
        let info = keys().iter().find(|info| info.key == *key).unwrap();
        for layers in 0..8 {
            let mut given = Layers::default();
            if layers & 3 != 0
                && let Some((section, name)) = key.rsplit_once('.')
                && TOGETHER.contains(&section)
                && name != "server_name"
                && *key != "upstream.tls.ca"
            {
                let others = ["cert", "key"].into_iter().filter(|it| *it != name);
                for other in others.map(|it| format!("{section}.{it}")) {
                    let info = keys().iter().find(|info| info.key == other).unwrap();
                    given = given.env(&info.env(), "other.pem");
                }
            }
            let mut expected = info.default.map(str::to_owned);
            let mut expect = |toml: &str| expected = Some(toml.trim_matches('"').to_owned());
            if layers & 1 != 0 {
                given = given.file(&format!("{key} = {file}"));
                expect(file);
            }
            if layers & 2 != 0 {
                given = given.env(&info.env(), env.trim_matches('"'));
                expect(env);
            }
            if let (true, Some(name)) = (layers & 4 != 0, info.flag) {
                given = given.flag(name, flag.trim_matches('"'));
                expect(flag);
            }
            let printed = given.printed(key);
            let printed = printed.map(|value| value.trim_matches('"').to_owned());
            assert_eq!(printed, expected, "{key} {layers:03b}");
        }
    }
}

#[test]
fn headers_add_up_and_an_upper_layer_overrides_by_name() {
    let layers = Layers::default()
        .file("[upstream.headers]\nA = \"file\"\nB = \"file\"\nC = \"file\"")
        .env(
            "MICROBATCH_UPSTREAM__HEADERS",
            "{ b = \"env\", c = \"env\", d = \"env\" }",
        )
        .flag("--upstream-header", "C: flag")
        .flag("--upstream-header", "E: flag");
    let layers = layers.flag("--upstream", "http://h/");
    let headers = layers.route().upstream.headers;
    let value = |name: &str| headers[name].to_str().unwrap().to_owned();
    let values: Vec<_> = ["a", "b", "c", "d", "e"].map(value).into();
    assert_eq!(values, ["file", "env", "flag", "env", "flag"]);
    assert_eq!(headers.len(), 5);
    assert!(headers.values().all(http::HeaderValue::is_sensitive));
}

#[test]
fn a_mistake_below_an_override_is_still_reported() {
    let layers = Layers::default()
        .file("[batch]\nmax_size = 0")
        .env("MICROBATCH_BATCH__MAX_SIZE", "x")
        .flag("--max-size", "5");
    let mistakes = layers.load(NeedUpstream::No).unwrap_err();
    let keys: Vec<_> = mistakes
        .iter()
        .map(|mistake| mistake.key.as_str())
        .collect();
    assert_eq!(keys, ["batch.max_size", "batch.max_size"]);
}

#[test]
fn the_upstream_is_required_supplied_or_not_needed() {
    let own = "http://own/".parse::<Endpoint>().unwrap();
    let given = || Layers::default().flag("--upstream", "http://given/");
    let none = Layers::default;
    for (layers, need, expected) in [
        (given(), NeedUpstream::Yes, Some("http://given/")),
        (none(), NeedUpstream::Yes, None),
        (given(), NeedUpstream::No, Some("http://given/")),
        (none(), NeedUpstream::No, Some("")),
        (
            given(),
            NeedUpstream::Supplied(own.clone()),
            Some("http://own/"),
        ),
        (
            none(),
            NeedUpstream::Supplied(own.clone()),
            Some("http://own/"),
        ),
    ] {
        let loaded = layers.load(need);
        let url = loaded.map(|loaded| {
            let routes = loaded.settings.routes.into_iter();
            routes
                .map(|route| route.upstream.url.to_string())
                .collect::<String>()
        });
        assert_eq!(url.ok().as_deref(), expected);
    }
}

#[test]
fn what_is_printed_reads_back_as_the_same_configuration() {
    let mut file = String::new();
    for (key, [value, ..]) in VALUES {
        file.push_str(&format!("{key} = {value}\n"));
    }
    let first = Layers::default()
        .file(&file)
        .load(NeedUpstream::Yes)
        .unwrap()
        .options;
    let again = Layers::default()
        .file(&first.to_toml())
        .load(NeedUpstream::Yes)
        .unwrap()
        .options;
    assert_eq!(first.to_toml(), again.to_toml());
    let defaults = Layers::default().load(NeedUpstream::No).unwrap().options;
    assert_ne!(first.to_toml(), defaults.to_toml());
}

#[test]
fn every_option_comes_out_where_it_is_for() {
    let mut file = String::new();
    for (key, [value, ..]) in VALUES {
        file.push_str(&format!("{key} = {value}\n"));
    }
    // Those that would be alike, or like a default.
    let file = file
        .replace("read_timeout = \"1s\"", "read_timeout = \"11s\"")
        .replace("idle_timeout = \"1s\"", "idle_timeout = \"12s\"")
        .replace("write_timeout = \"1s\"", "write_timeout = \"13s\"")
        .replace("shutdown.delay = \"1s\"", "shutdown.delay = \"14s\"");
    let settings = Layers::default().file(&file).settings();
    let seconds = Duration::from_secs;
    assert_eq!(settings.listen.to_string(), "h:1");
    assert_eq!((settings.threads, settings.max_connections), (1, Some(1)));
    for (limits, streams) in [(settings.callers, 100), (settings.operators, 10)] {
        assert_eq!(limits.read_timeout, seconds(11));
        assert_eq!(limits.idle_timeout, seconds(12));
        assert_eq!(limits.write_timeout, seconds(13));
        assert_eq!((limits.max_body, limits.max_streams), (1 << 10, streams));
    }
    let jobs = settings.jobs;
    assert_eq!((jobs.max_body, jobs.max_depth), (1 << 10, 1));
    assert_eq!(jobs.max_buffered, 1 << 30);
    assert_eq!(jobs.request_timeout, seconds(60));
    assert_eq!(jobs.read_timeout, seconds(11));
    assert!(!jobs.timing);

    let [route] = &settings.routes[..] else {
        panic!("one route");
    };
    assert_eq!((route.name.as_str(), &route.path[..]), ("jobs", "/jobs"));
    assert_eq!(route.forward_headers, ["a"]);
    let limits = route.limits;
    assert_eq!((limits.max_depth, limits.max_items), (1, 1));
    assert_eq!(limits.max_bytes, 2 << 20);
    assert!(route.alone.is_none(), "no job goes alone");
    let passthrough = settings.passthrough.unwrap();
    assert!(matches!(&passthrough.to, Destination::Below(url) if url.to_string() == "http://a/"));
    assert_eq!((passthrough.max_alone, passthrough.headers.len()), (1, 0));
    assert_eq!(
        (passthrough.timeout, passthrough.connect_timeout),
        (seconds(1), seconds(2))
    );
    assert_eq!(
        (passthrough.read_timeout, passthrough.request_timeout),
        (seconds(11), seconds(60))
    );
    let batcher = &route.batcher;
    assert_eq!((batcher.max_size, batcher.max_bytes), (1, 2 << 20));
    assert_eq!(
        (batcher.max_wait, batcher.batch_overhead),
        (Duration::ZERO, 1)
    );
    assert_eq!(
        (batcher.wait, batcher.on_full),
        (Wait::Adaptive, OnFull::Wait)
    );
    assert_eq!((batcher.max_in_flight, route.adaptive), (1, false));
    assert_eq!(batcher.min_interval, seconds(1));
    assert_eq!((batcher.queue_items, batcher.queue_bytes), (101, 1 << 30));
    let policy = &route.policy;
    assert!(policy.idempotent);
    assert_eq!((&policy.split_on[..], policy.max_attempts), (&[400][..], 1));
    let Backoff { base, cap } = policy.backoff;
    assert_eq!((base, cap), (Duration::from_millis(1), seconds(2)));
    assert_eq!((policy.longest_wait, policy.excerpts), (seconds(1), false));
    assert_eq!((policy.largest.jobs, policy.largest.bytes), (1, 2 << 20));
    assert_eq!((route.budget, route.budget_min), (0.0, 0));
    assert_eq!(
        (route.circuit_failures, route.circuit_open_for),
        (1, seconds(1))
    );
    let upstream = &route.upstream;
    assert_eq!(upstream.url.to_string(), "https://a/");
    let tls = &route.tls;
    assert_eq!(tls.ca.as_deref(), Some("a.pem".as_ref()));
    let pair = tls.identity.as_ref().map(|(cert, key)| [cert, key]);
    assert!(pair.is_some_and(|it| it.iter().all(|path| **path == *"a.pem")));
    let name = tls.server_name.as_ref().map(|name| name.to_str());
    assert_eq!(name.as_deref(), Some("a"));
    assert_eq!(
        (upstream.timeout, upstream.connect_timeout),
        (seconds(1), seconds(2))
    );
    assert_eq!(
        (upstream.max_response, upstream.idle_timeout),
        (1 << 10, seconds(2))
    );
    assert_eq!(upstream.max_connection_age, Duration::ZERO);
    assert_eq!((upstream.connections, upstream.runtimes), (1, 1));

    assert_eq!(settings.admin.unwrap().listen.to_string(), "h:8");
    assert_eq!(settings.shutdown.delay, seconds(14));
    assert_eq!(settings.shutdown.timeout, seconds(1));
    assert_eq!(settings.log.targets, "warn".parse().unwrap());
    assert_eq!(settings.log.format, Format::Text);
}

#[test]
fn what_is_left_to_the_proxy_comes_out_as_its_own_number() {
    let settings = Layers::default()
        .file("server.threads = \"auto\"\nupstream.max_in_flight = \"adaptive\"")
        .flag("--upstream", "http://h/")
        .settings();
    assert!(settings.threads >= 1);
    assert_eq!(settings.max_connections, None);
    let route = &settings.routes[0];
    assert!(route.adaptive);
    assert_eq!(route.batcher.max_in_flight, limit::START);
    assert_eq!(route.upstream.connections, limit::MAX);
}

#[test]
fn no_debug_text_holds_a_secret() {
    let layers = Layers::default()
        .file("upstream.url = \"http://s3cret:s3cret@h/?s3cret=k\"")
        .env(
            "MICROBATCH_UPSTREAM__URL",
            "http://user:s3cret@h/s3cret-0123456789/?k=s3cret",
        )
        .flag("--upstream-header", "Authorization: s3cret");
    let loaded = layers.load(NeedUpstream::Yes).unwrap();
    for text in [format!("{loaded:?}"), format!("{:#?}", loaded.options)] {
        assert!(!text.contains("s3cret") && text.contains("***"), "{text}");
    }
    let command = <Flags>::augment_args(clap::Command::new("test").no_binary_name(true));
    let matches = command
        .try_get_matches_from(["--upstream-header", "K: s3cret"])
        .unwrap();
    let flags = <Flags>::from_arg_matches(&matches).unwrap();
    assert!(!format!("{flags:?}").contains("s3cret"), "{flags:?}");
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_unicode_is_a_mistake() {
    use std::os::unix::ffi::OsStringExt as _;
    let bad = OsString::from_vec(vec![b'5', 0xff]);
    let mistakes = Layers::default()
        .env("MICROBATCH_BATCH__MAX_SIZE", bad.clone())
        .env("MICROBATCH_OTHER", bad)
        .load(NeedUpstream::No)
        .unwrap_err();
    let expected = "MICROBATCH_BATCH__MAX_SIZE: batch.max_size: the value is not UTF-8";
    assert_eq!(mistakes.to_string(), expected);
}

/// A value as its key prints it.
fn as_printed(key: &KeyInfo, toml: &str) -> Option<String> {
    let value = toml::de::DeValue::parse(toml).unwrap();
    let mut options = Options::default();
    (key.read)(
        &mut options,
        kind::Raw::Toml(value.get_ref()),
        Origin::Default,
    )
    .unwrap();
    (key.printed)(&options)
}

/// What a route has of each key, as it is printed.
fn had_by_route(loaded: &Loaded) -> Vec<Option<String>> {
    let routes = routes::all(&loaded.options);
    let route = routes.iter().find(|it| it.name.as_str() == "r").unwrap();
    let all = keys().iter().filter(|key| key.of_routes);
    all.map(|key| (key.printed)(&route.options)).collect()
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// Whatever the top level says and whatever a route does, each key is the route's own, or
    /// the top level's where it is inherited, or the default. Printed, it reads back so.
    #[test]
    fn a_route_has_its_own_keys_over_those_that_it_inherits(
        own in proptest::collection::vec(proptest::bool::ANY, VALUES.len()),
        top in proptest::collection::vec(proptest::bool::ANY, VALUES.len()),
    ) {
        const NOT_INHERITED: [&str; 4] = [
            "forward_headers", "upstream.url", "upstream.alone_url", "upstream.headers",
        ];
        let inherited = |name: &str| {
            !NOT_INHERITED.contains(&name) && !name.starts_with("upstream.tls.")
        };
        let at = |name: &str| VALUES.iter().position(|(key, _)| *key == name);
        let paired = |mut given: Vec<bool>| {
            given[at("upstream.tls.key").unwrap()] = given[at("upstream.tls.cert").unwrap()];
            given
        };
        let (own, top) = (paired(own), paired(top));
        let (mut above, mut below) = (String::new(), String::new());
        let mut expected = Vec::new();
        for key in keys().iter().filter(|key| key.of_routes) {
            let number = VALUES.iter().position(|(name, _)| *name == key.key);
            let Some(number) = number else {
                // Those are said of every route here.
                expected.push(match key.key {
                    "path" => Some("\"/r\"".to_owned()),
                    _ => key.default.map(str::to_owned),
                });
                continue;
            };
            let (name, [of_top, of_own, _]) = VALUES[number];
            let (own, top) = (own[number] || name == "upstream.url", top[number]);
            if top {
                above.push_str(&format!("{name} = {of_top}\n"));
            }
            if own {
                below.push_str(&format!("{name} = {of_own}\n"));
            }
            expected.push(match (own, top && inherited(name)) {
                (true, _) => as_printed(key, of_own),
                (false, true) => as_printed(key, of_top),
                (false, false) => (key.printed)(&Options::defaults()),
            });
        }
        let file = format!("{above}[routes.r]\npath = \"/r\"\n{below}");
        let loaded = Layers::default().file(&file).load(NeedUpstream::Yes).unwrap();
        proptest::prop_assert_eq!(had_by_route(&loaded), expected);
        let printed = loaded.options.to_toml();
        let again = Layers::default().file(&printed).load(NeedUpstream::Yes).unwrap();
        proptest::prop_assert_eq!(had_by_route(&again), had_by_route(&loaded));
        proptest::prop_assert_eq!(again.options.to_toml(), printed);
    }
}

#[test]
fn a_command_s_own_upstream_is_that_of_the_top_level() {
    let own = "http://own/".parse::<Endpoint>().unwrap();
    let file = "[routes.r]\npath = \"/r\"\nupstream.url = \"http://r/{{\"";
    let loaded = Layers::default().file(file);
    let mut loaded = loaded.load(NeedUpstream::Supplied(own)).unwrap();
    loaded.supply("http://later/".parse().unwrap());
    let routes = loaded.settings.routes.iter();
    let routes = routes.map(|it| (it.name.as_str(), &it.path[..], it.upstream.url.to_string()));
    let routes: Vec<_> = routes.collect();
    let expected = [
        ("jobs", "/jobs", "http://later/".to_owned()),
        ("r", "/r", "http://r/%7B%7B".to_owned()),
    ];
    assert_eq!(routes, expected);
}

#[test]
fn a_route_s_settings_are_its_own() {
    let file = "[routes.r]\npath = \"/r/{m}\"\nshape = \"kserve-v1\"\nforward_headers = [\"A\"]\n\
                upstream.url = \"http://r/{m}\"\nupstream.headers = { b = \"c\" }\n\
                upstream.max_alone = 7\nupstream.max_in_flight = 3\nbatch.max_size = 5\n\
                [upstream]\nurl = \"http://top/\"\ntimeout = \"3s\"\n\
                [passthrough]\nurl = \"http://p/\"";
    let settings = Layers::default().file(file).settings();
    let [jobs, route] = &settings.routes[..] else {
        panic!("two routes");
    };
    assert!(!jobs.shape.lets_alone() && jobs.alone.is_none());
    assert_eq!(jobs.bounds.max_size, 100);
    assert!(route.shape.lets_alone());
    assert_eq!((route.name.as_str(), &route.path[..]), ("r", "/r/{m}"));
    assert_eq!(route.forward_headers, ["a"]);
    assert_eq!((route.bounds.max_size, route.limits.max_items), (5, 5));
    assert_eq!(route.upstream.timeout, Duration::from_secs(3));
    let alone = route.alone.as_ref().unwrap();
    assert!(matches!(&alone.to, Destination::At(target) if *target == route.upstream.url));
    assert_eq!(
        (alone.max_alone, &alone.headers["b"]),
        (7, &"c".parse().unwrap())
    );
    assert_eq!(alone.timeout, Duration::from_secs(3));
    // The passthrough has as many as the top level says.
    assert_eq!((settings.slots(), settings.alone()), (10 + 3, 7 + 100));
}

#[test]
fn no_credential_and_no_form_reaches_another_service() {
    let file = "shape = \"ndjson\"\nforward_headers = [\"authorization\"]\n\
                upstream = { url = \"http://top/\", alone_url = \"http://one/\", headers = { k = \"s\" } }\n\
                [routes.r]\npath = \"/r\"\nupstream.url = \"http://r/\"";
    let settings = Layers::default().file(file).settings();
    let [jobs, route] = &settings.routes[..] else {
        panic!("two routes");
    };
    assert!(jobs.shape.has_no_results() && jobs.alone.is_some());
    assert_eq!(
        (jobs.forward_headers.len(), jobs.upstream.headers.len()),
        (1, 1)
    );
    assert!(!route.shape.has_no_results() && route.alone.is_none());
    assert_eq!(
        (route.forward_headers.len(), route.upstream.headers.len()),
        (0, 0)
    );
}
