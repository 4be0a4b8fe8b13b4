//! Stories about the configuration, told by `microbatch check`: what it prints, what it refuses
//! and in which words, and what never shows.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod check;
mod routes;

use std::path::{Path, PathBuf};
use std::process::Command;

use microbatch::config::keys;
use microbatch::shape::Keys;

use crate::check::Check;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/microbatch.toml")
}

#[test]
fn an_upstream_is_all_it_needs() {
    let by_flag = Check::new().args(&["--upstream", "http://h/"]).run().fine();
    let by_env = Check::new()
        .env("MICROBATCH_UPSTREAM__URL", "http://h/")
        .run()
        .fine();
    let by_file = Check::new()
        .file("[upstream]\nurl = \"http://h/\"")
        .run()
        .fine();
    assert_eq!(by_flag.stdout, by_env.stdout);
    assert_eq!(by_flag.stdout, by_file.stdout);
    assert_eq!(by_flag.stderr, "");

    let answer = Check::new().run();
    assert_eq!(
        answer.mistakes(),
        [
            "upstream.url: is required; say where batches go: --upstream \
          http://127.0.0.1:9000/batch, or MICROBATCH_UPSTREAM__URL=…, or url = \"…\" in \
          [upstream] of the file; or give the file a route of its own, [routes.NAME] with its path \
          and upstream.url"
        ]
    );
}

#[test]
fn the_shipped_file_holds_every_key_with_its_default() {
    let text = std::fs::read_to_string(shipped()).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let mut named = Vec::new();
    let mut left: Vec<(String, &toml::Value)> = table.iter().map(|(k, v)| (k.clone(), v)).collect();
    while let Some((name, value)) = left.pop() {
        match value.as_table().filter(|_| name != "upstream.headers") {
            Some(keys) => left.extend(keys.iter().map(|(key, it)| (format!("{name}.{key}"), it))),
            None => named.push(name),
        }
    }
    let known = keys().iter().filter(|key| key.default.is_some());
    let mut known: Vec<_> = known.map(|key| key.key.to_owned()).collect();
    known.extend(["shape", "upstream.url"].map(str::to_owned));
    named.sort();
    known.sort();
    assert_eq!(named, known);

    let url = table["upstream"]["url"].as_str().unwrap();
    let defaults = Check::new().args(&["--upstream", url]).run().fine();
    let path = shipped();
    let file = Check::new()
        .args(&["--config", path.to_str().unwrap()])
        .run()
        .fine();
    assert_eq!(file.stdout, defaults.stdout);
    assert_eq!(file.stderr, "");
}

#[test]
fn the_shipped_file_spells_the_defaults_as_check_does() {
    let text = std::fs::read_to_string(shipped()).unwrap();
    let path = shipped();
    let answer = Check::new()
        .args(&["--config", path.to_str().unwrap()])
        .run()
        .fine();
    let settings = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let printed = answer.stdout.lines().filter(|line| !line.is_empty());
    assert!(settings.eq(printed));
}

/// A directory with all the files that the shipped one names.
fn named_files() -> tempfile::TempDir {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tls")).unwrap();
    for (name, contents) in [
        ("tls/tls.crt", &cert),
        ("tls/tls.key", &key),
        ("tls/clients.crt", &cert),
        ("tls/upstream-ca.crt", &cert),
        ("tls/client.crt", &cert),
        ("tls/client.key", &key),
        ("tokens", &format!("ci: sha256:{}\n", "0a".repeat(32))),
    ] {
        std::fs::write(dir.path().join(name), contents).unwrap();
    }
    dir
}

