//! How far a run is: what is counted, and where it is shown.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// What the rate is taken over.
const RATE_OVER: Duration = Duration::from_secs(10);

/// How often a bar is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(200);

/// How often a line is printed where there is no terminal.
const PRINTED_EVERY: Duration = Duration::from_secs(10);

/// What was counted. Pure: the time comes in as an argument.
#[derive(Debug)]
pub struct Figures {
    /// Results written that are none of a failure, by earlier runs too.
    pub done: u64,
    /// Results written that are.
    pub failed: u64,
    /// Bytes of the input whose results are written.
    bytes: u64,
    /// Bytes of the whole input, where that is known.
    total: Option<u64>,
    /// What was counted lately: when, how many results and how many bytes.
    lately: VecDeque<(Instant, u64, u64)>,
}

impl Figures {
    /// Nothing but what earlier runs have done.
    pub fn new(done: u64, failed: u64, total: Option<u64>) -> Self {
        Self {
            done,
            failed,
            bytes: 0,
            total,
            lately: VecDeque::new(),
        }
    }

    /// A part of the input needed nothing any more.
    pub fn skipped(&mut self, bytes: u64) {
        self.bytes += bytes;
        for (.., then) in &mut self.lately {
            *then += bytes;
        }
    }

    /// A result was written, of a job that took up so much of the input.
    pub fn written(&mut self, failed: bool, bytes: u64) {
        match failed {
            true => self.failed += 1,
            false => self.done += 1,
        }
        self.bytes += bytes;
    }

    /// To be called now and then, for the rate.
    pub fn sample(&mut self, now: Instant) {
        self.lately
            .push_back((now, self.done + self.failed, self.bytes));
        // The first one stays that is old enough: the rate is over no less.
        while let [_, (second, ..), ..] = self.lately.make_contiguous()
            && now.duration_since(*second) >= RATE_OVER
        {
            self.lately.pop_front();
        }
    }

    /// Results and bytes a second, lately.
    fn rates(&self) -> Option<(f64, f64)> {
        let (&(from, jobs, bytes), &(to, jobs_then, bytes_then)) =
            (self.lately.front()?, self.lately.back()?);
        let seconds = to.duration_since(from).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
        let rate = |from: u64, to: u64| (to - from) as f64 / seconds;
        (seconds > 0.0).then(|| (rate(jobs, jobs_then), rate(bytes, bytes_then)))
    }

    /// How long the rest takes at this rate, in whole seconds.
    pub fn left(&self) -> Option<Duration> {
        let left = self.total?.saturating_sub(self.bytes);
        let (_, rate) = self.rates()?;
        #[expect(clippy::cast_precision_loss, reason = "a guess")]
        let seconds = (left as f64 / rate).ceil();
        let left = Duration::try_from_secs_f64(seconds).ok()?;
        Some(Duration::from_secs(left.as_secs()))
    }

    /// In words.
    pub fn words(&self) -> String {
        let mut words = format!("{} done, {} failed", self.done, self.failed);
        if let Some((rate, _)) = self.rates() {
            words.push_str(&format!(", {rate:.0}/s"));
        }
        if let Some(left) = self.left() {
            words.push_str(&format!(", {} left", humantime::format_duration(left)));
        }
        words
    }
}

/// Where it is shown.
pub enum Display {
    /// A bar in the terminal.
    Bar(ProgressBar),
    /// Lines on stderr.
    Lines,
    /// Nowhere.
    Off,
}

impl Display {
    /// A bar where stderr is a terminal that the results don't go to, else lines.
    pub fn new(quiet: bool, results_on_terminal: bool, total: Option<u64>) -> Self {
        if quiet {
            return Self::Off;
        }
        if results_on_terminal || !std::io::stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let template = match total {
            Some(_) => "{bar:30} {percent:>3}% {msg}",
            None => "{spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// How often it wants to be shown.
    pub fn every(&self) -> Duration {
        match self {
            Self::Bar(_) => DRAWN_EVERY,
            Self::Lines | Self::Off => PRINTED_EVERY,
        }
    }

    /// Shows how far it is, and what it waits for.
    pub fn show(&self, figures: &Figures, trouble: Option<&str>) {
        let mut words = figures.words();
        if let Some(trouble) = trouble {
            words.push_str(&format!(" ({trouble})"));
        }
        match self {
            Self::Bar(bar) => {
                bar.set_position(figures.bytes);
                bar.set_message(words);
                bar.tick();
            }
            Self::Lines => eprintln!("microbatch submit: {words}"),
            Self::Off => {}
        }
    }

    /// Says something once.
    pub fn say(&self, words: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| eprintln!("microbatch submit: {words}")),
            Self::Lines => eprintln!("microbatch submit: {words}"),
            Self::Off => {}
        }
    }

    /// Takes the bar away, and says what came of it all.
    pub fn end(&self, figures: &Figures) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
        self.say(&format!("{} done, {} failed", figures.done, figures.failed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_run() {
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        let mut figures = Figures::new(7, 1, Some(1_000));
        figures.sample(start);
        assert_eq!(figures.words(), "7 done, 1 failed");
        // What an earlier run has done is no work of this one.
        figures.skipped(100);
        for n in 1..=30 {
            (0..2).for_each(|_| figures.written(n == 1, 10));
            figures.sample(second(n));
            assert!(figures.lately.len() <= 12);
        }
        assert_eq!(figures.words(), "65 done, 3 failed, 2/s, 15s left");
        for n in 31..=60 {
            figures.sample(second(n));
        }
        // Nothing happens: there is no telling.
        assert_eq!(figures.words(), "65 done, 3 failed, 0/s");
        let mut unknown = Figures::new(0, 0, None);
        unknown.sample(start);
        unknown.written(false, 10);
        unknown.sample(second(1));
        assert_eq!(unknown.words(), "1 done, 0 failed, 1/s");
    }
}
