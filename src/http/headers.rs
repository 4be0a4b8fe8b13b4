//! What a job's request says in its headers.
//!
//! They are looked through once, since each look-up by name costs a hash; only
//! what few requests have is then read by name.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN};

use crate::trace_context::TraceContext;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Of one request.
pub(super) struct Headers<'a> {
    all: &'a HeaderMap,
    content_type: Option<&'a HeaderValue>,
    /// How many `Content-Type` there are.
    types: usize,
    /// There is an `Origin`.
    from_browser: bool,
    /// The `Content-Length`.
    pub length: Option<u64>,
    /// There is a `Prefer`.
    prefers: bool,
    /// There is a `traceparent`.
    traced: bool,
}

impl<'a> Headers<'a> {
    pub fn of(all: &'a HeaderMap) -> Self {
        let mut headers = Self {
            all,
            content_type: None,
            types: 0,
            from_browser: false,
            length: None,
            prefers: false,
            traced: false,
        };
        for (name, value) in all {
            if name == CONTENT_TYPE {
                headers.content_type = Some(value);
                headers.types += 1;
            } else if name == CONTENT_LENGTH {
                headers.length = value.to_str().ok().and_then(|it| it.parse().ok());
            } else if name == ORIGIN {
                headers.from_browser = true;
            } else if name == PREFER {
                headers.prefers = true;
            } else if name == TRACEPARENT {
                headers.traced = true;
            }
        }
        headers
    }

    /// `application/json`, any `+json`, none, or what a bare `curl -d` says; but
    /// from a browser, which sends `Origin`, only a JSON type: all others it may
    /// send to a stranger's server without asking first (Fetch, "CORS-safelisted
    /// request-header").
    ///
    /// # Errors
    /// What is wrong with it, for the caller.
    pub fn check_content_type(&self) -> Result<(), &'static str> {
        if self.types > 1 {
            return Err("the request has more than one Content-Type; send application/json");
        }
        let essence = self.content_type.map(|it| {
            let it = it.as_bytes();
            let end = it.iter().position(|&byte| byte == b';').unwrap_or(it.len());
            it[..end].trim_ascii()
        });
        let is = |it: &[u8], wanted: &str| it.eq_ignore_ascii_case(wanted.as_bytes());
        match essence {
            Some(it) if is(it, "application/json") || is_plus_json(it) => Ok(()),
            _ if self.from_browser => {
                Err("a request with an Origin header must say Content-Type: application/json")
            }
            None => Ok(()),
            Some(it) if is(it, "application/x-www-form-urlencoded") => Ok(()),
            Some(_) => Err("this Content-Type is not taken; send application/json"),
        }
    }

    /// The seconds of `Prefer: wait=…` (RFC 7240, section 4.3); the first counts.
    pub fn prefer_wait(&self) -> Option<Duration> {
        if !self.prefers {
            return None;
        }
        let values = self.all.get_all(PREFER).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(|preference| {
                let (name, value) = preference.split(';').next()?.split_once('=')?;
                let value = value.trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("wait").then_some(value)
            })
            .and_then(|seconds| seconds.parse().ok().map(Duration::from_secs))
    }

    /// The caller's place in a trace, if it names one and that is valid.
    pub fn trace_context(&self) -> Option<TraceContext> {
        if !self.traced {
            return None;
        }
        let mut parents = self.all.get_all(TRACEPARENT).iter();
        let context = TraceContext::parse(parents.next()?.to_str().ok()?)?;
        if parents.next().is_some() {
            return None;
        }
        // Several tracestate headers are one list (W3C Trace Context, 3.3.1.1).
        let states = self.all.get_all(TRACESTATE).iter();
        let states: Vec<&str> = states.filter_map(|state| state.to_str().ok()).collect();
        Some(match states.is_empty() {
            true => context,
            false => context.with_state(&states.join(",")),
        })
    }
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
