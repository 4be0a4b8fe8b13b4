//! Why a Redis can't be the store, and how a step of it fails.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use thiserror::Error;

use crate::later::step::StoreError;

/// Why a Redis can't be the store: what happened, where, and what to do. The address is
/// told without a password.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL is none.
    #[error(
        "later.store is no URL of a Redis ({why}): write redis://host:port/database, \
         rediss:// for TLS, or unix:///path of a socket"
    )]
    Url {
        /// What is wrong with it.
        why: String,
    },
    /// The certificates can't be read.
    #[error("later.ca: {why}")]
    Ca {
        /// Which file, what is wrong with it, and what to do.
        why: String,
    },
    /// There is nobody.
    #[error("no Redis can be reached at {at} ({why}): start it, or mend later.store")]
    Unreachable {
        /// Where.
        at: String,
        /// What the system says.
        why: String,
    },
    /// It does not answer.
    #[error(
        "the Redis at {at} has not answered within later.timeout ({timeout:?}): is it Redis, \
         and is TLS spoken by both sides (rediss://) or by neither (redis://)?"
    )]
    NoAnswer {
        /// Where.
        at: String,
        /// `later.timeout`.
        timeout: Duration,
    },
    /// No TLS was agreed on.
    #[error("no TLS with the Redis at {at}: {why}")]
    Tls {
        /// Where.
        at: String,
        /// What was wrong, and what to do.
        why: String,
    },
    /// It does not let this in.
    #[error(
        "the Redis at {at} refuses the password ({why}): write \
         redis://user:password@host:port, or unix:///path?user=…&pass=…"
    )]
    Password {
        /// Where.
        at: String,
        /// What it says.
        why: String,
    },
    /// It refuses a command.
    #[error(
        "the Redis at {at} refuses {what} ({why}): its user needs that, on keys and channels of {{{prefix}}}:*"
    )]
    Refused {
        /// Where.
        at: String,
        /// The command.
        what: &'static str,
        /// What it says.
        why: String,
        /// `later.prefix`.
        prefix: String,
    },
    /// It breaks off.
    #[error(
        "the connection to the Redis at {at} was lost ({why}): is it Redis, and is TLS spoken \
         by both sides (rediss://) or by neither (redis://)?"
    )]
    Lost {
        /// Where.
        at: String,
        /// What happened.
        why: String,
    },
    /// It is too old.
    #[error("the Redis at {at} is {version}: it takes Redis 6.2 or later, or Valkey")]
    TooOld {
        /// Where.
        at: String,
        /// What it is.
        version: String,
    },
    /// It keeps nothing across its own restart.
    #[error(
        "the Redis at {at} has appendonly off, and would lose accepted jobs when it restarts: \
         set appendonly yes there, or later.allow_volatile = true here"
    )]
    Volatile {
        /// Where.
        at: String,
    },
    /// It removes records as it likes.
    #[error(
        "the Redis at {at} has maxmemory-policy {policy}, and would lose accepted jobs when it \
         is full: set noeviction there, or later.allow_volatile = true here"
    )]
    Evicts {
        /// Where.
        at: String,
        /// What it is.
        policy: String,
    },
    /// It takes no writes.
    #[error("the Redis at {at} is a replica: name its primary in later.store")]
    Replica {
        /// Where.
        at: String,
    },
    /// It reads its data.
    #[error("the Redis at {at} is loading its data: wait until it has done so")]
    Loading {
        /// Where.
        at: String,
    },
    /// Another node of its cluster has the keys.
    #[error(
        "the keys {{{prefix}}}:* belong to another node of the cluster than {at} ({why}): name \
         that one in later.store"
    )]
    Elsewhere {
        /// Where.
        at: String,
        /// What it says.
        why: String,
        /// `later.prefix`.
        prefix: String,
    },
}

/// What a Redis says when it has not begun with what it was asked.
const NOT_BEGUN: [&str; 16] = [
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "EXECABORT",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "WRONGPASS",
];

/// What a step comes to that failed so.
pub(super) fn failed(error: &RedisError) -> StoreError {
    let Some(code) = error.code() else {
        return StoreError::Unanswered;
    };
    // Versions before 7 say so within the text, of a script that was refused its first write.
    let within = |it: &&str| {
        let text = error.detail().unwrap_or_default();
        text.contains(&format!("-{it} ")) || text.contains(&format!(" {it} "))
    };
    match NOT_BEGUN.contains(&code) || (code == "ERR" && NOT_BEGUN.iter().any(within)) {
        true => StoreError::NotCommitted,
        false => StoreError::Unanswered,
    }
}

/// Whether another server is to be looked for: this one takes no writes any more.
pub(super) fn is_no_primary(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly | ServerErrorKind::Moved | ServerErrorKind::ClusterDown
        )
    )
}

/// Whether a script has to be loaded again.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
