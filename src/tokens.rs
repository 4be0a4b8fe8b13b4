//! Who may come in, by the tokens that requests bear.
//!
//! `http`'s gate asks a [`Guard`] before anything is looked up for a request; `app` opens
//! it from the file that `server.auth.tokens` or `admin.auth.tokens` names, and has that
//! read again when its contents change. `main` makes tokens for the command.
//!
//! What is promised: a token stands in no file, log, metric or message of ours, but for
//! the one time that the command prints it. What is presented is digested and compared
//! with every entry, each in constant time, so that how long a refusal takes tells nothing
//! of the entries.
//!
//! | file | what it is |
//! |---|---|
//! | `name` | what a token is called |
//! | `token` | a new one, and what recognises one |
//! | `digest` | what stands for a token |
//! | `file` | the file's lines |
//! | `guard` | the file in force: who may come in now, and how often each has |

mod digest;
mod file;
mod guard;
mod name;
mod token;

pub use digest::Digest;
pub use file::{Entries, FileError, MAX_BYTES, MAX_TOKENS};
pub use guard::{Admitted, Guard, Tokens};
pub use name::{Name, NotAName};
pub use token::{NoRandomness, Token};
