//! One layer while it is read: what it gives, and what is wrong with it.

use std::ops::Range;

use super::kind::{Part, Raw};
use super::mistake::{Mistake, Origin};
use super::options::{KeyInfo, Options};

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
    /// Takes in one value. `place` says where it stands, and where a member of it does whose bytes
    /// are these.
    pub(crate) fn read(
        &mut self,
        key: &KeyInfo,
        raw: Raw<'_>,
        place: impl Fn(Option<Range<usize>>) -> Origin,
    ) {
        let read = (key.read)(&mut self.options, raw, place(None));
        for Part { member, what } in read.err().into_iter().flat_map(|wrong| wrong.0) {
            match member {
                Some((name, span)) => {
                    self.wrong(place(Some(span)), format!("{}.{name}", key.key), what);
                }
                None => self.wrong(place(None), key.key, what),
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
