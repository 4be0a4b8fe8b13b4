//! The batches of microbatch itself: jobs in, an array of results out. Ids and bodies are kept as
//! they are spelled, byte for byte, and never turned into values.

use axum::http::StatusCode;
use axum::response::Response;
use serde::de::Error;

use crate::sample_upstream::asked::{Asked, json};
use crate::sample_upstream::object::Object;
use crate::sample_upstream::plan::Planned;

/// A batch.
#[derive(Debug)]
pub(super) struct Jobs<'a>(Vec<Job<'a>>);

pub(super) fn read(body: &[u8]) -> Result<Jobs<'_>, String> {
    let wrong =
        |error| format!("A batch is a JSON array of {{\"id\", \"body\"}} objects: {error}.");
    parse(body).map(Jobs).map_err(wrong)
}

impl Asked for Jobs<'_> {
    fn items(&self) -> usize {
        self.0.len()
    }

    fn answer(&self, results: &[Planned]) -> Response {
        json(StatusCode::OK, encode(&self.0, results))
    }
}

/// One job, borrowed from the batch it came in.
#[derive(Debug)]
struct Job<'a> {
    id: &'a str,
    body: &'a str,
}

/// Reads a JSON array of `{"id", "body"}` objects. A missing `body` is `null`, and other members are
/// ignored.
///
/// # Errors
///
/// What is wrong, when it isn't JSON, not an array of objects, or an object has no `id`.
fn parse(body: &[u8]) -> Result<Vec<Job<'_>>, serde_json::Error> {
    let objects: Vec<Object<'_>> = serde_json::from_slice(body)?;
    let jobs = objects.iter().map(|object| {
        let id = object.get("id");
        Ok(Job {
            id: id.ok_or_else(|| serde_json::Error::missing_field("id"))?,
            body: object.get("body").unwrap_or("null"),
        })
    });
    jobs.collect()
}

/// Writes the planned results as a JSON array.
fn encode(jobs: &[Job<'_>], results: &[Planned]) -> String {
    let planned = || {
        results
            .iter()
            .filter_map(|result| Some((result, jobs.get(result.job)?)))
    };
    let sizes = planned().map(|(_, job)| job.id.len() + job.body.len() + 32);
    let mut json = String::with_capacity(sizes.sum::<usize>() + 2);
    let mut before = '[';
    for (result, job) in planned() {
        json.push(before);
        json.push_str(r#"{"id":"#);
        json.push_str(job.id);
        if result.error {
            json.push_str(r#","error":"sample error"}"#);
        } else {
            json.push_str(r#","result":"#);
            json.push_str(job.body);
            json.push('}');
        }
        before = ',';
    }
    if before == '[' {
        json.push('[');
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(batch: &str) -> String {
        let jobs = parse(batch.as_bytes()).unwrap();
        let results: Vec<_> = (0..jobs.len())
            .map(|job| Planned { job, error: false })
            .collect();
        encode(&jobs, &results)
    }

    #[test]
    fn ids_and_bodies_keep_their_spelling() {
        let batch = r#" [ {"id" : "\u0061\/" , "body": {"b": 1.0e+2, "a": [ 1 , 123456789012345678901234567890 ], "a":2} },
                          {"body":"Grüße \ud83d\ude00","x":[{}],"\u0069d":-7} ] "#;
        let expected = concat!(
            r#"[{"id":"\u0061\/","result":{"b": 1.0e+2, "a": [ 1 , 123456789012345678901234567890 ], "a":2}},"#,
            r#"{"id":-7,"result":"Grüße \ud83d\ude00"}]"#,
        );
        assert_eq!(echo(batch), expected);
    }

    #[test]
    fn a_missing_body_is_null_and_the_last_of_two_counts() {
        assert_eq!(echo(r#"[{"id":1}]"#), r#"[{"id":1,"result":null}]"#);
        assert_eq!(
            echo(r#"[{"id":1,"body":2,"body":3}]"#),
            r#"[{"id":1,"result":3}]"#
        );
        assert_eq!(echo("[]"), "[]");
    }

    #[test]
    fn the_plan_decides_on_order_errors_and_what_is_left_out() {
        let jobs =
            parse(br#"[{"id":0,"body":"a"},{"id":1,"body":"b"},{"id":2,"body":"c"}]"#).unwrap();
        let results = [
            Planned {
                job: 2,
                error: false,
            },
            Planned {
                job: 0,
                error: true,
            },
        ];
        assert_eq!(
            encode(&jobs, &results),
            r#"[{"id":2,"result":"c"},{"id":0,"error":"sample error"}]"#,
        );
        assert_eq!(encode(&jobs, &[]), "[]");
    }

    #[test]
    fn what_is_no_batch_is_refused_with_the_reason() {
        let cases: [(&[u8], &str); 6] = [
            (b"", "EOF"),
            (b"{}", "expected a sequence"),
            (b"[1]", "expected an object"),
            (br#"[{"body":1}]"#, "missing field `id`"),
            (br#"[{"id":1}"#, "EOF"),
            (b"[{\"id\":\"\xff\"}]", "invalid unicode"),
        ];
        for (batch, reason) in cases {
            let error = parse(batch).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
