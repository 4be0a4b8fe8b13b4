//! A success to the outcomes of the members.

use bytes::Bytes;

use super::batch::{Batch, jobs};
use super::call::Failed;
use super::correlate::{Correlation, Element, Outcome, correlate};
use super::outcome::{Failure, JobOutcome};
use crate::aside::{LARGE, aside};
use crate::fault::NotResults;
use crate::job::Job;
use crate::job_id::JobId;
use crate::shape::{Reply, Spliced};
use crate::upstream::Response;

/// An answer up to this size, in bytes, is kept whole for any of its results: what a
/// copy costs is more than what it would give back.
const SMALL: usize = 64 * 1024;

/// A success, read.
pub(super) struct Answered {
    /// The connection that it came on is kept for other calls when this is dropped,
    /// unless it is suspect by then.
    pub response: Response,
    /// What it holds for each member, and the body that those are parts of; `None`
    /// where no results are read.
    pub results: Option<(Correlation, Bytes)>,
}

/// Finds each member's result. An answer without one for any of them may be another
/// batch's: all that follow on its connection would be too, so that it is not used
/// again.
///
/// # Errors
/// Where the answer holds no results at all.
pub(super) async fn read(
    batch: &Batch,
    mut response: Response,
    body: Option<Bytes>,
) -> Result<Answered, Failed> {
    let Some(body) = body else {
        let results = None;
        return Ok(Answered { response, results });
    };
    match find(batch, &body).await {
        Ok(correlation) => {
            if correlation.is_for_no_job() {
                response.suspect();
            }
            let results = Some((correlation, body));
            Ok(Answered { response, results })
        }
        Err(error) => {
            response.suspect();
            Err(Failed::malformed(&response, &body, &error))
        }
    }
}

async fn find(batch: &Batch, body: &Bytes) -> Result<Correlation, NotResults> {
    let ids = jobs(batch).filter_map(Job::id);
    if body.len() < LARGE {
        return correlate(ids, body);
    }
    let (ids, body): (Vec<JobId>, _) = (ids.cloned().collect(), body.clone());
    aside(move || correlate(ids.iter(), &body)).await
}

/// What a success of this status has for one job.
pub(super) fn outcome(
    found: Option<Outcome>,
    status: u16,
    body: &Bytes,
    error_status: u16,
) -> JobOutcome {
    let missing = |other_type| Failure::ResultMissing { status, other_type };
    JobOutcome::Failed(match found {
        Some(Outcome::Found(Element { raw, error })) => {
            let status = error.map(|error| error.status.unwrap_or(error_status));
            let reply = Reply {
                status: status.unwrap_or(200),
                is_error: status.is_some(),
                body: Spliced::One(apart(raw, body)),
            };
            let headers = None;
            return JobOutcome::Reply { reply, headers };
        }
        Some(Outcome::Missing { other_type }) => missing(other_type),
        Some(Outcome::Ambiguous) => Failure::ResultAmbiguous(status),
        Some(Outcome::Malformed(_)) => Failure::ResultMalformed(status),
        None => missing(false),
    })
}

/// A result as it is kept until its caller takes it: in memory of its own where it
/// would hold on to an answer of more than twice its size.
fn apart(result: Bytes, answer: &Bytes) -> Bytes {
    match answer.len() > SMALL && result.len() < answer.len() / 2 {
        true => Bytes::copy_from_slice(&result),
        false => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_results_are_copied_out_of_large_answers() {
        for (answer, result, copied) in [
            (SMALL, 1, false),
            (SMALL + 1, 1, true),
            (1 << 20, (1 << 19) - 1, true),
            (1 << 20, 1 << 19, false),
            (1 << 20, 1 << 20, false),
        ] {
            let answer = Bytes::from(vec![b'x'; answer]);
            let result = answer.slice(..result);
            let kept = apart(result.clone(), &answer);
            assert_eq!(kept, result);
            let is_copy = kept.as_ptr() != result.as_ptr();
            assert_eq!(is_copy, copied, "{} of {}", result.len(), answer.len());
        }
    }
}
