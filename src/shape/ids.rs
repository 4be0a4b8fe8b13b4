//! Finds items by the ids that their results have.

use std::collections::HashMap;

use super::call::Call;
use crate::job_id::JobId;

/// The ids that the items of a batch have on the wire.
#[derive(Debug)]
pub(super) enum WireIds<'a> {
    /// Their own. An item may have none.
    Own(Index<'a>),
    /// So many numbers, from one on.
    Numbers {
        /// The first.
        first: u64,
        /// How many.
        count: usize,
    },
}

impl<'a> WireIds<'a> {
    /// The items' own, where those are `shown` to the upstream.
    pub fn own(calls: impl Iterator<Item = &'a Call>, shown: bool) -> Self {
        let mut ids = Vec::with_capacity(calls.size_hint().0);
        for call in calls {
            let items = call.items().iter();
            ids.extend(items.map(|item| item.id.as_ref().map(|(id, _)| id).filter(|_| shown)));
        }
        Self::Own(Index {
            ids,
            next: 0,
            by_id: None,
        })
    }

    /// The place of the item whose id is written so. Where there is none: that of the item
    /// whose id is the same but for its JSON type, if there is one.
    pub fn find(&mut self, written: &str) -> Result<usize, Option<usize>> {
        match self {
            Self::Own(index) => index.find(written),
            Self::Numbers { first, count } => {
                let quoted = written
                    .strip_prefix('"')
                    .and_then(|it| it.strip_suffix('"'));
                let place = number(quoted.unwrap_or(written))
                    .and_then(|it| usize::try_from(it.checked_sub(*first)?).ok())
                    .filter(|it| it < count);
                match quoted {
                    None => place.ok_or(None),
                    Some(_) => Err(place),
                }
            }
        }
    }

    /// Whether the item there and a result with an id written so may belong together: an
    /// item without an id goes with any.
    pub fn agree(&self, at: usize, written: &str) -> bool {
        match self {
            Self::Own(index) => match index.ids.get(at) {
                Some(Some(id)) => id.is_written_as(written) || JobId::parse(written).is_err(),
                _ => true,
            },
            Self::Numbers { first, .. } => {
                JobId::parse(written).is_err() || number(written) == first.checked_add(at as u64)
            }
        }
    }
}

/// A number as this proxy writes it.
fn number(digits: &str) -> Option<u64> {
    let number = digits.parse().ok()?;
    (itoa::Buffer::new().format(number) == digits).then_some(number)
}

/// Finds an item by its id. Most answers come in the order of the items, where one
/// comparison is enough.
#[derive(Debug)]
pub(super) struct Index<'a> {
    ids: Vec<Option<&'a JobId>>,
    /// Where the next one is expected.
    next: usize,
    /// Made when the order is another for the first time.
    by_id: Option<HashMap<&'a JobId, usize>>,
}

impl Index<'_> {
    fn find(&mut self, written: &str) -> Result<usize, Option<usize>> {
        let expected = self.ids.get(self.next).copied().flatten();
        let at = match expected.is_some_and(|id| id.is_written_as(written)) {
            true => self.next,
            false => self.look_up(&JobId::parse(written).map_err(|_| None)?)?,
        };
        self.next = at + 1;
        Ok(at)
    }

    fn look_up(&mut self, id: &JobId) -> Result<usize, Option<usize>> {
        let all = || self.ids.iter().enumerate();
        let known = || all().filter_map(|(at, id)| Some(((*id)?, at)));
        let by_id = self.by_id.get_or_insert_with(|| known().collect());
        let place = |id: &JobId| by_id.get(id).copied();
        place(id).ok_or_else(|| place(&id.of_other_type()?))
    }
}
