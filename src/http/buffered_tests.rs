//! The account of bytes, with bodies that are tasks of their own.

use std::future::poll_fn;
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
        if ready {
            self.charge.received(PIECE);
        }
        assert_eq!(ready, !self.charge.is_held_up());
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
fn open_bodies_leave_a_newcomer_as_much_as_each_holds() {
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
fn a_body_is_held_up_until_it_has_received_what_it_found_no_room_for() {
    let account = Buffered::new(200, BODY);
    let mut answer = account.charge(200);
    let mut body = Body::of(&account);
    let mut context = Context::from_waker(Waker::noop());
    assert!(!body.charge.is_held_up(), "it has not asked");
    assert!(body.charge.poll_room(&mut context, PIECE).is_pending());
    assert!(body.charge.is_held_up());
    // Room that comes as its time is over is no room that it had.
    answer.release(200);
    assert!(body.charge.poll_room(&mut context, PIECE).is_ready());
    assert!(body.charge.is_held_up());
    body.charge.received(PIECE);
    assert!(!body.charge.is_held_up(), "who is slow now is its sender");
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
fn what_is_all_there_and_stays_holds_up_no_other() {
    let account = Buffered::new(300, BODY);
    let mut bodies: Vec<_> = (0..4).map(|_| Body::of(&account)).collect();
    let go_on = |bodies: &mut [Body]| {
        let held = |it: &Body| it.charge.bytes;
        let mut go_on = |it: &mut Body| held(it) < BODY && it.goes_on();
        while bodies
            .iter_mut()
            .map(&mut go_on)
            .fold(false, |any, it| any | it)
        {}
        let whole = |it: &&Body| held(it) == BODY;
        bodies.iter().filter(whole).count()
    };
    assert_eq!(go_on(&mut bodies), 1);
    bodies[0].charge.settle();
    assert!(bodies[1].was_woken());
    assert_eq!(go_on(&mut bodies[1..]), 1);
    assert!(account.bytes() <= 300, "{}", account.bytes());
    // There is no more room, until one is gone.
    bodies[1].charge.settle();
    assert_eq!(go_on(&mut bodies[2..]), 0);
    drop(bodies.remove(0));
    assert_eq!(go_on(&mut bodies[1..]), 1);
    drop(bodies);
    assert!(is_empty(&account));
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
                    poll_fn(|context| charge.poll_room(context, PIECE)).await;
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

#[test]
fn what_there_is_may_become_more_or_less() {
    let account = Buffered::new(BODY + PIECE, BODY);
    let (mut one, mut other) = (Body::of(&account), Body::of(&account));
    assert!(one.goes_on());
    assert!(other.goes_on(), "of what is kept for the first in line");
    let mut third = Body::of(&account);
    assert!(!third.goes_on());
    account.set(BODY + 10 * PIECE, BODY);
    assert!(third.was_woken());
    assert!(third.goes_on());
    account.set(BODY, BODY);
    assert_eq!(account.bytes(), 3 * PIECE, "what is there stays");
    assert!(!one.goes_on() && !third.goes_on());
    assert!(other.goes_on(), "the first in line comes in to its end");
    drop((one, other, third));
    assert!(is_empty(&account));
}
