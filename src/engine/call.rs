//! One call, and whether its answer is a success.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use super::meaning::code_of_status;
use super::outcome::{Failure, Passthrough, Refusal};
use super::policy::Results;
use crate::code::Code;
use crate::fault::NotResults;
use crate::observe::FailedAnswer;
use crate::upstream::{Call, CallError, Outgoing, Response};

/// The longest body of a refusal that is handed on to a caller: under 64 KiB.
const MAX_PASSTHROUGH: usize = 64 * 1024 - 1;

/// A call without success.
pub(super) struct Failed {
    pub failure: Failure,
    /// For the log.
    pub cause: String,
    /// What is to be seen of the answer, if there was one.
    pub answer: Option<FailedAnswer>,
    /// What of the answer is still to be read.
    pub response: Option<Response>,
}

/// Sends a batch of `size` jobs, and reads as much of the answer as its meaning takes.
/// A success comes with its body, where that is read for results.
pub(super) async fn call(
    upstream: &impl Call,
    batch: Outgoing<'_>,
    size: usize,
    results: Results,
) -> Result<(Response, Option<Bytes>), Failed> {
    let mut response = upstream.post(batch).await?;
    let status = response.status();
    if !(200..=299).contains(&status) {
        return Err(refusal(response, size).await);
    }
    if results == Results::None {
        response.is_its_own()?;
        return Ok((response, None));
    }
    match response.body().await {
        Ok(body) => Ok((response, Some(body))),
        Err(error) => Err(Failed {
            answer: Some(seen(&response)),
            ..Failed::from(error)
        }),
    }
}

/// Reads what is left of an answer, so that its connection serves again.
pub(super) async fn discard(response: Option<Response>) {
    if let Some(response) = response {
        response.discard().await;
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        let failure = match &error {
            CallError::Unreachable(_) | CallError::Refused(_) => Failure::Unreachable,
            CallError::ConnectTimeout => Failure::ConnectTimeout,
            CallError::Disconnected(_) => Failure::Disconnected,
            CallError::Timeout => Failure::Timeout,
            CallError::Foreign(status) => Failure::Malformed(*status),
            CallError::TooLarge(status) => Failure::ResponseTooLarge(*status),
        };
        Self {
            failure,
            cause: error.to_string(),
            answer: None,
            response: None,
        }
    }
}

impl Failed {
    /// A success whose body holds no results.
    pub fn malformed(response: &Response, body: &[u8], error: &NotResults) -> Self {
        let answer = seen(response);
        let cause = match &answer.content_encoding {
            Some(encoding) => format!("compressed ({encoding}), though none was accepted"),
            None => error.to_string(),
        };
        Self {
            failure: Failure::Malformed(response.status()),
            cause,
            answer: Some(answer.with_body(body)),
            response: None,
        }
    }

    /// What the log tells of it: why, and what is to be seen of the answer, with the
    /// beginning of its body where that may be shown. Reads that, which may take the
    /// upstream a moment.
    pub async fn told(self, excerpts: bool) -> (String, Option<FailedAnswer>) {
        let beginning = match self.response {
            Some(response) => response.beginning(FailedAnswer::BYTES).await,
            None => Bytes::new(),
        };
        let answer = self.answer.map(|answer| match excerpts {
            true => answer.with_body(&beginning),
            false => answer.without_body(),
        });
        (self.cause, answer)
    }
}

fn seen(response: &Response) -> FailedAnswer {
    FailedAnswer::new(response.status(), response.headers())
}

/// What an answer that is no success means; reads its body where the one caller
/// may see it.
async fn refusal(mut response: Response, size: usize) -> Failed {
    let status = response.status();
    let code = code_of_status(status, size);
    let retry_after = response.retry_after();
    let mut answer = seen(&response);
    let mut body = None;
    if code == Code::UpstreamRejectedJob
        && response.is_plain()
        && let Some(content_type) = response
            .content_type()
            .filter(|it| is_readable(it))
            .cloned()
    {
        // Without a readable body the caller gets a problem with the status.
        body = response
            .body_up_to(MAX_PASSTHROUGH)
            .await
            .ok()
            .map(|bytes| Passthrough {
                headers: HeaderMap::from_iter([(CONTENT_TYPE, content_type)]),
                bytes,
            });
    }
    if let Some(body) = &body {
        answer = answer.with_body(&body.bytes);
    }
    let refusal = Refusal {
        status,
        code,
        retry_after,
        body,
    };
    Failed {
        failure: Failure::from(refusal),
        cause: format!("status {status}{}", meaning(status)),
        answer: Some(answer),
        response: Some(response),
    }
}

/// What a status says about a batch, for the operator.
fn meaning(status: u16) -> &'static str {
    match status {
        300..=399 => ": redirects are not followed",
        401 | 403 | 407 => ": it wants other credentials",
        404 | 405 | 410 => ": nothing takes batches at this path",
        413 => ": too large for it",
        429 | 503 => ": it has too much to do",
        _ => "",
    }
}

/// Whether a body of this type may be handed on: JSON or text.
fn is_readable(content_type: &HeaderValue) -> bool {
    let Ok(text) = content_type.to_str() else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json") || essence.starts_with("text/")
}
