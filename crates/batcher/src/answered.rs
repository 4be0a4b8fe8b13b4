//! Items that leave the queue without a batch.

use crate::contain::contain;
use crate::error::Error;
use crate::member::Pending;
use crate::queue::Room;
use crate::recipient::Delivery;
use crate::state::Gone;

/// An item that was answered under the lock. To be dropped outside of it: with it goes the
/// item, and whom the answer is for is told, whatever the code of either does.
pub(crate) struct Answered<J, R> {
    item: Option<J>,
    delivery: Option<Delivery<R>>,
}

/// Answers entries that were taken out.
pub(crate) fn answer<J, R>(
    entries: Vec<Gone<Pending<J, R>>>,
    reason: impl Fn(Room) -> Error,
) -> Vec<Answered<J, R>> {
    let answered = entries.into_iter().map(|(entry, room)| {
        let Pending { item, answerer, .. } = entry.item;
        Answered {
            item: Some(item),
            // Nothing is lost by an answer that nobody waits for: it is an error.
            delivery: answerer.answer(Err(reason(room))).ok(),
        }
    });
    answered.collect()
}

impl<J, R> Drop for Answered<J, R> {
    fn drop(&mut self) {
        contain(|| drop(self.item.take()));
        contain(|| self.delivery.take().map(Delivery::tell));
    }
}
