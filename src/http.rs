//! What is said over HTTP: calls of routes, what operators ask, and what went wrong.
//!
//! ```text
//! listener ──▶ gate ──▶ jobs, calls (body, headers) ──▶ a route's batcher ──▶ reply
//!                │        └────▶ forward, as it came
//!                └────▶ later, routes ──▶ admin, live, observe
//! ```
//!
//! A caller's request is for one of the proxy's own paths, else for `POST /jobs` of the
//! plain route `jobs`, which is `jobs`, else for a route, which is `calls`, else it is
//! passed through, where anything is.
//!
//! A request passes the gate of its listener before anything is looked up for it.
//! [`problem`] alone decides a status. `app` makes [`Jobs`] and [`Admin`], and hands
//! connections to [`serve_jobs`] and [`serve_admin`]. Another set of routes may take the
//! place of the one in force: a connection asks for that at each request ([`InForce`]).

mod accept;
mod access;
mod admin;
mod answer;
mod answer_body;
mod arriving;
mod authority;
mod bearer;
mod body;
mod buffered;
mod call_head;
mod calls;
mod chosen;
mod connected;
mod context;
mod following;
mod forward;
mod gate;
mod headers;
mod jobs;
mod later;
mod listener;
mod live;
mod nosniff;
mod noted;
mod observe;
mod openapi;
mod operator;
mod paths;
mod plain_http;
mod prefer;
pub mod problem;
mod refusal;
mod rehearsal;
mod reload;
mod reloads;
mod reply;
mod routes;
mod sender;
mod traced;
mod uncounted;
mod waiting;

pub use answer_body::AnswerBody;
pub use authority::HostNames;
pub use buffered::Buffered;
pub use connected::Connected;
pub use context::{Jobs, JobsInner, Passthrough};
pub use following::InForce;
pub use later::Lane;
pub use listener::{Caller, ForCallers, ForOperators, Operator, serve_admin, serve_jobs};
pub use noted::WriteLine;
pub use operator::{Admin, Limits, Setting, Watched};
pub use plain_http::TO_PLAIN_HTTP;
pub use rehearsal::{Rehearsed, rehearse};
pub use reloads::{AsksForReload, NotReloaded, Reloads};
pub use sender::Batchers;
