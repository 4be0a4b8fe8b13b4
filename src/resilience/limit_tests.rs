//! The limit against simulated upstreams, and its rules one by one.
//!
//! The simulation has no clock and no tasks: it goes from the end of one call to the
//! next. The table is modelled on Vector's tests of its adaptive concurrency.
//! `cargo test --lib resilience::limit -- --nocapture` prints what each row measured.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;

use fastrand::Rng;

use super::*;

/// The quick answer of all upstreams, in seconds: one round trip.
const BASE: f64 = 0.1;
/// How long a call that is never answered stays in flight.
const TIMEOUT: f64 = 10.0 * BASE;
/// How long a refusal takes.
const REFUSAL: f64 = BASE / 10.0;
/// How long an upstream is watched, in round trips; the second half counts.
const WATCHED: f64 = 1000.0;

/// What the first of them led to is printed.
const SEEDS: [u64; 3] = [1, 2, 3];

// Upstreams: what becomes of a call.

/// Seconds until the call ends, and how.
type Fate = (f64, LoadSignal);

struct Found<'a> {
    /// How many calls are being served, this one included. Those refused or dropped
    /// are no burden to the upstream.
    calls: usize,
    /// How many calls are in flight, those refused and dropped too.
    in_flight: usize,
    /// Round trips since the beginning.
    trips: f64,
    random: &'a mut Rng,
}

fn answered(round_trips: f64) -> Fate {
    (round_trips * BASE, LoadSignal::Answered)
}

const REFUSED: Fate = (REFUSAL, LoadSignal::Overloaded);
const HANGS: Fate = (TIMEOUT, LoadSignal::Overloaded);

/// Serves so many at once; who finds more waits in proportion.
fn knee(calls: usize, at: usize) -> f64 {
    (calls as f64 / at as f64).max(1.0)
}

/// Half to one and a half.
fn uniform(random: &mut Rng) -> f64 {
    0.5 + random.f64()
}

/// Pareto with the mean 1 and without a variance: one in a hundred takes seven times
/// the mean, one in ten thousand 150 times.
fn heavy(random: &mut Rng) -> f64 {
    const SHAPE: f64 = 1.5;
    (SHAPE - 1.0) / SHAPE * (1.0 - random.f64()).powf(-1.0 / SHAPE)
}

// The simulation.

#[derive(Clone, Copy)]
enum Load {
    /// Always something queued.
    Endless,
    /// So many callers, each with one call after the other.
    Callers(usize),
    /// So many calls per round trip, at random.
    Random(f64),
}

/// What happened, in round trips.
struct Story {
    /// From when on the limit was what.
    limits: Vec<(f64, usize)>,
    /// When calls were answered.
    answers: Vec<f64>,
    /// How many calls were in flight when one started.
    in_flight: Vec<(f64, usize)>,
    /// Calls refused or dropped.
    lost: usize,
}

impl Story {
    fn limit_at(&self, trips: f64) -> usize {
        let next = self.limits.partition_point(|(from, _)| *from <= trips);
        self.limits[next - 1].1
    }

    fn mean_limit(&self, span: (f64, f64)) -> f64 {
        let mut sum = 0.0;
        for (index, (from, limit)) in self.limits.iter().enumerate() {
            let to = self.limits.get(index + 1).map_or(span.1, |next| next.0);
            sum += (to.min(span.1) - from.max(span.0)).max(0.0) * *limit as f64;
        }
        sum / (span.1 - span.0)
    }

    /// Answers per round trip.
    fn throughput(&self, span: (f64, f64)) -> f64 {
        let within = |trips: &&f64| **trips >= span.0 && **trips < span.1;
        self.answers.iter().filter(within).count() as f64 / (span.1 - span.0)
    }

    fn peak(&self, span: (f64, f64)) -> usize {
        let within = self.in_flight.iter();
        let within = within.filter(|(trips, _)| *trips >= span.0 && *trips < span.1);
        within.map(|(_, calls)| *calls).max().unwrap_or(0)
    }

