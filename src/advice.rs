//! What limits the proxy now, in words: each sentence with its numbers and the
//! setting it speaks of.
//!
//! Pure: [`Figures`] of the last minute in, sentences out, the most pressing first.
//! Each rule is a function of its own. The live page, `GET /advice` and
//! `microbatch advice` show them.

use serde::Serialize;

use crate::batcher::{FlushReason, Snapshot};
use crate::code::Code;
use crate::live::{Second, Spread};

/// How many of the last seconds the advice is drawn from.
pub const SECONDS: u64 = 60;

/// How pressing a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Callers suffer.
    Problem,
    /// It could be better.
    Hint,
    /// It is as it should be.
    Good,
}

/// One sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// How pressing it is.
    pub kind: Kind,
    /// The sentence; names and settings stand in backquotes.
    pub text: String,
    /// The setting it speaks of.
    pub setting: Option<&'static str>,
}

/// The settings that the rules look at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// `batch.max_size`.
    pub max_size: usize,
    /// `batch.max_wait`, in milliseconds.
    pub max_wait_ms: f64,
    /// `batch.wait = "adaptive"`.
    pub adaptive_wait: bool,
    /// `upstream.max_in_flight = "adaptive"`.
    pub adaptive_in_flight: bool,
    /// `queue.max_jobs`.
    pub queue_jobs: usize,
    /// `upstream.idempotent`.
    pub idempotent: bool,
}

/// What happened in the last minute, and what is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Jobs that entered the queue.
    pub jobs: u64,
    /// Batches that left.
    pub batches: u64,
    /// Jobs in them.
    pub batch_jobs: u64,
    /// Their mean fill, 0 to 1.
    pub fill: f64,
    /// Batches by why they left.
    pub reasons: [u64; FlushReason::ALL.len()],
    /// Answered jobs by what they came to, those that are not zero.
    pub outcomes: Vec<(Code, u64)>,
    /// The share of the active seconds in which every slot was taken.
    pub slots_busy: f64,
    /// The median and the 99th percentile of the wait in the queue, in milliseconds.
    pub wait_ms: [f64; 2],
    /// The same of the time at the upstream.
    pub upstream_ms: [f64; 2],
    /// The most jobs that waited.
    pub queue_jobs: usize,
    /// Jobs that a batch left without because it had another of the same id.
    pub kept_apart: u64,
    /// Batches sent again.
    pub retries: u64,
    /// Batches split.
    pub splits: u64,
    /// Slots there are.
    pub slots: usize,
    /// Open connections of callers.
    pub connections: usize,
    /// Whether jobs are refused because the upstream has failed too often.
    pub circuit_open: bool,
}

impl Figures {
    /// Sums the seconds up; they are those of the last minute.
    pub fn of(seconds: &[Second], now: Snapshot, circuit_open: bool) -> Self {
        let (mut wait, mut upstream) = (Spread::default(), Spread::default());
        let mut reasons = [0; FlushReason::ALL.len()];
        let mut outcomes = vec![0; Code::ALL.len()];
        for second in seconds {
            wait.merge(&second.wait);
            upstream.merge(&second.upstream);
            for (reason, count) in second.reasons() {
                reasons[reason as usize] += count;
            }
            for (code, count) in second.outcomes() {
                outcomes[code as usize] += count;
            }
        }
        let sum = |count: fn(&Second) -> u64| seconds.iter().map(count).sum::<u64>();
        let batches = sum(|it| it.batches);
        let fill: f64 = seconds
            .iter()
            .map(|it| it.mean_fill() * it.batches as f64)
            .sum();
        let busy: f64 = seconds.iter().map(Second::slots_busy).sum();
        let quantiles =
            |spread: &Spread| [0.5, 0.99].map(|it| spread.quantile_ms(it).unwrap_or(0.0));
        let outcomes = Code::ALL.iter().copied().zip(outcomes);
        Self {
            jobs: sum(|it| it.jobs),
            batches,
            batch_jobs: sum(|it| it.batch_jobs),
            fill: share(fill, batches as f64),
            reasons,
            outcomes: outcomes.filter(|&(_, count)| count > 0).collect(),
            slots_busy: share(busy, seconds.len() as f64),
            wait_ms: quantiles(&wait),
            upstream_ms: quantiles(&upstream),
            queue_jobs: seconds.iter().map(|it| it.queue_jobs).max().unwrap_or(0),
            kept_apart: sum(|it| it.kept_apart),
            retries: sum(|it| it.retries),
            splits: sum(|it| it.splits),
            slots: now.max_in_flight,
            connections: now.sources,
            circuit_open,
        }
    }

    fn reason(&self, reason: FlushReason) -> f64 {
        share(self.reasons[reason as usize] as f64, self.batches as f64)
    }

    fn mean_size(&self) -> f64 {
        share(self.batch_jobs as f64, self.batches as f64)
    }

