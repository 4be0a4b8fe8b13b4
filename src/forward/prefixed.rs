//! A body of which the beginning was read already.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// What was read, and what is still to come.
    #[derive(Debug)]
    pub struct Prefixed<B> {
        // Until it was handed out; never empty.
        first: Option<Bytes>,
        #[pin]
        rest: B,
    }
}

impl<B> Prefixed<B> {
    /// `first`, then `rest`.
    pub fn new(first: Bytes, rest: B) -> Self {
        Self {
            first: Some(first).filter(|it| !it.is_empty()),
            rest,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Prefixed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        match this.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => this.rest.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, Bytes::len) as u64;
        let rest = self.rest.size_hint();
        let mut all = SizeHint::new();
        all.set_lower(first.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper().and_then(|it| it.checked_add(first)) {
            all.set_upper(upper);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn what_was_read_comes_first() {
        for (first, rest) in [("", ""), ("", "cd"), ("ab", ""), ("ab", "cd")] {
            let whole = Full::new(Bytes::from(rest));
            let body = Prefixed::new(Bytes::from(first), whole);
            let length = (first.len() + rest.len()) as u64;
            assert_eq!(body.size_hint().exact(), Some(length));
            assert_eq!(body.is_end_stream(), length == 0);
            let all = body.collect().await.unwrap().to_bytes();
            assert_eq!(all, format!("{first}{rest}"));
        }
    }
}
