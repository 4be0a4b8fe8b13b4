//! What came of a job, and the line that it is written as. Pure.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// An answer's status and body.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its status.
    pub status: u16,
    /// Its body in JSON on one line.
    body: Box<RawValue>,
}

/// The part of a job that is asked for.
#[derive(Deserialize)]
struct Job<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

/// The line of a result.
#[derive(Serialize)]
struct Line<'a> {
    handle: Option<&'a str>,
    id: Option<&'a RawValue>,
    /// Of a job that has no handle, the line of the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    status: u16,
    body: &'a RawValue,
}

impl Outcome {
    /// An answer as it came, in the words of a stream: a body that is no JSON, or does not
    /// say so, is a string, and none is `null`.
    pub fn new(status: u16, content_type: Option<&str>, body: &Bytes) -> Self {
        let json = || {
            let text = std::str::from_utf8(body).ok()?;
            let json = is_json(content_type?).then(|| text.trim().to_owned());
            RawValue::from_string(json?).ok()
        };
        let body = match body.is_empty() {
            true => None,
            false => json().or_else(|| to_raw_value(&String::from_utf8_lossy(body)).ok()),
        };
        Self::of(status, body)
    }

    /// The same of what is JSON already.
    pub fn of(status: u16, body: Option<Box<RawValue>>) -> Self {
        let body = body.unwrap_or_else(|| RawValue::NULL.to_owned());
        let body = match body.get().contains(['\n', '\r']) {
            // Ends of lines stand between the parts of a document alone, never in a string.
            true => RawValue::from_string(body.get().replace(['\n', '\r'], " ")).unwrap_or(body),
            false => body,
        };
        Self { status, body }
    }

    /// Whether the job failed: a status from 400 on.
    pub fn failed(&self) -> bool {
        self.status >= 400
    }

    /// The line of a job's result, with its end.
    pub fn line(&self, job: &[u8], handle: Option<&str>, number: u64) -> String {
        let id = serde_json::from_slice(job).ok();
        let line = Line {
            handle,
            id: id.map(|Job { id }| id),
            line: handle.is_none().then_some(number),
            status: self.status,
            body: &self.body,
        };
        let mut line = serde_json::to_string(&line).unwrap_or_default();
        line.push('\n');
        line
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_a_line() {
        for (status, body, job, handle, line) in [
            (
                200,
                r#"{"id":1.0,"x":12345678901234567890}"#,
                r#"{"x":1,"id":"a\n"}"#,
                Some("h"),
                r#"{"handle":"h","id":"a\n","status":200,"body":{"id":1.0,"x":12345678901234567890}}"#,
            ),
            (
                204,
                "",
                r#"{"id":7}"#,
                Some("h"),
                r#"{"handle":"h","id":7,"status":204,"body":null}"#,
            ),
            (
                422,
                "{\n  \"code\": \"a\\nb\"\r\n}\n",
                "[]",
                None,
                r#"{"handle":null,"id":null,"line":3,"status":422,"body":{   "code": "a\nb"  }}"#,
            ),
            (
                404,
                "<p>\n\"no\"",
                "no JSON",
                None,
                r#"{"handle":null,"id":null,"line":3,"status":404,"body":"<p>\n\"no\""}"#,
            ),
        ] {
            let content_type = match body.starts_with('<') {
                true => "text/html",
                false => "application/Problem+json; charset=utf-8",
            };
            let body = Bytes::from_static(body.as_bytes());
            let outcome = Outcome::new(status, Some(content_type), &body);
            let written = outcome.line(job.as_bytes(), handle, 3);
            assert_eq!(written, format!("{line}\n"));
            assert_eq!(outcome.failed(), status >= 400);
        }
    }

    #[test]
    fn what_does_not_say_that_it_is_json_is_text() {
        for (content_type, body) in [
            (Some("application/json"), "1"),
            (Some("Text/Plain"), "\"1\""),
            (None, "\"1\""),
        ] {
            let outcome = Outcome::new(200, content_type, &Bytes::from_static(b"1"));
            assert_eq!(outcome.body.get(), body);
        }
    }
}
