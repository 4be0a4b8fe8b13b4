//! Results to those they belong to.

use bytes::Bytes;
use tracing::warn;

use super::correlate::{Correlation, NotResults, Outcome, correlate};
use super::outcome::{Failure, JobOutcome};
use super::trip::Trip;
use super::{Batch, Member, Processor};
use crate::aside::{LARGE, aside};
use crate::code::Code;
use crate::job::JobId;
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
        self.warn_of_mismatch(trip, batch.len(), &correlation);
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

    /// An upstream that mixes up its results would flood the log.
    fn warn_of_mismatch(&self, trip: &Trip, members: usize, correlation: &Correlation) {
        let mut of = Mismatches::default();
        for outcome in &correlation.outcomes {
            match outcome {
                Outcome::Found(_) => {}
                Outcome::Missing { other_type } => {
                    of.missing += 1;
                    of.other_type += usize::from(*other_type);
                }
                Outcome::Ambiguous => of.ambiguous += 1,
                Outcome::Malformed(_) => of.malformed += 1,
            }
        }
        let mut unmatched = correlation.unmatched;
        // The results of members that expired meanwhile are nobody's fault.
        let expired = trip.size() - members;
        unmatched.unknown_id = unmatched.unknown_id.saturating_sub(expired);
        self.observer.metrics.unmatched(&unmatched);
        if of.missing + of.ambiguous + of.malformed + unmatched.total() > 0
            && let Some(silent) = self.mismatches.now()
        {
            warn!(
                batch_id = %trip.id(),
                size = trip.size(),
                missing = of.missing,
                id_of_another_type = of.other_type,
                ambiguous = of.ambiguous,
                malformed = of.malformed + unmatched.malformed,
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

/// How many of a batch's jobs have no sound result, by the reason.
#[derive(Default)]
struct Mismatches {
    missing: usize,
    /// Of those that are missing.
    other_type: usize,
    ambiguous: usize,
    malformed: usize,
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
