//! An upstream that misbehaves by chance, and remembers what it really did.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use http_body_util::Full;
use microbatch::engine::circuit::Circuit;
use microbatch::upstream::{Call, CallError, Ended, Origin, Outgoing, Response};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use crate::life::Life;

/// What an upstream can do to a batch.
pub const DEEDS: &[&str] = &[
    "answers all",
    "answers some wrongly",
    "answers for others",
    "says no array",
    "says 400",
    "says 403",
    "says 413",
    "says 429",
    "says 500",
    "says 502",
    "says 503",
    "says 504",
    "says too much",
    "refuses to connect",
    "never connects",
    "hangs up",
    "hangs up after the work",
    "is silent",
    "makes the proxy panic",
    "is down",
    "answers twice",
    "says 408 too late",
    "answers for another batch",
    "is abandoned",
];

/// What it does too where the proxy is killed.
pub const OUTLIVES: &str = "outlives the proxy";

/// What one job's secret has been through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    /// It was in a batch of which the body may have been sent.
    pub seen: bool,
    /// How often it was done.
    pub done: u32,
    /// Its caller was told that the upstream has not seen it.
    pub called_unseen: bool,
    /// It may have been what ended a process, and has not left since from this one.
    alone_from: Option<u32>,
    /// It is for later, and nothing of it may leave but from processes that have told its
    /// record to be sent: a bit for each.
    pub held: bool,
    leaves_from: u64,
}

/// What the panics say that are asked for.
pub const SIMULATED_PANIC: &str = "a simulated panic";

/// The bounds that every batch must keep.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub max_size: usize,
    pub max_bytes: usize,
    pub max_in_flight: usize,
    pub min_interval: Duration,
    /// Whether a batch that has left is sent at once, which one is not that waits for a
    /// store: until then other batches leave, and open the circuit.
    pub at_once: bool,
    pub split_on: Vec<u16>,
}

/// What the upstream knows. Shared with the callers, who hold it against their
/// answers.
#[derive(Clone)]
pub struct Oracle(Arc<Mutex<State>>);

struct State {
    rng: StdRng,
    fates: HashMap<String, Fate>,
    deeds: BTreeMap<&'static str, u64>,
    in_flight: usize,
    /// Since when it has nothing to do.
    idle_since: Instant,
    /// A job that no batch with it in survives, where batches are bisected.
    poison: u64,
}

/// A connection, with what is said on it and not yet heard.
#[derive(Default)]
struct Connection {
    said: VecDeque<Said>,
    /// Whether an answer to another call has come on it that shows.
    is_shifted: bool,
}

/// An answer.
#[derive(Clone)]
struct Said {
    status: u16,
    retry_after: bool,
    body: String,
    /// The batch that it is for, where it says so.
    batch_id: Option<HeaderValue>,
    ids: Vec<String>,
}

/// What it has to do with one process.
#[derive(Default)]
struct Dealings {
    in_flight: usize,
    last_left: Option<Instant>,
    /// The connections that the process keeps.
    kept: Vec<Connection>,
}

/// A connection with a call on it.
struct Line {
    dealings: Arc<Mutex<Dealings>>,
    connection: Mutex<Connection>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl Origin for Line {
    fn is_early(&self) -> bool {
        false
    }

    fn ended(self: Box<Self>, how: Ended) {
        let connection = self.connection.into_inner().unwrap();
        if matches!(how, Ended::Whole | Ended::Refused) {
            assert!(!connection.is_shifted, "kept after another call's answer");
            self.dealings.lock().unwrap().kept.push(connection);
        }
    }
}

pub struct SimulatedUpstream {
    oracle: Oracle,
    life: Life,
    dealings: Arc<Mutex<Dealings>>,
    circuit: Arc<Circuit>,
    bounds: Bounds,
    /// How long it is down, from when on.
    down: Option<(Instant, Instant)>,
    /// How much of what it does goes wrong, 0 to 1.
    badness: f64,
}

pub const TIMEOUT: Duration = Duration::from_millis(400);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);

