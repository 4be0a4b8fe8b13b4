//! `microbatch man` writes manual pages.

use std::collections::BTreeMap;

use clap::CommandFactory as _;
use microbatch::cli::Cli;
use microbatch::config::keys;
use microbatch::shape::Keys;

use crate::harness::{command, within};

async fn pages() -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let within_it = directory.path().join("man");
    let mut command = command();
    command.arg("man").arg(&within_it);
    let output = within("the end of the process", command.output()).await;
    let output = output.expect("the binary starts");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    let pages = std::fs::read_dir(within_it).unwrap().map(|page| {
        let page = page.unwrap();
        let name = page.file_name().into_string().unwrap();
        (name, std::fs::read_to_string(page.path()).unwrap())
    });
    pages.collect()
}

/// What is written, without what roff wants for it.
fn plain(page: &str) -> String {
    page.replace("\\*(Aq", "'")
        .replace("\\-", "-")
        .replace("\\fB", "")
        .replace("\\fR", "")
        .replace("\\fI", "")
}

#[tokio::test]
async fn every_command_has_a_page_with_its_flags() {
    let pages = pages().await;
    let mut cli = Cli::command();
    cli.build();
    let commands = cli.get_subcommands().filter(|it| !it.is_hide_set());
    let commands = commands.filter(|it| it.get_name() != "help");
    let mut expected = vec!["microbatch.1".to_owned(), "microbatch.toml.5".to_owned()];
    let page = plain(&pages["microbatch.1"]);
    for command in commands {
        let name = format!("microbatch-{}.1", command.get_name());
        let told = format!("microbatch-{}(1)", command.get_name());
        assert!(page.contains(&told), "{told} in {page}");
        let page = plain(&pages[&name]);
        for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&format!("--{flag}")), "{name}: {flag}");
        }
        expected.push(name);
    }
    expected.sort();
    assert_eq!(pages.into_keys().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn the_page_of_the_settings_has_every_key() {
    let page = plain(&pages().await["microbatch.toml.5"]);
    for key in keys() {
        for word in [key.name(), key.help, &key.env()] {
            assert!(page.contains(word), "{}: {word}", key.key);
        }
    }
    for key in Keys::names() {
        assert!(page.contains(&format!("\n{key}\n")), "{key}");
    }
}

/// By groff, where it is installed: it warns of what it does not know.
#[tokio::test]
async fn they_are_well_formed() {
    for (name, page) in pages().await {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), page).unwrap();
        let groff = std::process::Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-z"])
            .arg(file.path())
            .output();
        let Ok(groff) = groff else {
            eprintln!("SKIPPED: there is no groff");
            return;
        };
        let said = String::from_utf8_lossy(&groff.stderr).into_owned();
        assert!(groff.status.success() && said.is_empty(), "{name}: {said}");
    }
}
