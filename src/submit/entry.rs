//! What a state file says, line by line: reading and writing it.
//!
//! ```text
//! microbatch-submit 1 f8Yq0bN3TqWz4mGk1vXo2A input     version, run, order of the results
//! o 64513:1048 0                                       results go to this file from here on
//! r 9c56cc51b374c3ba                                   the next line of the input was read
//! w 1 d 34 01a22a076dfanDritm0Jq_7A33gGGEMsvg          its result is written, up to this length
//! a 1                                                  its record is removed
//! ```
//!
//! A record that is not removed by the end of a run is removed by the next one. What is still
//! held for its turn when the store has no room is kept here, so that its record can go:
//!
//! ```text
//! h 7 d 01a22a0770bkZ0c4yq1m3V9o5rT8wXuJdA {"handle":"01a22a0770bkZ0c4yq1m3V9o5rT8wXuJdA",...}
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::handle::Handle;
use super::lines::Lines;

/// The first word of a state file, and the version of what follows.
const MAGIC: &str = "microbatch-submit 1";

/// The most records that are remembered for removal; further ones expire.
const UNACKNOWLEDGED: usize = 1_000_000;

/// Tells lines apart: the first 64 bits of their SHA-256. A chance of one in 2^64 is enough
/// against mistakes, and nothing here is against anybody's intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of a line, without its end.
    pub fn of(line: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(line).into();
        let (first, _) = digest.split_at(8);
        Self(
            first
                .iter()
                .fold(0, |all, &byte| all << 8 | u64::from(byte)),
        )
    }
}

/// The file that results go to, which is the same when it is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    /// The number of its device.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The run's name.
    pub run: String,
    /// Whether results are in the order of the input.
    pub ordered: bool,
}

/// A result that waits for its turn to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its line in the output, without its end.
    pub text: String,
    /// Whether the job failed.
    pub failed: bool,
}

/// Any line after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Results go to this file from here on, and it is so long; `None` for what is no file.
    Output(Option<(FileId, u64)>),
    /// The next line of the input was read. It is written before the line is handed in.
    Read(Fingerprint),
    /// The result of a line was written. It is written after the result, and before that
    /// is acknowledged.
    Written {
        /// The line's number, from 1.
        line: u64,
        /// Whether it failed.
        failed: bool,
        /// How long the output is with it, where it is a file.
        length: Option<u64>,
        /// Its record, where it has one that is to be removed.
        handle: Option<Handle>,
    },
    /// The result of a line is there, and it is not its turn. It is written before its record
    /// is removed.
    Held {
        /// The line's number, from 1.
        line: u64,
        /// Its record.
        handle: Handle,
        /// What is to be written.
        held: Held,
    },
    /// The record of a line is removed.
    Acknowledged(u64),
}

/// A line is none of a state file.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not understood")]
pub struct NotAnEntry;

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.ordered { "input" } else { "finished" };
        writeln!(f, "{MAGIC} {} {order}", self.run)
    }
}

impl FromStr for Header {
    type Err = NotAnEntry;

    fn from_str(line: &str) -> Result<Self, NotAnEntry> {
        let rest = line.strip_prefix(MAGIC).ok_or(NotAnEntry)?;
        let mut words = rest.strip_prefix(' ').ok_or(NotAnEntry)?.split(' ');
        let run = words.next().ok_or(NotAnEntry)?;
        // It becomes a part of a stream's name.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !(1..=40).contains(&run.len()) || !run.bytes().all(allowed) {
            return Err(NotAnEntry);
        }
        let ordered = match (words.next(), words.next()) {
            (Some("input"), None) => true,
            (Some("finished"), None) => false,
            _ => return Err(NotAnEntry),
        };
        let run = run.to_owned();
        Ok(Self { run, ordered })
    }
}

