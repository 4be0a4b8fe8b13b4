//! The command `microbatch submit`: hands the lines of files in to a running proxy as jobs,
//! and writes their results.
//!
//! It speaks to another process, by the resource of answers fetched later. It promises that
//! each line has one result, or is handed in again by a later run from its state file; that a
//! job handed in again is done once for as long as the proxy has its record, since each line
//! has an idempotency key; and that no more jobs and results are in memory than may be under
//! way.
//!
//! | file | what it is |
//! |---|---|
//! | [`input`], [`output`] | the lines, and the results: a thread each |
//! | [`client`], [`listen`] | what is asked of the proxy, and the stream of results |
//! | [`run`] | every job under way, and what becomes of it |
//! | [`window`], [`hand_ins`], [`early`], [`outcome`], [`lines`] | pure: whose turn it is, what is handed in next, what came too early, the line of a result, sets of lines |
//! | [`state`], [`entry`] | the file from which a run goes on, and what stands in it |
//! | [`handle`] | a record's address |
//! | [`progress`] | what is counted and shown |

pub mod client;
pub mod early;
pub mod entry;
pub mod hand_ins;
pub mod handle;
pub mod input;
pub mod lines;
pub mod listen;
pub mod outcome;
pub mod output;
pub mod progress;
pub mod run;
pub mod state;
pub mod window;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::client::{Client, is_busy};
use self::input::{Input, InputError};
use self::listen::Heard;
use self::output::{Output, OutputError};
use self::progress::{Display, Figures};
use self::run::{Run, RunError};
use self::state::{State, StateError};
use crate::address::Address;
use crate::ask::root_cause;

/// Results heard of and not taken yet.
const HEARD: usize = 16;

/// How long no result may come until the records are asked for: somebody else may have deleted
/// them, or they have expired, of which no stream tells.
const ASKS_AFTER: Duration = Duration::from_secs(10);

/// What to hand in, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The files, in their order; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Whether results are written in the order of the input.
    pub ordered: bool,
    /// The state file.
    pub resume: Option<PathBuf>,
    /// Where results go; `None` is standard output.
    pub output: Option<PathBuf>,
    /// Most jobs from being read to having their results written and acknowledged.
    pub in_flight: usize,
    /// Most requests that hand jobs in at once.
    pub requests: usize,
    /// Whether nothing is said but errors.
    pub quiet: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every line has its result, and none is a failure.
    Done,
    /// Every line has its result, and some are failures.
    Failed,
    /// It was told to stop before every line had its result.
    Stopped,
    /// Nobody reads the results any more.
    ReaderGone,
}

/// Why a run can't go on.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// The state file.
    #[error(transparent)]
    State(#[from] StateError),
    /// The input.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The output.
    #[error(transparent)]
    Output(OutputError),
    /// A result, or the state file.
    #[error(transparent)]
    Run(#[from] RunError),
    /// There is no thread or no client to be had.
    #[error("can't start")]
    Start(#[from] io::Error),
    /// No HTTP client can be made.
    #[error("can't make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// Nobody answers.
    #[error(
        "{url}: {cause}; is the proxy running? Its server.listen is found as the proxy finds it: \
         give the same --listen, --config or environment"
    )]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What happened.
        cause: String,
    },
    /// Somebody answers who keeps no answers.
    #[error(
        "{url}: {status} to a request for a stream of results; is it server.listen of a microbatch \
         proxy of this version, and is later.store not \"off\"?"
    )]
    NoStreams {
        /// Who was asked.
        url: String,
        /// The answer.
        status: StatusCode,
    },
}

/// The stream of results, where it can be listened to already: a proxy that is busy is waited
/// for, one that is not there is not.
async fn reached(client: &Client, url: &str) -> Result<Option<Response>, SubmitError> {
    let url = url.to_owned();
    match client.listen().await {
        Ok(stream) if stream.status().is_success() => Ok(Some(stream)),
        Ok(busy) if is_busy(busy.status()) => Ok(None),
        Ok(other) => {
            let status = other.status();
            Err(SubmitError::NoStreams { url, status })
        }
        Err(error) => {
            let cause = root_cause(&error);
            Err(SubmitError::Unreachable { url, cause })
        }
    }
}

