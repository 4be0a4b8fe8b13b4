//! The unit for systemd.

use std::process::Command;

use microbatch::config::keys;

use crate::page::read;

const UNIT: &str = "config/microbatch.service";

fn lines() -> Vec<String> {
    let text = read(UNIT);
    let lines = text.lines().map(|line| line.trim_start_matches('#'));
    lines.map(str::to_owned).collect()
}

#[test]
fn it_names_what_there_is() {
    let lines = lines();
    let assigned = lines
        .iter()
        .filter_map(|it| it.strip_prefix("Environment="));
    let variables: Vec<_> = assigned
        .flat_map(str::split_whitespace)
        .filter_map(|it| it.split_once('='))
        .collect();
    assert_eq!(variables.len(), 3);
    for (name, value) in variables {
        assert!(keys().iter().any(|key| key.env() == name), "{name}");
        let credential = value.strip_prefix("%d/").unwrap();
        let loaded = format!("LoadCredential={credential}:");
        assert!(lines.iter().any(|it| it.starts_with(&loaded)), "{value}");
    }
    let start = lines
        .iter()
        .find(|it| it.starts_with("ExecStart="))
        .unwrap();
    assert!(
        start.contains("/usr/local/bin/microbatch serve --config "),
        "{start}"
    );
    assert!(lines.contains(&"Type=notify".to_owned()));
    // EX_CONFIG, as the table of exit codes has it.
    assert!(lines.contains(&"RestartPreventExitStatus=2 78".to_owned()));
    assert!(read("docs/operations.md").contains("| 78 |"));
}

/// By systemd, where it is installed: it knows every line, and finds little to expose.
#[test]
fn systemd_takes_it() {
    let directory = tempfile::tempdir().unwrap();
    let unit = directory.path().join("microbatch.service");
    // It wants the program to be there.
    let text = read(UNIT).replace("/usr/local/bin/microbatch", "/bin/true");
    std::fs::write(&unit, text).unwrap();
    let asked = |args: &[&str]| {
        Command::new("systemd-analyze")
            .args(args)
            .arg(&unit)
            .output()
    };
    let Ok(verified) = asked(&["verify", "--man=no"]) else {
        eprintln!("SKIPPED: there is no systemd-analyze");
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
    let exposed = asked(&["security", "--offline=true", "--threshold=20"]).unwrap();
    let said = String::from_utf8_lossy(&exposed.stdout);
    assert!(exposed.status.success(), "{said}");
}
