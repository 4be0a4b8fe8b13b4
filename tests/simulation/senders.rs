//! Those who hand jobs in for later: they come back for the answer, or for an earlier one,
//! delete it, or never come.

use std::time::Duration;

use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use microbatch::job::Handle;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::callers::{Answers, body, draw_job, judge};
use crate::door::Door;
use crate::ledger::Ledger;
use crate::upstream::Oracle;

/// What they can be told.
pub const REPLIES: &[&str] = &[
    "accepted",
    "answered at once",
    "came again",
    "deleted",
    "fetched",
    "gave up",
    "idempotency-key-reused",
    "job-unknown",
    "left",
    "shutting-down",
    "store-full",
    "store-unavailable",
];

/// What they see too where the proxy is killed.
pub const CUT_OFF: &str = "cut off";

/// The streams there are.
pub const STREAMS: &[&str] = &["a", "b"];

/// How all of them are.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    pub jobs: u64,
    /// Time between one and the next, in milliseconds at most.
    pub thinks: u64,
    pub deletes: f64,
    pub idempotent: bool,
}

/// One of them: job after job.
pub struct Sender {
    pub door: Door,
    pub oracle: Oracle,
    pub ledger: Ledger,
    pub habits: Habits,
    pub rng: StdRng,
    pub seen: Answers,
}

/// A job that is handed in.
struct Posted {
    uri: String,
    key: Option<String>,
    wait: bool,
    id: Value,
    secret: String,
}

impl Sender {
    pub fn new(door: Door, oracle: Oracle, ledger: Ledger, habits: Habits, seed: u64) -> Self {
        Self {
            door,
            oracle,
            ledger,
            habits,
            rng: StdRng::seed_from_u64(seed),
            seen: Answers::new(),
        }
    }

    pub async fn run(mut self) -> Answers {
        for _ in 0..self.habits.jobs {
            self.dawdle(self.habits.thinks).await;
            let mut job = self.draw();
            if self.rng.random_bool(0.1) {
                // It is handed in all the same, or not at all; only with a key is it known
                // which.
                let patience = Duration::from_millis(self.rng.random_range(0..10));
                let left = timeout(patience, self.post(&job)).await.is_err();
                if left {
                    self.saw("left");
                }
                if job.key.is_none() {
                    continue;
                }
            }
            let mut handle = self.hand_in(&job).await;
            if job.key.is_some() && self.rng.random() {
                self.dawdle(10).await;
                let again = self.hand_in(&job).await;
                if let (Some(first), Some(again)) = (handle, again) {
                    assert_eq!(first, again, "the same request is another record");
                    self.saw("came again");
                }
                handle = handle.or(again);
                (job.id, job.secret) = draw_job(&mut self.rng);
                if handle.is_some() {
                    let other = self.hand_in(&job).await;
                    assert_eq!(other, None, "taken under the key of another");
                }
            }
            if let Some(handle) = handle {
                self.come_back(handle).await;
            }
        }
        self.seen
    }

    /// A job, and how it is handed in.
    fn draw(&mut self) -> Posted {
        let rng = &mut self.rng;
        let (id, secret) = draw_job(rng);
        Posted {
            uri: match rng.random_range(0..=STREAMS.len()) {
                at if at < STREAMS.len() => format!("/jobs?stream={}", STREAMS[at]),
                _ => "/jobs".to_owned(),
            },
            key: rng.random_bool(0.4).then(|| secret.clone()),
            wait: rng.random_bool(0.2),
            id,
            secret,
        }
    }

    /// Whoever has a key asks until there is an answer: once is not known to be enough where
    /// the process dies meanwhile.
    async fn post(&mut self, job: &Posted) -> Option<(Parts, Bytes)> {
        loop {
            let request = Request::post(&job.uri).header("host", "localhost");
            let prefer = match job.wait {
                true => "respond-async, wait=1",
                false => "respond-async",
            };
            let mut request = request.header("prefer", prefer);
            if let Some(key) = &job.key {
                request = request.header("idempotency-key", key);
            }
            let request = request.body(Body::from(body(&job.id, &job.secret)));
            let front = self.door.any(&mut self.rng).await;
            let answer = front.ask(request.unwrap()).await;
            if answer.is_some() || job.key.is_none() {
                return answer;
            }
            self.saw(CUT_OFF);
        }
    }

