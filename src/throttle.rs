//! Keeps lines of the log that others can provoke to a few in a time.
//!
//! A pure value, told the time: so many lines are told one by one in a window of
//! time that the first of them opens; of the others it keeps the counts, by what
//! they are about, and hands them out once the window is over. [`LogThrottle`] is one
//! for lines of one kind, for threads to share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Bounds how often things are told.
#[derive(Clone, Debug)]
pub struct Throttle<K> {
    most: u32,
    span: Duration,
    /// When the window ends; `None` before the first.
    ends: Option<Instant>,
    told: u32,
    untold: Counts<K>,
}

/// How often each thing happened that was not told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts<K>(BTreeMap<K, u64>);

/// What is to be done about one line.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission<K> {
    /// It is told, and before it what was not told in the last window, if anything.
    Told(Counts<K>),
    /// It is counted. The first in a window says when that ends, for somebody to
    /// [`take`](Throttle::take) the counts then.
    Counted(Option<Instant>),
}

impl<K: Ord> Throttle<K> {
    /// At most `most` lines within `span`.
    pub fn new(most: u32, span: Duration) -> Self {
        Self {
            most,
            span,
            ends: None,
            told: 0,
            untold: Counts(BTreeMap::new()),
        }
    }

    /// Whether a line about `kind` is told now.
    pub fn admit(&mut self, kind: K, now: Instant) -> Admission<K> {
        if self.ends.is_none_or(|ends| ends <= now) {
            self.ends = Some(now + self.span);
            self.told = 1;
            return Admission::Told(self.take_all());
        }
        if self.told < self.most {
            self.told += 1;
            return Admission::Told(Counts(BTreeMap::new()));
        }
        let first = self.untold.is_empty();
        self.count(kind);
        Admission::Counted(self.ends.filter(|_| first))
    }

    /// Whether a line would be told now.
    fn has_room(&self, now: Instant) -> bool {
        self.told < self.most || self.ends.is_none_or(|ends| ends <= now)
    }

    /// A line is not told, whatever room there is.
    fn count(&mut self, kind: K) {
        *self.untold.0.entry(kind).or_default() += 1;
    }

    /// What was not told in a window that is over.
    pub fn take(&mut self, now: Instant) -> Counts<K> {
        match self.ends {
            Some(ends) if ends <= now => self.take_all(),
            _ => Counts(BTreeMap::new()),
        }
    }

    /// What was not told so far.
    pub fn take_all(&mut self) -> Counts<K> {
        Counts(std::mem::take(&mut self.untold.0))
    }
}

impl<K> Counts<K> {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same by a part of what they are about.
    pub fn by<P: Ord>(&self, part: impl Fn(&K) -> P) -> Counts<P> {
        let mut by = BTreeMap::new();
        for (kind, count) in &self.0 {
            *by.entry(part(kind)).or_default() += count;
        }
        Counts(by)
    }

    /// How many those are.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// Bounds how often lines of one kind are told.
#[derive(Debug)]
pub struct LogThrottle {
    own: Mutex<Throttle<()>>,
    /// What bounds lines of several kinds together.
    all: Option<Arc<LogThrottle>>,
}

impl LogThrottle {
    /// The window of time in which lines are counted.
    pub const SPAN: Duration = Duration::from_secs(10);

    /// At most `most` lines within [`SPAN`](Self::SPAN).
    pub fn new(most: u32) -> Self {
        Self {
            own: Mutex::new(Throttle::new(most, Self::SPAN)),
            all: None,
        }
    }

    /// The same, and no line that is one too many for `all`. It may be shared.
    #[must_use]
    pub fn within(self, all: &Arc<Self>) -> Self {
        Self {
            all: Some(Arc::clone(all)),
            ..self
        }
    }

    /// Whether a line is told now: with the number of those that were not, since the
    /// last.
    pub fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        // Nothing panics while it is held.
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let may = own.has_room(now) && self.all.as_ref().is_none_or(|all| all.admit().is_some());
        if !may {
            own.count(());
            return None;
        }
        match own.admit((), now) {
            Admission::Told(untold) => Some(untold.total() + own.take_all().total()),
            Admission::Counted(_) => None,
        }
    }
}

