//! A job that is read again, as it was when it came, by what its route's settings are by now.

use percent_encoding::percent_decode_str;
use thiserror::Error;

use super::super::problem::Problem;
use crate::job::{Handle, Job};
use crate::later::kept::{Kept, NotKept};
use crate::route::Route;
use crate::shape::{NotMerged, Request};

/// Why a job can't be read again.
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    #[error("what is kept of the job can't be read; it may have been written by another version")]
    NotKept(#[from] NotKept),
    #[error("the job is none by the settings that its route has since: {}", reason(.0))]
    NoJob(NotMerged),
}

fn reason(why: &NotMerged) -> String {
    match why {
        NotMerged::NoJob(error) => error.to_string(),
        NotMerged::Alone(_) => "it would go alone".to_owned(),
    }
}

impl Unreadable {
    /// What the job is answered.
    pub fn problem(&self) -> Problem {
        match self {
            Self::NotKept(_) => Problem::unreadable_kept(self.to_string()),
            Self::NoJob(_) => Problem::no_job_any_more(self.to_string()),
        }
    }
}

/// Reads what is kept of a job.
pub(super) fn read(route: &Route, handle: Handle, kept: Kept) -> Result<Job, Unreadable> {
    let Kept {
        body,
        content_type,
        carried,
        trace,
    } = kept;
    let captures = carried.iter().flat_map(|it| &it.captures);
    let captures = captures.map(|it| percent_decode_str(it).decode_utf8_lossy());
    let captures: Vec<_> = captures.collect();
    let captures: Vec<&str> = captures.iter().map(|it| &**it).collect();
    let request = Request {
        content_type: content_type.as_deref(),
        captures: &captures,
    };
    let call = route.shape.read(body, request, route.limits);
    let job = Job::new(call.map_err(Unreadable::NoJob)?);
    Ok(job
        .with_trace(trace.map(|it| *it))
        .with_carried(carried)
        .for_later(handle))
}
