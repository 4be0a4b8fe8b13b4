//! What is said over HTTP: jobs, what operators ask, and what went wrong.
//!
//! ```text
//! listener ──▶ gate ──▶ jobs (body, headers) ──▶ the batcher ──▶ reply
//!                └────▶ routes ──▶ admin, live, observe
//! ```
//!
//! A request passes the gate of its listener before anything is looked up for it.
//! [`problem`] alone decides a status. `app` makes [`Jobs`] and [`Admin`], and hands
//! connections to [`serve_jobs`] and [`serve_admin`].

mod admin;
mod answer;
mod answer_body;
mod arriving;
mod authority;
mod body;
mod buffered;
mod call_head;
mod calls;
mod chosen;
mod context;
mod forward;
mod gate;
mod headers;
mod jobs;
mod later;
mod listener;
mod live;
mod nosniff;
mod observe;
mod operator;
mod prefer;
pub mod problem;
mod refusal;
mod reply;
mod routes;
mod sender;
mod uncounted;
mod waiting;

pub use answer_body::AnswerBody;
pub use authority::HostNames;
pub use buffered::Buffered;
pub use context::{Jobs, JobsInner};
pub use later::Lane;
pub use listener::{Caller, Operator, serve_admin, serve_jobs};
pub use operator::{Admin, Limits, Setting, Watched};
pub use routes::{admin_router, jobs_router};
pub use sender::Batchers;