/// What stands behind a `#` is a configuration too, and the two have every key there is.
#[test]
fn the_shipped_file_without_its_comments_is_one_as_well() {
    let text = std::fs::read_to_string(shipped()).unwrap();
    let written = |line: &str| {
        let (key, value) = line.split_once(" = ").unwrap_or((line, ""));
        let key = key
            .bytes()
            .all(|it| it.is_ascii_lowercase() || b"_.".contains(&it));
        line.starts_with('[') || (key && !value.is_empty())
    };
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(commented) if written(commented) => commented,
        _ => line,
    });
    let whole = lines.collect::<Vec<_>>().join("\n");
    // What verifies an upstream is for one that is encrypted.
    let whole = whole.replace(
        "url = \"http://127.0.0.1:9000/batch\"",
        "url = \"https://127.0.0.1:9000/batch\"",
    );
    let dir = named_files();
    let whole = whole.replace("/etc/microbatch", dir.path().to_str().unwrap());
    let answer = Check::new().file(&whole).run().fine();
    let table: toml::Table = whole.parse().unwrap();
    let example = table["routes"]["example"].as_table().unwrap();
    for key in keys() {
        let at = |table: &toml::Table| match key.section() {
            "" => table.get(key.name()).cloned(),
            section => key
                .name()
                .split('.')
                .try_fold(table.get(section)?, |table, name| table.get(name))
                .cloned(),
        };
        assert!(at(&table).or_else(|| at(example)).is_some(), "{}", key.key);
    }
    let shape = example["shape"].as_table().unwrap();
    for key in Keys::names() {
        assert!(shape.contains_key(key), "{key}");
        assert!(answer.stdout.contains(&format!("\n{key} = ")), "{key}");
    }
}

#[test]
fn what_check_prints_can_be_fed_back() {
    let first = Check::new()
        .args(&["--upstream", "https://user:s3cret@h:9/a?k=s3cret&s3cret"])
        .args(&[
            "--upstream-header",
            "Authorization: s3cret",
            "--upstream-header",
            "X.!y: 1",
        ])
        .args(&[
            "--max-wait",
            "1500us",
            "--max-body",
            "1000",
            "--admin-listen",
            "",
        ])
        .args(&["--log-level", "warn, h2=off", "--log-format", "json"])
        .run()
        .fine();
    let again = Check::new().file(&first.stdout).run().fine();
    assert_eq!(again.stdout, first.stdout);
    for line in [
        "url = \"https://***:***@h:9/a?k=***&***\"",
        "headers = { \"authorization\" = \"***\", \"x.!y\" = \"***\" }",
        "max_wait = \"1ms 500us\"",
        "max_body = 1000",
        "level = \"warn,h2=off\"",
    ] {
        assert!(first.stdout.contains(&format!("\n{line}\n")), "{line}");
    }
}

