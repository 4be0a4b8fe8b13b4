//! How the proxy is: the worst that is true, in a few words.
//!
//! Pure: the last seconds and what is at their end in, a state out. `GET /live` tells
//! it; the live page and `microbatch top` show it as it is.

use serde::Serialize;

use crate::batcher::Snapshot;
use crate::code::Code;
use crate::observe::advice::Kind;
use crate::observe::live::{Recent, Second};
use crate::observe::words::{percent, share, things, things_are};

/// How many seconds are "now", beside the one that is not over.
const NOW: u64 = 10;

/// From this share of failing jobs on it is a problem.
const MANY: f64 = 0.01;

/// From this share of departed callers on it is one.
const MANY_DEPARTED: f64 = 0.1;

/// The worst that is true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Its name, the same whatever the numbers are.
    pub state: &'static str,
    /// How pressing it is.
    pub kind: Kind,
    /// It in words.
    pub text: String,
    /// The route of which it is true, where there are several, and nothing that is true of
    /// all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
}

/// What is wrong with a route, the worst first.
const WORST: [&str; 8] = [
    "circuit-open",
    "outage",
    "departures",
    "queue-full",
    "failing",
    "no-answer",
    "circuit-probing",
    "store-failing",
];

/// What is not counted but looked up.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    /// `queue.max_jobs`.
    pub queue_jobs: usize,
    /// The circuit's state.
    pub circuit: &'static str,
    /// Whether it says that traffic is to come here.
    pub ready: bool,
}

impl Health {
    /// The worst that is true.
    pub fn of(recent: &Recent, present: &Present) -> Self {
        let now = Shares::of(recent.last(NOW + 1));
        let batcher = &recent.moment.batcher;
        circuit_open(present)
            .or_else(|| now.outage())
            .or_else(|| now.departures())
            .or_else(|| now.failing(Kind::Problem))
            .or_else(|| full_queue(batcher, present.queue_jobs))
            .or_else(|| now.failing(Kind::Hint))
            .or_else(|| now.unanswered(batcher))
            .or_else(|| now.last_failed(&recent.seconds))
            .or_else(|| now.failing_store())
            .unwrap_or_else(|| at_rest(present))
    }

    fn problem(state: &'static str, text: impl Into<String>) -> Option<Self> {
        Some(Self::new(state, Kind::Problem, text))
    }

    fn new(state: &'static str, kind: Kind, text: impl Into<String>) -> Self {
        let text = text.into();
        let route = None;
        Self {
            state,
            kind,
            text,
            route,
        }
    }

    /// That of a process with these routes by their names: the worst of them, of which it is
    /// said which one it is of, and how many others are no better off.
    pub fn worst<'a>(routes: impl IntoIterator<Item = (&'a str, Self)>) -> Option<Self> {
        let mut routes: Vec<_> = routes.into_iter().collect();
        routes.sort_by_key(|(_, it)| (it.kind, WORST.iter().position(|state| *state == it.state)));
        let others = routes
            .iter()
            .skip(1)
            .filter(|(_, it)| it.kind == routes[0].1.kind);
        let (others, several) = (others.count() as u64, routes.len() > 1);
        let (route, mut worst) = routes.into_iter().next()?;
        if several && worst.is_a_route_s() {
            let more = match others {
                0 => String::new(),
                others => format!(", and {} in trouble", things_are(others, "other route")),
            };
            worst.text = format!("{route}: {}{more}", worst.text);
            worst.route = Some(route.to_owned());
        }
        Some(worst)
    }

    /// Whether it is not as true of any other route.
    fn is_a_route_s(&self) -> bool {
        WORST.contains(&self.state) && self.state != "store-failing"
    }
}

/// Jobs by how they ended, those for later among them.
#[derive(Debug, Default)]
struct Shares {
    ok: u64,
    /// Answered with an error of the job's own.
    own: u64,
    /// Answered with any other.
    failed: u64,
    refused: u64,
    /// Left by their callers while the upstream had them.
    departed: u64,
    /// Those that no caller waited for.
    for_later: u64,
    /// How often the store of jobs for later failed.
    store_errors: u64,
}