    fn least_limit(&self, span: (f64, f64)) -> usize {
        let within = self.limits.iter();
        let within = within.filter(|(at, _)| *at >= span.0 && *at < span.1);
        let least = within.map(|(_, limit)| *limit).min();
        least.unwrap_or_else(|| self.limit_at(span.0))
    }

    /// From when on, after `from`, the limit was in the band for the first time.
    fn reaches(&self, band: RangeInclusive<usize>, from: f64) -> f64 {
        let first = self.limits.partition_point(|(at, _)| *at <= from) - 1;
        let mut changes = self.limits[first..].iter();
        changes
            .find(|(_, limit)| band.contains(limit))
            .map_or(f64::INFINITY, |(at, _)| at.max(from) - from)
    }
}

/// Nanoseconds, the order of starting, and what the call was.
type Flight = Reverse<(u64, u64, u64, bool)>;

/// Runs one upstream under one load. A fixed limit learns nothing.
fn simulate(
    load: Load,
    upstream: &dyn Fn(Found) -> Fate,
    fixed: Option<usize>,
    until: f64,
    seed: u64,
) -> Story {
    let nanos = |seconds: f64| (seconds * 1e9) as u64;
    let zero = Instant::now();
    let at = |nanos: u64| zero + Duration::from_nanos(nanos);
    let trips = |nanos: u64| nanos as f64 / 1e9 / BASE;
    let mut random = Rng::with_seed(seed);
    let mut limit = Limit::new();
    let mut flights: BinaryHeap<Flight> = BinaryHeap::new();
    let mut story = Story {
        limits: vec![(0.0, fixed.unwrap_or(limit.current()))],
        answers: Vec::new(),
        in_flight: Vec::new(),
        lost: 0,
    };
    let (mut now, mut started, mut waiting, mut next_arrival) = (0, 0, 0, 0);
    let mut served = 0;
    loop {
        let allowed = fixed.unwrap_or(limit.current());
        while flights.len() < allowed {
            match load {
                Load::Endless => {}
                Load::Callers(callers) if flights.len() < callers => {}
                Load::Random(_) if waiting > 0 => waiting -= 1,
                _ => break,
            }
            story.in_flight.push((trips(now), flights.len() + 1));
            let (seconds, outcome) = upstream(Found {
                calls: served + 1,
                in_flight: flights.len() + 1,
                trips: trips(now),
                random: &mut random,
            });
            let good = outcome == LoadSignal::Answered;
            flights.push(Reverse((now + nanos(seconds), started, now, good)));
            served += usize::from(good);
            started += 1;
        }
        if let Load::Random(rate) = load
            && flights.peek().is_none_or(|first| next_arrival <= first.0.0)
        {
            now = next_arrival;
            waiting += 1;
            next_arrival += nanos(-(1.0 - random.f64()).ln() * BASE / rate);
            continue;
        }
        let in_flight = flights.len();
        let Some(Reverse((end, _, start, good))) = flights.pop() else {
            return story;
        };
        now = end;
        if trips(now) > until {
            return story;
        }
        let outcome = if good {
            served -= 1;
            story.answers.push(trips(now));
            LoadSignal::Answered
        } else {
            story.lost += 1;
            LoadSignal::Overloaded
        };
        if fixed.is_none() {
            let changed = limit.record(Sample {
                started: at(start),
                ended: at(now),
                in_flight,
                load: outcome,
            });
            if let Some(limit) = changed {
                story.limits.push((trips(now), limit));
            }
        }
    }
}

/// One upstream, and where the limit must settle.
struct Row {
    name: &'static str,
    load: Load,
    upstream: fn(Found) -> Fate,
    /// The mean limit.
    band: RangeInclusive<f64>,
    /// The most calls at once.
    peak: usize,
    /// The fixed limit to compare with: where there is a best, that.
    best: usize,
    /// The least share of that limit's throughput.
    share: f64,
    seeds: &'static [u64],
}

impl Row {
    /// Luck plays a part, so it must hold with every seed.
    fn random(self) -> Self {
        let seeds = &SEEDS;
        Self { seeds, ..self }
    }

    fn load(self, load: Load) -> Self {
        Self { load, ..self }
    }
}