/// Hands everything in to the proxy that listens on `listen`, its `server.listen`, until all
/// results are written or `stop` resolves: then no further line is handed in, and those that
/// were are waited for.
///
/// # Errors
/// Where it can't begin or not go on. What was written and acknowledged is told by the state
/// file, where there is one.
pub async fn submit(
    listen: &Address,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> Result<End, SubmitError> {
    let total = input::size(&settings.files)?;
    let state = match &settings.resume {
        Some(path) => State::open(path, settings.ordered)?,
        None => State::unsaved()?,
    };
    let known = state.known;
    let base = format!("http://{}", listen.connectable());
    let client = Client::new(&base, &state.run, settings.requests);
    let client = client.map_err(SubmitError::Client)?;
    let first = reached(&client, &base).await?;

    let to_terminal = settings.output.is_none() && io::stdout().is_terminal();
    let taken: Vec<_> = settings
        .files
        .iter()
        .chain(&settings.resume)
        .cloned()
        .collect();
    let output = Output::open(settings.output, known.output, &taken, state.journal.clone());
    let output = output.map_err(SubmitError::Output)?;
    let (results, queued) = mpsc::channel(settings.in_flight);
    let mut written = output.start(queued)?;
    let (done, failed) = (known.done.count() - known.failed, known.failed);
    let input = Input {
        files: settings.files,
        done: known.done,
        read_before: state.read_before,
        journal: state.journal.clone(),
    };
    let mut lines = input.start()?;
    let (heard, mut hear) = mpsc::channel(HEARD);
    let listening = tokio::spawn(listen::listen(client.clone(), first, heard));

    let display = Display::new(settings.quiet, to_terminal, total);
    let figures = Figures::new(done, failed, total);
    let (room, ordered) = ((settings.in_flight, settings.requests), settings.ordered);
    let mut run = Run::new(
        client.clone(),
        room,
        ordered,
        results,
        state.journal,
        figures,
    );
    run.go_on(known.held, known.unacknowledged);
    let mut tick = interval(display.every());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.reset();
    run.figures.sample(Instant::now());
    let mut quiet = interval(ASKS_AFTER);
    quiet.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written_before = run.figures.done + run.figures.failed;
    let mut stop = std::pin::pin!(stop);
    let (mut is_read, mut is_stopped) = (false, false);
    let end = loop {
        let wants_more = !is_read && !is_stopped;
        if !wants_more && run.is_idle() {
            break match (is_read, run.figures.failed) {
                (false, _) => End::Stopped,
                (true, 0) => End::Done,
                (true, _) => End::Failed,
            };
        }
        tokio::select! {
            line = lines.recv(), if wants_more && run.has_room() => match line {
                Some(line) => run.read(line?),
                None => is_read = true,
            },
            Some(told) = run.told() => run.take(told)?,
            Some(heard) = hear.recv() => run.hear(heard)?,
            Some(result) = written.recv() => match result {
                Ok(result) => run.written(result),
                Err(OutputError::ReaderGone) => break End::ReaderGone,
                Err(error) => return Err(SubmitError::Output(error)),
            },
            () = &mut stop, if !is_stopped => {
                is_stopped = true;
                display.say(&format!(
                    "stopping: waits for {} jobs under way; once more stops at once",
                    run.under_way()
                ));
            }
            _ = quiet.tick() => {
                let written = run.figures.done + run.figures.failed;
                if written == written_before {
                    run.hear(Heard::Missed)?;
                }
                written_before = written;
            }
            _ = tick.tick() => {
                run.figures.sample(Instant::now());
                display.show(&run.figures, client.trouble().as_deref());
            }
        }
    };
    listening.abort();
    if end != End::ReaderGone {
        display.end(&run.figures);
        if end == End::Stopped && settings.resume.is_some() {
            display.say("stopped before the end of the input; the same command goes on");
        }
    }
    Ok(end)
}
