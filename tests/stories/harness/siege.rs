//! A proxy under attack, and the callers who mean well and must not notice.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{KeepAlive, Line, Proxy, RawClient, ScriptedUpstream, Signal};

/// How many good callers there are, each on a connection of its own.
const GOOD: usize = 4;
/// How many answers each of them wants at least.
const EACH: usize = 25;
/// What an attack may make of the median of the good answers' times: so many times what
/// it was in the same run before the attack,
const TIMES: u32 = 4;
/// or this, since what was short before may be long by chance. The slowest answers tell
/// how long the machine stood still, and are printed alone.
const CHANCE: Duration = Duration::from_millis(500);

/// A proxy that sends each job at once, before an upstream that echoes.
pub struct Siege {
    pub proxy: Proxy,
    name: &'static str,
    /// How often the upstream has seen each id, as JSON text.
    seen: Arc<Mutex<HashMap<String, u32>>>,
    /// The most that the median of good answers may be.
    bound: Duration,
    _upstream: JoinSet<()>,
}

impl Siege {
    /// The `name` is for what is printed: the good callers' latencies before
    /// and under the attack.
    pub async fn of(name: &'static str, flags: &[&str], env: &[(&str, &str)]) -> Self {
        let mut upstream = ScriptedUpstream::start().await;
        // Writing a line for each job and frame would be what is measured.
        let quietly = ["--max-wait", "0", "--log-level", "info"];
        let flags = [&quietly[..], flags].concat();
        let proxy = Proxy::start(&upstream.url(), &flags, env).await;
        let seen: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
        let shelf = seen.clone();
        let mut echoing = JoinSet::new();
        echoing.spawn(async move {
            loop {
                let call = upstream.next_ever().await;
                for id in call.ids() {
                    *shelf.lock().unwrap().entry(id.to_string()).or_default() += 1;
                }
                call.echo();
            }
        });
        let mut siege = Self {
            proxy,
            name,
            seen,
            bound: Duration::MAX,
            _upstream: echoing,
        };
        let (median, ()) = siege.good("quiet", std::future::ready(())).await;
        siege.bound = CHANCE.max(median * TIMES);
        siege
    }

    /// Impatient with callers who are slow to send.
    pub async fn impatient(name: &'static str) -> Self {
        Self::of(name, &[], &[("MICROBATCH_SERVER__READ_TIMEOUT", "300ms")]).await
    }

    pub fn addr(&self) -> SocketAddr {
        self.proxy.jobs_addr
    }

    pub async fn raw(&self) -> RawClient {
        RawClient::connect(self.addr()).await
    }

    /// How often the upstream has seen this id.
    pub fn seen(&self, id: &str) -> u32 {
        let seen = self.seen.lock().unwrap();
        seen.get(&format!("\"{id}\"")).copied().unwrap_or_default()
    }

    /// The good callers are answered, each its own, while the attack goes on.
    pub async fn during<T>(&self, attack: impl Future<Output = T>) -> T {
        self.good("attack", attack).await.1
    }

    /// The same while an attack that has begun holds on.
    pub async fn goes_on(&self) {
        self.during(std::future::ready(())).await;
    }

    async fn good<T>(&self, when: &str, meanwhile: impl Future<Output = T>) -> (Duration, T) {
        let over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for n in 0..GOOD {
            callers.spawn(good_caller(self.addr(), n, over.clone()));
        }
        let outcome = meanwhile.await;
        over.store(true, Relaxed);
        let mut times = callers.join_all().await.concat();
        times.sort_unstable();
        let ms = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
        let (name, count, p50, p99) = (self.name, times.len(), ms(50), ms(99));
        eprintln!("{name}, {when}: {count} good answers, p50 {p50:.1} ms, p99 {p99:.1} ms");
        let median = times[(times.len() - 1) / 2];
        assert!(median <= self.bound, "{name}: over {:?}", self.bound);
        (median, outcome)
    }

    /// Runs an attack and asserts that the proxy's memory has grown by less
    /// than `kib` at its peak.
    pub async fn within_memory<T>(&self, kib: u64, attack: impl Future<Output = T>) -> T {
        let before = self.proxy.peak_kib();
        let outcome = attack.await;
        let grown = self.proxy.peak_kib() - before;
        eprintln!("{}: memory grew by {grown} KiB at its peak", self.name);
        assert!(grown < kib, "{grown} KiB, not under {kib}");
        outcome
    }

    /// Ends the proxy: its books balance, and its last line says so.
    pub async fn ends(mut self) -> Line {
        self.proxy.signal(Signal::TERM);
        assert_eq!(self.proxy.exit_code().await, Some(0));
        let done = self.proxy.log.last().await;
        assert_eq!(done.message(), "done", "{done:?}");
        let kept = done.number("answered") + done.number("cancelled");
        assert_eq!(done.number("accepted"), kept, "{done:?}");
        assert_eq!(done.outcome("internal"), 0, "{done:?}");
        done
    }
}

/// One job after the other until the attack is over; how long each took.
async fn good_caller(proxy: SocketAddr, n: usize, over: Arc<AtomicBool>) -> Vec<Duration> {
    let mut connection = KeepAlive::connect(proxy).await;
    let mut times = Vec::new();
    while times.len() < EACH || !over.load(Relaxed) {
        let body = format!("\"mine {n} {}\"", times.len());
        let job = format!(r#"{{"id":"good {n}","body":{body}}}"#);
        let asked = Instant::now();
        let answer = connection.post(job).await;
        times.push(asked.elapsed());
        answer.is_result(&format!(r#"{{"id":"good {n}","result":{body}}}"#));
    }
    times
}
