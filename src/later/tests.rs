//! Handing in, fetching, deleting and listening, with a lane that does as the test says,
//! on a paused clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, advance, sleep};

use super::answer::Answer;
use super::faulty_tests::{Fault, Faulty};
use super::memory::Memory;
use super::record::{IdempotencyKey, Record, StreamName};
use super::store::{Look, Refused, Store, StoreError};
use super::{FetchError, HandIn, HandInError, Heard, Lane, Later, Settings, Withdraw};
use crate::code::Code;
use crate::job::{Handle, Job, RouteName, State};
use crate::json;
use crate::observe::{Bounds, Observer, StoreStep};

const SECOND: Duration = Duration::from_secs(1);

pub(super) const SETTINGS: Settings = Settings {
    max_jobs: 1000,
    max_bytes: 1 << 20,
    keep: Duration::from_secs(60),
    job_timeout: Duration::from_secs(10),
    max_wait: Duration::ZERO,
    max_attempts: 3,
};

/// Where jobs wait in these tests: each is withdrawn or not.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<HashMap<Handle, bool>>>);

impl Waiting {
    /// How many were ever queued.
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn is_withdrawn(&self, handle: Handle) -> bool {
        self.0.lock().unwrap()[&handle]
    }
}

struct Place(Waiting, Handle);

