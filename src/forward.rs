//! Requests passed on as they came, one by one, streaming both ways: calls of a route that
//! can't be merged with others, and whatever goes to a path of no route.
//!
//! `http` has a [`Forwarder`] for each place that requests are passed on to; `app` makes
//! them, and ends them.
//!
//! ```text
//! caller ──request──▶ outgoing ──▶ the HTTP library's client ──▶ upstream
//!    ▲                   │ whose turn it is, and since when           │
//!    └────response──── answer ◀───────────────────────────────────────┘
//!    ◀═══════════════ tunnel, after 101 ══════════════════════════════▶
//! ```
//!
//! What is promised:
//!
//! - All end-to-end headers pass, both ways, and hop-by-hop headers do not (RFC 9110,
//!   section 7.6.1). `Host` is the upstream's, and the headers of the settings win over the
//!   caller's. None is added that says who it came from.
//! - Each piece is handed on when it comes, and the next is read when that was taken: a
//!   slow reader slows its writer, and what is in memory is a few pieces.
//! - The answer's head has `timeout` from when the upstream had all that there was of the
//!   request; each further wait for a piece of the answer has it again. The caller has
//!   `read_timeout` for its body until then, and a second more, up to that again, for each
//!   500 bytes that came.
//! - There are at most `max_alone` at once, tunnels included; one more waits.
//! - A caller that leaves ends the call, and an answer that breaks off breaks off for its
//!   caller too.
//!
//! | file | what it is |
//! |---|---|
//! | `destination` | where a request goes, by its path |
//! | `head` | what of a head passes |
//! | `places` | how many there are at once, and their end |
//! | `turns` | whose turn it is, the caller's or the upstream's |
//! | `outgoing` | the body of a request, on its way |
//! | `answer` | the body of an answer, on its way back |
//! | `tunnel` | what follows a change of protocols |
//! | `clients` | the HTTP library's clients, one for each runtime |

mod answer;
mod clients;
mod destination;
mod error;
mod forwarder;
mod head;
mod outgoing;
mod places;
mod prefixed;
#[cfg(test)]
mod tests;
mod tunnel;
mod turns;

pub use answer::{BrokenOff, ForwardedBody};
pub use destination::Destination;
pub use error::ForwardError;
pub use forwarder::{Forwarder, Settings};
pub use head::upgrade;
pub use prefixed::Prefixed;
