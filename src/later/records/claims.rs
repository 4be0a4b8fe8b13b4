//! Jobs are claimed, sent, and wait again.

use super::Records;
use super::backlog::Full;
use super::entry::{ClaimedRecord, Entry, Job};
use crate::job::{Handle, RouteName, State};
use crate::later::backlog::{Claim, Waiting};

impl<J: Job, A: Clone> Records<J, A> {
    /// Claims what is asked for of what waits: it is sent from then on.
    pub fn claim(&mut self, claim: &Claim) -> Vec<ClaimedRecord> {
        let full = Full {
            items: claim.max_items as u64,
            bytes: claim.max_bytes as u64,
        };
        let Some(route) = self.indexes.routes.named(&claim.route) else {
            return Vec::new();
        };
        let (mut items, mut bytes) = (0_u64, 0_u64);
        let fits = |handle: &Handle| {
            let Some(entry) = self.present.get(handle) else {
                return false;
            };
            let is_first = items == 0;
            // One without items is one all the same.
            items += entry
                .job
                .claimable()
                .map_or(1, |it| u64::from(it.items.max(1)));
            bytes = bytes.saturating_add(entry.bytes as u64);
            is_first || (items <= full.items && bytes <= full.bytes)
        };
        let chosen = route.backlog.choose(claim.which, full);
        let chosen: Vec<_> = chosen.take_while(fits).collect();
        let number = self.next_claim();
        let mut claimed = Vec::with_capacity(chosen.len());
        for handle in chosen {
            self.change(&handle, |entry| {
                let deadline = entry.until;
                if let Some(claimable) = entry.job.claimable_mut() {
                    claimable.claim = number;
                    entry.state = State::Sent;
                    claimed.push(ClaimedRecord {
                        handle,
                        deadline,
                        interrupted: claimable.interrupted,
                    });
                }
            });
        }
        claimed
    }

    /// Their jobs are about to be sent; those that are not to be: gone, finished, or
    /// claimed by nobody where jobs are claimed.
    pub fn sent(&mut self, mut handles: Vec<Handle>) -> Vec<Handle> {
        let number = self.next_claim();
        handles.retain(|handle| {
            let goes = self.unfinished(handle, |entry| {
                if let Some(claimable) = entry.job.claimable_mut() {
                    if claimable.claim == 0 {
                        return false;
                    }
                    if entry.state == State::Queued {
                        claimable.claim = number;
                    }
                }
                entry.state = State::Sent;
                true
            });
            goes != Some(true)
        });
        handles
    }

    /// A job waits for its next attempt. Where jobs are claimed it is still whose it was.
    pub fn queued_again(&mut self, handle: &Handle) {
        self.unfinished(handle, |entry| {
            if entry.job.claimable().is_none_or(|it| it.claim > 0) {
                entry.state = State::Queued;
            }
        });
    }

    /// A job that was claimed waits to be claimed again.
    pub fn release(&mut self, handle: &Handle) {
        self.unfinished(handle, |entry| {
            if let Some(claimable) = entry.job.claimable_mut()
                && claimable.claim > 0
            {
                claimable.claim = 0;
                entry.state = State::Queued;
            }
        });
    }

    /// Whoever had claimed a job is gone: it waits again, and counts as interrupted if it
    /// may have been sent.
    pub fn abandon(&mut self, handle: &Handle) {
        self.unfinished(handle, |entry| {
            let was_sent = entry.state == State::Sent;
            if let Some(claimable) = entry.job.claimable_mut()
                && claimable.claim > 0
            {
                claimable.claim = 0;
                claimable.interrupted += u32::from(was_sent);
                entry.state = State::Queued;
            }
        });
    }

    /// What waits of a route.
    pub fn waiting(&self, route: &RouteName) -> Waiting {
        let route = self.indexes.routes.named(route);
        route.map(|it| it.backlog.waiting()).unwrap_or_default()
    }

    /// The routes of which something waits.
    pub fn waited_for(&self) -> Vec<RouteName> {
        let routes = self.indexes.routes.iter();
        let waited_for = routes.filter(|it| it.backlog.oldest().is_some());
        waited_for.map(|it| it.name.clone()).collect()
    }

    fn next_claim(&mut self) -> u64 {
        self.claims += 1;
        self.claims
    }

    fn unfinished<T>(
        &mut self,
        handle: &Handle,
        change: impl FnOnce(&mut Entry<J, A>) -> T,
    ) -> Option<T> {
        let entry = self.present.get(handle);
        entry.filter(|it| it.answer.is_none())?;
        self.change(handle, change)
    }
}
