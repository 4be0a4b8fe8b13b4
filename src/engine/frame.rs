//! What the members of a batch have in common, as the bytes that the batcher compares.
//!
//! [`options`](super::options) makes it of each job that is submitted. Two jobs may share a
//! batch only if their frames are equal, and theirs are equal only if every part is: each
//! part has its length before it, so that none can be taken for the end of one and the
//! beginning of another.

use crate::batcher;
use crate::job::{Carried, Job};
use crate::shape::{Frame, Kinds, Shape};

/// The frame of a job in this shape; none where nothing of it is its own.
pub(super) fn of(shape: &Shape, job: &Job) -> Option<batcher::Frame> {
    let call = job.call();
    let bytes = written(call.frame(), job.carried().map(|it| &**it))?;
    Some(batcher::Frame::with_overhead(
        bytes,
        shape.batch_bytes(call),
    ))
}

fn written(frame: Frame<'_>, carried: Option<&Carried>) -> Option<Vec<u8>> {
    let carried = carried.filter(|&it| *it != Carried::default());
    let Frame {
        before,
        after,
        kinds,
    } = frame;
    let surrounds = before.len() + after.len();
    if surrounds == 0 && kinds == Kinds::default() && carried.is_none() {
        return None;
    }
    let mut bytes = Vec::with_capacity(length(surrounds, carried));
    bytes.extend_from_slice(&kinds.bits().to_le_bytes());
    part(&mut bytes, before);
    part(&mut bytes, after);
    if let Some(Carried {
        captures,
        query,
        headers,
    }) = carried
    {
        number(&mut bytes, captures.len());
        for capture in captures {
            part(&mut bytes, capture.as_bytes());
        }
        number(&mut bytes, usize::from(query.is_some()));
        if let Some(query) = query {
            part(&mut bytes, query.as_bytes());
        }
        for (name, value) in headers {
            part(&mut bytes, name.as_str().as_bytes());
            part(&mut bytes, value.as_bytes());
        }
    }
    Some(bytes)
}

/// How long it gets, so that nothing is copied twice.
fn length(surrounds: usize, carried: Option<&Carried>) -> usize {
    const NUMBER: usize = size_of::<u64>();
    let carried = carried.map_or(0, |it| {
        let captures = it.captures.iter().map(|it| NUMBER + it.len());
        let query = it.query.as_ref().map_or(0, |it| NUMBER + it.len());
        let headers = it.headers.iter();
        let headers = headers.map(|(name, value)| 2 * NUMBER + name.as_str().len() + value.len());
        2 * NUMBER + captures.sum::<usize>() + query + headers.sum::<usize>()
    });
    size_of_val(&Kinds::default().bits()) + 2 * NUMBER + surrounds + carried
}

fn part(bytes: &mut Vec<u8>, part: &[u8]) {
    number(bytes, part.len());
    bytes.extend_from_slice(part);
}

fn number(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend_from_slice(&(number as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;
    use crate::json::MAX_DEPTH;

    /// Few characters, so that parts are often equal, or the beginning of one another.
    fn text() -> impl Strategy<Value = String> {
        "[a\\x00\\x01]{0,3}"
    }

    fn carried() -> impl Strategy<Value = Carried> {
        let header =
            (prop::sample::select(vec!["a", "aa"]), "[a]{0,2}").prop_map(|(name, value)| {
                let value = HeaderValue::try_from(value).unwrap();
                (HeaderName::from_static(name), value)
            });
        let parts = (
            prop::collection::vec(text(), 0..3),
            prop::option::of(text()),
            prop::collection::vec(header, 0..3),
        );
        parts.prop_map(|(captures, query, headers)| Carried {
            captures: captures.into_iter().map(Into::into).collect(),
            query: query.map(Into::into),
            headers: headers.into(),
        })
    }

    fn parts() -> impl Strategy<Value = (String, String, Kinds, Option<Carried>)> {
        let kinds = prop::sample::select(vec![Kinds::default(), Kinds::of_value(b"1")]);
        (text(), text(), kinds, prop::option::of(carried()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn different_parts_are_different_frames(one in parts(), other in parts()) {
            let frame = |(before, after, kinds, carried): &(String, String, Kinds, Option<Carried>)| {
                let frame = Frame {
                    before: before.as_bytes(),
                    after: after.as_bytes(),
                    kinds: *kinds,
                };
                let written = written(frame, carried.as_ref());
                if let Some(written) = &written {
                    assert_eq!(written.len(), written.capacity());
                }
                written
            };
            let told = |(before, after, kinds, carried): &(String, String, Kinds, Option<Carried>)| {
                (before.clone(), after.clone(), *kinds, carried.clone().unwrap_or_default())
            };
            prop_assert_eq!(frame(&one) == frame(&other), told(&one) == told(&other));
        }
    }

    #[test]
    fn a_job_without_anything_of_its_own_has_no_frame() {
        let job = Job::parse(bytes::Bytes::from_static(b"{\"id\":1}"), MAX_DEPTH).unwrap();
        assert_eq!(of(Shape::jobs(), &job), None);
        let job = job.with_carried(Some(Carried::default().into()));
        assert_eq!(of(Shape::jobs(), &job), None);
        let query = Some("".into());
        let carried = Carried {
            query,
            ..Carried::default()
        };
        assert!(of(Shape::jobs(), &job.with_carried(Some(carried.into()))).is_some());
    }
}
