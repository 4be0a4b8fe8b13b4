//! Questions to a running proxy's admin listener.
//!
//! The commands `healthcheck`, `advice` and `top` ask them; `submit`, which asks the other
//! listener, shares how an answer is read. An [`Asker`] promises
//! that no question takes longer than its timeout, that no answer takes more than
//! [`LONGEST`] of memory, and that no proxy of the environment stands between.

pub mod advice;
mod question;

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};

use crate::address::Address;
use crate::printable::printable;

pub use question::Question;

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
    /// No HTTP client can be made.
    #[error("can't make an HTTP client")]
    Client(#[source] reqwest::Error),
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
    /// Asks the proxy that listens on `listen`, its `admin.listen`.
    ///
    /// # Errors
    ///
    /// [`AskError::Off`] without an address; [`AskError::Client`] if there can be no
    /// TLS, which is not used.
    pub fn new(listen: Option<&Address>, timeout: Duration) -> Result<Self, AskError> {
        let listen = listen.ok_or(AskError::Off)?;
        let client = Client::builder().no_proxy().timeout(timeout);
        Ok(Self {
            client: client.build().map_err(AskError::Client)?,
            base: format!("http://{}", listen.connectable()),
        })
    }

    /// The URL of a path that starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The answer, whatever its status; its body is still to be read.
    ///
    /// # Errors
    ///
    /// Nobody answers in time.
    pub async fn get(&self, path: &str) -> Result<Response, reqwest::Error> {
        self.client.get(self.url(path)).send().await
    }

    /// The body of an answer that is a success.
    ///
    /// # Errors
    ///
    /// Nobody answers in time, the status is another, or the body exceeds [`LONGEST`].
    pub async fn body(&self, question: &Question<'_>) -> Result<Vec<u8>, AskError> {
        let target = question.target();
        let unreachable = |error: reqwest::Error| AskError::Unreachable {
            url: self.url(&target),
            cause: root_cause(&error),
        };
        let answer = self.get(&target).await.map_err(unreachable)?;
        let status = answer.status();
        let body = body_up_to(LONGEST, answer).await.map_err(unreachable)?;
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

/// What lies at the bottom: the layers of HTTP above it say nothing more.
pub fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
