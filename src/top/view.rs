//! What is shown: every figure of a frame, worked out from what is known.
//!
//! Pure. Rates are means over the last [`NOW`] whole seconds; the rest of "now"
//! counts the running second too. A p99 is that of the worst second. All that is not
//! "now" is of the last five minutes.

use std::collections::BTreeMap;

use super::history::{History, SPAN};
use super::shares::Shares;
use super::wire::{Failure, Health, Later, Limits, Second, Size};
use crate::ask::advice::Advice;
use crate::batcher::FlushReason;

/// Seconds that "now" is the mean of.
const NOW: u64 = 10;

/// A frame's figures.
#[derive(Debug)]
pub(super) struct View {
    pub version: String,
    /// Seconds since the start.
    pub uptime: f64,
    /// Unix time at the proxy.
    pub now: f64,
    pub ready: bool,
    /// How many routes there are.
    pub routes: usize,
    /// The one of several that this is of.
    pub route: Option<String>,
    /// The circuit's state, where there is a circuit.
    pub circuit: Option<String>,
    /// The worst that is true.
    pub health: Health,
    /// Why there is no answer any more.
    pub lost: Option<String>,
    pub limits: Limits,
    /// The share of the jobs answered or refused that have their result.
    pub success: Option<f64>,
    /// A second.
    pub failed: f64,
    pub jobs: f64,
    pub refused: f64,
    pub batches: f64,
    pub kept_apart: f64,
    pub mean_size: Option<f64>,
    pub fill: Option<f64>,
    /// Median, and that of the worst second's 99th percentile, in milliseconds.
    pub job: [Option<f64>; 2],
    pub wait: [Option<f64>; 2],
    pub upstream: [Option<f64>; 2],
    pub queue: u64,
    pub waiting_for_room: u64,
    pub slots: u64,
    pub slots_busy: f64,
    pub connections: u64,
    /// The jobs for later, if any was ever handed in.
    pub later: Option<LaterView>,
    /// Batches by why they left; those that the program knows always, in its order.
    pub reasons: Vec<(String, u64)>,
    /// Answered jobs of all seconds that are known by what they came to, most first.
    pub outcomes: Vec<(String, u64)>,
    pub sizes: Vec<Size>,
    pub jobs_track: Track,
    pub size_track: Track,
    /// Newest first.
    pub failures: Vec<Failure>,
    pub advice: Vec<Advice>,
}

/// What there is of jobs for later, and what became of others.
#[derive(Debug)]
pub(super) struct LaterView {
    pub present: Later,
    /// A second.
    pub finished: f64,
    pub failed: f64,
    pub free_seats: f64,
    /// Of all seconds that are known, as are those below.
    pub expired_unread: u64,
    /// Those that a process had sent which is gone, by what became of them.
    pub recovered: Vec<(String, u64)>,
    /// Results that were dropped, since their lease was over.
    pub fenced: u64,
}

/// A figure second by second, up to the last that is over.
#[derive(Debug)]
pub(super) struct Track {
    /// The first second.
    pub from: u64,
    /// `None` where there is no number.
    pub values: Vec<Option<f64>>,
}

