//! Whether a batch is sent again after a failure: a decision, made of values.

use std::time::Duration;

use super::outcome::Failure;
use super::policy::Policy;

/// The pause before it is sent again, where that is within the attempts and the time
/// that is left to the most patient caller; `None` for that where no caller waits.
/// `chance` is uniform from 0 to 1.
pub(super) fn pause(
    policy: &Policy,
    failure: &Failure,
    attempts: u32,
    time_left: Option<Duration>,
    chance: f64,
) -> Option<Duration> {
    if attempts >= policy.max_attempts || !failure.may_be_retried(policy.idempotent) {
        return None;
    }
    let pause = policy
        .backoff
        .pause(attempts, failure.retry_after(), chance);
    (pause < time_left?).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::super::meaning::code_of_status;
    use super::super::outcome::Refusal;
    use super::*;
    use crate::resilience::backoff::Backoff;
    use crate::resilience::size::Size;

    #[test]
    fn a_retry_is_within_the_attempts_and_some_callers_time() {
        let ms = Duration::from_millis;
        let policy = Policy {
            idempotent: false,
            split_on: Vec::new(),
            max_attempts: 3,
            backoff: Backoff {
                base: ms(100),
                cap: ms(1000),
            },
            longest_wait: ms(1000),
            largest: Size { jobs: 9, bytes: 99 },
            excerpts: false,
        };
        let status = |status| {
            Failure::from(Refusal {
                status,
                code: code_of_status(status, 2),
                retry_after: Some(2),
                body: None,
            })
        };
        let idempotent = Policy {
            idempotent: true,
            ..policy.clone()
        };
        for (policy, failure, attempts, left, expected) in [
            (&policy, Failure::Unreachable, 1, Some(51), Some(50)),
            (&policy, Failure::Unreachable, 2, Some(101), Some(100)),
            (&policy, Failure::Unreachable, 3, Some(9999), None),
            (&policy, Failure::Unreachable, 1, Some(50), None),
            (&policy, Failure::Unreachable, 1, None, None),
            (&policy, status(503), 1, Some(9999), None),
            (&idempotent, status(503), 1, Some(9999), Some(2050)),
            (&idempotent, status(503), 1, Some(2050), None),
            (&idempotent, status(500), 1, Some(9999), None),
        ] {
            let found = pause(policy, &failure, attempts, left.map(ms), 0.5);
            assert_eq!(found, expected.map(ms), "{failure:?}, {attempts}, {left:?}");
        }
    }
}