impl Oracle {
    pub fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let poison = rng.random_range(0..8);
        Self(Arc::new(Mutex::new(State {
            rng,
            fates: HashMap::new(),
            deeds: BTreeMap::new(),
            in_flight: 0,
            idle_since: Instant::now(),
            poison,
        })))
    }

    pub fn fate(&self, secret: &str) -> Fate {
        self.with(|it| it.fates.get(secret).copied().unwrap_or_default())
    }

    /// Somebody was told that the upstream has not seen this job, and never will.
    pub fn is_called_unseen(&self, secret: &str) {
        self.with(|it| it.fates.entry(secret.to_owned()).or_default().called_unseen = true);
    }

    /// Nothing of this job may leave by itself.
    pub fn hold(&self, secret: &str) {
        self.with(|it| it.fates.entry(secret.to_owned()).or_default().held = true);
    }

    /// It may leave from this process, or not.
    pub fn lets(&self, secret: &str, process: u32, leave: bool) {
        self.with(|it| {
            let fate = it.fates.entry(secret.to_owned()).or_default();
            fate.leaves_from &= !(1 << process);
            fate.leaves_from |= u64::from(leave) << process;
        });
    }

    /// The next batch of this process that it is in has no other.
    pub fn leaves_alone(&self, secret: &str, process: Option<u32>) {
        self.with(|it| it.fates.entry(secret.to_owned()).or_default().alone_from = process);
    }

    /// Since when no call has been open, if none is.
    pub fn idle_since(&self) -> Option<Instant> {
        self.with(|it| (it.in_flight == 0).then_some(it.idle_since))
    }

    pub fn fates(&self) -> Vec<Fate> {
        self.with(|it| it.fates.values().copied().collect())
    }

    pub fn deeds(&self) -> BTreeMap<&'static str, u64> {
        self.with(|it| it.deeds.clone())
    }

    pub fn in_flight(&self) -> usize {
        self.with(|it| it.in_flight)
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        // What has panicked meanwhile is told by what it was; this is not to hide it.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn saw(&self, jobs: &[Job], process: u32) {
        self.with(|it| {
            for job in jobs {
                let fate = it.fates.entry(job.secret.clone()).or_default();
                let lets = !fate.held || fate.leaves_from & (1 << process) != 0;
                assert!(
                    lets,
                    "it has left though it is not told to be sent: {fate:?}"
                );
                if fate.alone_from == Some(process) {
                    assert_eq!(jobs.len(), 1, "with others: {fate:?}");
                    fate.alone_from = None;
                }
                fate.seen = true;
            }
        });
    }

    fn did<'a>(&self, jobs: impl Iterator<Item = &'a Job>) {
        self.with(|it| {
            for job in jobs {
                it.fates.entry(job.secret.clone()).or_default().done += 1;
            }
        });
    }
}

/// A member of a batch.
#[derive(Clone)]
struct Job {
    id: String,
    secret: String,
    poisonous: bool,
}

/// A call in the count of open ones, which says so if it is cut off.
struct Open {
    oracle: Oracle,
    life: Life,
    dealings: Arc<Mutex<Dealings>>,
    /// What was sent.
    jobs: Vec<Job>,
    ended: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.dealings.lock().unwrap().in_flight -= 1;
        let died = !self.ended && self.life.is_over();
        let done = self.oracle.with(|it| {
            it.in_flight -= 1;
            it.idle_since = Instant::now();
            if !self.ended {
                let how = if died { OUTLIVES } else { "is abandoned" };
                *it.deeds.entry(how).or_default() += 1;
            }
            it.rng.random_range(0..=self.jobs.len())
        });
        if died {
            // It goes on with what it has.
            self.oracle.did(self.jobs.iter().take(done));
        }
    }
}

impl SimulatedUpstream {
    pub fn new(
        (oracle, life): (Oracle, Life),
        circuit: Arc<Circuit>,
        bounds: Bounds,
        badness: f64,
    ) -> Self {
        let down = oracle.with(|it| {
            it.rng.random_bool(0.5).then(|| {
                let from = Duration::from_millis(it.rng.random_range(0..300));
                let long = Duration::from_millis(it.rng.random_range(50..600));
                (Instant::now() + from, Instant::now() + from + long)
            })
        });
        Self {
            oracle,
            life,
            dealings: Arc::default(),
            circuit,
            bounds,
            down,
            badness,
        }
    }

    /// Reads a batch, which must be within its bounds.
    fn read(&self, array: &[u8], announced: &HeaderValue) -> Vec<Job> {
        assert!(array.len() <= self.bounds.max_bytes, "{}", array.len());
        let jobs: Vec<&RawValue> = serde_json::from_slice(array).expect("an array");
        assert!((1..=self.bounds.max_size).contains(&jobs.len()), "{jobs:?}");
        assert_eq!(announced.to_str().unwrap(), jobs.len().to_string());
        let poison = self.oracle.with(|it| it.poison);
        let jobs: Vec<Job> = jobs
            .into_iter()
            .map(|job| {
                let job: HashMap<&str, Value> = serde_json::from_str(job.get()).unwrap();
                Job {
                    id: job["id"].to_string(),
                    secret: job["body"].as_str().unwrap().to_owned(),
                    poisonous: job["id"] == poison,
                }
            })
            .collect();
        let ids: HashSet<_> = jobs.iter().map(|job| &job.id).collect();
        assert_eq!(ids.len(), jobs.len(), "an id twice in one batch");
        jobs
    }