fn row(
    name: &'static str,
    upstream: fn(Found) -> Fate,
    band: RangeInclusive<f64>,
    peak: usize,
    (best, share): (usize, f64),
) -> Row {
    Row {
        name,
        load: Load::Endless,
        upstream,
        band,
        peak,
        best,
        share,
        seeds: &SEEDS[..1],
    }
}

/// Fails above a concurrency.
fn above(it: Found, most: usize, failure: Fate) -> Fate {
    if it.calls > most {
        failure
    } else {
        answered(1.0)
    }
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    use Load::{Callers, Random};
    let constant = |_: Found| answered(1.0);
    vec![
        // What the load needs, and no more.
        row("constant, 5 callers", constant, 10.0..=10.0, 5, (10, 1.0)).load(Callers(5)),
        row("constant, 3 at random", constant, 10.0..=23.0, 16, (10, 0.97)).load(Random(3.0)).random(),
        row("constant, 60 callers", constant, 60.0..=90.0, 60, (60, 0.97)).load(Callers(60)),
        row("uniform, 60 callers", |it| answered(uniform(it.random)), 55.0..=90.0, 60, (60, 0.95)).load(Callers(60)).random(),
        row("heavy tail, 60 callers", |it| answered(heavy(it.random)), 55.0..=90.0, 60, (60, 0.95)).load(Callers(60)).random(),
        // Up to the tolerance above the knee.
        row("knee at 1", |it| answered(knee(it.calls, 1)), 1.0..=2.0, 3, (1, 0.97)),
        row("knee at 4", |it| answered(knee(it.calls, 4)), 4.0..=6.5, 8, (4, 0.97)),
        row("knee at 20", |it| answered(knee(it.calls, 20)), 20.0..=30.0, 32, (20, 0.97)),
        row("knee at 100", |it| answered(knee(it.calls, 100)), 100.0..=150.0, 155, (100, 0.97)),
        row("uniform, knee at 4", |it| answered(uniform(it.random) * knee(it.calls, 4)), 4.0..=7.0, 12, (4, 0.85)).random(),
        row("uniform, knee at 20", |it| answered(uniform(it.random) * knee(it.calls, 20)), 20.0..=31.0, 38, (20, 0.95)).random(),
        row("heavy tail, knee at 4", |it| answered(heavy(it.random) * knee(it.calls, 4)), 4.0..=7.0, 12, (4, 0.8)).random(),
        row("heavy tail, knee at 20", |it| answered(heavy(it.random) * knee(it.calls, 20)), 20.0..=33.0, 40, (20, 0.9)).random(),
        row("a tenth slower per call", |it| answered(1.0 + 0.1 * it.calls as f64), 8.0..=16.0, 18, (11, 0.97)),
        // Near the most that is served; calls that hang hold places as well.
        row("429 above 4", |it| above(it, 4, REFUSED), 3.0..=5.0, 5, (4, 0.9)),
        row("429 above 20", |it| above(it, 20, REFUSED), 17.0..=21.0, 22, (20, 0.9)),
        row("429 above 100", |it| above(it, 100, REFUSED), 88.0..=101.0, 102, (100, 0.9)),
        row("hangs above 5", |it| above(it, 5, HANGS), 5.0..=11.0, 15, (5, 0.9)),
        row("hangs above 20", |it| above(it, 20, HANGS), 18.0..=30.0, 35, (20, 0.9)),
        row("hangs all above 20", |it| if it.in_flight > 20 { HANGS } else { answered(1.0) }, 15.0..=22.0, 22, (20, 0.2)),
        // Where a decrease per round with a refusal meets the increases of the others.
        row("429 for 1 in 100", |it| if it.random.f64() < 0.01 { REFUSED } else { answered(1.0) }, 25.0..=35.0, 60, (20, 1.0)).random(),
        row("429 for 1 in 20", |it| if it.random.f64() < 0.05 { REFUSED } else { answered(1.0) }, 10.0..=14.0, 30, (7, 1.0)).random(),
    ]
}

