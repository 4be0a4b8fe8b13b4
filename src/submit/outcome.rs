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
    /// An answer as it came: a body that is no JSON is a string, and none is `null`.
    pub fn new(status: u16, body: &Bytes) -> Self {
        let json = || {
            let text = std::str::from_utf8(body).ok()?;
            RawValue::from_string(text.trim().to_owned()).ok()
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
            let outcome = Outcome::new(status, &Bytes::from_static(body.as_bytes()));
            let written = outcome.line(job.as_bytes(), handle, 3);
            assert_eq!(written, format!("{line}\n"));
            assert_eq!(outcome.failed(), status >= 400);
        }
    }
}
