//! What is asked of the proxy, and how its answers are understood.
//!
//! A request is made again until it has an answer that says something of its job: while the
//! proxy is away, and while it has no room. That is harmless, since a job is handed in with
//! an idempotency key. How many requests there are at once is bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::handle::Handle;
use super::outcome::Outcome;
use crate::ask::{Reach, body_up_to, root_cause};
use crate::resilience::backoff::Backoff;

/// The longest that the proxy may say nothing; it says something every 15 s to who listens.
const SILENCE: Duration = Duration::from_secs(60);

/// The longest that connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Pauses before a request is made again.
pub const PAUSES: Backoff = Backoff {
    base: Duration::from_millis(50),
    cap: Duration::from_secs(5),
};

/// The longest `Retry-After` that is heeded.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The code of a refusal that ends when a record is removed.
const STORE_FULL: &str = "store-full";

/// How often an acknowledgement is tried: without one the record expires by itself.
const ACKNOWLEDGEMENTS: u32 = 5;

/// The longest answer, and the longest line of a stream.
pub const LONGEST: usize = 64 << 20;

/// An answer is longer than [`LONGEST`]. It stays where it is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{url}: the answer has more than 64 MiB; fetch it there, and leave its job out")]
pub struct TooLong {
    /// Where it is.
    pub url: String,
}

/// What came of handing a job in.
#[derive(Clone, Debug)]
pub enum HandedIn {
    /// It is accepted; its result comes later.
    Accepted(Handle),
    /// Its result is there; the handle, where it is kept.
    Finished(Option<Handle>, Outcome),
    /// The store has no room for it; when the proxy wants to be asked again.
    NoRoom(Option<Duration>),
}

/// What a record says of its job.
#[derive(Clone, Debug)]
pub enum Look {
    /// It is not finished.
    Unfinished,
    /// It is.
    Finished(Outcome),
    /// There is no record of it.
    Gone,
}

/// Speaks to one proxy. Clones are the same.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    run: Arc<str>,
    /// How many records may be read or removed at once.
    permits: Arc<Semaphore>,
    trouble: watch::Sender<Option<String>>,
}

/// The parts of a problem that say whether to try again.
#[derive(Default, Deserialize)]
struct Problem {
    code: Option<String>,
    retryable: Option<bool>,
}

impl Client {
    /// Speaks to the proxy that is reached so, for this run, by at most so many requests at once
    /// that read and remove records.
    ///
    /// # Errors
    /// Where there can be no HTTP client.
    pub fn new(reach: Reach, run: &str, requests: usize) -> Result<Self, reqwest::Error> {
        let http = reach.client.redirect(Policy::none());
        let http = http.connect_timeout(CONNECT);
        Ok(Self {
            http: http.read_timeout(SILENCE).build()?,
            base: reach.base.into(),
            run: run.into(),
            permits: Arc::new(Semaphore::new(requests)),
            trouble: watch::Sender::new(None),
        })
    }

    /// What it waits for, while something is in the way.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Asks for this run's results as they come, those that are there first.
    ///
    /// # Errors
    /// Where nobody answers.
    pub async fn listen(&self) -> Result<Response, reqwest::Error> {
        let url = self.url(&format!("/streams/{}", stream(&self.run)));
        let request = self.http.get(url).header(ACCEPT, "application/x-ndjson");
        request.send().await
    }

    /// Hands a line of the input in, as often as it takes.
    ///
    /// # Errors
    /// The answer is too long.
    pub async fn hand_in(&self, line: u64, job: Bytes) -> Result<HandedIn, TooLong> {
        let url = self.url(&format!("/jobs?stream={}", stream(&self.run)));
        let mut failed = 0;
        loop {
            failed += 1;
            let request = self.http.post(&url).body(job.clone());
            let request = request
                .header(CONTENT_TYPE, "application/json")
                .header("prefer", "respond-async")
                .header("idempotency-key", format!("\"{}.{line}\"", self.run));
            let answer = self.read(request.send().await).await?;
            let understood = answer.and_then(|(status, headers, body)| {
                handed_in(status, &headers, &body).map_err(|why| (why, retry_after(&headers)))
            });
            if let Some(handed_in) = self.or_pause(failed, understood).await {
                if matches!(handed_in, HandedIn::NoRoom(_)) {
                    self.trouble.send_replace(Some(STORE_FULL.to_owned()));
                }
                return Ok(handed_in);
            }
        }
    }

