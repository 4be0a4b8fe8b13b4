//! Logs: to standard error, as text for people or JSON for machines.

use std::io::{IsTerminal, stderr};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Log, LogFormat};

/// Why there is no log.
#[derive(Debug, Error)]
pub enum InitError {
    /// `log.level` says nothing that is known.
    #[error("log.level: {0:?} is not a filter")]
    Level(String),
    /// There is one.
    #[error("the log was already set up")]
    Again,
}

/// Sends the process's log to standard error from here on.
///
/// # Errors
/// If `level` is no filter, or a log was set up before.
pub fn init(settings: &Log) -> Result<(), InitError> {
    let targets = settings.level.parse::<Targets>();
    let targets = targets.map_err(|_| InitError::Level(settings.level.clone()))?;
    let terminal = stderr().is_terminal();
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    let lines = fmt::layer().with_writer(stderr);
    let lines = if json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.with_ansi(terminal).with_target(false).boxed()
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .try_init()
        .map_err(|_| InitError::Again)?;
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "panicked");
    }));
    Ok(())
}

/// Lets one of many equal warnings through now and then.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Option<(Instant, u64)>>);

impl Seldom {
    /// The least time between two that are let through.
    pub const INTERVAL: Duration = Duration::from_secs(10);

    /// Whether to speak now: with the number of times it was not, since the last.
    pub fn now(&self) -> Option<u64> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some((spoke, silent)) if spoke.elapsed() < Self::INTERVAL => {
                *silent += 1;
                None
            }
            other => {
                let silent = other.map_or(0, |(_, silent)| silent);
                *other = Some((Instant::now(), 0));
                Some(silent)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_warning() {
        let seldom = Seldom::default();
        assert_eq!(seldom.now(), Some(0));
        assert_eq!(seldom.now(), None);
        assert_eq!(seldom.now(), None);
        let long_ago = Instant::now().checked_sub(Seldom::INTERVAL);
        if let (Some((spoke, _)), Some(long_ago)) = (&mut *seldom.0.lock().unwrap(), long_ago) {
            *spoke = long_ago;
        }
        assert_eq!(seldom.now(), Some(2));
    }
}
