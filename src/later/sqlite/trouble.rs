//! What SQLite says of a file, and what that means.

use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use super::error::OpenError;

/// Why a file is not opened.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is damaged; how that was noticed.
    Damaged(String),
    /// It is not to be touched.
    Refused(OpenError),
}

impl Trouble {
    /// What an error of SQLite means for this file.
    pub fn of(path: &Path, error: Error) -> Self {
        let path = path.to_owned();
        let refused = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                return Self::Damaged(error.to_string());
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse(path),
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                let error = error.into();
                OpenError::NotWritable { path, error }
            }
            _ => {
                let error = error.into();
                OpenError::Failed { path, error }
            }
        };
        Self::Refused(refused)
    }

    /// The same where something was read that is not of the kind that is written there.
    pub fn unreadable(path: &Path, error: Error) -> Self {
        match error.sqlite_error_code() {
            // There is no such table, or no such value in it.
            None | Some(ErrorCode::Unknown) => Self::Damaged(error.to_string()),
            Some(_) => Self::of(path, error),
        }
    }
}

/// A write has failed, as where there is no room, or no more than somebody may have.
const CERTAIN: [i32; 2] = [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE];

/// Why changes are not in the file.
#[derive(Debug)]
pub(super) struct NotCommitted {
    pub error: Error,
    /// Whether they may be in it after a crash all the same.
    pub is_uncertain: bool,
}

impl NotCommitted {
    /// Whether there is no room for them.
    pub fn is_full(&self) -> bool {
        let error = self.error.sqlite_error();
        let code = error.map(|it| it.extended_code);
        code.is_some_and(|it| CERTAIN.contains(&it))
    }

    /// Before it was tried to commit them.
    pub fn before(error: Error) -> Self {
        Self {
            error,
            is_uncertain: false,
        }
    }

    /// When it was tried: where the last write failed, the transaction has no end, and
    /// nobody takes it for one. Where all was written, nobody knows how much is on the disk.
    pub fn at_the_end(error: Error) -> Self {
        let code = error.sqlite_error().map(|it| it.extended_code);
        let is_uncertain = code.is_none_or(|code| !CERTAIN.contains(&code));
        Self {
            error,
            is_uncertain,
        }
    }
}
