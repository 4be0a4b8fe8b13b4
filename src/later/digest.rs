//! What a request with an idempotency key is compared by when it comes again.

use sha2::{Digest, Sha256};

use super::record::StreamName;
use crate::job::{Carried, Job};

/// The digest of all that makes a difference to what is sent, and of where its answer is
/// told. Each part is preceded by its length, so that no two requests run together.
pub(super) fn digest(job: &Job, stream: Option<&StreamName>) -> [u8; 32] {
    let nothing = Carried::default();
    let Carried {
        captures,
        query,
        headers,
    } = job.carried().map_or(&nothing, |it| it);
    let mut parts = Parts(Sha256::new());
    parts.part(job.raw());
    parts.optional(job.call().content_type());
    parts.optional(stream.map(StreamName::as_str));
    parts.optional(query.as_deref());
    parts.count(captures.len());
    captures.iter().for_each(|it| parts.part(it.as_bytes()));
    parts.count(headers.len());
    for (name, value) in headers {
        parts.part(name.as_str().as_bytes());
        parts.part(value.as_bytes());
    }
    parts.0.finalize().into()
}

struct Parts(Sha256);

impl Parts {
    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_le_bytes());
    }

    fn part(&mut self, part: &[u8]) {
        self.count(part.len());
        self.0.update(part);
    }

    fn optional(&mut self, part: Option<&str>) {
        self.count(usize::from(part.is_some()));
        part.into_iter().for_each(|it| self.part(it.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use bytes::Bytes;
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::json::MAX_DEPTH;

    /// What is told by what differs in one thing, or moves it elsewhere.
    #[test]
    fn whatever_differs_is_another_request() {
        let carried = |captures: &[&str], query: Option<&str>, headers: &[(&str, &str)]| Carried {
            captures: captures.iter().map(|&it| it.into()).collect(),
            query: query.map(Into::into),
            headers: headers
                .iter()
                .map(|(name, value)| {
                    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                    (name, HeaderValue::from_str(value).unwrap())
                })
                .collect(),
        };
        let all = [
            carried(&[], None, &[]),
            carried(&[], Some(""), &[]),
            carried(&[], Some("a"), &[]),
            carried(&["a"], None, &[]),
            carried(&["a", "b"], None, &[]),
            carried(&["ab", ""], None, &[]),
            carried(&["", "ab"], None, &[]),
            carried(&[], None, &[("a", "b")]),
            carried(&[], None, &[("ab", "")]),
            carried(&[], None, &[("a", "b"), ("a", "b")]),
            carried(&["a"], Some("b"), &[("a", "b")]),
        ];
        let stream = StreamName::new("a").unwrap();
        let mut digests = BTreeSet::new();
        let mut requests = 0;
        for body in [r#"{"id":1}"#, r#"{"id":1,"a":0}"#] {
            for carried in &all {
                for stream in [None, Some(&stream)] {
                    let job = Job::parse(Bytes::from(body), MAX_DEPTH).unwrap();
                    let job = job.with_carried(Some(Arc::new(carried.clone())));
                    digests.insert(digest(&job, stream));
                    requests += 1;
                }
            }
        }
        assert_eq!(digests.len(), requests);
    }

    #[test]
    fn what_carries_nothing_is_the_same_whichever_way() {
        let job = || Job::parse(Bytes::from(r#"{"id":1}"#), MAX_DEPTH).unwrap();
        let empty = job().with_carried(Some(Arc::default()));
        assert_eq!(digest(&job(), None), digest(&empty, None));
    }
}
