//! A page as a test sees it: its fences, its tables, its links.

use std::path::{Path, PathBuf};

/// A page of the repository.
pub struct Page {
    /// Its path from the repository's root.
    pub path: String,
    pub text: String,
}

/// A fenced block: what stands behind the first fence, and its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Fence {
    pub language: String,
    pub text: String,
}

/// A path of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn read(path: &str) -> String {
    let read = std::fs::read_to_string(repository(path));
    read.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The paths of the files in a directory, from the repository's root.
pub fn files(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository(directory)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let paths = names.map(|name| format!("{directory}/{}", name.to_str().unwrap()));
    let mut paths: Vec<_> = paths.collect();
    paths.sort();
    paths
}

pub fn readme() -> Page {
    Page::of("README.md")
}

/// Every page there is.
pub fn pages() -> Vec<Page> {
    let docs = files("docs")
        .into_iter()
        .filter(|path| path.ends_with(".md"));
    let root = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned);
    docs.chain(root).map(|path| Page::of(&path)).collect()
}

impl Page {
    pub fn of(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: read(path),
        }
    }

    /// Every fenced block, in order.
    pub fn fences(&self) -> Vec<Fence> {
        let mut parts = self.text.split("\n```");
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

    /// The fences of one language.
    pub fn fences_in(&self, language: &str) -> Vec<String> {
        let fences = self.fences().into_iter();
        let fences = fences.filter(|fence| fence.language == language);
        fences.map(|fence| fence.text).collect()
    }

    /// The one `sh` fence that holds all of `words`, and the fence after it: what it prints.
    pub fn example(&self, words: &[&str]) -> (String, String) {
        let fences = self.fences();
        let found = fences.windows(2).filter(|pair| {
            pair[0].language == "sh" && words.iter().all(|word| pair[0].text.contains(word))
        });
        match found.collect::<Vec<_>>()[..] {
            [[shell, prints]] => (shell.text.clone(), prints.text.clone()),
            ref others => panic!("{}: {} fences hold {words:?}", self.path, others.len()),
        }
    }

    /// The lines of all `sh` fences.
    pub fn shell_lines(&self) -> Vec<String> {
        let fences = self.fences_in("sh");
        let lines = fences.iter().flat_map(|text| text.lines());
        lines.map(str::to_owned).collect()
    }

    /// The cells of all tables whose head is `head`, row by row.
    pub fn table(&self, head: &str) -> Vec<Vec<String>> {
        let (mut rows, mut within) = (Vec::new(), false);
        for line in self.text.lines() {
            if line == head {
                within = true;
            } else if !line.starts_with('|') {
                within = false;
            } else if within && !line.starts_with("|---") {
                let cells = line.trim_matches('|').split('|');
                rows.push(cells.map(|cell| cell.trim().to_owned()).collect());
            }
        }
        assert!(!rows.is_empty(), "{}: no table {head}", self.path);
        rows
    }

    /// The text without its fences.
    fn prose(&self) -> String {
        let parts = self.text.split("\n```").step_by(2);
        parts.collect::<Vec<_>>().join("\n")
    }

    /// Where its links lead.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let links = prose.split("](").skip(1);
        let links = links.filter_map(|rest| rest.split(')').next());
        links.map(str::to_owned).collect()
    }

    /// The anchors of its headings, as GitHub makes them.
    pub fn anchors(&self) -> Vec<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        let anchors = headings.map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter_map(|char| match char {
                ' ' => Some('-'),
                '-' | '_' => Some(char),
                _ => char.is_alphanumeric().then_some(char),
            });
            kept.collect()
        });
        anchors.collect()
    }
}

/// What stands in backticks in `text`.
pub fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
