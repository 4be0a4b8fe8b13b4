//! `POST /jobs` of the route `jobs`: from a request to a job, and the wait for what becomes
//! of it. What any route may do besides is in `calls`; here nothing is done for it.

use std::future::poll_fn;
use std::sync::Arc;

use axum::http::{Request, Response};
use bytes::Bytes;
use tokio::time::Instant;

use super::answer_body::AnswerBody;
use super::arriving::{Stay, read, unread};
use super::body::Reading;
use super::headers::Headers;
use super::later::{ForLater, Owner};
use super::problem::Problem;
use super::refusal::refuse_traced;
use super::sender::{Sender, Senders};
use super::traced::Traced;
use super::uncounted::{CountedBy, Uncounted};
use super::waiting::{Waiting, render};
use crate::aside::{LARGE, aside};
use crate::job::Job;
use crate::observe::spans::JobEnd;
use crate::route::Route;
use crate::shape;

/// What the head of a request to do a job says that counts: while the job waits nothing keeps
/// the buffer that its connection read into.
pub(super) struct PostedHead {
    stay: Stay,
    traced: Option<Box<Traced>>,
    for_later: Option<Box<ForLater>>,
}

/// A request to do a job.
pub(super) struct Posted<B> {
    head: PostedHead,
    body: Reading<B>,
}

impl PostedHead {
    /// Reads it, in the order of the contract: Content-Type, size.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read<B>(sender: &Sender, request: &Request<B>, owner: Owner) -> Result<Self, Problem> {
        let jobs = &sender.jobs;
        let arrived = Instant::now();
        let headers = Headers::of(request.headers());
        headers
            .content_type
            .map_err(Problem::unsupported_media_type)?;
        if let Some(encoding) = headers.encoding {
            return Err(Problem::unsupported_encoding(&encoding));
        }
        let limit = jobs.max_body;
        if headers.length.is_some_and(|length| length > limit as u64) {
            return Err(Problem::job_too_large(limit));
        }
        let preferences = headers.preferences;
        let (for_later, stay) = match &jobs.later {
            Some(later) if preferences.respond_async => {
                let (uri, headers) = (request.uri(), request.headers());
                let for_later = ForLater::of(uri, headers, later.clone(), owner, preferences.wait)?;
                // That it is not waited for leaves its body the usual time.
                (Some(Box::new(for_later)), None)
            }
            _ => (None, preferences.wait),
        };
        Ok(Self {
            stay: Stay::new(jobs, arrived, stay),
            traced: Traced::of(&sender.route, headers.trace, arrived),
            for_later,
        })
    }

    /// With the body of its request.
    pub fn with<B>(self, body: B, sender: &Sender) -> Posted<B>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let body = unread(body, &sender.jobs);
        Posted { head: self, body }
    }
}

impl<B: http_body::Body<Data = Bytes> + Unpin> Posted<B> {
    /// What is said of its answer where that is fetched later.
    pub fn for_later(&mut self) -> Option<Box<ForLater>> {
        self.head.for_later.take()
    }

    /// Hands the job in.
    pub async fn hand_in(
        mut self,
        senders: Arc<Senders>,
        sender: Arc<Sender>,
        for_later: Box<ForLater>,
    ) -> Response<AnswerBody> {
        let Sender { jobs, route, .. } = &*sender;
        let uncounted = Uncounted::new(&**route);
        let parsed = match read(&mut self.body, &self.head.stay, jobs).await {
            Ok(body) if body.len() < LARGE => parse(route, body),
            Ok(body) => parse_aside(route, body).await,
            Err(unread) => Err(unread.problem(jobs)),
        };
        let job = match parsed {
            Ok(job) => job.with_trace(Traced::for_job(&mut self.head.traced)),
            Err(problem) => return refuse_traced(route, problem, self.head.traced),
        };
        // From here on the store counts it.
        drop(self.body);
        let occupied = || senders.occupied();
        let answer = for_later
            .hand_in(jobs, route, occupied, job, self.head.stay)
            .await;
        if let Some(traced) = self.head.traced {
            traced.ended(JobEnd::HandedIn, answer.status().as_u16(), None);
        }
        drop(uncounted);
        answer
    }

    /// Answers the job.
    #[expect(
        clippy::manual_async_fn,
        reason = "that would hold what it is given twice, and each job's future is moved"
    )]
    pub fn answer(mut self, sender: Arc<Sender>) -> impl Future<Output = Response<AnswerBody>> {
        async move {
            let Sender { jobs, route, .. } = &*sender;
            let mut uncounted = Uncounted::new(&**route);
            let parsed = match read(&mut self.body, &self.head.stay, jobs).await {
                Ok(body) if body.len() < LARGE => parse(route, body),
                Ok(body) => Box::pin(parse_aside(route, body)).await,
                Err(unread) => Err(unread.problem(jobs)),
            };
            let submitted = parsed.and_then(|job| {
                let job = job.with_trace(Traced::for_job(&mut self.head.traced));
                sender.submit(job, self.head.stay.deadline())
            });
            let (reply, id) = match submitted {
                Ok(submitted) => submitted,
                Err(problem) => return refuse_traced(route, problem, self.head.traced.take()),
            };
            let mut waiting = Waiting::new(reply, id.as_ref(), route);
            // From here on the queue counts it.
            drop(self.body);
            uncounted.stage = CountedBy::Batcher;
            let answer = poll_fn(|context| waiting.poll(context)).await;
            uncounted.stage = CountedBy::Outcome(self.head.stay.arrived);
            let (id, traced) = (id.as_ref(), self.head.traced.take());
            render(&sender, id, self.head.stay.arrived, answer, traced)
        }
    }
}

fn parse(route: &Route, body: Bytes) -> Result<Job, Problem> {
    let call = route
        .shape
        .read(body, shape::Request::default(), route.limits);
    Ok(Job::new(call.map_err(Problem::no_job)?))
}

async fn parse_aside(route: &Arc<Route>, body: Bytes) -> Result<Job, Problem> {
    let route = Arc::clone(route);
    aside(move || parse(&route, body)).await
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
