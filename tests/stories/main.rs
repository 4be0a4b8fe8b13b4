//! Stories about the real binary, told over real sockets.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod collector;
mod harness;

// Section 1 of the contract: a job comes in.
mod body_size;
mod browsers;
mod buffered;
mod connections;
mod content_types;
mod framing;
mod host;
mod http_rules;
mod intake;
mod job_json;
mod refused_bodies;

// Section 2: a batch goes out.
mod adaptive;
mod batch_request;
mod batching;
mod slots;
mod threads;
mod tokens;
mod tracing;

// Section 12: doors.
mod otlp_collectors;
mod otlp_spans;

// Section 3: results come back.
mod answers;
mod results;

// Section 4: every error is one problem, for one caller.
mod failed_answers;
mod upstream_connections;
mod upstream_early;
mod upstream_failures;
mod upstream_malformed;
mod upstream_reuse;
mod upstream_status;
mod upstream_strays;
mod upstream_tls;

// Sections 5 and 6: deadlines, splitting, overload and shutdown.
mod attempts;
mod circuit;
mod deadlines;
mod drain;
mod http2_upstream;
mod limit;
mod outage;
mod overload;
mod pauses;
mod rehearsal;
mod reload;
mod reload_applies;
mod reload_swaps;
mod retries;
mod shutdown;
mod splits;

// Sections 9 and 10: routes and shapes.
mod routes;
mod set_ups;
mod shapes;
mod shapes_alone;
mod shapes_later;
mod shapes_problems;

// Section 10: what goes alone, and what is passed through.
mod forward_alone;
mod forward_passthrough;

// Section 11: answers fetched later.
mod later_batches;
mod later_bounds;
mod later_counts;
mod later_delete;
mod later_drain;
mod later_fetch;
mod later_hand_in;
mod later_hostile;
mod later_keys;
mod later_lasting;
mod later_lasting_routes;
mod later_listeners;
mod later_same_answer;
mod later_set_ups;
mod later_store_start;
mod later_streams;
mod routes_later;

// Section 12: how the proxy is reached.
mod tls_clients;
mod tls_files;
mod tls_hostile;
mod tls_listeners;
mod unix_listeners;
mod unix_upstream;

// Section 8: what an operator sees.
mod admin;
mod dashboards;
mod live;
mod logging;
mod metrics;
mod openapi;
mod process;
mod routes_told;
mod service_manager;
mod situations;
mod top;

// Manual pages.
mod man_pages;

// Shapes, for shells.
mod shapes_command;
mod try_command;

// Answers fetched later, for shells.
mod submit;
mod submit_proxy;
mod submit_resume;

// Over TLS, with tokens, by sockets.
mod commands_tls;

// All of it at once, and against callers who mean ill.
mod access_log;
mod accounting;
mod hostile_bytes;
mod hostile_callers;
mod hostile_h2;