#[test]
fn each_mistake_of_a_file_is_named_with_its_line_and_key() {
    for (file, expected) in [
        (
            "[batch]\nmax_siz = 1",
            "m.toml:2: batch.max_siz: unknown key; did you mean batch.max_size?",
        ),
        (
            "\n\nbatch.max_siz = 1",
            "m.toml:3: batch.max_siz: unknown key; did you mean batch.max_size?",
        ),
        (
            "[batch]\ncolour = 1",
            "m.toml:2: batch.colour: unknown key; known are batch.max_size, batch.max_bytes, batch.max_wait, batch.wait",
        ),
        (
            "[batch.max_size]\nx = 1",
            "m.toml:1: batch.max_size: must be a whole number from 1 to 100000, not a table",
        ),
        (
            "[[batch]]\nmax_size = 1",
            "m.toml:1: batch: must be a section [batch], not an array",
        ),
        (
            "\nbatch = 1",
            "m.toml:2: batch: must be a section [batch], not an integer",
        ),
        (
            "[bacth]\nmax_size = 1",
            "m.toml:1: bacth: unknown section; did you mean [batch]?",
        ),
        (
            "max_size = 1",
            "m.toml:1: max_size: unknown section; did you mean batch.max_size?",
        ),
        (
            "[batch]\r\nwait = 1\r\n\"a\\nb\" = 1\r\nmax_size = 0",
            "m.toml:2: batch.wait: must be \"fixed\" or \"adaptive\", not an integer\nm.toml:3: \"batch.a\\nb\": unknown key; known are batch.max_size, batch.max_bytes, batch.max_wait, batch.wait\nm.toml:4: batch.max_size: must be a whole number from 1 to 100000, not 0",
        ),
        (
            "[server]\nlisten = \":80\"",
            "m.toml:2: server.listen: \":80\" is not an address to listen on: it has no host (0.0.0.0 and [::] stand for every interface); write host:port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
        ),
        (
            "[server]\nmax_body = \"1 parsec\"",
            "m.toml:2: server.max_body: \"1 parsec\" is not a size; write a number of bytes, or one with a unit, such as \"256KiB\"",
        ),
        (
            "[server]\nmax_body = 0",
            "m.toml:2: server.max_body: must be from 1 to 1GiB, not 0",
        ),
        (
            "[server]\nread_timeout = 5",
            "m.toml:2: server.read_timeout: 5 has no unit; write \"5ms\" or \"5s\"",
        ),
        (
            "[server]\ntiming = \"yes\"",
            "m.toml:2: server.timing: must be true or false, not \"yes\"",
        ),
        (
            "[queue]\non_full = \"drop\"",
            "m.toml:2: queue.on_full: must be \"reject\" or \"wait\", not \"drop\"",
        ),
        (
            "[upstream]\nurl = \"h:80/s3cret\"",
            "m.toml:2: upstream.url: must start with http://, https:// or unix:/",
        ),
        (
            "[upstream]\nmax_in_flight = \"auto\"",
            "m.toml:2: upstream.max_in_flight: must be a whole number from 1 to 10000, not \"auto\"; or \"adaptive\"",
        ),
        (
            "[upstream]\ntimeout = 0",
            "m.toml:2: upstream.timeout: must be from 1ms to 1day, not 0",
        ),
        (
            "[upstream]\njob_error_status = 422",
            "m.toml:2: upstream.job_error_status: is said by the route's shape: shape.error_status, a status",
        ),
        (
            "[upstream]\nresults = \"none\"",
            "m.toml:2: upstream.results: is said by the route's shape: shape.results, \"none\", or a pointer",
        ),
        (
            "[upstream]\nheaders = \"s3cret\"",
            "m.toml:2: upstream.headers: must be a table such as [upstream.headers], not a string",
        ),
        (
            "[upstream.headers]\nok = \"1\"\nTE = \"s3cret\"",
            "m.toml:3: upstream.headers.TE: te cannot be set here: it frames the message, which the proxy does",
        ),
        (
            "[upstream]\nidempotant = 3",
            "m.toml:2: upstream.idempotant: unknown key; did you mean upstream.idempotent?",
        ),
        (
            "[retries]\nbase = 1",
            "m.toml:1: retries: unknown section; known are forward_headers, server, admin, batch, queue, upstream, passthrough, later, retry, circuit, shutdown, log, telemetry, shape, routes",
        ),
        (
            "[log]\nlevel = \"inof\"",
            "m.toml:2: log.level: must be a level (off, error, warn, info, debug, trace) or target=level pairs, such as \"info\" or \"warn,microbatch=debug\", not \"inof\"",
        ),
        (
            "\n[batch]\nmax_size = = 1",
            "m.toml:3: not TOML: extra `=`, expected nothing",
        ),
        (
            "[batch]\nmax_size = 1\nmax_size = 2",
            "m.toml:3: not TOML: duplicate key",
        ),
    ] {
        let answer = Check::with_upstream(file).run();
        assert_eq!(answer.mistakes().join("\n"), expected, "{file}");
    }
}

