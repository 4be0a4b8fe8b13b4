//! What every store has to pass: each promise of the trait by itself, and all of them
//! together against a model.
//!
//! A store's tests say `every_store!(Under)`, where `Under` makes the store and lets its
//! time pass.

mod model_tests;
mod promises_tests;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

use super::Settings;
use super::answer::Answer;
use super::backlog::NO_FRAME;
use super::clock;
use super::record::{Idempotency, IdempotencyKey, NewRecord, Record, StreamName};
use super::store::{Accepted, Look, Refused, Store};
use crate::code::Code;
use crate::job::{Handle, Job, RouteName};
use crate::json;

pub(super) use model_tests::does_as_the_model;
pub(super) use promises_tests::*;

/// A store under test.
pub(super) trait Under {
    type Store: Store;

    /// Whether there is what it takes.
    fn is_there() -> bool {
        true
    }

    /// An empty one.
    fn make(settings: &Settings) -> impl Future<Output = Self::Store>;

    /// Lets so much time pass.
    fn pass(time: Duration) -> impl Future<Output = ()>;
}

/// All tests, for one store.
macro_rules! every_store {
    ($under:ty) => {
        every_store! { $under:
            a_record_goes_its_way,
            only_what_is_there_and_unfinished_is_sent,
            an_answer_is_written_once,
            a_record_is_deleted_once,
            a_key_lives_as_long_as_its_record,
            a_key_is_its_routes_own,
            each_route_is_counted_by_itself,
            a_full_store_refuses_jobs_and_takes_answers,
            a_stream_has_answers_in_the_order_of_finishing,
            a_gap_tells_of_what_expired_and_not_of_what_was_deleted,
            a_position_nobody_gave_is_a_gap,
            a_stream_that_is_gone_has_its_own_gaps,
            names_take_bounded_memory,
            reading_is_remembered_from_the_answer_on,
            the_oldest_that_is_queued_is_known,
            many_that_are_due_all_expire,
            of_several_at_once_one_comes_first,
        }

        #[test]
        fn it_does_as_the_model() {
            if <$under>::is_there() {
                $crate::later::suite_tests::does_as_the_model::<$under>();
            }
        }
    };
    ($under:ty: $($test:ident,)+) => {
        $(#[tokio::test(start_paused = true)]
        async fn $test() {
            if <$under>::is_there() {
                $crate::later::suite_tests::$test::<$under>().await;
            }
        })+
    };
}
pub(super) use every_store;

const SETTINGS: Settings = Settings {
    max_jobs: 1000,
    max_bytes: 1 << 20,
    keep: Duration::from_secs(60),
    job_timeout: Duration::from_secs(3600),
    max_wait: Duration::ZERO,
    max_attempts: 3,
};

/// A job to be, whose object has so many bytes.
fn new(id: u64, bytes: usize) -> NewRecord {
    let handle = Handle::new(clock::now()).unwrap();
    let body = format!("{{\"id\":{id}}}");
    let filling = " ".repeat(bytes.saturating_sub(body.len()));
    let body = body.replace(':', &format!(":{filling}"));
    NewRecord {
        handle,
        route: RouteName::jobs(),
        job: Job::parse(Bytes::from(body), json::MAX_DEPTH)
            .unwrap()
            .for_later(handle),
        frame: NO_FRAME,
        stream: None,
        idempotency: None,
        deadline: clock::now() + SETTINGS.job_timeout.as_millis() as u64,
    }
}

/// The name of a route.
fn route(name: &str) -> RouteName {
    name.parse().unwrap()
}

/// The same, to another route.
fn to(name: &str, record: NewRecord) -> NewRecord {
    let route = route(name);
    NewRecord { route, ..record }
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn on_stream(id: u64, name: &str) -> NewRecord {
    let stream = Some(stream(name));
    NewRecord {
        stream,
        ..new(id, 0)
    }
}

fn with_key(id: u64, key: &str, digest: u8) -> NewRecord {
    let idempotency = Some(Idempotency {
        key: IdempotencyKey::new(key).unwrap(),
        digest: [digest; 32],
    });
    NewRecord {
        idempotency,
        ..new(id, 0)
    }
}

fn answer(status: u16, bytes: usize) -> Answer {
    let code = match status {
        200 => Code::Ok,
        _ => Code::UpstreamError,
    };
    let (status, body) = (StatusCode::from_u16(status).unwrap(), vec![b'x'; bytes]);
    Answer::new(code, status, &HeaderMap::new(), &body.into())
}

async fn accept(store: &impl Store, record: NewRecord) -> Result<Accepted, Refused> {
    let mut accepted = store.accept(vec![record]).await;
    assert_eq!(accepted.len(), 1);
    accepted.remove(0)
}

/// Makes a record.
async fn made(store: &impl Store, record: NewRecord) -> Handle {
    match accept(store, record).await {
        Ok(Accepted::New(record)) => record.handle,
        other => panic!("not new: {other:?}"),
    }
}

async fn finish(store: &impl Store, handle: Handle, status: u16) {
    store
        .finish(vec![(handle, answer(status, 10))])
        .await
        .unwrap();
}

async fn fetch(store: &impl Store, handle: Handle) -> Option<Record> {
    store.fetch(handle, Look::ForAnswer).await.unwrap()
}

/// Removes everything whose time is over.
async fn expire(store: &impl Store) -> (usize, Option<u64>) {
    let mut records = 0;
    loop {
        let expired = store.expire(clock::now()).await.unwrap();
        records += expired.records;
        if expired.next.is_none_or(|next| next > clock::now()) {
            return (records, expired.next);
        }
    }
}
