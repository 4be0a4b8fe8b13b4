//! Members that were answered while the call with them was under way: its answer is about
//! them too, and says by their places which of its results are the others'.

use super::batch::{Batch, Member, calls};
use crate::shape::Call;

/// The calls of those members, each with its place among all that were sent.
#[derive(Debug, Default)]
pub(super) struct Gone(Vec<(usize, Call)>);

impl Gone {
    /// These members of the batch are about to be answered.
    pub fn add(&mut self, batch: &Batch, which: impl Fn(&Member) -> bool) {
        let places: Vec<usize> = self.places_of_others().take(batch.len()).collect();
        let members = batch.members().iter().zip(places);
        let members = members.filter(|(member, _)| which(member));
        let gone = members.map(|(member, place)| (place, member.item().call().clone()));
        self.0.extend(gone.collect::<Vec<_>>());
        self.0.sort_unstable_by_key(|it| it.0);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All calls that were sent, in their order, where the batch has the others.
    pub fn and_others(&self, batch: &Batch) -> Vec<Call> {
        let mut all: Vec<_> = self.places_of_others().zip(calls(batch).cloned()).collect();
        all.extend(self.0.iter().cloned());
        all.sort_unstable_by_key(|it| it.0);
        all.into_iter().map(|it| it.1).collect()
    }

    /// Of what there is for each call that was sent, what is the others'.
    pub fn take_from<T>(&self, all: Vec<T>) -> Vec<T> {
        let all = all.into_iter().enumerate();
        let others = all.filter(|(place, _)| !self.has(*place));
        others.map(|it| it.1).collect()
    }

    fn places_of_others(&self) -> impl Iterator<Item = usize> {
        (0..).filter(|&place| !self.has(place))
    }

    fn has(&self, place: usize) -> bool {
        self.0.binary_search_by_key(&place, |it| it.0).is_ok()
    }
}
