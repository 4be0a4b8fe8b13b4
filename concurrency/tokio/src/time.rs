//! What `tokio::time` is here: a clock that stands still but for one task, which
//! moves it to the next time anybody sleeps until.
//!
//! That task runs whenever shuttle lets it, so a timer goes off at any point
//! between other tasks' steps, early and late. It never passes [`HORIZON`]:
//! whoever needs a wake-up and sleeps until after it hangs, and is found out.

use std::cell::RefCell;
use std::ops::{Add, AddAssign, Sub};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shuttle::future::yield_now;

/// Time ends this long after a schedule has begun.
pub const HORIZON: Duration = Duration::from_secs(60 * 60);

/// When a schedule begins. Times before that can be named.
const BEGIN: Instant = Instant(Duration::from_secs(7 * 24 * 60 * 60));

/// A point in the time of one schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// What the clock shows.
    pub fn now() -> Self {
        TIME.with_borrow(|it| it.now)
    }

    /// The time from `earlier` to this, zero if that is later.
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        self.0 += duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0 - duration)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// Of the schedule that is being run. Nothing switches tasks while it is borrowed.
struct Time {
    now: Instant,
    over: bool,
    sleepers: Vec<(u64, Instant, Waker)>,
    next: u64,
    /// The task that moves the clock, while nobody sleeps.
    idle: Option<Waker>,
}

impl Time {
    const NEW: Self = Self {
        now: BEGIN,
        over: false,
        sleepers: Vec::new(),
        next: 0,
        idle: None,
    };

    /// Moves on to the earliest time that somebody sleeps until.
    fn step(&mut self) -> Option<Waker> {
        let due = |(_, (_, due, _)): &(usize, &(u64, Instant, Waker))| *due;
        let (first, _) = self.sleepers.iter().enumerate().min_by_key(due)?;
        let (_, due, waker) = self.sleepers.swap_remove(first);
        self.now = self.now.max(due);
        Some(waker)
    }
}

std::thread_local! {
    static TIME: RefCell<Time> = const { RefCell::new(Time::NEW) };
}

/// Waits until the clock shows `due`.
pub fn sleep_until(due: Instant) -> Sleep {
    let id = TIME.with_borrow_mut(|it| {
        it.next += 1;
        it.next
    });
    Sleep { id, due }
}

/// See [`sleep_until`].
#[derive(Debug)]
#[must_use = "nobody sleeps unless it is awaited"]
pub struct Sleep {
    id: u64,
    due: Instant,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (poll, idle) = TIME.with_borrow_mut(|it| {
            it.sleepers.retain(|(id, ..)| *id != self.id);
            if it.now >= self.due {
                return (Poll::Ready(()), None);
            }
            if self.due > BEGIN + HORIZON {
                return (Poll::Pending, None);
            }
            let sleeper = (self.id, self.due, context.waker().clone());
            it.sleepers.push(sleeper);
            (Poll::Pending, it.idle.take())
        });
        idle.into_iter().for_each(Waker::wake);
        poll
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        TIME.with_borrow_mut(|it| it.sleepers.retain(|(id, ..)| *id != self.id));
    }
}

/// A new schedule begins.
pub(crate) fn reset() {
    drop(TIME.replace(Time::NEW));
}

/// Moves the clock until [`stop`].
pub(crate) async fn pass() {
    while !TIME.with_borrow(|it| it.over) {
        std::future::poll_fn(|context| {
            TIME.with_borrow_mut(|it| {
                if it.over || !it.sleepers.is_empty() {
                    return Poll::Ready(());
                }
                it.idle = Some(context.waker().clone());
                Poll::Pending
            })
        })
        .await;
        let waker = TIME.with_borrow_mut(Time::step);
        waker.into_iter().for_each(Waker::wake);
        yield_now().await;
    }
}

/// Nobody needs the clock any more.
pub(crate) fn stop() {
    let idle = TIME.with_borrow_mut(|it| {
        it.over = true;
        it.idle.take()
    });
    idle.into_iter().for_each(Waker::wake);
}
