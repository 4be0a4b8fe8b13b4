//! How much waits, and how much may.

use crate::settings::Settings;

/// How many items there are, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub items: usize,
    pub bytes: usize,
}

impl Load {
    /// One item of `bytes`.
    pub fn one(bytes: usize) -> Self {
        Self { items: 1, bytes }
    }

    /// Whether one more item of `bytes` keeps it within the bounds.
    pub fn has_room_for(self, bytes: usize, bounds: Self) -> bool {
        let all = self.bytes.checked_add(bytes);
        self.items < bounds.items && all.is_some_and(|all| all <= bounds.bytes)
    }
}

impl std::ops::AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        self.items += other.items;
        self.bytes += other.bytes;
    }
}

impl std::ops::SubAssign for Load {
    fn sub_assign(&mut self, other: Self) {
        self.items -= other.items;
        self.bytes -= other.bytes;
    }
}

impl std::iter::Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), |mut sum, load| {
            sum += load;
            sum
        })
    }
}

/// What waits, told apart by who is to be answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loads {
    pub callers: Load,
    pub detached: Load,
}

impl Loads {
    /// One item of `bytes`.
    pub fn one(bytes: usize, detached: bool) -> Self {
        let mut loads = Self::default();
        match detached {
            true => loads.detached = Load::one(bytes),
            false => loads.callers = Load::one(bytes),
        }
        loads
    }
}

impl std::iter::Sum for Loads {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), |mut sum, load| {
            sum.callers += load.callers;
            sum.detached += load.detached;
            sum
        })
    }
}

/// As many items may wait for room as the queue holds, or this many if that is more: a
/// short queue is one way to have callers wait outside.
pub(crate) const OVERFLOW_ITEMS: usize = 1_000;

/// The same for their bytes.
pub(crate) const OVERFLOW_BYTES: usize = 64 << 20;

/// Followers take up at most one part in this many of the queue, or as much as
/// one full batch if that is more.
const FOLLOWERS_SHARE: usize = 10;

/// The most that may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In the queue proper.
    pub queue: Load,
    /// For room in the queue.
    pub overflow: Load,
    /// For another item of the same key, wherever.
    pub followers: Load,
}

impl Bounds {
    /// None.
    pub const NONE: Self = {
        let most = Load {
            items: usize::MAX,
            bytes: usize::MAX,
        };
        Self {
            queue: most,
            overflow: most,
            followers: most,
        }
    };

    pub fn of(settings: &Settings) -> Self {
        let queue = Load {
            items: settings.queue_items.max(1),
            bytes: settings.queue_bytes,
        };
        Self {
            queue,
            overflow: Load {
                items: queue.items.max(OVERFLOW_ITEMS),
                bytes: queue.bytes.max(OVERFLOW_BYTES),
            },
            followers: Load {
                items: (queue.items / FOLLOWERS_SHARE).max(settings.max_size),
                bytes: (queue.bytes / FOLLOWERS_SHARE).max(settings.max_bytes),
            },
        }
    }
}
