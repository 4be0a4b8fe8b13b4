//! A success to the outcomes of the members.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use super::batch::{Batch, calls};
use super::call::{Body, Failed, Sent, end_to_end};
use super::gone::Gone;
use super::outcome::{Failure, JobOutcome, Passthrough};
use crate::aside::{LARGE, aside};
use crate::shape::{Answer, Call, NoResults, Outcome, Shape, Spliced};
use crate::upstream::Response;

/// An answer up to this size, in bytes, is kept whole for any of its results: what a
/// copy costs is more than what it would give back.
const SMALL: usize = 64 * 1024;

/// A success, read.
pub(super) struct Answered {
    /// The connection that it came on is kept for other calls when this is dropped,
    /// unless it is suspect by then.
    pub response: Response,
    /// What it holds for the members.
    pub results: Results,
}

/// What a success holds.
pub(super) enum Results {
    /// Something for each.
    Each(Each),
    /// All of it is for the only one.
    AsItCame(Passthrough),
    /// Nothing but that they were taken.
    None,
}

/// What an answer holds for each member.
pub(super) struct Each {
    pub answer: Answer,
    /// What its replies may be parts of.
    body: Bytes,
    /// What all replies have of its headers.
    headers: Option<Arc<HeaderMap>>,
}

/// Reads the answer to a batch; `gone` are those who were in it as well. One without a
/// result for any of them may be another batch's: all that follow on its connection would
/// be too, so that it is not used again.
///
/// # Errors
/// Where the answer holds no results at all.
pub(super) async fn read(
    sent: Sent<'_>,
    first_number: u64,
    (batch, gone): (&Batch, &Gone),
    mut response: Response,
    body: Body,
) -> Result<Answered, Failed> {
    let results = match body {
        Body::Unwanted => Results::None,
        Body::AsItCame(bytes) => Results::AsItCame(Passthrough {
            headers: end_to_end(response.headers().clone()),
            bytes,
        }),
        Body::Results(body) => match find(sent.shape, first_number, (batch, gone), &body).await {
            Ok(mut answer) => {
                if answer.is_for_nobody() {
                    response.suspect();
                }
                if !gone.is_empty() {
                    answer.outcomes = gone.take_from(answer.outcomes);
                }
                let headers = replied(sent.shape.reply_headers(), response.headers());
                Results::Each(Each {
                    answer,
                    body,
                    headers,
                })
            }
            Err(why) => {
                let is_success = (200..=299).contains(&response.status());
                let may_be_foreign = is_success || matches!(why, NoResults::Count(_));
                if may_be_foreign && why != NoResults::Refused {
                    response.suspect();
                }
                return Err(Failed::without_results(response, body, sent, &why).await);
            }
        },
    };
    Ok(Answered { response, results })
}

async fn find(
    shape: &Arc<Shape>,
    first_number: u64,
    (batch, gone): (&Batch, &Gone),
    body: &Bytes,
) -> Result<Answer, NoResults> {
    if body.len() < LARGE && gone.is_empty() {
        return shape.read_answer(calls(batch), first_number, body);
    }
    let sent: Vec<Call> = gone.and_others(batch);
    if body.len() < LARGE {
        return shape.read_answer(sent.iter(), first_number, body);
    }
    let (shape, body) = (Arc::clone(shape), body.clone());
    aside(move || shape.read_answer(sent.iter(), first_number, &body)).await
}

/// Those of an answer's headers that every caller gets.
fn replied(wanted: &[HeaderName], all: &HeaderMap) -> Option<Arc<HeaderMap>> {
    let values = |name: &HeaderName| {
        let (name, values) = (name.clone(), all.get_all(name).iter());
        values.map(move |value| (name.clone(), value.clone()))
    };
    let headers: HeaderMap = wanted.iter().flat_map(values).collect();
    (!headers.is_empty()).then(|| Arc::new(headers))
}

impl Each {
    /// What it has for one job, in an answer of this status.
    pub fn outcome(&self, found: Option<Outcome>, status: u16) -> JobOutcome {
        let missing = |other_type| Failure::ResultMissing { status, other_type };
        JobOutcome::Failed(match found {
            Some(Outcome::Reply(mut reply)) => {
                reply.body = apart(reply.body, &self.body);
                let headers = self.headers.clone();
                return JobOutcome::Reply { reply, headers };
            }
            Some(Outcome::Missing { other_type }) => missing(other_type),
            Some(Outcome::Ambiguous) => Failure::ResultAmbiguous(status),
            Some(Outcome::Malformed(_)) => Failure::ResultMalformed(status),
            None => missing(false),
        })
    }
}

/// A reply as it is kept until its caller takes it: in memory of its own where it would
/// hold on to an answer of more than twice the size of its part in it.
fn apart(reply: Spliced, answer: &Bytes) -> Spliced {
    if answer.len() <= SMALL {
        return reply;
    }
    let memory = answer.as_ptr_range();
    let of_answer = reply
        .pieces()
        .iter()
        .filter(|it| memory.contains(&it.as_ptr()));
    let held: usize = of_answer.map(Bytes::len).sum();
    match held > 0 && held < answer.len() / 2 {
        true => Spliced::One(Bytes::from(reply.pieces().concat())),
        false => reply,
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
            let own = Bytes::from_static(b"own");
            for (reply, length) in [
                (Spliced::One(result.clone()), result.len()),
                (
                    Spliced::Many(vec![own.clone(), result.clone(), own.clone()]),
                    result.len() + 2 * own.len(),
                ),
            ] {
                let kept = apart(reply, &answer);
                assert_eq!(kept.len(), length);
                let memory = answer.as_ptr_range();
                let holds = |it: &Bytes| memory.contains(&it.as_ptr());
                let is_copy = !kept.pieces().iter().any(holds);
                assert_eq!(is_copy, copied, "{} of {}", result.len(), answer.len());
            }
        }
    }

    #[test]
    fn what_has_memory_of_its_own_keeps_it() {
        let answer = Bytes::from(vec![b'x'; 1 << 20]);
        let own = Bytes::from(vec![b'x'; 10]);
        let kept = apart(Spliced::One(own.clone()), &answer).into_bytes();
        assert_eq!(kept.as_ptr(), own.as_ptr());
    }
}
