//! The time of records: the wall clock as it was when it was first asked, and from there
//! on the one that only goes forward. What somebody does to the wall clock changes no
//! record's time.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::record::Millis;

/// One moment, by both clocks.
struct Anchor {
    instant: Instant,
    millis: Millis,
}

static ANCHOR: LazyLock<Anchor> = LazyLock::new(|| Anchor {
    instant: Instant::from_std(std::time::Instant::now()),
    millis: millis(since_the_epoch()),
});

/// The time now, in milliseconds since the epoch.
pub fn now() -> Millis {
    let (now, anchor) = (Instant::now(), &*ANCHOR);
    match now.checked_duration_since(anchor.instant) {
        Some(since) => anchor.millis + millis(since),
        None => anchor.millis - millis(anchor.instant - now),
    }
}

/// The same moment by the clock that tasks sleep by.
pub fn instant_at(time: Millis) -> Instant {
    let (anchor, between) = (
        &*ANCHOR,
        Duration::from_millis(time.abs_diff(ANCHOR.millis)),
    );
    let instant = match time >= anchor.millis {
        true => anchor.instant.checked_add(between),
        false => anchor.instant.checked_sub(between),
    };
    // Before the first moment that the clock knows, or after the last.
    instant.unwrap_or_else(Instant::now)
}

/// Since the epoch, by the wall clock as it is.
pub(super) fn since_the_epoch() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

/// In milliseconds.
pub(super) fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// How many milliseconds it is from one time to another one.
pub(super) fn between(from: Millis, to: Millis) -> i128 {
    i128::from(to) - i128::from(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_goes_as_tasks_sleep() {
        let before = now();
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(now(), before + 1500);
        let later = instant_at(now() + 250);
        let until = later.duration_since(Instant::now());
        assert!(until.abs_diff(Duration::from_millis(250)) <= Duration::from_millis(1));
    }

    #[test]
    fn a_time_before_the_process_is_a_moment_too() {
        let then = now() - 10;
        assert!(instant_at(then) <= Instant::now());
        instant_at(0);
        instant_at(Millis::MAX);
    }
}
