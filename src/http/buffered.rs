//! The bytes in memory that no queue counts: bodies that are being received, and
//! answers that are not taken yet (`server.max_buffered`).
//!
//! A body asks for room before each of its pieces is read ([`Charge::poll_room`]). It is
//! charged for that piece and for what has come, not for what it announces. While
//! there is no room it is left unread, so that its sender waits. An answer only
//! counts: it is never held back.
//!
//! A body has room while it would hold no more than what is free. So many bodies that
//! are begun and not ended share the room evenly and leave some for those that come,
//! as switches share their memory among queues (A. Choudhury and E. Hahne, "Dynamic
//! queue length thresholds for shared-memory packet switches", 1998). Of those that
//! wait, the one that would hold least goes first, and of several the one that has
//! waited longest: small jobs pass by where large bodies have come to a halt.
//!
//! A part of the account, the size of one body, is kept for the body that was the
//! first to wait: it can come in to its end whatever other bodies have begun, so that
//! bodies which are all half there do not wait for each other for ever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The account.
#[derive(Debug)]
pub struct Buffered {
    limit: AtomicUsize,
    /// What of it is for all, and how much of that is used.
    shared: AtomicUsize,
    used: AtomicUsize,
    /// How much is used of what is kept for the first in line.
    kept: AtomicUsize,
    /// How many bodies are in `line`, to be seen without its lock.
    in_line: AtomicUsize,
    line: Mutex<Line>,
}

/// The bodies that have found no room, each until it is received or given up.
#[derive(Debug, Default)]
struct Line {
    /// The place of the next that comes.
    next: u64,
    /// All by their place, and what those would hold then that wait for a piece.
    places: BTreeMap<u64, Option<usize>>,
    /// Those that wait, by what they would hold and their place, with the size of the
    /// piece.
    asleep: BTreeMap<(usize, u64), (usize, Waker)>,
}

impl Buffered {
    /// An empty account of so many bytes, where a body has `max_body` at most.
    pub fn new(limit: usize, max_body: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            shared: AtomicUsize::new(limit.saturating_sub(max_body)),
            used: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            in_line: AtomicUsize::new(0),
            line: Mutex::default(),
        })
    }

    /// So many bytes from here on. What is charged stays so: where that is more, bodies wait
    /// until it is less.
    pub fn set(&self, limit: usize, max_body: usize) {
        // One after the other: who looks between them sees less room than there is, or more,
        // and what is charged is counted all the same.
        self.limit.store(limit, SeqCst);
        self.shared.store(limit.saturating_sub(max_body), SeqCst);
        self.wake_next();
    }

    /// How many bytes are charged.
    pub fn bytes(&self) -> usize {
        self.used.load(SeqCst) + self.kept.load(SeqCst)
    }

    /// A charge of these bytes, until it is dropped.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        if bytes > 0 {
            self.used.fetch_add(bytes, SeqCst);
        }
        Charge {
            account: Arc::clone(self),
            bytes,
            kept: 0,
            piece: 0,
            place: None,
            held_up: false,
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing panics while it is held.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a body has room that would hold so much, a piece included.
    fn fits(&self, used: usize, wanted: usize) -> bool {
        used.saturating_add(wanted) <= self.shared.load(SeqCst)
    }

    /// Whether a piece fits into what is kept for the first in line.
    fn fits_kept(&self, piece: usize) -> bool {
        let limit = self.limit.load(SeqCst);
        let room = limit.saturating_sub(self.shared.load(SeqCst));
        let kept = self.kept.load(SeqCst).saturating_add(piece);
        kept <= room && self.bytes().saturating_add(piece) <= limit
    }

    /// Wakes who has room, if anybody waits.
    fn wake_next(&self) {
        if self.in_line.load(SeqCst) > 0 {
            self.wake_next_of(self.line());
        }
    }

    fn wake_next_of(&self, mut line: MutexGuard<'_, Line>) {
        let next = line.next_with_room(self);
        drop(line);
        if let Some(next) = next {
            next.wake();
        }
    }
}

impl Line {
    fn is_first(&self, place: u64) -> bool {
        self.places.keys().next() == Some(&place)
    }

    /// The next that is to wake up.
    fn next_with_room(&mut self, account: &Buffered) -> Option<Waker> {
        let used = account.used.load(SeqCst);
        let least = self.asleep.first_key_value();
        let least = least.filter(|((wanted, _), _)| account.fits(used, *wanted));
        // The first in line may hold much.
        let first = || {
            let (&place, &wanted) = self.places.first_key_value()?;
            let first = self.asleep.get_key_value(&(wanted?, place));
            first.filter(|(_, (piece, _))| account.fits_kept(*piece))
        };
        let (_, place) = *least.or_else(first)?.0;
        self.wake(place)
    }

