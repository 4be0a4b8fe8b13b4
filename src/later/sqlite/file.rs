//! The file: opened and checked, changed by whole commits, and read by the numbers of
//! records. It decides nothing.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tracing::warn;

use super::error::OpenError;
use super::schema::{APPLICATION, BODY, SET_READ, TABLES, VERSION};
use super::trouble::{NotCommitted, Trouble};
use super::writing::{Writing, checksum_of};

/// After so many pages in the write-ahead log its changes are written to the file: more,
/// since each time costs two waits for the disk; bounded, since it is read at the start.
const CHECKPOINT_PAGES: i64 = 8_000;

/// What of the write-ahead log is kept to be used again, in bytes.
const LOG_BYTES: i64 = 64 << 20;

/// A file gives room back at the start from so many free pages on, where they are more than
/// half of it.
const MANY_FREE_PAGES: i64 = 4_096;

/// More than there are statements.
const STATEMENTS: usize = 32;

/// How the file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syncing {
    /// What is committed is on the disk.
    Full,
    /// It is with the system: for tests that fell no machine.
    #[cfg(test)]
    Off,
    /// The same, and nothing can be written until it is [limited](File::limit).
    #[cfg(test)]
    OffAndFull,
}

#[derive(Debug)]
pub(super) struct File {
    connection: Connection,
    path: PathBuf,
    /// Whether nothing can be written, as on a disk that is full.
    #[cfg(test)]
    is_full: std::cell::Cell<bool>,
}

/// A record's bytes can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoBody {
    #[error(transparent)]
    File(#[from] rusqlite::Error),
    #[error("they are not those that were written")]
    Changed,
}

