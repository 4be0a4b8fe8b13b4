//! What the README and docs/later.md show of answers fetched later.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};

use serde_json::Value;

use crate::SHOWN;
use crate::examples::{Language, NODE, PYTHON};
use crate::page::{Page, readme};
use crate::process::Running;
use crate::shell::{timeless, with_curl};

/// The lines of an answer without what differs from one run to the next.
fn shown_answer(answer: &str) -> Vec<String> {
    let mut lines = timeless(answer);
    let document = lines.pop().unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let handle = document["handle"].as_str().unwrap();
    lines.retain(|line| !line.starts_with("date"));
    let lines = lines.iter().map(|line| line.replace(handle, "<handle>"));
    let mut lines: Vec<_> = lines.collect();
    let members = document.as_object().unwrap().keys();
    lines.push(members.cloned().collect::<Vec<_>>().join(" "));
    lines.push(format!("{} {}", document["id"], document["state"]));
    lines
}

fn handle(answer: &str) -> &str {
    let location = answer
        .lines()
        .find_map(|it| it.strip_prefix("location: /jobs/"));
    location.expect("a location").trim()
}

#[test]
fn a_job_is_handed_in_and_its_answer_fetched_as_shown() {
    for page in [readme(), Page::of("docs/later.md")] {
        let mut demo = Running::proxy(&["demo"]);
        let address = demo.address();
        let (line, shown) = page.example(&["curl", "respond-async"]);
        let Some(answer) = with_curl(&line.replace(SHOWN, &address)) else {
            return;
        };
        let answer = answer.replace('\r', "");
        assert_eq!(shown_answer(&answer), shown_answer(&shown));
        if page.path != "README.md" {
            continue;
        }
        let (lines, printed) = page.example(&["wait=30", "DELETE"]);
        let run = |line: &str| {
            let line = line.replace(handle(&shown), handle(&answer));
            with_curl(&line.replace(SHOWN, &address)).unwrap()
        };
        let printed: Vec<_> = printed.lines().collect();
        let lines: Vec<_> = lines.lines().filter(|line| !line.is_empty()).collect();
        let [asks, waits, removes] = lines[..] else {
            panic!("{lines:?}");
        };
        // It may be finished by then.
        let asked = run(asks);
        assert!(
            asked == printed[1] || asked.contains("\"state\":"),
            "{asked}"
        );
        assert_eq!(run(waits), printed[1]);
        assert_eq!(run(removes), "");
        assert!(run(asks).contains("job-unknown"));
        assert_eq!(printed.len(), 2);
    }
}

#[test]
fn python_hears_of_three_jobs_as_shown() {
    if !PYTHON.is_there() {
        return;
    }
    let mut demo = Running::proxy(&["demo"]);
    let printed = PYTHON.run(&PYTHON.example(&readme(), "respond-async"), &demo.address());
    let fences = readme().fences_in("text");
    let shown = fences.iter().find(|text| text.contains("200 {\"id\": 1"));
    let in_any_order = |text: &str| text.trim().lines().map(str::to_owned).collect();
    let [printed, shown]: [BTreeSet<_>; 2] = [&printed, shown.unwrap()].map(|it| in_any_order(it));
    assert_eq!(printed, shown);
}

/// Killed when it is dropped.
struct Listener(Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a listener prints of three jobs that are handed in while it listens, and of three more
/// that a proxy in the first's place is given.
fn listens(language: Language) {
    if !language.is_there() {
        return;
    }
    let page = Page::of("docs/later.md");
    let example = language.example(&page, "/streams/greetings");
    let mut proxy = Running::proxy(&["demo"]);
    let address = proxy.address();
    let program = example.replace(SHOWN, &address);
    let mut listener = Listener(language.command(&program).spawn().unwrap());
    let mut lines = BufReader::new(listener.0.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        // Of a proxy that was started anew it is told, where it says how far it was.
        .filter(|line| line != "some answers have expired");
    let mut hear = |ids: [u64; 3]| {
        let jobs = ids.map(|id| format!("{{\"id\":{id},\"body\":\"hello\"}}\n"));
        for job in &jobs {
            let line = format!(
                "curl -s http://{address}/jobs?stream=greetings -H 'Prefer: respond-async' -d '{job}'"
            );
            with_curl(&line);
        }
        let heard: BTreeSet<_> = (0..3)
            .map(|_| {
                let line = lines.next().unwrap();
                let body: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
                assert_eq!(body["result"], "hello", "{line}");
                body["id"].as_u64().unwrap()
            })
            .collect();
        assert!(heard.into_iter().eq(ids));
    };
    if with_curl("curl --version").is_some() {
        hear([1, 2, 3]);
        drop(proxy);
        let flags = [
            "demo",
            "--listen",
            &address,
            "--admin-listen",
            "127.0.0.1:0",
        ];
        let mut again = Running::start(&flags);
        again.address();
        hear([4, 5, 6]);
    }
}

#[test]
fn a_listener_in_python_hears_all_across_a_break() {
    listens(PYTHON);
}

#[test]
fn a_listener_in_node_hears_all_across_a_break() {
    listens(NODE);
}

/// What submit writes of one job.
#[test]
fn submit_writes_a_line_as_shown() {
    let page = Page::of("docs/later.md");
    let (_, shown) = page.example(&["microbatch submit"]);
    let mut demo = Running::proxy(&["demo"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jobs.ndjson");
    std::fs::write(&file, r#"{"id":"1","body":"hello"}"#).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_microbatch"))
        .args(["submit", "--listen", &demo.address()])
        .arg(&file)
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let line = |text: &str| {
        let mut line: Value = serde_json::from_str(text).unwrap();
        let handle = line["handle"].take();
        assert_eq!(handle.as_str().unwrap().len(), 34);
        line
    };
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(line(&printed), line(&shown));
}
