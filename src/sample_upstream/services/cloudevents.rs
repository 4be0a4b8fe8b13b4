//! A sink of CloudEvents over HTTP: one in binary or structured mode, or several in batched mode.
//! One that is refused has all refused.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::sample_upstream::asked::{Asked, Request, SAMPLE_ERROR, any_fails};
use crate::sample_upstream::object::{list, object, value};
use crate::sample_upstream::plan::Planned;

const SPEC_VERSION: HeaderName = HeaderName::from_static("ce-specversion");

/// So many events.
#[derive(Debug)]
pub(super) struct Events(usize);

pub(super) fn read(request: Request<'_>) -> Result<Events, String> {
    let content_type = request.headers.get(CONTENT_TYPE);
    let content_type = content_type
        .and_then(|it| it.to_str().ok())
        .unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let text = || value(request.body).map_err(|error| error.to_string());
    let events = match essence.to_ascii_lowercase().as_str() {
        "application/cloudevents-batch+json" => list(text()?).map_err(|error| error.to_string())?,
        "application/cloudevents+json" => vec![text()?],
        _ if request.headers.contains_key(SPEC_VERSION) => return Ok(Events(1)),
        _ => {
            return Err(format!(
                "no CloudEvent: the content type is {content_type:?}"
            ));
        }
    };
    for event in &events {
        let event = object(event).map_err(|error| format!("no CloudEvent: {error}"))?;
        event
            .get("specversion")
            .ok_or("no CloudEvent: it has no \"specversion\"")?;
    }
    Ok(Events(events.len()))
}

impl Asked for Events {
    fn items(&self) -> usize {
        self.0
    }

    fn answer(&self, results: &[Planned]) -> Response {
        match any_fails(results) {
            true => (StatusCode::BAD_REQUEST, format!("{SAMPLE_ERROR}\n")).into_response(),
            false => StatusCode::ACCEPTED.into_response(),
        }
    }
}
