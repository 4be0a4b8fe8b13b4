//! What goes out about the process: its log, to standard error, as text for people or JSON
//! for machines; and its spans, to a collector.
//!
//! `main` sets the log up once, with [`init`]. It promises that logging never waits
//! for the log's reader, and that a line is safe to look at whatever is in it. `app` starts
//! [`Exporting`], which promises the same of spans; all of OpenTelemetry is there, behind
//! the feature `otlp`.

mod collector;
mod exporting;
mod line;
#[cfg(feature = "otlp")]
mod otlp;
mod sampler;
mod writer;

use std::io::{self, IsTerminal, stderr};
use std::sync::OnceLock;
use std::time::Duration;

use thiserror::Error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

pub use collector::{Collector, Protocol, StartError};
pub use exporting::Exporting;
use line::Lines;
pub use sampler::Sampler;
use writer::Writer;

/// What is logged.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which levels, by target.
    pub targets: Targets,
    /// How lines are written.
    pub format: Format,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [`Format::Text`] when stderr is a terminal, else [`Format::Json`].
    Auto,
    /// One line for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why there is no log.
#[derive(Debug, Error)]
pub enum InitError {
    /// The system gives no thread to write it.
    #[error("the system gives no thread to write the log: {0}")]
    Thread(io::Error),
    /// There is one.
    #[error("the log was already set up")]
    Again,
}

/// The process's log, once it is set up.
static LOG: OnceLock<Writer> = OnceLock::new();

/// The longest that [`flush`] waits for the log's reader.
const FLUSH: Duration = Duration::from_millis(500);

/// Sends the process's log to standard error from here on, a panic's words too.
///
/// # Errors
/// If a log was set up before, or there is no thread for it.
pub fn init(settings: &Settings) -> Result<(), InitError> {
    let terminal = stderr().is_terminal();
    let lines = match settings.format {
        Format::Auto if !terminal => Lines::Json,
        Format::Json => Lines::Json,
        Format::Text | Format::Auto => Lines::Text { colours: terminal },
    };
    let writer = Writer::start(stderr()).map_err(InitError::Thread)?;
    LOG.set(writer.clone()).map_err(|_| InitError::Again)?;
    let layer = fmt::layer()
        .event_format(lines)
        .fmt_fields(lines)
        .with_writer(move || writer.clone());
    tracing_subscriber::registry()
        .with(layer.with_filter(told(&settings.targets)))
        .try_init()
        .map_err(|_| InitError::Again)?;
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "panicked");
    }));
    Ok(())
}

/// Waits until what was logged is written: for half a second at most, since its
/// reader may have stopped.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.flush(FLUSH);
    }
}

/// How many lines of the log were dropped, since nobody read them in time.
pub fn lines_dropped() -> u64 {
    LOG.get().map_or(0, Writer::dropped)
}

/// What a filter lets through. A level without a target is ours: the libraries below
/// tell of what callers and upstreams do at any level up to `warn`, as often as they
/// do it, so they are told from `error` on, but for those that the filter names.
fn told(filter: &Targets) -> Targets {
    let ours = filter.default_level();
    let others = ours.map_or(LevelFilter::ERROR, |it| it.min(LevelFilter::ERROR));
    let named = filter
        .iter()
        .map(|(target, level)| (target.to_owned(), level));
    let ours = ours.map(|level| (env!("CARGO_PKG_NAME").to_owned(), level));
    Targets::new()
        .with_default(others)
        .with_targets(ours)
        .with_targets(named)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_are_told_from_errors_on_unless_a_filter_names_them() {
        for (filter, target, expected) in [
            ("info", "microbatch::app", LevelFilter::INFO),
            ("trace", "microbatch", LevelFilter::TRACE),
            ("trace", "h2::proto", LevelFilter::ERROR),
            ("off", "microbatch", LevelFilter::OFF),
            ("off", "h2", LevelFilter::OFF),
            ("warn,h2=debug", "h2::proto", LevelFilter::DEBUG),
            ("warn,h2=debug", "microbatch", LevelFilter::WARN),
            ("warn,h2=debug", "hyper", LevelFilter::ERROR),
            ("h2=off", "h2", LevelFilter::OFF),
            ("warn,microbatch=debug", "microbatch", LevelFilter::DEBUG),
            (
                "info,microbatch::http=trace",
                "microbatch::http::jobs",
                LevelFilter::TRACE,
            ),
            (
                "info,microbatch::http=trace",
                "microbatch::app",
                LevelFilter::INFO,
            ),
        ] {
            let told = told(&filter.parse().unwrap());
            for level in [
                Level::ERROR,
                Level::WARN,
                Level::INFO,
                Level::DEBUG,
                Level::TRACE,
            ] {
                let enabled = told.would_enable(target, &level);
                assert_eq!(enabled, level <= expected, "{filter}: {target} {level}");
            }
        }
    }
}
