//! Section 3 of the contract: which job gets which element of an answer.

use bytes::Bytes;
use microbatch::job::Job;
use microbatch::json::MAX_DEPTH;
use microbatch::processor::correlate::{
    Correlation, Element, ElementError, NotResults, Outcome, Unmatched, correlate,
};
use serde_json::value::RawValue;

use super::reading::{self, Id};

/// A batch with an id of each sort, and with pairs that differ in their type alone.
const BATCH: [&str; 9] = [
    "1",
    r#""1""#,
    "0",
    "-1",
    r#""a""#,
    r#""é\n\ud83d\ude00""#,
    r#""\u0000""#,
    "-9223372036854775808",
    "18446744073709551615",
];

/// Why an answer holds no results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NotUtf8,
    NotJson,
    TooDeep,
    NotAnArray,
}

/// Checks what a batch of fixed ids gets from `answer`.
///
/// # Panics
/// Where that is not what the contract says.
pub fn check_answer(answer: &[u8]) {
    check(BATCH, answer);
}

/// Checks what the jobs with these ids, as they are written, get from `answer`. What is no id, or
/// the same id again, is left out.
///
/// # Panics
/// Where that is not what the contract says.
pub fn check<'a>(ids: impl IntoIterator<Item = &'a str>, answer: &[u8]) {
    let mut known: Vec<Id> = Vec::new();
    let mut jobs: Vec<Job> = Vec::new();
    for written in ids {
        let value: &RawValue = serde_json::from_str(written).expect("ids are JSON");
        if let Ok(id) = reading::id(value)
            && !known.contains(&id)
        {
            let body = Bytes::from(format!("{{\"id\":{written}}}"));
            jobs.push(Job::parse(&body, MAX_DEPTH).expect("an id makes a job"));
            known.push(id);
        }
    }
    let shared = Bytes::copy_from_slice(answer);
    let correlation = correlate(jobs.iter().map(Job::id), &shared);
    let expected = expect(&known, answer);
    assert_eq!(
        correlation.map_err(|refused| kind(&refused)),
        expected,
        "for {known:?} and {}",
        answer.escape_ascii()
    );
}

/// The oracle.
fn expect(ids: &[Id], answer: &[u8]) -> Result<Correlation, Refusal> {
    let text = std::str::from_utf8(answer).map_err(|_| Refusal::NotUtf8)?;
    let answer: &RawValue = serde_json::from_str(text).map_err(|_| Refusal::NotJson)?;
    // The array is one level above the results.
    if reading::deeper_than(reading::MAX_DEPTH + 1, answer) {
        return Err(Refusal::TooDeep);
    }
    let elements = reading::elements(answer).ok_or(Refusal::NotAnArray)?;

    let mut unmatched = Unmatched::default();
    let mut mine: Vec<Vec<Element>> = vec![Vec::new(); ids.len()];
    for element in elements {
        let Some(members) = reading::members(element) else {
            unmatched.not_an_object += 1;
            continue;
        };
        let named = |wanted: &'static [u8]| {
            let members = members.iter().filter(move |(name, _)| name.0 == wanted);
            members.map(|(_, value)| *value)
        };
        let (id, more) = (named(b"id").next(), named(b"id").nth(1));
        match (id, more) {
            (None, _) => unmatched.no_id += 1,
            (Some(_), Some(_)) => unmatched.two_ids += 1,
            (Some(id), None) => {
                let id = reading::id(id).ok();
                match ids.iter().position(|known| Some(known) == id.as_ref()) {
                    Some(job) => mine[job].push(Element {
                        raw: Bytes::copy_from_slice(element.get().as_bytes()),
                        error: error(named(b"error"), named(b"status").next_back()),
                    }),
                    None => unmatched.unknown_id += 1,
                }
            }
        }
    }
    let outcomes = mine.into_iter().map(outcome).collect();
    Ok(Correlation {
        outcomes,
        unmatched,
    })
}

/// What an element with these members says went wrong. The contract leaves open which of two
/// members counts: any error is one, and the last status is the element's.
fn error<'a>(
    mut errors: impl Iterator<Item = &'a RawValue>,
    status: Option<&RawValue>,
) -> Option<ElementError> {
    let none = |error: &RawValue| {
        let text: Result<Option<String>, _> = serde_json::from_str(error.get());
        text.is_ok_and(|text| text.unwrap_or_default().is_empty())
    };
    let status = status.and_then(|status| serde_json::from_str::<u16>(status.get()).ok());
    errors.any(|error| !none(error)).then_some(ElementError {
        status: status.filter(|status| (400..600).contains(status)),
    })
}

fn outcome(mut mine: Vec<Element>) -> Outcome {
    mine.dedup();
    match mine.len() {
        0 => Outcome::Missing,
        1 => Outcome::Found(mine.remove(0)),
        _ => Outcome::Ambiguous,
    }
}

fn kind(refused: &NotResults) -> Refusal {
    match refused {
        NotResults::NotUtf8 => Refusal::NotUtf8,
        NotResults::NotJson(_) => Refusal::NotJson,
        NotResults::TooDeep => Refusal::TooDeep,
        NotResults::NotAnArray => Refusal::NotAnArray,
    }
}
