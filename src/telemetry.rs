//! What goes out about the process: its log, to standard error, as text for people or JSON
//! for machines; the access log, to standard output; and its spans, to a collector.
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

use std::io::{self, IsTerminal, Write as _, stderr, stdout};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

pub use collector::{Collector, Protocol, StartError};
pub use exporting::Exporting;
use line::Lines;
pub use sampler::Sampler;
use writer::Writer;

use crate::printable::printable_json;

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
static LOG: OnceLock<Log> = OnceLock::new();

#[derive(Debug)]
struct Log {
    writer: Writer,
    /// What is let through. A line that is not costs what it does without this: each place
    /// that logs knows whether it is, and is told when that changes.
    filter: Handle<Targets, Registry>,
}

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
    let (filter, handle) = reload::Layer::new(told(&settings.targets));
    let log = Log {
        writer: writer.clone(),
        filter: handle,
    };
    LOG.set(log).map_err(|_| InitError::Again)?;
    let layer = fmt::layer()
        .event_format(lines)
        .fmt_fields(lines)
        .with_writer(move || writer.clone());
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|_| InitError::Again)?;
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "panicked");
    }));
    Ok(())
}

/// These levels are logged from here on; lines are written as before.
pub fn set(settings: &Settings) {
    if let Some(log) = LOG.get() {
        // It is there as long as the log is.
        let _gone = log.filter.reload(told(&settings.targets));
    }
}

/// The access log, once a line of it was written; none where there is no thread for it.
static ACCESS: OnceLock<Option<Writer>> = OnceLock::new();

/// Lines of the access log that there was no thread for.
static UNWRITTEN: AtomicU64 = AtomicU64::new(0);

/// Writes a line of JSON to standard output, which is not waited for: where its reader
/// takes too long it is dropped, and counted with those of the log.
pub fn write_access(line: &[u8]) {
    let writer = ACCESS.get_or_init(|| Writer::start(stdout()).ok());
    let Some(mut writer) = writer.clone() else {
        UNWRITTEN.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let mut line = printable_json(line);
    line.push('\n');
    // It takes a line whole or drops it.
    let _ = writer.write(line.as_bytes());
}

/// What writes the log and the access log, as far as they are set up.
fn writers() -> impl Iterator<Item = &'static Writer> {
    let log = LOG.get().map(|log| &log.writer);
    log.into_iter().chain(ACCESS.get().into_iter().flatten())
}

/// Waits until what was logged is written: for half a second at most, since its
/// reader may have stopped.
pub fn flush() {
    writers().for_each(|it| it.flush(FLUSH));
}

/// How many lines of the log, and of the access log, were dropped, since nobody read them in time.
pub fn lines_dropped() -> u64 {
    writers().map(Writer::dropped).sum::<u64>() + UNWRITTEN.load(Ordering::Relaxed)
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
