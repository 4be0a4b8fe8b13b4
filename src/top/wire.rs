//! `GET /live` as it is read.
//!
//! Members that are not known are ignored, and what only some answers have may be
//! absent, so that the proxy may be of another version than the one who asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::ask::advice::{Advice, Kind};
use crate::ask::{AskError, Asker, Question};
use crate::printable::printable;

/// A text of the process at that address, which does not get to move the cursor.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(printable(&text).into_owned())
}

/// Such a text, where there is one.
fn maybe_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| printable(&text).into_owned()))
}

/// Such texts.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?.into_iter();
    Ok(texts.map(|it| printable(&it).into_owned()).collect())
}

/// Counts by such texts.
fn counts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u64>, D::Error> {
    let counts = BTreeMap::<String, u64>::deserialize(deserializer)?.into_iter();
    Ok(counts
        .map(|(name, count)| (printable(&name).into_owned(), count))
        .collect())
}

/// `GET /live`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Live {
    #[serde(deserialize_with = "text")]
    pub version: String,
    /// Both in seconds of Unix time.
    pub now: f64,
    pub started: f64,
    pub ready: bool,
    /// The routes that there are, where they are told.
    #[serde(default, deserialize_with = "texts")]
    pub routes: Vec<String>,
    /// The one of several that this is of.
    #[serde(default, deserialize_with = "maybe_text")]
    pub route: Option<String>,
    #[serde(deserialize_with = "text")]
    pub circuit: String,
    #[serde(default)]
    pub health: Health,
    pub limits: Limits,
    pub current: Current,
    /// The jobs for later, where such are taken.
    #[serde(default)]
    pub later: Option<Later>,
    pub seconds: Vec<Second>,
    #[serde(default)]
    pub sizes: Vec<Size>,
    #[serde(default)]
    pub failures: Vec<Failure>,
    #[serde(default)]
    pub advice: Vec<Advice>,
    #[serde(default)]
    pub settings: Vec<Setting>,
}

impl Live {
    /// Asks for everything, or for the seconds after one; of all routes, or of one.
    pub(super) async fn ask(
        asker: &Asker,
        route: Option<&str>,
        since: Option<u64>,
    ) -> Result<Self, AskError> {
        let question = Question {
            since,
            ..Question::of("/live", route)
        };
        asker.json(&question).await
    }

    /// The routes that it tells of.
    pub(super) fn shown(&self) -> &[String] {
        match &self.route {
            Some(one) => std::slice::from_ref(one),
            None => &self.routes,
        }
    }

    /// Whether a setting is this, as TOML, on all routes that it tells of: a route's own, or
    /// that of the top level.
    pub(super) fn is_set(&self, key: &str, value: &str) -> bool {
        let find = |key: &str| self.settings.iter().find(|it| it.key == key);
        let is = |setting: Option<&Setting>| setting.is_some_and(|it| it.value == value);
        match self.shown() {
            [] => is(find(key)),
            routes => routes.iter().all(|route| {
                let own = find(&format!("routes.{route}.{key}"));
                is(own.or_else(|| find(key)))
            }),
        }
    }
}

/// A setting in force.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Setting {
    pub key: String,
    pub value: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Limits {
    pub max_size: u64,
    pub max_in_flight: u64,
    #[serde(default)]
    pub adaptive_in_flight: bool,
    pub queue_jobs: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Current {
    pub queue_jobs: u64,
    pub in_flight: u64,
    #[serde(default)]
    pub connections: u64,
    #[serde(default)]
    pub waiting_for_room: u64,
}

/// What there is of jobs for later.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Later {
    /// Those that were ever taken.
    pub accepted: u64,
    pub queued: u64,
    pub sent: u64,
    pub done: u64,
    pub failed: u64,
    /// How long the oldest that is queued has waited.
    pub oldest_queued_ms: Option<f64>,
    pub bytes: u64,
    pub max_jobs: u64,
    pub max_bytes: u64,
}

/// A second in which something happened.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Second {
    /// Which one, in Unix time.
    pub t: u64,
    pub jobs: u64,
    pub refused: u64,
    pub batches: u64,
    pub batch_jobs: u64,
    pub fill: f64,
    pub slots_busy: f64,
    pub wait_p50_ms: Option<f64>,
    pub wait_p99_ms: Option<f64>,
    pub upstream_p50_ms: Option<f64>,
    pub upstream_p99_ms: Option<f64>,
    /// From a job's arrival to its answer.
    pub job_p50_ms: Option<f64>,
    pub job_p99_ms: Option<f64>,
    /// Jobs that a batch left without because it had another of the same id.
    pub kept_apart: u64,
    #[serde(deserialize_with = "counts")]
    pub reasons: BTreeMap<String, u64>,
    #[serde(deserialize_with = "counts")]
    pub outcomes: BTreeMap<String, u64>,
    pub retries: u64,
    pub splits: u64,
    /// What became of jobs for later.
    pub later: Option<SecondLater>,
}

/// What became of jobs for later in a second.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SecondLater {
    #[serde(deserialize_with = "counts")]
    pub outcomes: BTreeMap<String, u64>,
    pub expired_unread: u64,
    /// Those that left in free places of callers' batches.
    pub free_seats: u64,
    /// Those that a process had sent which is gone, by what became of them.
    #[serde(deserialize_with = "counts")]
    pub recovered: BTreeMap<String, u64>,
    /// Results that were dropped, since their lease was over.
    pub fenced: u64,
}

/// Batches by size.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Size {
    pub from: u64,
    pub to: u64,
    pub batches: u64,
}

/// Batches that failed of one cause, or jobs that did so singly; the last of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Failure {
    /// The route, where those of several stand beside each other.
    #[serde(default, deserialize_with = "maybe_text")]
    pub route: Option<String>,
    pub t: f64,
    #[serde(deserialize_with = "text")]
    pub outcome: String,
    /// How many, where they are grouped.
    #[serde(default)]
    pub count: Option<u64>,
    /// The jobs in all of them.
    #[serde(default)]
    pub jobs: Option<u64>,
    #[serde(default, deserialize_with = "maybe_text")]
    pub batch_id: Option<String>,
    #[serde(default)]
    pub size: Option<u64>,
    #[serde(default)]
    pub duration_ms: Option<f64>,
    /// The proxy's own words.
    #[serde(default, deserialize_with = "maybe_text")]
    pub cause: Option<String>,
    /// What is to be seen of the answer, where there was one.
    #[serde(default)]
    pub upstream_status: Option<u16>,
    #[serde(default, deserialize_with = "maybe_text")]
    pub location: Option<String>,
    #[serde(default, deserialize_with = "maybe_text")]
    pub content_type: Option<String>,
    #[serde(default, deserialize_with = "maybe_text")]
    pub content_encoding: Option<String>,
    #[serde(default, deserialize_with = "maybe_text")]
    pub excerpt: Option<String>,
}

/// The worst that is true.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Health {
    #[serde(deserialize_with = "text")]
    pub state: String,
    pub kind: Kind,
    #[serde(deserialize_with = "text")]
    pub text: String,
}

/// Of who does not tell it.
impl Default for Health {
    fn default() -> Self {
        Self {
            state: "unknown".to_owned(),
            kind: Kind::Note,
            text: "state unknown".to_owned(),
        }
    }
}
