//! What every service has in common: a request is read to so many items, and their results are
//! written as one answer.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::plan::Planned;

/// A request as it came.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// What a request asks for: a batch, or one call by itself.
pub(super) trait Asked: Send + Sync {
    /// How many items it has.
    fn items(&self) -> usize;

    /// The answer that has these results. Items that are not among them are left out of it.
    fn answer(&self, results: &[Planned]) -> Response;
}

/// What is said of an item that fails because it was asked to.
pub(super) const SAMPLE_ERROR: &str = "sample error";

/// Whether any of them is to fail, for services that refuse a request as a whole.
pub(super) fn any_fails(results: &[Planned]) -> bool {
    results.iter().any(|result| result.error)
}

pub(super) fn json(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// These values as a JSON array.
pub(super) fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// A number that is the same for the same text (FNV-1a).
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
