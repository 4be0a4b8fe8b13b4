//! Where one runtime is reached, and the two tasks that serve there.
//!
//! To wake a task of another thread takes a system call when that thread sleeps,
//! and with runtimes of one thread each whenever it is another's. So the answers
//! of a batch whose callers wait elsewhere are announced together: one letter
//! with all their wakers to each desk, whose *postman* wakes them there. Who is
//! answered without a batch, which is rare, is woken from afar. The other task is
//! the [`clock`](super::clock).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::task::Waker;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::local::Local;
use super::seat::Caller;
use super::{Shared, clock};
use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard};

/// Which of a batcher's desks. The first is that of the runtime that the batcher
/// was made on.
pub(super) type Index = usize;

/// That first one's.
pub(super) const HOME: Index = 0;

#[derive(Debug)]
pub(super) struct Desk {
    pub runtime: Handle,
    /// Wakes its clock.
    pub clock: Notify,
    /// Wakes its postman.
    bell: Notify,
    /// Whom the postman is to wake; `None` once there is no postman any more.
    mail: Mutex<Option<Vec<Waker>>>,
    /// Its runtime has ended.
    closed: AtomicBool,
    /// Batches that are processed there and have a slot.
    under_way: AtomicUsize,
}

impl Desk {
    /// The desk at the runtime that this is called on; opened if there is none yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    pub fn open<J: Send + 'static, R: Send + 'static>(shared: &Arc<Shared<J, R>>) -> Local<J, R> {
        let runtime = Handle::current();
        let mut desks = shared.desks();
        let known = |desk: &Arc<Self>| desk.runtime.id() == runtime.id() && !desk.is_closed();
        let known = desks.iter().position(known);
        let index = known.unwrap_or(desks.len());
        if known.is_none() {
            desks.push(Arc::new(Self {
                runtime: runtime.clone(),
                clock: Notify::new(),
                bell: Notify::new(),
                mail: Mutex::new(Some(Vec::new())),
                closed: AtomicBool::new(false),
                under_way: AtomicUsize::new(0),
            }));
        }
        let local = Local {
            shared: Arc::clone(shared),
            index,
            desk: Arc::clone(&desks[index]),
            home: Arc::clone(&desks[HOME]),
        };
        drop(desks);
        if known.is_none() {
            let postman = Postman(Arc::clone(&local.desk));
            runtime.spawn(clock::run(Station::of(&local)));
            runtime.spawn(deliver(postman, Arc::downgrade(shared)));
        }
        local
    }

    /// Whether its runtime has ended.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// How many batches are processed there that have a slot.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Has its two tasks look whether the batcher is still there.
    pub fn dismiss(&self) {
        self.clock.notify_one();
        self.bell.notify_one();
    }

    /// Has these woken by the postman.
    fn post(&self, wakers: Vec<Waker>) {
        let mut mail = self.mail();
        let Some(letters) = mail.as_mut() else {
            drop(mail);
            wakers.into_iter().for_each(Waker::wake);
            return;
        };
        // Whoever has put something in has rung the bell.
        let ring = letters.is_empty();
        letters.extend(wakers);
        drop(mail);
        if ring {
            self.bell.notify_one();
        }
    }

    fn mail(&self) -> MutexGuard<'_, Option<Vec<Waker>>> {
        // Nothing panics while it is held.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch with a slot that is processed at a desk, until it is dropped.
pub(super) struct UnderWay(Arc<Desk>);

impl UnderWay {
    pub fn at(desk: &Arc<Desk>) -> Self {
        desk.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(desk))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A desk as its clock knows it. Dropped with the clock: then the runtime has
/// ended, or the batcher.
pub(super) struct Station<J: Send + 'static, R: Send + 'static> {
    shared: Weak<Shared<J, R>>,
    index: Index,
    pub desk: Arc<Desk>,
    home: Arc<Desk>,
}

impl<J: Send + 'static, R: Send + 'static> Station<J, R> {
    fn of(local: &Local<J, R>) -> Self {
        Self {
            shared: Arc::downgrade(&local.shared),
            index: local.index,
            desk: Arc::clone(&local.desk),
            home: Arc::clone(&local.home),
        }
    }

    /// The batcher as it is seen from here, while there is one.
    pub fn local(&self) -> Option<Arc<Local<J, R>>> {
        Some(Arc::new(Local {
            shared: self.shared.upgrade()?,
            index: self.index,
            desk: Arc::clone(&self.desk),
            home: Arc::clone(&self.home),
        }))
    }
}

impl<J: Send + 'static, R: Send + 'static> Drop for Station<J, R> {
    fn drop(&mut self) {
        let Some(local) = self.local() else {
            return;
        };
        if Arc::ptr_eq(&self.desk, &self.home) {
            local.end();
        } else {
            // Whoever arms a clock does so under the batcher's lock. The first
            // runtime's clock takes that lock after this: before it, an armed time
            // is one that it will find; after it, this is seen.
            self.desk.closed.store(true, Ordering::Relaxed);
            self.home.clock.notify_one();
        }
    }
}

/// Wakes whom a desk's mail names. What comes when it is gone is woken from afar.
struct Postman(Arc<Desk>);

async fn deliver<J: Send + 'static, R: Send + 'static>(
    postman: Postman,
    batcher: Weak<Shared<J, R>>,
) {
    while batcher.strong_count() > 0 {
        postman.0.bell.notified().await;
        let letters = postman.0.mail().as_mut().map(std::mem::take);
        letters.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Drop for Postman {
    fn drop(&mut self) {
        let letters = self.0.mail().take();
        letters.into_iter().flatten().for_each(Waker::wake);
    }
}

/// Wakes the callers of a batch: at once where they wait on this runtime, on
/// others when it is dropped.
pub(super) struct Waking<'a, J: Send + 'static, R: Send + 'static> {
    local: &'a Local<J, R>,
    elsewhere: Vec<(Index, Vec<Waker>)>,
}

impl<'a, J: Send + 'static, R: Send + 'static> Waking<'a, J, R> {
    pub fn from(local: &'a Local<J, R>) -> Self {
        Self {
            local,
            elsewhere: Vec::new(),
        }
    }

    /// Wakes somebody whose item was submitted at the desk.
    pub fn wake(&mut self, caller: Caller, desk: Index) {
        let Some(waker) = caller.into_waker() else {
            return;
        };
        if desk == self.local.index {
            waker.wake();
        } else if let Some((_, wakers)) = self.elsewhere.iter_mut().find(|(it, _)| *it == desk) {
            wakers.push(waker);
        } else {
            self.elsewhere.push((desk, vec![waker]));
        }
    }
}

impl<J: Send + 'static, R: Send + 'static> Drop for Waking<'_, J, R> {
    fn drop(&mut self) {
        for (desk, wakers) in self.elsewhere.drain(..) {
            let desk = Arc::clone(&self.local.shared.desks()[desk]);
            desk.post(wakers);
        }
    }
}
