//! What is given for one setting, by one layer or by several that are combined.

use super::kind::{Kind, Raw, Wrong};
use super::mistake::Origin;

/// Nothing, a value with its place, or a place whose value is wrong.
#[derive(Clone)]
pub(crate) struct Given<T>(Option<(Origin, Option<T>)>);

impl<T> Default for Given<T> {
    fn default() -> Self {
        Given(None)
    }
}

impl<T: Clone> Given<T> {
    /// A value from a place.
    pub(crate) fn new(value: T, from: Origin) -> Self {
        Given(Some((from, Some(value))))
    }

    /// Reads what one layer gives.
    pub(crate) fn read<K>(&mut self, kind: &K, raw: Raw<'_>, from: Origin) -> Result<(), Wrong>
    where
        K: Kind<Value = T>,
    {
        let read = kind.read(raw);
        let (value, read) = match read {
            Ok(value) => (Some(value), Ok(())),
            Err(wrong) => (None, Err(wrong)),
        };
        self.0 = Some((from, value));
        read
    }

    /// The value, unless there is none or it is wrong.
    pub(crate) fn get(&self) -> Option<T> {
        self.0.as_ref()?.1.clone()
    }

    /// Where the value stands, be it right or wrong.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        Some(&self.0.as_ref()?.0)
    }

    /// This over what a lower layer gives. A wrong value hides what is below it, so that nothing
    /// is concluded from that.
    pub(crate) fn combine<K>(self, lower: Self, kind: &K) -> Self
    where
        K: Kind<Value = T>,
    {
        match (self.0, lower.0) {
            (Some((from, Some(upper))), Some((_, Some(lower)))) => {
                Given::new(kind.merge(lower, upper), from)
            }
            (upper, lower) => Given(upper.or(lower)),
        }
    }
}