/// The word for how a job ended.
fn end(failed: bool) -> char {
    if failed { 'f' } else { 'd' }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(None) => writeln!(f, "o -"),
            Self::Output(Some((FileId { device, inode }, length))) => {
                writeln!(f, "o {device}:{inode} {length}")
            }
            Self::Read(Fingerprint(bits)) => writeln!(f, "r {bits:016x}"),
            Self::Written {
                line,
                failed,
                length,
                handle,
            } => {
                write!(f, "w {line} {} ", end(*failed))?;
                match length {
                    Some(length) => write!(f, "{length} ")?,
                    None => write!(f, "- ")?,
                }
                match handle {
                    Some(handle) => writeln!(f, "{handle}"),
                    None => writeln!(f, "-"),
                }
            }
            Self::Held { line, handle, held } => {
                let Held { text, failed } = held;
                writeln!(f, "h {line} {} {handle} {text}", end(*failed))
            }
            Self::Acknowledged(line) => writeln!(f, "a {line}"),
        }
    }
}

impl FromStr for Entry {
    type Err = NotAnEntry;

    fn from_str(line: &str) -> Result<Self, NotAnEntry> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| NotAnEntry);
        let length = |text: &str| match text {
            "-" => Ok(None),
            text => number(text).map(Some),
        };
        let handle = |text: &str| text.parse::<Handle>().map_err(|_| NotAnEntry);
        // The text of a result has blanks of its own.
        let words: Vec<_> = line.splitn(5, ' ').collect();
        match words[..] {
            ["o", "-"] => Ok(Self::Output(None)),
            ["o", file, length] => {
                let (device, inode) = file.split_once(':').ok_or(NotAnEntry)?;
                let (device, inode) = (number(device)?, number(inode)?);
                let file = FileId { device, inode };
                Ok(Self::Output(Some((file, number(length)?))))
            }
            ["r", bits] if bits.len() == 16 => {
                let bits = u64::from_str_radix(bits, 16).map_err(|_| NotAnEntry)?;
                Ok(Self::Read(Fingerprint(bits)))
            }
            ["w", line, end @ ("d" | "f"), written, record] => Ok(Self::Written {
                line: number(line)?,
                failed: end == "f",
                length: length(written)?,
                handle: match record {
                    "-" => None,
                    record => Some(handle(record)?),
                },
            }),
            ["h", line, end @ ("d" | "f"), record, text] => Ok(Self::Held {
                line: number(line)?,
                handle: handle(record)?,
                held: Held {
                    text: text.to_owned(),
                    failed: end == "f",
                },
            }),
            ["a", line] => Ok(Self::Acknowledged(number(line)?)),
            _ => Err(NotAnEntry),
        }
    }
}

/// What a state file says in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// How many lines of the input were read.
    pub read: u64,
    /// The lines whose results are written.
    pub done: Lines,
    /// How many of them failed.
    pub failed: u64,
    /// Where results went last, and how long that was after the last of them.
    pub output: Option<(FileId, u64)>,
    /// Results that are there and not written, by line.
    pub held: BTreeMap<u64, Held>,
    /// Records that are of no use any more, by line.
    pub unacknowledged: BTreeMap<u64, Handle>,
}

impl Known {
    /// Takes up the next entry.
    ///
    /// # Errors
    /// Where it can't follow on those before it.
    pub fn take(&mut self, entry: Entry) -> Result<(), NotAnEntry> {
        match entry {
            Entry::Output(output) => self.output = output,
            Entry::Read(_) => self.read += 1,
            Entry::Written {
                line,
                failed,
                length,
                handle,
            } => {
                if !self.has_read(line)
                    || self.output.is_some() != length.is_some()
                    || !self.done.insert(line)
                {
                    return Err(NotAnEntry);
                }
                self.held.remove(&line);
                self.failed += u64::from(failed);
                if let Some(handle) = handle {
                    self.remember(line, handle);
                }
                if let (Some((_, then)), Some(length)) = (&mut self.output, length) {
                    *then = length;
                }
            }
            Entry::Held { line, handle, held } => {
                let known = self.done.contains(line) || self.held.contains_key(&line);
                if !self.has_read(line) || known {
                    return Err(NotAnEntry);
                }
                self.held.insert(line, held);
                self.remember(line, handle);
            }
            Entry::Acknowledged(line) => {
                self.unacknowledged.remove(&line);
            }
        }
        Ok(())
    }

    fn has_read(&self, line: u64) -> bool {
        (1..=self.read).contains(&line)
    }

