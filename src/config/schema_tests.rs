//! The schema against what reads a file.

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value, json};

use super::super::options::keys;
use super::*;
use crate::config::{Flags, NeedUpstream, load};

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// What is wrong with a file by the schema, each with its place.
fn by_schema(toml: &str) -> Vec<String> {
    let file: Value = toml::from_str(toml).unwrap();
    let validator = validator();
    let errors = validator.iter_errors(&file);
    errors
        .map(|it| format!("{}: {it}", it.instance_path()))
        .collect()
}

/// Whether the proxy reads a file; what it misses of an upstream does not count.
fn by_program(toml: &str) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("microbatch.toml");
    std::fs::write(&path, toml).unwrap();
    let flags = Flags {
        config: Some(path),
        ..Flags::default()
    };
    let env: [(OsString, OsString); 0] = [];
    match load(&flags, env.into_iter(), NeedUpstream::No) {
        Ok(_) => Ok(()),
        Err(mistakes) => Err(mistakes.to_string()),
    }
}

fn examples() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let files = std::fs::read_dir(directory).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    let files = files.map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).unwrap())
    });
    files.collect()
}

#[test]
fn it_is_a_schema_and_the_committed_copy_is_it() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
    let copy = include_str!("../../config/microbatch.schema.json");
    let copy: Value = serde_json::from_str(copy).unwrap();
    assert!(
        copy == schema(),
        "cargo run -- schema > config/microbatch.schema.json"
    );
}

#[test]
fn every_example_names_it_and_is_valid() {
    let examples = examples();
    assert!(examples.len() >= 10);
    for (name, text) in examples {
        assert!(
            text.starts_with("#:schema microbatch.schema.json\n"),
            "{name}"
        );
        assert_eq!(by_schema(&text), [""; 0], "{name}");
    }
}

#[test]
fn every_setting_is_in_it_with_its_meaning_and_default() {
    let schema = schema();
    for (of_routes, pointer) in [(false, ""), (true, "/$defs/route")] {
        let mut told = 0;
        for key in known(of_routes) {
            let place = key.key.replace('.', "/properties/");
            let place = format!("{pointer}/properties/{place}");
            let it = schema.pointer(&place);
            let it = it.unwrap_or_else(|| panic!("{place}"));
            let description = it["description"].as_str().unwrap();
            assert!(description.starts_with(key.help), "{description}");
            let inherits = of_routes && Options::inherits(key);
            assert_eq!(description.contains("the top level's by default"), inherits);
            let has_default = key.default.is_some() && !inherits;
            assert_eq!(it.get("default").is_some(), has_default, "{place}");
            // What a default or an example is, it says itself.
            let examples = it["examples"].as_array().into_iter().flatten();
            for value in examples.chain(it.get("default")) {
                let kind = jsonschema::draft202012::new(&(key.schema)()).unwrap();
                assert!(kind.is_valid(value), "{place}: {value}");
            }
            told += 1;
        }
        assert!(told >= 20);
    }
}

#[test]
fn routes_inherit_no_form_and_no_credential() {
    let own = keys().iter().filter(|it| it.of_routes);
    let own = own.filter(|it| !Options::inherits(it));
    let own: Vec<_> = own.map(|it| it.key).collect();
    let expected = [
        "path",
        "forward_headers",
        "upstream.url",
        "upstream.alone_url",
        "upstream.headers",
        "upstream.tls.ca",
        "upstream.tls.cert",
        "upstream.tls.key",
        "upstream.tls.server_name",
    ];
    assert_eq!(own, expected);
}

