//! How much of a batch something takes up, and how much a batch may hold.

/// Units of `max_size`, and bytes of `max_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub weight: usize,
    pub bytes: usize,
}

/// More than any batch may weigh, and little enough that what waits does not weigh too much
/// to be counted.
pub(crate) const MORE_THAN_ANY_BATCH: usize = u32::MAX as usize;

impl Extent {
    /// What both of them take up together.
    pub fn with(self, other: Self) -> Self {
        Self {
            weight: self.weight + other.weight,
            bytes: self.bytes + other.bytes,
        }
    }

    /// Whether a batch of this extent may have one more, for all that is known of that.
    pub fn is_within(self, bounds: Self) -> bool {
        self.weight < bounds.weight && self.bytes <= bounds.bytes
    }

    /// What is left of it beside the other, if that fits.
    pub fn checked_without(self, other: Self) -> Option<Self> {
        Some(Self {
            weight: self.weight.checked_sub(other.weight)?,
            bytes: self.bytes.checked_sub(other.bytes)?,
        })
    }
}

impl std::ops::AddAssign for Extent {
    fn add_assign(&mut self, other: Self) {
        *self = self.with(other);
    }
}

impl std::ops::SubAssign for Extent {
    fn sub_assign(&mut self, other: Self) {
        self.weight -= other.weight;
        self.bytes -= other.bytes;
    }
}

impl std::iter::Sum for Extent {
    fn sum<I: Iterator<Item = Self>>(extents: I) -> Self {
        extents.fold(Self::default(), Self::with)
    }
}
