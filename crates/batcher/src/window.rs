//! How much happened in each of the last seconds: a pure value, told the time.
//!
//! For rules that speak of what happened lately, such as when there will be room in a
//! queue. It knows nothing of batches, and is public for those who keep such rules of
//! their own beside a batcher, such as how often a batch may be sent again.

use tokio::time::Instant;

/// Counts of the current second and of the `SECONDS - 1` before it.
#[derive(Clone, Debug)]
pub struct Window<const SECONDS: usize> {
    start: Instant,
    /// The second, counted from `start`, that is being counted.
    newest: u64,
    counts: [u64; SECONDS],
    sum: u64,
}

impl<const SECONDS: usize> Window<SECONDS> {
    /// A window in which nothing has happened yet.
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            newest: 0,
            counts: [0; SECONDS],
            sum: 0,
        }
    }

    /// `count` more have happened.
    pub fn add(&mut self, count: u64, now: Instant) {
        self.roll(now);
        self.counts[Self::slot(self.newest)] += count;
        self.sum += count;
    }

    /// How many happened within the window.
    pub fn sum(&mut self, now: Instant) -> u64 {
        self.roll(now);
        self.sum
    }

    /// How many seconds the window covers by now, from 1 to `SECONDS`: it grows
    /// while it is new.
    pub fn seconds(&self, now: Instant) -> u64 {
        (self.second(now) + 1).min(SECONDS as u64)
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs()
    }

    /// Forgets what is too long ago.
    fn roll(&mut self, now: Instant) {
        let second = self.second(now);
        let passed = second.saturating_sub(self.newest).min(SECONDS as u64);
        for ago in 0..passed {
            let forgotten = std::mem::take(&mut self.counts[Self::slot(second - ago)]);
            self.sum -= forgotten;
        }
        self.newest = self.newest.max(second);
    }

    fn slot(second: u64) -> usize {
        (second % SECONDS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_too_long_ago_is_forgotten() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut window = Window::<3>::new(start);
        assert_eq!((window.sum(start), window.seconds(start)), (0, 1));
        window.add(1, at(0));
        window.add(10, at(1));
        window.add(100, at(2));
        assert_eq!((window.sum(at(2)), window.seconds(at(2))), (111, 3));
        assert_eq!(window.sum(at(3)), 110);
        // What comes late counts for the newest second.
        window.add(1000, at(1));
        assert_eq!(window.sum(at(3)), 1110);
        assert_eq!(window.sum(at(5)), 1000);
        assert_eq!((window.sum(at(6)), window.seconds(at(6))), (0, 3));
        window.add(7, at(1_000_000));
        assert_eq!(window.sum(at(1_000_001)), 7);
    }
}
