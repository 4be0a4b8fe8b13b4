//! Who listens to a stream all the time, from one process to the next: it goes on after the
//! last number that it has heard, and tells the ledger what it hears.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::callers::Places;
use crate::ledger::{Fault, Ledger};

/// The streams that there are.
pub const STREAMS: u8 = 2;

/// How long a listener may take to hear what there is: a bound for a hang.
const LONGEST: Duration = Duration::from_secs(30);

/// Listeners at work, one to each stream. Dropping them ends them.
pub struct Listeners {
    _tasks: JoinSet<()>,
}

impl Listeners {
    pub fn start(ledger: &Arc<Ledger>, places: &watch::Receiver<Places>) -> Self {
        let mut tasks = JoinSet::new();
        for stream in 0..STREAMS {
            tasks.spawn(go_on(Arc::clone(ledger), places.clone(), stream));
        }
        Self { _tasks: tasks }
    }
}

async fn go_on(ledger: Arc<Ledger>, mut places: watch::Receiver<Places>, stream: u8) {
    let mut last = None;
    for turn in 0.. {
        let found = places.wait_for(|it| !it.proxies.is_empty()).await;
        let Ok(addr) = found.map(|it| it.proxies[turn % it.proxies.len()]) else {
            return;
        };
        if let Some(mut listening) = Listening::to(addr, stream, last).await {
            while let Some(event) = listening.event().await {
                ledger.heard(stream, last, &event);
                last = event.number.or(last);
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whoever comes at the end hears of every record that there is, and those who listened all
/// the time have heard of it.
pub async fn hear_all(ledger: &Ledger, proxy: SocketAddr) {
    for stream in 0..STREAMS {
        let until = Instant::now() + LONGEST;
        while !ledger.not_heard(stream).is_empty() && Instant::now() < until {
            sleep(Duration::from_millis(10)).await;
        }
        for (item, why) in ledger.not_heard(stream) {
            ledger.fault_of(Fault::Stream, item, &why);
        }
        let mut expected = ledger.on_stream(stream);
        let Some(mut listening) = Listening::to(proxy, stream, None).await else {
            ledger.fault(Fault::Stream, "nobody can listen");
            continue;
        };
        let (mut last, all) = (None, expected.len());
        let until = Instant::now() + LONGEST;
        while !expected.is_empty() {
            let Ok(Some(event)) = timeout_at(until, listening.event()).await else {
                let left = expected.len();
                let what = format!("{left} of {all} are not told to whoever comes late");
                ledger.fault(Fault::Stream, &what);
                break;
            };
            ledger.heard(stream, last, &event);
            last = event.number.or(last);
            expected.remove(&event.handle());
        }
    }
}

/// A server-sent event.
#[derive(Clone, Debug, Default)]
pub struct Event {
    pub number: Option<u64>,
    pub name: String,
    pub data: Value,
}

impl Event {
    pub fn handle(&self) -> String {
        self.data["handle"].as_str().unwrap_or_default().to_owned()
    }
}

struct Listening {
    body: Incoming,
    text: String,
    _driver: JoinSet<()>,
}

impl Listening {
    async fn to(addr: SocketAddr, stream: u8, after: Option<u64>) -> Option<Self> {
        let socket = TcpStream::connect(addr).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.ok()?;
        let mut driver = JoinSet::new();
        driver.spawn(async { drop(connection.await) });
        let mut request = hyper::Request::builder()
            .uri(format!("/streams/stream-{stream}"))
            .header("host", addr.to_string());
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let request = request.body(Empty::<Bytes>::new()).ok()?;
        let response = timeout(LONGEST, sender.send_request(request)).await;
        let response = response.ok()?.ok()?;
        (response.status() == 200).then(|| Self {
            body: response.into_body(),
            text: String::new(),
            _driver: driver,
        })
    }

    /// The next that is whole; `None` at an end, however it comes.
    async fn event(&mut self) -> Option<Event> {
        loop {
            while let Some((text, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (parse(text), rest.to_owned());
                self.text = rest;
                if event.is_some() {
                    return event;
                }
            }
            let frame = self.body.frame().await?.ok()?;
            let data = frame.into_data().ok()?;
            self.text += std::str::from_utf8(&data).ok()?;
        }
    }
}

/// Nothing where it is a comment.
fn parse(text: &str) -> Option<Event> {
    let (mut event, mut data) = (Event::default(), String::new());
    for line in text.lines() {
        let (field, value) = line.split_once(": ").unwrap_or((line, ""));
        match field {
            "id" => event.number = value.parse().ok(),
            "event" => event.name = value.to_owned(),
            "data" => data += value,
            _ => {}
        }
    }
    event.data = serde_json::from_str(&data).unwrap_or_default();
    (!event.name.is_empty()).then_some(event)
}
