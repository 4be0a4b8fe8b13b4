//! Why a file can't be had.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the store is not opened: what, where, and what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is no such directory.
    #[error("{}: there is no such directory; make it, or set another file", .0.display())]
    NoDirectory(PathBuf),
    /// It is no file.
    #[error("{}: it is no file; set another one", .0.display())]
    NotAFile(PathBuf),
    /// It can't be made or written.
    #[error(
        "{}: it can't be written ({error}); the process must be allowed to write to the file and \
        to make others in its directory", path.display()
    )]
    NotWritable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has it.
    #[error(
        "{}: another process has it; end that one, or set another file: each process needs one of \
        its own", .0.display()
    )]
    InUse(PathBuf),
    /// It does not say that it is a file of this program.
    #[error(
        "{}: it is no file of microbatch, or its beginning is overwritten; set another file, or \
        move this one away", .0.display()
    )]
    Foreign(PathBuf),
    /// A newer version has written it.
    #[error(
        "{}: a newer version of microbatch has written it (format {version}, this one reads \
        {readable}); use that version, or set another file", path.display()
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: i64,
        /// The last version that can be read.
        readable: i64,
    },
    /// It is damaged, and can't be moved out of the way.
    #[error("{}: it is damaged, and can't be moved aside ({error}); move it yourself", path.display())]
    NotMoved {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Something else went wrong.
    #[error("{}: it can't be opened: {error}", path.display())]
    Failed {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
}
