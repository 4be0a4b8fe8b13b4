//! An upstream's answer, read no further than it is wanted and allowed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::CallError;
use crate::patience::in_time;

/// How much of an unwanted body is read so that the connection can be kept.
const DISCARD: usize = 64 * 1024;

/// How long the body of a failed call is waited for.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// The head of an answer, and its body still to read.
#[derive(Debug)]
pub struct Response {
    inner: reqwest::Response,
    limit: usize,
    deadline: Instant,
}

impl Response {
    /// An answer whose head is there. Its body may have `limit` bytes, and must be
    /// there at the `deadline`.
    pub fn new(inner: reqwest::Response, limit: usize, deadline: Instant) -> Self {
        Self {
            inner,
            limit,
            deadline,
        }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// Whether the body is as its `Content-Type` says, not encoded in another way.
    pub fn is_plain(&self) -> bool {
        !self.inner.headers().contains_key(CONTENT_ENCODING)
    }

    /// The `Content-Type`, as it came.
    pub fn content_type(&self) -> Option<&HeaderValue> {
        self.inner.headers().get(CONTENT_TYPE)
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// The seconds that `Retry-After` asks to wait.
    pub fn retry_after(&self) -> Option<u64> {
        retry_after(self.inner.headers().get(RETRY_AFTER)?.to_str().ok()?)
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`CallError`], if it is over the limit, late, or breaks off.
    pub async fn body(&mut self) -> Result<Bytes, CallError> {
        self.body_up_to(self.limit).await
    }

    /// The whole body, if it is no longer than `limit` either.
    ///
    /// # Errors
    /// As [`body`](Self::body).
    pub async fn body_up_to(&mut self, limit: usize) -> Result<Bytes, CallError> {
        let limit = limit.min(self.limit);
        let deadline = self.deadline;
        match in_time(deadline, self.read(limit)).await {
            Ok(body) => body,
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// Reads the rest of a short body, so that its connection serves again. A
    /// long or slow one is given up with its connection: a failed call's after
    /// a second, a successful one's when the call's time is up.
    pub async fn discard(mut self) {
        if !self.inner.status().is_success() {
            self.deadline = self.deadline.min(Instant::now() + DISCARD_TIME);
        }
        // Whatever goes wrong concerns nobody any more.
        let _ = self.body_up_to(DISCARD).await;
    }

    /// As [`discard`](Self::discard), and returns as many bytes of the body's
    /// beginning as came in the time for that.
    pub async fn beginning(mut self, most: usize) -> Bytes {
        let deadline = self.deadline.min(Instant::now() + DISCARD_TIME);
        let mut beginning = BytesMut::new();
        let mut read = 0;
        // Whatever goes wrong concerns nobody any more.
        while read <= DISCARD
            && let Ok(Ok(Some(chunk))) = in_time(deadline, self.chunk()).await
        {
            read += chunk.len();
            let wanted = most.saturating_sub(beginning.len()).min(chunk.len());
            beginning.extend_from_slice(&chunk[..wanted]);
        }
        beginning.freeze()
    }

    async fn read(&mut self, limit: usize) -> Result<Bytes, CallError> {
        let too_large = CallError::TooLarge(self.status());
        let announced = self.inner.content_length();
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large);
        }
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        if announced == Some(first.len() as u64) {
            return Ok(first);
        }
        // What is announced is set aside, but the system lends memory only for what
        // really comes. To grow step by step would take it several times over.
        let announced = announced.map_or(0, |length| usize::try_from(length).unwrap_or(limit));
        let mut body = BytesMut::with_capacity(announced.max(first.len()));
        body.extend_from_slice(&first);
        while body.len() <= limit {
            match self.chunk().await? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(body.freeze()),
            }
        }
        Err(too_large)
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, CallError> {
        self.inner.chunk().await.map_err(CallError::within_answer)
    }
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, which
/// counts from now and is 0 when it has passed.
fn retry_after(value: &str) -> Option<u64> {
    let value = value.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let wait = date
        .duration_since(std::time::SystemTime::now())
        .unwrap_or_default();
    Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        assert_eq!(retry_after("120"), Some(120));
        assert_eq!(retry_after(" 0 "), Some(0));
        for nonsense in ["", "-1", "1.5", "soon", "99999999999999999999999"] {
            assert_eq!(retry_after(nonsense), None, "{nonsense}");
        }
        let date = |time| retry_after(&httpdate::fmt_http_date(time));
        let now = SystemTime::now();
        assert_eq!(date(now - Duration::from_secs(60)), Some(0));
        let hour = date(now + Duration::from_secs(3600)).unwrap();
        assert!((3590..=3600).contains(&hour), "{hour}");
    }
}