    fn sleep(&mut self, place: u64, wanted: usize, piece: usize, waker: Waker) {
        self.places.insert(place, Some(wanted));
        self.asleep.insert((wanted, place), (piece, waker));
    }

    /// The waker of a body that waits, which it no longer does.
    fn wake(&mut self, place: u64) -> Option<Waker> {
        let wanted = self.places.get_mut(&place)?.take()?;
        let (_, waker) = self.asleep.remove(&(wanted, place))?;
        Some(waker)
    }
}

/// A part of the account; given back when dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Buffered>,
    /// What it is charged with, the piece included.
    bytes: usize,
    /// How much of it is of what is kept for the first in line.
    kept: usize,
    /// The room for what is to come next.
    piece: usize,
    /// Where its body is in line.
    place: Option<u64>,
    /// It found no room for that, and may have some by now.
    held_up: bool,
}

impl Charge {
    /// Ready when there is room for another piece of the body, of so many bytes, which
    /// is charged then; [`received`](Self::received) is to follow.
    pub fn poll_room(&mut self, context: &mut Context<'_>, piece: usize) -> Poll<()> {
        let nobody_waits = self.place.is_none() && self.account.in_line.load(SeqCst) == 0;
        if nobody_waits && self.take(piece) {
            return Poll::Ready(());
        }
        let account = Arc::clone(&self.account);
        let mut line = account.line();
        let place = *self.place.get_or_insert_with(|| {
            let place = line.next;
            line.next += 1;
            line.places.insert(place, None);
            // Seen by whoever gives bytes back from here on; what was given back
            // before shows below.
            account.in_line.fetch_add(1, SeqCst);
            place
        });
        drop(line.wake(place));
        let wanted = self.bytes.saturating_add(piece);
        let is_first = line.is_first(place);
        let next = line.asleep.keys().next();
        let is_next = next.is_none_or(|next| (wanted, place) < *next);
        if is_next && self.take(piece) || is_first && self.take_kept(piece) {
            // The next may have room as well.
            account.wake_next_of(line);
            return Poll::Ready(());
        }
        self.held_up = true;
        line.sleep(place, wanted, piece, context.waker().clone());
        account.wake_next_of(line);
        Poll::Pending
    }

    fn take(&mut self, piece: usize) -> bool {
        let (account, wanted) = (&self.account, self.bytes.saturating_add(piece));
        let take = |used| account.fits(used, wanted).then(|| used + piece);
        let taken = account.used.fetch_update(SeqCst, SeqCst, take).is_ok();
        if taken {
            self.bytes += piece;
            self.piece = piece;
        }
        taken
    }

    /// Nobody but the first in line does so.
    fn take_kept(&mut self, piece: usize) -> bool {
        let taken = self.account.fits_kept(piece);
        if taken {
            self.account.kept.fetch_add(piece, SeqCst);
            self.kept += piece;
            self.bytes += piece;
            self.piece = piece;
        }
        taken
    }

    /// What has come into the room that was asked for last.
    pub fn received(&mut self, bytes: usize) {
        let more = bytes.saturating_sub(self.piece);
        let less = self.piece.saturating_sub(bytes);
        self.piece = 0;
        self.held_up = false;
        if more > 0 {
            self.account.used.fetch_add(more, SeqCst);
            self.bytes += more;
        }
        self.release(less);
    }

    /// Nothing of the body is to come any more, though it stays in memory: what is kept for
    /// the first in line is for the next.
    pub fn settle(&mut self) {
        if self.leave() {
            self.account.used.fetch_add(self.kept, SeqCst);
            self.account.kept.fetch_sub(self.kept, SeqCst);
            self.kept = 0;
            self.account.wake_next();
        }
    }

    /// Leaves the line; whether it was in it.
    fn leave(&mut self) -> bool {
        let Some(place) = self.place.take() else {
            return false;
        };
        let mut line = self.account.line();
        drop(line.wake(place));
        line.places.remove(&place);
        self.account.in_line.fetch_sub(1, SeqCst);
        true
    }

    /// Whether its body found no room for the piece that it has still not received.
    pub fn is_held_up(&self) -> bool {
        self.held_up
    }

    /// Gives so many bytes back.
    pub fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        if bytes == 0 {
            return;
        }
        let kept = bytes.min(self.kept);
        self.bytes -= bytes;
        if kept > 0 {
            self.kept -= kept;
            self.account.kept.fetch_sub(kept, SeqCst);
        }
        self.account.used.fetch_sub(bytes - kept, SeqCst);
        self.account.wake_next();
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let was_in_line = self.leave();
        self.release(self.bytes);
        if was_in_line {
            // It may have been woken for room that it does not take.
            self.account.wake_next();
        }
    }
}

#[cfg(test)]
#[path = "buffered_tests.rs"]
mod tests;
