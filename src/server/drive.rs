//! The task of one connection: it polls the HTTP library, and acts on what the
//! [`guard`](super::guard) says about how the connection gets on.
//!
//! There is one timer, and it is moved lazily: only where something is due before
//! it would fire. A connection whose requests follow one another never touches it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use super::guard::{Action, Guard};
use super::progress::Progress;

pin_project! {
    /// Drives a connection until it is over.
    pub(super) struct Drive<C> {
        #[pin]
        connection: C,
        close: fn(Pin<&mut C>),
        guard: Guard,
        progress: Arc<Progress>,
        #[pin]
        timer: Sleep,
        // For when the timer is set, if it is.
        set_for: Option<Instant>,
        // What the connection wakes, from the first poll on.
        waker: Option<Waker>,
    }
}

impl<C: Future> Drive<C> {
    /// `close` has a connection close in order.
    pub fn new(
        connection: C,
        close: fn(Pin<&mut C>),
        guard: Guard,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            connection,
            close,
            guard,
            progress,
            timer: sleep_until(Instant::now()),
            set_for: None,
            waker: None,
        }
    }

    /// What the end of the process, or a place that is needed, makes of it.
    fn told(self: Pin<&mut Self>) -> Action {
        let this = self.project();
        let (guard, progress) = (this.guard, this.progress);
        let multiplexed = progress.multiplexed.is_set();
        match guard.ending(progress.life.ending(), multiplexed, Instant::now) {
            Action::Wait if progress.evicted.take() => guard.evict(Instant::now()),
            action => action,
        }
    }

    /// What the time makes of it.
    fn timed(self: Pin<&mut Self>, context: &mut Context<'_>) -> Action {
        let mut this = self.project();
        loop {
            let Some(due) = this.guard.due() else {
                return Action::Wait;
            };
            if this.set_for.is_none_or(|set_for| due < set_for) {
                *this.set_for = Some(due);
                this.timer.as_mut().reset(due);
                // This is its task for good: it need not be polled again. Whatever the
                // task has done before, a poll registers its waker.
                let timer = pin!(unconstrained(this.timer.as_mut()));
                if timer.poll(context).is_pending() {
                    return Action::Wait;
                }
            } else if !this.timer.is_elapsed() {
                return Action::Wait;
            }
            *this.set_for = None;
            match this.guard.at(Instant::now()) {
                Action::Wait => {}
                action => return action,
            }
        }
    }
}

impl<C: Future> Future for Drive<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let this = self.as_mut().project();
            let waker = this.waker.get_or_insert_with(|| {
                this.progress.task.begins(context.waker());
                Waker::from(Arc::clone(&this.progress.task))
            });
            let polled = this.connection.poll(&mut Context::from_waker(waker));
            if polled.is_ready() || this.progress.departed.is_set() {
                return Poll::Ready(());
            }
            if this.guard.saw(this.progress.seen(), Instant::now) {
                this.progress
                    .keeps_place_until(this.guard.keeps_place_until());
            }
            let action = match self.as_mut().told() {
                Action::Wait => self.as_mut().timed(context),
                action => action,
            };
            match action {
                Action::Wait => return Poll::Pending,
                Action::End => return Poll::Ready(()),
                Action::Close => {
                    let this = self.as_mut().project();
                    if this.guard.is_idle() {
                        this.progress.closes_idle.set(true);
                    }
                    (this.close)(this.connection);
                }
            }
        }
    }
}
