//! What can go wrong.

use std::io;

use crate::ask::AskError;

/// Why watching has ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The proxy could not be asked even once.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The terminal cannot be drawn on, or its keys cannot be read.
    #[error("can't use the terminal; `microbatch top --once` needs none")]
    Terminal(#[source] io::Error),
}
