//! Section 10 of the contract: what callers get of an answer that was matched by a shape.

use std::collections::BTreeMap;

use bytes::Bytes;
use microbatch::shape::{Answer, Call, Keys, Limits, NoResults, Outcome, Request, Shape};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Where numbers on the wire begin.
const FIRST: u64 = 3;

/// A shape, and the calls of a batch.
struct Case {
    name: &'static str,
    table: fn(&mut Keys),
    calls: &'static [&'static str],
}

const CASES: [Case; 6] = [
    Case {
        name: "json-rpc",
        table: |_| {},
        calls: &[r#"{"id":1}"#, r#"{"id":1}"#, r#"{"id":"a"}"#],
    },
    Case {
        name: "kserve-v1",
        table: |_| {},
        calls: &[r#"{"instances":[1,2]}"#, r#"{"instances":[3]}"#],
    },
    Case {
        name: "openai-embeddings",
        table: |_| {},
        calls: &[r#"{"input":["a","b"]}"#, r#"{"input":"c"}"#],
    },
    Case {
        name: "elasticsearch-index",
        table: |_| {},
        calls: &["{}", r#"{"a":1}"#, r#"{"b":2}"#],
    },
    Case {
        name: "ndjson",
        table: |keys| {
            keys.results = Some("lines".to_owned());
            keys.error = Some("/m/error".to_owned());
        },
        calls: &[r#"{"id":1}"#, r#"{"id":2}"#],
    },
    Case {
        name: "ndjson",
        table: |keys| {
            keys.results = Some("same".to_owned());
            keys.result = Some("/m/0".to_owned());
        },
        calls: &["1", "2"],
    },
];

/// Checks what the calls of one of a few batches get from `answer`; `which` chooses.
///
/// # Panics
/// Where a reply is not JSON, or where a parser that reads all of the answer finds others of
/// its results at the places of a call's items than are in its reply.
pub fn check(which: u8, answer: &[u8]) {
    let case = &CASES[usize::from(which) % CASES.len()];
    let mut keys = Keys {
        like: Some(case.name.to_owned()),
        ..Keys::default()
    };
    (case.table)(&mut keys);
    let shape = Shape::compile(&keys, &["index"]).expect("the shape is sound");
    let calls: Vec<Call> = case.calls.iter().map(|body| read(&shape, body)).collect();
    let bytes = Bytes::copy_from_slice(answer);
    match shape.read_answer(calls.iter(), FIRST, &bytes) {
        Ok(found) => {
            let replies = sound(&calls, &found, case.name == "kserve-v1");
            if let Some(expected) = expected(case.name, answer) {
                for (at, reply) in replies.into_iter().enumerate() {
                    let expected = expected.get(at);
                    assert!(reply.is_none() || reply.as_ref() == expected, "{reply:?}");
                }
            }
        }
        Err(NoResults::Refused) => assert_eq!(case.name, "json-rpc"),
        Err(_) => {}
    }
}

/// The replies that an answer holds, by a parser that takes it whole. It may know of none where
/// only some results can be read.
fn expected(name: &str, answer: &[u8]) -> Option<Vec<String>> {
    let member = match name {
        "kserve-v1" => "predictions",
        "elasticsearch-index" => "items",
        _ => return None,
    };
    let answer = answer.strip_prefix("\u{feff}".as_bytes()).unwrap_or(answer);
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(answer).ok()?;
    let results: Vec<&RawValue> = serde_json::from_str(members.get(member)?.get()).ok()?;
    let [one, two, three] = results.try_into().ok()?;
    if name == "kserve-v1" {
        let first = format!("{{\"predictions\":[{one},{two}]}}");
        return Some(vec![first, format!("{{\"predictions\":[{three}]}}")]);
    }
    // The value of the only member; a status without a body is no matter of this.
    let each = [one, two, three].map(|result| {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(result.get()).ok()?;
        let value = members.into_values().next()?;
        Some(value.get().to_owned())
    });
    each.into_iter().collect()
}

fn read(shape: &Shape, body: &'static str) -> Call {
    let limits = Limits {
        max_depth: 128,
        max_items: 100,
        max_bytes: 1 << 20,
    };
    let request = Request {
        content_type: None,
        captures: &["logs"],
    };
    let body = Bytes::from_static(body.as_bytes());
    shape
        .read(body, request, limits)
        .expect("the call is sound")
}

/// The replies that have a body.
fn sound(calls: &[Call], answer: &Answer, nan: bool) -> Vec<Option<String>> {
    assert_eq!(answer.outcomes.len(), calls.len());
    let replies = answer.outcomes.iter().map(|outcome| {
        let Outcome::Reply(reply) = outcome else {
            return None;
        };
        assert!((200..=599).contains(&reply.status));
        let body = String::from_utf8(reply.body.pieces().concat()).expect("a reply is UTF-8");
        if body.is_empty() {
            assert!(matches!(reply.status, 204 | 205 | 304));
            return None;
        }
        let is_json = serde_json::from_str::<IgnoredAny>(&body).is_ok();
        assert!(is_json || nan, "{body}");
        Some(body)
    });
    replies.collect()
}
