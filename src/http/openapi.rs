//! What a listener answers, as OpenAPI 3.1 tells it: `GET /openapi.json`.
//!
//! `routes` makes one document for each listener, out of the rows that its router is made of, the
//! routes as they are set, and the table of codes.
//!
//! | file | what it is |
//! |---|---|
//! | `operation` | what one method of a path takes and answers |
//! | `calls` | what callers may ask: the paths of routes, and answers fetched later |
//! | `components` | what several operations have in common |

mod calls;
mod components;
mod operation;

pub(super) use calls::{of_later, of_routes};
pub(super) use components::{any, parameter, text};
pub(super) use operation::Operation;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, json};

use super::paths::IsOpen;

/// Where a listener describes itself.
pub(super) const OPENAPI: &str = "/openapi.json";

/// The document itself, as a row.
pub(super) fn own() -> Operation {
    Operation::get(OPENAPI, "This document").gives(200, "It", ("application/json", any()))
}

/// A document that is told from then on.
#[derive(Clone, Debug)]
pub(super) struct Document(Bytes);

impl Document {
    /// What these operations are. Where tokens let in, they do to all `but` these.
    pub fn new<'a>(
        title: &str,
        operations: impl IntoIterator<Item = &'a Operation>,
        but: Option<IsOpen>,
    ) -> Self {
        let mut paths = Map::new();
        for it in operations {
            let path = paths.entry(it.path.clone()).or_insert(json!({}));
            path[it.method.to_ascii_lowercase()] = it.to_json(but);
        }
        let mut document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": title,
                "version": env!("CARGO_PKG_VERSION"),
                "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            },
            "paths": paths,
            "components": components::all(),
        });
        if but.is_some() {
            document["components"]["securitySchemes"] = json!({
                "token": { "type": "http", "scheme": "bearer" },
            });
            document["security"] = json!([{ "token": [] }]);
        }
        Self(document.to_string().into())
    }
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}
