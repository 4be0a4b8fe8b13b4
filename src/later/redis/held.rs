//! The jobs that this process has claimed: by which token, and for how long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::job::Handle;
use crate::later::record::Millis;

/// How many leases after its own has run out a job is forgotten that is not this process's
/// any more, and of which no answer came.
const FORGOTTEN_AFTER: u64 = 4;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<HashMap<Handle, Claim>>);

#[derive(Debug)]
struct Claim {
    token: Arc<str>,
    /// The end of the lease, by this process's clock, which is asked before Redis is: it has
    /// run out here first.
    until: Millis,
    standing: Standing,
}

/// How a claimed job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Redis has it as sent, and it was not since.
    Fresh,
    /// It was, or it waits for another attempt.
    Sent,
    /// Redis is asked to have it as sent.
    Asked,
    /// It is somebody else's, or nobody's.
    Gone,
}

/// What is known of jobs that are about to be sent.
pub(super) struct ToSend {
    /// They are not to be.
    pub gone: Vec<Handle>,
    /// Redis has to be asked.
    pub doubtful: Vec<Handle>,
}

impl Held {
    /// Jobs were claimed.
    pub fn claimed(&self, handles: impl Iterator<Item = Handle>, token: &str, until: Millis) {
        let token: Arc<str> = token.into();
        let claim = |handle| {
            let claim = Claim {
                token: Arc::clone(&token),
                until,
                standing: Standing::Fresh,
            };
            (handle, claim)
        };
        self.lock().extend(handles.map(claim));
    }

    /// Sends those whose claim is a promise until `until`, and tells of the others.
    pub fn send(&self, handles: &[Handle], until: Millis) -> ToSend {
        let (mut gone, mut doubtful) = (Vec::new(), Vec::new());
        let mut held = self.lock();
        for handle in handles {
            match held.get_mut(handle) {
                Some(claim) if claim.standing == Standing::Gone => gone.push(*handle),
                Some(claim) if claim.standing == Standing::Fresh && claim.until >= until => {
                    claim.standing = Standing::Sent;
                }
                Some(claim) => {
                    claim.standing = Standing::Asked;
                    doubtful.push(*handle);
                }
                None => doubtful.push(*handle),
            }
        }
        ToSend { gone, doubtful }
    }

    /// Redis is told that they wait for another attempt: it has to be asked before that.
    pub fn pause(&self, handles: &[Handle]) {
        let mut held = self.lock();
        for handle in handles {
            if let Some(claim) = held.get_mut(handle)
                && claim.standing != Standing::Gone
            {
                claim.standing = Standing::Sent;
            }
        }
    }

    /// By which token each was claimed; nothing for those that were not.
    pub fn tokens(&self, handles: &[Handle]) -> Vec<Arc<str>> {
        let held = self.lock();
        let token = |handle| held.get(handle).map(|it| Arc::clone(&it.token));
        handles
            .iter()
            .map(|it| token(it).unwrap_or_default())
            .collect()
    }

    /// Redis has renewed the leases of these but for those that are gone, and has them as
    /// sent, if it was asked to. Where nobody has waited for that, since callers were among
    /// their batch, it counts when they are to be sent the next time.
    pub fn renewed(&self, handles: &[Handle], gone: &[Handle], until: Millis, is_sent: bool) {
        let mut held = self.lock();
        for handle in handles.iter().filter(|it| !gone.contains(it)) {
            if let Some(claim) = held.get_mut(handle) {
                claim.until = claim.until.max(until);
                if is_sent && claim.standing == Standing::Asked {
                    claim.standing = Standing::Fresh;
                }
            }
        }
        for handle in gone {
            if let Some(claim) = held.get_mut(handle) {
                claim.standing = Standing::Gone;
            }
        }
    }

    /// They are not this process's any more: deleted, or claimed by others.
    pub fn gone(&self, handles: &[Handle]) {
        let mut held = self.lock();
        for handle in handles {
            if let Some(claim) = held.get_mut(handle) {
                claim.standing = Standing::Gone;
            }
        }
    }

    /// They are done with.
    pub fn done(&self, handles: impl Iterator<Item = Handle>) {
        let mut held = self.lock();
        handles.for_each(|it| drop(held.remove(&it)));
    }

    /// Those whose leases end before `before`; what nobody will ask for is forgotten.
    pub fn due(&self, before: Millis, now: Millis, lease: Millis) -> Vec<Handle> {
        let mut held = self.lock();
        let forgotten = FORGOTTEN_AFTER.saturating_mul(lease);
        held.retain(|_, it| {
            it.standing != Standing::Gone || it.until.saturating_add(forgotten) > now
        });
        let due = held
            .iter()
            .filter(|(_, it)| it.standing != Standing::Gone && it.until < before);
        due.map(|it| *it.0).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Handle, Claim>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_has_as_sent_goes_once_without_asking() {
        let held = Held::default();
        let one = [Handle::new(1).unwrap()];
        let asks = |until| {
            let ToSend { gone, doubtful } = held.send(&one, until);
            assert_eq!(gone, []);
            doubtful == one
        };
        held.claimed(one.into_iter(), "token", 100);
        assert!(!asks(100));
        // It goes a second time, which is for Redis to say, and then as it has said.
        assert!(asks(100));
        held.renewed(&one, &[], 200, true);
        assert!(!asks(200));
        assert!(asks(200));
        held.renewed(&one, &[], 300, true);
        // The lease may run out meanwhile.
        assert!(asks(301));
        // What Redis says late is not about what came after.
        held.pause(&one);
        held.renewed(&one, &[], 400, true);
        assert!(asks(400));
        held.renewed(&one, &[], 500, false);
        assert!(asks(500));
        held.renewed(&one, &one, 600, true);
        assert_eq!(held.send(&one, 600).gone, one);
    }
}
