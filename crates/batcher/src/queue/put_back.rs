//! Items that have left with a batch and come back to where they were in line.

use super::entry::{Position, Waiting};
use super::keys::{Number, Ticket};
use super::load::Load;
use super::{Entry, Queue};

impl<T> Queue<T> {
    /// Puts an entry back that has had this number, whether there is room for it or not.
    /// It has never left, as far as its order, its keys and its times are concerned.
    pub fn put_back(&mut self, number: Number, entry: Entry<T>) -> (Ticket, &T) {
        let (bytes, extent) = (entry.bytes, entry.extent);
        let hurried = self.hurried(&entry);
        let at = self.waiting.vacant_key();
        let ticket = Ticket { number, at };
        let deadline = entry.deadline;
        let early = deadline.is_some_and(|deadline| self.deadlines.join(deadline, ticket));
        let queue = self.frames.get_or_make(entry.frame.as_ref());
        let (behind, held) = queue.rejoin(ticket, &entry.keys, hurried, &mut self.waiting);
        self.followers += held;
        self.bytes += bytes;
        let position = match behind {
            0 => {
                queue.make_ready(ticket, extent);
                Position::Ready
            }
            _ => {
                self.followers += Load::one(bytes);
                Position::Held
            }
        };
        let vacant = self.waiting.vacant_entry();
        let waiting = vacant.insert(Waiting {
            number,
            position,
            behind,
            kept_apart: false,
            early,
            hurried,
            entry,
        });
        (ticket, &waiting.entry.item)
    }
}
