//! The places for batches in flight, and the distance between their departures.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Slots {
    pub max_in_flight: usize,
    pub in_flight: usize,
    /// Those of them that are halves of a batch that was split.
    halves: usize,
    /// The most that were in flight since somebody set this to how many there are.
    pub most_in_flight: usize,
    saturated_since: Option<Instant>,
    saturated_before: Duration,
    last_left: Option<Instant>,
    /// What that was before, in case the last has not been sent.
    before_last: Option<Instant>,
}

impl Slots {
    pub fn new(max_in_flight: usize) -> Self {
        Self {
            max_in_flight: max_in_flight.max(1),
            in_flight: 0,
            halves: 0,
            most_in_flight: 0,
            saturated_since: None,
            saturated_before: Duration::ZERO,
            last_left: None,
            before_last: None,
        }
    }

    pub fn any_free(&self) -> bool {
        self.in_flight < self.max_in_flight
    }

    /// Whether one is free, and no other.
    pub fn is_last_free(&self) -> bool {
        self.in_flight + 1 == self.max_in_flight
    }

    /// Whether a half of a batch may have a slot that is free: they leave one to
    /// others, where there is more than one.
    pub fn halves_may(&self) -> bool {
        self.halves < self.max_in_flight.saturating_sub(1).max(1)
    }

    /// A batch leaves, as a half of one that was split or not.
    pub fn occupy(&mut self, half: bool, now: Instant) {
        self.before_last = self.last_left.replace(now);
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
        self.halves += usize::from(half);
        self.note_saturation(now);
    }

    pub fn free(&mut self, half: bool, now: Instant) {
        self.in_flight -= 1;
        self.halves -= usize::from(half);
        self.note_saturation(now);
    }

    pub fn set_max(&mut self, limit: usize, now: Instant) {
        self.max_in_flight = limit.max(1);
        self.note_saturation(now);
    }

    /// When the last batch left.
    pub fn last_left(&self) -> Option<Instant> {
        self.last_left
    }

    /// The batch that left last has not been sent: the next need not keep its
    /// distance from it.
    pub fn last_was_not_sent(&mut self) {
        self.last_left = self.before_last;
    }

    /// How long all slots were taken.
    pub fn saturated(&self, now: Instant) -> Duration {
        let since = self.saturated_since;
        let current = since.map(|since| now.saturating_duration_since(since));
        self.saturated_before + current.unwrap_or_default()
    }

    fn note_saturation(&mut self, now: Instant) {
        match (self.saturated_since, self.any_free()) {
            (None, false) => self.saturated_since = Some(now),
            (Some(since), true) => {
                self.saturated_before += now.saturating_duration_since(since);
                self.saturated_since = None;
            }
            _ => {}
        }
    }
}