    /// Reads a record, as often as it takes.
    ///
    /// # Errors
    /// The answer is too long.
    pub async fn look(&self, handle: &Handle) -> Result<Look, TooLong> {
        let _permit = self.permits.acquire().await;
        let mut failed = 0;
        loop {
            failed += 1;
            let answer = self.at(Method::GET, handle).await?;
            let understood = answer.and_then(|(status, headers, body)| {
                look(status, &headers, &body).map_err(|why| (why, retry_after(&headers)))
            });
            if let Some(look) = self.or_pause(failed, understood).await {
                return Ok(look);
            }
        }
    }

    /// Removes a record whose result is kept elsewhere; whether there is none any more.
    ///
    /// # Errors
    /// The answer is too long.
    pub async fn acknowledge(&self, handle: &Handle) -> Result<bool, TooLong> {
        let _permit = self.permits.acquire().await;
        for failed in 1..=ACKNOWLEDGEMENTS {
            let answer = self.at(Method::DELETE, handle).await?;
            let understood = answer.and_then(|(status, headers, _)| match status {
                StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(()),
                status => Err((status.to_string(), retry_after(&headers))),
            });
            if self.or_pause(failed, understood).await.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn at(&self, method: Method, handle: &Handle) -> Result<Read, TooLong> {
        let url = self.url(&format!("/jobs/{handle}"));
        self.read(self.http.request(method, url).send().await).await
    }

    async fn read(&self, answer: Result<Response, reqwest::Error>) -> Result<Read, TooLong> {
        let failed = |error: reqwest::Error| Err((root_cause(&error), None));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(failed(error)),
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let url = match handle(&headers) {
            Some(handle) => self.url(&format!("/jobs/{handle}")),
            None => answer.url().to_string(),
        };
        match body_up_to(LONGEST, answer).await {
            Ok(Some(body)) => Ok(Ok((status, headers, body.into()))),
            Ok(None) => Err(TooLong { url }),
            Err(error) => Ok(failed(error)),
        }
    }

    /// The answer; or the reason to ask again is noted, and a pause made.
    async fn or_pause<T>(&self, failed: u32, answer: Result<T, Refusal>) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.trouble.send_if_modified(|it| it.take().is_some());
                Some(answer)
            }
            Err((why, retry_after)) => {
                self.trouble.send_replace(Some(why));
                sleep(PAUSES.pause(failed, retry_after, fastrand::f64())).await;
                None
            }
        }
    }
}

/// An answer, whole.
type Answer = (StatusCode, HeaderMap, Bytes);

/// Why a request is to be made again, and the `Retry-After` that came with it.
type Refusal = (String, Option<Duration>);

/// An answer, or why there is none.
type Read = Result<Answer, Refusal>;

/// The name of a run's stream.
fn stream(run: &str) -> String {
    format!("submit.{run}")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, RETRY_AFTER.as_str())?.trim().parse();
    Some(Duration::from_secs(seconds.ok()?).min(LONGEST_PAUSE))
}

/// The handle in a `Location`.
fn handle(headers: &HeaderMap) -> Option<Handle> {
    let (_, handle) = text(headers, LOCATION.as_str())?.rsplit_once("/jobs/")?;
    handle.parse().ok()
}

/// Whether it says that another time is better.
pub fn is_busy(status: StatusCode) -> bool {
    [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ]
    .contains(&status)
}

