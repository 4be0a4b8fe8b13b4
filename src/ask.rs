//! Questions to a running proxy's admin listener.
//!
//! The commands `healthcheck`, `advice` and `top` ask them; `submit`, which asks the other
//! listener, shares how an answer is read. An [`Asker`] promises
//! that no question takes longer than its timeout, that no answer takes more than
//! [`LONGEST`] of memory, and that no proxy of the environment stands between.
//! [`Reach`] is how any listener is reached: by TCP or a socket, over TLS, with a token.

pub mod advice;
mod pass;
mod question;
mod reach;

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};

use crate::printable::printable;
use crate::tls::words;

pub use pass::Pass;
pub use question::Question;
pub use reach::{Listener, Reach, ReachError};

use reach::NAMES;

/// The longest answer that is read, in bytes; some ten times `GET /live` at its
/// fullest.
pub const LONGEST: usize = 4 << 20;

/// Asks one proxy.
#[derive(Clone, Debug)]
pub struct Asker {
    client: Client,
    base: String,
}

/// What a proxy says of a question that it has no answer to.
#[derive(serde::Deserialize)]
struct Problem {
    detail: String,
}

/// Why there is no answer, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no admin listener.
    #[error("admin.listen is off, so there is nobody to ask")]
    Off,
    /// What was given to get in with does not do.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// No HTTP client can be made.
    #[error("can't make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// It speaks TLS, and was asked without.
    #[error(
        "{url}: the proxy speaks TLS there: give the --config that it has, or --ca with the \
         certificate of who has signed its own"
    )]
    SpeaksTls {
        /// What was asked for.
        url: String,
    },
    /// It lets nobody in without a token.
    #[error(
        "{url}: 401 Unauthorized: the proxy wants a token that it knows: give one by --token-file \
         (`microbatch token` makes one)"
    )]
    Unauthorized {
        /// What was asked for.
        url: String,
    },
    /// Nobody answered in time.
    #[error(
        "{url}: {cause}; is the proxy running? Its admin.listen is found as the proxy finds it: \
         give the same --admin-listen, --config or environment"
    )]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What happened.
        cause: String,
    },
    /// Somebody answered, but with no success.
    #[error("{url}: {status}; is admin.listen the address of a microbatch proxy of this version?")]
    Status {
        /// What was asked for.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// There is no route of that name.
    #[error("{url}: {told}")]
    NoRoute {
        /// What was asked for.
        url: String,
        /// The proxy's own words, which name those that there are.
        told: String,
    },
    /// Somebody answered something else.
    #[error("{url}: {cause}; is admin.listen the address of a microbatch proxy of this version?")]
    Unknown {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl Asker {
    /// Asks the proxy by its listener for operators, if it has one.
    ///
    /// # Errors
    ///
    /// [`AskError::Off`] without a listener; [`AskError::Reach`] where what is given does not do.
    pub fn new(
        listener: Option<Listener<'_>>,
        pass: &Pass,
        timeout: Duration,
    ) -> Result<Self, AskError> {
        let Reach { client, base } = Reach::new(listener.ok_or(AskError::Off)?, pass)?;
        let client = client.timeout(timeout).build();
        Ok(Self {
            client: client.map_err(AskError::Client)?,
            base,
        })
    }

    /// The URL of a path that starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn get(&self, path: &str) -> Result<Response, AskError> {
        let answer = self.client.get(self.url(path)).send().await;
        answer.map_err(|error| self.unreachable(path, &error))
    }

    fn unreachable(&self, target: &str, error: &reqwest::Error) -> AskError {
        AskError::Unreachable {
            url: self.url(target),
            cause: root_cause(error),
        }
    }

    /// Whether the proxy is ready, by the status of its answer.
    ///
    /// # Errors
    ///
    /// Nobody answers in time, or over TLS where it was asked without.
    pub async fn ready(&self, path: &str) -> Result<StatusCode, AskError> {
        let answer = self.get(path).await?;
        let status = answer.status();
        let body = body_up_to(LONGEST, answer).await;
        let body = body.map_err(|error| self.unreachable(path, &error))?;
        match speaks_tls(status, &body.unwrap_or_default()) {
            true => Err(AskError::SpeaksTls {
                url: self.url(path),
            }),
            false => Ok(status),
        }
    }

    /// The body of an answer that is a success.
    ///
    /// # Errors
    ///
    /// Nobody answers in time, the status is another, or the body exceeds [`LONGEST`].
    pub async fn body(&self, question: &Question<'_>) -> Result<Vec<u8>, AskError> {
        let target = question.target();
        let answer = self.get(&target).await?;
        let status = answer.status();
        let body = body_up_to(LONGEST, answer).await;
        let body = body.map_err(|error| self.unreachable(&target, &error))?;
        match body {
            Some(body) if status.is_success() => Ok(body),
            None if status.is_success() => {
                Err(self.unknown(&target, format!("more than {LONGEST} bytes")))
            }
            body => Err(self.refused(question, status, &body.unwrap_or_default())),
        }
    }

    fn refused(&self, question: &Question<'_>, status: StatusCode, body: &[u8]) -> AskError {
        let url = self.url(&question.target());
        if status == StatusCode::UNAUTHORIZED {
            return AskError::Unauthorized { url };
        }
        if speaks_tls(status, body) {
            return AskError::SpeaksTls { url };
        }
        let asked = question.route.is_some() && status == StatusCode::NOT_FOUND;
        match serde_json::from_slice(body) {
            Ok(Problem { detail }) if asked => AskError::NoRoute {
                url,
                told: printable(&detail).into_owned(),
            },
            _ => AskError::Status { url, status },
        }
    }

    /// The body as JSON of that shape.
    ///
    /// # Errors
    ///
    /// Those of [`Asker::body`], or it is none.
    pub async fn json<T: serde::de::DeserializeOwned>(
        &self,
        question: &Question<'_>,
    ) -> Result<T, AskError> {
        let body = self.body(question).await?;
        let unknown = |error| self.unknown(&question.target(), format!("not understood: {error}"));
        serde_json::from_slice(&body).map_err(unknown)
    }

    fn unknown(&self, target: &str, cause: String) -> AskError {
        let url = self.url(target);
        AskError::Unknown { url, cause }
    }
}

/// The body of an answer; `None` where it has more than so many bytes.
///
/// # Errors
///
/// It does not arrive.
pub async fn body_up_to(
    longest: usize,
    mut answer: Response,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > longest {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Whether a server says so to who asks it without.
pub fn speaks_tls(status: StatusCode, body: &[u8]) -> bool {
    // As this one, nginx and Go's have it.
    let words = String::from_utf8_lossy(&body[..body.len().min(1024)]);
    status == StatusCode::BAD_REQUEST && (words.contains("TLS") || words.contains("HTTPS"))
}

/// What lies at the bottom: the layers of HTTP above it say nothing more. Of TLS it says what to
/// do.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    if let Some(told) = words::cause(error).and_then(|it| words::told(it, &NAMES)) {
        return format!("TLS: {told}");
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
