//! Rules about jobs that fail: how many, and with what.

use super::figures::{Figures, Limits};
use super::reasons::{Reason, reason};
use super::sentence::{Advice, Kind, say};
use crate::code::Code;
use crate::observe::live::Failures;
use crate::observe::words::{percent, quoted, share, things};

/// From this share of failed jobs on nothing else matters.
const OUTAGE: f64 = 0.9;

/// Below this share of failed jobs nothing is said.
const FEW: f64 = 0.01;

/// Jobs are refused, and none is sent, since others failed before.
pub(super) fn circuit_open(figures: &Figures, limits: &Limits) -> Option<Advice> {
    if !figures.circuit_open {
        return None;
    }
    let open = "The circuit is open: the upstream has failed `circuit.failures` times in a row, and \
                jobs are refused until a probing batch is answered.";
    let Some(last) = figures.failures.first() else {
        let text = open.to_owned();
        return Some(say(Kind::Problem, "circuit.failures", text));
    };
    let reason = reason(last.outcome, Some(last), figures, limits);
    let said = says(Some(last));
    let text = format!(
        "{open} It failed with `{}`: {}.{said}",
        last.outcome, reason.text
    );
    let setting = reason.setting.unwrap_or("circuit.failures");
    Some(say(Kind::Problem, setting, text))
}

/// From this share of departed callers on it is worth a word.
const MANY_DEPARTED: f64 = 0.1;

/// Callers leave while the upstream has their jobs.
pub(super) fn departures(figures: &Figures, _: &Limits) -> Option<Advice> {
    let of = figures.departed + figures.answered();
    (share(figures.departed as f64, of as f64) >= MANY_DEPARTED).then(|| {
        let text = format!(
            "{} of {} left before the upstream had answered: it takes longer than they wait, or \
             hangs. See how long its answers take (`upstream_duration_seconds`), and give callers \
             more time than `upstream.timeout`.",
            figures.departed,
            things(of, "caller")
        );
        say(Kind::Problem, "upstream.timeout", text)
    })
}

/// The same where hardly anybody stays.
pub(super) fn exodus(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let of = figures.departed + figures.answered();
    let departures = departures(figures, limits)?;
    (share(figures.departed as f64, of as f64) >= OUTAGE).then_some(departures)
}

/// Nothing gets through, or hardly anything.
pub(super) fn outage(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let failed = Failed::of(figures);
    (failed.share >= OUTAGE).then(|| {
        let much = match failed.jobs == failed.of {
            true => "Nothing gets through",
            false => "Hardly anything gets through",
        };
        let start = format!(
            "{much}: {} of {} failed in the last minute",
            failed.jobs,
            things(failed.of, "job")
        );
        failed.sentence(&start, figures, limits)
    })
}

/// Some jobs fail.
pub(super) fn some(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let failed = Failed::of(figures);
    // Where ids rule, jobs expire because they go one after another.
    let by_ids = figures.is_ruled_by_ids() && failed.most() == Some(Code::QueueTimeout);
    ((FEW..OUTAGE).contains(&failed.share) && !by_ids).then(|| {
        let start = format!("{} of jobs fail", percent(failed.share));
        failed.sentence(&start, figures, limits)
    })
}

/// The jobs that failed for other reasons than their own.
struct Failed {
    jobs: u64,
    of: u64,
    share: f64,
    /// What they came to, most first.
    codes: Vec<(Code, u64)>,
}

impl Failed {
    fn of(figures: &Figures) -> Self {
        let own = |code| match code {
            Code::Ok | Code::JobError => true,
            // Where every job is refused it is not the jobs.
            Code::UpstreamRejectedJob | Code::UpstreamTooLarge => figures.some_succeed(),
            _ => false,
        };
        let ended = figures.ended();
        let mut codes: Vec<_> = ended.counts().filter(|(code, _)| !own(*code)).collect();
        // A batch that an open circuit held back failed for what opened it.
        codes.sort_by_key(|&(code, jobs)| (code == Code::CircuitOpen, std::cmp::Reverse(jobs)));
        let jobs = codes.iter().map(|(_, jobs)| jobs).sum();
        let of = ended.sum();
        Self {
            jobs,
            of,
            share: share(jobs as f64, of as f64),
            codes,
        }
    }

    fn most(&self) -> Option<Code> {
        self.codes.first().map(|(code, _)| *code)
    }

    fn sentence(&self, start: &str, figures: &Figures, limits: &Limits) -> Advice {
        let code = self.most().unwrap_or(Code::Internal);
        let most = if self.codes.len() > 1 { ", most" } else { "" };
        let of_code = |it: &&Failures| it.outcome == code;
        let last = figures.failures.iter().find(of_code);
        let reason = match code {
            Code::CircuitOpen => circuit_was_open(figures, limits),
            _ => reason(code, last, figures, limits),
        };
        let said = says(last);
        let text = format!("{start}{most} with `{code}`: {}.{said}", reason.text);
        say(Kind::Problem, reason.setting, text)
    }
}

fn circuit_was_open(figures: &Figures, limits: &Limits) -> Reason {
    match figures.failures.first() {
        Some(last) => reason(last.outcome, Some(last), figures, limits),
        None => Reason::new("circuit.failures", "the upstream had failed before"),
    }
}

/// What the upstream wrote, where it answered with a failure.
fn says(last: Option<&Failures>) -> String {
    let answer = last.and_then(|last| last.answer.as_ref());
    let excerpt = answer.and_then(|answer| answer.excerpt.as_deref());
    match excerpt.map(quoted).filter(|it| !it.is_empty()) {
        Some(excerpt) => format!(" It says: {excerpt}"),
        None => String::new(),
    }
}
