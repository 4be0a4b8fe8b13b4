//! Handing in, fetching, deleting and listening, with a lane that does as the test says,
//! on a paused clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, advance, sleep};

use super::answer::Answer;
use super::memory::Memory;
use super::record::{IdempotencyKey, Record, StreamName};
use super::store::{Refused, Store};
use super::{FetchError, HandIn, HandInError, Heard, Lane, Later, Settings, Withdraw};
use crate::code::Code;
use crate::job::{Handle, Job, State};
use crate::json;
use crate::observe::{Bounds, Observer};

const SECOND: Duration = Duration::from_secs(1);

pub(super) const SETTINGS: Settings = Settings {
    max_jobs: 1000,
    max_bytes: 1 << 20,
    keep: Duration::from_secs(60),
    job_timeout: Duration::from_secs(10),
};

/// Where jobs wait in these tests: each is withdrawn or not.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<HashMap<Handle, bool>>>);

struct Place(Waiting, Handle);

impl Lane for Waiting {
    fn submit(&self, job: Job, _deadline: Instant) -> Box<dyn Withdraw> {
        let handle = job.handle().unwrap();
        let before = self.0.lock().unwrap().insert(handle, false);
        assert_eq!(before, None, "queued twice");
        Box::new(Place(self.clone(), handle))
    }
}

impl Withdraw for Place {
    fn withdraw(&self) {
        let Self(waiting, handle) = self;
        waiting.0.lock().unwrap().insert(*handle, true);
    }
}

fn observer() -> Arc<Observer> {
    Arc::new(Observer::new(Bounds {
        max_size: 1,
        max_bytes: 1,
    }))
}

fn later(store: impl Store) -> (Later, Waiting) {
    let later = Later::new(Arc::new(store), SETTINGS, observer());
    let waiting = Waiting::default();
    later.start(Arc::new(waiting.clone()));
    (later, waiting)
}

fn in_memory() -> (Later, Waiting) {
    later(Memory::new(&SETTINGS))
}

fn job(id: u64) -> HandIn {
    let body = Bytes::from(format!("{{\"id\":{id}}}"));
    HandIn {
        job: Job::parse(body, json::MAX_DEPTH).unwrap(),
        stream: None,
        key: None,
    }
}

fn on_stream(id: u64, name: &str) -> HandIn {
    let stream = Some(StreamName::new(name).unwrap());
    HandIn { stream, ..job(id) }
}

fn with_key(id: u64, key: &str) -> HandIn {
    let key = Some(IdempotencyKey::new(key).unwrap());
    HandIn { key, ..job(id) }
}

fn answer(status: u16, body: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer::new(Code::Ok, status, &HeaderMap::new(), body.as_bytes())
}

fn body(record: &Record) -> &[u8] {
    record.answer.as_ref().unwrap().body()
}