    /// The record, if there is one.
    async fn hand_in(&mut self, job: &Posted) -> Option<Handle> {
        let Some((head, body)) = self.post(job).await else {
            self.saw(CUT_OFF);
            return None;
        };
        let Some(location) = head.headers.get("location") else {
            self.refused(&head, &body);
            return None;
        };
        let handle = location.to_str().unwrap().strip_prefix("/jobs/").unwrap();
        let handle: Handle = handle.parse().unwrap();
        let secret = self.ledger.with(handle, |entry| entry.secret.clone());
        assert_eq!(secret, job.secret, "another's record");
        self.told(handle, &head, &body, "answered at once");
        Some(handle)
    }

    /// Whether it is finished; what it is told is true of this record.
    fn told(&mut self, handle: Handle, head: &Parts, body: &[u8], finished: &'static str) -> bool {
        let (id, secret) = self
            .ledger
            .with(handle, |entry| (entry.id.clone(), entry.secret.clone()));
        let is_finished = head.status != StatusCode::ACCEPTED;
        if is_finished {
            let truth = (&id, secret.as_str(), &self.oracle);
            judge(
                (head.status, &head.headers, body),
                truth,
                self.habits.idempotent,
            );
            self.ledger.told(handle, head.status.as_u16(), body);
            self.saw(finished);
        } else {
            let document: Value = serde_json::from_slice(body).unwrap();
            assert_eq!(document["id"], id);
            assert_eq!(document["handle"], handle.to_string());
            assert!(["queued", "sent"].contains(&document["state"].as_str().unwrap()));
            self.saw("accepted");
        }
        is_finished
    }

    async fn come_back(&mut self, handle: Handle) {
        if self.rng.random_bool(self.habits.deletes) {
            self.dawdle(200).await;
            self.delete(handle).await;
        } else if self.rng.random() {
            // A long poll, and once it has what it came for it may say so.
            if self.poll(handle).await && self.rng.random() {
                self.delete(handle).await;
            }
        }
    }

    /// Whether there was an answer.
    async fn poll(&mut self, handle: Handle) -> bool {
        for _ in 0..3 {
            let (head, body) = self.ask(Method::GET, handle).await;
            match head.headers.get("x-job-state") {
                None => {
                    self.refused(&head, &body);
                    return false;
                }
                Some(_) if self.told(handle, &head, &body, "fetched") => return true,
                Some(_) => {}
            }
        }
        self.saw("gave up");
        false
    }

    async fn delete(&mut self, handle: Handle) {
        let (head, body) = self.ask(Method::DELETE, handle).await;
        match head.status {
            StatusCode::NO_CONTENT => self.saw("deleted"),
            _ => self.refused(&head, &body),
        }
    }

    async fn ask(&mut self, method: Method, handle: Handle) -> (Parts, Bytes) {
        loop {
            let request = Request::builder().method(method.clone());
            let request = request.uri(format!("/jobs/{handle}"));
            let request = request
                .header("host", "localhost")
                .header("prefer", "wait=1");
            let request = request.body(Body::empty()).unwrap();
            let front = self.door.any(&mut self.rng).await;
            if let Some(answer) = front.ask(request).await {
                return answer;
            }
            self.saw(CUT_OFF);
        }
    }

    fn refused(&mut self, head: &Parts, body: &[u8]) {
        let json: Value = serde_json::from_slice(body).expect("a problem");
        assert_eq!(json["status"], head.status.as_u16());
        let code = json["code"].as_str().unwrap();
        let known = REPLIES.iter().find(|known| **known == code);
        self.saw(known.unwrap_or_else(|| panic!("{json}")));
    }

    async fn dawdle(&mut self, most: u64) {
        sleep(Duration::from_millis(self.rng.random_range(0..=most))).await;
    }

    fn saw(&mut self, reply: &'static str) {
        *self.seen.entry(reply).or_default() += 1;
    }
}
