//! What an operator is promised to see, against what a running proxy shows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use microbatch::observe::metrics::{FAMILIES, Family};

use crate::page::{Page, code, files, read};
use crate::process::Running;
use crate::shell::by_hand;

fn page() -> Page {
    Page::of("docs/operations.md")
}

/// A proxy that has answered a job, and both of its addresses.
fn proxy() -> (Running, String, String) {
    let mut demo = Running::proxy(&["demo"]);
    let line = demo.logs("listening");
    let [jobs, admin] = ["listen", "admin"].map(|it| line[it].as_str().unwrap().to_owned());
    let answer = by_hand(&format!("curl http://{jobs}/jobs -d '{{\"id\":1}}'"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    (demo, jobs, admin)
}

fn ask(address: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The label names and values of a sample, but for a histogram's bounds.
fn labels(sample: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = sample.split_once('{') else {
        return Vec::new();
    };
    let (labels, _) = rest.split_once('}').unwrap();
    let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
    pairs.filter(|(name, _)| name != "le").collect()
}

#[test]
fn the_tables_of_metrics_are_the_program_s() {
    let (_demo, _, admin) = proxy();
    // A call is counted once its answers are given, so their callers may be here before.
    let counted = "microbatch_upstream_duration_seconds_count{";
    let mut scrapes = (0..1_000).map(|_| ask(&admin, "GET", "/metrics"));
    let scrape = scrapes.find(|scrape| scrape.contains(counted));
    let scrape = scrape.expect("the call is counted");
    let mut values: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (name, value) in scrape.lines().flat_map(labels) {
        values.entry(name).or_default().insert(value);
    }
    let row = |family: &Family| {
        let kind = family.kind.as_str();
        let labels = family.labels.iter().map(|label| format!(" `{label}`"));
        let labels = labels.collect::<Vec<_>>().join(",");
        format!("| `{}` | {kind} |{labels} | {} |", family.name, family.help)
    };
    let real: Vec<_> = FAMILIES.iter().map(row).collect();
    let text = page().text;
    let shown: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("| `microbatch_"))
        .collect();
    assert_eq!(shown, real, "\n{}\n", real.join("\n"));

    for row in page().table("| label | values |") {
        let label = code(&row[0])[0];
        // What follows the colon is what they mean.
        let shown = row[1].rsplit_once(": ").unwrap().0;
        let shown: BTreeSet<_> = code(shown).into_iter().map(str::to_owned).collect();
        let but = |value: &String| !value.contains('.');
        let shown: BTreeSet<_> = shown.into_iter().filter(but).collect();
        assert_eq!(Some(&shown), values.get(label), "{label}");
    }
}

#[test]
fn the_paths_are_there() {
    let (_demo, jobs, admin) = proxy();
    let mut asked = 0;
    for row in page().table("| listener | paths |") {
        let address = match code(&row[0])[0] {
            "server.listen" => &jobs,
            _ => &admin,
        };
        for path in code(&row[1]) {
            let (method, path) = path.split_once(' ').unwrap();
            let answer = ask(address, method, path);
            let status = answer.split(' ').nth(1).unwrap();
            // Without a body that is no job; that it is asked for is enough.
            let fine = ["200", if path == "/jobs" { "400" } else { "200" }];
            assert!(fine.contains(&status), "{method} {path}: {answer}");
            asked += 1;
        }
    }
    assert_eq!(asked, 13);
}

#[test]
fn a_flush_is_answered_as_shown() {
    let (_demo, _, admin) = proxy();
    let answer = ask(&admin, "POST", "/flush");
    assert!(answer.contains("{\"jobs\":0}"), "{answer}");
    assert!(page().text.contains("`{\"jobs\":n}`"));
}

#[test]
fn the_alerts_are_those_of_the_file() {
    let shown = page().table("| alert | when |");
    let shown: BTreeSet<_> = shown
        .iter()
        .map(|row| code(&row[0])[0].to_owned())
        .collect();
    let rules = read("config/alerts.yml");
    let real = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    assert_eq!(shown, real.map(str::to_owned).collect());
}

/// Every file of the program, one after the other.
fn sources() -> String {
    fn collect(directory: &str, text: &mut String) {
        for path in files(directory) {
            match path.ends_with(".rs") {
                true => text.push_str(&read(&path)),
                false if !path.contains('.') => collect(&path, text),
                false => {}
            }
        }
    }
    let mut text = String::new();
    collect("src", &mut text);
    text
}

#[test]
fn the_log_lines_are_the_program_s() {
    let sources = sources();
    for row in page().table("| message | level | when |") {
        for message in code(&row[0]) {
            assert!(sources.contains(&format!("\"{message}")), "{message}");
        }
    }
}

#[test]
fn the_probes_are_those_of_the_files() {
    let shown = page().fences_in("yaml");
    assert_eq!(shown.len(), 2);
    let files = ["docker-compose.yml", "config/kubernetes-sidecar.yaml"].map(read);
    for (shown, file) in shown.iter().zip(files) {
        assert!(file.contains(shown.trim_end()), "{shown}");
    }
    let image = read("Dockerfile");
    assert!(image.contains(r#"CMD ["microbatch", "healthcheck"]"#));
}

#[test]
fn the_sample_of_compose_answers_as_shown() {
    let (line, shown) = page().example(&["curl", "8080", "\"hello\""]);
    let (_demo, jobs, _) = proxy();
    let answer = by_hand(line.replace("127.0.0.1:8080", &jobs).trim());
    assert!(answer.ends_with(shown.trim()), "{answer}");
}