/// What an answer says of a job that was handed in, or why to hand it in again. An answer
/// that is kept has a `Location`, whatever its status: it is the job's. Without one it is the
/// job's only where the proxy says so: a 408, 429 or 503 is the proxy's, unless it says that
/// another time is of no use, and any other 5xx that is no problem of its own comes from
/// something before it. The key makes it harmless to hand the job in again.
fn handed_in(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Result<HandedIn, String> {
    let handle = handle(headers);
    if status == StatusCode::ACCEPTED
        && let Some(handle) = handle
    {
        return Ok(HandedIn::Accepted(handle));
    }
    if handle.is_none() {
        let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
        if problem.code.as_deref() == Some(STORE_FULL) {
            return Ok(HandedIn::NoRoom(retry_after(headers)));
        }
        let is_of_another = problem.code.is_none() && status.is_server_error();
        let is_for_now = is_busy(status) || is_of_another;
        let is_too_slow = status == StatusCode::REQUEST_TIMEOUT;
        // It is not about the job, and may be mended meanwhile: tokens are read again.
        let is_locked_out = status == StatusCode::UNAUTHORIZED;
        if is_too_slow || is_locked_out || is_for_now && problem.retryable != Some(false) {
            return Err(problem.code.unwrap_or_else(|| status.to_string()));
        }
    }
    Ok(HandedIn::Finished(handle, outcome(status, headers, body)))
}

fn outcome(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Outcome {
    let content_type = text(headers, CONTENT_TYPE.as_str());
    Outcome::new(status.as_u16(), content_type, body)
}

/// What an answer says of a record, or why to ask again.
fn look(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Result<Look, String> {
    match text(headers, "x-job-state") {
        Some("done" | "failed") => Ok(Look::Finished(outcome(status, headers, body))),
        Some(_) => Ok(Look::Unfinished),
        None if status == StatusCode::NOT_FOUND => Ok(Look::Gone),
        None => Err(status.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|&(name, value)| {
            let name = reqwest::header::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        pairs.collect()
    }

    #[test]
    fn what_an_answer_says_of_a_job_that_was_handed_in() {
        let at = ("location", "/jobs/0aZ-_");
        for (status, given, body, expected) in [
            (202, vec![at], "{}", "accepted 0aZ-_"),
            (200, vec![at], "{}", "0aZ-_ 200"),
            (503, vec![at], r#"{"retryable":true}"#, "0aZ-_ 503"),
            (
                503,
                vec![],
                r#"{"code":"store-full","retryable":true}"#,
                "no room",
            ),
            (
                503,
                vec![],
                r#"{"code":"queue-full","retryable":true}"#,
                "again: queue-full",
            ),
            (503, vec![], "<p>busy", "again: 503 Service Unavailable"),
            (429, vec![], "", "again: 429 Too Many Requests"),
            (
                401,
                vec![],
                r#"{"code":"unauthorized","retryable":false}"#,
                "again: unauthorized",
            ),
            (
                408,
                vec![],
                r#"{"code":"read-timeout","retryable":false}"#,
                "again: read-timeout",
            ),
            (502, vec![], "<p>restarting", "again: 502 Bad Gateway"),
            (504, vec![], "", "again: 504 Gateway Timeout"),
            (
                502,
                vec![],
                r#"{"code":"upstream-error","retryable":false}"#,
                "- 502",
            ),
            (504, vec![at], "", "0aZ-_ 504"),
            // Where nothing is kept, the answer is the job's all the same.
            (503, vec![], r#"{"retryable":false}"#, "- 503"),
            (200, vec![], "{}", "- 200"),
            (422, vec![], r#"{"retryable":false}"#, "- 422"),
            // A handle that is none is no part of a path.
            (202, vec![("location", "/jobs/../x")], "{}", "- 202"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let body = Bytes::from_static(body.as_bytes());
            let said = match handed_in(status, &headers(&given), &body) {
                Ok(HandedIn::Accepted(handle)) => format!("accepted {handle}"),
                Ok(HandedIn::Finished(handle, it)) => {
                    let handle = handle.map_or("-".to_owned(), |it| it.to_string());
                    format!("{handle} {}", it.status)
                }
                Ok(HandedIn::NoRoom(None)) => "no room".to_owned(),
                Ok(HandedIn::NoRoom(Some(pause))) => format!("no room for {pause:?}"),
                Err(why) => format!("again: {why}"),
            };
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn what_an_answer_says_of_a_record() {
        let state = |it| vec![("x-job-state", it)];
        for (status, given, expected) in [
            (202, state("queued"), "unfinished"),
            (202, state("sent"), "unfinished"),
            (200, state("done"), "200"),
            (404, state("failed"), "404"),
            (404, vec![], "gone"),
            (503, vec![], "again"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let said = match look(status, &headers(&given), &Bytes::new()) {
                Ok(Look::Finished(it)) => it.status.to_string(),
                Ok(Look::Unfinished) => "unfinished".to_owned(),
                Ok(Look::Gone) => "gone".to_owned(),
                Err(_) => "again".to_owned(),
            };
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn seconds_alone_are_heeded() {
        for (given, expected) in [("7", Some(7)), ("soon", None)] {
            let headers = headers(&[("retry-after", given)]);
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs));
        }
    }
}
