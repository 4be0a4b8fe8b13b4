//! How often memory is asked for while a job is done, beside the least that a server
//! written with axum does.
//!
//! Callers and upstream are threads with buffers of their own, which ask for none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use microbatch::app::App;
use microbatch::batcher::{self, Batcher, Detached};
use microbatch::code::Code;
use microbatch::config::{self, Flags, NeedUpstream, Source};
use microbatch::engine::outcome::JobResult;
use microbatch::job::{Job, RouteName};
use microbatch::json::MAX_DEPTH;
use microbatch::later::answer::Answer;
use microbatch::later::memory::Memory;
use microbatch::later::{self, HandIn, Lane, Later, Withdraw};
use microbatch::observe::{Bounds, Observer};
use microbatch::shape::Shape;
use tokio::runtime::Builder;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// As many as a batch has jobs.
const CALLERS: usize = 64;
const ROUNDS: usize = 50;

#[test]
fn a_job_takes_no_memory_that_an_empty_server_does_not() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let floor = per_request(|address| {
        serve(async move || {
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            let router = Router::new().route("/jobs", post(echo));
            axum::serve(listener, router).await.unwrap();
        });
    });
    let upstream = upstream();
    let proxy = per_request(move |address| {
        serve(async move || {
            let env = [
                ("MICROBATCH_SERVER__LISTEN", address.to_string()),
                ("MICROBATCH_SERVER__THREADS", "1".to_owned()),
                ("MICROBATCH_ADMIN__LISTEN", String::new()),
                ("MICROBATCH_BATCH__MAX_SIZE", CALLERS.to_string()),
                ("MICROBATCH_BATCH__MAX_WAIT", "10s".to_owned()),
                (
                    "MICROBATCH_UPSTREAM__URL",
                    format!("http://{upstream}/batch"),
                ),
            ];
            let env = env.map(|(name, value)| (name.into(), value.into()));
            let loaded =
                config::load(&Flags::default(), env.into_iter(), NeedUpstream::Yes).unwrap();
            let source = Source {
                flags: Flags::default(),
                need: NeedUpstream::Yes,
            };
            let app = App::bind(loaded, source).await.unwrap();
            let report = app.run(std::future::pending()).await;
            report.log();
        });
    });
    println!("allocations: {proxy:.2} per job, {floor:.2} per request of the floor");
    assert!(floor > 1.0, "they are counted: {floor}");
    assert!(proxy <= floor, "{proxy:.2}, the floor {floor:.2}");
}

/// Bytes of a record, at rest: `cargo test --test allocations -- --ignored --nocapture`.
#[test]
#[ignore = "it measures, and has nothing to compare with"]
fn bytes_per_record() {
    const RECORDS: usize = 100_000;
    let _profiler = dhat::Profiler::builder().testing().build();
    let held = || dhat::HeapStats::get().curr_bytes as f64 / RECORDS as f64;
    let settings = later::Settings {
        max_jobs: RECORDS,
        max_bytes: usize::MAX,
        keep: Duration::from_secs(3600),
        job_timeout: Duration::from_secs(3600),
        max_wait: Duration::ZERO,
        max_attempts: 3,
    };
    let bounds = Bounds {
        max_size: 1,
        max_bytes: 1,
    };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(Memory::new(&settings));
        let later = Later::new(store, settings, [Arc::new(Observer::new(bounds))]);
        let process = |batch| async move { drop::<microbatch::engine::Batch>(batch) };
        let batcher = Batcher::with_batches(batcher::Settings::default(), process);
        batcher.hold_detached(Some(Instant::now() + Duration::from_secs(3600)));
        let lane = Arc::new(Held(batcher));
        later.start(lane.clone());
        let before = held();
        let mut handles = Vec::with_capacity(RECORDS);
        let empty = held();
        for id in 0..RECORDS {
            let job = hundred_bytes(id);
            let (stream, key) = (None, None);
            let record = later
                .hand_in(HandIn {
                    lane: None,
                    route: RouteName::jobs(),
                    job,
                    stream,
                    key,
                    frame: microbatch::later::backlog::NO_FRAME,
                })
                .await
                .unwrap();
            handles.push(record.handle);
        }
        let queued = held() - empty;
        println!("queued, in all: {queued:.0}, of which a job is 100");
        let headers: HeaderMap = HEADERS
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        let answer = |_| Answer::new(Code::Ok, StatusCode::OK, &headers, &vec![b'x'; 100].into());
        for (handle, answer) in handles.iter().map(|it| (*it, answer(it))) {
            later.answered(handle, answer);
        }
        later.end().await;
        let waiting = held();
        lane.0.close();
        lane.0.abandon();
        lane.0.vacated().await;
        let lane_held = waiting - held();
        let finished = held() - before;
        let handles = size_of::<microbatch::job::Handle>();
        println!(
            "of which the lane: {lane_held:.0}, the store and how to withdraw: {:.0}",
            queued - lane_held
        );
        let head: usize = HEADERS.iter().map(|it| it.0.len() + it.1.len() + 2).sum();
        println!(
            "finished: {:.0}, of which the body is 100 and the headers {head}",
            finished - handles as f64
        );
    });
}