impl View {
    pub(super) fn of(history: &History) -> Self {
        let live = &history.live;
        let now = history.now();
        // The process's first second is not whole, but all there is of it.
        let whole = now.saturating_sub(live.started.max(0.0) as u64);
        let rate_over = whole.clamp(1, NOW);
        let rated: Vec<_> = history
            .between(now.saturating_sub(rate_over), now.saturating_sub(1))
            .collect();
        let recent: Vec<_> = history.between(now.saturating_sub(NOW), now).collect();
        let rate = |count: fn(&Second) -> u64| sum(&rated, count) / rate_over as f64;
        let batches = sum(&recent, |it| it.batches);
        let per_batch = |total: f64| (batches > 0.0).then(|| total / batches);
        let fill = recent.iter().map(|it| it.fill * it.batches as f64).sum();
        let shares = Shares::of(recent.iter().copied());
        let per_second = |count: u64| count as f64 / rate_over as f64;
        let circuit_is_off = live.is_set("circuit.failures", "0");
        Self {
            version: live.version.clone(),
            uptime: live.now - live.started,
            now: live.now,
            ready: live.ready,
            routes: live.routes.len(),
            route: live.route.clone(),
            circuit: (!circuit_is_off || live.circuit != "closed").then(|| live.circuit.clone()),
            health: live.health.clone(),
            lost: history.lost().map(str::to_owned),
            limits: live.limits.clone(),
            success: shares.success(),
            failed: per_second(Shares::of(rated.iter().copied()).failed),
            kept_apart: rate(|it| it.kept_apart),
            jobs: rate(|it| it.jobs),
            refused: rate(|it| it.refused),
            batches: rate(|it| it.batches),
            mean_size: per_batch(sum(&recent, |it| it.batch_jobs)),
            fill: per_batch(fill),
            job: [
                mean(&recent, |it| it.job_p50_ms, |it| it.outcomes.values().sum()),
                worst(&recent, |it| it.job_p99_ms),
            ],
            wait: [
                mean(&recent, |it| it.wait_p50_ms, |it| it.batch_jobs),
                worst(&recent, |it| it.wait_p99_ms),
            ],
            upstream: [
                mean(&recent, |it| it.upstream_p50_ms, |it| it.batch_jobs),
                worst(&recent, |it| it.upstream_p99_ms),
            ],
            queue: live.current.queue_jobs,
            waiting_for_room: live.current.waiting_for_room,
            slots: live.current.in_flight,
            slots_busy: rated.iter().map(|it| it.slots_busy).sum::<f64>() / rate_over as f64,
            connections: live.current.connections,
            later: live.later.clone().filter(any_later).map(|present| {
                let shares = Shares::of_later(rated.iter().copied());
                let later = |it: &Second| it.later.clone().unwrap_or_default();
                let all = || history.between(0, u64::MAX).map(&later);
                let mut recovered = BTreeMap::new();
                for (how, count) in all().flat_map(|it| it.recovered) {
                    *recovered.entry(how).or_default() += count;
                }
                LaterView {
                    present,
                    finished: per_second(shares.ended()),
                    failed: per_second(shares.failed),
                    free_seats: per_second(rated.iter().map(|it| later(it).free_seats).sum()),
                    expired_unread: all().map(|it| it.expired_unread).sum(),
                    recovered: recovered.into_iter().collect(),
                    fenced: all().map(|it| it.fenced).sum(),
                }
            }),
            reasons: reasons(history.between(0, u64::MAX)),
            outcomes: outcomes(history.between(0, u64::MAX)),
            sizes: live.sizes.clone(),
            jobs_track: Track::of(history, |it| it.map(|it| it.jobs as f64).or(Some(0.0))),
            size_track: Track::of(history, |it| {
                let it = it.filter(|it| it.batches > 0)?;
                Some(it.batch_jobs as f64 / it.batches as f64)
            }),
            failures: live.failures.clone(),
            advice: live.advice.clone(),
        }
    }
}

impl View {
    /// Whether it is of several routes, whose limits differ.
    pub(super) fn is_of_several(&self) -> bool {
        self.routes > 1 && self.route.is_none()
    }
}

/// Whether any was ever handed in.
fn any_later(later: &Later) -> bool {
    later.accepted + later.queued + later.sent + later.done + later.failed > 0
}

fn sum(seconds: &[&Second], count: fn(&Second) -> u64) -> f64 {
    seconds.iter().map(|it| count(it)).sum::<u64>() as f64
}

/// The mean over the jobs of those seconds that have one; a second without a job that
/// counts is one.
fn mean(
    seconds: &[&Second],
    value: fn(&Second) -> Option<f64>,
    jobs: fn(&Second) -> u64,
) -> Option<f64> {
    let (mut total, mut weight) = (0.0, 0.0);
    for second in seconds {
        if let Some(value) = value(second) {
            let jobs = jobs(second).max(1) as f64;
            total += value * jobs;
            weight += jobs;
        }
    }
    (weight > 0.0).then(|| total / weight)
}

fn worst(seconds: &[&Second], value: fn(&Second) -> Option<f64>) -> Option<f64> {
    seconds.iter().filter_map(|it| value(it)).reduce(f64::max)
}

fn reasons<'a>(seconds: impl Iterator<Item = &'a Second>) -> Vec<(String, u64)> {
    let mut counts = totals(seconds, |it| &it.reasons);
    let known = FlushReason::ALL.iter().map(|reason| reason.as_str());
    let mut reasons: Vec<_> = known
        .map(|name| (name.to_owned(), counts.remove(name).unwrap_or(0)))
        .collect();
    reasons.extend(counts.into_iter().map(|(name, n)| (name.to_owned(), n)));
    reasons
}

fn outcomes<'a>(seconds: impl Iterator<Item = &'a Second>) -> Vec<(String, u64)> {
    let counts = totals(seconds, |it| &it.outcomes);
    let mut outcomes: Vec<_> = counts
        .into_iter()
        .map(|(name, n)| (name.to_owned(), n))
        .collect();
    outcomes.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
    outcomes
}

