//! A job that is posted with `Prefer: respond-async`: its parameters, and from the job to
//! its record.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::HeaderName;
use axum::http::{HeaderMap, Response, Uri};
use tracing::trace;
use url::form_urlencoded;

use super::super::answer_body::AnswerBody;
use super::super::arriving::Stay;
use super::super::context::Jobs;
use super::super::noted::{Way, note};
use super::super::problem::Problem;
use super::super::refusal::refuse;
use super::super::sender::Occupied;
use super::found::Found;
use super::frame_key::frame_key;
use super::owner::Owner;
use super::record;
use crate::aside::{LARGE, aside};
use crate::batcher;
use crate::job::Job;
use crate::later::backlog::NO_FRAME;
use crate::later::record::{FrameKey, IdempotencyKey, StreamName};
use crate::later::{FetchError, FoundLane, HandIn, Later, Look, clock};
use crate::route::Route;

/// The parameter of the query that names a stream.
const STREAM: &str = "stream";

pub(in super::super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What such a request says but for the job.
pub(in super::super) struct ForLater {
    later: Later,
    /// Whose it is.
    owner: Owner,
    /// How long its answer is waited for all the same.
    wait: Duration,
    stream: Option<StreamName>,
    key: Option<IdempotencyKey>,
}

impl ForLater {
    /// Reads the query and the key.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of(
        uri: &Uri,
        headers: &HeaderMap,
        later: Later,
        owner: Owner,
        wait: Option<Duration>,
    ) -> Result<Self, Problem> {
        let stream = stream(uri.query().unwrap_or_default())?;
        let key = key(headers)?;
        Ok(Self {
            later,
            owner,
            wait: wait.unwrap_or_default(),
            stream: stream.map(|it| owner.stream(it)).transpose()?,
            key: key.map(|it| owner.key(it)).transpose()?,
        })
    }

    /// Has the job kept and queued, and waits as long as it is to. That its caller leaves
    /// meanwhile changes nothing for a job that is kept.
    pub async fn hand_in(
        self,
        jobs: &Jobs,
        route: &Arc<Route>,
        occupied: impl FnOnce() -> Occupied,
        job: Job,
        stay: Stay,
    ) -> Response<AnswerBody> {
        let Self {
            later,
            owner,
            wait,
            stream,
            key,
        } = self;
        note(|it| {
            it.job(route, &job);
            it.way = Some(Way::Later);
        });
        let (id, has_key) = (job.id().cloned(), key.is_some());
        if route.batcher.is_closed() {
            return refuse(route, Problem::from(batcher::Error::Closed).of(id.as_ref()));
        }
        let (frame, job) = match later.lasts() {
            true => framed(route, job).await,
            false => (NO_FRAME, job),
        };
        // Where jobs are claimed, it is for the route as it is by then.
        let lane = (!later.lasts()).then(|| {
            let found = Found {
                route: Arc::clone(route),
                later: later.clone(),
                timing: jobs.timing,
            };
            Box::new(found) as Box<dyn FoundLane>
        });
        let record = match later
            .hand_in(HandIn {
                route: route.name.clone(),
                lane,
                job,
                stream,
                key,
                frame,
            })
            .await
        {
            Ok(record) => owner.shown(record),
            Err(error) => {
                let problem = Problem::not_handed_in(&error, has_key, clock::now());
                return refuse(route, problem.of(id.as_ref()));
            }
        };
        let handle = owner.handle(record.handle);
        let told = id.as_ref().map(tracing::field::display);
        trace!(
            id = told,
            ?handle,
            state = record.state.as_str(),
            "job handed in for later"
        );
        if wait.is_zero() || record.state.is_finished() {
            return record::posted(&record, jobs);
        }
        let until = stay.arrived + wait.min(jobs.request_timeout);
        let _occupied = occupied();
        match later.fetch_finished(handle, Look::ForAnswer, until).await {
            Ok(record) => record::posted(&owner.shown(record), jobs),
            // It is kept all the same.
            Err(FetchError::Store(_)) => record::posted(&record, jobs),
            Err(unknown) => refuse(route, Problem::from(unknown).of(id.as_ref())),
        }
    }
}

