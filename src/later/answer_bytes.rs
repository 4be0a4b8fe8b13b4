//! An answer as bytes: what a store that lasts keeps of it.

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::answer::Answer;
use crate::code::Code;

/// The first byte of each: how the others are to be read.
const VERSION: u8 = 1;

/// The bytes are no answer that this version has written, or could have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the bytes are no answer")]
pub struct NotAnAnswer;

/// An answer, as it is written.
#[derive(Deserialize, Serialize)]
struct Wire<'a> {
    /// The code as callers and metrics spell it: the order of codes is no other version's.
    code: &'a str,
    status: u16,
    #[serde(borrow)]
    head: &'a [u8],
    body: &'a [u8],
}

/// As bytes.
pub fn to_bytes(answer: &Answer) -> Vec<u8> {
    let wire = Wire {
        code: answer.code().as_str(),
        status: answer.status().as_u16(),
        head: answer.head(),
        body: answer.body(),
    };
    let mut bytes = Vec::with_capacity(answer.bytes() + 32);
    bytes.push(VERSION);
    // Nothing of it can't be written.
    postcard::to_extend(&wire, bytes).unwrap_or_default()
}

/// Reads it again; the body stays where it is.
///
/// # Errors
/// Where it is none.
pub fn from_bytes(bytes: &Bytes) -> Result<Answer, NotAnAnswer> {
    let (&VERSION, rest) = bytes.split_first().ok_or(NotAnAnswer)? else {
        return Err(NotAnAnswer);
    };
    let wire: Wire<'_> = postcard::from_bytes(rest).map_err(|_| NotAnAnswer)?;
    let code = code(wire.code).ok_or(NotAnAnswer)?;
    let status = StatusCode::from_u16(wire.status).map_err(|_| NotAnAnswer)?;
    let body = bytes.slice_ref(wire.body);
    Ok(Answer::from_parts(code, status, wire.head.into(), body))
}

/// The code of this name.
pub fn code(name: &str) -> Option<Code> {
    Code::ALL.iter().find(|it| it.as_str() == name).copied()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn answers() -> impl Strategy<Value = Answer> {
        let code = prop::sample::select(Code::ALL);
        let values = prop::collection::vec("[ -~\u{80}-\u{ff}]{0,8}", 0..3);
        let body = prop::collection::vec(any::<u8>(), 0..40);
        (code, 100..1000_u16, values, body).prop_map(|(code, status, values, body)| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append("x-of-it", value);
            }
            let status = StatusCode::from_u16(status).unwrap();
            Answer::new(code, status, &headers, &body.into())
        })
    }

    proptest! {
        #[test]
        fn an_answer_reads_as_it_was_written(answer in answers()) {
            let bytes = Bytes::from(to_bytes(&answer));
            let read = from_bytes(&bytes);
            prop_assert_eq!(read.as_ref().map(Answer::headers), Ok(answer.headers()));
            prop_assert_eq!(read, Ok(answer));
        }

        #[test]
        fn whatever_else_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            // Without a panic.
            let _read = from_bytes(&Bytes::from(bytes));
        }
    }

    #[test]
    fn what_another_version_wrote_is_refused() {
        let answer = Answer::new(Code::Ok, StatusCode::OK, &HeaderMap::new(), &Bytes::new());
        let mut bytes = to_bytes(&answer);
        bytes[0] += 1;
        assert_eq!(from_bytes(&bytes.into()), Err(NotAnAnswer));
        assert_eq!(from_bytes(&Bytes::new()), Err(NotAnAnswer));
    }
}
