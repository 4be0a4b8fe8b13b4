//! What is kept in memory of a record's job: where it is in the file.

use crate::later::record::NewRecord;
use crate::later::records::{Claimable, Job, Records};

/// The records of a file: their bytes are there alone.
pub(super) type Rows = Records<Row, ()>;

/// A record's row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its number.
    pub number: i64,
    pub claimable: Claimable,
}

impl Row {
    /// The row of a record that is made.
    pub fn new(number: i64, record: &NewRecord) -> Self {
        Self {
            number,
            claimable: Claimable::new(record.frame, record.job.call().count()),
        }
    }
}

impl Job for Row {
    fn claimable(&self) -> Option<&Claimable> {
        Some(&self.claimable)
    }

    fn claimable_mut(&mut self) -> Option<&mut Claimable> {
        Some(&mut self.claimable)
    }
}
