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
    most: Mutex<Most>,
    life: Arc<Life>,
    members: Mutex<Slab<Arc<Progress>>>,
    /// Its receivers are those that are served.
    served: watch::Sender<()>,
    /// Its receivers are those whose socket is open.
    open: watch::Sender<()>,
}

/// How many there may be.
#[derive(Debug)]
struct Most {
    places: usize,
    /// How many more there are than that: as many places are not free again when they are
    /// left.
    over: usize,
}

/// A place for one connection; free again when dropped.
#[derive(Debug)]
pub struct Permit {
    connections: Arc<Connections>,
    /// What it was served as before it is served as what it is.
    before: Option<Member>,
    place: Option<OwnedSemaphorePermit>,
    _open: watch::Receiver<()>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else {
            return;
        };
        let mut most = self.connections.most();
        if most.over > 0 {
            most.over -= 1;
            place.forget();
        }
    }
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
            places: Arc::new(Semaphore::new(bounded(most))),
            most: Mutex::new(Most {
                places: bounded(most),
                over: 0,
            }),
            life: Arc::new(Life::new()),
            members: Mutex::default(),
            served: watch::Sender::new(()),
            open: watch::Sender::new(()),
        })
    }

    /// At most so many from here on. Nobody loses a place: where more are connected, those
    /// that come wait until enough have left.
    pub fn set_most(&self, most: usize) {
        let now = bounded(most);
        let mut most = self.most();
        let before = std::mem::replace(&mut most.places, now);
        // Those that are not to be free again are first, then free ones.
        let more = now.saturating_sub(before);
        let paid = more.min(most.over);
        most.over -= paid;
        self.places.add_permits(more - paid);
        let less = before.saturating_sub(now);
        most.over += less - self.places.forget_permits(less);
    }

    fn most(&self) -> MutexGuard<'_, Most> {
        // Nothing panics while it is held.
        self.most.lock().unwrap_or_else(PoisonError::into_inner)
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
                    place: Some(place),
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

fn bounded(most: usize) -> usize {
    most.min(Semaphore::MAX_PERMITS)
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

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::sleep;

    use super::*;

    /// Whether a place is had within a moment; it is kept.
    async fn is_had(connections: &Arc<Connections>, had: &mut Vec<Permit>) -> bool {
        let place = pin!(connections.place());
        let place = timeout(Duration::from_millis(1), place).await;
        let is_had = place.is_ok();
        had.extend(place);
        is_had
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_a_place_keeps_it_whatever_there_may_be() {
        let connections = Connections::new(2);
        let mut had = Vec::new();
        assert!(is_had(&connections, &mut had).await);
        assert!(is_had(&connections, &mut had).await);
        assert!(!is_had(&connections, &mut had).await);
        connections.set_most(4);
        assert!(is_had(&connections, &mut had).await);
        connections.set_most(1);
        assert_eq!(had.len(), 3);
        for left in [2, 1] {
            assert!(!is_had(&connections, &mut had).await, "{left}");
            had.pop();
        }
        assert!(!is_had(&connections, &mut had).await, "one is connected");
        had.pop();
        assert!(is_had(&connections, &mut had).await);
        assert!(!is_had(&connections, &mut had).await);
        // More again before those have left that were too many.
        connections.set_most(3);
        assert!(is_had(&connections, &mut had).await);
        connections.set_most(1);
        connections.set_most(2);
        assert!(!is_had(&connections, &mut had).await, "two are connected");
        had.pop();
        assert!(is_had(&connections, &mut had).await);
        assert!(!is_had(&connections, &mut had).await);
        connections.set_most(usize::MAX);
        connections.set_most(2);
        assert!(!is_had(&connections, &mut had).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_place_has_it_once_there_may_be_more() {
        let connections = Connections::new(1);
        let _first = connections.place().await;
        let waits = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { drop(connections.place().await) }
        });
        sleep(Duration::from_secs(1)).await;
        assert!(!waits.is_finished());
        connections.set_most(2);
        waits.await.unwrap();
    }
}
