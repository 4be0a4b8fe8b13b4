//! One process and its store, which is killed and started anew, round after round.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::callers::Callers;
use crate::harness::{Scrape, Signal, Starting};
use crate::ledger::{Fault, Ledger, Terms};
use crate::moment::{Moment, micros};
use crate::settle::{all_finished, check_counts, check_presence, fetch_all, resolve_doubts};
use crate::started::{check_log, start};
use crate::streams::{Listeners, hear_all};
use crate::upstream::Upstream;

/// How many hand in and fetch at once.
const CALLERS: u64 = 8;

/// What is killed how often.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// `later.store`, with a file in this folder.
    pub store: fn(&Path) -> String,
    /// Whether that outlives the process.
    pub lasts: bool,
    pub terms: Terms,
    /// How often the process ends.
    pub rounds: u64,
    /// How long the last one works before it is left in peace.
    pub last: Duration,
    pub seed: u64,
}

/// Runs one store through these rounds; the ledger knows what came of it.
pub async fn run(course: Course) -> Arc<Ledger> {
    let folder = TempDir::new().expect("a folder");
    let ledger = Arc::new(Ledger::new(course.terms));
    let upstream = Upstream::start(Arc::clone(&ledger), course.seed).await;
    let callers = Callers::start(&ledger, CALLERS, course.seed + 1);
    let _listeners = course
        .lasts
        .then(|| Listeners::start(&ledger, &callers.places()));
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
    fn start(&self) -> Starting {
        start(&self.ledger, &self.upstream.url(), &self.store, &[])
    }

    /// One life of the process.
    async fn round(&mut self, callers: &Callers) {
        let moment = Moment::drawn(&mut self.rng);
        self.ledger.count(&format!("ended: {moment:?}"));
        let mut starting = self.start();
        if moment == Moment::Starting {
            sleep(micros(&mut self.rng, 60_000)).await;
            starting.signal(Signal::KILL);
            starting.exit_code().await;
            return check_log(&self.ledger, &starting.log);
        }
        let mut proxy = starting.ready().await;
        check_counts(&self.ledger, &Scrape::of(&proxy).await);
        callers.go_to(&[proxy.jobs_addr]);
        moment
            .wait(&mut self.rng, &self.ledger, &self.upstream)
            .await;
        if matches!(moment, Moment::Draining | Moment::Drained) {
            check_counts(&self.ledger, &Scrape::of(&proxy).await);
            proxy.signal(Signal::TERM);
        }
        if moment == Moment::Drained {
            let code = proxy.exit_code().await;
            if code != Some(0) {
                let what = format!("exit code {code:?} after SIGTERM\n{}", proxy.log);
                self.ledger.fault(Fault::Process, &what);
            }
        } else {
            if moment == Moment::Draining {
                sleep(micros(&mut self.rng, 30_000)).await;
            }
            proxy.signal(Signal::KILL);
            proxy.exit_code().await;
        }
        callers.go_to(&[]);
        check_log(&self.ledger, &proxy.log);
    }

    /// The process lives on, and all comes to its end.
    async fn end(self, mut callers: Callers, course: Course) {
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
            hear_all(&ledger, proxy.jobs_addr).await;
            // What was seen stays.
            proxy.signal(Signal::KILL);
            proxy.exit_code().await;
            check_log(&ledger, &proxy.log);
            proxy = self.start().ready().await;
            fetch_all(&ledger, &[proxy.jobs_addr]).await;
            check_presence(&ledger, &proxy).await;
        }
        check_log(&ledger, &proxy.log);
        ledger.close();
    }
}
