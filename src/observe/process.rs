//! What happens in the process that is no route's: told to [`Process`], which every observer of
//! the process has.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::observe::certificate::Certificate;

/// Something that has happened in the process, on no route.
#[derive(Clone, Debug)]
pub enum ProcessEvent {
    /// Files of certificates have changed and were read again.
    TlsReloaded(Reloaded),
    /// A file of tokens has changed and was read again.
    TokensReloaded(Reloaded),
    /// These are the certificates in force from here on.
    Certificates(Vec<Certificate>),
    /// A client's TLS handshake has failed.
    HandshakeFailed {
        /// Why: one of [`HANDSHAKE_FAILURES`].
        why: &'static str,
    },
    /// The settings were loaded again.
    ConfigReloaded(Reloaded),
}

/// Every reason there is for a handshake to fail.
pub const HANDSHAKE_FAILURES: [&str; 9] = [
    "timeout",
    "plain-http",
    "not-tls",
    "no-certificate",
    "bad-certificate",
    "refused",
    "unsupported",
    "closed",
    "other",
];

/// What came of files that were read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// They are in force.
    Ok,
    /// They do not do: those before them stay.
    Failed,
}

impl Reloaded {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ok, Self::Failed];

    /// Its name as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }
}

/// Counts of what happens in the process, from its start on, and what is in force. Counting is
/// an addition, without a lock.
#[derive(Debug, Default)]
pub struct Process {
    tls_reloads: [AtomicU64; Reloaded::ALL.len()],
    tokens_reloads: [AtomicU64; Reloaded::ALL.len()],
    handshakes_failed: [AtomicU64; HANDSHAKE_FAILURES.len()],
    certificates: Mutex<Arc<[Certificate]>>,
    config_reloads: [AtomicU64; Reloaded::ALL.len()],
    /// When the settings in force were loaded, in milliseconds of Unix time; 0 for at start.
    config_reloaded: AtomicU64,
}

impl Process {
    /// Something has happened.
    pub fn tell(&self, event: ProcessEvent) {
        match event {
            ProcessEvent::TlsReloaded(result) => add(&self.tls_reloads[result as usize]),
            ProcessEvent::TokensReloaded(result) => add(&self.tokens_reloads[result as usize]),
            ProcessEvent::Certificates(certificates) => {
                // Nothing panics while it is held.
                let mut known = self.known();
                *known = certificates.into();
            }
            ProcessEvent::HandshakeFailed { why } => {
                let at = HANDSHAKE_FAILURES.iter().position(|&it| it == why);
                at.map(|at| &self.handshakes_failed[at])
                    .into_iter()
                    .for_each(add);
            }
            ProcessEvent::ConfigReloaded(result) => {
                add(&self.config_reloads[result as usize]);
                if result == Reloaded::Ok {
                    let now = SystemTime::now()
                        .duration_since(UNIX_EPOCH)
                        .unwrap_or_default();
                    let now = now.as_millis().try_into().unwrap_or(u64::MAX);
                    self.config_reloaded.store(now, Ordering::Relaxed);
                }
            }
        }
    }

    /// How often the settings were loaded again, by what came of it.
    pub fn config_reloads(&self) -> impl Iterator<Item = (Reloaded, u64)> {
        let counts = self.config_reloads.iter().map(read);
        Reloaded::ALL.into_iter().zip(counts)
    }

    /// When the settings were last loaded again and applied, in seconds of Unix time; 0 where
    /// they are those that the process began with.
    pub fn config_reloaded(&self) -> f64 {
        read(&self.config_reloaded) as f64 / 1e3
    }

    /// How often certificates were read again, by what came of it.
    pub fn tls_reloads(&self) -> impl Iterator<Item = (Reloaded, u64)> {
        let counts = self.tls_reloads.iter().map(read);
        Reloaded::ALL.into_iter().zip(counts)
    }

    /// How often files of tokens were, by what came of it.
    pub fn tokens_reloads(&self) -> impl Iterator<Item = (Reloaded, u64)> {
        let counts = self.tokens_reloads.iter().map(read);
        Reloaded::ALL.into_iter().zip(counts)
    }

    /// How many handshakes failed, by why.
    pub fn handshakes_failed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.handshakes_failed.iter().map(read);
        HANDSHAKE_FAILURES.into_iter().zip(counts)
    }

    /// The certificates in force.
    pub fn certificates(&self) -> Arc<[Certificate]> {
        Arc::clone(&self.known())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Arc<[Certificate]>> {
        self.certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_has_a_count() {
        let process = Process::default();
        for (result, times) in [(Reloaded::Ok, 2), (Reloaded::Failed, 1)] {
            (0..times).for_each(|_| process.tell(ProcessEvent::TlsReloaded(result)));
        }
        let counts: Vec<_> = process.tls_reloads().collect();
        assert_eq!(counts, [(Reloaded::Ok, 2), (Reloaded::Failed, 1)]);
        for why in ["other", "nothing of ours", "timeout", "other"] {
            process.tell(ProcessEvent::HandshakeFailed { why });
        }
        let failed = process.handshakes_failed().filter(|(_, count)| *count > 0);
        let failed: Vec<_> = failed.collect();
        assert_eq!(failed, [("timeout", 1), ("other", 2)]);
    }
}
