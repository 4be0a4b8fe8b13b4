//! How many files, pipes and sockets the process may have, and how many of them
//! callers get.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process needs besides connections of callers and to the upstream: the
/// log, the runtimes, the listeners, operators.
const OWN: usize = 64;

/// How many connections operators may have, of those.
pub const OPERATORS: usize = 24;

/// Raises the process's limit of open files to what it may raise it to.
///
/// Many systems start processes with a limit of 1,024, for the sake of programs that
/// can't do with more, and allow far more.
pub fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        // What there is has to do.
        Err(_) => limit.current,
    };
    now.map_or(usize::MAX, |now| usize::try_from(now).unwrap_or(usize::MAX))
}

/// How many connections callers may have where the process may have so many files
/// and so many batches in flight, each of which takes a connection and, when that
/// is replaced, another; and so many calls that go alone, each with a connection of its
/// own: but no more than half of what there is.
pub fn for_callers(limit: usize, slots: usize, alone: usize) -> usize {
    let upstream = slots.saturating_mul(2).saturating_add(alone);
    let upstream = upstream.min(limit / 2);
    limit.saturating_sub(OWN.saturating_add(upstream)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_get_what_is_left() {
        for (limit, slots, alone, callers) in [
            (1_024, 10, 0, 940),
            (1_024, 20, 100, 820),
            (100, 10, 0, 16),
            (64, 10, 0, 1),
            (1_024, 1_000, 0, 448),
            (1_024, 0, 1_000, 448),
            (usize::MAX, 10, 0, usize::MAX - 84),
        ] {
            let found = for_callers(limit, slots, alone);
            assert_eq!(found, callers, "{limit} {slots} {alone}");
        }
    }
}
