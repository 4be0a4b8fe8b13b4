//! What every store has to pass: each promise of the trait by itself, and all of them
//! together against a model.
//!
//! A store's tests say `every_store!(Under)`, where `Under` makes the store and lets its
//! time pass; those of one that jobs are claimed from, `every_lasting_store!(Under)`.

mod claims_tests;
mod lasting_tests;
mod model_tests;
mod promises_tests;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

use super::Settings;
use super::answer::Answer;
use super::backlog::{Backlog, Claim, Claimed, NO_FRAME, Which};
use super::clock;
use super::record::{Idempotency, IdempotencyKey, NewRecord, Record, StreamName};
use super::store::{Accepted, Look, Refused, Store};
use crate::code::Code;
use crate::job::{Handle, Job, RouteName};
use crate::json;

pub(super) use claims_tests::*;
pub(super) use lasting_tests::*;
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

    /// The process that has the store ends, and the next one has its records; what was
    /// claimed can be claimed again. One that does not last is never asked.
    fn reopen(store: Self::Store, _: &Settings) -> impl Future<Output = Self::Store> {
        std::future::ready(store)
    }
}

/// All tests, for one store.
macro_rules! every_store {
    ($under:ty) => {
        $crate::later::suite_tests::every_store! { $under:
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

/// The same, for one store that jobs are claimed from.
macro_rules! every_lasting_store {
    ($under:ty) => {
        $crate::later::suite_tests::every_store!($under);
        $crate::later::suite_tests::every_store! { $under:
            a_claimed_job_is_sent,
            no_job_is_claimed_twice,
            only_what_is_claimed_is_sent,
            what_is_released_waits_in_its_old_place,
            what_is_deleted_while_it_is_claimed_is_gone,
            what_is_finished_is_claimed_no_more,
            a_pause_keeps_the_claim,
            each_route_has_its_own_backlog,
            frames_are_claimed_apart,
            a_batch_is_claimed_once_it_is_full_or_due,
            a_claim_is_bounded,
            overdue_jobs_are_claimed,
            what_waits_is_known,
            what_is_accepted_or_released_is_news,
            records_survive,
            what_was_sent_is_interrupted,
            interrupted_jobs_come_first_and_by_themselves,
            what_was_not_sent_is_not_interrupted,
            keys_survive,
            streams_go_on,
            gaps_survive,
            counts_survive,
        }
    };
}
pub(super) use every_lasting_store;

pub(super) const SETTINGS: Settings = Settings {
    max_jobs: 1000,
    max_bytes: 1 << 20,
    keep: Duration::from_secs(60),
    job_timeout: Duration::from_secs(3600),
    max_wait: Duration::ZERO,
    max_attempts: 3,
};

/// A job to be, whose object has so many bytes.
pub(super) fn new(id: u64, bytes: usize) -> NewRecord {
    new_at(clock::now(), id, bytes)
}

/// The same, handed in at this time.
fn new_at(time: u64, id: u64, bytes: usize) -> NewRecord {
    let handle = Handle::new(time).unwrap();
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
pub(super) fn to(name: &str, record: NewRecord) -> NewRecord {
    let route = route(name);
    NewRecord { route, ..record }
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

pub(super) fn on_stream(id: u64, name: &str) -> NewRecord {
    let stream = Some(stream(name));
    NewRecord {
        stream,
        ..new(id, 0)
    }
}

pub(super) fn with_key(id: u64, key: &str, digest: u8) -> NewRecord {
    let idempotency = Some(Idempotency {
        key: IdempotencyKey::new(key).unwrap(),
        digest: [digest; 32],
    });
    NewRecord {
        idempotency,
        ..new(id, 0)
    }
}

pub(super) fn answer(status: u16, bytes: usize) -> Answer {
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

/// The part of a store that jobs are claimed from.
fn backlog(store: &impl Store) -> &dyn Backlog {
    store.backlog().expect("jobs are claimed from it")
}

/// Claims from the route `jobs`, as much as there is.
async fn claim(store: &impl Store, which: Which) -> Vec<Claimed> {
    claim_at_most(store, which, usize::MAX, usize::MAX).await
}

async fn claim_at_most(
    store: &impl Store,
    which: Which,
    max_items: usize,
    max_bytes: usize,
) -> Vec<Claimed> {
    let route = RouteName::jobs();
    let claim = Claim {
        route,
        max_items,
        max_bytes,
        which,
    };
    backlog(store).claim(claim).await.unwrap()
}

/// These jobs are sent, after they were claimed in a store where jobs are.
async fn send(store: &impl Store, handles: &[Handle]) -> Vec<Handle> {
    if let Some(backlog) = store.backlog() {
        let mut others = Vec::new();
        for route in backlog.routes() {
            loop {
                let claim = Claim {
                    route: route.clone(),
                    max_items: usize::MAX,
                    max_bytes: usize::MAX,
                    which: Which::Any,
                };
                let claimed = backlog.claim(claim).await.unwrap();
                if claimed.is_empty() {
                    break;
                }
                others.extend(claimed.into_iter().map(|it| it.handle));
            }
        }
        others.retain(|it| !handles.contains(it));
        backlog.release(others).await.unwrap();
    }
    store.sent(handles.to_vec()).await.unwrap()
}
