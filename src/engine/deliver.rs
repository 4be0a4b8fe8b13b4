//! Results to those they belong to.

use bytes::Bytes;
use tracing::warn;

use super::correlate::{Correlation, Outcome, correlate};
use super::outcome::{Failure, JobOutcome};
use super::trip::Trip;
use super::{Batch, Member, Processor};
use crate::aside::{LARGE, aside};
use crate::code::Code;
use crate::fault::{NotResults, Unsound};
use crate::job::JobId;
use crate::observe::Event;
use crate::upstream::Response;

/// An answer up to this size, in bytes, is kept whole for any of its results: what a
/// copy costs is more than what it would give back.
const SMALL: usize = 64 * 1024;

/// A result as it is kept until its caller takes it: in memory of its own where it
/// would hold on to an answer of more than twice its size.
fn apart(result: Bytes, answer: &Bytes) -> Bytes {
    match answer.len() > SMALL && result.len() < answer.len() / 2 {
        true => Bytes::copy_from_slice(&result),
        false => result,
    }
}

impl<C> Processor<C> {
    /// Answers each member with its own result, or with the want of it. An answer
    /// without a result for any of them may be another batch's: all that follow on
    /// its connection would be too, so that it is not used again.
    ///
    /// # Errors
    /// Where the answer holds no results at all; nobody is answered then.
    pub(super) async fn deliver(
        &self,
        batch: &mut Batch,
        trip: &Trip,
        answer: &Bytes,
        response: &mut Response,
    ) -> Result<(), NotResults> {
        let status = response.status();
        let correlation = match read(batch.members(), answer).await {
            Ok(correlation) => correlation,
            Err(error) => {
                response.suspect();
                return Err(error);
            }
        };
        if correlation.is_for_nobody() {
            response.suspect();
        }
        self.tell_of_mismatch(trip, batch.len(), &correlation, status);
        trip.log(Code::Ok);
        let mut outcomes = correlation.outcomes.into_iter();
        batch.answer_all(|member| {
            let mut outcome = JobOutcome::from_answer(outcomes.next(), status);
            if let JobOutcome::Element { raw, .. } = &mut outcome {
                *raw = apart(std::mem::take(raw), answer);
            }
            trip.result(member, outcome)
        });
        Ok(())
    }

    /// Tells of jobs without a sound result and of results that belong to nobody. An
    /// upstream that mixes them up would flood the log.
    fn tell_of_mismatch(&self, trip: &Trip, members: usize, of: &Correlation, status: u16) {
        let mut jobs = [0; Unsound::ALL.len()];
        for why in of.outcomes.iter().filter_map(Outcome::unsound) {
            jobs[why as usize] += 1;
        }
        for (why, jobs) in Unsound::ALL.into_iter().zip(jobs) {
            if jobs > 0 {
                trip.jobs_failed(why, jobs, status);
            }
        }
        let mut unmatched = of.unmatched;
        // The results of members that expired meanwhile are nobody's fault.
        let expired = trip.size() - members;
        unmatched.unknown_id = unmatched.unknown_id.saturating_sub(expired);
        self.observer.tell(Event::Unmatched(unmatched));
        let unsound: usize = jobs.iter().sum();
        if unsound + unmatched.total() > 0
            && let Some(silent) = self.mismatches.now()
        {
            let number = |why: Unsound| jobs[why as usize];
            let most = Unsound::ALL.into_iter().zip(jobs).max_by_key(|it| it.1);
            let cause = most.filter(|it| it.1 > 0).map(|it| it.0.to_string());
            warn!(
                batch_id = %trip.id(),
                size = trip.size(),
                cause,
                missing = number(Unsound::Missing) + number(Unsound::OtherType),
                id_of_another_type = number(Unsound::OtherType),
                ambiguous = number(Unsound::Ambiguous),
                malformed = number(Unsound::Malformed) + unmatched.malformed,
                unknown_id = unmatched.unknown_id,
                no_id = unmatched.no_id,
                two_ids = unmatched.two_ids,
                not_an_object = unmatched.not_an_object,
                batches_not_warned_of = silent,
                "unmatched results"
            );
        }
    }
}

/// What the answer holds for each member.
async fn read(members: &[Member], answer: &Bytes) -> Result<Correlation, NotResults> {
    let ids = members.iter().map(|member| member.item().id());
    if answer.len() < LARGE {
        return correlate(ids, answer);
    }
    let (ids, answer): (Vec<JobId>, _) = (ids.cloned().collect(), answer.clone());
    aside(move || correlate(ids.iter(), &answer)).await
}

impl JobOutcome {
    /// What a 2xx answer with this status has for one job.
    fn from_answer(outcome: Option<Outcome>, status: u16) -> Self {
        Self::Failed(match outcome {
            Some(Outcome::Found(element)) => {
                return Self::Element {
                    raw: element.raw,
                    error: element.error,
                };
            }
            Some(Outcome::Missing { other_type }) => Failure::ResultMissing { status, other_type },
            Some(Outcome::Ambiguous) => Failure::ResultAmbiguous(status),
            Some(Outcome::Malformed(_)) => Failure::ResultMalformed(status),
            None => Failure::ResultMissing {
                status,
                other_type: false,
            },
        })
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
