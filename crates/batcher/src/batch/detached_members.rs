//! What can be done about the detached members of a batch alone.

use super::Batch;
use crate::answered::answer;
use crate::contain::contain;
use crate::error::Error;
use crate::member::Member;
use crate::queue::{Loads, Room};

impl<J: Send + 'static, R: Send + 'static> Batch<J, R> {
    /// Puts the detached members back to where they were in line, for a batch that is not
    /// to be sent as yet; how many there were. They have all that they had: their order,
    /// their deadlines, and their [`Detached`](crate::Detached)s, which still withdraw
    /// them. Where a closed batcher has been [abandoned](crate::Batcher::abandon) they are
    /// answered [`Error::Abandoned`], as what was queued then. Of a batch that is parked
    /// none is put back.
    pub fn put_back_detached(&mut self) -> usize {
        if self.parked {
            return 0;
        }
        let detached = self.members.extract_if(.., |it| it.is_detached());
        let frame = self.frame.as_ref();
        let entries: Vec<_> = detached.filter_map(|it| it.into_entry(frame)).collect();
        if entries.is_empty() {
            return 0;
        }
        let (mut memberships, mut departed, mut abandoned) = (Vec::new(), Vec::new(), Vec::new());
        let mut put_back = 0;
        let mut state = self.handle.lock();
        for (number, entry) in entries {
            if !entry.item.answerer.is_awaited() {
                departed.push(entry);
                continue;
            }
            put_back += 1;
            match state.put_back(number, entry) {
                Ok((ticket, pending)) => memberships.extend(pending.answerer.detach(ticket)),
                Err(entry) => abandoned.push((entry, Room::Queue)),
            }
        }
        let abandoned = answer(abandoned, |_| Error::Abandoned);
        self.handle.set_clock(state);
        drop((memberships, abandoned));
        contain(|| drop(departed));
        put_back
    }
}

impl<J: Send + 'static, R: Send + 'static, I> Batch<J, R, I> {
    /// Answers the detached members; the others stay.
    pub fn answer_detached(&mut self, mut answer: impl FnMut(&Member<I, R>) -> R) {
        self.settle(Member::is_detached, |member| Ok(answer(member)));
    }

    /// Drops detached members that are nobody's any more, as if they had been
    /// [withdrawn](crate::Detached::withdraw): nothing is done with an answer.
    pub fn dismiss_detached(&mut self, mut whose: impl FnMut(&Member<I, R>) -> bool) {
        let gone = |member: &mut Member<I, R>| member.is_detached() && whose(member);
        let gone: Vec<_> = self.members.extract_if(.., gone).collect();
        if gone.is_empty() {
            return;
        }
        // Under the lock, so that a parked batch counts each member once.
        let mut state = self.handle.lock();
        let left: Vec<_> = gone.iter().map(|it| it.answerer.forget()).collect();
        for bytes in left.iter().filter_map(|it| it.parked_bytes()) {
            state.leave_parked(Loads::one(bytes, true));
        }
        self.handle.release_only(state);
        drop(left);
    }
}
