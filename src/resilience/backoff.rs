//! How long to pause before a batch is sent again: full jitter.
//!
//! Pure: chance comes in as an argument. Source: M. Brooker, "Exponential
//! Backoff And Jitter", AWS Architecture Blog, 2015: of the ways to spread
//! retries, a uniform choice from nothing to the bound makes the fewest calls.

use std::time::Duration;

/// The bounds of the pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first pause; it doubles with each one after.
    pub base: Duration,
    /// No bound is longer than this.
    pub cap: Duration,
}

impl Backoff {
    /// The pause after the `failed`-th attempt, counted from 1; `chance` is
    /// uniform from 0 to 1. It begins with the upstream's `retry_after`, which no
    /// cap shortens: batches that were told the same time do not come back at once.
    pub fn pause(&self, failed: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
        let bound = self.base.saturating_mul(doubled).min(self.cap);
        let pause = bound.mul_f64(chance.clamp(0.0, 1.0));
        pause.saturating_add(retry_after.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let backoff = Backoff {
            base: 25 * MS,
            cap: 1000 * MS,
        };
        for (failed, bound) in [
            (1, 25),
            (2, 50),
            (3, 100),
            (6, 800),
            (7, 1000),
            (8, 1000),
            (u32::MAX, 1000),
        ] {
            let bound = bound * MS;
            assert_eq!(backoff.pause(failed, None, 1.0), bound, "{failed}");
            assert_eq!(backoff.pause(failed, None, 0.5), bound / 2, "{failed}");
            assert_eq!(backoff.pause(failed, None, 0.0), Duration::ZERO);
        }
    }

    #[test]
    fn never_before_retry_after() {
        let backoff = Backoff {
            base: 25 * MS,
            cap: 100 * MS,
        };
        for (retry_after, chance, pause) in [
            (0, 1.0, 25),
            (10, 0.0, 10),
            (10, 1.0, 35),
            (3_600_000, 0.4, 3_600_010),
        ] {
            assert_eq!(backoff.pause(1, Some(retry_after * MS), chance), pause * MS);
        }
    }
}
