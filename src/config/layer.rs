//! One layer while it is read: what it gives, and what is wrong with it.

use std::ops::Range;

use super::kind::{Part, Raw, Wrong};
use super::mistake::{Mistake, Origin, full};
use super::options::{KeyInfo, Options};
use crate::job::RouteName;

/// What a layer gives.
#[derive(Default)]
pub(crate) struct Layer {
    pub options: Options,
    /// Every mistake in it.
    pub mistakes: Vec<Mistake>,
    /// Whether a part of it could not be understood at all, so that what seems to be missing may
    /// stand in that part.
    pub lost: bool,
}

impl Layer {
    /// Takes in that there is a route, which stands there.
    pub(crate) fn route(&mut self, name: &str, from: Origin) {
        let place = &mut self.options.of(Some(name)).route.place;
        if place.is_some() {
            return;
        }
        *place = Some(from.clone());
        let what = match name.parse::<RouteName>() {
            Ok(name) if name == RouteName::jobs() => {
                "is the route of the top-level sections: write what it has there, without [routes]"
                    .to_owned()
            }
            Ok(_) => return,
            Err(wrong) => wrong.to_string(),
        };
        self.wrong(from, full(Some(name), ""), what);
    }

    /// Takes in one value of the top level, or of a route. `place` says where it stands, and where a
    /// member of it does whose bytes are these.
    pub(crate) fn read(
        &mut self,
        route: Option<&str>,
        key: &KeyInfo,
        raw: Raw<'_>,
        place: impl Fn(Option<Range<usize>>) -> Origin,
    ) {
        let read = (key.read)(self.options.of(route), raw, place(None));
        self.unless(read, &full(route, key.key), place);
    }

    /// Takes in `shape = "NAME"`, or a key of a shape's table. Says whether there is such a key.
    pub(crate) fn read_shape(
        &mut self,
        route: Option<&str>,
        key: Option<&str>,
        raw: Raw<'_>,
        from: Origin,
    ) -> bool {
        let shape = &mut self.options.of(route).route.shape;
        let (named, read) = match key {
            None => ("shape".to_owned(), Some(shape.read_name(raw, from.clone()))),
            Some(key) => (format!("shape.{key}"), shape.read(key, raw, from.clone())),
        };
        let is_known = read.is_some();
        let read = read.unwrap_or(Ok(()));
        self.unless(read, &full(route, &named), |_| from.clone());
        is_known
    }

    fn unless(
        &mut self,
        read: Result<(), Wrong>,
        key: &str,
        place: impl Fn(Option<Range<usize>>) -> Origin,
    ) {
        for Part { member, what } in read.err().into_iter().flat_map(|wrong| wrong.0) {
            match member {
                Some((name, span)) => self.wrong(place(Some(span)), format!("{key}.{name}"), what),
                None => self.wrong(place(None), key, what),
            }
        }
    }

    /// Takes down a mistake.
    pub(crate) fn wrong(
        &mut self,
        origin: impl Into<Option<Origin>>,
        key: impl Into<String>,
        what: impl Into<String>,
    ) {
        self.mistakes.push(Mistake {
            origin: origin.into(),
            key: key.into(),
            what: what.into(),
        });
    }
}
