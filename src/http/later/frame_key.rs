//! What jobs of one route have in common that may share a batch, in as many bytes whatever
//! that is: a store that lasts claims those of one key together.

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::engine;
use crate::job::Job;
use crate::later::backlog::NO_FRAME;
use crate::later::record::FrameKey;
use crate::shape::Shape;

/// That of a job in this shape.
pub(super) fn frame_key(shape: &Shape, job: &Job) -> FrameKey {
    let Some(frame) = engine::options(shape, job, Instant::now()).frame else {
        return NO_FRAME;
    };
    let digest: [u8; 32] = Sha256::digest(frame.as_bytes()).into();
    let mut key = NO_FRAME;
    key.copy_from_slice(&digest[..NO_FRAME.len()]);
    key
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::job::Carried;
    use crate::json::MAX_DEPTH;

    #[test]
    fn keys_are_equal_as_frames_are() {
        let job = |query: Option<&str>| {
            let job = Job::parse(Bytes::from_static(b"{\"id\":1}"), MAX_DEPTH).unwrap();
            let query = query.map(Into::into);
            let carried = Carried {
                query,
                ..Carried::default()
            };
            frame_key(Shape::jobs(), &job.with_carried(Some(Arc::new(carried))))
        };
        assert_eq!(job(None), NO_FRAME);
        assert_eq!(job(Some("a")), job(Some("a")));
        assert_ne!(job(Some("a")), job(Some("b")));
        assert_ne!(job(Some("a")), NO_FRAME);
    }
}