const HEADERS: [(&str, &str); 5] = [
    ("content-type", "application/json"),
    ("x-batch-id", "01936b1c-7f2b-7c3e-9d3a-1f0c5e6a7b8c"),
    ("x-batch-size", "64"),
    ("x-queue-ms", "12.345"),
    ("x-upstream-ms", "123.456"),
];

/// A lane of which nothing leaves, and how its jobs are withdrawn.
struct Held(Batcher<Job, JobResult>);

struct Queued(Detached<Job, JobResult>);

impl Lane for Held {
    fn submit(&self, _route: &RouteName, job: Job, deadline: Instant) -> Box<dyn Withdraw> {
        let (id, handle) = (job.id().cloned(), job.handle());
        let options = microbatch::engine::options(Shape::jobs(), &job, deadline);
        // As much as a proxy's callback holds.
        let on_answer = move |_| drop((id, handle));
        let queued = self.0.submit_detached(job, options, Box::new(on_answer));
        Box::new(Queued(queued.ok().unwrap()))
    }
}

impl Withdraw for Queued {
    fn withdraw(&self) {
        self.0.withdraw();
    }
}

fn hundred_bytes(id: usize) -> Job {
    let job = format!("{{\"id\":\"{id:012}\",\"body\":\"{:0>69}\"}}", "");
    assert_eq!(job.len(), 100);
    Job::parse(Bytes::from(job), MAX_DEPTH).unwrap()
}

async fn echo(body: Bytes) -> impl IntoResponse {
    let job = Job::parse(body, MAX_DEPTH).unwrap();
    ([(CONTENT_TYPE, "application/json")], job.raw().clone())
}

/// Runs a server on a thread of its own, for as long as the process.
fn serve<F: Future<Output = ()>>(server: impl FnOnce() -> F + Send + 'static) {
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(server());
    });
}

/// How many pieces of memory each request takes once the server is warm.
fn per_request(start: impl FnOnce(SocketAddr)) -> f64 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    start(address);
    let connect = || TcpStream::connect(address).ok();
    let mut callers: Vec<TcpStream> = Vec::new();
    while callers.len() < CALLERS {
        callers.extend(connect());
    }
    let jobs: Vec<String> = (0..CALLERS).map(job).collect();
    for _ in 0..ROUNDS {
        round(&mut callers, &jobs);
    }
    let before = dhat::HeapStats::get().total_blocks;
    for _ in 0..ROUNDS {
        round(&mut callers, &jobs);
    }
    let after = dhat::HeapStats::get().total_blocks;
    (after - before) as f64 / (ROUNDS * CALLERS) as f64
}

fn job(id: usize) -> String {
    let job = format!(r#"{{"id":"{id}","body":"{}"}}"#, "x".repeat(60));
    format!(
        "POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{job}",
        job.len()
    )
}

fn round(callers: &mut [TcpStream], jobs: &[String]) {
    for (caller, job) in callers.iter_mut().zip(jobs) {
        caller.write_all(job.as_bytes()).unwrap();
    }
    let mut buffer = [0; 4096];
    for (caller, job) in callers.iter_mut().zip(jobs) {
        let answer = message(caller, &mut buffer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        let (body, id) = (job.rfind('{').unwrap(), answer.len());
        assert!(answer[..id].ends_with(&job.as_bytes()[body..]), "its own");
    }
}

/// An upstream that hands every batch back as its results.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = vec![0; 1 << 20];
                while let Some(request) = message(&mut stream, &mut buffer) {
                    let body = &request[head(request).unwrap()..];
                    let mut answer = [0; 128];
                    let mut rest = &mut answer[..];
                    let length = body.len();
                    write!(rest, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").unwrap();
                    let free = rest.len();
                    let filled = answer.len() - free;
                    stream.write_all(&answer[..filled]).unwrap();
                    stream.write_all(body).unwrap();
                }
            });
        }
    });
    address
}

/// Reads one message, head and body; `None` at the end.
fn message<'a>(stream: &mut TcpStream, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut filled = 0;
    loop {
        if let Some(head) = head(&buffer[..filled]) {
            let text = std::str::from_utf8(&buffer[..head]).unwrap();
            let length = text
                .split("\r\n")
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
            if filled >= head + length {
                return Some(&buffer[..head + length]);
            }
        }
        match stream.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => return None,
            Ok(read) => filled += read,
        }
    }
}

/// Where the head ends.
fn head(message: &[u8]) -> Option<usize> {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}
