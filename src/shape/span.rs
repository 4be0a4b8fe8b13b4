//! Where a part of a text stands.

use std::ops::Range;

/// A part of a text, by its place. Half as large as a range, since there are many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// That part of a text that is no longer than [`Span::LONGEST`].
    pub fn new(range: Range<usize>) -> Self {
        let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            start: short(range.start),
            end: short(range.end),
        }
    }

    /// The longest text that it can be a part of, in bytes.
    pub const LONGEST: usize = u32::MAX as usize;

    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub fn len(self) -> usize {
        self.range().len()
    }

    /// Whether all of the other is in it.
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether it begins before the other.
    pub fn is_before(self, other: Self) -> bool {
        self.start < other.start
    }
}
