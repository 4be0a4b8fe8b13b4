//! The headers of a request: what every one says, and what one batch does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use percent_encoding::percent_decode_str;
use url::Url;

use super::call::Outgoing;
use super::response::BATCH_ID;

const BATCH_SIZE: HeaderName = HeaderName::from_static("x-batch-size");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What every request says. Given headers win over the proxy's own, but for the
/// type of what it sends.
pub(super) fn of_every_request(url: &Url, given: HeaderMap) -> HeaderMap {
    let agent = concat!("microbatch/", env!("CARGO_PKG_VERSION"));
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    if let Some(credentials) = credentials(url) {
        headers.insert(AUTHORIZATION, credentials);
    }
    for name in given.keys() {
        headers.remove(name);
    }
    headers.extend(given);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

/// The URL's user information as a header (RFC 7617).
pub fn credentials(url: &Url) -> Option<HeaderValue> {
    let (user, password) = (url.username(), url.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(user).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(password.unwrap_or_default()));
    let text = format!("Basic {}", STANDARD.encode(pair));
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What the request says of its batch.
pub(super) fn add_batch(headers: &mut HeaderMap, batch: &Outgoing<'_>) {
    headers.insert(BATCH_ID, batch.batch_id.clone());
    headers.insert(BATCH_SIZE, batch.batch_size.clone());
    if let Some(content_type) = batch.content_type {
        headers.insert(CONTENT_TYPE, content_type.clone());
    }
    for (name, value) in batch.headers {
        // What the settings say is not for callers to change.
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if let Some(trace) = batch.trace {
        let parent = HeaderValue::try_from(trace.to_string());
        headers.extend(parent.map(|parent| (TRACEPARENT, parent)));
        let state = trace.state().map(HeaderValue::try_from);
        headers.extend(state.and_then(Result::ok).map(|state| (TRACESTATE, state)));
    }
}
