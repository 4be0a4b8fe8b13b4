//! docs/shapes.md: what it shows is run, line by line, and its tables are held to the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use microbatch::shape::{Keys, Shape, presets};

use crate::SHOWN;
use crate::page::{Fence, Page, code, readme};
use crate::process::Running;
use crate::shell::{self, with_curl};

/// Where the page has the sample upstream.
const SAMPLE: &str = "127.0.0.1:9000";

fn page() -> Page {
    Page::of("docs/shapes.md")
}

/// What stands in a cell in backticks, if it does not say `none`.
fn default(cell: &str) -> Option<&str> {
    (cell != "none").then(|| code(cell)[0])
}

#[test]
fn the_table_of_keys_is_the_program_s() {
    let rows = page().table("| key | default | meaning |");
    let shown: Vec<_> = rows.iter().map(|row| code(&row[0])[0]).collect();
    assert_eq!(shown, Keys::names().collect::<Vec<_>>());
    // All defaults together are the default shape.
    let keys = rows.iter().filter_map(|row| {
        let value = default(&row[1])?;
        Some(format!("{} = {value}\n", code(&row[0])[0]))
    });
    let keys: Keys = toml::from_str(&keys.collect::<String>()).unwrap();
    let shape = Shape::compile(&keys, &[]).unwrap();
    assert_eq!(format!("{shape:?}"), format!("{:?}", Shape::jobs()));
    assert!(rows.iter().all(|row| !row[2].is_empty()));
}

/// Where the shape of calls makes a default another one.
#[test]
fn a_list_in_the_callers_own_body_goes_as_it_came() {
    let shape = |lone: &str| {
        let keys = format!("call = \"/a\"\nreply = \"[$results]\"\n{lone}");
        let keys: Keys = toml::from_str(&keys).unwrap();
        format!("{:?}", Shape::compile(&keys, &[]).unwrap())
    };
    assert_eq!(shape(""), shape("lone = \"as-is\""));
    assert_ne!(shape(""), shape("lone = \"batch\""));
}

#[test]
fn the_tables_of_presets_are_the_program_s() {
    let names: Vec<_> = presets::summaries().map(|(name, _)| name).collect();
    let rows = page().table("| preset | one call | the batch | the answer | what to know |");
    let shown: Vec<_> = rows.iter().map(|row| code(&row[0])[0]).collect();
    assert_eq!(shown, names);
    // What has no preset has a link there.
    let rows = readme().table("| stands before | preset | tried with |");
    let shown = rows.iter().filter_map(|row| code(&row[1]).first().copied());
    let shown: BTreeSet<_> = shown.chain(["jobs"]).collect();
    assert_eq!(shown, names.into_iter().collect());
}

#[test]
fn the_table_of_templates_is_the_program_s() {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in page().table("| name | in | stands for |") {
        for place in row[1].split(", ") {
            let names = shown.entry(place.to_owned()).or_default();
            names.push(code(&row[0])[0].to_owned());
        }
    }
    // What is allowed is said to whoever writes something else.
    for (place, mut names) in shown {
        let keys: Keys = toml::from_str(&format!("{place} = \"$zebra\"")).unwrap();
        let wrong = Shape::compile(&keys, &[]).unwrap_err();
        let (_, allowed) = wrong[0].what.split_once("allowed here are ").unwrap();
        let mut allowed: Vec<_> = allowed.split(' ').collect();
        allowed.sort_unstable();
        names.sort_unstable();
        assert_eq!(names, allowed, "{place}");
    }
}

/// A page's lines, run one after the other in a folder of their own.
struct Walk {
    folder: tempfile::TempDir,
    /// What runs beside them.
    running: Vec<Running>,
    /// Addresses as they are shown, and as they are.
    addresses: Vec<(&'static str, String)>,
}

impl Walk {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            running: Vec::new(),
            addresses: Vec::new(),
        }
    }

    fn real(&self, text: &str) -> String {
        let addresses = self.addresses.iter();
        addresses.fold(text.to_owned(), |text, (shown, real)| {
            text.replace(shown, real)
        })
    }

    /// Starts a line that runs on, on a port of its own.
    fn start(&mut self, line: &str, shown: &'static str) {
        let words = shell::words(line);
        let words = words[1..].iter().map(|word| match word.ends_with(".toml") {
            true => self.folder.path().join(word).to_str().unwrap().to_owned(),
            false => word.clone(),
        });
        let words: Vec<_> = words.collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let mut running = match shown {
            SHOWN => Running::proxy(&words),
            _ => Running::start(&[&words[..], &["--listen", "127.0.0.1:0"]].concat()),
        };
        self.addresses.push((shown, running.address()));
        self.running.push(running);
    }

    /// What a line prints, on either of its outputs.
    fn run(&self, line: &str) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_microbatch"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", program.parent().unwrap().display());
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{}", self.real(line))])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", path)
            .env("CURL_HOME", "/nonexistent")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what a fence has, and compares what it prints to what is shown; how many lines
    /// were run.
    fn fence(&mut self, fence: &Fence, prints: Option<&Fence>) -> usize {
        if fence.language == "toml" {
            let first = fence.text.lines().next().unwrap();
            if let Some(name) = first.strip_prefix("# ").filter(|it| it.ends_with(".toml")) {
                fs::write(self.folder.path().join(name), self.real(&fence.text)).unwrap();
            }
        }
        if fence.language != "sh" {
            return 0;
        }
        let (mut printed, mut run) = (String::new(), 0);
        for line in fence.text.lines().filter(|line| !line.is_empty()) {
            run += 1;
            if line.starts_with("microbatch upstream") {
                self.start(line, SAMPLE);
            } else if line.starts_with("microbatch --config") {
                self.start(line, SHOWN);
            } else if !line.contains("curl ") || with_curl("curl --version").is_some() {
                printed += &self.run(line);
            } else {
                return run;
            }
        }
        let prints = prints.filter(|it| it.language == "text");
        let shown = prints.map(|it| self.real(&it.text)).unwrap_or_default();
        let printed = printed.replace('\r', "");
        assert_eq!(printed.trim_end(), shown.trim_end(), "{}", fence.text);
        run
    }
}

#[test]
fn a_shape_of_ones_own_is_made_as_shown() {
    let fences = page().fences();
    let (mut walk, mut run) = (Walk::new(), 0);
    for (at, fence) in fences.iter().enumerate() {
        run += walk.fence(fence, fences.get(at + 1));
    }
    assert!(run >= 15, "{run} lines");
}
