//! The peers: pinned packages of npm and PyPI, in a folder of their own below `target`.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// A service and its clients, installed: a copy of `tests/services/NAME` with what its
/// `package.json` and `requirements.txt` ask for.
pub struct Peers {
    name: &'static str,
    folder: PathBuf,
}

/// Written last, so that an installation that was broken off is begun again.
const STAMP: &str = "installed";

/// How long one installer may take before the peers count as not to be had.
const LONGEST: Duration = Duration::from_secs(240);

impl Peers {
    /// Installs them where that has not been done; nothing, aloud, where it can't be.
    pub async fn of(name: &'static str) -> Option<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
        let peers = Self {
            name,
            folder: target.join("services").join(name),
        };
        match peers.install(&source.join(name)).await {
            Ok(()) => Some(peers),
            Err(why) => skip(name, &why),
        }
    }

    async fn install(&self, source: &Path) -> Result<(), String> {
        std::fs::create_dir_all(&self.folder).map_err(|error| error.to_string())?;
        let mut wanted = Vec::new();
        for file in std::fs::read_dir(source).map_err(|error| error.to_string())? {
            let file = file.map_err(|error| error.to_string())?;
            let text = std::fs::read(file.path()).map_err(|error| error.to_string())?;
            let copy = self.folder.join(file.file_name());
            std::fs::write(copy, &text).map_err(|error| error.to_string())?;
            if ["package-lock.json", "requirements.txt"]
                .map(OsStr::new)
                .contains(&&*file.file_name())
            {
                wanted.extend(text);
            }
        }
        let stamp = self.folder.join(STAMP);
        if std::fs::read(&stamp).is_ok_and(|it| it == wanted) {
            return Ok(());
        }
        if self.folder.join("package-lock.json").exists() {
            // With a Node.js that they are not made for, they would fail later and say less.
            let install = ["ci", "--engine-strict"];
            let quietly = ["--ignore-scripts", "--no-audit", "--no-fund"];
            self.run("npm", &[&install[..], &quietly].concat()).await?;
        }
        if self.folder.join("requirements.txt").exists() {
            self.run("python3", &["-m", "venv", "--clear", "venv"])
                .await?;
            let quietly = ["--quiet", "--disable-pip-version-check"];
            let install = ["-m", "pip", "install", "--requirement", "requirements.txt"];
            self.run(self.python(), &[&install[..], &quietly].concat())
                .await?;
        }
        std::fs::write(&stamp, wanted).map_err(|error| error.to_string())
    }

    /// Runs an installer there to its end.
    async fn run(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<(), String> {
        let program = program.as_ref();
        let shown = format!("{} {}", program.display(), arguments.join(" "));
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.folder);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let done = timeout(LONGEST, command.output()).await;
        let done = done.map_err(|_| format!("{shown}: not done after {LONGEST:?}"))?;
        let done = done.map_err(|error| format!("{shown}: {error}"))?;
        let said = String::from_utf8_lossy(&done.stderr);
        match done.status.success() {
            true => Ok(()),
            false => Err(format!("{shown}: {}: {}", done.status, said.trim())),
        }
    }

    /// Where its files are, and where its programs run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A line about it to whoever runs the tests, also where the output of tests is captured.
    pub fn say(&self, what: &str) {
        say(self.name, what);
    }

    fn python(&self) -> PathBuf {
        self.folder.join("venv/bin/python")
    }

    /// The service in `file`, told its port.
    pub fn serve(&self, file: &str, port: u16) -> Command {
        let mut command = self.command(file);
        command.arg(port.to_string());
        command
    }

    /// A command for one of its files: `.py` by its own Python, others by Node.
    pub fn command(&self, file: &str) -> Command {
        let program = match file.ends_with(".py") {
            true => self.python(),
            false => "node".into(),
        };
        let mut command = Command::new(program);
        command.arg(file).current_dir(&self.folder);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// Says that a test can't run here, and fails where it must.
pub fn skip<T>(name: &'static str, why: &str) -> Option<T> {
    let required = std::env::var("MICROBATCH_SERVICES").unwrap_or_default();
    let mut required = required.split(',').map(str::trim);
    assert!(
        !required.any(|it| it == "required" || it == name),
        "{name} is required by MICROBATCH_SERVICES: {why}"
    );
    say(name, &format!("SKIPPED: {why}"));
    None
}

fn say(name: &str, what: &str) {
    // Not by a macro that prints: the output of tests that pass is not shown.
    let _ = writeln!(std::io::stderr(), "services::{name}: {what}");
}
