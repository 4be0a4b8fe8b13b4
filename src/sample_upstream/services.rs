//! The services, each with its own words: how a request is read, and how one is refused.

mod cloudevents;
mod elasticsearch;
mod embeddings;
mod graphql;
mod jobs;
mod json_rpc;
mod kserve;
mod ndjson;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::asked::{self, Asked, Request};
use super::service::Service;

/// What `request` asks of the service.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn read<'a>(
    service: Service,
    request: Request<'a>,
) -> Result<Box<dyn Asked + 'a>, String> {
    Ok(match service {
        Service::Jobs => Box::new(jobs::read(request.body)?),
        Service::JsonRpc => Box::new(json_rpc::read(request.body)?),
        Service::KserveV1 => Box::new(kserve::read(request.body)?),
        Service::OpenaiEmbeddings => Box::new(embeddings::read(request.body)?),
        Service::Graphql => Box::new(graphql::read(request.body)?),
        Service::ElasticsearchIndex => elasticsearch::read(request)?,
        Service::Cloudevents => Box::new(cloudevents::read(request)?),
        Service::Ndjson => Box::new(ndjson::read(request.body)?),
    })
}

/// A whole request refused, in the service's own form.
pub(super) fn refusal(service: Service, status: StatusCode, message: &str) -> Response {
    let body = match service {
        Service::Jobs | Service::Cloudevents | Service::Ndjson => {
            return (status, format!("{message}\n")).into_response();
        }
        Service::JsonRpc => {
            // The code of a request that is none, or of a server's own errors.
            let code = if status == StatusCode::BAD_REQUEST {
                -32600
            } else {
                -32000
            };
            json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": message}})
        }
        Service::KserveV1 => json!({"error": message}),
        Service::OpenaiEmbeddings => {
            let client = status.is_client_error();
            let kind = if client {
                "invalid_request_error"
            } else {
                "server_error"
            };
            json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
        }
        Service::Graphql => json!({"errors": [{"message": message}]}),
        Service::ElasticsearchIndex => {
            return elasticsearch::refusal(status, message);
        }
    };
    asked::json(status, body.to_string())
}
