//! A record as an answer: that of its job, or how far it has come.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use super::super::answer_body::AnswerBody;
use super::super::buffered::Buffered;
use super::super::nosniff::nosniff;
use super::super::reply::respond;
use crate::job::{Handle, JobId};
use crate::later::record::Record;

const JOB_STATE: HeaderName = HeaderName::from_static("x-job-state");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// `Retry-After` of a record that is not finished, in seconds: as long as a job for later
/// waits for company by default. A long poll hears of it at once.
const ASK_AGAIN: u64 = 1;

/// What is told of a record that is not finished.
#[derive(Serialize)]
struct Document<'a> {
    handle: String,
    id: &'a JobId,
    state: &'static str,
    expires_at: String,
}

/// What a record comes to for whoever has posted its job.
pub(super) fn posted(record: &Record, account: &Arc<Buffered>) -> Response<AnswerBody> {
    let mut answer = told(record, account);
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
pub(super) fn fetched(record: &Record, account: &Arc<Buffered>) -> Response<AnswerBody> {
    let mut answer = told(record, account);
    let state = HeaderValue::from_static(record.state.as_str());
    answer.headers_mut().insert(JOB_STATE, state);
    answer
}

/// The answer of its job, as a caller that waits had had it; else how far it has come.
fn told(record: &Record, account: &Arc<Buffered>) -> Response<AnswerBody> {
    if let Some(answer) = &record.answer {
        let (headers, body) = (answer.headers(), answer.body().clone());
        return respond(answer.status(), headers, body, account);
    }
    let expires_at = UNIX_EPOCH + Duration::from_millis(record.expires_at);
    let document = Document {
        handle: record.handle.to_string(),
        id: &record.id,
        state: record.state.as_str(),
        expires_at: humantime::format_rfc3339_millis(expires_at).to_string(),
    };
    // A struct of strings and numbers always serializes.
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(RETRY_AFTER, HeaderValue::from(ASK_AGAIN));
    nosniff(&mut headers);
    respond(StatusCode::ACCEPTED, headers, body.into(), account)
}

fn location(handle: Handle) -> Option<HeaderValue> {
    // A handle is of characters that a header may hold.
    HeaderValue::try_from(format!("/jobs/{handle}")).ok()
}
