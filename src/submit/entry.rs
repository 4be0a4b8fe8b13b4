//! What a state file says, line by line: reading and writing it.
//!
//! ```text
//! microbatch-submit 1 f8Yq0bN3TqWz4mGk1vXo2A input     version, run, order of the results
//! o 64513:1048 0                                       results go to this file from here on
//! r 9c56cc51b374c3ba                                   the next line of the input was read
//! w 1 d 34                                             its result is written, up to this length
//! ```

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::lines::Lines;

/// The first word of a state file, and the version of what follows.
const MAGIC: &str = "microbatch-submit 1";

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

/// Any line after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    },
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
            } => {
                let end = if *failed { 'f' } else { 'd' };
                write!(f, "w {line} {end} ")?;
                match length {
                    Some(length) => writeln!(f, "{length}"),
                    None => writeln!(f, "-"),
                }
            }
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
        let words: Vec<_> = line.split(' ').collect();
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
            ["w", line, end @ ("d" | "f"), written] => Ok(Self::Written {
                line: number(line)?,
                failed: end == "f",
                length: length(written)?,
            }),
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
            } => {
                let read = (1..=self.read).contains(&line);
                if !read || self.output.is_some() != length.is_some() || !self.done.insert(line) {
                    return Err(NotAnEntry);
                }
                self.failed += u64::from(failed);
                if let (Some((_, then)), Some(length)) = (&mut self.output, length) {
                    *then = length;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Entry> {
        let file = (any::<u64>(), any::<u64>());
        let file = file.prop_map(|(device, inode)| FileId { device, inode });
        prop_oneof![
            proptest::option::of((file, any::<u64>())).prop_map(Entry::Output),
            any::<u64>().prop_map(|bits| Entry::Read(Fingerprint(bits))),
            (any::<u64>(), any::<bool>(), any::<Option<u64>>()).prop_map(
                |(line, failed, length)| Entry::Written {
                    line,
                    failed,
                    length
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn an_entry_reads_as_it_was_written(entry in entries()) {
            let text = entry.to_string();
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert_eq!(text.trim_end().parse(), Ok(entry));
            // A part of it is none, or another that is as short.
            let cut: Result<Entry, _> = text[..text.len() - 2].parse();
            prop_assert_ne!(cut, Ok(entry));
        }

        #[test]
        fn whatever_is_no_entry_is_refused(text in "[orwdf0-9:. -]{0,24}") {
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
        };
        let mut known = Known::default();
        known.take(Entry::Output(None)).unwrap();
        known.take(Entry::Read(Fingerprint::of(b"{}"))).unwrap();
        for entry in [written(0, None), written(2, None), written(1, Some(9))] {
            assert_eq!(known.clone().take(entry), Err(NotAnEntry), "{entry:?}");
        }
        known.take(written(1, None)).unwrap();
        assert_eq!((known.failed, known.done.count()), (1, 1));
        assert_eq!(known.take(written(1, None)), Err(NotAnEntry));
    }
}
