//! Which records each claim has, as the file has it: a row for each claim.

use std::collections::{BTreeMap, BTreeSet};

use super::writing::Writing;

/// The numbers of records, 8 bytes each, little end first.
const NUMBER_BYTES: usize = size_of::<i64>();

/// All claims that have records.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<u64, BTreeSet<i64>>);

/// What changes of them in one commit.
#[derive(Debug, Default)]
pub(super) struct ClaimChanges(BTreeMap<u64, Changed>);

#[derive(Debug, Default)]
struct Changed {
    come: BTreeSet<i64>,
    gone: BTreeSet<i64>,
    /// Whether the file has to know who is gone: one that is finished or deleted is known
    /// by that.
    is_told: bool,
}

impl ClaimChanges {
    /// A record is claimed.
    pub fn come(&mut self, claim: u64, record: i64) {
        let changed = self.0.entry(claim).or_default();
        changed.come.insert(record);
        changed.is_told = true;
    }

    /// A record is claimed no more; `is_waiting` if it is there and has no answer.
    pub fn gone(&mut self, claim: u64, record: i64, is_waiting: bool) {
        let changed = self.0.entry(claim).or_default();
        changed.gone.insert(record);
        changed.is_told |= is_waiting;
    }
}

impl Claims {
    /// A claim has these, as it was written.
    pub fn restore(&mut self, claim: u64, records: &[u8]) {
        let numbers = records.chunks_exact(NUMBER_BYTES).filter_map(|it| {
            let bytes = it.try_into().ok()?;
            Some(i64::from_le_bytes(bytes))
        });
        self.0.insert(claim, numbers.collect());
    }

    /// Each record with its claim.
    pub fn records(&self) -> impl Iterator<Item = (i64, u64)> {
        let claims = self.0.iter();
        claims.flat_map(|(claim, records)| records.iter().map(|record| (*record, *claim)))
    }

    /// The largest number of a claim.
    pub fn last(&self) -> u64 {
        self.0.last_key_value().map_or(0, |it| *it.0)
    }

    /// Writes what is changed.
    pub fn write(&self, changes: &ClaimChanges, to: &Writing<'_>) -> rusqlite::Result<()> {
        for (claim, changed) in &changes.0 {
            let before = self.0.get(claim);
            let count = before.map_or(0, BTreeSet::len) + changed.come.len();
            if count == changed.gone.len() {
                to.claim(*claim, &[])?;
            } else if changed.is_told {
                let all = before.into_iter().flatten().chain(&changed.come);
                let left = all.filter(|it| !changed.gone.contains(it));
                let left: Vec<_> = left.flat_map(|it| it.to_le_bytes()).collect();
                to.claim(*claim, &left)?;
            }
        }
        Ok(())
    }

    /// What was written is so.
    pub fn committed(&mut self, changes: ClaimChanges) {
        for (claim, changed) in changes.0 {
            let records = self.0.entry(claim).or_default();
            records.extend(changed.come);
            records.retain(|it| !changed.gone.contains(it));
            if records.is_empty() {
                self.0.remove(&claim);
            }
        }
    }
}
