//! Jobs, answers and streams as section 11 of the contract has them, in the story's process
//! and as unkind as a story wants: what a client of the resource has to live with.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body::Frame;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How often, of a hundred times, each unkindness happens.
#[derive(Clone, Copy, Default)]
pub struct Unkind {
    /// A request is refused for now.
    pub refuses: u32,
    /// A request is done, and its answer is lost.
    pub loses_answers: u32,
    /// A stream breaks after a line.
    pub breaks_streams: u32,
    /// A stream leaves a line out, and tells a gap.
    pub leaves_gaps: u32,
    /// An accepted job is forgotten, as by a proxy that was started anew.
    pub forgets: u32,
}

/// One that runs until it is dropped.
pub struct Resource {
    pub addr: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Drop for Resource {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct Shared {
    records: Arc<Mutex<Records>>,
    /// How many answers there are: it changes with each.
    finished: watch::Sender<u64>,
    unkind: Unkind,
}

struct Records {
    chance: StdRng,
    by_handle: HashMap<String, Record>,
    by_key: HashMap<String, String>,
    /// The handles of finished records.
    order: BTreeMap<u64, String>,
    made: u64,
    /// How often each job was done.
    done: HashMap<String, u32>,
    forgotten: u64,
}

struct Record {
    key: String,
    stream: String,
    job: Value,
    is_finished: bool,
}

impl Resource {
    pub async fn start(seed: u64, unkind: Unkind) -> Self {
        let shared = Shared {
            records: Arc::new(Mutex::new(Records {
                chance: StdRng::seed_from_u64(seed),
                by_handle: HashMap::new(),
                by_key: HashMap::new(),
                order: BTreeMap::new(),
                made: 0,
                done: HashMap::new(),
                forgotten: 0,
            })),
            finished: watch::Sender::new(0),
            unkind,
        };
        let router = Router::new()
            .route("/jobs", post(hand_in))
            .route("/jobs/{handle}", get(fetch).delete(delete))
            .route("/streams/{name}", get(listen))
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            addr,
            shared,
            server,
        }
    }

    /// How often each job was done, by its id.
    pub fn done(&self) -> HashMap<String, u32> {
        self.shared.records.lock().unwrap().done.clone()
    }

    /// How many jobs were forgotten.
    pub fn forgotten(&self) -> u64 {
        self.shared.records.lock().unwrap().forgotten
    }

    /// How many records there are.
    pub fn records(&self) -> usize {
        self.shared.records.lock().unwrap().by_handle.len()
    }
}

impl Records {
    fn happens(&mut self, percent: u32) -> bool {
        self.chance.random_range(0..100) < percent
    }

    fn document(&self, handle: &str) -> Value {
        let record = &self.by_handle[handle];
        let id = &record.job["id"];
        // Every seventh job fails.
        let fails = id.as_u64().is_some_and(|id| id % 7 == 0);
        let (status, body) = match fails {
            true => (502, json!({ "code": "result-missing", "id": id })),
            false => (200, json!({ "id": id, "result": record.job["body"] })),
        };
        json!({ "handle": handle, "id": id, "status": status, "body": body })
    }

    /// The answer to whoever asks for a record.
    fn answer(&self, handle: &str) -> Response {
        let at = [("location", format!("/jobs/{handle}"))];
        if !self.by_handle[handle].is_finished {
            let said = json!({ "handle": handle }).to_string();
            return (StatusCode::ACCEPTED, at, [("x-job-state", "queued")], said).into_response();
        }
        let document = self.document(handle);
        let status = StatusCode::from_u16(document["status"].as_u64().unwrap() as u16).unwrap();
        let state = if status.is_success() {
            "done"
        } else {
            "failed"
        };
        let body = document["body"].to_string();
        let json = ("content-type", "application/json");
        (status, at, [("x-job-state", state), json], body).into_response()
    }
}

impl Shared {
    /// A refusal, where it is time for one.
    fn refusal(&self) -> Option<Response> {
        let refuses = self.records.lock().unwrap().happens(self.unkind.refuses);
        let said = json!({ "code": "queue-full", "retryable": true }).to_string();
        let status = StatusCode::SERVICE_UNAVAILABLE;
        refuses.then(|| (status, [("retry-after", "0")], said).into_response())
    }

    /// The answer, or as much of it as arrives.
    fn or_lost(&self, answer: Response) -> Response {
        let loses = self.unkind.loses_answers;
        if !self.records.lock().unwrap().happens(loses) {
            return answer;
        }
        let (head, _) = answer.into_parts();
        let (sender, receiver) = mpsc::channel(1);
        sender
            .try_send(Err(io::ErrorKind::ConnectionReset.into()))
            .unwrap();
        Response::from_parts(head, Body::new(Pieces(receiver)))
    }

