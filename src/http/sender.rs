//! Who sends jobs over one connection: one for each route that it calls.

use std::sync::{Arc, OnceLock};

use axum::http::Version;
use tokio::time::Instant;

use super::context::Jobs;
use super::noted::note;
use super::problem::Problem;
use crate::batcher::{self, Batcher, Reply, Source};
use crate::engine;
use crate::engine::outcome::JobResult;
use crate::job::Job;
use crate::job_id::JobId;
use crate::route::Route;

/// Each route's batcher as one worker has it, in the order of the routes. What fills a batch
/// there is processed on that worker's runtime.
pub type Batchers = Arc<[Batcher<Job, JobResult>]>;

/// That nobody waits for a job of a connection, which waits for something else.
pub(super) type Occupied = Vec<batcher::Occupied>;

/// Who sends jobs over one connection to one route.
pub(super) struct Sender {
    pub jobs: Jobs,
    pub route: Arc<Route>,
    pub source: Source<Job, JobResult>,
}

impl Sender {
    /// Has the job queued.
    pub fn submit(
        &self,
        job: Job,
        deadline: Instant,
    ) -> Result<(Reply<Job, JobResult>, Option<JobId>), Problem> {
        let (route, id) = (&self.route, job.id().cloned());
        if self.jobs.access.is_some() {
            note(|it| it.job(route, &job));
        }
        // Who shuts down says so, whatever the upstream is like.
        if !route.circuit.is_closed()
            && let Err(open) = route.circuit.admit(Instant::now())
            && !route.batcher.is_closed()
        {
            return Err(Problem::circuit_open(open.retry_after).of(id.as_ref()));
        }
        let options = engine::options(&route.shape, &job, deadline);
        match self.source.submit_with(job, options) {
            Ok(reply) => Ok((reply, id)),
            Err(refused) => Err(Problem::from(refused).of(id.as_ref())),
        }
    }
}

/// The senders of one connection, each made when its route is called first: an adaptive
/// wait counts on those who use the route, and on nobody else. Where there is one route,
/// whoever has connected will.
pub(super) struct Senders {
    jobs: Jobs,
    batchers: Batchers,
    made: Box<[OnceLock<Arc<Sender>>]>,
}

impl Senders {
    pub fn new(jobs: Jobs, batchers: &Batchers) -> Self {
        let routes = jobs.routes.all().len();
        let senders = Self {
            jobs,
            batchers: Arc::clone(batchers),
            made: (0..routes).map(|_| OnceLock::new()).collect(),
        };
        if routes == 1 {
            senders.of(0, Version::default());
        }
        senders
    }

    /// Those of the same connection for another set of routes: whoever has called a route
    /// will call the one of the same name.
    pub fn succeeded(&self, jobs: Jobs, batchers: &Batchers) -> Self {
        let senders = Self::new(jobs, batchers);
        for (number, route) in senders.jobs.routes.all().iter().enumerate() {
            if self.made().any(|it| it.route.name == route.name) {
                senders.of(number, Version::default());
            }
        }
        senders
    }

    /// What all of them share.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The one of the route of this number, for a request of this version: over HTTP/2 any
    /// number of jobs may be in at a time.
    pub fn of(&self, route: usize, version: Version) -> &Arc<Sender> {
        let sender = self.made[route].get_or_init(|| {
            Arc::new(Sender {
                jobs: self.jobs.clone(),
                route: Arc::clone(&self.jobs.routes.all()[route]),
                source: self.batchers[route].source(),
            })
        });
        if version == Version::HTTP_2 {
            sender.source.set_multiplexed();
        }
        sender
    }

    /// Heeds the version of a request that is for none of them.
    pub fn heed(&self, version: Version) {
        if version == Version::HTTP_2 {
            self.made().for_each(|it| it.source.set_multiplexed());
        }
    }

    /// Nobody waits for a job of this connection as long as this lasts.
    pub fn occupied(&self) -> Occupied {
        self.made().map(|it| it.source.occupied()).collect()
    }

    fn made(&self) -> impl Iterator<Item = &Arc<Sender>> {
        self.made.iter().filter_map(OnceLock::get)
    }
}
