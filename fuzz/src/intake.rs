//! Section 1 of the contract: which bodies are jobs, and with which id.

use bytes::Bytes;
use microbatch::job::Job;
use microbatch::job_id::IdError;
use microbatch::json::MAX_DEPTH;
use microbatch::shape::JobError;
use serde_json::value::RawValue;

use super::reading::{self, Id, NoId};

/// Why a body is no job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Malformed,
    NotAnObject,
    NoId,
    TwoIds,
    BadId(NoId),
}

/// Checks that `Job::parse` takes `body` for what it is.
///
/// # Panics
/// Where it does not.
pub fn check(body: &[u8]) {
    let whole = Bytes::copy_from_slice(body);
    match (Job::parse(whole, MAX_DEPTH), read(body)) {
        (Ok(job), Ok((id, raw))) => {
            assert_eq!(job.id().unwrap().to_string(), id.to_string(), "another id");
            assert_eq!(job.raw(), raw, "not the caller's bytes");
            check_alone(&job);
        }
        (Err(error), Err(refusal)) => {
            assert_eq!(kind(&error), refusal, "{error}, for {}", shown(body));
        }
        (parsed, expected) => panic!("{parsed:?}, not {expected:?}, for {}", shown(body)),
    }
}

/// An id is the same however it is spelled, and whatever stands around it.
fn check_alone(job: &Job) {
    let body = format!("{{\"id\":{}}}", job.id().unwrap());
    let alone =
        Job::parse(Bytes::from(body), MAX_DEPTH).expect("an id that was taken is taken again");
    assert_eq!(alone.id(), job.id());
    assert!(alone.call().keys().eq(job.call().keys()));
}

/// The oracle: the id, and the body without outer whitespace.
fn read(body: &[u8]) -> Result<(Id, &str), Refusal> {
    let job: &RawValue = serde_json::from_slice(body).map_err(|_| Refusal::Malformed)?;
    if reading::deeper_than(reading::MAX_DEPTH, job) {
        return Err(Refusal::Malformed);
    }
    let mut members = reading::members(job).ok_or(Refusal::NotAnObject)?;
    members.retain(|(name, _)| name.0 == b"id");
    match members[..] {
        [] => Err(Refusal::NoId),
        [(_, id)] => {
            let id = reading::id(id).map_err(Refusal::BadId)?;
            Ok((id, job.get()))
        }
        _ => Err(Refusal::TwoIds),
    }
}

fn kind(error: &JobError) -> Refusal {
    match error {
        JobError::Malformed(_) => Refusal::Malformed,
        JobError::NotAnObject => Refusal::NotAnObject,
        JobError::NoId => Refusal::NoId,
        JobError::TwoIds => Refusal::TwoIds,
        JobError::Id(IdError::Type) => Refusal::BadId(NoId::Type),
        JobError::Id(IdError::Empty) => Refusal::BadId(NoId::Empty),
        JobError::Id(IdError::TooLong) => Refusal::BadId(NoId::TooLong),
        JobError::Id(IdError::LoneSurrogate) => Refusal::BadId(NoId::LoneSurrogate),
        JobError::Id(IdError::NotAnInteger) => Refusal::BadId(NoId::NotAnInteger),
        JobError::Id(IdError::OutOfRange) => Refusal::BadId(NoId::OutOfRange),
    }
}

fn shown(body: &[u8]) -> String {
    body.escape_ascii().to_string()
}
