//! What is known of the proxy: the last answer, and the seconds of all answers.
//!
//! Pure. It promises to keep no more than [`SPAN`] seconds and a few, and none of
//! another process.

use std::collections::BTreeMap;

use super::wire::{Live, Second};

/// How many seconds are shown.
pub(super) const SPAN: u64 = crate::observe::live::SECONDS as u64;

/// How many of the newest seconds are asked for again: those may have grown, since
/// answers are put down to the second in which something happened last.
const AGAIN: u64 = 2;

/// What is known.
#[derive(Debug)]
pub(super) struct History {
    pub(super) live: Live,
    seconds: BTreeMap<u64, Second>,
    /// Why the last question had no answer.
    lost: Option<String>,
}

impl History {
    /// From the first answer, which is whole.
    pub(super) fn new(mut live: Live) -> Self {
        let seconds = std::mem::take(&mut live.seconds);
        let mut history = Self {
            live,
            seconds: BTreeMap::new(),
            lost: None,
        };
        history.keep(seconds);
        history
    }

    /// Takes a later answer in.
    pub(super) fn take(&mut self, mut live: Live) {
        // A restart, a clock set back, or another route makes what is known another story.
        let restarted = (live.started - self.live.started).abs() > 1.0;
        let is_set_back = live.now < self.live.now - AGAIN as f64;
        if restarted || is_set_back || live.route != self.live.route {
            *self = Self::new(live);
            return;
        }
        let seconds = std::mem::take(&mut live.seconds);
        self.live = live;
        self.lost = None;
        self.keep(seconds);
    }

    /// There was no answer, for that reason.
    pub(super) fn lose(&mut self, why: String) {
        self.lost = Some(why);
    }

    /// Why there was no answer, if there was none.
    pub(super) fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// The second after which the next answer is to start; none for a whole one, as
    /// after a loss: who answers then may be another process.
    pub(super) fn since(&self) -> Option<u64> {
        let newest = *self.seconds.last_key_value()?.0;
        let known = self.lost.is_none();
        known.then(|| newest.saturating_sub(AGAIN))
    }

    /// The second it is at the proxy.
    pub(super) fn now(&self) -> u64 {
        self.live.now.max(0.0) as u64
    }

    /// The seconds from one to another, both included, in which something happened.
    pub(super) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &Second> {
        let some = (from <= to).then(|| self.seconds.range(from..=to));
        some.into_iter().flatten().map(|(_, second)| second)
    }

    fn keep(&mut self, seconds: Vec<Second>) {
        self.seconds
            .extend(seconds.into_iter().map(|it| (it.t, it)));
        let now = self.now();
        self.seconds
            .retain(|&t, _| t + SPAN > now && t <= now + AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::scenarios::{live, second};

    #[test]
    fn a_second_that_has_grown_replaces_itself() {
        let mut history = History::new(live(1000, vec![second(998, 5), second(1000, 1)]));
        assert_eq!(history.since(), Some(998));
        history.take(live(1001, vec![second(1000, 7), second(1001, 2)]));
        let jobs: Vec<_> = history.between(0, 2000).map(|it| (it.t, it.jobs)).collect();
        assert_eq!(jobs, [(998, 5), (1000, 7), (1001, 2)]);
    }

    #[test]
    fn it_forgets_what_is_too_old_and_what_cannot_be() {
        let mut history = History::new(live(1000, vec![second(900, 1), second(9000, 1)]));
        assert_eq!(history.between(0, 9999).count(), 1);
        history.take(live(1000 + SPAN, vec![second(1000 + SPAN, 1)]));
        assert_eq!(history.between(0, 9999).count(), 1);
        assert_eq!(history.since(), Some(998 + SPAN));
    }

    #[test]
    fn another_process_is_another_story() {
        let mut history = History::new(live(1000, vec![second(998, 5)]));
        let mut other = live(1003, vec![second(1002, 1)]);
        other.started += 900.0;
        history.take(other);
        assert_eq!(history.between(0, 2000).count(), 1);
    }

    #[test]
    fn another_route_is_another_story() {
        let mut history = History::new(live(1000, vec![second(998, 5)]));
        let mut other = live(1001, vec![second(1000, 1), second(1001, 1)]);
        other.route = Some("predict".to_owned());
        history.take(other);
        assert_eq!(history.between(0, 2000).count(), 2);
    }

    #[test]
    fn after_a_loss_everything_is_asked_for() {
        let mut history = History::new(live(1000, vec![second(998, 5)]));
        history.lose("refused".to_owned());
        assert_eq!((history.since(), history.lost()), (None, Some("refused")));
        history.take(live(1001, vec![second(998, 5)]));
        assert_eq!((history.since(), history.lost()), (Some(996), None));
        assert_eq!(History::new(live(1000, vec![])).since(), None);
    }
}