/// A job and its frame's key.
async fn framed(route: &Route, job: Job) -> (FrameKey, Job) {
    let shape = Arc::clone(&route.shape);
    let size = job.raw().len();
    let key = move || (frame_key(&shape, &job), job);
    match size {
        ..LARGE => key(),
        _ => aside(key).await,
    }
}

fn stream(query: &str) -> Result<Option<StreamName>, Problem> {
    let parameters = form_urlencoded::parse(query.as_bytes());
    let mut streams = parameters.filter(|(name, _)| name == STREAM);
    let Some((_, name)) = streams.next() else {
        return Ok(None);
    };
    match streams.next() {
        Some(_) => Err(Problem::invalid_parameter(
            "the query has more than one stream; a job is told on one",
        )),
        None => Ok(Some(StreamName::new(&name)?)),
    }
}

/// The query without the stream, which is the proxy's own word, byte for byte.
pub(in super::super) fn without_stream(query: &str) -> String {
    let names_it = |parameter: &&str| {
        let mut pairs = form_urlencoded::parse(parameter.as_bytes());
        pairs.any(|(name, _)| name == STREAM)
    };
    let others = query.split('&').filter(|it| !names_it(it));
    others.collect::<Vec<_>>().join("&")
}

fn key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    match keys.next() {
        Some(_) => Err(Problem::invalid_parameter(
            "the request has more than one Idempotency-Key; send one",
        )),
        // What is no text is no key either.
        None => Ok(Some(IdempotencyKey::new(key.to_str().unwrap_or_default())?)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_stream_is_named_once_in_the_query() {
        for (query, expected) in [
            ("", Ok(None)),
            ("a=b&c", Ok(None)),
            ("streams=a&Stream=b", Ok(None)),
            ("stream=a", Ok(Some("a"))),
            ("x=y&stream=a%2Eb-c_9&z", Ok(Some("a.b-c_9"))),
            ("%73tream=a", Ok(Some("a"))),
            ("stream", Err(())),
            ("stream=", Err(())),
            ("stream=a%20b", Err(())),
            ("stream=a+b", Err(())),
            ("stream=%FF", Err(())),
            ("stream=a&stream=a", Err(())),
            ("stream=a&stream=", Err(())),
        ] {
            let found = stream(query).map_err(|problem| {
                assert_eq!(problem.code().as_str(), "invalid-parameter");
            });
            let found = found.as_ref().map(|it| it.as_ref().map(StreamName::as_str));
            assert_eq!(found, expected.as_ref().copied(), "{query}");
        }
    }

    #[test]
    fn what_is_left_of_the_query_is_as_it_came() {
        for (query, left) in [
            ("", ""),
            ("stream=a", ""),
            ("a=%20&stream=a&b+c", "a=%20&b+c"),
            ("%73tream=a&&streams=b", "&streams=b"),
            ("a=stream&Stream=x", "a=stream&Stream=x"),
        ] {
            assert_eq!(without_stream(query), left, "{query}");
        }
    }

    #[test]
    fn a_key_is_given_once() {
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&[&b"\"k\""[..]], Ok(Some("k"))),
            (&[b"k 1"], Ok(Some("k 1"))),
            (&[b""], Err(())),
            (&[b"\xff"], Err(())),
            (&[b"k", b"k"], Err(())),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
            }
            let found = key(&headers).map_err(|problem| {
                assert_eq!(problem.code().as_str(), "invalid-parameter");
            });
            let found = found
                .as_ref()
                .map(|it| it.as_ref().map(IdempotencyKey::as_str));
            assert_eq!(found, expected.as_ref().copied(), "{values:?}");
        }
    }
}
