//! One schedule: the proxy between its callers and its upstream, from the first
//! job to the end of the drain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use microbatch::batcher::{Batcher, OnFull, Settings, Wait};
use microbatch::engine::circuit::Circuit;
use microbatch::engine::outcome::JobResult;
use microbatch::engine::{Engine, Phase, Policy};
use microbatch::http::{
    Batchers, Buffered, Caller, Connected, HostNames, Jobs, JobsInner, Lane, jobs_router,
};
use microbatch::job::{Job, RouteName};
use microbatch::json::MAX_DEPTH;
use microbatch::later::record::StreamName;
use microbatch::later::{self, Later, clock};
use microbatch::observe::metrics::Metrics;
use microbatch::observe::{self, Observer};
use microbatch::resilience::backoff::Backoff;
use microbatch::resilience::budget::Budget;
use microbatch::resilience::limit;
use microbatch::resilience::size::Size;
use microbatch::route::paths::Paths;
use microbatch::route::{JOBS, Route, Routes};
use microbatch::shape::{Limits, Shape};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::callers::{self, Answers, Manners};
use crate::ledger::{Ledger, Terms};
use crate::listeners::{Told, listen};
use crate::senders::{Habits, STREAMS, Sender};
use crate::store::{Mood, SimulatedStore};
use crate::upstream::{Bounds, Fate, Oracle, SimulatedUpstream, TIMEOUT};

/// What befalls the proxy.
pub const EVENTS: &[&str] = &[
    "a gap in a stream",
    "all left",
    "closed early",
    "drained",
    "flushed",
    "given up",
    "jobs for later ride along",
];

/// What came of one schedule, or of many.
#[derive(Debug, Default)]
pub struct Outcome {
    pub jobs: u64,
    pub records: u64,
    pub deeds: BTreeMap<&'static str, u64>,
    pub answers: Answers,
    /// What those were told who handed jobs in, and what became of the records.
    pub replies: Answers,
    pub ends: BTreeMap<&'static str, u64>,
    pub events: BTreeMap<&'static str, u64>,
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.records += other.records;
        for (all, more) in [
            (&mut self.deeds, other.deeds),
            (&mut self.answers, other.answers),
            (&mut self.replies, other.replies),
            (&mut self.ends, other.ends),
            (&mut self.events, other.events),
        ] {
            for (name, n) in more {
                *all.entry(name).or_default() += n;
            }
        }
    }
}

/// Far longer than any schedule takes, in simulated time.
const HANG: Duration = Duration::from_secs(3600);

pub fn run(seed: u64) -> Outcome {
    // The pauses' jitter.
    fastrand::seed(seed);
    // Records' time has begun before any schedule's.
    clock::now();
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { timeout(HANG, schedule(seed)).await.expect("it hangs") })
}

struct Proxy {
    batcher: Batcher<Job, JobResult>,
    observer: Arc<Observer>,
    jobs: JobsInner,
    phase: watch::Sender<Phase>,
    records: Records,
}

/// Jobs for later, and what is known of them.
struct Records {
    later: Later,
    ledger: Ledger,
}

impl Records {
    fn new(
        rng: &mut StdRng,
        max_wait: Duration,
        (oracle, observer): (&Oracle, &Arc<Observer>),
        (mood, opens, idempotent): (Mood, bool, bool),
    ) -> Self {
        let settings = later::Settings {
            max_jobs: [3, 1000, 1000, 1000][rng.random_range(0..4)],
            max_bytes: [500, 1 << 20, 1 << 20, 1 << 20][rng.random_range(0..4)],
            keep: Duration::from_millis([100, 400, 5000][rng.random_range(0..3)]),
            job_timeout: Duration::from_millis([400, 2000, 20_000][rng.random_range(0..3)]),
            max_wait: Duration::ZERO,
            max_attempts: 3,
        };
        let terms = Terms {
            keep: settings.keep,
            max_wait,
            // While a probe is under way nobody knows better than that it takes a second,
            // and what a store does not bear is tried once more after one.
            leaves_within: match (mood, opens) {
                (Mood::Steady, false) => Duration::from_millis(50),
                (Mood::Steady, true) => Duration::from_millis(1300),
                (Mood::Slow, _) => Duration::from_millis(2500),
                (Mood::Faulty, _) => HANG,
            },
            idempotent,
        };
        let ledger = Ledger::new(oracle.clone(), terms);
        let store = SimulatedStore::new(&settings, ledger.clone(), mood, rng.random());
        let later = Later::new(Arc::new(store), settings, [Arc::clone(observer)]);
        Self { later, ledger }
    }

    /// Once nothing is under way any more: every answer is there, is told, and expires.
    async fn end(&self, listeners: JoinSet<Told>) -> (BTreeMap<&'static str, u64>, bool) {
        self.later.end().await;
        let told = listeners.join_all().await;
        let gaps = told.iter().filter(|told| told.judge(&self.ledger)).count();
        // Longer than a store is away.
        sleep(self.later.settings().keep + Duration::from_secs(60)).await;
        (self.ledger.close(&self.later.counts().total()), gaps > 0)
    }
}

