//! What kinds of values items are, and which of them are one item and no list.
//!
//! Where a shape tells single items from lists, the kinds of a call's items are part of
//! its frame: a call of texts never shares a batch with one of integers, which the
//! upstream may refuse as a whole.

use crate::json::scan;

/// A set of kinds of JSON values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u16);

/// What a JSON value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Integer,
    /// With a fraction or an exponent.
    Number,
    Text,
    Object,
    Integers,
    Objects,
    Texts,
    /// Any other list, also one without anything in it.
    List,
}

impl Kind {
    /// What a value is that is valid JSON.
    pub fn of(value: &[u8]) -> Self {
        match value.first() {
            Some(b'[') => Self::of_list(value),
            Some(b'{') => Self::Object,
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') => Self::Null,
            _ if value.iter().any(|it| matches!(it, b'.' | b'e' | b'E')) => Self::Number,
            _ => Self::Integer,
        }
    }

    fn of_list(list: &[u8]) -> Self {
        let (mut all, mut count) = (Kinds::default(), 0_usize);
        let simple = scan::elements(list, |element| {
            count += 1;
            all.add(match element.raw.first() {
                Some(b'[') => Self::List,
                _ => Self::of(element.raw),
            });
        });
        let lists = [
            (Self::Integer, Self::Integers),
            (Self::Object, Self::Objects),
            (Self::Text, Self::Texts),
        ];
        let mut lists = lists.iter().filter(|_| simple.is_ok() && count > 0);
        let list = lists.find(|(element, _)| all == Kinds::just(*element));
        list.map_or(Self::List, |(_, list)| *list)
    }

    fn is_list(self) -> bool {
        matches!(
            self,
            Self::Integers | Self::Objects | Self::Texts | Self::List
        )
    }
}

impl Kinds {
    /// A number that stands for the set.
    pub fn bits(self) -> u16 {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn of_value(value: &[u8]) -> Self {
        Self::just(Kind::of(value))
    }

    /// The set of one.
    pub(super) fn just(kind: Kind) -> Self {
        Self(1 << kind as u16)
    }

    /// Adds a kind.
    pub(super) fn add(&mut self, kind: Kind) {
        self.0 |= Self::just(kind).0;
    }
}

/// What is one item where a list of them could stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Singles {
    /// Anything but a list.
    pub value: bool,
    /// A list of integers.
    pub integers: bool,
    /// A list of objects.
    pub objects: bool,
}

impl Singles {
    /// Whether there is any.
    pub fn any(self) -> bool {
        self.value || self.integers || self.objects
    }

    /// Whether that is one item.
    pub fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Integers => self.integers,
            Kind::Objects => self.objects,
            other => self.value && !other.is_list(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart_by_how_they_are_written() {
        for (value, kind) in [
            ("null", Kind::Null),
            ("true", Kind::Bool),
            ("false", Kind::Bool),
            ("-1", Kind::Integer),
            ("1.0", Kind::Number),
            ("1e2", Kind::Number),
            ("1E2", Kind::Number),
            ("\"[\"", Kind::Text),
            ("{}", Kind::Object),
            ("[]", Kind::List),
            ("[1, -2]", Kind::Integers),
            ("[1,2.0]", Kind::List),
            ("[1,\"a\"]", Kind::List),
            ("[{},{\"a\":[1]}]", Kind::Objects),
            ("[\"a\"]", Kind::Texts),
            ("[[1],[2]]", Kind::List),
        ] {
            assert_eq!(Kind::of(value.as_bytes()), kind, "{value}");
        }
    }

    #[test]
    fn what_is_one_item_is_said_by_its_kind() {
        let all = Singles {
            value: true,
            integers: true,
            objects: true,
        };
        for (kind, value, any) in [
            (Kind::Text, true, true),
            (Kind::Null, true, true),
            (Kind::Object, true, true),
            (Kind::Integers, false, true),
            (Kind::Objects, false, true),
            (Kind::Texts, false, false),
            (Kind::List, false, false),
        ] {
            let values = Singles {
                value: true,
                ..Singles::default()
            };
            assert_eq!((values.has(kind), all.has(kind)), (value, any), "{kind:?}");
        }
        for (integers, objects) in [(true, false), (false, true)] {
            let single = Singles {
                value: false,
                integers,
                objects,
            };
            let has = [Kind::Integers, Kind::Objects, Kind::Text].map(|it| single.has(it));
            assert_eq!(has, [integers, objects, false]);
        }
        assert!(all.any() && !Singles::default().any());
    }
}
