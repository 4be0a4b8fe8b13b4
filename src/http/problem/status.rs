//! The status of each code and each result, and the title of each problem.

use axum::http::StatusCode;

use crate::code::Code;
use crate::engine::outcome::Refusal;
use crate::shape::Reply;

/// Of a job that the upstream has taken without giving a result.
pub(in crate::http) const TAKEN: StatusCode = StatusCode::NO_CONTENT;

/// Of a reply that its shape has written.
pub(in crate::http) fn of_reply(reply: &Reply) -> StatusCode {
    of_success(reply.status)
}

/// Of an answer that is handed on as it came.
pub(in crate::http) fn of_success(status: u16) -> StatusCode {
    passed_on(status).unwrap_or(StatusCode::OK)
}

/// Of the upstream's own words for a job that it refused.
pub(in crate::http) fn of_refusal(refusal: &Refusal) -> StatusCode {
    passed_on(refusal.status).unwrap_or_else(|| of(refusal.code))
}

fn passed_on(status: u16) -> Option<StatusCode> {
    StatusCode::from_u16(status).ok()
}

/// The contract's table. `upstream-rejected-job` takes the upstream's status.
pub(in crate::http) fn of(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidRequest | Code::InvalidParameter | Code::MalformedJson => {
            StatusCode::BAD_REQUEST
        }
        Code::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        Code::ForeignOrigin => StatusCode::FORBIDDEN,
        Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::NotFound | Code::JobUnknown => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::ReadTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::JobTooLarge | Code::UpstreamTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidJob | Code::JobError | Code::IdempotencyKeyReused => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Code::Overloaded
        | Code::QueueFull
        | Code::StoreFull
        | Code::StoreUnavailable
        | Code::QueueTimeout
        | Code::UpstreamOverloaded
        | Code::CircuitOpen
        | Code::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded
        | Code::UpstreamConnectTimeout
        | Code::UpstreamTimeout
        | Code::UpstreamGatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
        Code::UpstreamUnreachable
        | Code::UpstreamDisconnected
        | Code::UpstreamRejectedJob
        | Code::UpstreamRejectedBatch
        | Code::UpstreamAuth
        | Code::UpstreamError
        | Code::UpstreamMalformed
        | Code::UpstreamResponseTooLarge
        | Code::ResultCount
        | Code::ResultMissing
        | Code::ResultAmbiguous
        | Code::ResultMalformed
        | Code::Interrupted
        | Code::AttemptsExhausted => StatusCode::BAD_GATEWAY,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A short name for people, the same for every problem of the code.
pub(in crate::http) fn title(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::JobError => "Job failed",
        Code::InvalidRequest => "Invalid request",
        Code::Misdirected => "Misdirected request",
        Code::ForeignOrigin => "Foreign origin",
        Code::Unauthorized => "Unauthorized",
        Code::MalformedJson => "Malformed JSON",
        Code::NotFound => "Not found",
        Code::MethodNotAllowed => "Method not allowed",
        Code::InvalidJob => "Invalid job",
        Code::InvalidParameter => "Invalid parameter",
        Code::IdempotencyKeyReused => "Idempotency key reused",
        Code::JobUnknown => "No such job",
        Code::StoreFull => "Store full",
        Code::StoreUnavailable => "Store unavailable",
        Code::UnsupportedMediaType => "Unsupported media type",
        Code::JobTooLarge => "Job too large",
        Code::ReadTimeout => "Request too slow",
        Code::Overloaded => "Overloaded",
        Code::QueueFull => "Queue full",
        Code::QueueTimeout => "Timed out in the queue",
        Code::DeadlineExceeded => "Deadline exceeded",
        Code::Interrupted => "Interrupted",
        Code::AttemptsExhausted => "Attempts exhausted",
        Code::UpstreamUnreachable => "Upstream unreachable",
        Code::UpstreamConnectTimeout => "Upstream connect timeout",
        Code::UpstreamDisconnected => "Upstream disconnected",
        Code::UpstreamTimeout => "Upstream timeout",
        Code::UpstreamTooLarge => "Job too large for the upstream",
        Code::UpstreamRejectedJob => "Job rejected by the upstream",
        Code::UpstreamRejectedBatch => "Batch rejected by the upstream",
        Code::UpstreamAuth => "Upstream refused the credentials",
        Code::UpstreamOverloaded => "Upstream overloaded",
        Code::UpstreamGatewayTimeout => "Upstream gateway timeout",
        Code::UpstreamError => "Upstream error",
        Code::UpstreamMalformed => "Upstream answer malformed",
        Code::UpstreamResponseTooLarge => "Upstream answer too large",
        Code::ResultCount => "Wrong number of results",
        Code::ResultMissing => "Result missing",
        Code::ResultAmbiguous => "Result ambiguous",
        Code::ResultMalformed => "Result malformed",
        Code::CircuitOpen => "Circuit open",
        Code::ShuttingDown => "Shutting down",
        Code::Internal => "Internal error",
    }
}
