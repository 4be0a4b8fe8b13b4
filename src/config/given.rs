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
    pub(crate) fn read(&mut self, kind: &Kind<T>, raw: Raw<'_>, from: Origin) -> Result<(), Wrong> {
        let (mut value, read) = (None, kind.read(raw));
        let read = read.map(|it| value = Some(it));
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

    /// Lays this over what a lower layer gives. A wrong value hides what is below it, so that
    /// nothing is concluded from that.
    pub(crate) fn combine(&mut self, lower: &Self, kind: &Kind<T>) {
        match (&mut self.0, &lower.0) {
            (Some((_, Some(upper))), Some((_, Some(lower)))) => (kind.merge)(upper, lower),
            (Some(_), _) => {}
            (None, _) => self.0 = lower.0.clone(),
        }
    }
}
