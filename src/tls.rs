//! Certificates: ours with their keys, those that others are checked with, how long they last,
//! and why a handshake fails.
//!
//! `config` says which files, `app` opens them as [`Reread`](crate::reread::Reread), so that a
//! renewed certificate takes a renewed file and nothing else, and `server` shakes hands by
//! [`server::Server`]. What is wrong with a file is said with its name and with what to do.
//!
//! ```text
//! server       what a listener goes by: a pair, and who may sign its clients' certificates
//! identity     a certificate with its chain and its key, which match
//! authorities  certificates that others are checked with
//! certificate  how long a file's certificates last
//! pem          the sections of a file, and the words for those that are missing
//! failure      why a handshake came to nothing
//! ```

mod authorities;
mod certificate;
mod failure;
mod identity;
mod pem;
pub mod server;

pub use authorities::Authorities;
pub use certificate::{Certificate, Certified, Validity};
pub use failure::Failure;
pub use identity::Identity;
pub use pem::{PemFile, Unsound};
