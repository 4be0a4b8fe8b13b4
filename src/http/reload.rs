//! `POST /reload`: has the settings loaded again, and tells what came of it.
//!
//! `app` does it, for whoever asks, one after the other.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::operator::{Admin, NO_STORE};
use super::problem::Problem;
use super::reloads::NotReloaded;
use crate::batcher;

/// The document of a problem with the settings, which is no job's.
#[derive(Serialize)]
struct InvalidConfig {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    mistakes: Vec<String>,
}

/// See the module.
pub(super) async fn reload(State(admin): State<Admin>) -> Response {
    let headers = |content_type| [(CONTENT_TYPE, content_type), (CACHE_CONTROL, NO_STORE)];
    match admin.reloads.reload().await {
        Ok(changes) => (headers("application/json"), changes).into_response(),
        Err(NotReloaded::Ending) => Problem::from(batcher::Error::Closed).into_response(),
        Err(NotReloaded::Mistakes(mistakes)) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let document = InvalidConfig {
                r#type: "urn:microbatch:problem:invalid-config",
                title: "Invalid configuration",
                status: status.as_u16(),
                detail: format!(
                    "nothing has changed: the configuration has mistakes: {}",
                    mistakes.join("; ")
                ),
                code: "invalid-config",
                mistakes,
            };
            // A struct of strings and numbers always serializes.
            let document = serde_json::to_vec(&document).unwrap_or_default();
            (status, headers("application/problem+json"), document).into_response()
        }
    }
}
