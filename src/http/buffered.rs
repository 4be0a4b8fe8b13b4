//! The bytes in memory that no queue counts: bodies that are being received, and
//! answers that are not taken yet (`server.max_buffered`).
//!
//! A body asks for room before each of its pieces is read ([`Charge::room`]). It is
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
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The account.
#[derive(Debug)]
pub struct Buffered {
    limit: usize,
    /// What of it is for all, and how much of that is used.
    shared: usize,
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
            limit,
            shared: limit.saturating_sub(max_body),
            used: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            in_line: AtomicUsize::new(0),
            line: Mutex::default(),
        })
    }

    /// How many bytes are charged.
    pub fn bytes(&self) -> usize {
        self.used.load(SeqCst) + self.kept.load(SeqCst)
    }

    /// A charge of these bytes, until it is dropped.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.used.fetch_add(bytes, SeqCst);
        Charge {
            account: Arc::clone(self),
            bytes,
            kept: 0,
            piece: 0,
            place: None,
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing panics while it is held.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a body has room that would hold so much, a piece included.
    fn fits(&self, used: usize, wanted: usize) -> bool {
        used.saturating_add(wanted) <= self.shared
    }

    /// Whether a piece fits into what is kept for the first in line.
    fn fits_kept(&self, piece: usize) -> bool {
        let room = self.limit - self.shared;
        let kept = self.kept.load(SeqCst).saturating_add(piece);
        kept <= room && self.bytes().saturating_add(piece) <= self.limit
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
}

impl Charge {
    /// Resolves when there is room for another piece of the body, of so many bytes,
    /// and charges it; then [`received`](Self::received) is to follow.
    pub async fn room(&mut self, piece: usize) {
        poll_fn(|context| self.poll_room(context, piece)).await;
    }

    fn poll_room(&mut self, context: &mut Context<'_>, piece: usize) -> Poll<()> {
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
        self.account.used.fetch_add(more, SeqCst);
        self.bytes += more;
        if less > 0 {
            self.release(less);
        }
    }

    /// Whether its body waits for room.
    pub fn is_waiting(&self) -> bool {
        let Some(place) = self.place else {
            return false;
        };
        self.account
            .line()
            .places
            .get(&place)
            .is_some_and(Option::is_some)
    }

    /// Gives so many bytes back.
    pub fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        let kept = bytes.min(self.kept);
        self.bytes -= bytes;
        self.kept -= kept;
        self.account.kept.fetch_sub(kept, SeqCst);
        self.account.used.fetch_sub(bytes - kept, SeqCst);
        self.account.wake_next();
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let mut line = self.account.line();
            drop(line.wake(place));
            line.places.remove(&place);
            self.account.in_line.fetch_sub(1, SeqCst);
        }
        self.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    use super::*;

    const BODY: usize = 100;
    const PIECE: usize = 10;

    /// A body with a task of its own.
    struct Body {
        charge: Charge,
        woken: Arc<Woken>,
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }

    impl Body {
        fn of(account: &Arc<Buffered>) -> Self {
            Self {
                charge: account.charge(0),
                woken: Arc::default(),
            }
        }

        /// Receives a piece, if it may.
        fn goes_on(&mut self) -> bool {
            let waker = Waker::from(Arc::clone(&self.woken));
            let mut context = Context::from_waker(&waker);
            let room = self.charge.poll_room(&mut context, PIECE);
            let ready = room.is_ready();
            assert_eq!(ready, !self.charge.is_waiting());
            if ready {
                self.charge.received(PIECE);
            }
            ready
        }

        fn was_woken(&self) -> bool {
            self.woken.0.swap(false, SeqCst)
        }
    }

    fn is_empty(account: &Buffered) -> bool {
        let line = account.line();
        let nobody = line.places.is_empty() && line.asleep.is_empty();
        nobody && account.bytes() == 0 && account.in_line.load(SeqCst) == 0
    }

    #[test]
    fn what_comes_is_charged_and_not_what_is_asked_for() {
        let account = Buffered::new(300, BODY);
        let mut body = Body::of(&account);
        for (received, charged) in [(10, 10), (3, 13), (15, 28)] {
            let mut context = Context::from_waker(Waker::noop());
            assert!(body.charge.poll_room(&mut context, PIECE).is_ready());
            body.charge.received(received);
            assert_eq!(account.bytes(), charged);
        }
        drop(body);
        assert!(is_empty(&account));
    }

    #[test]
    fn open_bodies_leave_as_much_as_each_holds_for_those_who_come() {
        for count in [1, 3, 20] {
            let account = Buffered::new(1_000 + BODY, BODY);
            let mut bodies: Vec<_> = (0..count).map(|_| Body::of(&account)).collect();
            // The first in line goes on to its end; the others go as far as they may.
            for _ in 0..BODY / PIECE {
                for body in &mut bodies {
                    body.goes_on();
                }
            }
            let held = bodies.iter().map(|body| body.charge.bytes).min();
            let free = 1_000 - account.used.load(SeqCst);
            assert!(free + PIECE > held.unwrap(), "{count} bodies leave {free}");
            let mut newcomer = Body::of(&account);
            assert!(newcomer.goes_on(), "{count} bodies are in the way");
        }
    }

    #[test]
    fn small_pieces_go_first_and_then_the_oldest() {
        let account = Buffered::new(200, BODY);
        let mut large = Body::of(&account);
        assert!(large.goes_on() && large.goes_on());
        let mut answer = account.charge(180);
        // In line before all others, and so the one for whom the last part is kept.
        let mut first = Body::of(&account);
        assert!(!first.goes_on() && !large.goes_on());
        let mut small: Vec<_> = (0..2).map(|_| Body::of(&account)).collect();
        assert!(!small[0].goes_on() && !small[1].goes_on());
        answer.release(20);
        assert!(first.was_woken() && first.goes_on() && first.goes_on());
        assert!(!first.goes_on(), "nobody goes past the limit");
        answer.release(130);
        for body in &mut small {
            assert!(body.was_woken() && body.goes_on());
        }
        assert!(!large.was_woken(), "it holds as much as is left");
        drop(small);
        assert!(large.was_woken() && large.goes_on());
        drop((large, first, answer));
        assert!(is_empty(&account));
    }

    #[test]
    fn a_body_that_was_woken_and_given_up_wakes_the_next() {
        let account = Buffered::new(200, BODY);
        let answer = account.charge(200);
        let (mut one, mut other) = (Body::of(&account), Body::of(&account));
        assert!(!one.goes_on() && !other.goes_on());
        drop(answer);
        assert!(one.was_woken() && !other.was_woken());
        drop(one);
        assert!(other.was_woken() && other.goes_on());
    }

    #[test]
    fn one_body_always_comes_in_where_many_are_half_there() {
        let account = Buffered::new(500, BODY);
        let mut bodies: Vec<_> = (0..50).map(|_| Body::of(&account)).collect();
        let mut left = vec![BODY; 50];
        while left.iter().any(|&left| left > 0) {
            let before = left.iter().sum::<usize>();
            for (body, left) in bodies.iter_mut().zip(&mut left) {
                if *left > 0 && body.goes_on() {
                    *left -= PIECE;
                    if *left == 0 {
                        *body = Body::of(&account);
                    }
                }
                assert!(account.bytes() <= 500, "{}", account.bytes());
            }
            assert!(left.iter().sum::<usize>() < before, "it goes on");
        }
        drop(bodies);
        assert!(is_empty(&account));
    }

    /// Bodies on several threads, in and out: nobody waits for ever.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wake_up_is_lost() {
        let account = Buffered::new(3 * BODY, BODY);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let account = Arc::clone(&account);
            tasks.spawn(async move {
                for _ in 0..100 {
                    let mut charge = account.charge(0);
                    for _ in 0..BODY / PIECE {
                        charge.room(PIECE).await;
                        charge.received(PIECE);
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        let all = tokio::time::timeout(std::time::Duration::from_secs(60), tasks.join_all());
        assert!(all.await.is_ok(), "a body waits for ever: {account:?}");
        assert!(is_empty(&account));
    }
}
