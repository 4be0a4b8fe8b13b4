//! What is written in one commit.

use rusqlite::{Connection, params};
use xxhash_rust::xxh3::xxh3_64;

use super::schema::{
    FINISH_RECORD, INTERRUPT_RECORD, MAKE_RECORD, REMOVE_CLAIM, REMOVE_CLAIMS, REMOVE_RECORD,
    REMOVE_STREAM, SET_ASIDE, SET_CLAIM, SET_MARKS, SET_ROUTE, SET_STREAM, UNREADABLE,
};
use crate::later::record::StreamName;
use crate::later::records::{Mark, Marks, Route};

/// Changes that are committed together.
pub(super) struct Writing<'a>(&'a Connection);

/// A record that is made.
pub(super) struct NewRow<'a> {
    pub number: i64,
    pub handle: [u8; 22],
    pub route: u16,
    pub items: u32,
    pub interrupted: u32,
    pub frame: Option<[u8; 16]>,
    pub id: Option<String>,
    pub stream: Option<&'a str>,
    pub key: Option<&'a str>,
    pub digest: Option<[u8; 32]>,
    pub content: Content<'a>,
}

/// What a record has: its job, or its answer.
pub(super) struct Content<'a> {
    /// What it counts for.
    pub bytes: usize,
    /// When it is answered at the latest, or expires.
    pub until: u64,
    /// Where its answer is.
    pub position: Option<u64>,
    pub failed: bool,
    pub body: &'a [u8],
}

impl<'a> Writing<'a> {
    pub fn new(connection: &'a Connection) -> Self {
        Self(connection)
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.0.prepare_cached(sql)?.execute(params).map(drop)
    }

    pub fn make(&self, row: &NewRow<'_>) -> rusqlite::Result<()> {
        let content = &row.content;
        self.execute(
            MAKE_RECORD,
            params![
                row.number,
                row.handle,
                row.route,
                row.items,
                row.interrupted,
                number(content.bytes as u64),
                number(content.until),
                content.position.map(number),
                content.failed,
                row.frame,
                row.id,
                row.stream,
                row.key,
                row.digest,
                checksum_of(content.body),
                content.body,
            ],
        )
    }

    pub fn finish(&self, record: i64, content: &Content<'_>) -> rusqlite::Result<()> {
        self.execute(
            FINISH_RECORD,
            params![
                record,
                number(content.bytes as u64),
                number(content.until),
                content.position.map(number),
                content.failed,
                checksum_of(content.body),
                content.body,
            ],
        )
    }

    pub fn interrupt(&self, record: i64, times: u32) -> rusqlite::Result<()> {
        self.execute(INTERRUPT_RECORD, params![record, times])
    }

    pub fn remove(&self, record: i64) -> rusqlite::Result<()> {
        self.execute(REMOVE_RECORD, params![record])
    }

    /// A record that can't be read is none any more.
    pub fn set_aside(&self, record: i64) -> rusqlite::Result<()> {
        self.execute(UNREADABLE, [])?;
        self.execute(SET_ASIDE, [record])?;
        self.remove(record)
    }

    /// No claim has records.
    pub fn remove_claims(&self) -> rusqlite::Result<()> {
        self.execute(REMOVE_CLAIMS, [])
    }

    /// These are all the records that a claim has.
    pub fn claim(&self, claim: u64, records: &[u8]) -> rusqlite::Result<()> {
        match records.is_empty() {
            true => self.execute(REMOVE_CLAIM, params![number(claim)]),
            false => self.execute(SET_CLAIM, params![number(claim), records]),
        }
    }

    pub fn route(&self, route: &Route) -> rusqlite::Result<()> {
        let ever = &route.counts.ever;
        let list = |mut list: String, item: String| {
            list.push_str(if list.is_empty() { "" } else { " " });
            list + &item
        };
        let finished = ever.finished.iter();
        let finished = finished.map(|(code, count)| format!("{}={count}", code.as_str()));
        let deleted = ever.deleted.iter().map(u64::to_string);
        self.execute(
            SET_ROUTE,
            params![
                route.number.0,
                route.name.as_str(),
                number(ever.accepted),
                finished.fold(String::new(), list),
                deleted.fold(String::new(), list),
                number(ever.expired_read),
                number(ever.expired_unread),
            ],
        )
    }

    pub fn stream(&self, name: &StreamName, mark: Option<Mark>) -> rusqlite::Result<()> {
        match mark {
            None => self.execute(REMOVE_STREAM, params![name.as_str()]),
            Some(Mark { expired, vanished }) => self.execute(
                SET_STREAM,
                params![name.as_str(), number(expired), vanished.map(number)],
            ),
        }
    }

    pub fn marks(&self, marks: Marks) -> rusqlite::Result<()> {
        let Marks {
            last,
            others,
            vanished,
        } = marks;
        self.execute(
            SET_MARKS,
            params![number(last), number(others), number(vanished)],
        )
    }
}

/// What a body is checked by when it is read: SQLite does not.
pub(super) fn checksum_of(body: &[u8]) -> i64 {
    xxh3_64(body).cast_signed()
}

/// As SQLite has numbers; what is larger is as good as never.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
