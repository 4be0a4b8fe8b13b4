//! What answering callers takes, whatever route they call.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::authority::HostNames;
use super::buffered::Buffered;
use super::connected::Connected;
use super::noted::WriteLine;
use crate::engine::Phase;
use crate::forward::Forwarder;
use crate::later::Later;
use crate::observe::Observer;
use crate::route::Routes;
use crate::route::held::Held;
use crate::tokens::Guard;

/// What answering callers takes.
#[derive(Clone, Debug)]
pub struct Jobs(Arc<JobsInner>);

/// The fields of [`Jobs`].
#[derive(Debug)]
pub struct JobsInner {
    /// Where calls go.
    pub routes: Routes,
    /// Who is told what comes to none of them.
    pub observer: Arc<Observer>,
    /// The names it answers to on loopback.
    pub hosts: HostNames,
    /// The tokens that let requests in, unless everybody may come in.
    pub tokens: Option<Guard>,
    /// What is in memory before a job is queued and after it is answered.
    pub buffered: Arc<Buffered>,
    /// How many callers there are.
    pub connected: Connected,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// The longest a job may stay.
    pub request_timeout: Duration,
    /// The longest a body, or the head before it, may take to arrive.
    pub read_timeout: Duration,
    /// Whether answers tell where their time went.
    pub timing: bool,
    /// How far the process's life has come.
    pub phase: watch::Receiver<Phase>,
    /// The jobs whose answers are fetched later, unless there are none.
    pub later: Option<Later>,
    /// Takes the lines of the access log, unless there is none.
    pub access: Option<WriteLine>,
    /// Where requests to paths of no route are passed on to, if anywhere.
    pub passthrough: Option<Arc<Passthrough>>,
}

/// Where requests to paths of no route are passed on to.
#[derive(Debug)]
pub struct Passthrough {
    /// By what.
    pub to: Forwarder,
    /// Whoever may still have requests passed on by it has this.
    pub held: Held,
}

impl From<JobsInner> for Jobs {
    fn from(inner: JobsInner) -> Self {
        Self(Arc::new(inner))
    }
}

impl std::ops::Deref for Jobs {
    type Target = JobsInner;

    fn deref(&self) -> &JobsInner {
        &self.0
    }
}