    /// The share of answered jobs that failed for other reasons than their own, and
    /// the code that most of them got.
    fn failed(&self) -> (f64, Option<Code>) {
        let all: u64 = self.outcomes.iter().map(|(_, count)| count).sum();
        let own = [
            Code::Ok,
            Code::JobError,
            Code::UpstreamRejectedJob,
            Code::UpstreamTooLarge,
        ];
        let failed = || self.outcomes.iter().filter(|(code, _)| !own.contains(code));
        let sum: u64 = failed().map(|(_, count)| count).sum();
        let most = failed()
            .max_by_key(|(_, count)| count)
            .map(|(code, _)| *code);
        (share(sum as f64, all as f64), most)
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Everything there is to say, the most pressing first; never nothing.
pub fn advise(figures: &Figures, limits: &Limits) -> Vec<Advice> {
    if figures.circuit_open {
        return vec![circuit_open()];
    }
    if figures.jobs == 0 && figures.batches == 0 {
        return vec![no_jobs()];
    }
    let rules = [
        failures,
        full_queue,
        busy_slots,
        equal_ids,
        retries,
        splits,
        lonely_waits,
        few_connections,
        full_of_bytes,
        full_batches,
        nobody_to_wait_for,
    ];
    let mut advice: Vec<_> = rules
        .iter()
        .filter_map(|rule| rule(figures, limits))
        .collect();
    if advice.is_empty() {
        advice.push(fine(figures));
    }
    advice.sort_by_key(|it| it.kind);
    advice
}

fn say(kind: Kind, setting: Option<&'static str>, text: String) -> Advice {
    Advice {
        kind,
        text,
        setting,
    }
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        little if little > 0.0 && little < 1.0 => "under 1 %".to_owned(),
        most if most > 99.0 && most < 100.0 => "over 99 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

fn ms(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{} ms", (ms * 10.0).round() / 10.0),
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.0} s", ms / 1e3),
    }
}

fn count(number: f64) -> String {
    match number {
        small if small < 10.0 => format!("{}", (small * 10.0).round() / 10.0),
        number => format!("{number:.0}"),
    }
}

fn no_jobs() -> Advice {
    let text = "No job came in the last minute. Send one: `POST /jobs` on `server.listen`, with a \
                body such as `{\"id\":\"1\"}`.";
    say(Kind::Hint, Some("server.listen"), text.to_owned())
}

fn circuit_open() -> Advice {
    let text = "The circuit is open: the upstream has failed `circuit.failures` times in a row, and \
                jobs are refused until a probing batch is answered. Look at the last failed batches.";
    say(Kind::Problem, Some("circuit.failures"), text.to_owned())
}

fn failures(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let (share, most) = figures.failed();
    let most = most.filter(|_| share >= 0.01)?;
    let (setting, what) = match most {
        Code::UpstreamUnreachable | Code::UpstreamConnectTimeout => {
            (Some("upstream.url"), "nobody answers there")
        }
        Code::UpstreamTimeout | Code::DeadlineExceeded => (
            Some("upstream.timeout"),
            "the upstream needs longer than callers or `upstream.timeout` allow",
        ),
        Code::UpstreamOverloaded if !limits.idempotent => (
            Some("upstream.idempotent"),
            "the upstream asks for patience; with `upstream.idempotent` its batches would be sent \
             again, or let `upstream.max_in_flight = \"adaptive\"` find what it bears",
        ),
        Code::UpstreamOverloaded => (
            Some("upstream.max_in_flight"),
            "the upstream asks for patience; `upstream.max_in_flight = \"adaptive\"` would find \
             what it bears",
        ),
        Code::UpstreamRejectedBatch => (
            Some("upstream.split_on"),
            "one bad job may spoil its batch; `upstream.split_on` would find it",
        ),
        Code::UpstreamAuth => (
            Some("upstream.headers"),
            "it wants other credentials in `upstream.headers`",
        ),
        Code::QueueTimeout => (
            Some("server.request_timeout"),
            "jobs expire before a batch takes them: the upstream is too slow for what comes in",
        ),
        _ => (None, "look at the last failed batches"),
    };
    Some(say(
        Kind::Problem,
        setting,
        format!(
            "{} of jobs fail, most with `{most}`: {what}.",
            percent(share)
        ),
    ))
}

fn full_queue(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let taken = share(figures.queue_jobs as f64, limits.queue_jobs as f64);
    (taken >= 0.8).then(|| {
        let text = format!(
            "{} jobs waited at once, {} of `queue.max_jobs`: beyond that they are refused. More comes \
             in than the upstream takes.",
            figures.queue_jobs,
            percent(taken)
        );
        say(Kind::Problem, Some("queue.max_jobs"), text)
    })
}

fn busy_slots(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let wait = figures.wait_ms[0];
    (figures.slots_busy >= 0.5 && wait > limits.max_wait_ms * 1.5 + 1.0).then(|| {
        let then = if limits.adaptive_in_flight {
            "and more would make it slower"
        } else {
            "or raise `upstream.max_in_flight`"
        };
        let text = format!(
            "All {} slots are taken {} of the time, and jobs wait {} for one: the upstream limits \
             you, {then}.",
            figures.slots,
            percent(figures.slots_busy),
            ms(wait)
        );
        say(Kind::Problem, Some("upstream.max_in_flight"), text)
    })
}

fn equal_ids(figures: &Figures, _: &Limits) -> Option<Advice> {
    let apart = share(figures.kept_apart as f64, figures.jobs as f64);
    (apart >= 0.01).then(|| {
        let text = format!(
            "{} jobs had to wait for another of the same `id`, {} of those that came: two jobs of \
             one `id` never share a batch. Give each job an `id` of its own.",
            figures.kept_apart,
            percent(apart)
        );
        say(Kind::Hint, None, text)
    })
}

fn retries(figures: &Figures, _: &Limits) -> Option<Advice> {
    let again = share(figures.retries as f64, figures.batches as f64);
    (again >= 0.01).then(|| {
        let text = format!(
            "{} batches were sent again in the last minute, {} of those that left: callers wait \
             longer for it, and the upstream works more.",
            figures.retries,
            percent(again)
        );
        say(Kind::Hint, Some("retry.max_attempts"), text)
    })
}

fn splits(figures: &Figures, _: &Limits) -> Option<Advice> {
    let split = share(figures.splits as f64, figures.batches as f64);
    (split >= 0.05).then(|| {
        let text = format!(
            "{} batches were sent again in halves: where the upstream answers 413 to large ones, a \
             lower `batch.max_size` or `batch.max_bytes` spares that.",
            figures.splits
        );
        say(Kind::Hint, Some("batch.max_size"), text)
    })
}

fn lonely_waits(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let waited = figures.reason(FlushReason::Wait);
    let lonely = waited >= 0.5 && figures.fill < 0.5 && limits.max_wait_ms >= 1.0;
    (lonely && !limits.adaptive_wait).then(|| {
        let text = format!(
            "{} of batches leave on `wait`, {} full: callers pay {} for little company. \
             `batch.wait = \"adaptive\"` would spare it, a longer `batch.max_wait` find more.",
            percent(waited),
            percent(figures.fill),
            ms(limits.max_wait_ms)
        );
        say(Kind::Hint, Some("batch.wait"), text)
    })
}

fn few_connections(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let connections = figures.connections;
    let few = connections > 0 && connections < limits.max_size;
    // Where batches are larger than that, a connection has many jobs in at a time.
    (few && figures.mean_size() <= connections as f64 && figures.fill < 0.9).then(|| {
        let text = format!(
            "{connections} connections with a job each can never fill batches of {}: the mean is {}. \
             More callers would, or several jobs at a time by HTTP/2.",
            limits.max_size,
            count(figures.mean_size())
        );
        say(Kind::Hint, Some("batch.max_size"), text)
    })
}

fn full_of_bytes(figures: &Figures, _: &Limits) -> Option<Advice> {
    let bytes = figures.reason(FlushReason::Bytes);
    (bytes >= 0.3).then(|| {
        let text = format!(
            "{} of batches leave because the next job would exceed `batch.max_bytes`: raise it if \
             the upstream takes more.",
            percent(bytes)
        );
        say(Kind::Hint, Some("batch.max_bytes"), text)
    })
}

fn full_batches(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let size = figures.reason(FlushReason::Size);
    (size >= 0.5).then(|| {
        let text = format!(
            "{} of batches leave full, with {} jobs: a larger `batch.max_size` pays if the upstream \
             takes more at once.",
            percent(size),
            limits.max_size
        );
        say(Kind::Good, Some("batch.max_size"), text)
    })
}

fn nobody_to_wait_for(figures: &Figures, _: &Limits) -> Option<Advice> {
    let idle = figures.reason(FlushReason::Idle);
    (idle >= 0.5).then(|| {
        let text = format!(
            "{} of batches leave at once because nobody is worth waiting for: callers wait {} for \
             their batch.",
            percent(idle),
            ms(figures.wait_ms[0])
        );
        say(Kind::Good, Some("batch.wait"), text)
    })
}

fn fine(figures: &Figures) -> Advice {
    let text = format!(
        "Nothing stands out: {} jobs to a batch, {} full; callers wait {} for their batch and {} for \
         the upstream.",
        count(figures.mean_size()),
        percent(figures.fill),
        ms(figures.wait_ms[0]),
        ms(figures.upstream_ms[0])
    );
    say(Kind::Good, None, text)
}

#[cfg(test)]
#[path = "advice_tests.rs"]
mod tests;
