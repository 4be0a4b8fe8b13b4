//! GraphQL over HTTP, with array batching: the data of an operation are its query and variables.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::sample_upstream::asked::{Asked, SAMPLE_ERROR, array, json};
use crate::sample_upstream::object::{list, object, value};
use crate::sample_upstream::plan::Planned;

/// One operation, or several in an array.
#[derive(Debug)]
pub(super) struct Operations<'a> {
    operations: Vec<&'a str>,
    in_array: bool,
}

pub(super) fn read(body: &[u8]) -> Result<Operations<'_>, String> {
    let wrong = |error| format!("expected {{\"query\"}} or an array of such: {error}");
    let text = value(body).map_err(wrong)?;
    let in_array = text.starts_with('[');
    let operations = match in_array {
        true => list(text).map_err(wrong)?,
        false => vec![text],
    };
    match operations.is_empty() {
        true => Err("no operation".to_owned()),
        false => Ok(Operations {
            operations,
            in_array,
        }),
    }
}

impl Asked for Operations<'_> {
    fn items(&self) -> usize {
        self.operations.len()
    }

    fn answer(&self, results: &[Planned]) -> Response {
        let planned = results.iter().filter_map(|it| {
            let operation = self.operations.get(it.job)?;
            Some(response(operation, it.error))
        });
        let mut responses: Vec<Result<String, String>> = planned.collect();
        if self.in_array {
            let either = |it: Result<String, String>| it.unwrap_or_else(|error| error);
            return json(StatusCode::OK, array(responses.into_iter().map(either)));
        }
        match responses.pop() {
            None => StatusCode::NO_CONTENT.into_response(),
            Some(Ok(response)) => json(StatusCode::OK, response),
            Some(Err(error)) => json(StatusCode::BAD_REQUEST, error),
        }
    }
}

/// The response to an operation, or to what is none.
fn response(operation: &str, fails: bool) -> Result<String, String> {
    let query = object(operation).ok().and_then(|it| {
        let variables = it.get("variables").unwrap_or("null");
        Some((it.get("query")?, variables))
    });
    match query {
        None => Err(r#"{"errors":[{"message":"an operation has a \"query\""}]}"#.to_owned()),
        Some(_) if fails => Ok(format!(
            r#"{{"errors":[{{"message":"{SAMPLE_ERROR}"}}],"data":null}}"#
        )),
        Some((query, variables)) => Ok(format!(
            r#"{{"data":{{"query":{query},"variables":{variables}}}}}"#
        )),
    }
}
