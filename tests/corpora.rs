//! The inputs kept for the fuzzer, each held to its oracle once, without the fuzzer.
//!
//! The oracles are the fuzz crate's own, taken in as source: they need nothing that this package
//! does not have. `corpus/correlate` is not here, since its inputs mean something to `arbitrary`
//! alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../fuzz/src/lib.rs"]
mod oracles;

use std::fs;
use std::path::Path;

/// Checks every file of a corpus; the test's output names the one that fails.
fn replay(corpus: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(corpus);
    let mut files = 0;
    for file in fs::read_dir(corpus).unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display());
        check(&fs::read(&path).unwrap());
        files += 1;
    }
    assert_ne!(files, 0, "no inputs");
}

#[test]
fn bodies_are_jobs_or_not() {
    replay("intake", oracles::intake::check);
}

#[test]
fn answers_hold_results_or_not() {
    replay("answer", oracles::correlation::check_answer);
}

#[test]
fn answers_are_read_by_shapes() {
    replay("shapes", |input| {
        if let Some((which, answer)) = input.split_first() {
            oracles::shapes::check(*which, answer);
        }
    });
}

#[test]
fn headers_are_trace_contexts_or_not() {
    replay("trace_context", oracles::trace_context::check);
}

#[test]
fn files_are_configurations_or_not() {
    replay("config", oracles::config::check);
}
