//! What a caller can't do.
