//! What stands in the file.
//!
//! A record is a row, whose number grows with its age and is known to the process: nothing
//! is looked for in the file. It has its job until it is finished, and its answer from then
//! on. Which jobs are sent stands in a row for each claim, so that a batch is one, however
//! many they are.

/// `application_id`: the file is one of this program.
pub(super) const APPLICATION: i64 = 0x6d62_6c74;

/// `user_version`: how the file is to be read. A version that reads others says so here.
pub(super) const VERSION: i64 = 1;

pub(super) const TABLES: &str = "
CREATE TABLE routes (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    finished TEXT NOT NULL,
    deleted TEXT NOT NULL,
    expired_read INTEGER NOT NULL,
    expired_unread INTEGER NOT NULL
) STRICT;
CREATE TABLE records (
    number INTEGER PRIMARY KEY,
    handle BLOB NOT NULL,
    route INTEGER NOT NULL,
    items INTEGER NOT NULL,
    interrupted INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    until INTEGER NOT NULL,
    position INTEGER,
    failed INTEGER NOT NULL,
    frame BLOB,
    id TEXT,
    stream TEXT,
    key TEXT,
    digest BLOB,
    checksum INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE claims (
    number INTEGER PRIMARY KEY,
    records BLOB NOT NULL
) STRICT;
CREATE TABLE streams (
    name TEXT PRIMARY KEY,
    expired INTEGER NOT NULL,
    vanished INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE marks (
    one INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    others INTEGER NOT NULL,
    vanished INTEGER NOT NULL,
    read BLOB
) STRICT;
";

pub(super) const MAKE_RECORD: &str = "INSERT INTO records VALUES \
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
pub(super) const FINISH_RECORD: &str = "UPDATE records SET \
    bytes = ?2, until = ?3, position = ?4, failed = ?5, checksum = ?6, body = ?7 WHERE number = ?1";
pub(super) const INTERRUPT_RECORD: &str = "UPDATE records SET interrupted = ?2 WHERE number = ?1";
pub(super) const REMOVE_RECORD: &str = "DELETE FROM records WHERE number = ?1";
pub(super) const BODY: &str = "SELECT checksum, body FROM records WHERE number = ?1";
pub(super) const RECORDS: &str = "SELECT number, handle, route, items, interrupted, bytes, until, \
    position, failed, frame, id, stream, key, digest FROM records ORDER BY number";

/// Records that can't be read, for whoever wants to look at them.
pub(super) const UNREADABLE: &str =
    "CREATE TABLE IF NOT EXISTS unreadable AS SELECT * FROM records WHERE 0";
pub(super) const SET_ASIDE: &str = "INSERT INTO unreadable SELECT * FROM records WHERE number = ?1";

pub(super) const SET_CLAIM: &str = "INSERT OR REPLACE INTO claims VALUES (?1, ?2)";
pub(super) const REMOVE_CLAIM: &str = "DELETE FROM claims WHERE number = ?1";
pub(super) const REMOVE_CLAIMS: &str = "DELETE FROM claims";
pub(super) const CLAIMS: &str = "SELECT number, records FROM claims";

pub(super) const SET_ROUTE: &str =
    "INSERT OR REPLACE INTO routes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(super) const ROUTES: &str = "SELECT number, name, accepted, finished, deleted, expired_read, \
    expired_unread FROM routes ORDER BY number";

pub(super) const SET_STREAM: &str = "INSERT OR REPLACE INTO streams VALUES (?1, ?2, ?3)";
pub(super) const REMOVE_STREAM: &str = "DELETE FROM streams WHERE name = ?1";
pub(super) const STREAMS: &str = "SELECT name, expired, vanished FROM streams";

pub(super) const SET_MARKS: &str = "INSERT OR REPLACE INTO marks VALUES (1, ?1, ?2, ?3, NULL)";
pub(super) const SET_READ: &str = "UPDATE marks SET read = ?1";
pub(super) const MARKS: &str = "SELECT last, others, vanished, read FROM marks";
