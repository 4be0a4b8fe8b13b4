//! What the head of a call says, on any route: whether it may be merged, and what of it
//! travels with its batch.

use std::sync::Arc;

use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method};
use tokio::time::Instant;

use super::accept::takes_json;
use super::arriving::Stay;
use super::authority::of_own_origin;
use super::context::Jobs;
use super::headers::Headers;
use super::later::{ForLater, IDEMPOTENCY_KEY, Owner, without_stream};
use super::problem::Problem;
use super::routes::POST;
use super::traced::Traced;
use crate::forward::upgrade;
use crate::job::Carried;
use crate::route::Route;
use crate::shape::Why;
use crate::upstream::{NoSuchPath, tokens};

/// What a call says besides its body that may be merged.
pub(super) struct Told {
    pub stay: Stay,
    pub traced: Option<Box<Traced>>,
    /// What is said of its answer where that is fetched later; or what is wrong with that,
    /// which is nobody's business where the call is not merged after all.
    pub for_later: Option<Result<Box<ForLater>, Problem>>,
    /// What travels with its batch.
    pub carried: Option<Arc<Carried>>,
}

/// What becomes of a call that is not merged.
pub(super) enum Turned {
    /// It goes by itself, as it came.
    Alone(Why),
    /// It goes nowhere.
    Refused(Problem),
}

impl From<Why> for Turned {
    fn from(why: Why) -> Self {
        Self::Alone(why)
    }
}

