//! A sink of lines, each a JSON value. One that is refused has all refused.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::sample_upstream::asked::{Asked, SAMPLE_ERROR, any_fails};
use crate::sample_upstream::object::value;
use crate::sample_upstream::plan::Planned;

/// So many lines.
#[derive(Debug)]
pub(super) struct Lines(usize);

pub(super) fn read(body: &[u8]) -> Result<Lines, String> {
    let lines = body.split(|&byte| byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let mut count = 0;
    for (number, line) in lines {
        value(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        count += 1;
    }
    Ok(Lines(count))
}

impl Asked for Lines {
    fn items(&self) -> usize {
        self.0
    }

    fn answer(&self, results: &[Planned]) -> Response {
        match any_fails(results) {
            true => (StatusCode::BAD_REQUEST, format!("{SAMPLE_ERROR}\n")).into_response(),
            false => StatusCode::OK.into_response(),
        }
    }
}