impl File {
    /// Opens it, or makes it where there is none; nobody else can until it is dropped.
    pub fn open(path: &Path, syncing: Syncing) -> Result<Self, Trouble> {
        make(path).map_err(Trouble::Refused)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags);
        let file = Self {
            connection: connection.map_err(|error| Trouble::of(path, error))?,
            path: path.to_owned(),
            #[cfg(test)]
            is_full: (syncing == Syncing::OffAndFull).into(),
        };
        let prepared = file.prepare(syncing);
        prepared.map_err(|error| Trouble::of(path, error))??;
        Ok(file)
    }

    fn prepare(&self, syncing: Syncing) -> rusqlite::Result<Result<(), Trouble>> {
        let connection = &self.connection;
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Before anything is read: from then on the lock is held.
        self.set("locking_mode", "EXCLUSIVE")?;
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |it| it.get(0))?;
        let application = self.number("application_id")?;
        let version = self.number("user_version")?;
        let path = || self.path.clone();
        match (tables, application) {
            (0, _) | (_, APPLICATION) => {}
            _ => return Ok(Err(Trouble::Refused(OpenError::Foreign(path())))),
        }
        if tables > 0 && version > VERSION {
            return Ok(Err(Trouble::Refused(OpenError::Newer {
                path: path(),
                version,
                readable: VERSION,
            })));
        }
        self.set("cell_size_check", true)?;
        self.set("journal_mode", "WAL")?;
        self.set(
            "synchronous",
            match syncing {
                Syncing::Full => "FULL",
                #[cfg(test)]
                Syncing::Off | Syncing::OffAndFull => "OFF",
            },
        )?;
        self.set("wal_autocheckpoint", CHECKPOINT_PAGES)?;
        self.set("journal_size_limit", LOG_BYTES)?;
        if tables == 0 {
            connection.execute_batch(&format!(
                "BEGIN; {TABLES} PRAGMA application_id = {APPLICATION}; \
                 PRAGMA user_version = {VERSION}; COMMIT;"
            ))?;
            return Ok(Ok(()));
        }
        let checked: String = connection.query_row("PRAGMA quick_check(1)", [], |it| it.get(0))?;
        if checked != "ok" {
            return Ok(Err(Trouble::Damaged(checked)));
        }
        self.close_to_others();
        self.give_room_back()?;
        Ok(Ok(()))
    }

    /// As it would be made: answers are secrets. Its log is made like it by SQLite.
    fn close_to_others(&self) {
        #[cfg(unix)]
        {
            use std::fs::{Permissions, metadata, set_permissions};
            use std::os::unix::fs::PermissionsExt;
            let mut log = self.path.clone().into_os_string();
            log.push("-wal");
            for path in [&self.path, Path::new(&log)] {
                let mode = metadata(path).map_or(0, |it| it.permissions().mode());
                if mode & 0o077 == 0 {
                    continue;
                }
                match set_permissions(path, Permissions::from_mode(0o600)) {
                    Ok(()) => warn!(
                        file = %path.display(),
                        was = format!("{:o}", mode & 0o7777),
                        "other users could open the file of jobs for later: only its owner can"
                    ),
                    Err(error) => warn!(
                        file = %path.display(), %error,
                        "other users may read the file of jobs for later"
                    ),
                }
            }
        }
    }

    fn give_room_back(&self) -> rusqlite::Result<()> {
        let (free, all) = (self.number("freelist_count")?, self.number("page_count")?);
        if free >= MANY_FREE_PAGES && free > all / 2 {
            // It needs room itself, and is tried again at the next start.
            if let Err(error) = self.connection.execute_batch("VACUUM") {
                warn!(file = %self.path.display(), %error, "the file of jobs for later keeps its size");
            }
        }
        Ok(())
    }

    fn set(&self, pragma: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<()> {
        // Some say what they are from then on, and some say nothing.
        self.connection.pragma_update(None, pragma, value)
    }

    fn number(&self, pragma: &str) -> rusqlite::Result<i64> {
        self.connection
            .pragma_query_value(None, pragma, |it| it.get(0))
    }

    /// Everything that is written is in the file when this returns, or nothing.
    pub fn commit(
        &mut self,
        write: impl FnOnce(&Writing<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), NotCommitted> {
        #[cfg(test)]
        if self.is_full.get() {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            let full = rusqlite::Error::SqliteFailure(full, None);
            return Err(NotCommitted::before(full));
        }
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior);
        let transaction = transaction.map_err(NotCommitted::before)?;
        write(&Writing::new(&transaction)).map_err(NotCommitted::before)?;
        transaction.commit().map_err(NotCommitted::at_the_end)
    }

    /// A record's job or, once it has one, its answer.
    pub fn body(&self, number: i64) -> Result<Bytes, NoBody> {
        let mut body = self.connection.prepare_cached(BODY)?;
        let (checksum, body): (i64, Vec<u8>) =
            body.query_row([number], |it| Ok((it.get(0)?, it.get(1)?)))?;
        match checksum == checksum_of(&body) {
            true => Ok(body.into()),
            false => Err(NoBody::Changed),
        }
    }

    /// Reads what is there.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Ends in order: the write-ahead log is gone, and which answers were read is known.
    pub fn close(self, read: &[u8]) -> rusqlite::Result<()> {
        self.connection.execute(SET_READ, [read])?;
        self.connection.close().map_err(|(_, error)| error)
    }

    /// Lets it grow to so many pages and no further, as on a disk that is full; how many it
    /// has.
    #[cfg(test)]
    pub fn limit(&self, pages: i64) -> i64 {
        self.is_full.set(false);
        self.set("max_page_count", pages).unwrap();
        self.number("page_count").unwrap()
    }
}

/// Makes the file where there is none, for this user alone: answers are secrets. One that
/// is there is not opened here, since closing it again would end the lock that this process
/// may have on it.
fn make(path: &Path) -> Result<(), OpenError> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    if directory.is_some_and(|it| !it.is_dir()) {
        let directory = directory.unwrap_or(path);
        return Err(OpenError::NoDirectory(directory.to_owned()));
    }
    if path.is_dir() {
        return Err(OpenError::NotAFile(path.to_owned()));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(OpenError::NotWritable {
            path: path.to_owned(),
            error: error.into(),
        }),
    }
}