fn totals<'a>(
    seconds: impl Iterator<Item = &'a Second>,
    counts: fn(&Second) -> &BTreeMap<String, u64>,
) -> BTreeMap<&'a str, u64> {
    let mut sums = BTreeMap::new();
    for (name, n) in seconds.flat_map(counts) {
        *sums.entry(name.as_str()).or_default() += n;
    }
    sums
}

impl Track {
    /// `value` is asked of every second since the process's start, idle ones too.
    fn of(history: &History, value: fn(Option<&Second>) -> Option<f64>) -> Self {
        let to = history.now();
        let from = to.saturating_sub(SPAN);
        let started = history.live.started.max(0.0) as u64;
        let mut seconds = history.between(from, to).peekable();
        let values = (from..to).map(|t| {
            let second = seconds.next_if(|it| it.t == t);
            (t >= started).then(|| value(second)).flatten()
        });
        Self {
            from,
            values: values.collect(),
        }
    }

    /// The means of columns of equal length, at most `columns` of them, the newest
    /// last. A column starts at a multiple of its length, so that it keeps its
    /// seconds while it moves.
    pub(super) fn columns(&self, columns: u64) -> Vec<Option<f64>> {
        let seconds = self.values.len() as u64;
        // One less, for the seconds that the multiples cut off.
        let length = seconds.div_ceil(columns.saturating_sub(1).max(1)).max(1);
        let mut found: Vec<Option<f64>> = Vec::new();
        let mut t = self.from;
        let mut rest = &self.values[..];
        while !rest.is_empty() {
            let take = (length - t % length).min(rest.len() as u64);
            let (column, later) = rest.split_at(take as usize);
            let known: Vec<f64> = column.iter().flatten().copied().collect();
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            found.push((!known.is_empty()).then_some(mean));
            (rest, t) = (later, t + take);
        }
        let most = found.len().min(columns as usize);
        found.split_off(found.len() - most)
    }

    /// The highest value.
    pub(super) fn peak(&self) -> Option<f64> {
        self.values.iter().flatten().copied().reduce(f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::scenarios::{fixed_waits, live, second};

    #[test]
    fn rates_are_of_whole_seconds_and_shares_of_all() {
        let seconds = vec![
            second(940, 600),
            second(995, 50),
            second(999, 50),
            second(1000, 9),
        ];
        let view = View::of(&History::new(live(1000, seconds)));
        assert_eq!(view.jobs, 10.0);
        assert_eq!(view.mean_size, Some(10.0));
        assert_eq!(view.reasons[2], ("wait".to_owned(), 71));
        assert_eq!(view.outcomes, [("ok".to_owned(), 709)]);
    }

    #[test]
    fn a_young_process_is_not_averaged_over_time_it_has_not_lived() {
        let mut young = live(1000, vec![second(998, 10), second(999, 30)]);
        young.started = 998.5;
        assert_eq!(View::of(&History::new(young)).jobs, 20.0);
        let mut newborn = live(1000, vec![second(1000, 10)]);
        newborn.started = 1000.2;
        assert_eq!(View::of(&History::new(newborn)).jobs, 0.0);
    }

    #[test]
    fn where_nothing_happened_there_is_no_mean() {
        let view = View::of(&History::new(live(1000, vec![second(900, 7)])));
        assert_eq!(
            (view.mean_size, view.fill, view.wait),
            (None, None, [None; 2])
        );
        assert_eq!(view.jobs, 0.0);
    }

    #[test]
    fn the_track_ends_with_the_last_whole_second() {
        let view = View::of(&fixed_waits());
        let track = &view.jobs_track;
        assert_eq!(track.values.len() as u64, SPAN);
        assert!(track.values.last().unwrap().unwrap() > 0.0);
    }

    #[test]
    fn columns_keep_their_seconds_while_they_move() {
        let track = |from: u64| Track {
            from,
            values: (from..from + 12).map(|t| Some(t as f64)).collect(),
        };
        let (one, next) = (track(100).columns(5), track(101).columns(5));
        // Columns of three seconds: 100 101|102 103 104|…, and 101|102 103 104|….
        assert_eq!(one[1], Some(103.0));
        assert_eq!(next[1], Some(103.0));
        assert!(one.len() <= 5 && next.len() <= 5);
        assert_eq!(track(0).columns(0).len(), 0);
    }
}
