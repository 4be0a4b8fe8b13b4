//! What is set about answers fetched later.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// Where records are kept. It displays as it is set, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Nowhere: every caller waits for its answer.
    Off,
    /// In memory, until the process ends.
    Memory,
    /// In a file of SQLite.
    Sqlite(PathBuf),
    /// In a Redis, which others may share.
    Redis(RedisUrl),
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreKind::Off => f.write_str("off"),
            StoreKind::Memory => f.write_str("memory"),
            StoreKind::Sqlite(file) => write!(f, "sqlite:{}", file.display()),
            StoreKind::Redis(url) => write!(f, "{url}"),
        }
    }
}

/// Where a Redis is, and as whom to speak to it: `redis`, `rediss`, `unix` or `redis+unix`.
/// Both its texts have `***` in place of user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(pub Url);

impl RedisUrl {
    /// Whether what is said to it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "rediss"
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REDACTED: &str = "***";
        let mut shown = self.0.clone();
        // Both setters fail only where a URL has no host, and then there is nothing to hide.
        if !shown.username().is_empty() {
            let _ = shown.set_username(REDACTED);
        }
        if shown.password().is_some() {
            let _ = shown.set_password(Some(REDACTED));
        }
        // That of a socket has them in its query.
        if let Some(query) = self.0.query() {
            let pairs = query.split('&').map(|pair| match pair.split_once('=') {
                Some(("db", _)) => pair.to_owned(),
                Some((name, _)) => format!("{name}={REDACTED}"),
                None => REDACTED.to_owned(),
            });
            shown.set_query(Some(&pairs.collect::<Vec<_>>().join("&")));
        }
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The bounds and times of records.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most records there may be.
    pub max_jobs: usize,
    /// Most bytes of their jobs and answers: a record counts for its job until it is
    /// finished, and for its answer from then on.
    pub max_bytes: usize,
    /// How long a finished record is kept.
    pub keep: Duration,
    /// The longest that a job may take to finish, from when it was handed in.
    pub job_timeout: Duration,
    /// The longest that a job waits for company.
    pub max_wait: Duration,
    /// How often a job is sent by processes that end before it is finished, the first time
    /// included, where doing it twice does no harm.
    pub max_attempts: u32,
}
