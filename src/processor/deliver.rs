//! Results to those they belong to.

use bytes::Bytes;
use tracing::warn;

use super::correlate::{Correlation, NotResults, Outcome, correlate};
use super::outcome::{Failure, JobOutcome};
use super::trip::Trip;
use super::{Batch, Processor};
use crate::code::Code;

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
    /// Answers each member with its own result, or with the want of it.
    ///
    /// # Errors
    /// Where the answer holds no results at all; nobody is answered then.
    pub(super) fn deliver(
        &self,
        batch: &mut Batch,
        trip: &Trip,
        answer: &Bytes,
        status: u16,
    ) -> Result<(), NotResults> {
        let ids = batch.members().iter().map(|member| member.item().id());
        let correlation = correlate(ids, answer)?;
        self.warn_of_mismatch(trip, batch.len(), &correlation);
        trip.log(Code::Ok, "");
        let mut outcomes = correlation.outcomes.into_iter();
        batch.answer_all(|member| {
            let outcome = match outcomes.next() {
                Some(Outcome::Found(element)) => JobOutcome::Element {
                    raw: apart(element.raw, answer),
                    error: element.error,
                },
                Some(Outcome::Ambiguous) => JobOutcome::Failed(Failure::ResultAmbiguous(status)),
                Some(Outcome::Missing) | None => JobOutcome::Failed(Failure::ResultMissing(status)),
            };
            trip.result(member, outcome)
        });
        Ok(())
    }

    /// An upstream that mixes up its results would flood the log.
    fn warn_of_mismatch(&self, trip: &Trip, members: usize, correlation: &Correlation) {
        let count = |wanted| {
            correlation
                .outcomes
                .iter()
                .filter(|&it| *it == wanted)
                .count()
        };
        let (missing, ambiguous) = (count(Outcome::Missing), count(Outcome::Ambiguous));
        let mut unmatched = correlation.unmatched;
        // The results of members that expired meanwhile are nobody's fault.
        let expired = trip.size() - members;
        unmatched.unknown_id = unmatched.unknown_id.saturating_sub(expired);
        self.observer.metrics.unmatched(&unmatched);
        if missing + ambiguous + unmatched.total() > 0
            && let Some(silent) = self.mismatches.now()
        {
            warn!(
                batch_id = %trip.id(),
                size = trip.size(),
                missing,
                ambiguous,
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
