//! Everything that the file has, but for bodies, as records.

use std::collections::HashMap;

use rusqlite::{Connection, Row as FileRow};
use thiserror::Error;
use tracing::error;

use super::claims::Claims;
use super::file::File;
use super::journal::{Journal, Lost, Unsettled};
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
    #[error("it can't be read: {0}")]
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
    /// How many records more there are that can't be read, and are set aside.
    pub unreadable: usize,
}

/// The records of a file; what was claimed is to wait again, since whoever had claimed it is
/// gone. A row that can't be read is left out: it takes none of the others with it.
pub(super) fn load(file: File, settings: &Settings) -> Result<(Journal, Found), NotLoaded> {
    let connection = file.connection();
    let mut records = Rows::new(settings, 0);
    let read = marks(connection, &mut records)?;
    let routes = routes(connection, &mut records)?;
    let claims = claims(connection)?;
    let claimed: HashMap<_, _> = claims.records().collect();
    let mut found = Found::default();
    // A claim may have the numbers of rows that are gone: none of them is given again.
    let mut last = claimed.keys().copied().fold(0, i64::max);
    let (mut unsettled, mut were_read) = (Unsettled::default(), Vec::new());
    let mut statement = connection.prepare(RECORDS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        last = last.max(number);
        let record = record(number, row, &routes, &claimed).and_then(|record| {
            match records.job(&record.handle) {
                None => Ok(record),
                Some(_) => Err(NotLoaded::Row("another record has its handle")),
            }
        });
        let record = match record {
            Ok(record) => record,
            Err(why) => {
                error!(number, %why, "a record can't be read, and is set aside in its file");
                found.unreadable += 1;
                unsettled.lost.push(lost(number, row, &routes));
                continue;
            }
        };
        found.records += 1;
        if record.job.claimable.claim > 0 {
            unsettled.sent.push(record.handle);
        }
        if read.binary_search(&number).is_ok() {
            were_read.push(record.handle);
        }
        records.restore(record)?;
    }
    drop(rows);
    drop(statement);
    were_read.iter().for_each(|it| records.restore_read(it));
    streams(connection, &mut records)?;
    records.restore_claims(claims.last());
    found.interrupted = unsettled.sent.len();
    Ok((Journal::new(records, file, unsettled, last), found))
}

/// What is still known of a record that can't be read.
fn lost(number: i64, row: &FileRow<'_>, routes: &HashMap<u16, RouteName>) -> Lost {
    let route: Option<u16> = row.get(2).ok();
    let (position, failed): (Option<Option<i64>>, _) = (row.get(7).ok(), row.get(8).ok());
    let state = match (position, failed) {
        (Some(None), _) => State::Queued,
        (_, Some(true)) => State::Failed,
        _ => State::Done,
    };
    Lost {
        number,
        route: route.and_then(|it| routes.get(&it)).cloned(),
        state,
    }
}

