//! A listener is told what there is, and holds no more of it than one event.

use std::task::Waker;

use axum::http::{HeaderMap, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::*;
use crate::batcher::{self, Batcher};
use crate::code::Code;
use crate::job::{Job, RouteName};
use crate::json::MAX_DEPTH;
use crate::later::answer::Answer;
use crate::later::memory::Memory;
use crate::later::{self, HandIn, Look, Settings, Withdraw};
use crate::observe::{Bounds, Observer};

/// Jobs that nobody does.
struct Nowhere;

impl later::Lane for Nowhere {
    fn submit(&self, _: &RouteName, _: Job, _: Instant) -> Box<dyn Withdraw> {
        Box::new(Nowhere)
    }
}

impl Withdraw for Nowhere {
    fn withdraw(&self) {}
}

fn later() -> Later {
    let settings = Settings {
        max_jobs: 100,
        max_bytes: 1_000_000,
        keep: Duration::from_secs(3600),
        job_timeout: Duration::from_secs(3600),
        max_wait: Duration::ZERO,
        max_attempts: 3,
    };
    let bounds = Bounds {
        max_size: 1,
        max_bytes: 1,
    };
    let observer = Arc::new(Observer::new(bounds));
    let later = Later::new(Arc::new(Memory::new(&settings)), settings, [observer]);
    later.start(Arc::new(Nowhere));
    later
}

fn name() -> StreamName {
    StreamName::new("s").unwrap()
}

/// A job of the stream that was answered with so many bytes.
async fn done(later: &Later, bytes: usize) {
    let job = Job::parse(Bytes::from_static(br#"{"id":1}"#), MAX_DEPTH).unwrap();
    let (stream, key) = (Some(name()), None);
    let record = later
        .hand_in(HandIn {
            lane: None,
            route: RouteName::jobs(),
            job,
            stream,
            key,
            frame: crate::later::backlog::NO_FRAME,
        })
        .await
        .unwrap();
    let body = Bytes::from("x".repeat(bytes));
    let answer = Answer::new(Code::Ok, StatusCode::OK, &HeaderMap::new(), &body);
    later.answered(record.handle, answer);
    let soon = Instant::now() + Duration::from_secs(1);
    let record = later
        .fetch_finished(record.handle, Look::ForAnswer, soon)
        .await
        .unwrap();
    assert!(record.state.is_finished());
}

async fn listen(later: &Later, format: Format, account: &Arc<Buffered>) -> EventsBody {
    let events = Events::begin(later, Owner::default(), name(), format, LastEventId::None);
    let events = events.await.unwrap();
    let batcher = Batcher::<(), ()>::with_batches(batcher::Settings::default(), async |_| ());
    EventsBody::new(events, account, vec![batcher.source().occupied()])
}

async fn frame(body: &mut EventsBody) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test(start_paused = true)]
async fn where_nothing_happens_something_is_said() {
    let (later, account) = (later(), Buffered::new(usize::MAX, 1));
    for (format, comment) in [(Format::ServerSentEvents, ":\n\n"), (Format::NdJson, "\n")] {
        let mut body = listen(&later, format, &account).await;
        let start = Instant::now();
        for n in 1..=3 {
            assert_eq!(frame(&mut body).await, comment);
            assert_eq!(start.elapsed().as_secs(), 15 * n);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_holds_one_event_until_the_connection_has_taken_it() {
    let (later, account) = (later(), Buffered::new(usize::MAX, 1));
    for bytes in [100, 40_000, 10] {
        done(&later, bytes).await;
    }
    let mut body = listen(&later, Format::NdJson, &account).await;
    assert_eq!(account.bytes(), 0);
    for bytes in [100, 40_000, 10] {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.extend(frame(&mut body).await);
            let left = account.bytes();
            assert!((1..bytes + 200).contains(&left), "{left} of {bytes}");
        }
        assert!(line.len() > bytes);
    }
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
    assert_eq!(account.bytes(), 0);
    done(&later, 7).await;
    frame(&mut body).await;
    assert!(account.bytes() > 0);
    drop(body);
    assert_eq!(account.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_ends_after_the_last_answers() {
    let (later, account) = (later(), Buffered::new(usize::MAX, 1));
    let mut body = listen(&later, Format::ServerSentEvents, &account).await;
    done(&later, 1).await;
    later.end().await;
    let event = frame(&mut body).await;
    assert!(event.starts_with(b"id: "), "{event:?}");
    assert!(body.frame().await.is_none());
    assert!(body.frame().await.is_none());
    assert_eq!(account.bytes(), 0);
}