    async fn work(self, handle: String) {
        let pause = self.records.lock().unwrap().chance.random_range(0..20);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let mut records = self.records.lock().unwrap();
        if records.happens(self.unkind.forgets) {
            let record = records.by_handle.remove(&handle).unwrap();
            records.by_key.remove(&record.key);
            records.forgotten += 1;
            return;
        }
        let record = records.by_handle.get_mut(&handle).unwrap();
        record.is_finished = true;
        let id = record.job["id"].to_string();
        *records.done.entry(id).or_default() += 1;
        // A position is never used twice.
        let position = *self.finished.borrow() + 1;
        records.order.insert(position, handle);
        self.finished.send_replace(position);
    }
}

async fn hand_in(
    State(shared): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = shared.refusal() {
        return refusal;
    }
    let Ok(job) = serde_json::from_slice::<Value>(&body) else {
        let said = json!({ "code": "malformed-json", "retryable": false }).to_string();
        let json = [("content-type", "application/problem+json")];
        return (StatusCode::BAD_REQUEST, json, said).into_response();
    };
    assert_eq!(headers["prefer"], "respond-async");
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let stream = uri.query().and_then(|it| it.strip_prefix("stream="));
    let stream = stream.expect("a stream").to_owned();
    let answer = {
        let mut records = shared.records.lock().unwrap();
        let known = records.by_key.get(&key).cloned();
        let handle = known.unwrap_or_else(|| {
            records.made += 1;
            let handle = format!("h-{}", records.made);
            records.by_key.insert(key.clone(), handle.clone());
            let record = Record {
                key,
                stream,
                job: job.clone(),
                is_finished: false,
            };
            records.by_handle.insert(handle.clone(), record);
            tokio::spawn(shared.clone().work(handle.clone()));
            handle
        });
        assert_eq!(records.by_handle[&handle].job, job, "the key is another's");
        records.answer(&handle)
    };
    shared.or_lost(answer)
}

async fn fetch(State(shared): State<Shared>, Path(handle): Path<String>) -> Response {
    if let Some(refusal) = shared.refusal() {
        return refusal;
    }
    let answer = {
        let records = shared.records.lock().unwrap();
        match records.by_handle.contains_key(&handle) {
            true => records.answer(&handle),
            false => StatusCode::NOT_FOUND.into_response(),
        }
    };
    shared.or_lost(answer)
}

async fn delete(State(shared): State<Shared>, Path(handle): Path<String>) -> Response {
    if let Some(refusal) = shared.refusal() {
        return refusal;
    }
    let status = {
        let mut records = shared.records.lock().unwrap();
        records.order.retain(|_, it| *it != handle);
        match records.by_handle.remove(&handle) {
            Some(record) => {
                assert!(
                    record.is_finished,
                    "{handle} was deleted before it was finished"
                );
                records.by_key.remove(&record.key);
                StatusCode::NO_CONTENT
            }
            None => StatusCode::NOT_FOUND,
        }
    };
    shared.or_lost(status.into_response())
}

async fn listen(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    if let Some(refusal) = shared.refusal() {
        return refusal;
    }
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let (mut after, mut finished) = (0, shared.finished.subscribe());
        loop {
            finished.borrow_and_update();
            let lines: Vec<_> = {
                let mut records = shared.records.lock().unwrap();
                let due: Vec<_> = records.order.range(after + 1..).collect();
                let due = due.into_iter().map(|(at, handle)| (*at, handle.clone()));
                let due: Vec<_> = due.collect();
                after = due.last().map_or(after, |(at, _)| *at);
                let due = due.into_iter().map(|(_, handle)| handle);
                let own = due.filter(|it| records.by_handle[it].stream == name);
                let own: Vec<_> = own.collect();
                let gap = |_: &mut Records| json!({ "event": "gap" });
                let line = |handle: String| match records.happens(shared.unkind.leaves_gaps) {
                    true => gap(&mut records),
                    false => records.document(&handle),
                };
                own.into_iter().map(line).collect()
            };
            for line in lines {
                let text = Bytes::from(format!("{line}\n\n"));
                if sender.send(Ok(text)).await.is_err() {
                    return;
                }
                let breaks = shared.unkind.breaks_streams;
                if shared.records.lock().unwrap().happens(breaks) {
                    let _ = sender
                        .send(Err(io::ErrorKind::ConnectionReset.into()))
                        .await;
                    return;
                }
            }
            if finished.changed().await.is_err() {
                return;
            }
        }
    });
    Response::new(Body::new(Pieces(receiver)))
}

/// A body that comes in pieces, and may break.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = self.0.poll_recv(cx);
        piece.map(|piece| piece.map(|bytes| bytes.map(Frame::data)))
    }
}
