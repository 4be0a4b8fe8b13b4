//! Reads what scripts answer.

use bytes::Bytes;
use redis::{FromRedisValue, Value};

use crate::job::Handle;
use crate::job_id::JobId;
use crate::later::answer_bytes;
use crate::later::record::{Millis, Record};
use crate::later::store::{Accepted, Refused};

/// The parts of an answer that has so many.
pub(super) fn parts<const N: usize>(value: Value) -> Option<[Value; N]> {
    list(value)?.try_into().ok()
}

/// The parts of an answer.
pub(super) fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(parts) => Some(parts),
        _ => None,
    }
}

/// A text; `None` where there is none.
pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

/// What is written in a text, or a number.
pub(super) fn read<T: FromRedisValue>(value: Value) -> Option<T> {
    T::from_redis_value(value).ok()
}

/// What a text says.
pub(super) fn parsed<T: std::str::FromStr>(value: Value) -> Option<T> {
    read::<String>(value)?.parse().ok()
}

/// Handles.
pub(super) fn handles(value: Value) -> Option<Vec<Handle>> {
    let handles = list(value)?.into_iter().map(parsed);
    handles.collect()
}

/// A record: its handle, route, state, expiry, id and answer.
pub(super) fn record(parts: Vec<Value>) -> Option<Record> {
    let [handle, route, state, expires_at, id, answer] = parts.try_into().ok()?;
    let answer = match answer {
        Value::Nil => None,
        answer => Some(answer_bytes::from_bytes(&Bytes::from(bytes(answer)?)).ok()?),
    };
    let state = crate::job::State::ALL.get(read::<usize>(state)?);
    Some(Record {
        handle: parsed(handle)?,
        route: parsed(route)?,
        id: JobId::parse(&read::<String>(id)?).ok(),
        state: *state?,
        expires_at: read(expires_at)?,
        answer,
    })
}

/// What became of a new record, which is `made` if it was; `here` is what a time is by this
/// process's clock.
pub(super) fn accepted(
    value: Value,
    made: impl FnOnce(Millis) -> Record,
    here: impl Fn(Millis) -> Millis,
) -> Option<Result<Accepted, Refused>> {
    let mut parts = list(value)?;
    let became: String = read(parts.drain(..1).next()?)?;
    Some(match &became[..] {
        "new" => Ok(Accepted::New(made(read(parts.pop()?)?))),
        "existing" => Ok(Accepted::Existing(record(parts)?)),
        "reused" => Err(Refused::KeyReused),
        "full" => Err(Refused::Full {
            next_expiry: time(parts.pop()?).map(here),
        }),
        _ => return None,
    })
}

/// A time, where there is one.
pub(super) fn time(value: Value) -> Option<Millis> {
    let text: String = read(value)?;
    // As scores are written: a large one may have an exponent.
    let time: f64 = text.parse().ok()?;
    Some(time as Millis)
}
