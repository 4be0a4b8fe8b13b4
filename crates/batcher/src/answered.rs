//! Items that leave the queue without a batch.

use crate::contain::contain;
use crate::error::Error;
use crate::member::Pending;
use crate::queue::Room;
use crate::reply_slot::Caller;
use crate::state::Gone;

/// An item whose caller was answered under the lock. To be dropped outside of it: with it
/// goes the item, and the caller is woken, whatever the code of either does.
pub(crate) struct Answered<J> {
    item: Option<J>,
    caller: Option<Caller>,
}

/// Answers entries that were taken out.
pub(crate) fn answer<J, R>(
    entries: Vec<Gone<Pending<J, R>>>,
    reason: impl Fn(Room) -> Error,
) -> Vec<Answered<J>> {
    let answered = entries.into_iter().map(|(entry, room)| {
        let Pending { item, answerer, .. } = entry.item;
        Answered {
            item: Some(item),
            // Nothing is lost by an answer that nobody waits for: it is an error.
            caller: answerer.answer(Err(reason(room))).ok(),
        }
    });
    answered.collect()
}

impl<J> Drop for Answered<J> {
    fn drop(&mut self) {
        contain(|| drop(self.item.take()));
        contain(|| self.caller.take().map(Caller::wake));
    }
}
