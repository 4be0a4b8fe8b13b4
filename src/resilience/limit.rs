//! How many batches may be in flight, found out by trying.
//!
//! The engine holds one [`Limit`] per upstream and tells it how each
//! call ended; it answers with the new limit, where that changes. It is a pure
//! value: no clock, no task, no I/O, no allocation, and a few floating point
//! operations per call.
//!
//! # The rules
//!
//! It is AIMD, additive increase and multiplicative decrease, judged once per
//! *round*. A round is as many calls as the limit, about one round trip.
//!
//! | what a round says | what becomes of the limit |
//! |---|---|
//! | it was never reached | nothing: there is no evidence |
//! | reached, and quick | 1 more; half as many again until the first trouble |
//! | a call met 429, 503 or its timeout | a tenth less at once, if that call started after the last decrease |
//! | slower than [`TOLERANCE`] × the best | a tenth less |
//! | slow twice in a row, or [`ROUNDS_PER_PROBE`] rounds passed | a probe |
//!
//! A decrease needs a call that started after the one before it, so a burst of
//! failures counts once; what is left of the burst only keeps its round from raising
//! the limit. Calls refused at random, a share `p` of all, take as much as the others
//! give where `limit² = 10 / p` at most: near 29 for one in a hundred, near 11 for one
//! in twenty. At [`MIN`] nothing is known any more, and the limit climbs as at the
//! start.
//!
//! # The recent best
//!
//! Latency is judged against the best that is still true. A minimum that only
//! forgets with time drifts: a queue that stands long enough becomes the normal, and
//! the limit grows without end. So the best only falls by itself, and a *probe*
//! raises it: for one round the limit is halved. Where latency hardly eases, the
//! queue is not ours. The upstream itself, the network or the batches have changed;
//! what was measured is the new best, and the limit returns. Where latency eases
//! with it, the queue was ours, and the limit becomes what fills the upstream
//! without a queue: by Little's law the old limit × best latency ÷ old latency.
//!
//! # What is measured
//!
//! The mean of the logarithms of a round's latencies, the geometric mean: one call
//! that takes a hundred times longer moves it little, and a round lasts until it is
//! known to a twentieth. Latency is not divided by the size of the batch: the reason to
//! batch is that most of a call's cost is the call, so dividing would make small
//! batches look slow and large ones quick. Within a round sizes average out, and
//! where they change for good a probe finds that the queue is not ours.

use std::time::Duration;

use tokio::time::Instant;

/// The limit before anything is known.
pub const START: usize = 10;

/// The least: one call is always let through, or nothing would be learnt any more.
pub const MIN: usize = 1;

/// The most, whatever the evidence.
pub const MAX: usize = 1000;

/// How much slower than the best is taken for a queue; that of Netflix's Gradient2.
/// An upstream that serves `n` calls at once settles at up to so many times `n`.
pub const TOLERANCE: f64 = 1.5;

/// How many rounds that reached the limit pass between two probes. A probe costs half
/// a round's throughput, so this is a cost of less than one per cent.
pub const ROUNDS_PER_PROBE: u32 = 100;

/// Slow rounds in a row that make the best doubtful.
const SLOW_ROUNDS: u32 = 2;

/// What share of its own logarithmic decrease a probe must take from the latency for
/// the queue to be ours. At a half, throughput ÷ latency is greatest (Kleinrock's
/// power, 1979): from there on more calls cost more latency than they bring.
const ELASTICITY: f64 = 0.5;

/// How far the best goes towards a better round: noise makes some rounds too good.
const FALL: f64 = 0.25;

/// The fewest calls in a round, where the limit is lower.
const FEWEST_CALLS: usize = 8;

/// After how many calls a round ends, however uncertain, where the limit is lower.
const MOST_CALLS: usize = 256;

/// The standard error of a round's mean logarithm that is good enough: a twentieth of
/// the latency, an eighth of what [`TOLERANCE`] allows.
const PRECISION: f64 = 0.05;

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was sent.
    pub started: Instant,
    /// When its answer was complete, or it was given up.
    pub ended: Instant,
    /// How many calls were in flight just before it ended, itself included.
    pub in_flight: usize,
    /// What it says of the upstream's load.
    pub load: LoadSignal,
}

/// What the end of a call says of the upstream's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadSignal {
    /// The upstream did the work: the time it took counts.
    Answered,
    /// Refused for load (429, 503) or not answered in time.
    Overloaded,
    /// Says nothing: refused for other reasons, unreachable, aborted by us.
    Ignored,
}

/// How many calls may be in flight.
#[derive(Debug)]
pub struct Limit {
    limit: usize,
    round: Round,
    /// The best round of late, as the logarithm of seconds.
    best: Option<f64>,
    /// Rounds in a row that were too slow.
    slow: u32,
    /// Rounds until the next probe.
    to_probe: u32,
    probe: Option<Probe>,
    /// No trouble yet: the limit may rise faster than by one.
    steep: bool,
    /// Refusals of calls that started before are about a limit that is gone.
    lowered: Option<Instant>,
}

/// A round at half the limit.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// The limit before, and the latency it led to.
    limit: usize,
    latency: f64,
    /// Where to return to; refused calls lower it.
    back: usize,
}