#[test]
fn ten_mistakes_are_reported_at_once() {
    let file = "\
[server]
listen = \"nowhere\"
max_body = \"big\"
[batch]
max_siz = 3
max_size = = 4
max_wait = 5
max_bytes: 5
wait = \"unclosed
[upstream]
url = \"ftp://h/\"
headers = { te = \"x\", \"a b\" = \"x\" }
[bacth]
[log]
format = \"xml\"
";
    let answer = Check::new()
        .file(file)
        .env("MICROBATCH_QUEUE__MAX_JOB", "1")
        .env("MICROBATCH_QUEUE__ON_FULL", "drop")
        .run();
    let places: Vec<_> = answer
        .mistakes()
        .into_iter()
        .map(|line| line.splitn(3, ": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        places,
        [
            "m.toml:2 server.listen",
            "m.toml:3 server.max_body",
            "m.toml:5 batch.max_siz",
            "m.toml:6 not TOML",
            "m.toml:7 batch.max_wait",
            "m.toml:8 not TOML",
            "m.toml:9 not TOML",
            "m.toml:11 upstream.url",
            "m.toml:12 upstream.headers.a b",
            "m.toml:12 upstream.headers.te",
            "m.toml:13 bacth",
            "m.toml:15 log.format",
            "MICROBATCH_QUEUE__MAX_JOB queue.max_job",
            "MICROBATCH_QUEUE__ON_FULL queue.on_full",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake_of_the_same_kind() {
    let answer = Check::new().args(&["--config", "none.toml"]).run();
    let [line] = answer.mistakes()[..] else {
        panic!("{}", answer.stderr)
    };
    assert!(
        line.starts_with("none.toml: cannot be read: No such file"),
        "{line}"
    );

    let answer = Check::new().env("MICROBATCH_CONFIG", ".").run();
    let [line] = answer.mistakes()[..] else {
        panic!("{}", answer.stderr)
    };
    assert!(line.starts_with(".: cannot be read: "), "{line}");

    let answer = Check::new().file(b"[batch]\n# \xff\n").run();
    assert_eq!(
        answer.mistakes(),
        ["m.toml:2: not UTF-8; a TOML file must be"]
    );

    let answer = Check::new().file(" ".repeat(64 * 1024 + 1)).run();
    assert_eq!(
        answer.mistakes(),
        ["m.toml: is larger than 64KiB, so no configuration"]
    );

    let answer = Check::new().env("MICROBATCH_CONFIG", "").run();
    let [line] = answer.mistakes()[..] else {
        panic!("{}", answer.stderr)
    };
    assert!(
        line.starts_with("the configuration file has an empty name; "),
        "{line}"
    );
}

#[test]
fn the_flag_names_the_file_before_the_environment_does() {
    let answer = Check::with_upstream("batch.max_size = 7")
        .env("MICROBATCH_CONFIG", "none.toml")
        .run()
        .fine();
    assert!(answer.stdout.contains("max_size = 7"));

    let check = Check::new().env("MICROBATCH_CONFIG", "e.toml");
    std::fs::write(check.dir().join("e.toml"), "upstream.url = \"http://e/\"").unwrap();
    assert!(check.run().fine().stdout.contains("url = \"http://e/\""));
}

#[test]
fn mistakes_of_the_environment_name_the_variable() {
    for (name, value, expected) in [
        (
            "MICROBATCH_BATCH__MAX_SIZE",
            "0",
            "batch.max_size: must be a whole number from 1 to 100000, not \"0\"",
        ),
        (
            "MICROBATCH_BATCH__MAX_SIZE",
            "",
            "batch.max_size: must be a whole number from 1 to 100000, not \"\"",
        ),
        (
            "MICROBATCH_BATCH__MAX_SIZ",
            "1",
            "batch.max_siz: unknown key; did you mean MICROBATCH_BATCH__MAX_SIZE?",
        ),
        (
            "MICROBATCH_BATCH__max_size",
            "1",
            "batch.max_size: unknown key; did you mean MICROBATCH_BATCH__MAX_SIZE?",
        ),
        (
            "MICROBATCH_ADMIN__X",
            "1",
            "admin.x: unknown key; known are MICROBATCH_ADMIN__LISTEN, MICROBATCH_ADMIN__HOSTS, MICROBATCH_ADMIN__SOCKET_MODE, MICROBATCH_ADMIN__TLS__CERT, MICROBATCH_ADMIN__TLS__KEY, MICROBATCH_ADMIN__TLS__CLIENT_CA, MICROBATCH_ADMIN__AUTH__TOKENS",
        ),
        (
            "MICROBATCH_SERVER__READ_TIMEOUT",
            "7",
            "server.read_timeout: 7 has no unit; write \"7ms\" or \"7s\"",
        ),
        (
            "MICROBATCH_UPSTREAM__HEADERS",
            "{ \"a b\" = \"s3cret\" }",
            "upstream.headers.a b: is not a header name: letters, digits and -_.!#$%&'*+^`|~ only",
        ),
        (
            "MICROBATCH_UPSTREAM__HEADERS",
            "K: s3cret",
            "upstream.headers: must be an inline TOML table such as { Authorization = \"Bearer …\" }: string values must be quoted, expected literal string",
        ),
    ] {
        let answer = Check::with_upstream("").env(name, value).run();
        assert_eq!(answer.mistakes(), [format!("{name}: {expected}")]);
    }
}

#[test]
fn variables_that_are_not_ours_are_left_alone() {
    Check::with_upstream("")
        .env("MICROBATCH_SERVICE_HOST", "10.0.0.1")
        .env("MICROBATCH_PORT_8080_TCP", "tcp://10.0.0.1:8080")
        .env("MICROBATCH_SERVER_SERVICE_HOST", "10.0.0.1")
        .env("MICROBATCH_RETRIES__BASE", "?")
        .run()
        .fine();
}

#[test]
fn a_bad_flag_is_claps_error_in_the_same_words() {
    for (args, expected) in [
        (
            &["--max-wait", "5"][..],
            "error: --max-wait: batch.max_wait: 5 has no unit; write \"5ms\" or \"5s\"",
        ),
        (
            &["--max-size", "0"],
            "error: --max-size: batch.max_size: must be a whole number from 1 to 100000, not \"0\"",
        ),
        (
            &["--wait", "fixd"],
            "error: --wait: batch.wait: must be \"fixed\" or \"adaptive\", not \"fixd\"",
        ),
        (
            &["--upstream", "u:s3cret@h"],
            "error: --upstream: upstream.url: must start with http://, https:// or unix:/",
        ),
        (
            &["--upstream-header", "s3cret"],
            "error: --upstream-header: upstream.headers: must be 'Name: value'",
        ),
        (
            &["--upstream-header", "te: s3cret"],
            "error: --upstream-header: upstream.headers: te cannot be set here: it frames the message, which the proxy does",
        ),
        (
            &["--max-siz", "1"],
            "error: unexpected argument '--max-siz' found",
        ),
    ] {
        let answer = Check::new().args(args).run();
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        assert_eq!(answer.stderr.lines().next(), Some(expected));
        assert!(!answer.stderr.contains("s3cret"));
        assert_eq!(answer.stdout, "");
    }
}

#[test]
fn what_cannot_work_together_is_refused_with_both_places() {
    for (file, args, expected) in [
        (
            "\n[batch]\nmax_bytes = \"1KiB\"",
            &["--max-body", "1023"][..],
            "server.max_body = 1023 (--max-body) + 2 is more than batch.max_bytes = 1KiB (m.toml:3): the largest job alone must fit a batch with its brackets; lower server.max_body or raise batch.max_bytes",
        ),
        (
            "batch.max_wait = \"30s\"",
            &[],
            "batch.max_wait = 30s (m.toml:1) is not less than server.request_timeout = 30s (default): a job would expire while it waits for company; lower batch.max_wait or raise server.request_timeout",
        ),
        (
            "queue.max_bytes = \"255KiB\"",
            &[],
            "queue.max_bytes = 255KiB (m.toml:1) is less than server.max_body = 256KiB (default): the largest job could never wait; raise queue.max_bytes or lower server.max_body",
        ),
        (
            "server.max_buffered = \"16MiB\"",
            &[],
            "server.max_buffered = 16MiB (m.toml:1) is less than server.max_body = 256KiB (default) and upstream.max_response = 16MiB (default) together: one body and one answer must fit; raise server.max_buffered or lower one of the two",
        ),
        (
            "later.max_wait = \"1h\"",
            &[],
            "later.max_wait = 1h (m.toml:1) is not less than later.job_timeout = 1h (default): a job would expire while it waits for company; lower later.max_wait or raise later.job_timeout",
        ),
        (
            "later.max_bytes = \"255KiB\"",
            &[],
            "later.max_bytes = 255KiB (m.toml:1) is less than server.max_body = 256KiB (default): the largest job could never be kept; raise later.max_bytes or lower server.max_body",
        ),
        (
            "[later]\nstore = \"redis://h\"\nlease = \"10s\"",
            &[],
            "later.lease = 10s (m.toml:3) is not more than upstream.timeout = 10s (default): what a replica has claimed would be another's while the upstream still has it; raise later.lease or lower upstream.timeout",
        ),
        (
            "[later]\nstore = \"redis://u:p@h\"\n[routes.a]\npath = \"/a\"\nupstream.url = \"http://h/\"\nupstream.timeout = \"30s\"",
            &[],
            "later.lease = 30s (default) is not more than routes.a.upstream.timeout = 30s (m.toml:6): what a replica has claimed would be another's while the upstream still has it; raise later.lease or lower upstream.timeout",
        ),
        (
            "[later]\nstore = \"redis://h\"\ntimeout = \"30s\"",
            &[],
            "later.timeout = 30s (m.toml:3) is not less than later.lease = 30s (default): no lease could be renewed in time; lower later.timeout or raise later.lease",
        ),
        (
            "[later]\nstore = \"redis://u:p@h\"\nca = \"a.pem\"",
            &[],
            "later.store = redis://***:***@h (m.toml:2) is not encrypted, and later.ca = a.pem (m.toml:3) says what a certificate is checked with; begin later.store with rediss:// or leave later.ca out",
        ),
        (
            "retry.base = \"2s\"",
            &[],
            "retry.base = 2s (m.toml:1) is more than retry.cap = 1s (default): no pause before a retry may be longer than the cap; lower retry.base or raise retry.cap",
        ),
        (
            "[routes.a]\npath = \"/a\"\n[routes.a.upstream]\nurl = \"https://h/\"\ntls.cert = \"a.pem\"",
            &[],
            "routes.a.upstream.tls.cert = a.pem (m.toml:5) has no key: name its private key in upstream.tls.key",
        ),
        (
            "[routes.a]\npath = \"/a\"\n[routes.a.upstream]\nurl = \"https://h/\"\ntls.key = \"a.pem\"",
            &[],
            "routes.a.upstream.tls.key = a.pem (m.toml:5) has no certificate: name that in upstream.tls.cert",
        ),
        (
            "[routes.a]\npath = \"/a\"\n[routes.a.upstream]\nurl = \"http://h/\"\ntls.ca = \"a.pem\"",
            &[],
            "routes.a.upstream.tls.ca = a.pem (m.toml:5) verifies nobody: routes.a.upstream.url = http://h/ (m.toml:4) is not encrypted; begin that with https://, or leave upstream.tls.ca out",
        ),
        (
            "[routes.a]\npath = \"/a\"\n[routes.a.upstream]\nurl = \"http://h/\"\n[routes.a.upstream.tls]\nserver_name = \"b\"",
            &[],
            "routes.a.upstream.tls.server_name = b (m.toml:6) verifies nobody: routes.a.upstream.url = http://h/ (m.toml:4) is not encrypted; begin that with https://, or leave upstream.tls.server_name out",
        ),
        (
            "[routes.a]\npath = \"/a\"\n[routes.a.upstream]\nurl = \"http://h/\"\n[routes.a.upstream.tls]\ncert = \"a.pem\"\nkey = \"a.key\"",
            &[],
            "routes.a.upstream.tls.cert = a.pem (m.toml:6) is shown to nobody: routes.a.upstream.url = http://h/ (m.toml:4) is not encrypted; begin that with https://, or leave upstream.tls.cert out",
        ),
        (
            "server.listen = \"localhost:80\"",
            &["--admin-listen", "localhost:80"],
            "server.listen = localhost:80 (m.toml:1) and admin.listen = localhost:80 (--admin-listen) are one port of one host; give them two, or \"\" for no admin.listen",
        ),
        (
            "server.listen = \"unix:/run/a.sock\"",
            &["--admin-listen", "unix:/run/a.sock"],
            "server.listen = unix:/run/a.sock (m.toml:1) and admin.listen = unix:/run/a.sock (--admin-listen) are one socket; give them two, or \"\" for no admin.listen",
        ),
    ] {
        let answer = Check::with_upstream(file).args(args).run();
        assert_eq!(answer.mistakes(), [expected]);
    }
}

#[test]
fn what_just_works_together_is_taken() {
    Check::with_upstream("batch.max_bytes = 1025\nserver.max_body = 1023")
        .run()
        .fine();
    Check::with_upstream("batch.max_wait = \"29s\"")
        .run()
        .fine();
    Check::with_upstream("retry.base = \"1s\"").run().fine();
    Check::with_upstream("queue.max_bytes = \"256KiB\"")
        .run()
        .fine();
    Check::with_upstream("server.max_buffered = 17039360")
        .run()
        .fine();
    Check::with_upstream("server.listen = \"h:0\"\nadmin.listen = \"h:0\"")
        .run()
        .fine();
    Check::with_upstream("server.listen = \"h:1\"\nadmin.listen = \"\"")
        .run()
        .fine();
    Check::with_upstream("server.listen = \"unix:/a\"\nadmin.listen = \"unix:/b\"")
        .run()
        .fine();
}

#[test]
fn a_lost_part_of_the_file_is_not_blamed_on_the_rest() {
    // The URL and the larger limit stand below headers that do not parse: neither is missed,
    // and they are not taken for sections either.
    for header in ["[batch", "[[batch", "[ba tch]"] {
        let file = format!("[server]\nmax_body = \"1MiB\"\n{header}\nmax_bytes = \"2MiB\"");
        let answer = Check::new().file(file).run();
        let mistakes = answer.mistakes();
        let [only] = mistakes[..] else {
            panic!("{header}: {mistakes:?}")
        };
        assert!(only.starts_with("m.toml:3: not TOML: "), "{only}");
    }
}

#[test]
fn what_cannot_be_useful_is_a_warning() {
    let file = "queue.max_jobs = 99\nqueue.max_bytes = \"512KiB\"";
    let answer = Check::with_upstream(file).run().fine();
    let expected = "\
warning: queue.max_jobs = 99 (m.toml:1) is less than batch.max_size = 100 (default): no batch will ever be full
warning: queue.max_bytes = 512KiB (m.toml:2) is less than batch.max_bytes = 1MiB (default): no batch will ever be that large
";
    assert_eq!(answer.stderr, expected);
    assert!(answer.stdout.contains("max_jobs = 99"));
}

#[test]
fn a_secret_never_shows() {
    let fine = Check::new()
        .file(
            "[upstream]\nurl = \"http://u:s3cret@h/v3/s3cret-0123456789?t=s3cret\"\n[upstream.headers]\nA = \"s3cret\"",
        )
        .env("MICROBATCH_UPSTREAM__HEADERS", "{ B = \"s3cret\" }")
        .args(&["--upstream-header", "C: s3cret", "--queue-max-jobs", "1"])
        .run()
        .fine();
    assert!(fine.stdout.contains("\"c\" = \"***\"") && fine.stderr.contains("warning"));
    let wrong = Check::new()
        .file("[upstream]\nurl = \"http://u:s3cret@h:x/\"\nheaders = { \"a b\" = \"s3cret\", c = \"s3cret\\u0001\" }\ntimeout = s3cret")
        .env("MICROBATCH_UPSTREAM__HEADERS", "{ B = \"s3cret }")
        .env("MICROBATCH_UPSTREAM__URL", "http://s3cret@/")
        .run();
    assert_eq!(wrong.mistakes().len(), 6, "{}", wrong.stderr);
    for text in [fine.stdout, fine.stderr, wrong.stdout, wrong.stderr] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

/// Wherever it was put by mistake, no more of it shows than it takes to find it.
#[test]
fn a_misplaced_secret_is_not_shown_whole() {
    const TOKEN: &str = "sk-live-0123456789abcdefghijklmnopqrstuvwxyz0123456789";
    const NUMBER: &str = "99999999999999999999999999999999999999999999999999";
    let odd = ["path", "forward_headers", "upstream.headers"];
    for key in keys().iter().filter(|key| !odd.contains(&key.key)) {
        for (value, end) in [(TOKEN, "456789"), (NUMBER, "99999999999999999999")] {
            let (section, name) = (key.section(), key.name());
            let texts = [
                format!("[{section}]\n{name} = \"{value}\""),
                format!("[{section}]\n{name} = [\"{value}\"]"),
                format!("[{section}]\n{name} = {value}"),
            ];
            let in_file = texts.iter().map(|text| Check::new().file(text));
            let in_environment = Check::new().env(&key.env(), value);
            for check in in_file.chain([in_environment]) {
                let answer = check.run();
                assert_eq!(answer.code, Some(78), "{}", key.key);
                let said = answer.stdout + &answer.stderr;
                assert!(!said.contains(end), "{said}");
            }
        }
    }
    let names = [
        format!("{TOKEN} = 1"),
        format!("[{TOKEN}]"),
        format!("[log]\n{TOKEN} = 1"),
        format!("[upstream.headers]\n\"{TOKEN} \" = \"x\""),
    ];
    let in_file = names.iter().map(|text| Check::new().file(text));
    let name = format!("MICROBATCH_LOG__{TOKEN}");
    let in_environment = Check::new().env(&name, "x");
    for check in in_file.chain([in_environment]) {
        let answer = check.run();
        assert_eq!(answer.code, Some(78));
        assert!(!answer.stderr.contains("456789\""), "{}", answer.stderr);
        assert!(!answer.stderr.contains("z0123456789"), "{}", answer.stderr);
    }
}

#[test]
fn a_variable_with_one_underscore_too_few_is_warned_about() {
    let answer = Check::with_upstream("")
        .env("MICROBATCH_BATCH_MAX_SIZE", "7")
        .env("MICROBATCH_SERVICE_HOST", "10.0.0.1")
        .run()
        .fine();
    let expected = "warning: MICROBATCH_BATCH_MAX_SIZE is not read: did you mean \
                    MICROBATCH_BATCH__MAX_SIZE, with two underscores?\n";
    assert_eq!(answer.stderr, expected);
    assert!(
        answer.stdout.contains("max_size = 100"),
        "{}",
        answer.stdout
    );
}

#[test]
fn an_upstream_with_one_underscore_too_few_is_told_of_where_it_is_missing() {
    let output = Command::new(env!("CARGO_BIN_EXE_microbatch"))
        .arg("check")
        .env_clear()
        .env("MICROBATCH_UPSTREAM_URL", "http://h/")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{told}");
    let hint =
        "MICROBATCH_UPSTREAM_URL is not read: did you mean MICROBATCH_UPSTREAM__URL, with two";
    assert!(told.contains("upstream.url: is required; "), "{told}");
    assert!(told.contains(hint), "{told}");
}

#[test]
fn completions_are_printed_for_a_shell() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microbatch"));
    let output = command.args(["completions", "bash"]).output().unwrap();
    let script = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(script.contains("--queue-max-jobs") && script.contains("healthcheck"));
    assert!(script.contains("complete -F _microbatch"));
    // A flag that takes a word offers its words, and none a file that it has no use for.
    let after = |flag: &str| {
        let (_, rest) = script.split_once(&format!("{flag})\n")).expect("the flag");
        let (completion, _) = rest.split_once("return 0").expect("its end");
        completion.to_owned()
    };
    assert!(after("--log-format").contains("auto text json"));
    assert!(after("--wait").contains("fixed adaptive"));
    assert!(!after("--max-size").contains("compgen -f"));
    assert!(after("--config").contains("compgen -f"));
}

/// What is set for another store than there is does no harm, and can't be what was meant.
#[test]
fn what_is_set_for_another_store_is_told() {
    const KEYS: [(&str, &str); 6] = [
        ("max_attempts", "1"),
        ("lease", "1s"),
        ("prefix", "a"),
        ("timeout", "5s"),
        ("ca", "a.pem"),
        ("allow_volatile", "true"),
    ];
    let told = |store: &str, from: usize| {
        let warnings = KEYS.iter().enumerate().skip(from);
        let warnings = warnings.map(|(i, (key, value))| {
            let key = format!("later.{key} = {value} (m.toml:{})", i + 3);
            format!("warning: {key} is not used with later.store = {store} (m.toml:2)\n")
        });
        warnings.collect::<String>()
    };
    let keys = KEYS.iter().map(|(key, value)| match value.parse::<i32>() {
        Err(_) if *value != "true" => format!("{key} = \"{value}\"\n"),
        _ => format!("{key} = {value}\n"),
    });
    let keys: String = keys.collect();
    for (store, unused) in [
        ("memory", told("memory", 0)),
        ("sqlite:later.db", told("sqlite:later.db", 1)),
        ("off", String::new()),
    ] {
        let file = format!("[later]\nstore = \"{store}\"\n{keys}");
        let answer = Check::with_upstream(&file).run().fine();
        assert_eq!(answer.stderr, unused, "{store}");
    }
    // What is as it would be anyway is no matter.
    let answer = Check::with_upstream("later.lease = \"30s\"").run().fine();
    assert_eq!(answer.stderr, "");
    let file = "later.store = \"rediss://h\"\nlater.ca = \"a.pem\"\nlater.max_attempts = 1";
    let answer = Check::with_upstream(file).run().fine();
    assert_eq!(answer.stderr, "");
}

#[test]
fn no_password_of_a_store_is_shown() {
    let url = "redis://proxy:s3cret@redis.internal:6379/1";
    let answer = Check::with_upstream("")
        .env("MICROBATCH_LATER__STORE", url)
        .run()
        .fine();
    let shown = "store = \"redis://***:***@redis.internal:6379/1\"\n";
    assert!(answer.stdout.contains(shown), "{}", answer.stdout);
    let answer = Check::with_upstream("")
        .env("MICROBATCH_LATER__STORE", &format!("{url}#s3cret"))
        .run();
    let expected = "MICROBATCH_LATER__STORE: later.store: must not have a fragment (#…): it would never be sent; in a password # is %23";
    assert_eq!(answer.mistakes(), [expected]);
}
