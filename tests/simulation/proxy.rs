//! One schedule: the proxy between its callers and its upstream, from the first
//! job to the end of the drain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use microbatch::batcher::Batcher;
use microbatch::engine::Phase;
use microbatch::engine::outcome::JobResult;
use microbatch::job::Job;
use microbatch::later::clock;
use microbatch::later::memory::Memory;
use microbatch::observe::metrics::Metrics;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::callers::{self, Answers};
use crate::door::Door;
use crate::life::Life;
use crate::listeners::listen;
use crate::plan::{HANG, Plan, Proxy};
use crate::senders::{STREAMS, Sender};
use crate::upstream::{Fate, Oracle};

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

/// Runs a schedule on simulated time.
pub fn run(seed: u64) -> Outcome {
    on_simulated_time(seed, schedule(seed))
}

pub fn on_simulated_time(seed: u64, schedule: impl Future<Output = Outcome>) -> Outcome {
    // The pauses' jitter.
    fastrand::seed(seed);
    // Records' time has begun before any schedule's.
    clock::now();
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { timeout(HANG, schedule).await.expect("it hangs") })
}

async fn schedule(seed: u64) -> Outcome {
    let mut rng = StdRng::seed_from_u64(seed);
    let oracle = Oracle::new(rng.random());
    let plan = Plan::draw(&mut rng);
    let ledger = plan.ledger(&oracle, false);
    let store = Arc::new(Memory::new(&plan.later));
    let life = Life::for_ever();
    let proxy = plan.process(&mut rng, life, (&oracle, &ledger), store);
    let (door, manners) = (Door::default(), plan.manners);
    door.opens(&proxy);
    let (exodus, _) = watch::channel(());
    let mut callers = JoinSet::new();
    for _ in 0..plan.callers {
        let caller = proxy.connect();
        let (oracle, all_leave) = (oracle.clone(), exodus.subscribe());
        let calls = callers::call(caller, oracle, manners, all_leave, rng.random());
        callers.spawn(calls);
    }
    let mut senders = JoinSet::new();
    for _ in 0..rng.random_range(0..8_u32).saturating_sub(2) {
        let (door, oracle, ledger) = (door.clone(), oracle.clone(), ledger.clone());
        let sender = Sender::new(door, oracle, ledger, plan.habits, rng.random());
        senders.spawn(sender.run());
    }
    let (ends, ending) = watch::channel(false);
    let mut listeners = JoinSet::new();
    for stream in STREAMS {
        listeners.spawn(listen(door.clone(), stream, ending.clone(), rng.random()));
    }
    let Proxy {
        batcher,
        observer,
        phase,
        later,
        ..
    } = proxy;
    let mut outcome = Outcome {
        jobs: plan.callers * manners.jobs,
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
    ledger.end();
    batcher.close();
    later.close();
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
    // Once nothing is under way any more every answer is there, is told, and expires.
    ends.send_replace(true);
    later.end().await;
    let told = listeners.join_all().await;
    if told.iter().filter(|told| told.judge(&ledger)).count() > 0 {
        event("a gap in a stream");
    }
    // Longer than a store is away.
    sleep(plan.later.keep + Duration::from_secs(60)).await;
    let ends = ledger.close(&later.counts().total());
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
    balance(
        &batcher,
        &observer.metrics,
        &oracle,
        &outcome,
        plan.idempotent,
    );
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
