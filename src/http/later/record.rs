//! A record as an answer: that of its job, or how far it has come.

use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use tokio::time::Instant;

use super::super::answer_body::AnswerBody;
use super::super::context::Jobs;
use super::super::nosniff::nosniff;
use super::super::reply::respond;
use crate::job::Handle;
use crate::job_id::JobId;
use crate::later::record::Record;

const JOB_STATE: HeaderName = HeaderName::from_static("x-job-state");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The longest `Retry-After` of a record that is not finished, in seconds.
const LONGEST: u64 = 60;

/// What is told of a record that is not finished.
#[derive(Serialize)]
struct Document<'a> {
    handle: String,
    id: Option<&'a JobId>,
    state: &'static str,
    expires_at: String,
}

/// What a record comes to for whoever has posted its job.
pub(super) fn posted(record: &Record, jobs: &Jobs) -> Response<AnswerBody> {
    let mut answer = told(record, jobs);
    let headers = answer.headers_mut();
    if let Some(location) = location(record.handle) {
        headers.insert(LOCATION, location);
    }
    if record.answer.is_none() {
        let applied = HeaderValue::from_static("respond-async");
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    answer
}

/// What it comes to for whoever fetches it.
pub(super) fn fetched(record: &Record, jobs: &Jobs) -> Response<AnswerBody> {
    let mut answer = told(record, jobs);
    let state = HeaderValue::from_static(record.state.as_str());
    answer.headers_mut().insert(JOB_STATE, state);
    answer
}

/// The answer of its job, as a caller that waits had had it; else how far it has come.
fn told(record: &Record, jobs: &Jobs) -> Response<AnswerBody> {
    if let Some(answer) = &record.answer {
        let (headers, body) = (answer.headers(), answer.body().clone());
        return respond(answer.status(), headers, body, &jobs.buffered);
    }
    let expires_at = UNIX_EPOCH + Duration::from_millis(record.expires_at);
    let document = Document {
        handle: record.handle.to_string(),
        id: record.id.as_ref(),
        state: record.state.as_str(),
        expires_at: humantime::format_rfc3339_millis(expires_at).to_string(),
    };
    // A struct of strings and numbers always serializes.
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(RETRY_AFTER, HeaderValue::from(ask_again(record, jobs)));
    nosniff(&mut headers);
    respond(StatusCode::ACCEPTED, headers, body.into(), &jobs.buffered)
}

/// When it is worth asking again, in seconds. A long poll hears of it at once.
fn ask_again(record: &Record, jobs: &Jobs) -> u64 {
    let now = Instant::now();
    let route = jobs.routes.get(record.route.as_str());
    let held = match route.filter(|it| !it.circuit.is_closed()) {
        Some(route) => route.circuit.next_probe(now) - now,
        None => Duration::ZERO,
    };
    let later = jobs.later.as_ref();
    let company = later.map_or(Duration::ZERO, |it| it.settings().max_wait);
    seconds(company.max(held))
}

/// Rounded up, and not to be asked for in vain nor too late.
fn seconds(wait: Duration) -> u64 {
    let part = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(part).clamp(1, LONGEST)
}

fn location(handle: Handle) -> Option<HeaderValue> {
    // A handle is of characters that a header may hold.
    HeaderValue::try_from(format!("/jobs/{handle}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_ask_again() {
        for (wait, asked) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1), 1),
            (Duration::from_secs(1), 1),
            (Duration::from_millis(1001), 2),
            (Duration::from_secs(60), 60),
            (Duration::MAX, 60),
        ] {
            assert_eq!(seconds(wait), asked, "{wait:?}");
        }
    }
}
