//! What somebody does next: with a new item, or one that there is.

use rand::RngExt;
use rand::rngs::StdRng;

use super::Ledger;
use super::item::{Deleted, Item, Way};
use super::state::Task;
use crate::streams::STREAMS;

impl Ledger {
    /// A new item, which its caller is busy with.
    pub fn make(&self, rng: &mut StdRng) -> Task {
        let way = match rng.random_range(0..100) {
            0..10 => Way::Waiting,
            10..40 => Way::Later,
            _ => Way::LaterWithKey,
        };
        let padding = match rng.random_range(0..100) {
            0..90 => rng.random_range(0..200),
            90..99 => rng.random_range(200..10_000),
            _ => rng.random_range(10_000..100_000),
        };
        let stream = rng.random_ratio(1, 3).then(|| rng.random_range(0..STREAMS));
        let mut state = self.state();
        let item = Item {
            way,
            stream: stream.filter(|_| way != Way::Waiting),
            padding,
            born: state.life,
            handle: None,
            unknown: 0,
            again: 0,
            busy: true,
            deleted: Deleted::No,
            answer: None,
            calls: Vec::new(),
            story: Vec::new(),
        };
        state.items.push(item);
        let item = state.items.len() - 1;
        state.task(item)
    }

    /// One of the latest items that somebody else is not busy with, to be handed in again:
    /// those first of which nobody knows.
    pub fn take_to_hand_in_again(&self, rng: &mut StdRng) -> Option<Task> {
        self.take(rng, |item| {
            let doubtful = item.handle.is_none() && item.unknown > 0;
            item.way == Way::LaterWithKey
                && item.deleted == Deleted::No
                && (doubtful || item.handle.is_some() && item.again < 3)
        })
    }

    /// All that were handed in with a key and of which nobody knows.
    pub fn take_all_doubtful(&self) -> Vec<Task> {
        let mut state = self.state();
        let doubtful = |item: &Item| {
            item.way == Way::LaterWithKey && item.handle.is_none() && item.unknown > 0
        };
        let all = state.items.iter().enumerate();
        let all: Vec<_> = all.filter(|(_, it)| doubtful(it)).map(|it| it.0).collect();
        for item in &all {
            state.items[*item].busy = true;
        }
        all.into_iter().map(|item| state.task(item)).collect()
    }

    /// One of the latest, to be deleted: none that is still being handed in, for all that
    /// is known, since that would make it anew.
    pub fn take_to_delete(&self, rng: &mut StdRng) -> Option<Task> {
        let task = self.take(rng, |item| {
            item.handle.is_some() && item.unknown == 0 && item.deleted == Deleted::No
        })?;
        let mut state = self.state();
        state.items[task.item].deleted = Deleted::Perhaps;
        state.tell(self.started, task.item, "to be deleted".to_owned());
        Some(task)
    }

    fn take(&self, rng: &mut StdRng, wanted: impl Fn(&Item) -> bool) -> Option<Task> {
        let mut state = self.state();
        let latest = state.items.len().saturating_sub(300);
        for _ in 0..8 {
            let item = rng.random_range(latest..state.items.len().max(latest + 1));
            let Some(it) = state.items.get_mut(item) else {
                continue;
            };
            if !it.busy && wanted(it) {
                it.busy = true;
                return Some(state.task(item));
            }
        }
        None
    }

    /// One that has a handle, to be looked at.
    pub fn look_at(&self, rng: &mut StdRng) -> Option<Task> {
        let mut state = self.state();
        for _ in 0..8 {
            let count = state.items.len();
            let latest = match rng.random_ratio(1, 4) {
                true => 0,
                false => count.saturating_sub(100),
            };
            let item = rng.random_range(latest..count.max(latest + 1));
            if state.items.get(item).is_some_and(|it| it.handle.is_some()) {
                return Some(state.task(item));
            }
        }
        None
    }

    /// All that have a handle.
    pub fn all_accepted(&self) -> Vec<Task> {
        let mut state = self.state();
        let all = 0..state.items.len();
        let all: Vec<_> = all.filter(|it| state.items[*it].handle.is_some()).collect();
        all.into_iter().map(|item| state.task(item)).collect()
    }
}
