//! What every answer says, whatever it is.

use axum::http::HeaderMap;
use axum::http::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};

/// An answer is what its `Content-Type` says, and no browser is to guess anything
/// else.
pub(super) fn nosniff(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