fn build(rng: &mut StdRng, oracle: &Oracle, idempotent: bool) -> Proxy {
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
    let settings = Settings {
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
        queue_items: rng.random_range(2..40),
        queue_bytes: rng.random_range(400..4000),
        on_full: match rng.random() {
            true => OnFull::Reject,
            false => OnFull::Wait,
        },
    };
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
    let failures = [0, 0, 0, 1, 3][rng.random_range(0..5)];
    let circuit = Arc::new(Circuit::new(failures, Duration::from_millis(150)));
    let badness = [0.05, 0.3, 0.8][rng.random_range(0..3)];
    let observer = Arc::new(Observer::new(observe::Bounds {
        max_size: bounds.max_size,
        max_bytes: bounds.max_bytes,
    }));
    let limits = Limits {
        max_depth: MAX_DEPTH,
        max_items: bounds.max_size,
        max_bytes: bounds.max_bytes,
    };
    let upstream = SimulatedUpstream::new(oracle.clone(), Arc::clone(&circuit), bounds, badness);
    let budget = Budget::new(rng.random_range(0.0..1.0), 5, Instant::now());
    let (phase, current) = watch::channel(Phase::Running);
    let engine = Engine::new(
        upstream,
        Arc::clone(Shape::jobs()),
        policy,
        budget,
        Arc::clone(&circuit),
        current.clone(),
        Arc::clone(&observer),
    );
    let max_wait = settings.detached_max_wait;
    let records = Records::new(
        rng,
        max_wait,
        (oracle, &observer),
        (mood, failures > 0, idempotent),
    );
    let engine = engine.with_later(records.later.clone());
    let engine = Arc::new(match adaptive {
        true => engine.adaptive(),
        false => engine,
    });
    let batcher = Batcher::with_batches(settings, move |batch| Arc::clone(&engine).process(batch));
    let mut paths = Paths::default();
    paths.add(JOBS, 0).expect("the only one");
    let route = Route {
        name: RouteName::jobs(),
        shape: Arc::clone(Shape::jobs()),
        limits,
        forward_headers: Box::default(),
        batcher: batcher.clone(),
        circuit,
        observer: Arc::clone(&observer),
        idempotent,
        target: "http://127.0.0.1/batch".parse().expect("a URL"),
        alone: None,
    };
    let routes = Routes::new([route], paths);
    let lane = Lane::new(routes.clone(), records.later.clone(), true);
    records.later.start(Arc::new(lane));
    let jobs = JobsInner {
        routes,
        hosts: HostNames::default(),
        buffered: Buffered::new(600, 140),
        connected: Connected::default(),
        max_body: 140,
        request_timeout: Duration::from_millis([150, 700, 3000][rng.random_range(0..3)]),
        read_timeout: Duration::from_secs(1),
        timing: true,
        phase: current,
        later: Some(records.later.clone()),
        passthrough: None,
    };
    Proxy {
        batcher,
        observer,
        jobs,
        phase,
        records,
    }
}

