//! `microbatch check`, run on files, variables and flags.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// What `microbatch check` answered.
pub struct Answer {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// The mistakes, without the line above them and without the directory of the file.
    #[track_caller]
    pub fn mistakes(&self) -> Vec<&str> {
        assert_eq!(self.code, Some(78), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        let mut lines = self.stderr.lines();
        assert_eq!(
            lines.next(),
            Some("microbatch: the configuration has mistakes:")
        );
        lines.collect()
    }

    #[track_caller]
    pub fn fine(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }
}

/// `microbatch check` in a directory of its own and an environment that is empty.
pub struct Check {
    dir: TempDir,
    command: Command,
}

impl Check {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_microbatch"));
        command.arg("check").current_dir(dir.path()).env_clear();
        Check { dir, command }
    }

    /// With a file `m.toml`.
    pub fn file(mut self, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.dir.path().join("m.toml"), text).unwrap();
        self.command.args(["--config", "m.toml"]);
        self
    }

    /// With an upstream and a file, so that nothing is missing.
    pub fn with_upstream(text: &str) -> Self {
        Check::new().file(text).args(&["--upstream", "http://h/"])
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    pub fn run(mut self) -> Answer {
        let output = self.command.output().unwrap();
        Answer {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Where it runs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}
