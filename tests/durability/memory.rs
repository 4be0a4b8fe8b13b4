//! That the driver sees what it looks for, and nothing else: a store that forgets fails it,
//! and one whose process lives on does not.

use std::time::Duration;

use crate::ledger::{Fault, Terms};
use crate::process::{Course, run};
use crate::report::{Report, seed};

fn course() -> Course {
    Course {
        store: |_| "memory".to_owned(),
        lasts: false,
        terms: Terms {
            idempotent: false,
            attempts: 1,
            most_calls: 1,
            single: true,
            away: false,
        },
        rounds: 0,
        last: Duration::from_millis(100),
        seed: seed(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_forgets_is_found_out() {
    let mut report = Report::new("memory, killed");
    let killed = Course {
        rounds: 8,
        ..course()
    };
    report.add(&*run(killed).await);
    report.print();
    assert!(report.faults(Fault::Lost) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_kill_there_is_no_fault() {
    let mut report = Report::new("memory, not killed");
    let undisturbed = Course {
        last: Duration::from_secs(3),
        ..course()
    };
    report.add(&*run(undisturbed).await);
    report.must_be_clean(undisturbed.seed);
}
