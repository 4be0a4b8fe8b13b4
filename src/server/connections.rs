//! The connections of one listener: how many there may be, whose place is needed,
//! and that the process ends.
//!
//! Each takes a [`Permit`] before it is served. One too many waits for a place, and
//! those after it in the system's backlog; meanwhile the connection that has been
//! idle for longest is closed to make room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::life::{Ending, Life, micros};
use super::progress::Progress;

/// How long a connection is idle at least before it has to make room.
const IDLE: Duration = Duration::from_millis(100);

/// How often somebody is looked for who could make room, while nobody can.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long a place is waited for that somebody was asked for, before the next is
/// asked: longer than that one has to say goodbye.
const MAKING_ROOM: Duration = Duration::from_millis(250);

/// See the module.
#[derive(Debug)]
pub struct Connections {
    places: Arc<Semaphore>,
    life: Arc<Life>,
    members: Mutex<Slab<Arc<Progress>>>,
    /// Its receivers are those that are served.
    served: watch::Sender<()>,
    /// Its receivers are those whose socket is open.
    open: watch::Sender<()>,
}

/// A place for one connection; free again when dropped.
#[derive(Debug)]
pub struct Permit {
    connections: Arc<Connections>,
    /// What it was served as before it is served as what it is.
    before: Option<Member>,
    _place: OwnedSemaphorePermit,
    _open: watch::Receiver<()>,
}

impl Permit {
    pub(super) fn life(&self) -> &Arc<Life> {
        &self.connections.life
    }

    /// Makes its connection known as served until what this gives is dropped.
    pub(super) fn enter(&mut self, progress: &Arc<Progress>) -> Member {
        let connections = &self.connections;
        let member = Member {
            key: connections.members().insert(Arc::clone(progress)),
            connections: Arc::clone(connections),
            _served: connections.served.subscribe(),
        };
        self.before = None;
        member
    }

    /// Its connection will be served as something else in a moment: until then it counts as
    /// this, so that the end does not miss it in between.
    pub(super) fn keep(&mut self, member: Member) {
        self.before = Some(member);
    }
}

impl Connections {
    /// At most so many.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            life: Arc::new(Life::new()),
            members: Mutex::default(),
            served: watch::Sender::new(()),
            open: watch::Sender::new(()),
        })
    }

    /// A place, as soon as there is one: where there is none, one idle connection
    /// makes room.
    pub async fn place(self: &Arc<Self>) -> Permit {
        loop {
            let place = match Arc::clone(&self.places).try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => {
                    let wait = match self.make_room() {
                        true => MAKING_ROOM,
                        false => LOOK_AGAIN,
                    };
                    let place = Arc::clone(&self.places).acquire_owned();
                    timeout(wait, place).await.ok().and_then(Result::ok)
                }
            };
            if let Some(place) = place {
                return Permit {
                    connections: Arc::clone(self),
                    before: None,
                    _place: place,
                    _open: self.open.subscribe(),
                };
            }
        }
    }

    /// Has the connection close that has been idle for longest; false where none has
    /// been for long enough.
    pub fn make_room(&self) -> bool {
        let long_ago = self
            .life
            .micros_at(Instant::now())
            .saturating_sub(micros(IDLE));
        let members = self.members();
        let idle = members.iter().filter_map(|(_, member)| {
            let since = member.evictable_since()?;
            (since <= long_ago).then_some((since, member))
        });
        let oldest = idle.min_by_key(|&(since, _)| since);
        if let Some((_, oldest)) = oldest {
            oldest.evict();
        }
        oldest.is_some()
    }

    /// From here on every answer is its connection's last.
    pub fn close(&self) {
        self.turn(Ending::LastAnswers);
    }

    /// Everybody is answered: has those close too that ask nothing, after a moment
    /// for what they may have just sent.
    pub fn end(&self) {
        self.turn(Ending::AllAnswered);
    }

    /// Resolves when none is served any more.
    pub async fn vacated(&self) {
        self.served.closed().await;
    }

    /// Resolves when none is open any more.
    pub async fn closed(&self) {
        self.open.closed().await;
    }

    fn turn(&self, ending: Ending) {
        self.life.turn(ending);
        for (_, member) in self.members().iter() {
            member.task.wake();
        }
    }

    fn members(&self) -> MutexGuard<'_, Slab<Arc<Progress>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is served; over when dropped.
#[derive(Debug)]
pub(super) struct Member {
    connections: Arc<Connections>,
    key: usize,
    _served: watch::Receiver<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.connections.members().try_remove(self.key);
    }
}
