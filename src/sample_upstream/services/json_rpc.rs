//! JSON-RPC 2.0: an object or an array of them; the result of a call is its `params`.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::sample_upstream::asked::{Asked, SAMPLE_ERROR, array, json};
use crate::sample_upstream::object::{list, object, value};
use crate::sample_upstream::plan::Planned;

/// One object, or several in an array.
#[derive(Debug)]
pub(super) struct Calls<'a> {
    calls: Vec<&'a str>,
    in_array: bool,
}

pub(super) fn read(body: &[u8]) -> Result<Calls<'_>, String> {
    let text = value(body).map_err(|error| format!("Parse error: {error}"))?;
    let in_array = text.starts_with('[');
    let calls = match in_array {
        true => list(text).map_err(|error| format!("Parse error: {error}"))?,
        false => vec![text],
    };
    match calls.is_empty() {
        true => Err("Invalid Request: an empty array".to_owned()),
        false => Ok(Calls { calls, in_array }),
    }
}

impl Asked for Calls<'_> {
    fn items(&self) -> usize {
        self.calls.len()
    }

    fn answer(&self, results: &[Planned]) -> Response {
        let planned = results.iter().filter_map(|it| {
            let call = self.calls.get(it.job)?;
            response(call, it.error)
        });
        let mut responses = planned.peekable();
        // Notifications alone are answered by nothing.
        if responses.peek().is_none() && !(self.in_array && results.is_empty()) {
            return StatusCode::NO_CONTENT.into_response();
        }
        let body = match self.in_array {
            true => array(responses),
            false => responses.collect(),
        };
        json(StatusCode::OK, body)
    }
}

/// The response to a call, which a notification does not have.
fn response(call: &str, fails: bool) -> Option<String> {
    let error = |id: &str, code: i32, message: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#)
    };
    let Ok(call) = object(call) else {
        return Some(error("null", -32600, "Invalid Request"));
    };
    let id = call.get("id")?;
    if fails {
        return Some(error(id, -32000, SAMPLE_ERROR));
    }
    let result = call.get("params").unwrap_or("null");
    Some(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
    ))
}