    fn open(&self) -> Open {
        let now = Instant::now();
        self.oracle.with(|it| it.in_flight += 1);
        let mut dealings = self.dealings.lock().unwrap();
        dealings.in_flight += 1;
        assert!(dealings.in_flight <= self.bounds.max_in_flight, "slots");
        if let Some(last) = dealings.last_left.filter(|_| self.bounds.at_once) {
            assert!(now - last >= self.bounds.min_interval, "{:?}", now - last);
        }
        dealings.last_left = Some(now);
        Open {
            oracle: self.oracle.clone(),
            life: self.life.clone(),
            dealings: Arc::clone(&self.dealings),
            jobs: Vec::new(),
            ended: false,
        }
    }

    /// Chooses a deed for a batch of this many.
    fn choose(&self, size: usize, poisonous: bool) -> &'static str {
        let down = self
            .down
            .is_some_and(|(from, to)| (from..to).contains(&Instant::now()));
        self.oracle.with(|it| {
            let bad = it.rng.random_bool(self.badness);
            let deed = if down {
                "is down"
            } else if poisonous && self.bounds.split_on.contains(&400) {
                "says 400"
            } else if size > 3 && it.rng.random_bool(0.3) {
                "says 413"
            } else if bad {
                // All but the first, which is no fault, and those that come by
                // themselves.
                let at = it.rng.random_range(1..DEEDS.len());
                match DEEDS[at] {
                    "is down" | "is abandoned" | "answers for another batch" => "answers twice",
                    deed => deed,
                }
            } else {
                "answers all"
            };
            *it.deeds.entry(deed).or_default() += 1;
            deed
        })
    }
}

