//! The paths that the listeners answer to whoever asks, whether or not a token is needed for all
//! else.
//!
//! The gates let requests in by them, and the descriptions of the listeners are made of them.

/// Where callers ask whether the process lives.
pub(super) const HEALTHZ: &str = "/healthz";

/// Where that is asked of the admin listener.
pub(super) const LIVEZ: &str = "/livez";

/// Where it is asked whether to send traffic here.
pub(super) const READYZ: &str = "/readyz";

/// The live page.
pub(super) const PAGE: &str = "/";

/// Whether everybody may ask this of a listener: a method, and a path.
pub(super) type IsOpen = fn(&str, &str) -> bool;

/// That of the jobs listener.
pub(super) fn open_to_callers(_: &str, path: &str) -> bool {
    path == HEALTHZ
}

/// That of the admin listener: whether it lives and is ready, and the page, which holds no
/// data.
pub(super) fn open_to_operators(method: &str, path: &str) -> bool {
    match path {
        HEALTHZ | LIVEZ | READYZ => true,
        PAGE => method == "GET" || method == "HEAD",
        _ => false,
    }
}
