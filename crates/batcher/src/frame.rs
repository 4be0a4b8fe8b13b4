//! What keeps items of one batcher in separate batches.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

/// A value that the items of a batch have in common, such as a tenant's name or
/// the headers of a call. Two frames are equal if their bytes are.
///
/// Clones share the bytes. The hash is taken once, when the frame is made, and is
/// keyed by the process: nobody can choose frames that collide.
#[derive(Clone, Debug)]
pub struct Frame(Arc<Hashed>);

#[derive(Debug)]
struct Hashed {
    hash: u64,
    bytes: Box<[u8]>,
    overhead: usize,
}

impl Frame {
    /// The frame of these bytes, which takes up nothing of a batch.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self::with_overhead(bytes, 0)
    }

    /// The frame of these bytes, whose batches have `overhead` bytes besides their items,
    /// such as what surrounds those. The bytes say how many: equal frames have as many.
    pub fn with_overhead(bytes: impl Into<Box<[u8]>>, overhead: usize) -> Self {
        static KEYED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let bytes = bytes.into();
        let hash = KEYED.hash_one(&bytes);
        Self(Arc::new(Hashed {
            hash,
            bytes,
            overhead,
        }))
    }

    /// The bytes it was made of.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The bytes that a batch of it has besides its items.
    pub fn overhead(&self) -> usize {
        self.0.overhead
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        Arc::ptr_eq(one, other) || one.hash == other.hash && one.bytes == other.bytes
    }
}

impl Eq for Frame {}

impl Hash for Frame {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_equal_by_value() {
        let [one, same, other] = [&b"one"[..], b"one", b"other"].map(Frame::new);
        assert_eq!((&one, one.0.hash), (&same, same.0.hash));
        assert_ne!(one, other);
        assert_eq!(one.as_bytes(), b"one");
        let collides = Frame(Arc::new(Hashed {
            hash: one.0.hash,
            bytes: other.0.bytes.clone(),
            overhead: 0,
        }));
        assert_ne!(one, collides, "by the hash alone they would be one");
    }
}
