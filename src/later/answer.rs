//! An answer as it is kept: what a waiting caller would have had.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::code::Code;
use crate::job::State;

/// A body from this size on, in bytes, is kept as it is: a result of this size holds on
/// to at most twice its own, since the engine copies smaller parts out of large answers.
const LARGE_PART: usize = 32 * 1024;

/// Between the parts of a head. No header's value can have it (RFC 9110, section 5.5).
const END_OF_LINE: char = '\n';

/// Status, headers and body of an answer, in as little memory as they need. A handle:
/// clones are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    code: Code,
    status: StatusCode,
    /// `name: value` of each header, a line each.
    head: Box<[u8]>,
    body: Bytes,
}

impl Answer {
    /// An answer with these headers. Of a small body it keeps a copy, since the memory
    /// that a result is a part of may be much larger.
    pub fn new(code: Code, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Self {
        let mut head = Vec::new();
        for (name, value) in headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.push(b':');
            head.extend_from_slice(value.as_bytes());
            head.push(END_OF_LINE as u8);
        }
        Self(Arc::new(Parts {
            code,
            status,
            head: head.into(),
            body: match body.len() {
                ..LARGE_PART => Bytes::copy_from_slice(body),
                _ => body.clone(),
            },
        }))
    }

    /// The same as it was [kept](super::answer_bytes).
    pub(super) fn from_parts(code: Code, status: StatusCode, head: Box<[u8]>, body: Bytes) -> Self {
        Self(Arc::new(Parts {
            code,
            status,
            head,
            body,
        }))
    }

    /// Its headers, `name:value` and the end of a line of each.
    pub(super) fn head(&self) -> &[u8] {
        &self.0.head
    }

    /// What the job came to.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Its body.
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// Its headers, in their order.
    pub fn headers(&self) -> HeaderMap {
        let lines = self.0.head.split(|&byte| byte == END_OF_LINE as u8);
        let header = |line: &[u8]| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            Some((name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(header) {
            headers.append(name, value);
        }
        headers
    }

    /// The state of a record that has it.
    pub fn state(&self) -> State {
        match self.0.status.as_u16() < 400 {
            true => State::Done,
            false => State::Failed,
        }
    }

    /// What it counts for within `later.max_bytes`.
    pub fn bytes(&self) -> usize {
        self.0.head.len() + self.0.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_header_for_header() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-batch-id", "a: b"), ("retry-after", "1"), ("empty", "")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers.append("retry-after", HeaderValue::from_bytes(b"\xff\t").unwrap());
        let answer = Answer::new(Code::Ok, StatusCode::CREATED, &headers, &Bytes::from("{}"));
        assert_eq!(answer.headers(), headers);
        assert_eq!(answer.status(), StatusCode::CREATED);
        assert_eq!(answer.body(), "{}");
    }

    #[test]
    fn a_large_body_is_not_copied() {
        for (size, copied) in [(1, true), (LARGE_PART - 1, true), (LARGE_PART, false)] {
            let body = Bytes::from(vec![b'x'; size]);
            let answer = Answer::new(Code::Ok, StatusCode::OK, &HeaderMap::new(), &body);
            assert_eq!(answer.body(), &body);
            assert_eq!(answer.body().as_ptr() != body.as_ptr(), copied, "{size}");
        }
    }

    #[test]
    fn a_status_from_400_on_is_a_failure() {
        for (status, state) in [
            (200, State::Done),
            (204, State::Done),
            (399, State::Done),
            (400, State::Failed),
            (503, State::Failed),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer::new(Code::Ok, status, &HeaderMap::new(), &Bytes::new());
            assert_eq!(answer.state(), state, "{status}");
        }
    }
}
