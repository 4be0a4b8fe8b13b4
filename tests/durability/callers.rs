//! Those who hand jobs in, come back for their answers, and delete them; all is told to the
//! ledger. They find out by themselves which proxies are there, and try again without end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::harness::{Answer, KeepAlive, Request};
use crate::ledger::{Ledger, Posted, Task, Way, code};

/// Where proxies are, at the moment; whether callers are to go on.
#[derive(Clone, Debug, Default)]
pub struct Places {
    pub proxies: Vec<SocketAddr>,
    pub ended: bool,
}

/// Callers at work. Dropping them ends them in the middle of it.
pub struct Callers {
    places: watch::Sender<Places>,
    tasks: JoinSet<()>,
}

impl Callers {
    pub fn start(ledger: &Arc<Ledger>, count: u64, seed: u64) -> Self {
        let places = watch::Sender::new(Places::default());
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let caller = Caller {
                ledger: Arc::clone(ledger),
                places: places.subscribe(),
                rng: StdRng::seed_from_u64(seed + number),
                connection: None,
            };
            tasks.spawn(caller.run());
        }
        Self { places, tasks }
    }

    /// Where they go, for others who go there too.
    pub fn places(&self) -> watch::Receiver<Places> {
        self.places.subscribe()
    }

    /// These are the proxies from here on.
    pub fn go_to(&self, proxies: &[SocketAddr]) {
        let proxies = proxies.to_vec();
        self.places.send_modify(|it| it.proxies = proxies);
    }

    /// Lets each come to an end with what it is at.
    pub async fn end(&mut self) {
        self.places.send_modify(|it| it.ended = true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a caller does not panic");
        }
    }
}

struct Caller {
    ledger: Arc<Ledger>,
    places: watch::Receiver<Places>,
    rng: StdRng,
    connection: Option<(SocketAddr, KeepAlive)>,
}

impl Caller {
    async fn run(mut self) {
        loop {
            let found = self
                .places
                .wait_for(|it| it.ended || !it.proxies.is_empty())
                .await;
            if found.map_or(true, |it| it.ended) {
                return;
            }
            self.something().await;
            let pause = Duration::from_micros(self.rng.random_range(0..8_000));
            sleep(pause).await;
        }
    }

    async fn something(&mut self) {
        let ledger = Arc::clone(&self.ledger);
        let draw = self.rng.random_range(0..100);
        match draw {
            0..15 => {
                if let Some(task) = ledger.take_to_hand_in_again(&mut self.rng) {
                    self.hand_in(&task).await;
                }
            }
            15..20 => {
                if let Some(task) = ledger.take_to_delete(&mut self.rng) {
                    let answer = self.send(at("DELETE", &task)).await;
                    ledger.deleted(&task, answer.ok().as_ref());
                }
            }
            20..40 => {
                if let Some(task) = ledger.look_at(&mut self.rng) {
                    let mut request = at("GET", &task);
                    if self.rng.random_ratio(1, 4) {
                        request = request.header("prefer", "wait=1");
                    }
                    if let Ok(answer) = self.send(request).await {
                        ledger.fetched(&task, &answer);
                    }
                }
            }
            _ => {
                let task = ledger.make(&mut self.rng);
                if task.way == Way::Waiting {
                    let answer = self.send(Request::job(task.body.clone())).await;
                    return ledger.waited(&task, answer.ok().as_ref());
                }
                // Whoever is in doubt asks again, if it may.
                let again = match task.way {
                    Way::LaterWithKey => self.rng.random_range(0..3),
                    _ => 0,
                };
                let mut doubtful = self.hand_in(&task).await;
                for _ in 0..again {
                    if doubtful {
                        doubtful = self.hand_in(&task).await;
                    }
                }
            }
        }
    }

    /// Whether it is in doubt.
    async fn hand_in(&mut self, task: &Task) -> bool {
        let waits = self.rng.random_ratio(1, 8);
        let answer = self.send(handing_in(task, waits)).await;
        let posted = read(answer);
        let doubtful = matches!(posted, Posted::Unknown);
        self.ledger.posted(task, posted);
        doubtful
    }

    /// One request and its answer, on the connection that there is.
    async fn send(&mut self, request: Request) -> Result<Answer, Broken> {
        let proxies = self.places.borrow().proxies.clone();
        let kept = self.connection.take();
        let kept = kept.filter(|(addr, _)| proxies.contains(addr));
        let fresh = proxies.is_empty() || self.rng.random_ratio(1, 20);
        let (addr, mut connection) = match kept.filter(|_| !fresh) {
            Some(kept) => kept,
            None if proxies.is_empty() => return Err(Broken::BeforeIt),
            None => {
                let addr = proxies[self.rng.random_range(0..proxies.len())];
                let connection = KeepAlive::try_connect(addr).await;
                (addr, connection.map_err(|_| Broken::BeforeIt)?)
            }
        };
        let answer = connection.try_send(request).await;
        let answer = answer.map_err(|_| Broken::InIt)?;
        if answer.header("connection") != "close" {
            self.connection = Some((addr, connection));
        }
        Ok(answer)
    }
}

/// Why there is no answer.
pub enum Broken {
    /// There was no connection.
    BeforeIt,
    /// The proxy may have had the request.
    InIt,
}

fn at(method: &str, task: &Task) -> Request {
    let handle = task.handle.as_deref().expect("it has one");
    Request::new(method, &format!("/jobs/{handle}"))
}

/// The request that hands an item in: the same each time, but for whether its caller waits
/// a little.
pub fn handing_in(task: &Task, waits: bool) -> Request {
    let prefer = match waits {
        true => "respond-async, wait=1",
        false => "respond-async",
    };
    let mut request = Request::job(task.body.clone()).header("prefer", prefer);
    if task.way == Way::LaterWithKey {
        request = request.header("idempotency-key", &format!("\"key-{}\"", task.item));
    }
    match task.stream {
        Some(stream) => request.to("POST", &format!("/jobs?stream=stream-{stream}")),
        None => request,
    }
}

/// What the answer says that handing in got.
pub fn read(answer: Result<Answer, Broken>) -> Posted {
    let answer = match answer {
        Ok(answer) => answer,
        Err(Broken::BeforeIt) => return Posted::NotSent,
        Err(Broken::InIt) => return Posted::Unknown,
    };
    let handle = answer.header("location").strip_prefix("/jobs/");
    match (answer.status, handle.map(str::to_owned)) {
        (202, Some(handle)) => Posted::Accepted(handle),
        (_, Some(handle)) => Posted::Finished(handle, answer),
        _ => match answer.json()["dispatched"] == "unknown" {
            true => Posted::Unknown,
            false => Posted::Refused(format!("{} {}", answer.status, code(&answer))),
        },
    }
}