impl From<Problem> for Turned {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl Told {
    /// Reads the head of a call whose path has captured so much.
    ///
    /// # Errors
    /// What becomes of it where it is not merged.
    pub fn of(
        jobs: &Jobs,
        route: &Route,
        head: &Parts,
        has_body: bool,
        captures: &[Box<str>],
        owner: Owner,
    ) -> Result<Self, Turned> {
        let arrived = Instant::now();
        let headers = Headers::of(&head.headers);
        let preferences = headers.preferences;
        let later = jobs.later.as_ref().filter(|_| preferences.respond_async);
        let lets_alone = route.shape.lets_alone();
        match lets_alone {
            true => go_together(jobs, route, head, &headers, has_body, later.is_some())?,
            false => is_job(jobs, head, &headers)?,
        }
        let forwarded = forwarded(&route.forward_headers, &head.headers);
        let forwarded = forwarded.map_err(|twice| match lets_alone {
            true => Turned::Alone(Why::Header),
            false => Turned::Refused(Problem::header_twice(&twice)),
        })?;
        let for_later = later.map(|later| {
            let (uri, headers) = (&head.uri, &head.headers);
            ForLater::of(uri, headers, later.clone(), owner, preferences.wait).map(Box::new)
        });
        let for_later = match for_later {
            Some(Err(problem)) if !lets_alone => return Err(problem.into()),
            other => other,
        };
        // That an answer is not waited for leaves its body the usual time.
        let wait = preferences.wait.filter(|_| for_later.is_none());
        let query = query(route, head, for_later.is_some());
        let path = route.target.check(captures, query.as_deref());
        path.map_err(|why| match why {
            NoSuchPath::TooLong if lets_alone => Turned::Alone(Why::Size),
            why => Turned::Refused(Problem::no_such_path(why)),
        })?;
        Ok(Self {
            stay: Stay::new(jobs, arrived, wait),
            traced: Traced::of(route, headers.trace, arrived),
            carried: carried(Carried {
                captures: captures.into(),
                query,
                headers: forwarded,
            }),
            for_later,
        })
    }
}

/// Whether a call may be merged as far as its head tells, where it may go by itself too.
fn go_together(
    jobs: &Jobs,
    route: &Route,
    head: &Parts,
    headers: &Headers,
    has_body: bool,
    is_for_later: bool,
) -> Result<(), Turned> {
    // Wherever it would go: what a page of another origin may send without asking first
    // is not to reach a service that trusts whoever is on its machine.
    if has_body && head.headers.contains_key(ORIGIN) {
        headers
            .content_type
            .map_err(Problem::unsupported_media_type)?;
    }
    // An upgrade is a GET, and is counted as what it is.
    if upgrade(head.version, &head.headers).is_some() {
        // Which pages of any origin may ask for, and that their browser asks nobody about.
        of_own_origin(&head.uri, &head.headers, head.version).map_err(Problem::from)?;
        return Err(Why::Upgrade.into());
    }
    if head.method != Method::POST {
        return Err(Why::Method.into());
    }
    let content_type = content_type(&head.headers);
    if !content_type.is_ok_and(|it| route.shape.accepts(it)) {
        return Err(Why::Type.into());
    }
    let batched = route.shape.content_type().to_str().unwrap_or_default();
    if !route.shape.has_no_results() && !takes_json(&head.headers, batched) {
        return Err(Why::Type.into());
    }
    if headers.encoding.is_some() {
        return Err(Why::Encoding.into());
    }
    if !is_for_later && head.headers.contains_key(IDEMPOTENCY_KEY) {
        return Err(Why::Key.into());
    }
    if headers.length.is_some_and(|it| it > jobs.max_body as u64) {
        return Err(Why::Size.into());
    }
    Ok(())
}

/// Whether it may be a job, in the order of the contract: method, Content-Type, size.
fn is_job(jobs: &Jobs, head: &Parts, headers: &Headers) -> Result<(), Problem> {
    if head.method != Method::POST {
        return Err(Problem::method_not_allowed(POST));
    }
    headers
        .content_type
        .map_err(Problem::unsupported_media_type)?;
    if let Some(encoding) = &headers.encoding {
        return Err(Problem::unsupported_encoding(encoding));
    }
    match headers.length {
        Some(length) if length > jobs.max_body as u64 => Err(Problem::job_too_large(jobs.max_body)),
        _ => Ok(()),
    }
}

/// Its `Content-Type`, if it has one.
///
/// # Errors
/// Where it has several, or one that is no text.
pub(super) fn content_type(headers: &HeaderMap) -> Result<Option<&str>, ()> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => only.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

fn query(route: &Route, head: &Parts, is_for_later: bool) -> Option<Box<str>> {
    let query = head.uri.query().filter(|_| route.carries_query())?;
    let query = match is_for_later {
        true => without_stream(query),
        false => query.to_owned(),
    };
    (!query.is_empty()).then(|| query.into())
}

/// Nothing where nothing is carried: most calls of most routes need no frame.
fn carried(carried: Carried) -> Option<Arc<Carried>> {
    (carried != Carried::default()).then(|| Arc::new(carried))
}

/// Those of the headers that travel with the batch, in copies, since a job in the queue is
/// not to hold the buffer that its connection read into. What `Connection` names is about the
/// connection, and travels no further however its call goes (RFC 9110, section 7.6.1).
///
/// # Errors
/// One that is there twice.
fn forwarded(
    names: &[HeaderName],
    headers: &HeaderMap,
) -> Result<Box<[(HeaderName, HeaderValue)]>, HeaderName> {
    let mut all = Vec::new();
    for name in names.iter().filter(|name| !is_of_connection(headers, name)) {
        let mut values = headers.get_all(name).iter();
        if let Some(value) = values.next() {
            let copied = HeaderValue::from_bytes(value.as_bytes());
            let mut copied = copied.unwrap_or_else(|_| value.clone());
            // Most that are forwarded are credentials.
            copied.set_sensitive(true);
            all.push((name.clone(), copied));
        }
        if values.next().is_some() {
            return Err(name.clone());
        }
    }
    Ok(all.into())
}

fn is_of_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    tokens(headers, &CONNECTION).any(|it| it.eq_ignore_ascii_case(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_connection_travels_with_no_batch() {
        let names = ["x-a", "x-b"].map(HeaderName::from_static);
        for (sent, expected) in [
            (&[("x-a", "1")][..], Some(&[("x-a", "1")][..])),
            (
                &[("x-a", "1"), ("x-b", "2")],
                Some(&[("x-a", "1"), ("x-b", "2")]),
            ),
            (
                &[("x-a", "1"), ("connection", "keep-alive, X-A")],
                Some(&[]),
            ),
            (
                &[("x-a", "1"), ("x-b", "2"), ("connection", "x-a")],
                Some(&[("x-b", "2")]),
            ),
            (&[("x-a", "1"), ("x-a", "2")], None),
            (
                &[("x-a", "1"), ("x-a", "2"), ("connection", "x-a")],
                Some(&[]),
            ),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                let name = HeaderName::from_static(name);
                headers.append(name, HeaderValue::from_static(value));
            }
            let found = forwarded(&names, &headers).ok();
            let told = |it: &(HeaderName, HeaderValue)| {
                (it.0.to_string(), it.1.to_str().unwrap().to_owned())
            };
            let found = found.map(|it| it.iter().map(told).collect::<Vec<_>>());
            let owned = |it: &(&str, &str)| (it.0.to_owned(), it.1.to_owned());
            let expected = expected.map(|it| it.iter().map(owned).collect::<Vec<_>>());
            assert_eq!(found, expected, "{sent:?}");
        }
    }
}
