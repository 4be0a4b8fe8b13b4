//! microbatch, a micro-batching proxy: single `POST /jobs` requests in, one JSON
//! array to the upstream, and each caller gets its own element back, by id.
//!
//! # The way of one job
//!
//! ```text
//! caller ──▶ server ──▶ http ──Job──▶ batcher ──Batch──▶ engine ──bytes──▶ upstream
//!    ▲                    ▲              (queue, policy)    │
//!    └────── answer ──────┴──────────── JobResult ◀─────────┘ results find jobs
//! ```
//!
//! 1. One of the [runtimes](server::runtimes) has the connection, from its first byte
//!    to its last. [`http`] reads a bounded body there; [`job::Job::parse`] finds its
//!    id without building a tree and keeps the bytes.
//! 2. [`batcher::Source::submit_with`] makes the two ends of the wait at once. Full
//!    means an error now, or with `on_full = "wait"` a place in the overflow.
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
//! | `main`, [`cli`] | the life of the process: commands, flags, settings, log, exit code |
//! | [`app`] | compose (what answers, from the settings), run, drain (the order of the end), and try without a listener |
//! | [`config`] | each layer's options, merged and checked into settings, and every mistake at once |
//! | [`server`] | connections: accepted on ports and sockets, spread over runtimes, guarded, bounded, ended in order, whatever is served on them |
//! | [`http`] | what is said on both listeners: the gate, jobs, problems, admin |
//! | [`batcher`] | the queue and when a batch leaves: a crate of its own, in `crates/batcher` |
//! | [`engine`] | one batch to the answers of its members: attempt, read, retry or split; and its journal |
//! | [`shape`] | how calls become a batch and its answer replies: templates, presets, and everything read and written by them |
//! | [`resilience`] | what bounds calls: backoff, budget, circuit, limit, latency, size |
//! | [`upstream`] | the call and nothing else: connections, proof of what was not sent, response |
//! | [`observe`] | one enum of events, and what is made of it: metrics, the last five minutes, the failure log, advice, health |
//! | [`later`] | answers fetched later: records, their store, and who waits for them |
//! | [`forward`] | requests passed on as they came, streaming both ways: what is not merged, and what is of no route |
//! | [`fault`] | what can be wrong with an answer, in words |
//! | [`route`] | a path with a batcher, an engine and an upstream of its own; the table of all |
//! | [`job`], [`job_id`], [`json`], [`code`], [`trace_context`] | the words on the wire |
//! | `aside` | large texts, read on threads that serve nobody |
//! | `lazy_timeout` | timeouts without a timer for what is there already |
//! | [`man`] | manual pages, made from the commands and the settings |
//! | [`notify`] | what a service manager is told of the process |
//! | [`telemetry`], [`throttle`] | what is logged, without waiting for its reader, and how much |
//! | [`printable`] | text of others, safe to look at |
//! | [`reread`] | files that are read again when their contents change |
//! | [`tls`] | certificates and keys of files: ours, those that others are checked with, how long they last; and what an error of TLS means |
//! | [`tokens`] | who may come in, by the tokens that requests bear |
//! | [`address`] | addresses to listen on, as text |
//! | [`ask`], `top` | the commands that ask a running proxy; the live page in a terminal, behind a feature |
//! | [`submit`] | the command that hands files in to a running proxy, and writes the results |
//! | [`sample_upstream`] | the upstream of `microbatch demo` and `microbatch upstream` |
//!
//! # Laws
//!
//! Each room knows those that stand here and no others, and no two files know each
//! other, by whatever way: `tests/house.rs` reads this table and the imports.
//!
//! | room | may know |
//! |---|---|
//! | `address` | `printable` |
//! | `app` | `address`, `batcher`, `config`, `engine`, `forward`, `http`, `job`, `later`, `notify`, `observe`, `printable`, `reread`, `resilience`, `route`, `server`, `shape`, `telemetry`, `throttle`, `tls`, `tokens`, `upstream` |
//! | `ask` | `address`, `printable`, `reread`, `tls` |
//! | `aside` |  |
//! | `cli` | `ask`, `config`, `printable`, `sample_upstream`, `shape`, `tokens` |
//! | `code` |  |
//! | `config` | `address`, `batcher`, `engine`, `forward`, `http`, `job`, `later`, `observe`, `printable`, `resilience`, `route`, `server`, `shape`, `telemetry`, `tls`, `upstream` |
//! | `engine` | `aside`, `batcher`, `code`, `fault`, `job`, `later`, `observe`, `resilience`, `shape`, `throttle`, `trace_context`, `upstream` |
//! | `fault` | `code`, `json` |
//! | `forward` | `throttle`, `upstream` |
//! | `http` | `aside`, `batcher`, `code`, `engine`, `forward`, `job_id`, `job`, `later`, `observe`, `route`, `server`, `shape`, `throttle`, `tokens`, `trace_context`, `upstream` |
//! | `job` | `job_id`, `shape`, `trace_context` |
//! | `job_id` |  |
//! | `json` |  |
//! | `later` | `aside`, `code`, `job`, `job_id`, `observe`, `reread`, `throttle`, `tls`, `trace_context` |
//! | `lazy_timeout` |  |
//! | `main` | `address`, `app`, `ask`, `cli`, `config`, `man`, `printable`, `sample_upstream`, `shape`, `submit`, `telemetry`, `tokens`, `top` |
//! | `man` | `cli`, `config`, `shape` |
//! | `notify` |  |
//! | `observe` | `batcher`, `code`, `fault`, `printable`, `throttle`, `trace_context` |
//! | `printable` |  |
//! | `reread` | `printable` |
//! | `resilience` | `batcher` |
//! | `route` | `batcher`, `code`, `engine`, `forward`, `job`, `observe`, `shape`, `upstream` |
//! | `sample_upstream` | `address` |
//! | `server` | `address`, `throttle`, `tls` |
//! | `shape` | `fault`, `job_id`, `json` |
//! | `submit` | `ask`, `resilience` |
//! | `telemetry` | `code`, `observe`, `printable`, `throttle`, `trace_context` |
//! | `throttle` |  |
//! | `tls` | `reread` |
//! | `tokens` | `reread` |
//! | `top` | `ask`, `batcher`, `code`, `observe`, `printable` |
//! | `trace_context` |  |
//! | `upstream` | `lazy_timeout`, `reread`, `tls`, `trace_context` |
//!
//! `batcher` names neither JSON, HTTP, ids nor anything of this crate. `top`, `ask` and
//! `submit` speak to another process, and know of this one its names alone. `observe` is told
//! and asks nobody. Nothing outside of `http` and `shape` knows which status a caller gets.
//! What decides stays pure, without I/O, clock or tasks: the batcher's state with its queue
//! and policy, all of `resilience` and of `shape`, a connection's
//! guard, health and advice.
//!
//! # Invariants, and the tests that hold them
//!
//! | always | held by |
//! |---|---|
//! | every accepted job gets exactly one answer | `batcher::tests::every_item_is_accounted_for_under_contention`, `simulation`, `stories::accounting` |
//! | every record of a job for later is answered exactly once, unless it is deleted | `engine::answered_once_tests`, `http::later::lane::tests::whatever_panics_a_record_is_answered_once`, `later::tests::what_panics_in_the_store_stops_nobody`, `later::memory::tests` |
//! | no caller waits for the store of jobs for later | `engine::records_tests::callers_notice_nothing_of_a_store_that_is_away` |
//! | nothing waits because of jobs for later | `stories::later_batches`, `stories::later_listeners::nobody_waits_for_a_job_of_whoever_waits_for_something_else` |
//! | what a store that lasts has acknowledged is there after a crash | `later::sqlite::tests::crash_tests`, `simulation`, `durability::lasting`, `durability::power` |
//! | what a store could not commit has not happened | `later::records::tests::what_is_taken_back_was_never_done`, `later::sqlite::tests::room_tests` |
//! | no job for later is claimed twice, and what may have been sent is known as interrupted | `later::suite_tests::it_does_as_the_model`, `later::lasting_tests::what_was_sent_is_interrupted` |
//! | every scrape of `later_*` adds up | `stories::later_counts::every_scrape_adds_up`, `later::suite_tests::it_does_as_the_model` |
//! | what was accepted for later is drained as all are | `app::drain::tests::what_is_accepted_is_queued_before_the_queue_closes`, `stories::later_drain` |
//! | who bears no token that lets in comes no further, and a token goes no further than it is asked to | `stories::tokens` |
//! | nobody can guess a handle | `job::handle::tests::handles_are_random` |
//! | no result reaches another job's caller | `shape::tests::answers`, `simulation`, `stories::accounting`, `stories::upstream_strays` |
//! | what a caller sends and what comes back for it travel byte for byte, whatever the shape | `shape::tests::round_trip` |
//! | no caller adds to a batch what is not an item of its own, in the frame that it wrote | `shape::tests::smuggling`, `stories::shapes_alone` |
//! | one route's outage costs another nothing | `stories::routes::a_route_that_is_stuck_holds_up_no_other` |
//! | callers who differ in what travels with a batch never share one | `stories::routes::calls_of_one_frame_share_a_batch_and_no_others` |
//! | nothing is sent twice that may have been done, unless that does no harm | `simulation`, `stories::retries` |
//! | no job waits for company longer than `max_wait`, or half of its time, while a slot is free | `batcher::policy::tests::the_table_of_reasons`, `batcher::waiting_tests::no_item_expires_while_slots_are_free`, `batcher::tests::company_is_waited_for_from_the_first_arrival_on` |
//! | no batch exceeds `max_size` or `max_bytes`, or has an id twice | `batcher::queue::tests::the_queue_does_as_the_model` |
//! | everything that waits is bounded, before a retry too | `batcher::queue::tests::the_queue_does_as_the_model`, `stories::overload`, `stories::pauses` |
//! | each call is counted once and told to circuit and limit, also after its callers have departed | `simulation`, `stories::attempts`, `engine::tests` |
//! | no batch harms another | `batcher::tests::dropped_or_panicked_batch_has_answered`, `stories::slots` |
//! | what one caller holds of connections is bounded, and a departing caller is noticed | `server::guard::tests`, `stories::connections`, `stories::hostile_h2` |
//! | bodies being read and answers not taken are bounded together | `http::buffered::tests`, `stories::buffered` |
//! | a refusal arrives, and no request is met by a closed connection | `stories::refused_bodies`, `stories::drain` |
//! | a reload loses, doubles and misdirects nothing | `stories::reload`, `stories::reload_swaps`, `observe::forms::tests::what_was_counted_never_falls` |
//! | no wake-up is lost and nothing is counted twice, however threads interleave | `concurrency/tests/stories`, `batcher::runtimes_tests`, `batcher::many_runtimes_tests` |
//! | no lock is held while a waker of others runs | `batcher::reentry_tests` |
//! | one id can't fill the queue | `batcher::waiting_tests`, `stories::overload` |
//! | a job takes no memory that a request to an empty server does not | `tests/allocations.rs` |
//! | what dominates is said first, and nothing against it | `observe::advice::tests`, `stories::situations` |
//! | the page, the metrics, the upstream and the callers count the same | `stories::live` |
//! | nothing runs while nothing waits | `batcher::tests::nothing_runs_while_nothing_waits` |

pub mod address;
pub mod app;
mod aside;
pub mod ask;
pub mod cli;
pub mod code;
pub mod config;
pub mod engine;
pub mod fault;
pub mod forward;
pub mod http;
pub mod job;
pub mod job_id;
pub mod json;
pub mod later;
mod lazy_timeout;
pub mod man;
pub mod notify;
pub mod observe;
pub mod printable;
pub mod reread;
pub mod resilience;
pub mod route;
pub mod sample_upstream;
pub mod server;
pub mod shape;
pub mod submit;
pub mod telemetry;
pub mod throttle;
pub mod tls;
pub mod tokens;
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
