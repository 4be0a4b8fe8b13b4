//! Section 3 of the contract: which job gets which element of an answer.

use bytes::Bytes;
use microbatch::fault::{NotResults, Unmatched};
use microbatch::job::Job;
use microbatch::json::MAX_DEPTH;
use microbatch::shape::{Answer, NoResults, Outcome, Reply, Shape, Spliced};
use serde_json::value::RawValue;

use super::parts;
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
    Unreadable,
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
            jobs.push(Job::parse(body, MAX_DEPTH).expect("an id makes a job"));
            known.push(id);
        }
    }
    let shared = Bytes::copy_from_slice(answer);
    let found = Shape::jobs().read_answer(jobs.iter().map(Job::call), 1, &shared);
    let expected = expect(&known, answer);
    assert_eq!(
        found.map_err(|refused| kind(&refused)),
        expected,
        "for {known:?} and {}",
        answer.escape_ascii()
    );
}

/// The oracle.
fn expect(ids: &[Id], answer: &[u8]) -> Result<Answer, Refusal> {
    let answer = answer.strip_prefix("\u{feff}".as_bytes()).unwrap_or(answer);
    if !answer.trim_ascii_start().starts_with(b"[") {
        return Err(Refusal::NotAnArray);
    }
    let elements = parts::elements(answer).ok_or(Refusal::Unreadable)?;

    let mut unmatched = Unmatched::default();
    let mut mine: Vec<Vec<Outcome>> = vec![Vec::new(); ids.len()];
    let mut other_type = vec![false; ids.len()];
    for element in elements {
        let raw = || Bytes::copy_from_slice(element);
        let (id, outcome) = match sound(element) {
            Some(value) => {
                let Some(members) = reading::members(value) else {
                    unmatched.not_an_object += 1;
                    continue;
                };
                let named = |wanted: &'static [u8]| {
                    let members = members.iter().filter(move |(name, _)| name.0 == wanted);
                    members.map(|(_, value)| *value)
                };
                let id = match (named(b"id").next(), named(b"id").nth(1)) {
                    (None, _) => {
                        unmatched.no_id += 1;
                        continue;
                    }
                    (Some(_), Some(_)) => {
                        unmatched.two_ids += 1;
                        continue;
                    }
                    (Some(id), None) => reading::id(id).ok(),
                };
                let error = error(named(b"error"), named(b"status").next_back());
                let reply = Reply {
                    status: error.unwrap_or(200),
                    is_error: error.is_some(),
                    body: Spliced::One(raw()),
                };
                (id, Outcome::Reply(reply))
            }
            None => match odd_id(element) {
                Some(id) => (Some(id), Outcome::Malformed(raw())),
                None => {
                    unmatched.malformed += 1;
                    continue;
                }
            },
        };
        let place = |id: Option<&Id>| ids.iter().position(|known| Some(known) == id);
        match place(id.as_ref()) {
            Some(job) => mine[job].push(outcome),
            None => {
                unmatched.unknown_id += 1;
                if let Some(job) = place(id.as_ref().and_then(twin).as_ref()) {
                    other_type[job] = true;
                }
            }
        }
    }
    let outcomes = mine.into_iter().zip(other_type);
    Ok(Answer {
        outcomes: outcomes
            .map(|(mine, other_type)| outcome(mine, other_type))
            .collect(),
        unmatched,
    })
}

/// The element as JSON, if it is, and nests no deeper than it may.
fn sound(element: &[u8]) -> Option<&RawValue> {
    let value: &RawValue = serde_json::from_slice(element).ok()?;
    (!reading::deeper_than(reading::MAX_DEPTH, value)).then_some(value)
}

/// The id of an element that is not JSON as a whole.
fn odd_id(element: &[u8]) -> Option<Id> {
    let members = parts::members(element)?;
    let is_id = |name: &[u8]| {
        let name: Result<reading::Text, _> = serde_json::from_slice(name);
        name.is_ok_and(|name| name.0 == b"id")
    };
    let mut ids = members.into_iter().filter(|(name, _)| is_id(name));
    let (_, id) = ids.next()?;
    let id: &RawValue = serde_json::from_slice(id).ok()?;
    reading::id(id).ok().filter(|_| ids.next().is_none())
}

/// The id of the other type that is written with the same characters.
fn twin(id: &Id) -> Option<Id> {
    match id {
        Id::Integer(number) => Some(Id::Text(number.to_string())),
        Id::Text(text) => {
            let value: Box<RawValue> = RawValue::from_string(text.clone()).ok()?;
            reading::id(&value)
                .ok()
                .filter(|id| matches!(id, Id::Integer(_)) && id.to_string() == *text)
        }
    }
}

/// The status of an element with these members, where they say that something went wrong. The
/// contract leaves open which of two members counts: any error is one, and the last status is the
/// element's.
fn error<'a>(
    mut errors: impl Iterator<Item = &'a RawValue>,
    status: Option<&RawValue>,
) -> Option<u16> {
    let none = |error: &RawValue| {
        let text: Result<Option<String>, _> = serde_json::from_str(error.get());
        text.is_ok_and(|text| text.unwrap_or_default().is_empty())
    };
    let status = status.and_then(|status| serde_json::from_str::<u16>(status.get()).ok());
    let status = status.filter(|status| (400..600).contains(status));
    errors
        .any(|error| !none(error))
        .then_some(status.unwrap_or(422))
}

fn outcome(mut mine: Vec<Outcome>, other_type: bool) -> Outcome {
    mine.dedup();
    match mine.len() {
        0 => Outcome::Missing { other_type },
        1 => mine.remove(0),
        _ => Outcome::Ambiguous,
    }
}

fn kind(refused: &NoResults) -> Refusal {
    match refused {
        NoResults::NotResults(NotResults::Unreadable(_)) => Refusal::Unreadable,
        NoResults::NotResults(NotResults::NotAnArray(_)) => Refusal::NotAnArray,
        other => panic!("of no batch of jobs: {other}"),
    }
}