fn element(job: &Job) -> String {
    format!(r#"{{"id":{},"result":"{}"}}"#, job.id, job.secret)
}

impl Call for SimulatedUpstream {
    async fn post(&self, batch: Outgoing<'_>) -> Result<Response, CallError> {
        tokio::select! {
            biased;
            () = self.life.over() => std::future::pending().await,
            answer = self.call(batch) => answer,
        }
    }
}

impl SimulatedUpstream {
    async fn call(&self, batch: Outgoing<'_>) -> Result<Response, CallError> {
        let dispatch = batch.dispatch;
        let open = self.circuit.state() == "open";
        assert!(!open || !self.bounds.at_once, "sent all the same");
        let deadline = Instant::now() + TIMEOUT;
        let jobs = self.read(&batch.body.concat(), batch.batch_size);
        let mut open = self.open();
        let deed = self.choose(jobs.len(), jobs.iter().any(|job| job.poisonous));
        let pause = |most: u64| {
            let ms = self.oracle.with(|it| it.rng.random_range(0..=most));
            sleep(Duration::from_millis(ms))
        };
        // Connecting may take its time.
        pause(if deed == "answers all" { 100 } else { 5 }).await;
        match deed {
            "is down" | "refuses to connect" => {
                open.ended = true;
                return Err(CallError::Unreachable("simulated".to_owned()));
            }
            "never connects" => {
                sleep(CONNECT_TIMEOUT).await;
                open.ended = true;
                return Err(CallError::ConnectTimeout);
            }
            _ => {}
        }
        self.life.point().await;
        if !dispatch.set() {
            open.ended = true;
            return Err(CallError::Unreachable("simulated".to_owned()));
        }
        self.oracle.saw(&jobs, self.life.number());
        open.jobs.clone_from(&jobs);
        self.life.point().await;
        pause(40).await;
        self.life.point().await;
        assert!(deed != "makes the proxy panic", "{SIMULATED_PANIC}");
        let half = || {
            let n = self.oracle.with(|it| it.rng.random_range(0..=jobs.len()));
            jobs.iter().take(n)
        };
        let answer = match deed {
            "hangs up" => Err(CallError::Disconnected("simulated".to_owned())),
            "hangs up after the work" => {
                self.oracle.did(half());
                Err(CallError::Disconnected("simulated".to_owned()))
            }
            "is silent" => {
                self.oracle.did(half());
                open.jobs.clear();
                tokio::time::sleep_until(deadline).await;
                Err(CallError::Timeout)
            }
            _ => self.answer(deed, &jobs, batch.batch_id, deadline),
        };
        open.ended = true;
        answer
    }
}

impl SimulatedUpstream {
    /// What comes back on a connection: what it says, unless another answer is before
    /// that.
    fn answer(
        &self,
        deed: &str,
        jobs: &[Job],
        batch_id: &HeaderValue,
        deadline: Instant,
    ) -> Result<Response, CallError> {
        let mut connection = self.dealings.lock().unwrap().kept.pop().unwrap_or_default();
        assert!(!connection.is_shifted, "used after another call's answer");
        let mut said = self.say(deed, jobs);
        if self.oracle.with(|it| it.rng.random_bool(0.5)) {
            said.batch_id = Some(batch_id.clone());
        }
        connection.said.push_back(said.clone());
        match deed {
            // Without a name of its batch only its ids tell it from the next call's.
            "answers twice" => connection.said.push_back(Said {
                batch_id: Some(batch_id.clone()),
                ..said
            }),
            "says 408 too late" => connection.said.push_back(Said {
                status: 408,
                retry_after: false,
                body: String::new(),
                batch_id: None,
                ids: Vec::new(),
            }),
            _ => {}
        }
        let mut heard = connection.said.pop_front().unwrap();
        let is_own = heard.batch_id.as_ref().is_none_or(|it| it == batch_id) && heard.status != 408;
        if !is_own {
            let is_known = jobs.iter().any(|job| heard.ids.contains(&job.id));
            connection.is_shifted = true;
            self.oracle.with(|it| {
                *it.deeds.entry("answers for another batch").or_default() += 1;
                if !is_known && it.rng.random_bool(0.5) {
                    heard.batch_id = None;
                }
            });
        }
        let line = Line {
            dealings: Arc::clone(&self.dealings),
            connection: Mutex::new(connection),
        };
        let mut response = http::Response::builder().status(heard.status);
        if heard.retry_after {
            response = response.header("retry-after", "1");
        }
        if let Some(id) = &heard.batch_id {
            response = response.header("x-batch-id", id);
        }
        let response = response.body(Full::from(heard.body)).unwrap();
        Response::new(response, batch_id, LIMIT, deadline, Box::new(line))
    }

    /// What it says, having done what it says or worse.
    fn say(&self, deed: &str, jobs: &[Job]) -> Said {
        let said = |status, retry_after, body| Said {
            status,
            retry_after,
            body,
            batch_id: None,
            ids: jobs.iter().map(|job| job.id.clone()).collect(),
        };
        if let Some(status) = deed.strip_prefix("says ").and_then(|it| it.parse().ok()) {
            // A 500 or a gateway's 502 and 504 may come after the work, but not where
            // they are said to have no effect.
            if matches!(status, 500 | 502 | 504) && !self.bounds.split_on.contains(&status) {
                let n = self.oracle.with(|it| it.rng.random_range(0..=jobs.len()));
                self.oracle.did(jobs.iter().take(n));
            }
            let retry_after = self.oracle.with(|it| it.rng.random_bool(0.2));
            return said(status, retry_after, "no".to_owned());
        }
        self.oracle.did(jobs.iter());
        let mut elements: Vec<String> = jobs.iter().map(element).collect();
        self.oracle.with(|it| {
            let rng = &mut it.rng;
            match deed {
                "answers some wrongly" => {
                    elements = jobs
                        .iter()
                        .flat_map(|job| match rng.random_range(0..7) {
                            0 => vec![],
                            1 => vec![element(job), element(job)],
                            2 => vec![element(job), element(job).replace("result", "other")],
                            3 => vec![element(job).replace("result", "error")],
                            // No JSON, with an id that can be read and without.
                            4 => vec![element(job).replace('}', ",\"n\":NaN}")],
                            5 => vec![element(job).replace("\"id\"", "id")],
                            _ => vec![element(job)],
                        })
                        .collect();
                }
                "answers for others" => {
                    // The right number of results, each with another's id.
                    let secrets = jobs.iter().map(|job| &job.secret);
                    elements = secrets
                        .map(|secret| format!(r#"{{"id":"not {secret}","result":"{secret}"}}"#))
                        .collect();
                }
                _ => {}
            }
            elements.shuffle(rng);
        });
        let body = match deed {
            "says no array" => "<html>".to_owned(),
            "says too much" => format!("[{}]", " ".repeat(LIMIT)),
            _ => format!("[{}]", elements.join(",")),
        };
        said(200, false, body)
    }
}

const LIMIT: usize = 1 << 16;
