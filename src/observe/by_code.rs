//! Something for each code there is: a count, or what counts.

use std::fmt;
use std::ops::{Index, IndexMut};

use crate::code::Code;

/// One for each code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByCode<T = u64>([T; Code::ALL.len()]);

impl<T> ByCode<T> {
    /// As many as there are codes.
    pub fn new(mut each: impl FnMut() -> T) -> Self {
        Self(std::array::from_fn(|_| each()))
    }

    /// Each with its code, in the order of [`Code::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Code, &T)> + Clone {
        Code::ALL.iter().copied().zip(&self.0)
    }
}

impl<T: Default> Default for ByCode<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T> Index<Code> for ByCode<T> {
    type Output = T;

    fn index(&self, code: Code) -> &T {
        &self.0[code as usize]
    }
}

impl<T> IndexMut<Code> for ByCode<T> {
    fn index_mut(&mut self, code: Code) -> &mut T {
        &mut self.0[code as usize]
    }
}

impl ByCode {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Those that are not zero.
    pub fn counts(&self) -> impl Iterator<Item = (Code, u64)> + Clone {
        let counts = self.iter().map(|(code, count)| (code, *count));
        counts.filter(|&(_, count)| count > 0)
    }

    /// Two of them as one.
    #[must_use]
    pub fn with(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|at| f(self.0[at], other.0[at])))
    }
}

/// Those that are not zero, as `ok=12 job-error=3`.
impl fmt::Display for ByCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (code, count)) in self.counts().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{code}={count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_by_code() {
        let mut counts = ByCode::default();
        assert_eq!(counts.to_string(), "");
        counts[Code::JobError] += 1;
        counts[Code::Ok] += 2;
        assert_eq!(counts.to_string(), "ok=2 job-error=1");
        assert_eq!(counts.sum(), 3);
    }
}
