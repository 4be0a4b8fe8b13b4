//! What holds for one schedule, drawn by chance; and a process by it: the whole proxy but
//! its sockets.

use std::sync::Arc;
use std::time::Duration;

use microbatch::batcher::{Batcher, OnFull, Settings, Wait};
use microbatch::engine::circuit::Circuit;
use microbatch::engine::outcome::JobResult;
use microbatch::engine::{Engine, Phase, Policy};
use microbatch::http::{Buffered, Caller, Connected, ForCallers, HostNames, Jobs, JobsInner, Lane};
use microbatch::job::{Job, RouteName};
use microbatch::json::MAX_DEPTH;
use microbatch::later::store::Store;
use microbatch::later::{self, Later};
use microbatch::observe::{self, Observer};
use microbatch::resilience::backoff::Backoff;
use microbatch::resilience::budget::Budget;
use microbatch::resilience::limit;
use microbatch::resilience::size::Size;
use microbatch::route::held::Held;
use microbatch::route::paths::Paths;
use microbatch::route::{JOBS, Route, Routes};
use microbatch::server::socket::Reached;
use microbatch::shape::{Limits, Shape};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::callers::Manners;
use crate::ledger::{Ledger, Terms};
use crate::life::Life;
use crate::senders::Habits;
use crate::store::{Mood, SimulatedStore};
use crate::upstream::{Bounds, Oracle, SimulatedUpstream, TIMEOUT};

/// Far longer than any schedule takes, in simulated time.
pub const HANG: Duration = Duration::from_secs(3600);

/// What holds for one schedule.
pub struct Plan {
    pub idempotent: bool,
    pub mood: Mood,
    adaptive: bool,
    bounds: Bounds,
    settings: Settings,
    policy: Policy,
    /// `circuit.failures`.
    failures: u32,
    budget: f64,
    badness: f64,
    pub later: later::Settings,
    request_timeout: Duration,
    pub callers: u64,
    pub manners: Manners,
    pub habits: Habits,
}

/// A process.
pub struct Proxy {
    pub life: Life,
    pub batcher: Batcher<Job, JobResult>,
    pub observer: Arc<Observer>,
    pub jobs: Jobs,
    pub phase: watch::Sender<Phase>,
    pub later: Later,
}

impl Plan {
    pub fn draw(rng: &mut StdRng) -> Self {
        let idempotent = rng.random();
        let adaptive = rng.random_bool(0.2);
        let slots = match adaptive {
            true => limit::START,
            false => rng.random_range(1..5),
        };
        let mood = [Mood::Steady, Mood::Steady, Mood::Slow, Mood::Faulty][rng.random_range(0..4)];
        let bounds = Bounds {
            max_size: rng.random_range(1..10),
            max_bytes: rng.random_range(150..600),
            max_in_flight: if adaptive { limit::MAX } else { slots },
            min_interval: Duration::from_millis(if rng.random_bool(0.2) { 7 } else { 0 }),
            at_once: mood == Mood::Steady,
            split_on: match rng.random_range(0..3) {
                0 => vec![],
                1 => vec![400],
                _ => vec![400, 500],
            },
        };
        let settings = settings(rng, &bounds, slots);
        let policy = Policy {
            idempotent,
            split_on: bounds.split_on.clone(),
            max_attempts: rng.random_range(1..5),
            backoff: Backoff {
                base: Duration::from_millis(rng.random_range(1..50)),
                cap: Duration::from_millis(rng.random_range(50..200)),
            },
            longest_wait: TIMEOUT,
            largest: Size {
                jobs: bounds.max_size,
                bytes: settings.max_bytes,
            },
            excerpts: true,
        };
        Self {
            failures: [0, 0, 0, 1, 3][rng.random_range(0..5)],
            badness: [0.05, 0.3, 0.8][rng.random_range(0..3)],
            budget: rng.random_range(0.0..1.0),
            later: later::Settings {
                max_jobs: [3, 1000, 1000, 1000][rng.random_range(0..4)],
                max_bytes: [500, 1 << 20, 1 << 20, 1 << 20][rng.random_range(0..4)],
                keep: Duration::from_millis([100, 400, 5000][rng.random_range(0..3)]),
                job_timeout: Duration::from_millis([400, 2000, 20_000][rng.random_range(0..3)]),
                max_wait: settings.detached_max_wait,
                max_attempts: rng.random_range(1..4),
            },
            request_timeout: Duration::from_millis([150, 700, 3000][rng.random_range(0..3)]),
            callers: rng.random_range(1..24),
            manners: Manners {
                jobs: rng.random_range(1..12),
                thinks: [0, 5, 50][rng.random_range(0..3)],
                leaves: [0.0, 0.1, 0.5][rng.random_range(0..3)],
                hurries: [0.0, 0.2][rng.random_range(0..2)],
                idempotent,
            },
            habits: Habits {
                jobs: rng.random_range(1..8),
                thinks: [0, 5, 100][rng.random_range(0..3)],
                deletes: [0.0, 0.2, 0.6][rng.random_range(0..3)],
                idempotent,
            },
            idempotent,
            mood,
            adaptive,
            bounds,
            settings,
            policy,
        }
    }

