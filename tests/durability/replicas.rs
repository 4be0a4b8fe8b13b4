//! Replicas that share a store in Redis: they are killed and held, Redis is, and the network
//! between them has weather, round after round.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::callers::Callers;
use crate::harness::{Proxy, Scrape, Signal, eventually};
use crate::ledger::{Fault, Ledger, Terms};
use crate::moment::{Moment, micros};
use crate::network::{Network, Weather};
use crate::redis::Redis;
use crate::settle::{all_finished, check_counts, check_presence, fetch_all, resolve_doubts};
use crate::started::{check_log, started};
use crate::streams::{Listeners, hear_all};
use crate::upstream::Upstream;

const REPLICAS: usize = 3;

/// How many hand in and fetch at once.
const CALLERS: u64 = 8;

/// Longer than `upstream.timeout`, shorter than anybody is held.
const LEASE: &str = "1500ms";
const HELD: Duration = Duration::from_millis(2_500);

const ENV: [(&str, &str); 2] = [
    ("MICROBATCH_LATER__LEASE", LEASE),
    ("MICROBATCH_LATER__TIMEOUT", "500ms"),
];

/// What happens in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// So many replicas are killed.
    Kill(usize),
    /// A replica is told to end.
    Drain,
    /// A replica stands still for longer than a lease, and goes on.
    Hold,
    /// Redis is killed, and starts anew.
    KillRedis,
    /// Redis stands still for longer than a step may take, and goes on.
    HoldRedis,
    /// The network of one replica, or of all.
    Network { all: bool },
}

impl Event {
    fn drawn(rng: &mut StdRng) -> Self {
        match rng.random_range(0..100) {
            0..25 => Self::Kill(1),
            25..45 => Self::Kill(2),
            45..52 => Self::Drain,
            52..57 => Self::Hold,
            57..70 => Self::KillRedis,
            70..74 => Self::HoldRedis,
            74..92 => Self::Network { all: false },
            _ => Self::Network { all: true },
        }
    }
}

/// Runs one Redis through these rounds; nothing where there is none.
pub async fn run(terms: Terms, rounds: u64, redis: Redis, seed: u64) -> Arc<Ledger> {
    let ledger = Arc::new(Ledger::new(terms));
    let upstream = Upstream::start(Arc::clone(&ledger), seed).await;
    let callers = Callers::start(&ledger, CALLERS, seed + 1);
    let _listeners = Listeners::start(&ledger, &callers.places());
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        let network = Network::to(&redis.socket()).await;
        let proxy = started(&ledger, &upstream.url(), &network.url(), &ENV).await;
        replicas.push(Replica { proxy, network });
    }
    let mut course = Course {
        ledger: Arc::clone(&ledger),
        redis,
        upstream,
        replicas,
        callers,
        rng: StdRng::seed_from_u64(seed),
    };
    course.tell_callers();
    for _ in 0..rounds {
        course.round().await;
    }
    course.end().await;
    ledger
}

struct Replica {
    proxy: Proxy,
    network: Network,
}

struct Course {
    ledger: Arc<Ledger>,
    redis: Redis,
    upstream: Upstream,
    replicas: Vec<Replica>,
    callers: Callers,
    rng: StdRng,
}

impl Course {
    fn tell_callers(&self) {
        let addrs = self.replicas.iter().map(|it| it.proxy.jobs_addr);
        self.callers.go_to(&addrs.collect::<Vec<_>>());
    }

    async fn round(&mut self) {
        let event = Event::drawn(&mut self.rng);
        self.ledger.count(&format!("round: {event:?}"));
        let moment = match self.rng.random_range(0..4) {
            0 => Moment::Any,
            1 => Moment::Reached,
            2 => Moment::Answered,
            _ => Moment::Accepted,
        };
        moment
            .wait(&mut self.rng, &self.ledger, &self.upstream)
            .await;
        match event {
            Event::Kill(count) => self.end_replicas(count, Signal::KILL).await,
            Event::Drain => self.end_replicas(1, Signal::TERM).await,
            Event::Hold => {
                let it = self.rng.random_range(0..REPLICAS);
                self.replicas[it].proxy.signal(Signal::STOP);
                sleep(HELD).await;
                self.replicas[it].proxy.signal(Signal::CONT);
            }
            Event::KillRedis => {
                self.redis.kill().await;
                sleep(micros(&mut self.rng, 300_000)).await;
                self.redis.restart().await;
            }
            Event::HoldRedis => {
                self.redis.signal(Signal::STOP);
                sleep(Duration::from_millis(700)).await;
                self.redis.signal(Signal::CONT);
            }
            Event::Network { all } => self.have_weather(all).await,
        }
        let it = self.rng.random_range(0..REPLICAS);
        check_counts(&self.ledger, &Scrape::of(&self.replicas[it].proxy).await);
    }