#[tokio::test(start_paused = true)]
async fn a_job_is_handed_in_answered_and_fetched_until_it_expires() {
    let (later, waiting) = in_memory();
    let made = later.hand_in(job(1)).await.unwrap();
    assert_eq!(made.state, State::Queued);
    assert_eq!(waiting.0.lock().unwrap()[&made.handle], false);
    let until = Instant::now() + SECOND;
    let unfinished = later.fetch_finished(made.handle, until).await.unwrap();
    assert_eq!((unfinished.state, Instant::now()), (State::Queued, until));
    let polling = tokio::spawn({
        let (later, until) = (later.clone(), until + SECOND);
        async move { later.fetch_finished(made.handle, until).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(later.sent(vec![made.handle]).await, Ok(vec![]));
    later.answered(made.handle, answer(200, "one"));
    let record = polling.await.unwrap().unwrap();
    assert_eq!((record.state, body(&record)), (State::Done, &b"one"[..]));
    assert_eq!(Instant::now(), until, "it polls");
    sleep(SETTINGS.keep - SECOND).await;
    assert!(later.fetch(made.handle).await.is_ok());
    sleep(2 * SECOND).await;
    let gone = later.fetch(made.handle).await.unwrap_err();
    assert_eq!(gone, FetchError::Unknown);
    assert_eq!(later.counts().expired_read, 1);
}

#[tokio::test(start_paused = true)]
async fn deleting_withdraws_the_job_and_ends_long_polls() {
    let (later, waiting) = in_memory();
    let handle = later.hand_in(job(1)).await.unwrap().handle;
    let polling = tokio::spawn({
        let (later, until) = (later.clone(), Instant::now() + SECOND);
        async move { later.fetch_finished(handle, until).await }
    });
    tokio::task::yield_now().await;
    let deleting = [(); 3].map(|()| {
        let later = later.clone();
        tokio::spawn(async move { later.delete(handle).await })
    });
    let mut deleted = Vec::new();
    for each in deleting {
        deleted.push(each.await.unwrap());
    }
    assert_eq!(
        deleted.iter().flatten().collect::<Vec<_>>(),
        [&State::Queued]
    );
    let ended = polling.await.unwrap();
    assert_eq!(ended.unwrap_err(), FetchError::Unknown);
    assert!(waiting.0.lock().unwrap()[&handle]);
    // Its answer is nobody's.
    later.answered(handle, answer(200, ""));
    later.end().await;
    assert_eq!(later.counts().finished, []);
    assert_eq!(later.0.withdrawals.len(), 0);
    assert_eq!(later.0.records.keys(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_makes_handing_in_again_harmless() {
    let (later, waiting) = in_memory();
    let first = later.hand_in(with_key(1, "k")).await.unwrap();
    let again = later.hand_in(with_key(1, "k")).await.unwrap();
    assert_eq!(again.handle, first.handle);
    assert_eq!(waiting.0.lock().unwrap().len(), 1);
    for other in [
        with_key(2, "k"),
        HandIn {
            stream: on_stream(1, "s").stream,
            ..with_key(1, "k")
        },
    ] {
        let error = later.hand_in(other).await.unwrap_err();
        assert!(matches!(error, HandInError::Refused(Refused::KeyReused)));
    }
    later.answered(first.handle, answer(200, "x"));
    later
        .fetch_finished(first.handle, Instant::now() + SECOND)
        .await
        .unwrap();
    let again = later.hand_in(with_key(1, "k")).await.unwrap();
    assert_eq!(body(&again), b"x");
    later.delete(first.handle).await.unwrap();
    let anew = later.hand_in(with_key(2, "k")).await.unwrap();
    assert_ne!(anew.handle, first.handle);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_departs_while_handing_in_changes_nothing() {
    let (later, waiting) = in_memory();
    let mut handing_in = Box::pin(later.hand_in(job(1)));
    tokio::select! {
        biased;
        _ = &mut handing_in => panic!("it was committed at once"),
        () = std::future::ready(()) => {}
    }
    drop(handing_in);
    while later.counts().accepted == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting.0.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_listener_hears_what_finishes_in_the_order_of_finishing() {
    let (later, _waiting) = in_memory();
    let name = StreamName::new("s").unwrap();
    let mut listener = later.listen(name.clone(), None);
    let mut handles = Vec::new();
    for id in 0..3 {
        handles.push(later.hand_in(on_stream(id, "s")).await.unwrap().handle);
    }
    let listening = tokio::spawn(async move {
        let mut heard = Vec::new();
        while let Some(it) = listener.next().await.unwrap() {
            heard.push(it);
        }
        heard
    });
    for index in [2, 0, 1] {
        advance(SECOND).await;
        later.answered(handles[index], answer(200, &index.to_string()));
    }
    later.end().await;
    let heard = listening.await.unwrap();
    let finished = |heard: &Heard| match heard {
        Heard::Gap => panic!("nothing expired"),
        Heard::Finished(at, record) => (*at, String::from_utf8(body(record).to_vec()).unwrap()),
    };
    let heard: Vec<_> = heard.iter().map(finished).collect();
    let order: Vec<_> = heard.iter().map(|it| it.1.as_str()).collect();
    assert_eq!(order, ["2", "0", "1"]);
    assert!(heard.is_sorted_by_key(|it| it.0));
    // From the middle on, after the end.
    let mut rest = later.listen(name, Some(heard[1].0));
    let next = rest.next().await.unwrap().unwrap();
    assert_eq!(finished(&next), heard[2]);
    assert!(rest.next().await.unwrap().is_none());
    drop(rest);
    assert_eq!(later.0.streams.keys(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_its_end_nothing_is_taken() {
    let (later, _waiting) = in_memory();
    let handle = later.hand_in(job(1)).await.unwrap().handle;
    let polling = tokio::spawn({
        let (later, until) = (later.clone(), Instant::now() + 60 * SECOND);
        async move { later.fetch_finished(handle, until).await }
    });
    tokio::task::yield_now().await;
    let before = Instant::now();
    later.end().await;
    let closed = later.hand_in(job(2)).await.unwrap_err();
    assert!(matches!(closed, HandInError::Closed));
    assert_eq!(polling.await.unwrap().unwrap().state, State::Queued);
    assert_eq!(Instant::now(), before);
}