    fn remember(&mut self, line: u64, handle: Handle) {
        self.unacknowledged.insert(line, handle);
        if self.unacknowledged.len() > UNACKNOWLEDGED {
            self.unacknowledged.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn handles() -> impl Strategy<Value = Handle> {
        "[A-Za-z0-9_-]{2,34}".prop_map(|text| text.parse().unwrap())
    }

    fn entries() -> impl Strategy<Value = Entry> {
        let file = (any::<u64>(), any::<u64>());
        let file = file.prop_map(|(device, inode)| FileId { device, inode });
        prop_oneof![
            proptest::option::of((file, any::<u64>())).prop_map(Entry::Output),
            any::<u64>().prop_map(|bits| Entry::Read(Fingerprint(bits))),
            (
                any::<u64>(),
                any::<bool>(),
                any::<Option<u64>>(),
                proptest::option::of(handles())
            )
                .prop_map(|(line, failed, length, handle)| Entry::Written {
                    line,
                    failed,
                    length,
                    handle
                }),
            (any::<u64>(), any::<bool>(), handles(), "[^\\n]{2,20}!").prop_map(
                |(line, failed, handle, text)| Entry::Held {
                    line,
                    handle,
                    held: Held { text, failed },
                }
            ),
            any::<u64>().prop_map(Entry::Acknowledged),
        ]
    }

    proptest! {
        #[test]
        fn an_entry_reads_as_it_was_written(entry in entries()) {
            let text = entry.to_string();
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert_eq!(text.trim_end_matches('\n').parse(), Ok(entry.clone()));
            // A part of it is none, or another that is as short.
            let cut: Result<Entry, _> = text[..text.len() - 2].parse();
            prop_assert_ne!(cut, Ok(entry));
        }

        #[test]
        fn whatever_is_no_entry_is_refused(text in "[orwhadf0-9:. -]{0,24}") {
            if let Ok(entry) = text.parse::<Entry>() {
                prop_assert!(entry.to_string().parse() == Ok(entry));
            }
        }
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        for ordered in [true, false] {
            let run = "f8Yq0bN3TqWz4mGk1vXo-_".to_owned();
            let header = Header { run, ordered };
            assert_eq!(header.to_string().trim_end().parse(), Ok(header));
        }
        for text in [
            "",
            "microbatch-submit 2 a input",
            "microbatch-submit 1 a/b input",
            "microbatch-submit 1  input",
            "microbatch-submit 1 a input more",
            "microbatch-submit 1 a sideways",
        ] {
            assert_eq!(text.parse::<Header>(), Err(NotAnEntry), "{text}");
        }
    }

    #[test]
    fn what_can_not_be_is_refused() {
        let written = |line, length| Entry::Written {
            line,
            failed: true,
            length,
            handle: None,
        };
        let held = |line| Entry::Held {
            line,
            handle: "h-1".parse().unwrap(),
            held: Held {
                text: "{}".to_owned(),
                failed: true,
            },
        };
        let mut known = Known::default();
        known.take(Entry::Output(None)).unwrap();
        known.take(Entry::Read(Fingerprint::of(b"{}"))).unwrap();
        for entry in [
            written(0, None),
            written(2, None),
            written(1, Some(9)),
            held(2),
        ] {
            let said = format!("{entry:?}");
            assert_eq!(known.clone().take(entry), Err(NotAnEntry), "{said}");
        }
        known.take(held(1)).unwrap();
        assert_eq!(known.take(held(1)), Err(NotAnEntry));
        known.take(written(1, None)).unwrap();
        assert_eq!((known.failed, known.done.count()), (1, 1));
        for entry in [written(1, None), held(1)] {
            assert_eq!(known.take(entry), Err(NotAnEntry));
        }
    }

    #[test]
    fn a_record_is_remembered_until_it_is_removed() {
        let handles = ["h-1", "h-2"].map(|it| it.parse::<Handle>().unwrap());
        let mut known = Known::default();
        let text = "o -\nr 0000000000000001\nr 0000000000000002\nh 2 d h-2 {\"a\": 1}\nw 1 f - h-1";
        for line in text.lines() {
            known.take(line.parse().unwrap()).unwrap();
        }
        assert!(known.unacknowledged.values().eq(&handles));
        assert_eq!(known.held[&2].text, "{\"a\": 1}");
        for line in ["a 1", "w 2 d - -"] {
            known.take(line.parse().unwrap()).unwrap();
        }
        assert!(known.unacknowledged.values().eq(&handles[1..]));
        assert!(known.held.is_empty());
    }
}
