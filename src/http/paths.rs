//! The paths that both listeners answer to whoever asks.

/// Where callers ask whether the process lives.
pub(super) const HEALTHZ: &str = "/healthz";

/// Where that is asked of the admin listener.
pub(super) const LIVEZ: &str = "/livez";

/// Where it is asked whether to send traffic here.
pub(super) const READYZ: &str = "/readyz";

/// The live page.
pub(super) const PAGE: &str = "/";
