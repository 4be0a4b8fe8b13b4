//! What the README and the pages in `docs/` show, run or held against the program: their lines, their
//! answers, their tables, their links.
//!
//! Rust examples are compiled and run as doctests, see the end of `lib.rs`.

// clippy.toml allows these in test functions, not in what they call.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod examples;
mod failures;
mod kustomize;
mod later;
mod links;
mod operations;
mod page;
mod process;
mod routes;
mod service;
mod settings;
mod shapes;
mod shell;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use clap::Parser as _;
use microbatch::batcher::FlushReason;
use microbatch::cli::{self, Cli};
use microbatch::config::{self, Flags, NeedUpstream, keys};
use serde_json::Value;
use serde_json::value::RawValue;

use page::{Page, files, pages, read, readme, repository};
use process::Running;
use shell::{by_hand, read_message, timeless, with_curl};

/// The address in the README's lines.
const SHOWN: &str = "127.0.0.1:8080";

/// What a line prints by curl, where there is one, and in any case by hand, which goes first.
fn answers(line: &str) -> Vec<String> {
    let mut answers = vec![by_hand(line)];
    answers.extend(with_curl(line));
    answers
}

fn body(answer: &str) -> &str {
    answer.rsplit("\r\n\r\n").next().unwrap_or(answer)
}

#[test]
fn the_demo_prints_the_line_and_the_line_prints_the_answer() {
    let (line, shown) = readme().example(&["curl -i"]);
    let fences = readme().fences_in("text");
    let screen = fences.iter().find(|text| text.contains("Ctrl-C")).unwrap();
    let mut demo = Running::proxy(&["demo"]);
    let printed = demo.prints_until("Ctrl-C");
    let listening = demo.logs("listening");
    let address = |name: &str| listening[name].as_str().unwrap().to_owned();
    let (jobs, admin) = (address("listen"), address("admin"));
    let printed = printed.replace(&admin, "127.0.0.1:8081");
    assert_eq!(printed.replace(&jobs, SHOWN).trim(), screen.trim());
    assert!(screen.contains(line.trim()), "{screen}");
    // What it has in common with every other is not on the screen.
    let settings = listening["settings"].as_str().unwrap();
    assert!(settings.contains("upstream.url="), "{settings}");
    assert!(!settings.contains("batch.max_size="), "{settings}");
    for answer in answers(&line.replace(SHOWN, &jobs)) {
        assert_eq!(timeless(&answer), timeless(&shown));
    }
}

#[test]
fn three_at_once_share_a_batch() {
    let lines = readme().shell_lines();
    let demo = lines.iter().find(|line| line.contains("demo --")).unwrap();
    let (_, flags) = demo.split_once("-- ").unwrap();
    let mut demo = Running::proxy(&flags.split_whitespace().collect::<Vec<_>>());
    let address = demo.address();

    let (line, shown) = readme().example(&["for id in 1 2 3"]);
    let line = line.replace(SHOWN, &address);
    let (_, one) = line.split_once("do ").unwrap();
    let callers = ["1", "2", "3"].map(|id| {
        let one = one.replace("'$id'", id);
        thread::spawn(move || by_hand(&one))
    });
    let mut batches = BTreeSet::new();
    let sizes = callers.map(|caller| {
        let answer = caller.join().unwrap();
        let line = |name| answer.lines().find(|line| line.starts_with(name)).unwrap();
        batches.insert(line("x-batch-id").to_owned());
        line("x-batch-size").to_owned()
    });
    assert_eq!(batches.len(), 1);
    assert_eq!(sizes.join("\n"), shown.trim());

    if let Some(printed) = with_curl(&line) {
        assert_eq!(printed.replace('\r', "").trim(), shown.trim());
    }
}

