//! The flags of `microbatch upstream`, and what `microbatch demo` and the tests fill in by hand.

use std::num::NonZeroUsize;
use std::time::Duration;

use axum::http::StatusCode;

use super::service::Service;
use crate::address::parse_tcp;

/// How the sample upstream behaves.
///
/// The default answers every job of every batch, in order and at once. Rates are probabilities
/// from 0 to 1.
#[derive(clap::Args, Clone, Debug, PartialEq)]
pub struct Args {
    /// Address to listen on
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9000")]
    #[arg(value_parser = parse_tcp)]
    pub listen: String,

    /// Service to stand in for, by its preset's name
    #[arg(long, value_name = "NAME", value_enum, default_value = "jobs")]
    #[arg(hide_possible_values = true)]
    pub shape: Service,

    /// Time a batch takes, such as 5ms
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    pub delay: Duration,

    /// Time each job adds to its batch
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    pub per_job_delay: Duration,

    /// Random time added to a batch, uniform from 0 to this
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    pub jitter: Duration,

    /// Rate of batches that fail as a whole, 0 to 1
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = rate)]
    pub fail_rate: f64,

    /// Status of a failed batch, 300 to 599
    #[arg(long, value_name = "CODE", default_value = "500", value_parser = status)]
    pub status: StatusCode,

    /// Rate of jobs that fail, in the service's words, 0 to 1
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = rate)]
    pub job_error_rate: f64,

    /// Rate of results that are left out, 0 to 1
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = rate)]
    pub drop_rate: f64,

    /// Answer in random order, where ids or indices tell whose a result is
    #[arg(long)]
    pub shuffle: bool,

    /// Answer 413 to batches of more jobs than this
    #[arg(long, value_name = "JOBS")]
    pub max_batch: Option<NonZeroUsize>,

    /// Repeat the faults of an earlier run [default: random]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9000".to_owned(),
            shape: Service::default(),
            delay: Duration::ZERO,
            per_job_delay: Duration::ZERO,
            jitter: Duration::ZERO,
            fail_rate: 0.0,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            job_error_rate: 0.0,
            drop_rate: 0.0,
            shuffle: false,
            max_batch: None,
            seed: None,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a time such as 5ms, 1s or 0"))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("a rate is a number from 0 (never) to 1 (always), such as 0.05".to_owned()),
    }
}

fn status(text: &str) -> Result<StatusCode, String> {
    match text.parse::<StatusCode>() {
        Ok(status) if (300..600).contains(&status.as_u16()) => Ok(status),
        _ => Err("a failed batch has a status from 300 to 599, such as 503".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(flags: &[&str]) -> Result<Args, String> {
        let words = ["upstream"].iter().chain(flags);
        Cli::try_parse_from(words)
            .map(|cli| cli.args)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn no_flags_are_the_default() {
        assert_eq!(parse(&[]), Ok(Args::default()));
    }

    #[test]
    fn every_flag_arrives() {
        let line = "--listen 127.0.0.1:0 --shape json-rpc --delay 5ms --per-job-delay 20us --jitter 1s --fail-rate 0.5 \
                    --status 429 --job-error-rate 1 --drop-rate 0.25 --shuffle --max-batch 32 --seed 7";
        let flags: Vec<&str> = line.split_whitespace().collect();
        let expected = Args {
            listen: "127.0.0.1:0".to_owned(),
            shape: Service::JsonRpc,
            delay: Duration::from_millis(5),
            per_job_delay: Duration::from_micros(20),
            jitter: Duration::from_secs(1),
            fail_rate: 0.5,
            status: StatusCode::TOO_MANY_REQUESTS,
            job_error_rate: 1.0,
            drop_rate: 0.25,
            shuffle: true,
            max_batch: NonZeroUsize::new(32),
            seed: Some(7),
        };
        assert_eq!(parse(&flags), Ok(expected));
    }

    #[test]
    fn a_wrong_value_is_answered_with_what_is_allowed() {
        for rate in ["1.01", "NaN", "inf", "5%", ""] {
            let error = parse(&["--drop-rate", rate]).unwrap_err();
            assert!(
                error.contains("'--drop-rate <RATE>': a rate is a number from 0"),
                "{error}"
            );
        }
        let error = parse(&["--fail-rate=-0.1"]).unwrap_err();
        assert!(error.contains("from 0 (never) to 1 (always)"), "{error}");
        for status in ["200", "600", "teapot"] {
            let error = parse(&["--status", status]).unwrap_err();
            assert!(error.contains("from 300 to 599"), "{error}");
        }
        let error = parse(&["--delay", "5"]).unwrap_err();
        assert!(error.contains("such as 5ms, 1s or 0"), "{error}");
        assert!(parse(&["--max-batch", "0"]).is_err());
    }
}