async fn schedule(seed: u64) -> Outcome {
    let mut rng = StdRng::seed_from_u64(seed);
    let oracle = Oracle::new(rng.random());
    let idempotent = rng.random();
    let Proxy {
        batcher,
        observer,
        jobs,
        phase,
        records,
    } = build(&mut rng, &oracle, idempotent);
    let jobs = Jobs::from(jobs);
    let batchers: Batchers = [batcher.clone()].into();
    let router = jobs_router(&jobs);
    let callers_count = rng.random_range(1..24);
    let manners = Manners {
        jobs: rng.random_range(1..12),
        thinks: [0, 5, 50][rng.random_range(0..3)],
        leaves: [0.0, 0.1, 0.5][rng.random_range(0..3)],
        hurries: [0.0, 0.2][rng.random_range(0..2)],
        idempotent,
    };
    let (exodus, _) = watch::channel(());
    let mut callers = JoinSet::new();
    for _ in 0..callers_count {
        let caller = Arc::new(Caller::new(jobs.clone(), &batchers, router.clone(), None));
        let (oracle, all_leave) = (oracle.clone(), exodus.subscribe());
        let calls = callers::call(caller, oracle, manners, all_leave, rng.random());
        callers.spawn(calls);
    }
    let habits = Habits {
        jobs: rng.random_range(1..8),
        thinks: [0, 5, 100][rng.random_range(0..3)],
        deletes: [0.0, 0.2, 0.6][rng.random_range(0..3)],
        idempotent,
    };
    let mut senders = JoinSet::new();
    for _ in 0..rng.random_range(0..8_u32).saturating_sub(2) {
        let caller = Caller::new(jobs.clone(), &batchers, router.clone(), None);
        let (oracle, ledger) = (oracle.clone(), records.ledger.clone());
        let sender = Sender::new(caller, oracle, ledger, habits, rng.random());
        senders.spawn(sender.run());
    }
    let mut listeners = JoinSet::new();
    for stream in STREAMS {
        let listener = records.later.listen(StreamName::new(stream).unwrap(), None);
        listeners.spawn(listen(listener, stream, rng.random()));
    }
    let mut outcome = Outcome {
        jobs: callers_count * manners.jobs,
        ..Outcome::default()
    };
    let mut event = |name| *outcome.events.entry(name).or_default() += 1;

    // The batcher is closed with the last caller, or while they are still at it.
    let early = rng.random_bool(0.5);
    let lives = Duration::from_millis(rng.random_range(0..500));
    let (mut answers, mut replies) = (Vec::new(), Vec::new());
    {
        let mut end = std::pin::pin!(sleep(if early { lives } else { HANG }));
        while !(callers.is_empty() && senders.is_empty()) {
            let flush = sleep(Duration::from_millis(rng.random_range(1..100)));
            tokio::select! {
                biased;
                () = &mut end => {
                    event("closed early");
                    break;
                }
                Some(one) = callers.join_next() => answers.push(one.expect("a caller")),
                Some(one) = senders.join_next() => replies.push(one.expect("a sender")),
                () = flush => match rng.random_bool(0.3) {
                    true => {
                        exodus.send_replace(());
                        event("all left");
                    }
                    false => {
                        batcher.flush();
                        event("flushed");
                    }
                }
            }
        }
    }
    records.ledger.end();
    batcher.close();
    records.later.close();
    phase.send_replace(Phase::Draining);
    let stay = Duration::from_millis(rng.random_range(0..2000));
    if timeout(stay, batcher.vacated()).await.is_err() {
        batcher.abandon();
        phase.send_replace(Phase::GivingUp);
        batcher.vacated().await;
        event("given up");
    } else {
        event("drained");
    }
    let (ends, gap) = records.end(listeners).await;
    if gap {
        event("a gap in a stream");
    }
    if batcher.snapshot().detached_rode > 0 {
        event("jobs for later ride along");
    }
    answers.extend(callers.join_all().await);
    replies.extend(senders.join_all().await);

    for (name, n) in answers.into_iter().flatten() {
        *outcome.answers.entry(name).or_default() += n;
    }
    for (name, n) in replies.into_iter().flatten() {
        *outcome.replies.entry(name).or_default() += n;
    }
    outcome.records = ends.values().sum();
    outcome.ends = ends;
    outcome.deeds = oracle.deeds();
    balance(&batcher, &observer.metrics, &oracle, &outcome, idempotent);
    outcome
}

/// When all is over: no job is left, every job is accounted for, and
/// nothing was done twice that must not be.
fn balance(
    batcher: &Batcher<Job, JobResult>,
    metrics: &Metrics,
    oracle: &Oracle,
    outcome: &Outcome,
    idempotent: bool,
) {
    let counts = batcher.snapshot();
    let inside = (counts.queued, counts.queued_bytes, counts.waiting_for_room);
    assert_eq!((inside, counts.in_flight), ((0, 0, 0), 0), "{counts:?}");
    assert_eq!(counts.detached_queued, 0, "{counts:?}");
    assert_eq!(oracle.in_flight(), 0);
    let cancelled = counts.cancelled_queued + counts.cancelled_in_flight;
    assert_eq!(
        counts.accepted,
        metrics.total_answered() + cancelled,
        "{counts:?} {}",
        metrics.outcomes()
    );
    // Each call is counted once, however it ended. Two deeds are something more
    // that happens to a call.
    let more = ["is abandoned", "answers for another batch"];
    let deeds = outcome.deeds.iter();
    let calls: u64 = deeds
        .filter(|(deed, _)| !more.contains(deed))
        .map(|(_, count)| count)
        .sum();
    let counted: u64 = metrics.statuses().map(|(_, count)| count).sum();
    assert_eq!(counted, calls);
    let got: u64 = outcome.answers.values().sum();
    assert_eq!(got, outcome.jobs, "an answer too many or too few");
    let left = outcome.answers.get("left").copied().unwrap_or_default();
    let told = metrics.total_answered() + metrics.total_refused();
    assert!(got - left <= told, "{got} - {left} of {told}");
    let fates = oracle.fates();
    let wrongly = |fate: &&Fate| fate.called_unseen && fate.seen;
    let wrongly = fates.iter().filter(wrongly).count();
    assert_eq!(wrongly, 0, "called unseen and seen all the same");
    if !idempotent {
        let twice = fates.iter().filter(|fate| fate.done > 1).count();
        assert_eq!(twice, 0, "done twice");
    }
}