    /// Ends so many of them, and starts others in their places.
    async fn end_replicas(&mut self, count: usize, signal: Signal) {
        let first = self.rng.random_range(0..REPLICAS);
        let ended: Vec<_> = (0..count).map(|it| (first + it) % REPLICAS).collect();
        for it in &ended {
            self.replicas[*it].proxy.signal(signal);
        }
        for it in &ended {
            let proxy = &mut self.replicas[*it].proxy;
            let code = proxy.exit_code().await;
            if signal == Signal::TERM && code != Some(0) {
                let what = format!("exit code {code:?} after SIGTERM\n{}", proxy.log);
                self.ledger.fault(Fault::Process, &what);
            }
            check_log(&self.ledger, &proxy.log);
        }
        // The others have everything meanwhile.
        let left = (0..REPLICAS).filter(|it| !ended.contains(it));
        let left = left.map(|it| self.replicas[it].proxy.jobs_addr);
        self.callers.go_to(&left.collect::<Vec<_>>());
        sleep(micros(&mut self.rng, 300_000)).await;
        for it in ended {
            let (upstream, store) = (self.upstream.url(), self.replicas[it].network.url());
            let proxy = started(&self.ledger, &upstream, &store, &ENV).await;
            self.replicas[it].proxy = proxy;
        }
        self.tell_callers();
    }

    async fn have_weather(&mut self, all: bool) {
        let weather = match self.rng.random_range(0..5) {
            0 => Weather::Cut,
            1 => Weather::Slow(Duration::from_millis(self.rng.random_range(1..700))),
            2 => Weather::NoReplies,
            3 => Weather::Silent,
            _ => Weather::CutAtReplies(self.rng.random_range(1..12)),
        };
        self.ledger.count(&format!("weather: {}", name(weather)));
        let one = self.rng.random_range(0..REPLICAS);
        let them = (0..REPLICAS).filter(|it| all || *it == one);
        for it in them.clone() {
            self.replicas[it].network.set(weather);
        }
        sleep(micros(&mut self.rng, 900_000)).await;
        for it in them {
            self.replicas[it].network.set(Weather::Clear);
        }
    }

    /// Nothing happens any more, and all comes to its end.
    async fn end(mut self) {
        self.callers.end().await;
        let (ledger, replicas) = (self.ledger, self.replicas);
        self.upstream.behave();
        let proxies: Vec<_> = replicas.iter().map(|it| it.proxy.jobs_addr).collect();
        for replica in &replicas {
            connected(&replica.proxy).await;
        }
        resolve_doubts(&ledger, proxies[0]).await;
        for replica in &replicas {
            all_finished(&ledger, &replica.proxy).await;
        }
        fetch_all(&ledger, &proxies).await;
        hear_all(&ledger, proxies[1]).await;
        for replica in &replicas {
            check_presence(&ledger, &replica.proxy).await;
            check_log(&ledger, &replica.proxy.log);
        }
        ledger.close();
    }
}

/// Waits until it has its store again: it knows of a handle that there is none.
async fn connected(proxy: &Proxy) {
    use crate::harness::Request;
    let unknown = Request::new("GET", "/jobs/01a22a076dfanDritm0Jq_7A33gGGEMsvg");
    eventually("the store to be back", || async {
        let answer = proxy.send(unknown.clone()).await;
        (answer.status == 404).then_some(())
    })
    .await;
}

fn name(weather: Weather) -> &'static str {
    match weather {
        Weather::Clear => "clear",
        Weather::Cut => "cut",
        Weather::Slow(_) => "slow",
        Weather::NoReplies => "no replies",
        Weather::Silent => "silent",
        Weather::CutAtReplies(_) => "cut at replies",
    }
}
