//! Bounds of a batch that are lower than configured for a while.
//!
//! Whoever learns that large batches fare badly sets them, see
//! [`Batcher::cap`](crate::Batcher::cap). An item alone leaves whatever its size: a
//! cap keeps batches small and holds nothing up.

use tokio::time::Instant;

/// What batches are kept to, below the configured bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cap {
    /// The most items of a batch of several, as
    /// [`Settings::max_size`](crate::Settings::max_size) counts them.
    pub items: Option<Ceiling>,
    /// The most bytes of a batch of several, as
    /// [`Settings::max_bytes`](crate::Settings::max_bytes) counts them.
    pub bytes: Option<Ceiling>,
}

/// A bound that holds for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The bound.
    pub most: usize,
    /// From then on it no longer holds.
    pub until: Instant,
}

impl Cap {
    /// The bounds that hold, where these are configured.
    pub(crate) fn bounds(&self, size: usize, bytes: usize, now: Instant) -> (usize, usize) {
        let capped = |ceiling: Option<Ceiling>, most| match ceiling {
            Some(ceiling) if now < ceiling.until => ceiling.most.min(most),
            _ => most,
        };
        (capped(self.items, size).max(1), capped(self.bytes, bytes))
    }

    /// Whether a batch of this [weight](crate::Batch::weight) and so many
    /// [bytes](crate::Batch::bytes) may leave. One item alone always may: it counts as 1,
    /// whatever it weighs.
    pub fn allows(&self, weight: usize, bytes: usize, now: Instant) -> bool {
        let (most_weight, most_bytes) = self.bounds(usize::MAX, usize::MAX, now);
        weight <= 1 || weight <= most_weight && bytes <= most_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_cap_lowers_a_bound_until_its_time_is_over() {
        let now = Instant::now();
        let until = now + Duration::from_secs(60);
        let ceiling = |most| Some(Ceiling { most, until });
        for (items, bytes, later, bounds) in [
            (None, None, 0, (100, 1000)),
            (ceiling(7), None, 0, (7, 1000)),
            (None, ceiling(70), 59, (100, 70)),
            (ceiling(7), ceiling(70), 60, (100, 1000)),
            (ceiling(200), ceiling(2000), 0, (100, 1000)),
            (ceiling(0), ceiling(0), 0, (1, 0)),
        ] {
            let cap = Cap { items, bytes };
            let then = now + Duration::from_secs(later);
            assert_eq!(cap.bounds(100, 1000, then), bounds, "{cap:?} {later}");
        }
    }

    #[test]
    fn an_item_alone_always_leaves() {
        let now = Instant::now();
        let until = now + Duration::from_secs(60);
        let ceiling = |most| Some(Ceiling { most, until });
        let cap = Cap {
            items: ceiling(2),
            bytes: ceiling(10),
        };
        for (items, bytes, allowed) in [
            (1, 1000, true),
            (2, 10, true),
            (2, 11, false),
            (3, 3, false),
        ] {
            assert_eq!(cap.allows(items, bytes, now), allowed, "{items} {bytes}");
            assert!(cap.allows(items, bytes, until));
        }
    }
}