impl Shares {
    fn of(seconds: &[Second]) -> Self {
        let mut shares = Self::default();
        for second in seconds {
            shares.refused += second.counts.refused;
            shares.departed += second.counts.departed;
            shares.store_errors += second.counts.store_errors;
            shares.for_later += second.later.finished.sum();
            let callers = second.outcomes.iter();
            for (code, count) in callers.chain(second.later.finished.iter()) {
                *match code {
                    Code::Ok => &mut shares.ok,
                    code if code.is_own() => &mut shares.own,
                    _ => &mut shares.failed,
                } += count;
            }
        }
        shares
    }

    /// Those that were answered or refused.
    fn all(&self) -> u64 {
        self.ok + self.own + self.failed + self.refused
    }

    fn outage(&self) -> Option<Health> {
        if self.all() == 0 || self.ok > 0 {
            return None;
        }
        let text = match (self.own, self.failed) {
            (0, 0) => "every job is refused",
            (0, _) => "every job fails",
            _ => "no job succeeds",
        };
        Health::problem("outage", text)
    }

    fn departures(&self) -> Option<Health> {
        let of = self.departed + self.all() - self.for_later;
        let share = share(self.departed as f64, of as f64);
        if share < MANY_DEPARTED {
            return None;
        }
        let text = format!("{} of callers leave unanswered", percent(share));
        Health::problem("departures", text)
    }

    /// Many that fail are a problem, some a hint.
    fn failing(&self, kind: Kind) -> Option<Health> {
        let failing = self.failed + self.refused;
        let share = share(failing as f64, self.all() as f64);
        let end = match (self.failed, self.refused) {
            (_, 0) => "fail",
            (0, _) => "are refused",
            _ => "fail or are refused",
        };
        match kind {
            Kind::Problem if share >= MANY => {
                Health::problem("failing", format!("{} of jobs {end}", percent(share)))
            }
            Kind::Hint if share > 0.0 => {
                Some(Health::new("failing", kind, format!("some jobs {end}")))
            }
            _ => None,
        }
    }

    fn unanswered(&self, batcher: &Snapshot) -> Option<Health> {
        let stuck = self.all() == 0 && batcher.in_flight > 0 && batcher.queued > 0;
        stuck.then(|| {
            let text = format!("no job answered in {NOW} s");
            Health::new("no-answer", Kind::Problem, text)
        })
    }

    /// Where little is going on, the last answers still stand.
    fn last_failed(&self, seconds: &[Second]) -> Option<Health> {
        let ended = |it: &&Second| it.outcomes.sum() + it.later.finished.sum() > 0;
        let last = seconds.iter().rfind(ended)?;
        let failed = Self::of(std::slice::from_ref(last)).failed > 0;
        let text = "the last job failed, none answered since";
        (self.all() == 0 && failed).then(|| Health::new("failing", Kind::Problem, text))
    }

    /// Callers who wait for their answers notice nothing of it.
    fn failing_store(&self) -> Option<Health> {
        (self.store_errors > 0).then(|| {
            let text = "the store of jobs for later fails";
            Health::new("store-failing", Kind::Hint, text)
        })
    }
}

fn circuit_open(present: &Present) -> Option<Health> {
    match present.circuit {
        "open" => Health::problem("circuit-open", "circuit open, jobs are refused"),
        _ => None,
    }
}

fn full_queue(batcher: &Snapshot, most: usize) -> Option<Health> {
    match batcher.waiting_for_room as u64 {
        0 if batcher.queued < most => None,
        0 => Health::problem("queue-full", "the queue is full"),
        jobs => {
            let s = if jobs == 1 { "s" } else { "" };
            let text = format!("{} wait{s} for room", things(jobs, "job"));
            Health::problem("queue-full", text)
        }
    }
}

/// Nothing is wrong.
fn at_rest(present: &Present) -> Health {
    match (present.circuit, present.ready) {
        ("closed", true) => Health::new("ready", Kind::Good, "ready"),
        ("closed", false) => Health::new("draining", Kind::Hint, "draining"),
        (circuit, _) => {
            let text = format!("circuit {circuit}");
            Health::new("circuit-probing", Kind::Hint, text)
        }
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
