//! What items are told apart by.

use std::slice;

/// The keys of an item, each once and in no order of theirs. One takes no memory of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Few);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Few {
    #[default]
    None,
    One(u64),
    /// Two or more, behind a thin pointer: an item with one is no larger for those with many.
    Many(Box<Many>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Many {
    ascending: Box<[u64]>,
}

impl Keys {
    /// No key.
    pub const NONE: Self = Self(Few::None);

    /// This one alone.
    pub fn one(key: u64) -> Self {
        Self(Few::One(key))
    }

    /// All of them.
    pub fn as_slice(&self) -> &[u64] {
        match &self.0 {
            Few::None => &[],
            Few::One(key) => slice::from_ref(key),
            Few::Many(many) => &many.ascending,
        }
    }

    fn many(mut keys: Vec<u64>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        match keys[..] {
            [] => Self::NONE,
            [key] => Self::one(key),
            _ => Self(Few::Many(Box::new(Many {
                ascending: keys.into_boxed_slice(),
            }))),
        }
    }
}

impl FromIterator<u64> for Keys {
    fn from_iter<I: IntoIterator<Item = u64>>(keys: I) -> Self {
        let mut keys = keys.into_iter();
        match (keys.next(), keys.next()) {
            (None, _) => Self::NONE,
            (Some(key), None) => Self::one(key),
            (Some(first), Some(second)) => {
                Self::many([first, second].into_iter().chain(keys).collect())
            }
        }
    }
}

impl<'a> IntoIterator for &'a Keys {
    type Item = u64;
    type IntoIter = std::iter::Copied<slice::Iter<'a, u64>>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_there_once() {
        for (given, keys) in [
            (&[][..], &[][..]),
            (&[7], &[7]),
            (&[7, 7], &[7]),
            (&[7, 7, 7], &[7]),
            (&[9, 7, 9, 8], &[7, 8, 9]),
        ] {
            let all: Keys = given.iter().copied().collect();
            assert_eq!(all.as_slice(), keys, "{given:?}");
        }
        assert_eq!(Keys::from_iter([7, 7]), Keys::one(7));
    }

    #[test]
    fn one_is_no_larger_than_before_there_were_many() {
        assert_eq!(size_of::<Keys>(), size_of::<Option<u64>>());
    }
}
