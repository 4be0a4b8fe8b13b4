//! The listeners' doors: where there is a certificate, hands are shaken before anything is said.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, warn};

use super::files::Files;
use crate::config::settings::Settings;
use crate::config::{Mistake, Mistakes};
use crate::http::TO_PLAIN_HTTP;
use crate::observe::{Observer, Process, ProcessEvent};
use crate::reread::Reread;
use crate::server::connections::Permit;
use crate::server::{Encrypted, Limits, handshake};
use crate::throttle::LogThrottle;
use crate::tls::Failure;
use crate::tls::server::{self, Server};

/// The certificates of both listeners, opened.
#[derive(Debug, Default)]
pub(super) struct Doors {
    callers: Option<Arc<Reread<Server>>>,
    operators: Option<Arc<Reread<Server>>>,
}

impl Doors {
    /// Opens what these settings name. It reads files.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn open(settings: &Settings) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut open = |key: &str, files: Option<&server::Files>| match files?.open(key) {
            Ok(opened) => Some(opened),
            Err(error) => {
                mistakes.push(Mistake {
                    origin: None,
                    key: key.to_owned(),
                    what: error.to_string(),
                });
                None
            }
        };
        let of_admin = settings.admin.as_ref();
        let doors = Self {
            callers: open("server.tls", settings.tls.as_ref()),
            operators: open("admin.tls", of_admin.and_then(|it| it.tls.as_ref())),
        };
        match Mistakes::of(mistakes) {
            None => Ok(doors),
            Some(mistakes) => Err(mistakes),
        }
    }

    /// Has them looked at again as long as they are in use.
    pub fn watched_by(&self, files: &Files) {
        let both = self.callers.iter().chain(&self.operators);
        both.for_each(|it| files.watch_certificates(it));
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
    fn new(name: &'static str, server: &Arc<Reread<Server>>, observer: &Observer) -> Option<Self> {
        Some(Self(Arc::new(DoorInner {
            name,
            server: Arc::clone(server),
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