#[test]
fn a_job_without_an_id_is_answered_as_shown() {
    let mut demo = Running::proxy(&["demo"]);
    let address = demo.address();
    for page in [readme(), Page::of("docs/errors.md")] {
        let (line, shown) = page.example(&["curl", "no id"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        for answer in answers(line.replace(SHOWN, &address).trim()) {
            let answer: Value = serde_json::from_str(body(&answer)).unwrap();
            assert_eq!(answer, shown);
        }
    }
}

#[test]
fn the_upstream_sees_the_batch_that_is_shown_and_its_answer_reaches_the_callers() {
    let fences = Page::of("docs/upstream.md").fences();
    let at = |start: &str| {
        let text = fences.iter().rev().map(|fence| &fence.text);
        let mut found = text.filter(|text| text.starts_with(start));
        found.next().unwrap_or_else(|| panic!("no {start}"))
    };
    let (request, answer) = (at("POST /batch"), at("HTTP/1.1 200 OK"));
    // Raw, so that the upstream must see the very bytes.
    let jobs: Vec<&RawValue> = serde_json::from_str(request.lines().last().unwrap()).unwrap();
    let results: Vec<Value> = serde_json::from_str(answer.lines().last().unwrap()).unwrap();

    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/batch", upstream.local_addr().unwrap());
    let size = jobs.len().to_string();
    let flags = ["--upstream", &url, "--max-size", &size, "--max-wait", "25s"];
    let mut proxy = Running::proxy(&flags);
    let address = proxy.address();
    let mut callers = Vec::new();
    for job in &jobs {
        let line = format!("curl http://{address}/jobs -d '{job}'");
        callers.push(thread::spawn(move || by_hand(&line)));
        // One after the other, so that their order is known.
        proxy.logs("job queued");
    }
    let (mut stream, _) = upstream.accept().unwrap();
    let seen = read_message(&mut BufReader::new(&stream));
    assert_eq!(timeless(&seen), timeless(request));

    stream
        .write_all(answer.trim_end().replace('\n', "\r\n").as_bytes())
        .unwrap();
    for (caller, job) in callers.into_iter().zip(&jobs) {
        let answer: Value = serde_json::from_str(body(&caller.join().unwrap())).unwrap();
        let job: Value = serde_json::from_str(job.get()).unwrap();
        assert_eq!(answer["id"], job["id"]);
        assert!(results.contains(&answer), "{answer}");
    }
}

#[test]
fn the_reasons_are_the_program_s() {
    use FlushReason::{Bytes, Drain, Flush, Idle, Size, Wait};
    let fences = readme().fences_in("text");
    let picture = fences.iter().find(|text| text.contains("slot"));
    let picture = picture.expect("a picture");
    let (_, reasons) = picture.split_once("\n\n").expect("a list below it");
    let shown = reasons
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let real = [Size, Bytes, Wait, Idle, Flush, Drain].map(FlushReason::as_str);
    assert_eq!(shown.collect::<Vec<_>>(), real);
}

#[test]
fn every_line_with_flags_is_understood() {
    let mut understood = 0;
    // What stands there is run.
    let pages = pages().into_iter().filter(|it| it.path != "docs/shapes.md");
    for line in pages.flat_map(|page| page.shell_lines()) {
        let mut words = shell::words(&line);
        let variable = |word: &String| word.starts_with("MICROBATCH_");
        let count = words.iter().take_while(|word| variable(word)).count();
        let env: Vec<(OsString, OsString)> = words
            .drain(..count)
            .filter_map(|word| {
                let (name, value) = word.split_once('=')?;
                Some((name.into(), value.into()))
            })
            .collect();
        // Where it is redirected to is the shell's business.
        let words = words.iter().map(String::as_str);
        let words: Vec<_> = words.take_while(|word| !word.starts_with('>')).collect();
        let args = match &words[..] {
            ["cargo", "run", "--release", "--", args @ ..] | ["microbatch", args @ ..] => args,
            _ => continue,
        };
        let cli = Cli::try_parse_from([&["microbatch"], args].concat());
        let cli = cli.unwrap_or_else(|error| panic!("{line}: {error}"));
        let (flags, need) = match cli.into_command() {
            cli::Command::Serve(given) => (given.flags, NeedUpstream::Yes),
            cli::Command::Check(flags) => (flags, NeedUpstream::Yes),
            cli::Command::Demo(flags) => (flags, NeedUpstream::No),
            cli::Command::Upstream(_) => (Flags::default(), NeedUpstream::No),
            cli::Command::Top(given) => (given.ask.proxy.into(), NeedUpstream::No),
            cli::Command::Submit(given) => (given.proxy.into(), NeedUpstream::No),
            cli::Command::Advice(given) => (given.ask.proxy.into(), NeedUpstream::No),
            cli::Command::Shapes { .. } => (Flags::default(), NeedUpstream::No),
            cli::Command::Try(given) => (given.flags, NeedUpstream::Yes),
            cli::Command::Token { .. } | cli::Command::Schema | cli::Command::Man { .. } => {
                (Flags::default(), NeedUpstream::No)
            }
            other => panic!("{line}: {other:?}"),
        };
        config::load(&flags, env.into_iter(), need)
            .unwrap_or_else(|mistakes| panic!("{line}: {mistakes}"));
        understood += 1;
    }
    assert!(understood >= 15, "{understood} lines");
}

#[test]
fn the_gate_runs_the_readme_s_test_command() {
    let lines = readme().shell_lines();
    let test = lines.iter().find(|line| line.starts_with("cargo test"));
    let test = test.expect("a test command");
    assert!(read(".ci/run").lines().any(|line| line == test));
}

#[test]
fn every_configuration_in_the_repository_loads() {
    let files = files("config").into_iter();
    let files: Vec<_> = files.filter(|path| path.ends_with(".toml")).collect();
    assert_eq!(files.len(), 14);
    for file in files {
        check(&repository(&file));
    }
}

/// `microbatch check` finds no fault with a file, and nothing doubtful.
fn check(file: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_microbatch"))
        .arg("check")
        .arg("--config")
        .arg(file)
        .env_clear()
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", file.display());
    assert_eq!(errors, "", "{}", file.display());
}

#[test]
fn the_settings_of_the_containers_load() {
    for path in [
        "Dockerfile",
        "docker-compose.yml",
        "config/kubernetes-sidecar.yaml",
        "config/kubernetes-one-machine.yaml",
        "config/kubernetes-replicas.yaml",
    ] {
        let pairs = variables(&read(path));
        assert!(!pairs.is_empty(), "{path}");
        for (name, value) in pairs {
            let env = std::iter::once((name.clone().into(), value.clone().into()));
            let loaded = config::load(&Flags::default(), env, NeedUpstream::No);
            loaded.unwrap_or_else(|mistakes| panic!("{path}: {mistakes}"));
            assert!(keys().iter().any(|key| key.env() == name), "{path}: {name}");
        }
    }
}

/// The variables that a Dockerfile (`NAME=value`), a compose file (`NAME: value`) or a manifest
/// (`name: NAME`, on the next line `value: …`) sets, commented variants included.
fn variables(text: &str) -> Vec<(String, String)> {
    let mut lines = text
        .lines()
        .map(|line| line.trim_start_matches(['#', ' ', '-']).trim_end());
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let line = line.strip_prefix("ENV ").unwrap_or(line);
        let (name, value) = match line.strip_prefix("name: MICROBATCH_") {
            Some(rest) => {
                let next = lines.next();
                if next == Some("valueFrom:") {
                    continue; // a secret's
                }
                let value = next.and_then(|line| line.strip_prefix("value: "));
                (format!("MICROBATCH_{rest}"), value.expect("a value"))
            }
            None => match line.split_once(['=', ':']) {
                Some((name, value)) if name.starts_with("MICROBATCH_") => (name.to_owned(), value),
                _ => continue,
            },
        };
        if name.contains(' ') {
            continue; // a sentence of a comment
        }
        let value = value.trim_end_matches('\\').trim().trim_matches('"');
        found.push((name, value.to_owned()));
    }
    found
}
