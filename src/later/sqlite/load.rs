//! Everything that the file has, but for bodies, as records.

use std::collections::HashMap;

use rusqlite::{Connection, Row as FileRow};
use thiserror::Error;

use super::claims::Claims;
use super::file::File;
use super::journal::Journal;
use super::row::{Row, Rows};
use super::schema::{CLAIMS, MARKS, RECORDS, ROUTES, STREAMS};
use crate::code::Code;
use crate::job::{Handle, RouteName, State};
use crate::job_id::JobId;
use crate::later::Settings;
use crate::later::answer_bytes::code;
use crate::later::backlog::NO_FRAME;
use crate::later::clock;
use crate::later::record::{Idempotency, IdempotencyKey, StreamName};
use crate::later::records::{Claimable, Ever, Mark, Marks, Restored, TooManyRoutes};
use crate::later::store::Position;

/// Something stands in the file that nobody has written there.
#[derive(Debug, Error)]
pub(super) enum NotLoaded {
    #[error(transparent)]
    File(#[from] rusqlite::Error),
    #[error("a row can't be read: {0}")]
    Row(&'static str),
    #[error(transparent)]
    Routes(#[from] TooManyRoutes),
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub records: usize,
    /// Of those, how many were sent by a process that is gone.
    pub interrupted: usize,
}

/// The records of a file; what was claimed waits again, since whoever had claimed it is
/// gone.
pub(super) fn load(file: File, settings: &Settings) -> Result<(Journal, Found), NotLoaded> {
    let connection = file.connection();
    let mut records = Rows::new(settings, 0);
    let read = marks(connection, &mut records)?;
    let routes = routes(connection, &mut records)?;
    let claims = claims(connection)?;
    let claimed: HashMap<_, _> = claims.records().collect();
    let (mut found, mut sent, mut last) = (Found::default(), Vec::new(), 0);
    let mut were_read = Vec::new();
    let mut statement = connection.prepare(RECORDS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let record = record(row, &routes, &claimed)?;
        last = record.job.number;
        found.records += 1;
        if record.job.claimable.claim > 0 {
            sent.push(record.handle);
        }
        if read.binary_search(&last).is_ok() {
            were_read.push(record.handle);
        }
        records.restore(record)?;
    }
    drop(rows);
    drop(statement);
    were_read.iter().for_each(|it| records.restore_read(it));
    streams(connection, &mut records)?;
    records.restore_claims(claims.last());
    found.interrupted = sent.len();
    // A claim may have the numbers of rows that are gone: none of them is given again.
    let last = claims.records().map(|it| it.0).fold(last, i64::max);
    let mut journal = Journal::new(records, file, claims, last);
    sent.iter().for_each(|it| journal.records.abandon(it));
    Ok((journal, found))
}

/// Which records were read; in order.
fn marks(connection: &Connection, records: &mut Rows) -> Result<Vec<i64>, NotLoaded> {
    let mut statement = connection.prepare(MARKS)?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        // As if a process before had given all positions until now.
        let micros = Position::try_from(clock::since_the_epoch().as_micros());
        let last = micros.unwrap_or_default();
        records.restore_marks(Marks {
            last,
            others: last,
            vanished: 0,
        });
        return Ok(Vec::new());
    };
    records.restore_marks(Marks {
        last: unsigned(row, 0)?,
        others: unsigned(row, 1)?,
        vanished: unsigned(row, 2)?,
    });
    let read: Option<Vec<u8>> = row.get(3)?;
    let read = read.unwrap_or_default();
    let numbers = read.chunks_exact(size_of::<i64>());
    let numbers = numbers.filter_map(|it| it.try_into().ok().map(i64::from_le_bytes));
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn routes(connection: &Connection, records: &mut Rows) -> Result<Vec<RouteName>, NotLoaded> {
    let mut statement = connection.prepare(ROUTES)?;
    let mut rows = statement.query([])?;
    let mut routes = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let name: RouteName = name.parse().map_err(|_| NotLoaded::Row("a route's name"))?;
        let (finished, deleted): (String, String) = (row.get(2)?, row.get(3)?);
        let mut ever = Ever {
            accepted: unsigned(row, 1)?,
            expired_read: unsigned(row, 4)?,
            expired_unread: unsigned(row, 5)?,
            ..Ever::default()
        };
        for item in finished.split_whitespace() {
            let (name, count) = item.split_once('=').ok_or(NotLoaded::Row("a count"))?;
            let count: u64 = count.parse().map_err(|_| NotLoaded::Row("a count"))?;
            // One of another version is counted all the same.
            *ever
                .finished
                .entry(code(name).unwrap_or(Code::Internal))
                .or_default() += count;
        }
        let counts = deleted.split_whitespace().map(str::parse);
        for (count, deleted) in counts.zip(&mut ever.deleted) {
            *deleted = count.map_err(|_| NotLoaded::Row("a count"))?;
        }
        records.restore_route(&name, ever)?;
        routes.push(name);
    }
    Ok(routes)
}

fn claims(connection: &Connection) -> Result<Claims, NotLoaded> {
    let mut statement = connection.prepare(CLAIMS)?;
    let mut rows = statement.query([])?;
    let mut claims = Claims::default();
    while let Some(row) = rows.next()? {
        let records: Vec<u8> = row.get(1)?;
        claims.restore(unsigned(row, 0)?, &records);
    }
    Ok(claims)
}

fn streams(connection: &Connection, records: &mut Rows) -> Result<(), NotLoaded> {
    let mut statement = connection.prepare(STREAMS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let name = StreamName::new(&name).map_err(|_| NotLoaded::Row("a stream's name"))?;
        let vanished: Option<i64> = row.get(2)?;
        let mark = Mark {
            expired: unsigned(row, 1)?,
            vanished: vanished.map(i64::unsigned_abs),
        };
        records.restore_stream(&name, mark);
    }
    Ok(())
}

fn record(
    row: &FileRow<'_>,
    routes: &[RouteName],
    claimed: &HashMap<i64, u64>,
) -> Result<Restored<Row, ()>, NotLoaded> {
    let number = row.get(0)?;
    let route: u16 = row.get(2)?;
    let route = routes.get(usize::from(route));
    let position: Option<i64> = row.get(7)?;
    let state = match row.get(8)? {
        true => State::Failed,
        false => State::Done,
    };
    let answer = position.map(|it| (it.unsigned_abs(), state, ()));
    let frame: Option<[u8; 16]> = row.get(9)?;
    let id: Option<String> = row.get(10)?;
    let id = id.map(|it| JobId::parse(&it)).transpose();
    let stream: Option<String> = row.get(11)?;
    let stream = stream.map(|it| StreamName::new(&it)).transpose();
    let key: Option<String> = row.get(12)?;
    let key = key.map(|it| IdempotencyKey::new(&it)).transpose();
    let key = key.map_err(|_| NotLoaded::Row("a key"))?;
    let digest: Option<[u8; 32]> = row.get(13)?;
    let claim = claimed.get(&number).filter(|_| answer.is_none());
    Ok(Restored {
        handle: Handle::from_bytes(row.get(1)?),
        route: route.ok_or(NotLoaded::Row("a route"))?.clone(),
        id: id.map_err(|_| NotLoaded::Row("an id"))?,
        stream: stream.map_err(|_| NotLoaded::Row("a stream's name"))?,
        idempotency: key
            .zip(digest)
            .map(|(key, digest)| Idempotency { key, digest }),
        bytes: usize::try_from(unsigned(row, 5)?).map_err(|_| NotLoaded::Row("a size"))?,
        until: unsigned(row, 6)?,
        job: Row {
            number,
            claimable: Claimable {
                frame: frame.unwrap_or(NO_FRAME),
                items: row.get(3)?,
                interrupted: row.get(4)?,
                claim: claim.copied().unwrap_or_default(),
            },
        },
        answer,
    })
}

fn unsigned(row: &FileRow<'_>, column: usize) -> Result<u64, NotLoaded> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| NotLoaded::Row("a number"))
}