/// Which records were read; in order.
fn marks(connection: &Connection, records: &mut Rows) -> Result<Vec<i64>, NotLoaded> {
    let mut statement = connection.prepare(MARKS)?;
    let mut rows = statement.query([])?;
    let marks = rows.next()?.map(|row| {
        let marks = Marks {
            last: unsigned(row, 0)?,
            others: unsigned(row, 1)?,
            vanished: unsigned(row, 2)?,
        };
        Ok::<_, NotLoaded>((marks, row.get(3)?))
    });
    let marks = marks.transpose().unwrap_or_else(|why| {
        error!(%why, "the positions of streams can't be read: new ones are given");
        None
    });
    let (marks, read): (_, Option<Vec<u8>>) = marks.unwrap_or_else(|| {
        // As if a process before had given all positions until now.
        let micros = Position::try_from(clock::since_the_epoch().as_micros());
        let last = micros.unwrap_or_default();
        let marks = Marks {
            last,
            others: last,
            vanished: 0,
        };
        (marks, None)
    });
    records.restore_marks(marks);
    let read = read.unwrap_or_default();
    let numbers = read.chunks_exact(size_of::<i64>());
    let numbers = numbers.filter_map(|it| it.try_into().ok().map(i64::from_le_bytes));
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The routes, by the numbers that records have them by.
fn routes(
    connection: &Connection,
    records: &mut Rows,
) -> Result<HashMap<u16, RouteName>, NotLoaded> {
    let mut statement = connection.prepare(ROUTES)?;
    let mut rows = statement.query([])?;
    let mut routes = HashMap::new();
    while let Some(row) = rows.next()? {
        let route = route(row).and_then(|(number, name)| {
            match records.restore_route(number, &name, ever(row)) {
                true => Ok((number, name)),
                false => Err(NotLoaded::Row("another route has its number or its name")),
            }
        });
        match route {
            Ok((number, name)) => drop(routes.insert(number, name)),
            Err(why) => error!(%why, "a route of jobs for later can't be read"),
        }
    }
    Ok(routes)
}

fn route(row: &FileRow<'_>) -> Result<(u16, RouteName), NotLoaded> {
    let name: String = row.get(1)?;
    let name = name.parse().map_err(|_| NotLoaded::Row("a route's name"))?;
    Ok((row.get(0)?, name))
}

/// What was ever counted of a route: what of it can't be read is not counted.
fn ever(row: &FileRow<'_>) -> Ever {
    let count = |column| unsigned(row, column).unwrap_or_default();
    let text = |column| row.get::<_, String>(column).unwrap_or_default();
    let mut ever = Ever {
        accepted: count(2),
        expired_read: count(5),
        expired_unread: count(6),
        ..Ever::default()
    };
    for item in text(3).split_whitespace() {
        if let Some((name, count)) = item.split_once('=') {
            // One of another version is counted all the same.
            let code = code(name).unwrap_or(Code::Internal);
            *ever.finished.entry(code).or_default() += count.parse().unwrap_or(0);
        }
    }
    for (count, deleted) in text(4).split_whitespace().zip(&mut ever.deleted) {
        *deleted = count.parse().unwrap_or(0);
    }
    ever
}

fn claims(connection: &Connection) -> Result<Claims, NotLoaded> {
    let mut statement = connection.prepare(CLAIMS)?;
    let mut rows = statement.query([])?;
    let mut claims = Claims::default();
    while let Some(row) = rows.next()? {
        let claim = unsigned(row, 0).and_then(|claim| Ok((claim, row.get(1)?)));
        match claim {
            Ok((claim, records)) => {
                let records: Vec<u8> = records;
                claims.restore(claim, &records);
            }
            Err(why) => error!(%why, "which jobs were sent together can't be read"),
        }
    }
    Ok(claims)
}

fn streams(connection: &Connection, records: &mut Rows) -> Result<(), NotLoaded> {
    let mut statement = connection.prepare(STREAMS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match stream(row) {
            Ok((name, mark)) => records.restore_stream(&name, mark),
            Err(why) => error!(%why, "what is known of a stream can't be read"),
        }
    }
    Ok(())
}

fn stream(row: &FileRow<'_>) -> Result<(StreamName, Mark), NotLoaded> {
    let name: String = row.get(0)?;
    let name = StreamName::new(&name).map_err(|_| NotLoaded::Row("a stream's name"))?;
    let vanished: Option<i64> = row.get(2)?;
    let mark = Mark {
        expired: unsigned(row, 1)?,
        vanished: vanished.map(i64::unsigned_abs),
    };
    Ok((name, mark))
}

fn record(
    number: i64,
    row: &FileRow<'_>,
    routes: &HashMap<u16, RouteName>,
    claimed: &HashMap<i64, u64>,
) -> Result<Restored<Row, ()>, NotLoaded> {
    let route: u16 = row.get(2)?;
    let route = routes.get(&route);
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
    let key = key.map(|it| IdempotencyKey::stored(&it)).transpose();
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
