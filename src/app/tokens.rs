//! The files of tokens that the settings name, opened before anything runs: one that does
//! not do is an error at start, not at the first request. They are looked at again while
//! the proxy runs.

use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, info};

use crate::config::Settings;
use crate::observe::{Process, ProcessEvent, Reloaded};
use crate::reread::{self, Again, Looked};
use crate::tokens::Guard;

/// How often files are looked at.
const AGAIN: Duration = Duration::from_secs(10);

/// The tokens of both listeners, unless everybody may come in.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    /// Those of callers.
    pub callers: Option<Guard>,
    /// Those of operators.
    pub operators: Option<Guard>,
}

/// Why the tokens can't be had: of which setting, and what is wrong with its file.
#[derive(Debug, Error)]
#[error("{key}: {error}")]
pub struct TokensError {
    key: &'static str,
    error: reread::OpenError,
}

impl Tokens {
    /// Opens the files. It blocks on them.
    pub fn open(settings: &Settings) -> Result<Self, TokensError> {
        let callers = settings.jobs.tokens.as_deref();
        let operators = settings.admin.as_ref();
        let operators = operators.and_then(|it| it.tokens.as_deref());
        Ok(Self {
            callers: open("server.auth.tokens", callers)?,
            operators: open("admin.auth.tokens", operators)?,
        })
    }

    /// Looks at the files again as long as it is polled, and tells what came of it.
    pub async fn look_on(self, process: &Process) {
        let guards = self.all();
        while !guards.is_empty() {
            sleep(AGAIN).await;
            for guard in &guards {
                let again = guard.again();
                // What panics there is a file that stays as it was.
                let looked = spawn_blocking(move || (again.look(), again));
                if let Ok((looked, again)) = looked.await {
                    tell(looked, &*again, process);
                }
            }
        }
    }

    /// All that there are.
    pub fn all(&self) -> Vec<Guard> {
        let both = [&self.callers, &self.operators];
        both.into_iter().flatten().cloned().collect()
    }
}

fn tell(looked: Looked, again: &dyn Again, process: &Process) {
    let key = again.name();
    let result = match looked {
        Looked::Same => return,
        Looked::New => {
            info!("{key}: the file has changed, and its tokens are in force");
            Reloaded::Ok
        }
        Looked::Failed(error) => {
            error!(%error, "{key}: the file has changed, and does not do: the tokens before it stay");
            Reloaded::Failed
        }
    };
    process.tell(ProcessEvent::TokensReloaded(result));
}

fn open(key: &'static str, path: Option<&Path>) -> Result<Option<Guard>, TokensError> {
    let guard = path.map(|path| Guard::open(key, path));
    guard
        .transpose()
        .map_err(|error| TokensError { key, error })
}
