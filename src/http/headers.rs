//! What a job's request says in its headers.
//!
//! They are looked through once, since each look-up by name costs a hash; only
//! what few requests have is then read by name.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};

use super::prefer::Preferences;
use crate::trace_context::TraceContext;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Of one request, without a hold on its head.
#[derive(Debug)]
pub(super) struct Headers {
    /// Whether its `Content-Type` is taken; else what is wrong with it.
    pub content_type: Result<(), &'static str>,
    /// The first `Content-Encoding` that says anything, if one does.
    pub encoding: Option<Box<str>>,
    /// Its `Content-Length`.
    pub length: Option<u64>,
    /// What it would have rather than not.
    pub preferences: Preferences,
    /// The caller's place in a trace, if it names one and that is valid.
    pub trace: Option<TraceContext>,
}

impl Headers {
    // Where a job is posted what is read is used at once, and need not be put down.
    #[inline(always)]
    pub fn of(all: &HeaderMap) -> Self {
        let (mut content_type, mut types, mut from_browser) = (None, 0, false);
        let (mut length, mut encoded, mut prefers, mut traced) = (None, false, false, false);
        for (name, value) in all {
            match name.as_str() {
                "content-type" => {
                    content_type = Some(value);
                    types += 1;
                }
                "content-length" => length = value.to_str().ok().and_then(|it| it.parse().ok()),
                "content-encoding" => encoded = true,
                "origin" => from_browser = true,
                "prefer" => prefers = true,
                "traceparent" => traced = true,
                _ => {}
            }
        }
        Self {
            content_type: match types {
                0 | 1 => check_content_type(content_type, from_browser),
                _ => Err("the request has more than one Content-Type; send application/json"),
            },
            encoding: encoded.then(|| encoding(all)).flatten(),
            length,
            preferences: match prefers {
                true => Preferences::of(all),
                false => Preferences::default(),
            },
            trace: traced.then(|| trace_context(all)).flatten(),
        }
    }
}

/// The longest name of an encoding that is repeated to its caller, in characters.
const LONGEST_ENCODING: usize = 32;

/// What the body is encoded with (RFC 9110, section 8.4), but for `identity`, which is
/// nothing.
fn encoding(all: &HeaderMap) -> Option<Box<str>> {
    let values = all.get_all(CONTENT_ENCODING).iter();
    let codings = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    let mut codings = codings.map(<[u8]>::trim_ascii);
    let coding = codings.find(|it| !it.is_empty() && !it.eq_ignore_ascii_case(b"identity"))?;
    let shown = coding.escape_ascii().to_string();
    Some(
        shown
            .chars()
            .take(LONGEST_ENCODING)
            .collect::<String>()
            .into(),
    )
}

/// `application/json`, any `+json`, none, or what a bare `curl -d` or `fetch` says;
/// but from a browser, which sends `Origin`, only a JSON type: all others it may send
/// to a stranger's server without asking first (Fetch, "CORS-safelisted
/// request-header").
fn check_content_type(
    content_type: Option<&HeaderValue>,
    from_browser: bool,
) -> Result<(), &'static str> {
    const USUAL: &[u8] = b"application/json";
    if content_type.is_some_and(|it| it.as_bytes() == USUAL) {
        return Ok(());
    }
    let essence = content_type.map(|it| {
        let it = it.as_bytes();
        let end = it.iter().position(|&byte| byte == b';').unwrap_or(it.len());
        it[..end].trim_ascii()
    });
    let is = |it: &[u8], wanted: &str| it.eq_ignore_ascii_case(wanted.as_bytes());
    match essence {
        Some(it) if is(it, "application/json") || is_plus_json(it) => Ok(()),
        _ if from_browser => {
            Err("a request with an Origin header must say Content-Type: application/json")
        }
        None => Ok(()),
        Some(it) if is(it, "application/x-www-form-urlencoded") || is(it, "text/plain") => Ok(()),
        Some(_) => Err("this Content-Type is not taken; send application/json"),
    }
}

/// The caller's place in a trace, if its headers name one and that is valid.
pub(super) fn trace_context(all: &HeaderMap) -> Option<TraceContext> {
    let mut parents = all.get_all(TRACEPARENT).iter();
    let context = TraceContext::parse(parents.next()?.to_str().ok()?)?;
    if parents.next().is_some() {
        return None;
    }
    // Several tracestate headers are one list (W3C Trace Context, 3.3.1.1).
    let states = all.get_all(TRACESTATE).iter();
    let states: Result<Vec<&str>, _> = states.map(|state| state.to_str()).collect();
    Some(match states {
        Ok(states) => context.with_state(&states.join(",")),
        Err(_) => context,
    })
}

/// A type and a subtype that ends in `+json` (RFC 6839).
fn is_plus_json(essence: &[u8]) -> bool {
    const SUFFIX: &[u8] = b"+json";
    let end = essence.len().saturating_sub(SUFFIX.len());
    essence[end..].eq_ignore_ascii_case(SUFFIX)
        && essence.iter().filter(|&&byte| byte == b'/').count() == 1
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