/// Values of every type and many forms, as TOML.
const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "3",
    "400",
    "413",
    "1_000",
    "0x40",
    "99999999",
    "999999999999",
    "9223372036854775807",
    "0.0",
    "0.5",
    "1.5",
    "inf",
    "nan",
    "true",
    "false",
    "1979-05-27",
    "[]",
    "[\"a\"]",
    "[\"a b\"]",
    "[\"authorization\"]",
    "[\"Host\"]",
    "[\"Content-Type\"]",
    "[400]",
    "[400, 422]",
    "[413]",
    "[200]",
    "[1.5]",
    "[true]",
    "{}",
    "{ Authorization = \"Bearer x\" }",
    "{ \"X-Batch-Id\" = \"x\" }",
    "{ \"a b\" = \"x\" }",
    "{ a = 1 }",
    "\"\"",
    "\"0\"",
    "\"5\"",
    "\"5ms\"",
    "\" 5ms \"",
    "\"1m 30s\"",
    "\"1m30s\"",
    "\"2minutes 1 sec\"",
    "\"1.5s\"",
    "\"1 month\"",
    "\"5 parsecs\"",
    "\"ms\"",
    "\"-5ms\"",
    "\"256KiB\"",
    "\"1 mib\"",
    "\"10k\"",
    "\"1.5\"",
    "\"64 pages\"",
    "\"auto\"",
    "\"adaptive\"",
    "\"fixed\"",
    "\"wait\"",
    "\"reject\"",
    "\"text\"",
    "\"json\"",
    "\"Auto\"",
    "\"info\"",
    "\"WARN\"",
    "\"inof\"",
    "\"warn, microbatch=debug\"",
    "\"microbatch::http=5\"",
    "\"a=b\"",
    "\"0660\"",
    "\"660\"",
    "\"0999\"",
    "\"off\"",
    "\"memory\"",
    "\"sqlite:later.db\"",
    "\"sqlite:\"",
    "\"redis://h\"",
    "\"rediss://u:p@h:1/2\"",
    "\"unix:///run/redis.sock\"",
    "\"redis://h/?x=1\"",
    "\"postgres://h/\"",
    "\"127.0.0.1:8080\"",
    "\"[::1]:0\"",
    "\"localhost\"",
    "\"http://127.0.0.1:9000/batch\"",
    "\" HTTPS://u:p@h/a?b=c\"",
    "\"http://h/#x\"",
    "\"ftp://h/\"",
    "\"h:9000/batch\"",
    "\"example.org\"",
    "\"::1\"",
    "\"a/b\"",
    "\"/etc/tls.pem\"",
    "\"/v1/{model}\"",
    "\"/a b\"",
    "\"/a?b\"",
    "\"http/protobuf\"",
    "\"grpc\"",
    "\"microbatch\"",
    "\"a:b\"",
];

/// What one setting takes, by the schema and by what reads it.
#[test]
fn it_takes_what_the_program_does_and_refuses_the_rest() {
    let mut lets_pass = Vec::new();
    let mut refused = 0;
    for key in keys() {
        let kind = jsonschema::draft202012::new(&(key.schema)()).unwrap();
        for text in VALUES {
            let value: toml::Table = format!("it = {text}").parse().unwrap();
            let parsed = toml::de::DeValue::parse(text).unwrap();
            let raw = crate::config::kind::Raw::Toml(parsed.get_ref());
            let mut options = Options::default();
            let read = (key.read)(&mut options, raw, crate::config::Origin::Command);
            let takes = kind.is_valid(&json!(value["it"]));
            match (read.is_ok(), takes) {
                (true, takes) => assert!(takes, "{} = {text} is refused", key.key),
                (false, true) => lets_pass.push((key.key, *text)),
                (false, false) => refused += 1,
            }
        }
    }
    // Ranges of what has a unit, and what only a parser tells.
    let all = refused + lets_pass.len();
    assert!(
        lets_pass.len() * 20 < all,
        "{} of {all}: {lets_pass:?}",
        lets_pass.len()
    );
}

/// What a whole file may have.
#[test]
fn mistakes_in_a_file_are_refused_by_both() {
    for toml in [
        "[batch]\nmax_sizes = 1",
        "[bach]\nmax_size = 1",
        "max_size = 1",
        "batch = 1",
        "path = \"/x\"",
        "[server.tls]\ncerts = \"a\"",
        "[server]\ntls = \"a\"",
        "shape = \"job\"",
        "shape = 1",
        "[shape]\nlikes = \"jobs\"",
        "[shape]\nlike = 1",
        "[shape]\nanswers = [true]",
        "[shape]\nnan = \"yes\"",
        "[shape]\nerror_status = \"502\"",
        "routes = 1",
        "[routes]\nx = 1",
        "[routes.A]\npath = \"/x\"\nupstream.url = \"http://h/\"",
        "[routes.jobs]\npath = \"/x\"\nupstream.url = \"http://h/\"",
        "[routes.a]\npath = \"/x\"\nupstream.url = \"http://h/\"\nserver.timing = true",
        "[routes.a]\npath = \"/x\"\nupstream.url = \"http://h/\"\nbatch.max_size = 0",
        "[routes.a]\npath = \"x\"\nupstream.url = \"http://h/\"",
        "[routes.a]\npath = \"/x\"\nupstream.url = \"http://h/\"\nshape = \"nothing\"",
        "[passthrough]\nurl = \"h\"",
    ] {
        assert!(by_program(toml).is_err(), "{toml}");
        assert!(!by_schema(toml).is_empty(), "{toml}");
    }
    for toml in [
        "",
        "[passthrough]\nurl = \"http://h/\"",
        "[shape]\nanswers = [200, \"2xx\"]\nnan = true",
        "[routes.a]\npath = \"/x\"\nshape = \"openai-embeddings\"\nupstream.url = \"https://h/\"\n\
         upstream.tls.ca = \"/ca.pem\"\nbatch.max_size = 7",
    ] {
        assert_eq!(by_program(toml), Ok(()), "{toml}");
        assert_eq!(by_schema(toml), [""; 0], "{toml}");
    }
}
