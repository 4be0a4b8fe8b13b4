//! What the recent past says: how often items arrive, how fast they leave.
//!
//! Pure values, told the time by their caller.

use std::time::Duration;

use tokio::time::Instant;

use crate::window::Window;

/// How long it usually takes until company comes, as a moving average.
///
/// Company is the next item of another source. What one source sends after its
/// last answer is no company for itself, however soon it comes.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// Longer gaps count as this long: a pause says that nobody came, not that
    /// the next stream of arrivals will be slow.
    longest: Duration,
    last: Option<(Instant, Option<u64>)>,
    gap: Option<Duration>,
}

impl Arrivals {
    /// The weight of the newest gap in the average is one in this many.
    const SMOOTHING: u32 = 5;

    pub fn new(longest: Duration) -> Self {
        Self {
            longest,
            last: None,
            gap: None,
        }
    }

    /// Notes an arrival, and where it came from, if that is known.
    pub fn record(&mut self, now: Instant, source: Option<u64>) {
        if let Some((last, last_source)) = self.last {
            let newest = if source.is_some() && source == last_source {
                self.longest
            } else {
                now.saturating_duration_since(last).min(self.longest)
            };
            self.gap = Some(match self.gap {
                Some(usual) => (usual * (Self::SMOOTHING - 1) + newest) / Self::SMOOTHING,
                None => newest,
            });
        }
        self.last = Some((now, source));
    }

    /// The usual gap; `None` before the second arrival.
    pub fn gap(&self) -> Option<Duration> {
        self.gap
    }

    pub fn last(&self) -> Option<Instant> {
        self.last.map(|(last, _)| last)
    }
}

/// How fast items left the queue lately.
#[derive(Debug)]
pub(crate) struct Departures {
    last: Instant,
    left: Window<10>,
}

impl Departures {
    pub fn new(now: Instant) -> Self {
        Self {
            last: now,
            left: Window::new(now),
        }
    }

    pub fn record(&mut self, items: usize, now: Instant) {
        self.last = now;
        self.left.add(items as u64, now);
    }

    /// When there will be room for one more, in whole seconds from 1 to 60, if the
    /// queue goes on draining as it did. Where nothing left lately it is the time the
    /// queue has stood still, with something in it since `waiting`: what has stood that
    /// long will stand as long.
    pub fn room_in(&mut self, waiting: Option<Instant>, now: Instant) -> Duration {
        let left = self.left.sum(now);
        let seconds = if left > 0 {
            self.left.seconds(now).div_ceil(left)
        } else {
            let still = waiting.map_or(now, |waiting| waiting.max(self.last));
            now.saturating_duration_since(still).as_secs()
        };
        Duration::from_secs(seconds.clamp(1, 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_usual_gap_follows_the_arrivals_and_forgets_pauses() {
        let mut now = Instant::now();
        let mut arrivals = Arrivals::new(20 * MS);
        arrivals.record(now, None);
        assert_eq!(arrivals.gap(), None);
        for _ in 0..50 {
            now += MS;
            arrivals.record(now, None);
        }
        assert_eq!(arrivals.gap(), Some(MS));
        now += Duration::from_secs(3600);
        arrivals.record(now, None);
        assert!(arrivals.gap() < Some(5 * MS));
        for _ in 0..50 {
            now += 100 * MS;
            arrivals.record(now, None);
        }
        let gap = arrivals.gap().unwrap();
        assert!(gap > 19 * MS && gap <= 20 * MS, "{gap:?}");
    }

    #[test]
    fn one_source_is_no_company_for_itself() {
        let mut now = Instant::now();
        let mut arrivals = Arrivals::new(20 * MS);
        for _ in 0..50 {
            now += MS;
            arrivals.record(now, Some(1));
        }
        assert_eq!(arrivals.gap(), Some(20 * MS));
        for source in 0..50 {
            now += MS;
            arrivals.record(now, Some(source % 2));
        }
        assert!(arrivals.gap() < Some(2 * MS));
    }

    #[test]
    fn room_comes_at_the_rate_of_the_last_ten_seconds() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut left = Departures::new(start);
        assert_eq!(left.room_in(None, start), Duration::from_secs(1));
        assert_eq!(left.room_in(Some(start), at(7)), Duration::from_secs(7));
        assert_eq!(left.room_in(Some(at(5)), at(7)), Duration::from_secs(2));
        assert_eq!(left.room_in(None, at(7)), Duration::from_secs(1));
        assert_eq!(
            Departures::new(start).room_in(Some(start), at(3600)),
            Duration::from_secs(60)
        );
        for second in 100..120 {
            left.record(50, at(second));
        }
        assert_eq!(left.room_in(Some(start), at(120)), Duration::from_secs(1));
        left.record(1, at(200));
        left.record(1, at(205));
        assert_eq!(left.room_in(Some(start), at(205)), Duration::from_secs(5));
        assert_eq!(left.room_in(Some(start), at(211)), Duration::from_secs(10));
        assert_eq!(left.room_in(Some(start), at(217)), Duration::from_secs(12));
    }
}
