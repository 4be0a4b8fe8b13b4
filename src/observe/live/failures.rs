//! What failed last, grouped by cause: one row for an outage, not one for each of
//! its batches.

use std::collections::VecDeque;

use serde::Serialize;
use uuid::Uuid;

use crate::code::Code;
use crate::observe::event::FailedJobs;
use crate::observe::failed_answer::FailedAnswer;
use crate::printable::excerpt;

/// How many causes are kept, the newest first.
pub const FAILURES: usize = 20;

/// The most characters of a cause that are kept.
const CAUSE: usize = 300;

/// Failures of one cause: outcome, words and the head of the answer are the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failures {
    /// The route, where those of several stand beside each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Box<str>>,
    /// What they came to.
    #[serde(serialize_with = "name")]
    pub outcome: Code,
    /// What is to be seen of the last answer, where there was one.
    #[serde(flatten)]
    pub answer: Option<FailedAnswer>,
    /// Why, in our own words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
    /// Batches that failed so, or in which jobs did.
    pub count: u64,
    /// The jobs that did.
    pub jobs: u64,
    /// When the first did, in seconds of Unix time.
    pub first: f64,
    /// When the last did.
    pub t: f64,
    /// The id of the last.
    pub batch_id: Uuid,
    /// How many jobs are in that.
    pub size: usize,
    /// From its leaving to its failing, in milliseconds.
    pub duration_ms: f64,
}

fn name<S: serde::Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

impl Failures {
    /// Some that failed at that date.
    pub(super) fn of(failed: &FailedJobs, t: f64) -> Self {
        Self {
            route: None,
            outcome: failed.outcome,
            answer: failed.answer.clone(),
            cause: excerpt(&failed.cause, CAUSE),
            count: 1,
            jobs: failed.jobs as u64,
            first: t,
            t,
            batch_id: failed.batch_id,
            size: failed.size,
            duration_ms: failed.took.as_micros() as f64 / 1e3,
        }
    }

    fn is_of_the_cause_of(&self, other: &Self) -> bool {
        let head = |it: &Self| it.answer.clone().map(FailedAnswer::without_body);
        self.outcome == other.outcome
            && words(&self.cause).eq(words(&other.cause))
            && head(self) == head(other)
    }
}

/// A cause without its numbers: where in an answer a byte is wrong makes no other
/// cause of it.
fn words(cause: &str) -> impl Iterator<Item = char> + '_ {
    cause.chars().filter(|char| !char.is_ascii_digit())
}

/// Puts the newest down at the front, with those of its cause; what failed longest ago
/// is forgotten.
pub(super) fn put_down(causes: &mut VecDeque<Failures>, mut newest: Failures) {
    let known = causes.iter().position(|it| it.is_of_the_cause_of(&newest));
    if let Some(known) = known.and_then(|at| causes.remove(at)) {
        newest.count += known.count;
        newest.jobs += known.jobs;
        newest.first = known.first;
    }
    causes.truncate(FAILURES - 1);
    causes.push_front(newest);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failed(outcome: Code, cause: &str, answer: Option<FailedAnswer>) -> FailedJobs {
        FailedJobs {
            outcome,
            cause: cause.to_owned(),
            answer,
            jobs: 3,
            batch_id: Uuid::now_v7(),
            size: 3,
            took: Duration::from_millis(5),
        }
    }

    fn answer(status: u16, excerpt: &str) -> Option<FailedAnswer> {
        Some(FailedAnswer {
            upstream_status: status,
            excerpt: Some(excerpt.to_owned()),
            ..FailedAnswer::default()
        })
    }

    #[test]
    fn one_cause_is_one_row_whatever_the_bodies_said() {
        let mut causes = VecDeque::new();
        let all = [
            failed(Code::UpstreamError, "status 500", answer(500, "first")),
            failed(Code::UpstreamTimeout, "no answer", None),
            failed(Code::UpstreamError, "status 500", answer(500, "second")),
            failed(Code::UpstreamError, "status 500", answer(502, "third")),
            failed(Code::UpstreamMalformed, "byte 7 is wrong", answer(200, "")),
            failed(Code::UpstreamMalformed, "byte 12 is wrong", answer(200, "")),
        ];
        for (t, failed) in all.into_iter().enumerate() {
            put_down(&mut causes, Failures::of(&failed, t as f64));
        }
        let rows: Vec<_> = causes
            .iter()
            .map(|it| (it.outcome, it.count, it.jobs, it.first, it.t))
            .collect();
        let expected = [
            (Code::UpstreamMalformed, 2, 6, 4.0, 5.0),
            (Code::UpstreamError, 1, 3, 3.0, 3.0),
            (Code::UpstreamError, 2, 6, 0.0, 2.0),
            (Code::UpstreamTimeout, 1, 3, 1.0, 1.0),
        ];
        assert_eq!(rows, expected);
        let last = causes[2].answer.as_ref().unwrap();
        assert_eq!(last.excerpt.as_deref(), Some("second"));
        assert_eq!(causes[0].cause, "byte 12 is wrong");
    }

    #[test]
    fn twenty_causes_are_kept_the_newest_first() {
        let mut causes = VecDeque::new();
        for status in 500..=500 + FAILURES as u16 {
            let failed = failed(Code::UpstreamError, "", answer(status, ""));
            put_down(&mut causes, Failures::of(&failed, 0.0));
        }
        let newest = causes[0].answer.as_ref().unwrap().upstream_status;
        assert_eq!((causes.len(), newest), (FAILURES, 500 + FAILURES as u16));
    }

    #[test]
    fn unknown_members_are_absent() {
        let mut causes = VecDeque::new();
        let failed = failed(Code::UpstreamTimeout, "", None);
        put_down(&mut causes, Failures::of(&failed, 7.0));
        let json = serde_json::to_value(&causes[0]).unwrap();
        let mut members: Vec<_> = json.as_object().unwrap().keys().collect();
        members.sort();
        let expected = "batch_id count duration_ms first jobs outcome size t";
        assert!(members.into_iter().eq(expected.split(' ')), "{json}");
        assert_eq!(json["outcome"], "upstream-timeout");
    }
}
