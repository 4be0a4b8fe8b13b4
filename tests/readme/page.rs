//! The README as a test sees it: its fences and its tables.

use std::path::{Path, PathBuf};

/// A fenced block: what stands behind the first fence, and its lines.
#[derive(Debug, PartialEq)]
pub struct Fence {
    pub language: String,
    pub text: String,
}

/// A path of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn readme() -> String {
    read("README.md")
}

pub fn read(path: &str) -> String {
    let read = std::fs::read_to_string(repository(path));
    read.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every fenced block, in order.
pub fn fences() -> Vec<Fence> {
    let readme = readme();
    let mut parts = readme.split("\n```");
    parts.next();
    let blocks = parts.step_by(2).map(|block| {
        let (language, text) = block.split_once('\n').expect("a fence ends its line");
        Fence {
            language: language.to_owned(),
            text: text.to_owned(),
        }
    });
    blocks.collect()
}

/// The one `sh` fence that holds all of `words`, and the fence after it: what it prints.
pub fn example(words: &[&str]) -> (String, String) {
    let fences = fences();
    let found = fences.windows(2).filter(|pair| {
        pair[0].language == "sh" && words.iter().all(|word| pair[0].text.contains(word))
    });
    match found.collect::<Vec<_>>()[..] {
        [[shell, prints]] => (shell.text.clone(), prints.text.clone()),
        ref others => panic!("{} fences hold {words:?}", others.len()),
    }
}

/// The lines of all `sh` fences.
pub fn shell_lines() -> Vec<String> {
    let fences = fences().into_iter();
    let shell = fences.filter(|fence| fence.language == "sh");
    shell
        .flat_map(|fence| fence.text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The cells of the table whose head is `head`, row by row.
pub fn table(head: &str) -> Vec<Vec<String>> {
    let readme = readme();
    let lines = readme.lines().skip_while(|line| *line != head).skip(2);
    let rows: Vec<Vec<String>> = lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table {head}");
    rows
}

/// What stands in backticks in `text`.
pub fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
