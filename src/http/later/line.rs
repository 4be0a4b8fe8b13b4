//! One event of a stream as text: a line of JSON, alone or in a server-sent event.

use axum::http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::job_id::JobId;
use crate::later::answer::Answer;
use crate::later::record::Record;

/// What is told of a record that is finished.
#[derive(Serialize)]
struct Line<'a> {
    handle: String,
    id: Option<&'a JobId>,
    status: u16,
    body: Content<'a>,
}

/// The body of an answer within JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Json(&'a RawValue),
    Text(String),
    Nothing(()),
}

impl<'a> Content<'a> {
    fn of(answer: &'a Answer) -> Self {
        if answer.body().is_empty() {
            return Self::Nothing(());
        }
        // What calls itself JSON is mostly the upstream's, and may be anything.
        let json = is_json(answer).then(|| serde_json::from_slice(answer.body()));
        match json {
            Some(Ok(json)) => Self::Json(json),
            _ => Self::Text(String::from_utf8_lossy(answer.body()).into_owned()),
        }
    }
}

fn is_json(answer: &Answer) -> bool {
    let headers = answer.headers();
    let content_type = headers.get(CONTENT_TYPE).map(|it| it.as_bytes());
    let essence = content_type.and_then(|it| it.split(|&byte| byte == b';').next());
    essence.is_some_and(|essence| {
        let essence = essence.trim_ascii().to_ascii_lowercase();
        essence == b"application/json" || essence.ends_with(b"+json")
    })
}

/// The line of JSON of a finished record, without its end; `None` for one that is not.
pub(super) fn line(record: &Record) -> Option<Vec<u8>> {
    let answer = record.answer.as_ref()?;
    let line = Line {
        handle: record.handle.to_string(),
        id: record.id.as_ref(),
        status: answer.status().as_u16(),
        body: Content::of(answer),
    };
    let mut line = serde_json::to_vec(&line).ok()?;
    // Line breaks of JSON are white space, or written as escapes.
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, StatusCode};
    use bytes::Bytes;

    use super::*;
    use crate::code::Code;
    use crate::job::{Handle, RouteName, State};

    fn told(content_type: &'static str, body: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let answer = Answer::new(
            Code::Ok,
            StatusCode::CREATED,
            &headers,
            &Bytes::copy_from_slice(body),
        );
        let record = Record {
            handle: Handle::new(7).unwrap(),
            route: RouteName::jobs(),
            id: JobId::parse(r#""a\"b""#).ok(),
            state: State::Done,
            expires_at: 0,
            answer: Some(answer),
        };
        let line = String::from_utf8(line(&record).unwrap()).unwrap();
        let head = format!(
            r#"{{"handle":"{}","id":"a\"b","status":201,"body":"#,
            record.handle
        );
        let body = line.strip_prefix(&head).unwrap_or_else(|| panic!("{line}"));
        let body = body.strip_suffix('}').unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap();
        body.to_owned()
    }

    #[test]
    fn json_stands_in_it_as_it_is_and_all_else_as_a_string() {
        const JSON: &str = "application/json";
        for (content_type, body, expected) in [
            (
                JSON,
                &br#"{"n": 1.00, "n":12345678901234567890123}"#[..],
                None,
            ),
            ("Application/Problem+JSON; charset=utf-8", b"[1]", None),
            (
                JSON,
                b"{\r\n  \"a\":\n\"\\n\"}",
                Some("{    \"a\": \"\\n\"}"),
            ),
            (JSON, b"", Some("null")),
            (JSON, b"{\"a\":", Some("\"{\\\"a\\\":\"")),
            (JSON, b"\"\xff\"", Some("\"\\\"\u{fffd}\\\"\"")),
            ("text/plain", b"1\n2", Some("\"1\\n2\"")),
            ("text/plain", b"1", Some("\"1\"")),
            ("application/jsonp", b"1", Some("\"1\"")),
        ] {
            let as_it_is = || std::str::from_utf8(body).unwrap();
            let expected = expected.unwrap_or_else(as_it_is);
            assert_eq!(told(content_type, body), expected);
        }
    }
}
