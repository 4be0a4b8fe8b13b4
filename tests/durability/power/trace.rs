//! What a process has done, as `strace` writes it down: to files of one folder, and on its
//! sockets.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// The calls that can change a file, or say something.
const CALLS: &str = "trace=openat,creat,write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,\
    fsync,fdatasync,ftruncate,truncate,fallocate,copy_file_range,sendfile,unlink,unlinkat,rename,\
    renameat,renameat2,link,linkat,sync_file_range,msync";

/// Something that was done, in the order in which it began; of a [`Synced`](Self::Synced)
/// in which it ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// A file was opened, and made if it was not there.
    Opened(PathBuf),
    Wrote {
        file: PathBuf,
        at: usize,
        bytes: Vec<u8>,
    },
    Cut {
        file: PathBuf,
        length: usize,
    },
    /// A file, or the folder with its names, is on the disk.
    Synced(PathBuf),
    Removed(PathBuf),
    Renamed {
        from: PathBuf,
        to: PathBuf,
    },
    /// Bytes were given to a socket.
    Said {
        socket: String,
        bytes: Vec<u8>,
    },
}

/// Whether a process may be traced here.
pub async fn is_possible() -> bool {
    let mut strace = Command::new("strace");
    let done = strace
        .args(["-D", "-f", "-o", "/dev/null", "true"])
        .status();
    done.await.is_ok_and(|it| it.success())
}

/// The same command, whose process writes down there what it does. It is the child itself.
pub fn traced(command: &Command, trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.env_clear().kill_on_drop(true);
    strace.args(["-D", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "16777216"]);
    strace.args(["-e", "signal=SIGKILL", "-e", CALLS, "-o"]);
    strace.arg(trace).arg(command.as_std().get_program());
    strace
}

/// Whether all was written down, of a process that has been killed.
pub fn is_complete(trace: &str, process: u32) -> bool {
    let end = format!("{process} +++ killed by SIGKILL +++");
    trace.lines().rev().take(100).any(|it| squeezed(it) == end)
}

/// The deeds, of files in this folder alone.
pub fn deeds(trace: &str, folder: &Path) -> Vec<Deed> {
    let mut begun = HashMap::new();
    let mut deeds = Vec::new();
    for line in trace.lines() {
        let (process, what) = line.split_once(' ').expect("a process and what it does");
        let what = what.trim_start();
        if what.starts_with(['+', '-']) {
            // An end, or a signal.
            continue;
        }
        let (call, is_beginning, is_end) = match what.strip_suffix(" <unfinished ...>") {
            Some(beginning) => {
                begun.insert(process, beginning);
                (beginning.to_owned(), true, false)
            }
            None => match what.split_once(" resumed>") {
                Some((_, end)) => {
                    let beginning = begun.remove(process).expect("its beginning");
                    (format!("{beginning}{end}"), false, true)
                }
                None => (what.to_owned(), true, true),
            },
        };
        let Some((name, arguments)) = call.split_once('(') else {
            // The end of a thread.
            continue;
        };
        let call = Call { name, arguments };
        deeds.extend(
            call.deed(is_beginning, is_end)
                .filter(|it| it.is_in(folder)),
        );
    }
    deeds
}

/// A call, with all of its line after the name.
struct Call<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl Call<'_> {
    fn deed(&self, is_beginning: bool, is_end: bool) -> Option<Deed> {
        match self.name {
            "write" | "writev" | "sendto" | "sendmsg" | "pwrite64" => {
                is_beginning.then(|| self.written()).flatten()
            }
            "ftruncate" => is_beginning.then(|| Deed::Cut {
                file: self.place(),
                length: self.number(1),
            }),
            _ if !is_end => None,
            // What has failed has done nothing.
            _ if self.arguments.contains(") = -1 ") => None,
            "fsync" | "fdatasync" => Some(Deed::Synced(self.place())),
            "openat" => {
                let made = self.arguments.contains("O_CREAT");
                let file = || Deed::Opened(self.text(0).into());
                assert!(
                    !self.arguments.contains("O_TRUNC"),
                    "not known: {}",
                    self.arguments
                );
                made.then(file)
            }
            "unlink" => Some(Deed::Removed(self.text(0).into())),
            "rename" => Some(Deed::Renamed {
                from: self.text(0).into(),
                to: self.text(1).into(),
            }),
            // Known not to be done to a store's files, or the test has to learn it.
            _ => Some(Deed::Opened(PathBuf::from(format!(
                "{}: not known",
                self.name
            )))),
        }
    }

    fn written(&self) -> Option<Deed> {
        let bytes: Vec<u8> = self.strings().flatten().collect();
        let place = self.place();
        let name = place.to_str().expect("text");
        if name.starts_with("socket:") || name.starts_with("TCP") {
            let socket = name.to_owned();
            return Some(Deed::Said { socket, bytes });
        }
        // A pipe, or the log.
        let at = (self.name == "pwrite64").then(|| self.number(3))?;
        let file = place;
        Some(Deed::Wrote { file, at, bytes })
    }

    /// What the first descriptor is of.
    fn place(&self) -> PathBuf {
        let (_, place) = self.arguments.split_once('<').expect("a descriptor's name");
        let (place, _) = place.split_once('>').expect("its end");
        String::from_utf8(plain(place)).expect("UTF-8").into()
    }

    fn strings(&self) -> impl Iterator<Item = Vec<u8>> {
        assert!(!self.arguments.contains("\"..."), "cut off");
        self.arguments.split('"').skip(1).step_by(2).map(plain)
    }

    fn text(&self, number: usize) -> String {
        let text = self.strings().nth(number).expect("a text");
        String::from_utf8(text).expect("UTF-8")
    }

    /// An argument; there are no commas within.
    fn number(&self, number: usize) -> usize {
        let argument = self.arguments.split(", ").nth(number).expect("an argument");
        let end = argument.find(|it: char| !it.is_ascii_digit());
        argument[..end.unwrap_or(argument.len())]
            .parse()
            .expect("a number")
    }
}

impl Deed {
    fn is_in(&self, folder: &Path) -> bool {
        match self {
            Self::Said { .. } => true,
            Self::Opened(file) | Self::Synced(file) | Self::Removed(file) => {
                assert!(!file.to_string_lossy().ends_with("not known"), "{file:?}");
                file.starts_with(folder)
            }
            Self::Wrote { file, .. } | Self::Cut { file, .. } => file.starts_with(folder),
            Self::Renamed { from, to } => from.starts_with(folder) || to.starts_with(folder),
        }
    }
}

/// `\x41` is `A`; what is not written so stands for itself.
fn plain(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        match rest.strip_prefix(b"\\x") {
            Some(hex) => {
                let digits = std::str::from_utf8(&hex[..2]).expect("digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("digits"));
                rest = &hex[2..];
            }
            None => {
                bytes.push(first);
                rest = others;
            }
        }
    }
    bytes
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
