//! microbatch, a micro-batching proxy: single `POST /jobs` requests in, one JSON
//! array to the upstream, and each caller gets its own element back, by id.
//!
//! # The way of one job
//!
//! ```text
//! caller ──HTTP──▶ http::jobs ──Job──▶ batcher (queue, policy) ──Batch──▶ processor ──bytes──▶ upstream
//!    ▲                                                                       │
//!    └──────────────── Reply (made together with the duty to answer) ◀───────┘ correlate, by id
//! ```
//!
//! 1. One of the [`server::runtimes`] has the connection, from its first byte to its last.
//!    [`http`] reads a bounded body there; [`job::Job::parse`] finds its id without
//!    building a tree and keeps the bytes.
//! 2. [`batcher::Source::submit`] makes the two ends of the wait at once. Full
//!    means an error now, or with `on_full = "wait"` a place in the lobby.
//! 3. The batcher's policy, a pure function of what waits, the clock and the
//!    slots, says when a batch leaves; its members are chosen in that moment. The
//!    jobs of all threads share batches; each is processed on the thread that sent
//!    it, or on one that has fewer under way.
//! 4. [`engine`] owns the batch from there: joins the bytes, calls the
//!    [`upstream`], matches results by id, answers every member. After a failure
//!    it may send the batch again later, or in halves.
//! 5. [`http::problem`] alone turns what went wrong into a status.
//!
//! # Rooms
//!
//! | module | what it is |
//! |---|---|
//! | `main` | the life of the process: flags, settings, log, run, exit code |
//! | [`cli`] | commands and flags |
//! | [`app`] | bind, run, and the order of the end |
//! | [`config`] | flags over environment over file over defaults, and every mistake at once |
//! | [`server`] | connections of callers: accepted, bounded, ended in order, whatever is served on them |
//! | [`server::runtimes`] | the threads, each with a runtime of its own |
//! | [`http`] | both listeners: paths, jobs, problems, admin |
//! | [`batcher`] | the queue and when a batch leaves; a library of its own |
//! | [`engine`] | one batch to the answers of its members: encode, correlate, fail, retry or split |
//! | [`upstream`] | the call: connections, times, limits; and what bounds calls: backoff, budget, circuit, limit, latency, size |
//! | [`job`], [`json`], [`code`], [`trace_context`] | the words on the wire |
//! | `window` | x |
//! | `aside` | large texts, read on threads that serve nobody |
//! | `patience` | timeouts without a timer for what is there already |
//! | `sync` | the locks and atomics of the batcher, which `concurrency/` puts a checker's in place of |
//! | [`observer`], [`metrics`], [`live`], [`advice`] | what happens: counted, kept for five minutes, put into words |
//! | [`telemetry`], [`throttle`] | what is logged, without waiting for whoever reads it, and how much |
//! | [`printable`] | text of others, safe to look at |
//! | [`ask`], [`top`] | the commands that ask a running proxy; the live page in a terminal |
//! | [`sample_upstream`] | the upstream of `microbatch demo` and `microbatch upstream` |
//!
//! # Who may know whom
//!
//! `main` → `app` → `http` → `server`, `processor` → `observer` (`metrics`, `live`), `upstream`
//! → `batcher` → tokio. `top` and `ask` speak to another process, and know of this
//! one its names alone. `job`, `json`, `code`, `trace_context`, `window`, `throttle`,
//! `aside`, `patience`, `printable`, `sync` and `config` are leaves. Nothing under
//! `batcher` names JSON, HTTP or the type of an id, and nothing outside of `http`
//! knows which status a caller gets. What decides stays pure, without I/O, clock
//! or tasks: the queue with its policy, correlation, backoff, budget, limit, a
//! connection's guard, and the advice.
//!
//! # Invariants, and the tests that hold them
//!
//! | always | held by |
//! |---|---|
//! | every accepted job gets exactly one answer | `batcher::tests::every_item_is_accounted_for_under_contention`, `simulation`, `stories::accounting` |
//! | no result reaches another job's caller | `processor::correlate::tests::each_job_gets_its_own_result_or_none`, `simulation`, `stories::accounting`, `stories::upstream_strays` |
//! | nothing is sent twice that may have been done, unless that does no harm | `simulation`, `stories::retries` |
//! | no job waits for company longer than `max_wait`, or half of its time, while a slot is free | `batcher::policy::tests::the_table_of_reasons`, `batcher::waiting_tests::where_slots_are_free_nobody_expires`, `batcher::tests::company_is_waited_for_from_the_first_arrival_on` |
//! | no batch exceeds `max_size` or `max_bytes`, or has an id twice | `batcher::queue::tests::the_queue_does_as_the_model` |
//! | everything that waits is bounded, before a retry too | `batcher::queue::tests::the_queue_does_as_the_model`, `stories::overload`, `stories::pauses` |
//! | each call is counted once and told to circuit and limit, whoever is left | `simulation`, `stories::attempts`, `processor::tests` |
//! | no batch harms another | `batcher::tests::who_drops_or_panics_has_answered`, `stories::slots` |
//! | what one caller holds of connections is bounded, and a caller that leaves is noticed | `server::guard::tests`, `stories::connections`, `stories::hostile_h2` |
//! | bodies being read and answers not taken are bounded together | `http::buffered::tests`, `stories::buffered` |
//! | a refusal arrives, and no request is met by a closed connection | `stories::refused_bodies`, `stories::drain` |
//! | no wake-up is lost and nothing is counted twice, whoever runs when | `concurrency/tests/stories`, `batcher::runtimes_tests`, `batcher::many_runtimes_tests` |
//! | no lock is held while a waker of others runs | `batcher::reentry_tests` |
//! | one id can't fill the queue | `batcher::waiting_tests`, `stories::overload` |
//! | a job takes no memory that a request to an empty server does not | `tests/allocations.rs` |
//! | what dominates is said first, and nothing against it | `advice::tests`, `stories::situations` |
//! | the page, the metrics, the upstream and the callers count the same | `stories::live` |
//! | nothing runs while nothing waits | `batcher::tests::nothing_runs_while_nothing_waits` |

pub mod app;
mod aside;
pub mod ask;
pub mod cli;
pub mod code;
pub mod config;
pub mod engine;
pub mod fault;
pub mod http;
pub mod job;
pub mod json;
mod lazy_timeout;
pub mod observe;
pub mod printable;
pub mod resilience;
pub mod sample_upstream;
pub mod server;
pub mod telemetry;
pub mod throttle;
#[cfg(feature = "top")]
pub mod top;
pub mod trace_context;
pub mod upstream;

pub use microbatch_batcher as batcher;

/// The examples in the documents, compiled and run as doctests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/library.md")]
    struct Library;
}
