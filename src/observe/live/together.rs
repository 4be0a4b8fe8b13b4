//! The last five minutes of several routes as one.

use std::collections::BTreeMap;

use super::failures::{FAILURES, Failures};
use super::recent::Recent;
use super::second::Second;

impl Recent {
    /// Those of all routes of a process by their names, each up to its own moment. Counts add
    /// up; the share of time in which every slot was taken is that of the slots, so that one
    /// busy route of two that are alike is half of it.
    pub fn together<'a>(routes: impl Iterator<Item = (&'a str, &'a Self)> + Clone) -> Self {
        let slots = |it: &Self| it.moment.batcher.max_in_flight as f64;
        let all_slots: f64 = routes.clone().map(|(_, it)| slots(it)).sum();
        let mut together = Self::default();
        let mut seconds: BTreeMap<u64, Second> = BTreeMap::new();
        for (route, recent) in routes.clone() {
            let share = slots(recent) / all_slots.max(1.0);
            for second in &recent.seconds {
                let of_all = seconds.entry(second.t);
                let of_all = of_all.or_insert_with(|| Second::new(second.t));
                of_all.add(second, share);
            }
            together.date = together.date.max(recent.date);
            together.moment = together.moment.with(&recent.moment);
            match (&mut together.records, &recent.records) {
                (Some(all), Some(more)) => all.counts.add(&more.counts),
                (all, more) => *all = all.take().or_else(|| more.clone()),
            }
            let failures = recent.failures.iter().map(|it| Failures {
                route: Some(route.into()),
                ..it.clone()
            });
            together.failures.extend(failures);
        }
        routes.for_each(|(_, recent)| add_backlog(&mut seconds, recent));
        together.seconds = seconds.into_values().collect();
        together
            .failures
            .sort_by(|one, two| two.t.total_cmp(&one.t));
        together.failures.truncate(FAILURES);
        together
    }
}

/// Adds a route's backlog to the seconds of all. One in which nothing happened on the route
/// has that of the last in which something did.
fn add_backlog(seconds: &mut BTreeMap<u64, Second>, recent: &Recent) {
    let mut own = recent.seconds.iter().peekable();
    let mut backlog = None;
    for (t, of_all) in seconds {
        while let Some(second) = own.next_if(|it| it.t <= *t) {
            backlog = second.backlog.or(backlog);
        }
        if let Some(backlog) = backlog {
            *of_all.backlog.get_or_insert_default() += backlog;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::batcher::{FlushReason, Snapshot};
    use crate::code::Code;
    use crate::observe::event::FailedJobs;
    use crate::observe::moment::Moment;

    const SECOND: Duration = Duration::from_secs(1);

    /// A route of so many slots, all of which are taken, with one batch of so many jobs.
    fn recent(slots: usize, t: u64, jobs: usize) -> Recent {
        let mut second = Second::new(t);
        second.counts.jobs = jobs as u64;
        second.counts.log_lines_dropped = 3;
        second.left(jobs, 0.5, FlushReason::Size);
        second.saturated = SECOND;
        second.outcomes[Code::Ok] = jobs as u64;
        second.wait.add_all(SECOND * jobs as u32, jobs);
        let failed = FailedJobs {
            outcome: Code::UpstreamError,
            cause: String::new(),
            answer: None,
            jobs,
            batch_id: Uuid::nil(),
            size: jobs,
            took: SECOND,
        };
        let failures = (0..FAILURES).map(|at| Failures::of(&failed, t as f64 - at as f64 / 100.0));
        Recent {
            date: t as f64,
            moment: Moment {
                batcher: Snapshot {
                    accepted: jobs as u64,
                    max_in_flight: slots,
                    ..Snapshot::default()
                },
                log_lines_dropped: 3,
                ..Moment::default()
            },
            seconds: vec![second],
            failures: failures.collect(),
            ..Recent::default()
        }
    }

    #[test]
    fn counts_add_up_and_shares_are_weighted() {
        let routes = [
            ("one", recent(1, 10, 2)),
            ("two", recent(3, 10, 6)),
            ("old", recent(4, 9, 1)),
        ];
        let all = Recent::together(routes.iter().map(|(name, it)| (*name, it)));
        let times: Vec<_> = all.seconds.iter().map(|it| it.t).collect();
        assert_eq!(times, [9, 10]);
        let [old, new] = &all.seconds[..] else {
            panic!("{all:?}")
        };
        assert_eq!((new.counts.jobs, new.batches, new.batch_jobs), (8, 2, 8));
        assert_eq!((new.mean_fill(), new.outcomes[Code::Ok]), (0.5, 8));
        // Four of eight slots were taken all the second, and four in the one before.
        assert_eq!((old.slots_busy(), new.slots_busy()), (0.5, 0.5));
        // Six of eight jobs have waited for six seconds.
        let middle = new.wait.quantile_ms(0.5).unwrap();
        assert!((5_400.0..6_600.0).contains(&middle), "{middle}");
        assert_eq!((all.date, all.moment.batcher.accepted), (10.0, 9));
        let dropped = all.seconds.iter().map(|it| it.counts.log_lines_dropped);
        assert_eq!(dropped.collect::<Vec<_>>(), [3, 3]);
        assert_eq!(all.moment.log_lines_dropped, 3);
    }

    #[test]
    fn the_newest_failures_are_kept_and_have_their_route() {
        let (old, new) = (recent(1, 9, 1), recent(1, 10, 1));
        let all = Recent::together([("old", &old), ("new", &new)].into_iter());
        assert_eq!(all.failures.len(), FAILURES);
        let routes: Vec<_> = all.failures.iter().map(|it| it.route.as_deref()).collect();
        assert_eq!(routes, [Some("new"); FAILURES]);
    }
}
