//! What bounds calls to an upstream that fares badly: pure values that are
//! told the time and what happened. The engine holds them.

pub mod backoff;
pub mod budget;
pub mod circuit;
pub mod latency;
pub mod limit;
pub mod size;
