//! Every metric: counted as things happen, and written as Prometheus reads it.
//!
//! [`Metrics`] counts events in atomics, so that telling costs a few additions and no
//! lock. What the batcher knows anyway (what waits, what is in flight) is read from it
//! when somebody asks. [`FAMILIES`] is the one table of names, help and labels; the
//! exposition is written from it, and the dashboard, the alerts and the documents are
//! held to it.

mod counts;
mod exposition;
mod families;
mod histogram;
mod samples;

pub use counts::Metrics;
pub use exposition::{Format, exposition};
pub use families::{FAMILIES, Family, Kind, Process, Route, Store};