/// One line within [`SPAN`](LogThrottle::SPAN).
impl Default for LogThrottle {
    fn default() -> Self {
        Self::new(1)
    }
}

/// As `upstream-timeout=3 upstream-error=12`.
impl<K: fmt::Display> fmt::Display for Counts<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (kind, count)) in self.0.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{kind}={count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    #[test]
    fn so_many_are_told_and_the_others_counted() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut throttle = Throttle::new(2, SPAN);
        let told = |admission| match admission {
            Admission::Told(counts) => Some(counts.to_string()),
            Admission::Counted(_) => None,
        };
        assert_eq!(told(throttle.admit('a', later(0))), Some(String::new()));
        assert_eq!(told(throttle.admit('b', later(1))), Some(String::new()));
        // Only the first of them asks for the window's end.
        assert_eq!(
            throttle.admit('b', later(2)),
            Admission::Counted(Some(later(10)))
        );
        assert_eq!(throttle.admit('a', later(3)), Admission::Counted(None));
        assert_eq!(throttle.admit('b', later(9)), Admission::Counted(None));
        assert!(throttle.take(later(9)).is_empty());
        let counts = throttle.take(later(10));
        assert_eq!((counts.to_string(), counts.total()), ("a=1 b=2".into(), 3));
        assert_eq!(counts.by(char::is_ascii).to_string(), "true=3");
        assert!(throttle.take(later(10)).is_empty());
        assert_eq!(told(throttle.admit('a', later(10))), Some(String::new()));
    }

    #[test]
    fn counts_that_were_not_taken_are_told_with_the_next() {
        let start = Instant::now();
        let mut throttle = Throttle::new(1, SPAN);
        throttle.admit('a', start);
        throttle.admit('a', start);
        throttle.admit('c', start);
        let Admission::Told(counts) = throttle.admit('b', start + SPAN) else {
            panic!("a new window");
        };
        assert_eq!(counts.to_string(), "a=1 c=1");
    }

    #[test]
    fn a_flood_is_as_many_lines_as_windows() {
        let start = Instant::now();
        let mut throttle = Throttle::new(10, SPAN);
        let flood = (0..60_000).map(|ms| start + Duration::from_millis(ms));
        let told = flood.filter(|now| matches!(throttle.admit((), *now), Admission::Told(_)));
        assert_eq!(told.count(), 6 * 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_kind_is_one_line_with_the_count_of_the_others() {
        let throttle = LogThrottle::default();
        let told = [(); 3].map(|()| throttle.admit());
        assert_eq!(told, [Some(0), None, None]);
        tokio::time::advance(LogThrottle::SPAN).await;
        assert_eq!(throttle.admit(), Some(2));
        assert_eq!(throttle.admit(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_of_several_kinds_are_bounded_together() {
        let all = Arc::new(LogThrottle::new(3));
        let kinds = [(); 10].map(|()| LogThrottle::new(2).within(&all));
        let told = || {
            kinds
                .iter()
                .filter_map(LogThrottle::admit)
                .collect::<Vec<_>>()
        };
        assert_eq!([told().len(), told().len()], [3, 0]);
        tokio::time::advance(LogThrottle::SPAN).await;
        // Those that were told know of one more, and the first of the others of two.
        assert_eq!(told(), [1, 1, 1]);
        tokio::time::advance(LogThrottle::SPAN).await;
        let last = kinds.last().unwrap();
        assert_eq!(last.admit(), Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_one_too_many_for_all_is_told_with_the_next() {
        let all = Arc::new(LogThrottle::new(1));
        let [one, other] = [(); 2].map(|()| LogThrottle::new(5).within(&all));
        assert_eq!(
            [one.admit(), other.admit(), other.admit()],
            [Some(0), None, None]
        );
        tokio::time::advance(LogThrottle::SPAN).await;
        assert_eq!([other.admit(), other.admit()], [Some(2), None]);
    }
}
