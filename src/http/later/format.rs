//! How the events of a stream are written.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use bytes::Bytes;

use super::line::line;
use crate::later::record::Record;
use crate::later::store::Position;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Server-sent events (HTML Living Standard, section 9.2).
    ServerSentEvents,
    /// A line of JSON each.
    NdJson,
}

impl Format {
    /// Lines where they are asked for by name, and else events.
    pub fn accepted_by(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter();
        let accepted = accepted.filter_map(|value| value.to_str().ok());
        let mut ranges = accepted.flat_map(|value| value.split(','));
        let lines = ranges.any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().unwrap_or_default();
            let refused = |part: &str| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
            named.eq_ignore_ascii_case("application/x-ndjson") && !parts.any(refused)
        });
        match lines {
            true => Self::NdJson,
            false => Self::ServerSentEvents,
        }
    }

    /// `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::ServerSentEvents => "text/event-stream",
            Self::NdJson => "application/x-ndjson",
        }
    }

    /// That answers have expired which were to be told.
    pub fn gap(self) -> &'static str {
        match self {
            // Without data it would be no event.
            Self::ServerSentEvents => "event: gap\ndata:\n\n",
            Self::NdJson => "{\"gap\":true}\n",
        }
    }

    /// What says nothing.
    pub fn comment(self) -> &'static str {
        match self {
            Self::ServerSentEvents => ":\n\n",
            Self::NdJson => "\n",
        }
    }

    /// A finished record; `None` for one that is not.
    pub fn finished(self, position: Position, record: &Record) -> Option<Bytes> {
        let line = line(record)?;
        let (head, end) = match self {
            Self::ServerSentEvents => {
                let state = record.state.as_str();
                (format!("id: {position}\nevent: {state}\ndata: "), "\n\n")
            }
            Self::NdJson => (String::new(), "\n"),
        };
        Some([head.as_bytes(), &line, end.as_bytes()].concat().into())
    }
}
