//! What bounds calls to an upstream that fares badly: pure values, told the time
//! and what happened by whoever calls.

pub mod backoff;
pub mod budget;
pub mod circuit;
pub mod latency;
pub mod limit;
pub mod size;