/// The calls the next judgement rests on.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// Calls that started before met another limit and don't count.
    since: Option<Instant>,
    calls: usize,
    /// The mean of the logarithms, and the sum of the squares of the distances from
    /// it (Welford).
    mean: f64,
    squares: f64,
    reached: bool,
    /// A call was refused that no decrease answered, as it started before the last.
    stale: bool,
}

impl Default for Limit {
    fn default() -> Self {
        Self::new()
    }
}

impl Limit {
    /// Starts at [`START`]; the first probe comes after the first round, since that
    /// may be slow already.
    pub fn new() -> Self {
        Self {
            limit: START,
            round: Round::default(),
            best: None,
            slow: 0,
            to_probe: 1,
            probe: None,
            steep: true,
            lowered: None,
        }
    }

    /// How many calls may be in flight, from [`MIN`] to [`MAX`].
    pub fn current(&self) -> usize {
        self.limit
    }

    /// Learns from a call that has ended. Returns the new limit if it changed.
    pub fn record(&mut self, sample: Sample) -> Option<usize> {
        let before = self.limit;
        match sample.load {
            LoadSignal::Answered => self.answered(sample),
            LoadSignal::Overloaded => self.refused(sample),
            LoadSignal::Ignored => {}
        }
        (self.limit != before).then_some(self.limit)
    }

    fn answered(&mut self, sample: Sample) {
        if self.round.since.is_some_and(|since| sample.started < since) {
            return;
        }
        let latency = sample.ended.saturating_duration_since(sample.started);
        self.round.add(latency);
        self.round.reached |= sample.in_flight >= self.limit;
        if self.round.is_over(self.limit) {
            let round = std::mem::take(&mut self.round);
            match self.probe.take() {
                Some(probe) => self.conclude(probe, round, sample.ended),
                None => self.judge(round, sample.ended),
            }
        }
    }

    fn refused(&mut self, sample: Sample) {
        if self.lowered.is_some_and(|lowered| sample.started < lowered) {
            self.round.stale = true;
            return;
        }
        self.lowered = Some(sample.ended);
        match &mut self.probe {
            Some(probe) if less(probe.back) > self.limit => probe.back = less(probe.back),
            _ => {
                self.probe = None;
                self.limit = less(self.limit);
            }
        }
        // At the bottom nothing is known any more, so the climb is that of the start.
        self.steep = self.limit == MIN;
    }

    fn judge(&mut self, round: Round, now: Instant) {
        let latency = round.mean;
        let best = *self.best.get_or_insert(latency);
        // One call at a time is as good as a probe: no queue is ours.
        if round.reached && self.limit == MIN {
            self.best = Some(latency);
            self.to_probe = ROUNDS_PER_PROBE;
        } else if latency < best {
            self.best = Some(best + FALL * (latency - best));
        }
        if !round.reached {
            return;
        }
        let slow = self.limit > MIN && latency > best + TOLERANCE.ln();
        self.slow = if slow { self.slow + 1 } else { 0 };
        self.to_probe -= 1;
        if self.slow >= SLOW_ROUNDS || self.to_probe == 0 {
            self.start_probe(latency, now);
        } else if slow {
            self.limit = less(self.limit);
            self.lowered = Some(now);
            self.round.since = Some(now);
            self.steep = false;
        } else if !round.stale {
            let step = if self.steep { self.limit / 2 } else { 1 };
            self.limit = (self.limit + step.max(1)).min(MAX);
        }
    }

    fn start_probe(&mut self, latency: f64, now: Instant) {
        self.slow = 0;
        self.to_probe = ROUNDS_PER_PROBE;
        self.probe = Some(Probe {
            limit: self.limit,
            latency,
            back: self.limit,
        });
        self.limit /= 2;
        self.round.since = Some(now);
    }

    fn conclude(&mut self, probe: Probe, round: Round, now: Instant) {
        let half = self.limit;
        let known = self.best.unwrap_or(round.mean);
        let best = known.min(round.mean);
        let eased = probe.latency - round.mean;
        let ours = ELASTICITY * (probe.limit as f64 / half as f64).ln();
        self.limit = probe.back;
        self.round.since = Some(now);
        if !round.reached {
            // Nobody wanted more than half: latency has no reason to ease.
            self.best = Some(best);
        } else if eased < -ours {
            // Slower with less: the upstream changed meanwhile.
            self.to_probe = SLOW_ROUNDS;
        } else if eased < ours {
            self.best = Some(round.mean);
        } else {
            self.best = Some(best);
            let fills = probe.limit as f64 * (best - probe.latency).exp();
            self.limit = (fills.round() as usize).clamp(MIN, probe.back);
            self.steep = false;
            // Better than all before it: half may have been too many as well.
            if best < known - PRECISION {
                self.to_probe = 1;
            }
        }
    }
}

impl Round {
    fn add(&mut self, latency: Duration) {
        // Below a microsecond no network call ends; zero has no logarithm.
        let value = latency.as_secs_f64().max(1e-6).ln();
        self.calls += 1;
        let distance = value - self.mean;
        self.mean += distance / self.calls as f64;
        self.squares += distance * (value - self.mean);
    }

    fn is_over(&self, limit: usize) -> bool {
        let error = self.squares.sqrt() / self.calls as f64;
        self.calls >= limit.max(FEWEST_CALLS) && (error <= PRECISION || self.calls >= MOST_CALLS)
    }
}

/// A tenth less, and at least one.
fn less(limit: usize) -> usize {
    (limit * 9 / 10).max(MIN)
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
