//! One schedule of processes that die: whatever is claimed from a store that lasts, and
//! whenever each is killed, between any two steps of the store and of the upstream.
//!
//! Up to two processes share the store at once. Each lives until it is killed, by chance at
//! a time or at the nth step, or is told to end; another takes its place. The last of
//! each place stay until everything is answered. One that lives may lose what it has
//! claimed, as where its lease is over since it was held up: it goes on as if it had not.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use microbatch::engine::Phase;
use microbatch::job::RouteName;
use microbatch::later::lasting::Lasting;
use microbatch::later::store::Store;
use microbatch::observe::{RecordCounts, Recovered};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::callers;
use crate::door::Door;
use crate::ledger::Ledger;
use crate::life::Life;
use crate::listeners::listen;
use crate::plan::{HANG, Plan, Proxy};
use crate::proxy::{Outcome, on_simulated_time};
use crate::senders::{STREAMS, Sender};
use crate::upstream::Oracle;

/// What befalls the processes.
pub const EVENTS: &[&str] = &[
    "attempts exhausted",
    "dies at a step",
    "dies at a time",
    "drained",
    "given up",
    "interrupted",
    "jobs for later ride along",
    "loses its claims",
    "queued again",
];

pub fn run(seed: u64) -> Outcome {
    on_simulated_time(seed, schedule(seed))
}

/// What all processes have in common.
struct World {
    plan: Plan,
    oracle: Oracle,
    ledger: Ledger,
    committed: Lasting,
    door: Door,
    /// Whether several processes share the store.
    shared: bool,
    /// How many processes there were.
    born: AtomicU32,
    /// Whether all who hand in have what they came for.
    handed_in: watch::Sender<bool>,
    outcome: Mutex<Outcome>,
}

/// One of them.
struct Process {
    proxy: Proxy,
    store: Arc<Lasting>,
}

async fn schedule(seed: u64) -> Outcome {
    let mut rng = StdRng::seed_from_u64(seed);
    let oracle = Oracle::new(rng.random());
    let plan = Plan::draw(&mut rng);
    let places = [1, 1, 2][rng.random_range(0..3)];
    let world = Arc::new(World {
        ledger: plan.ledger(&oracle, true),
        committed: Lasting::new(&plan.later),
        oracle,
        door: Door::default(),
        shared: places > 1,
        born: AtomicU32::new(0),
        handed_in: watch::Sender::new(false),
        outcome: Mutex::default(),
        plan,
    });
    let mut lives = JoinSet::new();
    for _ in 0..places {
        lives.spawn(place(Arc::clone(&world), rng.random()));
    }
    let (ends, ending) = watch::channel(false);
    let mut listeners = JoinSet::new();
    for stream in STREAMS {
        listeners.spawn(listen(
            world.door.clone(),
            stream,
            ending.clone(),
            rng.random(),
        ));
    }
    let mut senders = JoinSet::new();
    for _ in 0..rng.random_range(1..6) {
        let (oracle, ledger) = (world.oracle.clone(), world.ledger.clone());
        let habits = world.plan.habits;
        let sender = Sender::new(world.door.clone(), oracle, ledger, habits, rng.random());
        senders.spawn(sender.run());
    }
    for reply in senders.join_all().await {
        let mut outcome = world.outcome.lock().unwrap();
        for (name, n) in reply {
            *outcome.replies.entry(name).or_default() += n;
        }
    }
    world.handed_in.send_replace(true);
    lives.join_all().await;
    // Who has not heard everything does so from one more, by which everything expires too.
    let last = world.begins(&mut rng, u64::MAX);
    sleep(Duration::from_secs(1)).await;
    ends.send_replace(true);
    last.proxy.later.end().await;
    let told = listeners.join_all().await;
    if told.iter().filter(|told| told.judge(&world.ledger)).count() > 0 {
        world.event("a gap in a stream", 1);
    }
    sleep(world.plan.later.keep + Duration::from_secs(60)).await;
    last.proxy.life.end();
    world.close()
}

/// One process after another, the last of which stays until everything is answered.
async fn place(world: Arc<World>, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..rng.random_range(0..5) {
        let points = match rng.random() {
            true => rng.random_range(1..80),
            false => u64::MAX,
        };
        let process = world.begins(&mut rng, points);
        let lives = Duration::from_millis(rng.random_range(1..400));
        tokio::select! {
            biased;
            () = process.proxy.life.over() => world.event("dies at a step", 1),
            () = world.trouble(&process, &mut rng) => {}
            () = sleep(lives) => match rng.random_bool(0.7) {
                true => world.event("dies at a time", 1),
                false => world.drains(&process, Duration::from_millis(50)).await,
            }
        }
        world.dies(&process);
        sleep(Duration::from_millis(rng.random_range(0..30))).await;
    }
    let process = world.begins(&mut rng, u64::MAX);
    let mut handed_in = world.handed_in.subscribe();
    let done = async {
        drop(handed_in.wait_for(|&done| done).await);
        while unfinished(&world.committed.counts().total()) > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        biased;
        () = done => {}
        () = world.trouble(&process, &mut rng) => {}
    }
    world.drains(&process, HANG / 2).await;
    process.balance();
    world.dies(&process);
}