impl Lane for Waiting {
    fn submit(&self, _route: &RouteName, job: Job, _deadline: Instant) -> Box<dyn Withdraw> {
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

fn later(store: Arc<dyn Store>) -> (Later, Waiting) {
    let later = Later::new(store, SETTINGS, [observer()]);
    let waiting = Waiting::default();
    later.start(Arc::new(waiting.clone()));
    (later, waiting)
}

fn in_memory() -> (Later, Waiting) {
    later(Arc::new(Memory::new(&SETTINGS)))
}

fn faulty() -> (Later, Waiting, Arc<Faulty>) {
    let store = Arc::new(Faulty::new(&SETTINGS));
    let (later, waiting) = later(store.clone());
    (later, waiting, store)
}

fn job(id: u64) -> HandIn {
    let body = Bytes::from(format!("{{\"id\":{id}}}"));
    HandIn {
        lane: None,
        route: RouteName::jobs(),
        job: Job::parse(body, json::MAX_DEPTH).unwrap(),
        stream: None,
        key: None,
        frame: crate::later::backlog::NO_FRAME,
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
    Answer::new(
        Code::Ok,
        status,
        &HeaderMap::new(),
        &Bytes::copy_from_slice(body.as_bytes()),
    )
}

fn body(record: &Record) -> &[u8] {
    record.answer.as_ref().unwrap().body()
}

#[tokio::test(start_paused = true)]
async fn a_job_is_handed_in_answered_and_fetched_until_it_expires() {
    let (later, waiting) = in_memory();
    let made = later.hand_in(job(1)).await.unwrap();
    assert_eq!(made.state, State::Queued);
    assert!(!waiting.is_withdrawn(made.handle));
    let until = Instant::now() + SECOND;
    let unfinished = later
        .fetch_finished(made.handle, Look::ForAnswer, until)
        .await
        .unwrap();
    assert_eq!((unfinished.state, Instant::now()), (State::Queued, until));
    let polling = tokio::spawn({
        let (later, until) = (later.clone(), until + SECOND);
        async move {
            later
                .fetch_finished(made.handle, Look::ForAnswer, until)
                .await
        }
    });
    tokio::task::yield_now().await;
    assert_eq!(later.sent(vec![made.handle]).await, Ok(vec![]));
    later.answered(made.handle, answer(200, "one"));
    let record = polling.await.unwrap().unwrap();
    assert_eq!((record.state, body(&record)), (State::Done, &b"one"[..]));
    assert_eq!(Instant::now(), until, "it polls");
    sleep(SETTINGS.keep - SECOND).await;
    assert!(later.fetch(made.handle, Look::ForAnswer).await.is_ok());
    sleep(2 * SECOND).await;
    let gone = later.fetch(made.handle, Look::ForAnswer).await.unwrap_err();
    assert_eq!(gone, FetchError::Unknown);
    assert_eq!(later.counts().total().expired_read, 1);
}

#[tokio::test(start_paused = true)]
async fn deleting_withdraws_the_job_and_ends_long_polls() {
    let (later, waiting) = in_memory();
    let handle = later.hand_in(job(1)).await.unwrap().handle;
    let polling = tokio::spawn({
        let (later, until) = (later.clone(), Instant::now() + SECOND);
        async move { later.fetch_finished(handle, Look::ForAnswer, until).await }
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
    let before = Instant::now();
    let ended = polling.await.unwrap();
    assert_eq!(ended.unwrap_err(), FetchError::Unknown);
    assert_eq!(Instant::now(), before);
    assert!(waiting.is_withdrawn(handle));
    // Its answer is nobody's.
    later.answered(handle, answer(200, ""));
    later.end().await;
    assert_eq!(later.counts().total().finished, []);
    assert_eq!(later.0.withdrawals.len(), 0);
    assert_eq!(later.0.records.keys(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_makes_handing_in_again_harmless() {
    let (later, waiting) = in_memory();
    let first = later.hand_in(with_key(1, "k")).await.unwrap();
    let again = later.hand_in(with_key(1, "k")).await.unwrap();
    assert_eq!(again.handle, first.handle);
    assert_eq!(waiting.len(), 1);
    for other in [
        with_key(2, "k"),
        HandIn {
            lane: None,
            stream: on_stream(1, "s").stream,
            ..with_key(1, "k")
        },
    ] {
        let error = later.hand_in(other).await.unwrap_err();
        assert!(matches!(error, HandInError::Refused(Refused::KeyReused)));
    }
    later.answered(first.handle, answer(200, "x"));
    later
        .fetch_finished(first.handle, Look::ForAnswer, Instant::now() + SECOND)
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
    while later.counts().total().accepted == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting.len(), 1);
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
        async move { later.fetch_finished(handle, Look::ForAnswer, until).await }
    });
    tokio::task::yield_now().await;
    let before = Instant::now();
    later.end().await;
    let closed = later.hand_in(job(2)).await.unwrap_err();
    assert!(matches!(closed, HandInError::Closed));
    assert_eq!(polling.await.unwrap().unwrap().state, State::Queued);
    assert_eq!(Instant::now(), before);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_not_committed_is_not_queued() {
    let (later, waiting, store) = faulty();
    store.set(StoreStep::Accept, Some(Fault::NotCommitted));
    let error = later.hand_in(job(1)).await.unwrap_err();
    let HandInError::Refused(Refused::Store(StoreError::NotCommitted)) = error else {
        panic!("{error:?}");
    };
    store.set(StoreStep::Accept, None);
    later.hand_in(job(2)).await.unwrap();
    assert_eq!(waiting.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_nobody_told_of_has_its_job_queued_all_the_same() {
    let (later, waiting, store) = faulty();
    store.set(StoreStep::Accept, Some(Fault::Unanswered));
    store.set(StoreStep::Fetch, Some(Fault::NotCommitted));
    let error = later.hand_in(with_key(1, "k")).await.unwrap_err();
    let HandInError::Refused(Refused::Store(StoreError::Unanswered)) = error else {
        panic!("{error:?}");
    };
    // As long as nobody knows, nothing else is taken.
    store.set(StoreStep::Accept, None);
    let error = later.hand_in(with_key(1, "k")).await.unwrap_err();
    let HandInError::Refused(Refused::Store(StoreError::NotCommitted)) = error else {
        panic!("{error:?}");
    };
    assert_eq!(waiting.len(), 0);
    store.set(StoreStep::Fetch, None);
    sleep(2 * SECOND).await;
    assert_eq!(waiting.len(), 1);
    let again = later.hand_in(with_key(1, "k")).await.unwrap();
    assert!(!waiting.is_withdrawn(again.handle));
    assert_eq!(later.counts().total().accepted, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_committed_as_soon_as_the_store_is_there() {
    for fault in [Fault::NotCommitted, Fault::Unanswered] {
        let (later, _waiting, store) = faulty();
        let handle = later.hand_in(on_stream(1, "s")).await.unwrap().handle;
        let mut listener = later.listen(StreamName::new("s").unwrap(), None);
        let listening = tokio::spawn(async move { listener.next().await });
        store.set(StoreStep::Finish, Some(fault));
        later.answered(handle, answer(200, "x"));
        sleep(30 * SECOND).await;
        let tries = store.asked(StoreStep::Finish);
        assert!((30..50).contains(&tries), "{tries} tries");
        let ending = tokio::spawn({
            let later = later.clone();
            async move { later.end().await }
        });
        sleep(SECOND).await;
        assert!(!ending.is_finished());
        // Where it is committed whoever looks finds it, though nobody was woken.
        assert!(!listening.is_finished() || fault == Fault::Unanswered);
        store.set(StoreStep::Finish, None);
        ending.await.unwrap();
        let heard = listening.await.unwrap().unwrap().unwrap();
        assert!(matches!(heard, Heard::Finished(_, record) if record.handle == handle));
        assert_eq!(later.counts().total().present, [0, 0, 1, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_can_never_be_written_holds_up_no_others() {
    let (later, _waiting, store) = faulty();
    let mut handles = Vec::new();
    for id in 1..=4 {
        handles.push(later.hand_in(job(id)).await.unwrap().handle);
    }
    store.never_finishes(Some(handles[1]));
    for handle in &handles[..3] {
        later.answered(*handle, answer(200, "x"));
    }
    sleep(SECOND).await;
    assert_eq!(later.counts().total().present, [2, 0, 2, 0]);
    // Nor those that come after it, for longer than a pause.
    later.answered(handles[3], answer(200, "x"));
    sleep(SECOND).await;
    assert_eq!(later.counts().total().present, [1, 0, 3, 0]);
    let ending = tokio::spawn({
        let later = later.clone();
        async move { later.end().await }
    });
    sleep(SECOND).await;
    assert!(!ending.is_finished());
    store.never_finishes(None);
    ending.await.unwrap();
    assert_eq!(later.counts().total().present, [0, 0, 4, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_told_apart_from_a_job_that_is_not_there() {
    let (later, waiting, store) = faulty();
    let handle = later.hand_in(job(1)).await.unwrap().handle;
    for step in [StoreStep::Fetch, StoreStep::Delete, StoreStep::Sent] {
        store.set(step, Some(Fault::NotCommitted));
    }
    let away = FetchError::Store(StoreError::NotCommitted);
    let until = Instant::now() + SECOND;
    assert_eq!(
        later.fetch(handle, Look::ForAnswer).await.unwrap_err(),
        away
    );
    assert_eq!(
        later
            .fetch_finished(handle, Look::ForAnswer, until)
            .await
            .unwrap_err(),
        away
    );
    assert_eq!(later.delete(handle).await.unwrap_err(), away);
    assert!(later.sent(vec![handle]).await.is_err());
    let mut listener = later.listen(StreamName::new("s").unwrap(), None);
    assert!(listener.next().await.is_err());
    assert!(!waiting.is_withdrawn(handle));
    for step in [StoreStep::Fetch, StoreStep::Delete] {
        store.set(step, None);
    }
    assert_eq!(later.delete(handle).await, Ok(State::Queued));
    assert!(waiting.is_withdrawn(handle));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_long_polls_wait_without_asking() {
    const POLLS: u64 = 10_000;
    const JOBS: u64 = 100;
    let (later, _waiting, store) = faulty();
    let mut handles = Vec::new();
    for id in 0..JOBS {
        handles.push(later.hand_in(job(id)).await.unwrap().handle);
    }
    let until = Instant::now() + 60 * SECOND;
    let polls: Vec<_> = (0..POLLS)
        .map(|poll| {
            let (later, handle) = (later.clone(), handles[(poll % JOBS) as usize]);
            tokio::spawn(async move { later.fetch_finished(handle, Look::ForAnswer, until).await })
        })
        .collect();
    sleep(30 * SECOND).await;
    assert_eq!(store.asked(StoreStep::Fetch), POLLS as usize);
    // Those of one job are not woken for another.
    later.answered(handles[0], answer(200, ""));
    sleep(SECOND).await;
    let each = (POLLS / JOBS) as usize;
    assert_eq!(store.asked(StoreStep::Fetch), POLLS as usize + each);
    for handle in &handles[1..] {
        later.answered(*handle, answer(200, ""));
    }
    for poll in polls {
        assert!(poll.await.unwrap().unwrap().answer.is_some());
    }
    assert_eq!(store.asked(StoreStep::Fetch), 2 * POLLS as usize);
    assert_eq!(later.0.records.keys(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_listeners_to_other_names_cost_nothing() {
    const LISTENERS: usize = 1000;
    let (later, _waiting, store) = faulty();
    let listening: Vec<_> = (0..LISTENERS)
        .map(|number| {
            let name = StreamName::new(&format!("s{number}")).unwrap();
            let mut listener = later.listen(name, None);
            tokio::spawn(async move { listener.next().await })
        })
        .collect();
    sleep(SECOND).await;
    assert_eq!(store.asked(StoreStep::Fetch), LISTENERS);
    for id in 0..10 {
        let handle = later.hand_in(on_stream(id, "s7")).await.unwrap().handle;
        later.answered(handle, answer(200, ""));
        sleep(SECOND).await;
    }
    // One has heard, with one look at the stream and one at the record.
    assert_eq!(store.asked(StoreStep::Fetch), LISTENERS + 2);
    let heard = listening.iter().filter(|it| it.is_finished());
    assert_eq!(heard.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_does_not_read_misses_what_expires_and_is_told() {
    let (later, _waiting) = in_memory();
    let name = StreamName::new("s").unwrap();
    let mut listener = later.listen(name, None);
    let first = later.hand_in(on_stream(0, "s")).await.unwrap().handle;
    later.answered(first, answer(200, ""));
    let heard = listener.next().await.unwrap().unwrap();
    assert!(matches!(heard, Heard::Finished(..)));
    for id in 1..3 {
        let handle = later.hand_in(on_stream(id, "s")).await.unwrap().handle;
        later.answered(handle, answer(200, ""));
        sleep(SETTINGS.keep - SECOND).await;
    }
    let heard = listener.next().await.unwrap().unwrap();
    assert!(matches!(heard, Heard::Gap), "{heard:?}");
    let heard = listener.next().await.unwrap().unwrap();
    assert!(matches!(heard, Heard::Finished(_, record) if record.id.as_ref() == job(2).job.id()));
}

#[tokio::test(start_paused = true)]
async fn what_expires_in_other_streams_is_no_gap_to_a_listener() {
    let (later, _waiting) = in_memory();
    let mut listener = later.listen(StreamName::new("s").unwrap(), None);
    let listening = tokio::spawn(async move { listener.next().await });
    sleep(SECOND).await;
    let other = later.hand_in(on_stream(1, "other")).await.unwrap().handle;
    later.answered(other, answer(200, ""));
    sleep(SETTINGS.keep + SECOND).await;
    assert_eq!(later.counts().total().expired_unread, 1);
    let own = later.hand_in(on_stream(2, "s")).await.unwrap().handle;
    later.answered(own, answer(200, ""));
    let heard = listening.await.unwrap().unwrap().unwrap();
    assert!(matches!(heard, Heard::Finished(..)), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_listener_holds_no_answers() {
    let (later, _waiting) = in_memory();
    let name = StreamName::new("s").unwrap();
    let mut handles = Vec::new();
    for id in 0..6 {
        let handle = later.hand_in(on_stream(id, "s")).await.unwrap().handle;
        later.answered(handle, answer(200, ""));
        later
            .fetch_finished(handle, Look::ForState, Instant::now() + SECOND)
            .await
            .unwrap();
        handles.push(handle);
    }
    let mut listener = later.listen(name, None);
    let mut hear = async || match listener.next().await.unwrap().unwrap() {
        Heard::Finished(_, record) => Some(record.handle),
        Heard::Gap => None,
    };
    assert_eq!(hear().await, Some(handles[0]));
    // What is deleted before it is told is nobody's, and no gap.
    later.delete(handles[1]).await.unwrap();
    later.delete(handles[2]).await.unwrap();
    assert_eq!(hear().await, Some(handles[3]));
    // What expires before it is told was not read, and is a gap, once.
    sleep(SETTINGS.keep + SECOND).await;
    let counts = later.counts().total();
    assert_eq!((counts.expired_read, counts.expired_unread), (2, 2));
    let last = later.hand_in(on_stream(6, "s")).await.unwrap().handle;
    later.answered(last, answer(200, ""));
    assert_eq!(hear().await, None);
    assert_eq!(hear().await, Some(last));
}

#[tokio::test(start_paused = true)]
async fn what_panics_in_the_store_stops_nobody() {
    let (later, waiting, store) = faulty();
    // Nobody knows what was committed: it was not, and the next is taken.
    store.set(StoreStep::Accept, Some(Fault::Panics));
    let error = later.hand_in(job(1)).await.unwrap_err();
    let HandInError::Refused(Refused::Store(StoreError::Unanswered)) = error else {
        panic!("{error:?}");
    };
    let handle = later.hand_in(job(2)).await.unwrap().handle;
    assert_eq!(waiting.len(), 1);
    // The answer that was being committed is, and so are those that came meanwhile.
    store.set(StoreStep::Finish, Some(Fault::Panics));
    later.answered(handle, answer(200, "x"));
    let until = Instant::now() + 60 * SECOND;
    let record = later
        .fetch_finished(handle, Look::ForAnswer, until)
        .await
        .unwrap();
    assert_eq!(body(&record), b"x");
    // What is due expires all the same.
    store.set(StoreStep::Expire, Some(Fault::Panics));
    sleep(SETTINGS.keep + 2 * SECOND).await;
    assert_eq!(later.counts().total().expired_read, 1);
    later.end().await;
}

/// Panics for the first job.
#[derive(Default)]
struct Refusing(Waiting);

impl Lane for Refusing {
    fn submit(&self, route: &RouteName, job: Job, deadline: Instant) -> Box<dyn Withdraw> {
        assert_ne!(job.raw(), &b"{\"id\":0}"[..], "on purpose");
        self.0.submit(route, job, deadline)
    }
}

#[tokio::test(start_paused = true)]
async fn what_panics_in_the_lane_costs_no_other_its_place() {
    let later = Later::new(Arc::new(Memory::new(&SETTINGS)), SETTINGS, [observer()]);
    let waiting = Waiting::default();
    later.start(Arc::new(Refusing(waiting.clone())));
    let handing_in = [0, 1, 2].map(|id| {
        let later = later.clone();
        tokio::spawn(async move { later.hand_in(job(id)).await })
    });
    for handed_in in handing_in {
        handed_in.await.unwrap().unwrap();
    }
    assert_eq!((waiting.len(), later.counts().total().accepted), (2, 3));
}

/// A store may take its time, and what is kept for a moment is gone by then.
#[tokio::test(start_paused = true)]
async fn who_waits_has_the_answer_however_soon_it_expires() {
    let (later, _waiting, store) = faulty();
    for (look, deleted) in [
        (Look::ForAnswer, false),
        (Look::ForState, false),
        (Look::ForAnswer, true),
    ] {
        let handle = later.hand_in(job(1)).await.unwrap().handle;
        let waiting = tokio::spawn({
            let (later, until) = (later.clone(), Instant::now() + 600 * SECOND);
            async move { later.fetch_finished(handle, look, until).await }
        });
        tokio::task::yield_now().await;
        if deleted {
            later.delete(handle).await.unwrap();
            later.answered(handle, answer(200, "x"));
            assert_eq!(waiting.await.unwrap().unwrap_err(), FetchError::Unknown);
            continue;
        }
        store.set(StoreStep::Fetch, Some(Fault::Takes(SETTINGS.keep + SECOND)));
        later.answered(handle, answer(200, "x"));
        let record = waiting.await.unwrap().unwrap();
        store.set(StoreStep::Fetch, None);
        let gone = later.fetch(handle, Look::ForState).await.unwrap_err();
        assert_eq!(gone, FetchError::Unknown);
        assert_eq!((record.state, body(&record)), (State::Done, &b"x"[..]));
    }
}
