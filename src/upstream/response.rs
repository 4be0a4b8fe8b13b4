//! An upstream's answer, read no further than it is wanted and allowed.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::Instant;

use super::error::CallError;
use crate::lazy_timeout::lazy_timeout_at;

/// Which batch a call, or its answer, is about.
pub(super) const BATCH_ID: HeaderName = HeaderName::from_static("x-batch-id");

/// How much of an unwanted body is read so that the connection can be kept.
const DISCARD: usize = 64 * 1024;

/// How long the body of a failed call is waited for.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// The longest that an upstream is left alone, in seconds: a day.
const MAX_RETRY_AFTER: u64 = 86_400;

/// Where an answer came from: what keeps the connection for other calls.
pub trait Origin: Send + fmt::Debug {
    /// Whether the connection had calls before, and has not sent this one whole by
    /// now.
    fn is_early(&self) -> bool;

    /// The call is over.
    fn ended(self: Box<Self>, how: Ended);
}

/// Nowhere in particular.
impl Origin for () {
    fn is_early(&self) -> bool {
        false
    }

    fn ended(self: Box<Self>, _: Ended) {}
}

/// How a call ended, as far as its connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a whole answer.
    Whole,
    /// With a whole answer that is no success: what of the call is not sent yet is
    /// not wanted.
    Refused,
    /// Without one, or nobody wanted it whole.
    Cut,
    /// With an answer that may be another call's, or none in time: what else comes
    /// on the connection may not be what it is taken for.
    Suspect,
}

/// The head of an answer, and its body still to read.
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>,
    limit: usize,
    deadline: Instant,
    /// None once it is told.
    origin: Option<Box<dyn Origin>>,
    ended: Ended,
}

impl Response {
    /// An answer whose head is there, to the call with this `X-Batch-Id`. Its body
    /// may have `limit` bytes, and must be there at the `deadline`.
    ///
    /// # Errors
    /// [`CallError::Foreign`], where it names another batch.
    pub fn new<B>(
        response: http::Response<B>,
        batch_id: &HeaderValue,
        limit: usize,
        deadline: Instant,
        origin: Box<dyn Origin>,
    ) -> Result<Self, CallError>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let (head, body) = response.into_parts();
        let mut response = Self {
            status: head.status,
            headers: head.headers,
            ended: match body.is_end_stream() {
                true => Ended::Whole,
                false => Ended::Cut,
            },
            body: body.map_err(Into::into).boxed_unsync(),
            limit,
            deadline,
            origin: Some(origin),
        };
        let named = response.headers.get_all(BATCH_ID).iter();
        // Hexadecimal digits have two spellings, and an empty name is none.
        let mut named = named.map(HeaderValue::as_bytes).filter(|it| !it.is_empty());
        if named.any(|named| !named.eq_ignore_ascii_case(batch_id.as_bytes())) {
            response.suspect();
            return Err(CallError::Foreign(response.status()));
        }
        // It may be about the connection, which was idle, and not about the call.
        if response.status == StatusCode::REQUEST_TIMEOUT {
            response.suspect();
        }
        Ok(response)
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Has no other call use the connection that the answer came on.
    pub fn suspect(&mut self) {
        self.ended = Ended::Suspect;
    }

    /// Whether the body is as its `Content-Type` says, not encoded in another way.
    pub fn is_plain(&self) -> bool {
        !self.headers.contains_key(CONTENT_ENCODING)
    }

    /// The `Content-Type`, as it came.
    pub fn content_type(&self) -> Option<&HeaderValue> {
        self.headers.get(CONTENT_TYPE)
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The seconds that `Retry-After` asks to wait.
    pub fn retry_after(&self) -> Option<u64> {
        retry_after(self.headers.get(RETRY_AFTER)?.to_str().ok()?)
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`CallError`], if it is over the limit, late, breaks off, or ends before a
    /// call was sent that is not the connection's first.
    pub async fn body(&mut self) -> Result<Bytes, CallError> {
        let body = self.body_up_to(self.limit).await?;
        self.is_its_own()?;
        Ok(body)
    }

    /// Whether a success can be this call's.
    ///
    /// # Errors
    /// [`CallError::Foreign`], where it has come before the whole call was sent, on a
    /// connection that had others before: nobody has done jobs that are still to
    /// come.
    pub fn is_its_own(&mut self) -> Result<(), CallError> {
        if self.origin.as_ref().is_some_and(|it| it.is_early()) {
            self.suspect();
            return Err(CallError::Foreign(self.status()));
        }
        Ok(())
    }

    /// The whole body, if it is no longer than `limit` either.
    ///
    /// # Errors
    /// As [`body`](Self::body).
    pub async fn body_up_to(&mut self, limit: usize) -> Result<Bytes, CallError> {
        let limit = limit.min(self.limit);
        let deadline = self.deadline;
        match lazy_timeout_at(deadline, self.read(limit)).await {
            Ok(body) => body,
            Err(_) => {
                self.suspect();
                Err(CallError::Timeout)
            }
        }
    }

    /// Reads the rest of a short body, so that its connection serves again. A
    /// long or slow one is given up with its connection: a failed call's after
    /// a second, a successful one's when the call's time is up.
    pub async fn discard(mut self) {
        if !self.status.is_success() {
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
            && let Ok(Ok(Some(chunk))) = lazy_timeout_at(deadline, self.chunk()).await
        {
            read += chunk.len();
            let wanted = most.saturating_sub(beginning.len()).min(chunk.len());
            beginning.extend_from_slice(&chunk[..wanted]);
        }
        beginning.freeze()
    }

    async fn read(&mut self, limit: usize) -> Result<Bytes, CallError> {
        let too_large = CallError::TooLarge(self.status());
        let announced = self.body.size_hint().exact();
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large);
        }
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        if announced == Some(first.len() as u64) {
            self.is_whole();
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

    /// The next piece; trailers say nothing.
    async fn chunk(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            let Some(frame) = self.body.frame().await else {
                self.is_whole();
                return Ok(None);
            };
            let frame = frame.map_err(|error| CallError::disconnected(&*error))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    fn is_whole(&mut self) {
        if self.ended == Ended::Cut {
            self.ended = Ended::Whole;
        }
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        if let Some(origin) = self.origin.take() {
            origin.ended(match self.ended {
                Ended::Whole if !self.status.is_success() => Ended::Refused,
                ended => ended,
            });
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, which
/// counts from now and is 0 when it has passed. More than a day is a day.
fn retry_after(value: &str) -> Option<u64> {
    let value = value.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return match value.is_empty() {
            true => None,
            // Too large for a number is more than a day.
            false => Some(value.parse().unwrap_or(u64::MAX).min(MAX_RETRY_AFTER)),
        };
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let wait = date
        .duration_since(std::time::SystemTime::now())
        .unwrap_or_default();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Some(seconds.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        assert_eq!(retry_after("120"), Some(120));
        assert_eq!(retry_after(" 0 "), Some(0));
        for nonsense in ["", "-1", "1.5", "soon"] {
            assert_eq!(retry_after(nonsense), None, "{nonsense}");
        }
        for long in ["86401", "99999999999999999999", "99999999999999999999999"] {
            assert_eq!(retry_after(long), Some(86_400), "{long}");
        }
        let date = |time| retry_after(&httpdate::fmt_http_date(time));
        let now = SystemTime::now();
        assert_eq!(date(now - Duration::from_secs(60)), Some(0));
        let hour = date(now + Duration::from_secs(3600)).unwrap();
        assert!((3590..=3600).contains(&hour), "{hour}");
        assert_eq!(date(now + Duration::from_secs(1 << 20)), Some(86_400));
    }
}
