//! What a course came to: its figures, printed, and its faults, which fail the test.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Instant, SystemTime};

use crate::ledger::{Fault, Ledger};

/// How many faults are told in full.
const TOLD: usize = 5;

/// A number in the environment.
pub fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Where the draws of a course begin.
pub fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    number("SEED").unwrap_or_else(|| now().expect("a time after 1970").as_millis() as u64)
}

/// The sum of several stores.
pub struct Report {
    name: &'static str,
    started: Instant,
    figures: BTreeMap<String, u64>,
    faults: Vec<(Fault, String)>,
}

impl Report {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            started: Instant::now(),
            figures: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    pub fn add(&mut self, ledger: &Ledger) {
        for (what, count) in ledger.figures() {
            *self.figures.entry(what).or_default() += count;
        }
        self.faults.extend(ledger.faults());
    }

    /// How many faults there are of a kind.
    pub fn faults(&self, fault: Fault) -> usize {
        let same = self.faults.iter().filter(|(it, _)| *it == fault);
        same.count()
    }

    /// Tells it, also where the output of tests is captured.
    pub fn print(&self) {
        let mut text = format!("{} in {:.1?}:", self.name, self.started.elapsed());
        for (what, count) in &self.figures {
            text += &format!("\n  {count:>8} {what}");
        }
        let mut kinds = BTreeMap::<_, usize>::new();
        for (kind, _) in &self.faults {
            *kinds.entry(*kind).or_default() += 1;
        }
        text += &format!("\n  faults: {kinds:?}\n");
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// A run in which something never happened proves nothing about it: fails where one of
    /// these did not.
    pub fn must_have(&self, figures: &[&str]) {
        for figure in figures {
            let what = format!("{}: {figure} never happened", self.name);
            assert!(self.figures.contains_key(*figure), "{what}");
        }
    }

    /// Fails where there is a fault.
    pub fn must_be_clean(&self, seed: u64) {
        self.print();
        let told = self.faults.iter().take(TOLD);
        let told = told.map(|(kind, what)| format!("\n{kind:?}: {what}"));
        let told: String = told.collect();
        let count = self.faults.len();
        assert_eq!(count, 0, "{}, SEED={seed}: {count} faults{told}", self.name);
    }
}

/// Says that a test can't run here, and fails where `CI` is set.
pub fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{why}, and CI is set");
    say(&format!("SKIPPED: {why}"))
}

/// A line to whoever runs the tests; nothing.
pub fn say<T>(what: &str) -> Option<T> {
    // Not by a macro that prints: the output of tests that pass is not shown.
    let _ = writeln!(std::io::stderr(), "durability: {what}");
    None
}