#[test]
fn every_upstream_gets_the_limit_it_can_bear() {
    let settled = (WATCHED / 2.0, WATCHED);
    let mut wrong = Vec::new();
    println!(
        "{:<24} {:>6} {:>9} {:>5} {:>8} {:>6} {:>6}",
        "upstream", "limit", "band", "peak", "answers", "share", "lost"
    );
    for (row, &seed) in table()
        .iter()
        .flat_map(|row| row.seeds.iter().map(move |seed| (row, seed)))
    {
        let story = simulate(row.load, &row.upstream, None, WATCHED, seed);
        let fixed = simulate(row.load, &row.upstream, Some(row.best), WATCHED, seed);
        let limit = story.mean_limit(settled);
        let peak = story.peak(settled);
        let answers = story.throughput(settled);
        let share = answers / fixed.throughput(settled);
        let lost = 100.0 * story.lost as f64 / (story.lost + story.answers.len()) as f64;
        let good = row.band.contains(&limit) && peak <= row.peak && share >= row.share;
        if seed == SEEDS[0] || !good {
            println!(
                "{:<24} {limit:>6.1} {:>9} {peak:>5} {answers:>8.2} {share:>6.2} {lost:>5.1}%{}",
                row.name,
                format!("{}-{}", row.band.start(), row.band.end()),
                if good { "" } else { "  <- wrong" }
            );
        }
        if !good {
            wrong.push(row.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// An upstream that changes after [`CHANGE`] round trips.
struct Turn {
    name: &'static str,
    upstream: fn(Found) -> Fate,
    /// Where the limit must be at the change.
    before: RangeInclusive<usize>,
    /// Where it must come to, and within how many round trips after `from`.
    after: RangeInclusive<usize>,
    from: f64,
    within: f64,
    /// The least throughput from there to the end.
    throughput: f64,
}

const CHANGE: f64 = 300.0;

fn turned(it: &Found) -> bool {
    it.trips >= CHANGE
}

/// Fails for a hundred round trips.
fn outage(it: Found, failure: Fate) -> Fate {
    if turned(&it) && it.trips < CHANGE + 100.0 {
        failure
    } else {
        answered(knee(it.calls, 20))
    }
}

#[rustfmt::skip]
fn turns() -> Vec<Turn> {
    vec![
        Turn {
            name: "10 times slower",
            upstream: |it| answered(knee(it.calls, 20) * if turned(&it) { 10.0 } else { 1.0 }),
            before: 20..=31, after: 20..=31, from: CHANGE + 50.0, within: 50.0, throughput: 1.9,
        },
        Turn {
            name: "10 times quicker",
            upstream: |it| answered(knee(it.calls, 20) * if turned(&it) { 0.1 } else { 1.0 }),
            before: 20..=31, after: 20..=31, from: CHANGE, within: 2.0, throughput: 190.0,
        },
        // A probe is under way at the change and must be repeated, and one round trip
        // takes fifteen of the ones before.
        Turn {
            name: "knee from 100 to 10",
            upstream: |it| answered(knee(it.calls, if turned(&it) { 10 } else { 100 })),
            before: 100..=151, after: 10..=15, from: CHANGE, within: 200.0, throughput: 9.7,
        },
        Turn {
            name: "knee from 10 to 100",
            upstream: |it| answered(knee(it.calls, if turned(&it) { 100 } else { 10 })),
            before: 10..=16, after: 100..=150, from: CHANGE, within: 100.0, throughput: 80.0,
        },
        Turn {
            name: "all refused, then not",
            upstream: |it| outage(it, REFUSED),
            before: 20..=31, after: 20..=31, from: CHANGE + 100.0, within: 40.0, throughput: 15.0,
        },
        Turn {
            name: "all hang, then don't",
            upstream: |it| outage(it, HANGS),
            before: 20..=31, after: 20..=31, from: CHANGE + 100.0, within: 40.0, throughput: 15.0,
        },
    ]
}

#[test]
fn a_change_of_the_upstream_is_followed() {
    let mut wrong = Vec::new();
    println!(
        "{:<24} {:>6} {:>6} {:>8} {:>8}",
        "change", "before", "least", "followed", "answers"
    );
    for turn in turns() {
        let story = simulate(Load::Endless, &turn.upstream, None, WATCHED, 1);
        let before = story.limit_at(CHANGE);
        let took = story.reaches(turn.after.clone(), turn.from);
        let least = story.least_limit((CHANGE, WATCHED));
        let throughput = story.throughput((turn.from, WATCHED));
        let good =
            turn.before.contains(&before) && took <= turn.within && throughput >= turn.throughput;
        println!(
            "{:<24} {before:>6} {least:>6} {took:>8.1} {throughput:>8.2}{}",
            turn.name,
            if good { "" } else { "  <- wrong" }
        );
        if !good {
            wrong.push(turn.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

// The rules, one by one.

/// A limit, and calls that all take a hundred milliseconds unless said otherwise.
struct Driver {
    limit: Limit,
    now: Instant,
}

const CALL: Duration = Duration::from_millis(100);

impl Driver {
    /// After the first round and the first probe: the best is known.
    fn new() -> Self {
        let mut driver = Self {
            limit: Limit::new(),
            now: Instant::now(),
        };
        driver.round(CALL);
        assert_eq!(driver.limit.current(), START / 2, "the first probe");
        driver.round(CALL);
        assert_eq!(driver.limit.current(), START, "nothing eased");
        driver
    }

    /// As before, and past the steep climb at the start.
    fn after_trouble() -> Self {
        let mut driver = Self::new();
        driver.now += CALL;
        driver.end(CALL, 10, LoadSignal::Overloaded);
        assert_eq!(driver.limit.current(), 9);
        driver.round(CALL);
        assert_eq!(driver.limit.current(), 10);
        driver
    }

    fn end(&mut self, took: Duration, in_flight: usize, outcome: LoadSignal) -> Option<usize> {
        self.limit.record(Sample {
            started: self.now - took,
            ended: self.now,
            in_flight,
            load: outcome,
        })
    }

    /// As many calls as make a round, all at once and with the limit reached.
    fn round(&mut self, took: Duration) -> usize {
        let limit = self.limit.current();
        self.round_with(took, limit)
    }

    fn round_with(&mut self, took: Duration, in_flight: usize) -> usize {
        self.now += took;
        for _ in 0..self.limit.current().max(FEWEST_CALLS) {
            self.end(took, in_flight, LoadSignal::Answered);
        }
        self.limit.current()
    }
}

#[test]
fn half_as_many_again_until_the_first_trouble_then_one_more() {
    let mut driver = Driver::new();
    assert_eq!([(); 4].map(|()| driver.round(CALL)), [15, 22, 33, 49]);
    driver.now += CALL;
    assert_eq!(driver.end(CALL, 49, LoadSignal::Overloaded), Some(44));
    assert_eq!([(); 3].map(|()| driver.round(CALL)), [45, 46, 47]);
}

#[test]
fn an_unreached_limit_stays_whether_calls_are_quick_or_slow() {
    let mut driver = Driver::after_trouble();
    for took in [CALL, 5 * CALL, CALL / 5] {
        for _ in 0..300 {
            assert_eq!(driver.round_with(took, 9), 10);
        }
    }
}

#[test]
fn a_burst_of_refusals_counts_once() {
    let mut driver = Driver::new();
    driver.now += CALL;
    let burst = [(); 10].map(|()| driver.end(CALL, 10, LoadSignal::Overloaded));
    assert_eq!(burst[0], Some(9));
    assert_eq!(burst[1..], [None; 9]);
    driver.now += CALL;
    assert_eq!(driver.end(CALL, 9, LoadSignal::Overloaded), Some(8));
}

#[test]
fn more_refusals_than_one_keep_a_round_from_raising_the_limit() {
    for (refusals, after) in [(1, 10), (2, 9)] {
        let mut driver = Driver::after_trouble();
        driver.now += CALL;
        for _ in 0..refusals {
            driver.end(CALL, 10, LoadSignal::Overloaded);
        }
        assert_eq!(driver.limit.current(), 9);
        assert_eq!(driver.round(CALL), after, "{refusals}");
        assert_eq!(driver.round(CALL), after + 1, "{refusals}");
    }
}

#[test]
fn a_round_too_slow_takes_a_tenth_and_a_second_one_probes() {
    let mut driver = Driver::after_trouble();
    assert_eq!(driver.round(CALL * 7 / 5), 11, "within the tolerance");
    assert_eq!(driver.round(CALL * 8 / 5), 9);
    assert_eq!(driver.round(CALL * 8 / 5), 4);
}

#[test]
fn slowness_is_trouble_and_ends_the_steep_climb() {
    let mut driver = Driver::new();
    assert_eq!(driver.round(CALL), 15);
    assert_eq!(driver.round(2 * CALL), 13);
    assert_eq!(driver.round(CALL), 14);
}

#[test]
fn a_queue_found_at_the_start_is_trouble_and_probed_until_nothing_eases() {
    let mut driver = Driver {
        limit: Limit::new(),
        now: Instant::now(),
    };
    assert_eq!(driver.round(10 * CALL), 5);
    assert_eq!(driver.round(5 * CALL), 5, "10 × best ÷ latency");
    assert_eq!(driver.round(5 * CALL), 2, "a better best is not trusted");
    assert_eq!(driver.round(5 * CALL), 5, "nothing eased");
    assert_eq!(driver.round(5 * CALL), 6);
}

#[test]
fn a_refusal_of_a_call_from_before_a_slow_round_is_not_counted_again() {
    let mut driver = Driver::after_trouble();
    assert_eq!(driver.round(2 * CALL), 9);
    assert_eq!(driver.end(CALL, 10, LoadSignal::Overloaded), None);
}

#[test]
fn a_slow_round_between_quick_ones_does_not_probe() {
    let mut driver = Driver::after_trouble();
    for _ in 0..10 {
        assert_eq!(driver.round(2 * CALL), 9);
        assert_eq!(driver.round(CALL), 10);
    }
}

#[test]
fn calls_that_met_the_limit_before_a_slow_round_do_not_count_after_it() {
    let mut driver = Driver::after_trouble();
    assert_eq!(driver.round(2 * CALL), 9);
    for _ in 0..100 {
        assert_eq!(driver.end(2 * CALL, 10, LoadSignal::Answered), None);
    }
}

#[test]
fn calls_that_met_half_the_limit_do_not_count_after_the_probe() {
    let mut driver = Driver::after_trouble();
    assert_eq!([(); 2].map(|()| driver.round(2 * CALL)), [9, 4]);
    assert_eq!(driver.round(2 * CALL), 9);
    for _ in 0..100 {
        assert_eq!(driver.end(3 * CALL, 9, LoadSignal::Answered), None);
    }
}

#[test]
fn where_a_probe_eases_nothing_what_it_measured_is_the_best() {
    let mut driver = Driver::after_trouble();
    assert_eq!([(); 2].map(|()| driver.round(10 * CALL)), [9, 4]);
    assert_eq!(driver.round(10 * CALL), 9);
    assert_eq!([(); 2].map(|()| driver.round(10 * CALL)), [10, 11]);
}

#[test]
fn where_a_probe_eases_the_latency_the_limit_fills_the_upstream_without_a_queue() {
    let mut driver = Driver::after_trouble();
    assert_eq!([(); 2].map(|()| driver.round(3 * CALL)), [9, 4]);
    assert_eq!(driver.round(CALL * 3 / 2), 3, "9 × best ÷ latency");
    assert_eq!(driver.round(CALL), 4);
}

#[test]
fn a_probe_that_meets_a_change_of_the_upstream_proves_nothing() {
    let mut driver = Driver::after_trouble();
    assert_eq!([(); 2].map(|()| driver.round(2 * CALL)), [9, 4]);
    assert_eq!(driver.round(9 * CALL), 9);
    assert_eq!(driver.round(2 * CALL), 8, "the best is what it was");
}

#[test]
fn an_unreached_probe_proves_nothing() {
    let mut driver = Driver::after_trouble();
    assert_eq!([(); 2].map(|()| driver.round(2 * CALL)), [9, 4]);
    assert_eq!(driver.round_with(2 * CALL, 3), 9);
    assert_eq!(driver.round(2 * CALL), 8, "the best is what it was");
}

#[test]
fn refusals_during_a_probe_lower_where_it_returns_to() {
    let mut driver = Driver::after_trouble();
    assert_eq!([(); 2].map(|()| driver.round(2 * CALL)), [9, 4]);
    driver.now += 2 * CALL;
    assert_eq!(driver.end(CALL, 4, LoadSignal::Overloaded), None);
    assert_eq!(driver.round(2 * CALL), 8);

    let mut driver = Driver::after_trouble();
    assert_eq!([(); 2].map(|()| driver.round(2 * CALL)), [9, 4]);
    for expected in [4, 4, 4, 4, 3, 2, 1, 1, 1] {
        driver.now += 2 * CALL;
        driver.end(CALL, 4, LoadSignal::Overloaded);
        assert_eq!(driver.limit.current(), expected);
    }
}

#[test]
fn a_probe_comes_again_after_a_hundred_rounds_that_reached_the_limit() {
    let mut driver = Driver::after_trouble();
    for round in 2..ROUNDS_PER_PROBE as usize {
        assert_eq!(driver.round(CALL), 9 + round);
        let limit = driver.limit.current();
        assert_eq!(driver.round_with(CALL, 1), limit, "does not count");
    }
    assert_eq!(driver.limit.current(), 108);
    assert_eq!(driver.round(CALL), 54);
    assert_eq!(driver.round(CALL), 108);
}

#[test]
fn a_better_round_moves_the_best_a_quarter_of_the_way() {
    let mut driver = Driver::after_trouble();
    assert_eq!(driver.round(CALL / 4), 11);
    // A quarter of the way from 100 to 25 ms in logarithms is 71 ms.
    assert_eq!(driver.round(CALL), 12);
    assert_eq!(driver.round(CALL * 11 / 10), 10);
}

#[test]
fn at_the_bottom_one_call_is_let_through_and_the_limit_climbs_again() {
    let mut driver = Driver::new();
    for _ in 0..100 {
        driver.now += CALL;
        driver.end(CALL, 1, LoadSignal::Overloaded);
    }
    assert_eq!(driver.limit.current(), MIN);
    // However slow: a call that is alone waits for no other of ours.
    let climb = [(); 6].map(|()| driver.round(20 * CALL));
    assert_eq!(climb, [2, 3, 4, 6, 9, 13]);
}

#[test]
fn the_limit_ends_at_the_most() {
    let mut driver = Driver::new();
    for _ in 0..50 {
        assert!(driver.round(CALL) <= MAX);
    }
    assert_eq!(driver.limit.current(), MAX);
}

#[test]
fn calls_that_say_nothing_change_nothing() {
    let mut driver = Driver::after_trouble();
    for _ in 0..1000 {
        driver.now += CALL;
        assert_eq!(driver.end(CALL / 1000, 10, LoadSignal::Ignored), None);
        assert_eq!(driver.end(CALL * 1000, 10, LoadSignal::Ignored), None);
    }
    assert_eq!(driver.round(CALL), 11);
}

#[test]
fn a_round_has_eight_calls_at_least() {
    let mut driver = Driver::new();
    for _ in 0..100 {
        driver.now += CALL;
        driver.end(CALL, 1, LoadSignal::Overloaded);
    }
    let limits = [(); FEWEST_CALLS].map(|()| {
        driver.now += CALL;
        driver.end(CALL, 1, LoadSignal::Answered)
    });
    assert_eq!(limits[..FEWEST_CALLS - 1], [None; FEWEST_CALLS - 1]);
    assert_eq!(limits[FEWEST_CALLS - 1], Some(2));
}

#[test]
fn a_round_with_jitter_lasts_until_its_latency_is_known() {
    // The deviation of the logarithms is ln 2, and (ln 2 / 0.05)² is 192; with ln 20
    // it would be 3590.
    for (spread, lasts) in [(2, 193), (20, MOST_CALLS)] {
        let mut driver = Driver::after_trouble();
        let mut calls = 0;
        while driver.limit.current() == 10 {
            driver.now += CALL;
            let even = calls % 2 == 0;
            let took = if even { CALL / spread } else { CALL * spread };
            driver.end(took, 10, LoadSignal::Answered);
            calls += 1;
        }
        assert_eq!((driver.limit.current(), calls), (11, lasts));
    }
}