    /// An empty ledger, for jobs that are claimed from their store or not.
    pub fn ledger(&self, oracle: &Oracle, claimed: bool) -> Ledger {
        let terms = Terms {
            keep: self.later.keep,
            max_wait: self.settings.detached_max_wait,
            // While a probe is under way nobody knows better than that it takes a second,
            // and what a store does not bear is tried once more after one.
            leaves_within: match (self.mood, self.failures > 0) {
                _ if claimed => HANG,
                (Mood::Steady, false) => Duration::from_millis(50),
                (Mood::Steady, true) => Duration::from_millis(1300),
                (Mood::Slow, _) => Duration::from_millis(2500),
                (Mood::Faulty, _) => HANG,
            },
            idempotent: self.idempotent,
            claimed: claimed.then_some(self.later.max_attempts),
        };
        Ledger::new(oracle.clone(), terms)
    }

    /// A process with these records. Its tasks are those of this runtime.
    pub fn process(
        &self,
        rng: &mut StdRng,
        life: Life,
        (oracle, ledger): (&Oracle, &Ledger),
        committed: Arc<dyn Store>,
    ) -> Proxy {
        let circuit = Arc::new(Circuit::new(self.failures, Duration::from_millis(150)));
        let observer = Arc::new(Observer::new(observe::Bounds {
            max_size: self.bounds.max_size,
            max_bytes: self.bounds.max_bytes,
        }));
        let how = (self.mood, life.clone());
        let store = SimulatedStore::new(committed, ledger.clone(), how, rng.random());
        let later = Later::new(Arc::new(store), self.later, [Arc::clone(&observer)]);
        let (phase, current) = watch::channel(Phase::Running);
        let upstream = SimulatedUpstream::new(
            (oracle.clone(), life.clone()),
            Arc::clone(&circuit),
            self.bounds.clone(),
            self.badness,
        );
        let engine = Engine::new(
            upstream,
            Arc::clone(Shape::jobs()),
            self.policy.clone(),
            Budget::new(self.budget, 5, Instant::now()),
            Arc::clone(&circuit),
            current.clone(),
            Arc::clone(&observer),
        );
        let engine = engine.with_later(later.clone());
        let engine = Arc::new(match self.adaptive {
            true => engine.adaptive(),
            false => engine,
        });
        let process = move |batch| Arc::clone(&engine).process(batch);
        let batcher = Batcher::with_batches(self.settings.clone(), process);
        let mut paths = Paths::default();
        paths.add(JOBS, 0).expect("the only one");
        let route = Route {
            name: RouteName::jobs(),
            shape: Arc::clone(Shape::jobs()),
            limits: Limits {
                max_depth: MAX_DEPTH,
                max_items: self.bounds.max_size,
                max_bytes: self.bounds.max_bytes,
            },
            forward_headers: Box::default(),
            batcher: batcher.clone(),
            circuit,
            observer: Arc::clone(&observer),
            described: Arc::default(),
            idempotent: self.idempotent,
            target: "http://127.0.0.1/batch".parse().expect("a URL"),
            alone: None,
            held: Held::default(),
        };
        let routes = Routes::new([route], paths);
        let in_force = watch::channel(routes.clone()).1;
        later.start(Arc::new(Lane::new(in_force, later.clone(), true)));
        let jobs = Jobs::from(JobsInner {
            routes,
            observer: Arc::clone(&observer),
            hosts: HostNames::default(),
            tokens: None,
            access: None,
            buffered: Buffered::new(600, 140),
            connected: Connected::default(),
            max_body: 140,
            request_timeout: self.request_timeout,
            read_timeout: Duration::from_secs(1),
            timing: true,
            phase: current,
            later: Some(later.clone()),
            passthrough: None,
        });
        Proxy {
            life,
            batcher,
            observer,
            jobs,
            phase,
            later,
        }
    }
}

fn settings(rng: &mut StdRng, bounds: &Bounds, slots: usize) -> Settings {
    Settings {
        detached_max_wait: Duration::from_millis([1, 20, 300][rng.random_range(0..3)]),
        max_size: bounds.max_size,
        max_bytes: bounds.max_bytes,
        batch_overhead: Shape::jobs().batch_overhead(),
        max_wait: Duration::from_millis(rng.random_range(0..12)),
        wait: match rng.random() {
            true => Wait::Fixed,
            false => Wait::Adaptive,
        },
        max_in_flight: slots,
        min_interval: bounds.min_interval,
        precise: false,
        queue_items: rng.random_range(2..40),
        queue_bytes: rng.random_range(400..4000),
        on_full: match rng.random() {
            true => OnFull::Reject,
            false => OnFull::Wait,
        },
    }
}

impl Proxy {
    /// Somebody who has just connected.
    pub fn connect(&self) -> Caller {
        let batchers = vec![[self.batcher.clone()].into()];
        let in_force = ForCallers::new(self.jobs.clone(), batchers);
        Caller::new(watch::channel(Arc::new(in_force)).1, 0, Reached::Tcp(None))
    }
}
