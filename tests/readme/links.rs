//! Where the pages lead.

use std::path::{Component, Path, PathBuf};

use crate::page::{Page, files, pages, read, repository};

/// `docs/../config` is `config`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(normal.pop(), "{}", path.display()),
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut followed = 0;
    for page in pages() {
        let directory = Path::new(&page.path).parent().unwrap();
        for link in page.links() {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => PathBuf::from(&page.path),
                file => normal(&directory.join(file)),
            };
            let target = target.to_str().unwrap();
            assert!(repository(target).exists(), "{}: {link}", page.path);
            if !anchor.is_empty() {
                let anchors = Page::of(target).anchors();
                let found = anchors.iter().any(|it| it == anchor);
                assert!(found, "{}: {link} of {anchors:?}", page.path);
            }
            followed += 1;
        }
    }
    assert!(followed >= 40, "{followed} links");
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = Page::of("README.md");
    for page in pages() {
        if page.path != readme.path {
            assert!(readme.links().contains(&page.path), "{}", page.path);
        }
    }
}

#[test]
fn every_configuration_is_led_to() {
    let texts: Vec<_> = pages().into_iter().map(|page| page.text).collect();
    for file in files("config") {
        assert!(texts.iter().any(|text| text.contains(&file)), "{file}");
    }
}

/// `cargo test --test NAME`, `cargo bench --bench NAME` and scripts name what exists.
#[test]
fn what_the_lines_run_exists() {
    let (mut targets, mut scripts) = (0, 0);
    for page in pages() {
        for line in page.shell_lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            for pair in words.windows(2) {
                let directory = match pair[0] {
                    "--test" => "tests",
                    "--bench" => "benches",
                    _ => continue,
                };
                let [file, folder] = ["", ".rs"].map(|end| format!("{directory}/{}{end}", pair[1]));
                let exists = [file, folder].iter().any(|it| repository(it).exists());
                assert!(exists, "{}: {line}", page.path);
                targets += 1;
            }
            if let Some(script) = words.first().filter(|word| word.ends_with("/run")) {
                assert!(read(script).starts_with("#!"), "{}: {line}", page.path);
                scripts += 1;
            }
        }
    }
    assert!(targets >= 5 && scripts >= 3, "{targets}, {scripts}");
}
