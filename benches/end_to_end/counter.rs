//! Callgrind, which a server runs in.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Counts the instructions of one server.
pub struct Counter {
    /// Where the counts go, without the process's number.
    pub out: PathBuf,
}

impl Counter {
    pub fn new(folder: &Path, name: &str) -> Self {
        let out = folder.join(name);
        Self { out }
    }

    /// The program in callgrind, which does not count yet.
    pub fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new("valgrind");
        command
            .args(["--quiet", "--tool=callgrind", "--instr-atstart=no"])
            .arg(format!("--callgrind-out-file={}.%p", self.out.display()))
            .arg(program);
        command
    }
}
