//! Jobs for later: handed in, come back for, listened to.

use std::collections::BTreeSet;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::task::JoinSet;

use super::client::connect;
use super::{Answer, Proxy, Request, within};

/// A job that was handed in.
#[derive(Clone, Debug)]
pub struct Handed {
    /// `/jobs/<handle>`.
    pub location: String,
    pub handle: String,
}

impl Handed {
    /// What a 202 says, with all that every one must say.
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.header("preference-applied"), "respond-async");
        let location = answer.header("location").to_owned();
        let document = unfinished(answer);
        let handle = document["handle"].as_str().expect("a handle").to_owned();
        assert_eq!(location, format!("/jobs/{handle}"));
        Self { location, handle }
    }
}

/// What is told of a record that is not finished.
fn unfinished(answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let seconds = answer.header("retry-after").parse::<u64>();
    assert!(seconds.is_ok_and(|it| (1..=60).contains(&it)), "{answer:?}");
    let document = answer.json();
    let members = document.as_object().expect("an object").keys();
    let members: BTreeSet<_> = members.map(String::as_str).collect();
    let expected = BTreeSet::from(["expires_at", "handle", "id", "state"]);
    assert_eq!(members, expected);
    document
}

impl Proxy {
    /// Hands a job in.
    pub async fn hand_in(&self, job: &str) -> Handed {
        Handed::of(&self.send(Request::later(job.to_owned())).await)
    }

    /// The same for a request that is more than a job.
    pub async fn hand_in_to(&self, path: &str, job: &str) -> Handed {
        let request = Request::later(job.to_owned()).to("POST", path);
        Handed::of(&self.send(request).await)
    }

    /// Comes back for an answer, as it is at the moment.
    pub async fn fetch(&self, handed: &Handed) -> Answer {
        self.send(Request::new("GET", &handed.location)).await
    }

    /// The same, and waits until it is finished.
    pub async fn finished(&self, handed: &Handed) -> Answer {
        let request = Request::new("GET", &handed.location).header("prefer", "wait=60");
        let answer = self.send(request).await;
        assert!(
            ["done", "failed"].contains(&answer.header("x-job-state")),
            "{answer:?}"
        );
        answer
    }

    /// How far an unfinished job has come.
    pub async fn state(&self, handed: &Handed) -> String {
        let answer = self.fetch(handed).await;
        let state = answer.header("x-job-state").to_owned();
        assert_eq!(unfinished(&answer)["state"], state, "{answer:?}");
        state
    }

    /// Deletes a record.
    pub async fn delete(&self, handed: &Handed) -> Answer {
        self.send(Request::new("DELETE", &handed.location)).await
    }
}

/// Somebody who listens to a stream. Dropping it closes the connection.
pub struct Listening {
    pub head: Answer,
    body: Incoming,
    text: String,
    _driver: JoinSet<()>,
}

/// A server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: Option<u64>,
    pub event: String,
    pub data: String,
}

impl Event {
    /// The data of one that tells of a finished job.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Listening {
    /// Asks, and returns as soon as there is a head.
    pub async fn to(proxy: &Proxy, request: Request) -> Self {
        let io = TokioIo::new(connect(proxy.jobs_addr).await);
        let (mut sender, connection) = http1::handshake(io).await.expect("a connection");
        let mut driver = JoinSet::new();
        driver.spawn(async { drop(connection.await) });
        let request = request.build(&proxy.jobs_addr.to_string(), false);
        let response = within("a head", sender.send_request(request)).await;
        let (head, body) = response.expect("a response").into_parts();
        Self {
            head: Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: Default::default(),
            },
            body,
            text: String::new(),
            _driver: driver,
        }
    }

    /// To a stream, from its beginning.
    pub async fn to_stream(proxy: &Proxy, name: &str) -> Self {
        Self::to(proxy, Request::new("GET", &format!("/streams/{name}"))).await
    }

    /// The text up to the first of these; `None` at an end in order.
    async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some((text, rest)) = self.text.split_once(end) {
                let (text, rest) = (text.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(text);
            }
            let Some(frame) = within("more of a stream", self.body.frame()).await else {
                assert_eq!(self.text, "", "an event is whole");
                return None;
            };
            let data = frame.expect("a stream that ends in order").into_data();
            let data = data.expect("data");
            self.text += std::str::from_utf8(&data).expect("text");
        }
    }

    /// The next event that is no comment; `None` at the end.
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            let text = self.until("\n\n").await?;
            let mut event = Event {
                id: None,
                event: "message".to_owned(),
                data: String::new(),
            };
            let mut data = Vec::new();
            for line in text.lines() {
                let (field, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "" => {}
                    "id" => event.id = Some(value.parse().expect("a number")),
                    "event" => event.event = value.to_owned(),
                    "data" => data.push(value),
                    other => panic!("{other} in {text}"),
                }
            }
            if !data.is_empty() {
                event.data = data.join("\n");
                return Some(event);
            }
        }
    }

    /// The next line that is not empty; `None` at the end.
    pub async fn line(&mut self) -> Option<Value> {
        loop {
            let line = self.until("\n").await?;
            if !line.is_empty() {
                let json = serde_json::from_str(&line);
                return Some(json.unwrap_or_else(|error| panic!("{error}: {line}")));
            }
        }
    }
}
