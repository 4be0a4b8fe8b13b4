//! A proxy as every course starts it: small batches, short waits, a few slots.

use crate::harness::Log;
use crate::harness::{Proxy, Starting, command, within};
use crate::ledger::{Fault, Ledger};

const FLAGS: [[&str; 2]; 5] = [
    ["--max-size", "8"],
    ["--max-wait", "3ms"],
    ["--upstream-timeout", "1s"],
    ["--shutdown-timeout", "10s"],
    ["--log-level", "info"],
];

const ENV: [(&str, &str); 4] = [
    ("MICROBATCH_LATER__MAX_WAIT", "15ms"),
    ("MICROBATCH_UPSTREAM__MAX_IN_FLIGHT", "3"),
    ("MICROBATCH_RETRY__BASE", "20ms"),
    ("MICROBATCH_CIRCUIT__FAILURES", "0"),
];

/// Starts one before this upstream, with this store.
pub fn start(ledger: &Ledger, upstream: &str, store: &str, more: &[(&str, &str)]) -> Starting {
    let idempotent = match ledger.terms.idempotent {
        true => "true",
        false => "false",
    };
    let attempts = ledger.terms.attempts.to_string();
    let own = [
        ("MICROBATCH_LATER__STORE", store),
        ("MICROBATCH_RETRY__MAX_ATTEMPTS", &*attempts),
        ("MICROBATCH_UPSTREAM__IDEMPOTENT", idempotent),
    ];
    let env = [&ENV[..], &own, more].concat();
    Starting::by(command(), upstream, &FLAGS.concat(), &env)
}

/// The same until it is ready, as a supervisor does: without its store it ends at once.
pub async fn started(ledger: &Ledger, upstream: &str, store: &str, more: &[(&str, &str)]) -> Proxy {
    loop {
        let starting = start(ledger, upstream, store, more);
        let log = starting.log.clone();
        let listens = log.find_nth(1, |line| line.message() == "listening");
        if within("a start or an end", listens).await.is_some() {
            return starting.ready().await;
        }
        ledger.count("refused at start");
        let said = log.to_string();
        if !said.contains("later.timeout") {
            ledger.fault(Fault::Process, &said);
            panic!("the process does not start: {said}");
        }
    }
}

/// Whether a process that has ended, or still runs, has panicked.
pub fn check_log(ledger: &Ledger, log: &Log) {
    // A panic is told in lines of its own.
    if log.count(|line| line.0["not_json"].is_string()) > 0 {
        ledger.fault(Fault::Process, &log.to_string());
    }
}