fn unfinished(counts: &RecordCounts) -> u64 {
    counts.present[0] + counts.present[1]
}

impl World {
    fn event(&self, name: &'static str, times: u64) {
        if times > 0 {
            *self.outcome.lock().unwrap().events.entry(name).or_default() += times;
        }
    }

    /// A process, and callers who wait for their answers as long as it lives.
    fn begins(&self, rng: &mut StdRng, points: u64) -> Process {
        let number = self.born.fetch_add(1, Ordering::Relaxed);
        let life = Life::new(number, points);
        let store = Arc::new(self.committed.another());
        let (ledger, gone, door) = (self.ledger.clone(), Arc::clone(&store), self.door.clone());
        life.at_death(move || {
            door.closes(number);
            ledger.died(number);
            gone.crash();
        });
        let committed = Arc::<Lasting>::clone(&store);
        let proxy = self
            .plan
            .process(rng, life, (&self.oracle, &self.ledger), committed);
        self.door.opens(&proxy);
        for _ in 0..rng.random_range(0..4) {
            let (caller, oracle) = (proxy.connect(), self.oracle.clone());
            let (life, manners, seed) = (proxy.life.clone(), self.plan.manners, rng.random());
            tokio::spawn(async move {
                let (stay, all_leave) = watch::channel(());
                tokio::select! {
                    biased;
                    () = life.over() => {}
                    _ = callers::call(caller, oracle, manners, all_leave, seed) => {}
                }
                drop(stay);
            });
        }
        Process { proxy, store }
    }

    /// It is flushed now and then, and where others share the store loses its claims.
    async fn trouble(&self, process: &Process, rng: &mut StdRng) {
        let Process { proxy, store } = process;
        loop {
            sleep(Duration::from_millis(rng.random_range(1..150))).await;
            if self.shared && rng.random_bool(0.3) {
                let lost = self.ledger.lost(proxy.life.number());
                store.lapse();
                self.event("loses its claims", lost);
            } else {
                proxy.batcher.flush();
                proxy.later.flush(&RouteName::jobs());
            }
        }
    }

    /// It ends in order, as the proxy does: what was not sent waits in the store again.
    async fn drains(&self, Process { proxy, .. }: &Process, stay: Duration) {
        let number = proxy.life.number();
        let ends = async {
            proxy.later.close();
            proxy.later.all_queued().await;
            self.door.closes(number);
            proxy.batcher.close();
            proxy.phase.send_replace(Phase::Draining);
            if timeout(stay, proxy.batcher.vacated()).await.is_err() {
                proxy.batcher.abandon();
                proxy.phase.send_replace(Phase::GivingUp);
                proxy.batcher.vacated().await;
                self.event("given up", 1);
            } else {
                self.event("drained", 1);
            }
            proxy.later.end().await;
            let left = self.ledger.lost(number);
            assert_eq!(left, 0, "it has ended, and jobs are still its own");
        };
        tokio::select! {
            biased;
            () = proxy.life.over() => self.event("dies at a step", 1),
            () = ends => {}
        }
    }

    /// Nothing of it does anything any more, if it was not dead before.
    fn dies(&self, Process { proxy, .. }: &Process) {
        proxy.life.end();
        let rode = proxy.batcher.snapshot().detached_rode;
        self.event("jobs for later ride along", rode);
        let recovered = proxy.observer.metrics.totals().recovered;
        for (how, times) in Recovered::ALL.into_iter().zip(recovered) {
            let name = match how {
                Recovered::QueuedAgain => "queued again",
                Recovered::Interrupted => "interrupted",
                Recovered::AttemptsExhausted => "attempts exhausted",
            };
            self.event(name, times);
        }
    }

    /// Once all is over: what became of the jobs, and how often each was done.
    fn close(&self) -> Outcome {
        let ends = self.ledger.close(&self.committed.counts().total());
        self.ledger.judge_fates();
        assert_eq!(self.oracle.in_flight(), 0);
        let mut outcome = std::mem::take(&mut *self.outcome.lock().unwrap());
        outcome.records = ends.values().sum();
        outcome.ends = ends;
        outcome.deeds = self.oracle.deeds();
        outcome
    }
}

impl Process {
    /// What ended in order has nothing left.
    fn balance(&self) {
        let counts = self.proxy.batcher.snapshot();
        let inside = (counts.queued, counts.queued_bytes, counts.waiting_for_room);
        assert_eq!((inside, counts.in_flight), ((0, 0, 0), 0), "{counts:?}");
        assert_eq!(counts.detached_queued, 0, "{counts:?}");
    }
}
