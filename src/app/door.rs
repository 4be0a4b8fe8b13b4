//! The listeners' doors: where there is a certificate, hands are shaken before anything is said,
//! and where there are tokens, who bears none of them comes no further.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, warn};

use super::files::Files;
use crate::config::settings::Settings;
use crate::config::{Mistake, Mistakes};
use crate::http::TO_PLAIN_HTTP;
use crate::observe::{Observer, Process, ProcessEvent};
use crate::reread::{OpenError, Reread};
use crate::server::connections::Permit;
use crate::server::{Encrypted, Limits, handshake};
use crate::throttle::LogThrottle;
use crate::tls::server::{self, Server};
use crate::tls::{Certified, Failure};
use crate::tokens::Guard;

/// The certificates and the tokens of both listeners, opened; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Doors {
    callers: Option<Certificates>,
    operators: Option<Certificates>,
    tokens: Tokens,
}

/// The certificate of a listener.
#[derive(Clone, Debug)]
struct Certificates {
    files: server::Files,
    opened: Arc<Reread<Server>>,
}

impl Certificates {
    /// Opens them, unless they are `before`.
    fn open(key: &str, files: &server::Files, before: Option<&Self>) -> Result<Self, OpenError> {
        match before {
            Some(before) if before.files == *files => Ok(before.clone()),
            _ => Ok(Self {
                files: files.clone(),
                opened: files.open(key)?,
            }),
        }
    }
}

/// The tokens that let in, unless everybody may come in.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    /// Callers.
    pub callers: Option<Guard>,
    /// Operators.
    pub operators: Option<Guard>,
}

impl Tokens {
    /// All that there are.
    pub fn all(&self) -> Arc<[Guard]> {
        let both = [&self.callers, &self.operators];
        both.into_iter().flatten().cloned().collect()
    }
}

impl Doors {
    /// Opens what these settings name. It reads files.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn open(settings: &Settings) -> Result<Self, Mistakes> {
        Self::default().followed_by(settings)
    }

    /// The same where these are open: what of them the settings name as well goes on.
    ///
    /// # Errors
    /// Everything that is wrong with the others.
    pub fn followed_by(&self, settings: &Settings) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut told = |key: &str, error: OpenError| {
            mistakes.push(Mistake {
                origin: None,
                key: key.to_owned(),
                what: error.to_string(),
            });
        };
        let mut open = |key: &str, files: Option<&server::Files>, before: &Option<Certificates>| {
            let opened = Certificates::open(key, files?, before.as_ref());
            opened.map_err(|error| told(key, error)).ok()
        };
        let of_admin = settings.admin.as_ref();
        let callers = open("server.tls", settings.tls.as_ref(), &self.callers);
        let tls = of_admin.and_then(|it| it.tls.as_ref());
        let operators = open("admin.tls", tls, &self.operators);
        let mut guard = |key: &str, path: Option<&PathBuf>, before: &Option<Guard>| {
            let opened = match before {
                None => Guard::open(key, path?),
                Some(before) => before.followed_by(key, path?),
            };
            opened.map_err(|error| told(key, error)).ok()
        };
        let of_operators = of_admin.and_then(|it| it.tokens.as_ref());
        let doors = Self {
            callers,
            operators,
            tokens: Tokens {
                callers: guard(
                    "server.auth.tokens",
                    settings.jobs.tokens.as_ref(),
                    &self.tokens.callers,
                ),
                operators: guard("admin.auth.tokens", of_operators, &self.tokens.operators),
            },
        };
        match Mistakes::of(mistakes) {
            None => Ok(doors),
            Some(mistakes) => Err(mistakes),
        }
    }

    /// Has them looked at again as long as they are in use.
    pub fn watched_by(&self, files: &Files) {
        for door in self.callers.iter().chain(&self.operators) {
            let door = Arc::clone(&door.opened) as Arc<dyn Certified>;
            files.watch_certificates(&door);
        }
        for tokens in &*self.tokens.all() {
            files.watch(tokens.file(), ProcessEvent::TokensReloaded);
        }
    }

    /// The tokens that let in.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// That of callers, which tells `observer`.
    pub fn callers(&self, observer: &Observer) -> Option<Door> {
        Door::new("server", self.callers.as_ref()?, observer)
    }

    /// That of operators.
    pub fn operators(&self, observer: &Observer) -> Option<Door> {
        Door::new("admin", self.operators.as_ref()?, observer)
    }
}

/// A door with a certificate.
#[derive(Clone, Debug)]
pub(super) struct Door(Arc<DoorInner>);

#[derive(Debug)]
struct DoorInner {
    name: &'static str,
    server: Arc<Reread<Server>>,
    process: Arc<Process>,
    lines: LogThrottle,
}

impl Door {
    fn new(name: &'static str, server: &Certificates, observer: &Observer) -> Option<Self> {
        Some(Self(Arc::new(DoorInner {
            name,
            server: Arc::clone(&server.opened),
            process: Arc::clone(observer.process()),
            lines: observer.throttle(1),
        })))
    }

    /// Shakes hands with somebody who has just connected; nothing where that fails.
    pub async fn shake<S>(
        &self,
        stream: S,
        limits: Limits,
        permit: &mut Permit,
    ) -> Option<Encrypted<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Self(door) = self;
        let config = Arc::clone(&door.server.current().config);
        let failed = match handshake(stream, config, &TO_PLAIN_HTTP, limits, permit).await {
            Ok(encrypted) => return Some(encrypted),
            Err(failed) => failed,
        };
        // Somebody looked whether the port is open.
        if failed.why == Failure::Closed && !failed.has_begun {
            return None;
        }
        let why = failed.why.as_str();
        door.process.tell(ProcessEvent::HandshakeFailed { why });
        let error = failed.error.as_ref().map(tracing::field::display);
        let listener = door.name;
        match door.lines.admit() {
            Some(untold) => {
                warn!(
                    listener,
                    reason = why,
                    error,
                    untold,
                    "TLS handshake failed"
                );
            }
            None => debug!(listener, reason = why, error, "TLS handshake failed"),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::HANDSHAKE_FAILURES;

    #[test]
    fn reasons_have_one_name() {
        assert_eq!(Failure::ALL.map(Failure::as_str), HANDSHAKE_FAILURES);
    }
}
