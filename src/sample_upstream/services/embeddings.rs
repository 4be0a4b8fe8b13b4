//! `POST /v1/embeddings` as OpenAI defined it. A vector is made from its input's own bytes, so that
//! equal inputs have equal vectors whatever they are sent with. One that fails fails all.

use std::fmt::Write;

use axum::http::StatusCode;
use axum::response::Response;

use crate::sample_upstream::asked::{Asked, SAMPLE_ERROR, any_fails, array, hash, json};
use crate::sample_upstream::object::{list, object, value};
use crate::sample_upstream::plan::Planned;

/// How long a vector is that nobody asked to be of another length.
const DIMENSIONS: usize = 8;

/// The longest vector.
const MOST_DIMENSIONS: usize = 4_096;

#[derive(Debug)]
pub(super) struct Embed<'a> {
    model: &'a str,
    inputs: Vec<&'a str>,
    dimensions: usize,
}

pub(super) fn read(body: &[u8]) -> Result<Embed<'_>, String> {
    let wrong = |error| format!("expected {{\"model\", \"input\"}}: {error}");
    let text = value(body).map_err(wrong)?;
    let request = object(text).map_err(wrong)?;
    let model = request.get("model").ok_or("you must provide a model")?;
    let input = request.get("input").ok_or("you must provide an input")?;
    let inputs = match input.starts_with('[') {
        true => several(input, list(input).map_err(wrong)?),
        false => vec![input],
    };
    if inputs.is_empty() {
        return Err("the input is empty".to_owned());
    }
    let dimensions = request.get("dimensions").map(str::parse);
    let dimensions = dimensions.unwrap_or(Ok(DIMENSIONS));
    let dimensions = dimensions
        .ok()
        .filter(|it| (1..=MOST_DIMENSIONS).contains(it));
    let dimensions = dimensions.ok_or(format!("dimensions are from 1 to {MOST_DIMENSIONS}"))?;
    Ok(Embed {
        model,
        inputs,
        dimensions,
    })
}

/// What a list has: one text in tokens, one conversation, or several inputs.
fn several<'a>(whole: &'a str, elements: Vec<&'a str>) -> Vec<&'a str> {
    let all = |kind: fn(&str) -> bool| !elements.is_empty() && elements.iter().all(|it| kind(it));
    let tokens = all(|it| it.parse::<i64>().is_ok());
    let messages = all(|it| it.starts_with('{'));
    match tokens || messages {
        true => vec![whole],
        false => elements,
    }
}

impl Asked for Embed<'_> {
    fn items(&self) -> usize {
        self.inputs.len()
    }

    fn answer(&self, results: &[Planned]) -> Response {
        if any_fails(results) {
            let body = format!(
                r#"{{"error":{{"message":"{SAMPLE_ERROR}","type":"invalid_request_error","param":"input","code":null}}}}"#
            );
            return json(StatusCode::BAD_REQUEST, body);
        }
        let data = results.iter().filter_map(|it| {
            let vector = vector(self.inputs.get(it.job)?, self.dimensions);
            let index = it.job;
            Some(format!(
                r#"{{"object":"embedding","index":{index},"embedding":{vector}}}"#
            ))
        });
        let data = array(data);
        let tokens: usize = self.inputs.iter().map(|it| it.len().div_ceil(4)).sum();
        let model = self.model;
        json(
            StatusCode::OK,
            format!(
                r#"{{"object":"list","data":{data},"model":{model},"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#
            ),
        )
    }
}

/// A vector as JSON, each of its numbers from -1 to 1.
fn vector(input: &str, dimensions: usize) -> String {
    let mut chance = fastrand::Rng::with_seed(hash(input));
    let mut json = String::with_capacity(12 * dimensions + 2);
    let mut before = '[';
    for _ in 0..dimensions {
        json.push(before);
        // Writing to a string never fails.
        let _ = write!(json, "{}", chance.f32() * 2.0 - 1.0);
        before = ',';
    }
    json.push(']');
    json
}
