//! One process and its store, which is killed and started anew, round after round.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::callers::Callers;
use crate::harness::{Log, Scrape, Signal, Starting, command};
use crate::ledger::{Fault, Ledger, Terms};
use crate::settle::{all_finished, check_counts, check_presence, fetch_all, resolve_doubts};
use crate::upstream::Upstream;

/// How many hand in and fetch at once.
const CALLERS: u64 = 8;

/// What is killed how often.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// `later.store`, with a file in this folder.
    pub store: fn(&Path) -> String,
    pub terms: Terms,
    /// Whether that outlives the process.
    pub lasts: bool,
    /// How often the process ends.
    pub rounds: u64,
    /// How long the last one works before it is left in peace.
    pub last: Duration,
    pub seed: u64,
}

/// When a process ends.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Whenever.
    Any,
    /// Just after a batch has reached the upstream.
    Reached,
    /// Just after the upstream has answered: before the answers are committed, or after.
    Answered,
    /// Just after a job was accepted.
    Accepted,
    /// While it starts.
    Starting,
    /// While it drains.
    Draining,
    /// After it has drained.
    Drained,
}

impl Moment {
    fn drawn(rng: &mut StdRng) -> Self {
        match rng.random_range(0..100) {
            0..25 => Self::Any,
            25..45 => Self::Reached,
            45..70 => Self::Answered,
            70..80 => Self::Accepted,
            80..88 => Self::Starting,
            88..95 => Self::Draining,
            _ => Self::Drained,
        }
    }
}

/// Runs one store through these rounds; the ledger knows what came of it.
pub async fn run(course: Course) -> Arc<Ledger> {
    let folder = TempDir::new().expect("a folder");
    let ledger = Arc::new(Ledger::new(course.terms));
    let upstream = Upstream::start(Arc::clone(&ledger), course.seed).await;
    let callers = Callers::start(&ledger, CALLERS, course.seed + 1);
    let mut rounds = Rounds {
        store: (course.store)(folder.path()),
        ledger: Arc::clone(&ledger),
        upstream,
        rng: StdRng::seed_from_u64(course.seed),
    };
    for _ in 0..course.rounds {
        rounds.round(&callers).await;
        rounds.upstream.has_read_all().await;
        ledger.life_ended();
    }
    rounds.end(callers, course).await;
    ledger
}

struct Rounds {
    store: String,
    ledger: Arc<Ledger>,
    upstream: Upstream,
    rng: StdRng,
}

impl Rounds {
    /// One life of the process.
    async fn round(&mut self, callers: &Callers) {
        let moment = Moment::drawn(&mut self.rng);
        self.ledger.count(&format!("ended: {moment:?}"));
        let mut starting = self.start();
        if matches!(moment, Moment::Starting) {
            sleep(self.micros(150_000)).await;
            starting.signal(Signal::KILL);
            starting.exit_code().await;
            return self.check_log(&starting.log);
        }
        let mut proxy = starting.ready().await;
        check_counts(&self.ledger, &Scrape::of(&proxy).await);
        callers.go_to(&[proxy.jobs_addr]);
        self.wait_for(moment).await;
        if matches!(moment, Moment::Draining | Moment::Drained) {
            check_counts(&self.ledger, &Scrape::of(&proxy).await);
            proxy.signal(Signal::TERM);
        }
        match moment {
            Moment::Drained => {
                let code = proxy.exit_code().await;
                if code != Some(0) {
                    let what = format!("exit code {code:?} after SIGTERM\n{}", proxy.log);
                    self.ledger.fault(Fault::Process, &what);
                }
            }
            _ => {
                if matches!(moment, Moment::Draining) {
                    sleep(self.micros(30_000)).await;
                }
                proxy.signal(Signal::KILL);
                proxy.exit_code().await;
            }
        }
        callers.go_to(&[]);
        self.check_log(&proxy.log);
    }

    fn start(&self) -> Starting {
        let terms = self.ledger.terms;
        let env = [
            ("MICROBATCH_LATER__STORE", &*self.store),
            ("MICROBATCH_LATER__MAX_WAIT", "15ms"),
            ("MICROBATCH_UPSTREAM__MAX_IN_FLIGHT", "3"),
            (
                "MICROBATCH_UPSTREAM__IDEMPOTENT",
                if terms.idempotent { "true" } else { "false" },
            ),
            ("MICROBATCH_RETRY__MAX_ATTEMPTS", "1"),
            ("MICROBATCH_CIRCUIT__FAILURES", "0"),
        ];
        let flags = [
            ["--max-size", "8"],
            ["--max-wait", "3ms"],
            ["--upstream-timeout", "1s"],
            ["--shutdown-timeout", "10s"],
            ["--log-level", "info"],
        ];
        Starting::by(command(), &self.upstream.url(), &flags.concat(), &env)
    }

    async fn wait_for(&mut self, moment: Moment) {
        let longest = self.micros(200_000);
        let event = match moment {
            Moment::Reached => Some(self.upstream.arrived()),
            Moment::Answered => Some(self.upstream.answered()),
            Moment::Accepted => Some(self.ledger.accepted.subscribe()),
            _ => None,
        };
        let Some(event) = event else {
            return sleep(longest).await;
        };
        // Not the first, so that there is something under way.
        let count = self.rng.random_range(1..12);
        let _ = timeout(Duration::from_secs(1), nth(event, count)).await;
        sleep(self.micros(4_000)).await;
    }

    fn micros(&mut self, below: u64) -> Duration {
        Duration::from_micros(self.rng.random_range(0..below))
    }

    fn check_log(&self, log: &Log) {
        // A panic is told in lines of its own.
        if log.count(|line| line.0["not_json"].is_string()) > 0 {
            self.ledger.fault(Fault::Process, &log.to_string());
        }
    }

    /// The process lives on, and all comes to its end.
    async fn end(self, callers: Callers, course: Course) {
        let ledger = Arc::clone(&self.ledger);
        let mut proxy = self.start().ready().await;
        callers.go_to(&[proxy.jobs_addr]);
        sleep(course.last).await;
        callers.end().await;
        self.upstream.behave();
        resolve_doubts(&ledger, proxy.jobs_addr).await;
        all_finished(&ledger, &proxy).await;
        fetch_all(&ledger, &[proxy.jobs_addr]).await;
        check_presence(&ledger, &proxy).await;
        if course.lasts {
            // What was seen stays.
            proxy.signal(Signal::KILL);
            proxy.exit_code().await;
            self.check_log(&proxy.log);
            proxy = self.start().ready().await;
            fetch_all(&ledger, &[proxy.jobs_addr]).await;
            check_presence(&ledger, &proxy).await;
        }
        self.check_log(&proxy.log);
        ledger.close();
    }
}

/// Waits until so many more have come.
async fn nth(mut event: watch::Receiver<u64>, count: u64) {
    let goal = *event.borrow_and_update() + count;
    let _ = event.wait_for(|it| *it >= goal).await;
}
