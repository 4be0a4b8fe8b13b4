//! What the driver remembers of every item, and what it holds everything against that it
//! hears of it later, from the proxies or at the upstream.
//!
//! An item is one job with an id that no other has. A fault is something that the contract
//! rules out; it is written down with the item's story, and the run goes on.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::Answer;
use crate::upstream::Plan;

/// What goes for all items of a store.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// `upstream.idempotent`.
    pub idempotent: bool,
    /// How often an item may reach the upstream.
    pub most_calls: usize,
    /// Whether one process at a time has the store: what it did before its end is over then.
    pub single: bool,
    /// Whether the store may be away.
    pub away: bool,
}

/// How an item is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Its caller waits.
    Waiting,
    /// Its answer is fetched.
    Later,
    /// The same, and its caller can hand it in again.
    LaterWithKey,
}

/// What the contract rules out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An accepted job is unknown.
    Lost,
    /// An item reached the upstream too often.
    SentTooOften,
    /// An item reached the upstream that should not have at all.
    Sent,
    /// Two answers, or another item's, or one that can't be.
    Answer,
    /// A state that can't be.
    State,
    /// One key, two jobs.
    Key,
    /// A status that can't be.
    Status,
    /// A record that was deleted is back.
    Undeleted,
    /// Counts that do not balance.
    Counts,
    /// A process that panicked, or did not do as it was told.
    Process,
}

/// What a caller made of a request that was to hand an item in.
#[derive(Debug)]
pub enum Posted {
    /// Nothing: the connection could not be made.
    NotSent,
    /// The connection broke, or the answer says that nobody knows.
    Unknown,
    /// It was not accepted.
    Refused(String),
    /// There is a record.
    Accepted(String),
    /// There is a record, and here is its answer.
    Finished(String, Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deleted {
    No,
    /// It was asked for, and nobody knows.
    Perhaps,
    /// From then on, and in this life of the process.
    Certainly {
        stamp: u64,
        life: u64,
    },
}

/// An answer, by which two of them are compared.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

struct Item {
    way: Way,
    stream: Option<u8>,
    padding: usize,
    /// In which life of the process it was handed in for the first time.
    born: u64,
    handle: Option<String>,
    /// How often nobody knew what became of handing it in.
    unknown: u32,
    /// How often it was handed in again.
    again: u32,
    /// Whether somebody hands it in, or deletes it.
    busy: bool,
    deleted: Deleted,
    /// From when on it was seen.
    answer: Option<(u64, Seen)>,
    calls: Vec<u64>,
    story: Vec<(Duration, String)>,
}

struct Call {
    plan: Plan,
}

#[derive(Default)]
struct State {
    items: Vec<Item>,
    by_handle: HashMap<String, usize>,
    calls: Vec<Call>,
    /// How often the process has ended.
    life: u64,
    /// Grows with everything that is written down.
    stamp: u64,
    faults: Vec<(Fault, String)>,
    figures: BTreeMap<String, u64>,
}

/// The book of one store.
pub struct Ledger {
    pub terms: Terms,
    started: Instant,
    state: Mutex<State>,
    /// How many were accepted, for those who wait for the next.
    pub accepted: watch::Sender<u64>,
}

/// An item that somebody has to hand in, delete or look at.
#[derive(Clone, Debug)]
pub struct Task {
    pub item: usize,
    pub way: Way,
    pub stream: Option<u8>,
    pub body: String,
    pub handle: Option<String>,
    /// When it was taken: what is answered later can't be older.
    pub stamp: u64,
}

/// The id of an item.
pub fn id(item: usize) -> String {
    format!("item-{item}")
}

impl Ledger {
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            started: Instant::now(),
            state: Mutex::default(),
            accepted: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new item, which its caller is busy with.
    pub fn make(&self, rng: &mut StdRng) -> Task {
        let way = match rng.random_range(0..100) {
            0..10 => Way::Waiting,
            10..40 => Way::Later,
            _ => Way::LaterWithKey,
        };
        let padding = match rng.random_range(0..100) {
            0..90 => rng.random_range(0..200),
            90..99 => rng.random_range(200..10_000),
            _ => rng.random_range(10_000..100_000),
        };
        let stream = rng.random_ratio(1, 3).then(|| rng.random_range(0..2));
        let mut state = self.state();
        let item = Item {
            way,
            stream: stream.filter(|_| way != Way::Waiting),
            padding,
            born: state.life,
            handle: None,
            unknown: 0,
            again: 0,
            busy: true,
            deleted: Deleted::No,
            answer: None,
            calls: Vec::new(),
            story: Vec::new(),
        };
        state.items.push(item);
        let item = state.items.len() - 1;
        state.task(item)
    }

    /// One of the latest items that somebody else is not busy with, to be handed in again:
    /// those first of which nobody knows.
    pub fn take_to_hand_in_again(&self, rng: &mut StdRng) -> Option<Task> {
        self.take(rng, |item| {
            let doubtful = item.handle.is_none() && item.unknown > 0;
            item.way == Way::LaterWithKey
                && item.deleted == Deleted::No
                && (doubtful || item.handle.is_some() && item.again < 3)
        })
    }

    /// All that were handed in with a key and of which nobody knows.
    pub fn take_all_doubtful(&self) -> Vec<Task> {
        let mut state = self.state();
        let doubtful = |item: &Item| {
            item.way == Way::LaterWithKey && item.handle.is_none() && item.unknown > 0
        };
        let all = state.items.iter().enumerate();
        let all: Vec<_> = all.filter(|(_, it)| doubtful(it)).map(|it| it.0).collect();
        for item in &all {
            state.items[*item].busy = true;
        }
        all.into_iter().map(|item| state.task(item)).collect()
    }

    /// One of the latest, to be deleted: none that is still being handed in, for all that
    /// is known, since that would make it anew.
    pub fn take_to_delete(&self, rng: &mut StdRng) -> Option<Task> {
        let task = self.take(rng, |item| {
            item.handle.is_some() && item.unknown == 0 && item.deleted == Deleted::No
        })?;
        let mut state = self.state();
        state.items[task.item].deleted = Deleted::Perhaps;
        state.tell(self.started, task.item, "to be deleted".to_owned());
        Some(task)
    }

    fn take(&self, rng: &mut StdRng, wanted: impl Fn(&Item) -> bool) -> Option<Task> {
        let mut state = self.state();
        let latest = state.items.len().saturating_sub(300);
        for _ in 0..8 {
            let item = rng.random_range(latest..state.items.len().max(latest + 1));
            let Some(it) = state.items.get_mut(item) else {
                continue;
            };
            if !it.busy && wanted(it) {
                it.busy = true;
                return Some(state.task(item));
            }
        }
        None
    }

    /// One that has a handle, to be looked at.
    pub fn look_at(&self, rng: &mut StdRng) -> Option<Task> {
        let mut state = self.state();
        for _ in 0..8 {
            let count = state.items.len();
            let latest = match rng.random_ratio(1, 4) {
                true => 0,
                false => count.saturating_sub(100),
            };
            let item = rng.random_range(latest..count.max(latest + 1));
            if state.items.get(item).is_some_and(|it| it.handle.is_some()) {
                return Some(state.task(item));
            }
        }
        None
    }

    /// All that have a handle.
    pub fn all_accepted(&self) -> Vec<Task> {
        let mut state = self.state();
        let all = 0..state.items.len();
        let all: Vec<_> = all.filter(|it| state.items[*it].handle.is_some()).collect();
        all.into_iter().map(|item| state.task(item)).collect()
    }

    /// What became of handing it in for later. Its caller is through with it.
    pub fn posted(&self, task: &Task, posted: Posted) {
        let mut state = self.state();
        let said = format!("handed in: {}", short(&posted));
        state.tell(self.started, task.item, said);
        let item = &mut state.items[task.item];
        item.busy = false;
        match posted {
            Posted::NotSent => state.count("not sent"),
            Posted::Refused(why) => {
                state.count(&format!("refused: {why}"));
                let may_be = match why.as_str() {
                    "503 shutting-down" => true,
                    "503 store-unavailable" => self.terms.away,
                    _ => false,
                };
                if !may_be {
                    state.fault(Fault::Status, task.item, &why);
                }
            }
            Posted::Unknown => {
                item.unknown += 1;
                state.count("nobody knows whether accepted");
            }
            Posted::Accepted(handle) => {
                self.accepted(&mut state, task.item, handle);
                if state.items[task.item].seen_before(task.stamp) {
                    let why = "it is unfinished again where it is handed in again";
                    state.fault(Fault::State, task.item, why);
                }
            }
            Posted::Finished(handle, answer) => {
                self.accepted(&mut state, task.item, handle);
                self.answered(&mut state, task.item, &answer);
            }
        }
    }

    fn accepted(&self, state: &mut State, item: usize, handle: String) {
        let known = state.items[item].handle.clone();
        match known {
            None => {
                state.count("accepted");
                self.accepted.send_modify(|it| *it += 1);
                let other = state.by_handle.insert(handle.clone(), item);
                if let Some(other) = other {
                    let why = format!("it has the handle of {}", id(other));
                    state.fault(Fault::Key, item, &why);
                }
                state.items[item].handle = Some(handle);
            }
            Some(known) => {
                state.items[item].again += 1;
                state.count("handed in again");
                if known != handle {
                    let why = format!("it was {known} before, and is {handle}");
                    state.fault(Fault::Key, item, &why);
                }
            }
        }
    }

    /// An answer to somebody who waited for it all the time; `None` where that broke.
    pub fn waited(&self, task: &Task, answer: Option<&Answer>) {
        let mut state = self.state();
        let Some(answer) = answer else {
            return state.count("waiting callers cut off");
        };
        match answer.status {
            200 => {
                state.count("waiting callers answered");
                if let Err(why) = state.is_own(task.item, answer) {
                    state.fault(Fault::Answer, task.item, &why);
                }
            }
            _ => {
                let code = code(answer);
                state.count(&format!("waiting callers: {code}"));
                if code.starts_with("store-") {
                    let why = "a waiting caller hears of the store";
                    state.fault(Fault::Status, task.item, why);
                }
            }
        }
    }

    /// What is told of a record.
    pub fn fetched(&self, task: &Task, answer: &Answer) {
        let mut state = self.state();
        let told = match answer.header("x-job-state") {
            "" => format!("{} {}", answer.status, code(answer)),
            state => format!("{} {state}", answer.status),
        };
        state.tell(self.started, task.item, format!("fetched: {told}"));
        let item = &state.items[task.item];
        let deleted = item.deleted;
        let is_there = !answer.header("x-job-state").is_empty();
        if let Deleted::Certainly { stamp, .. } = deleted
            && is_there
            && stamp < task.stamp
        {
            return state.fault(Fault::Undeleted, task.item, "it was deleted, and is there");
        }
        match (answer.status, is_there) {
            (202, true) => {
                if item.seen_before(task.stamp) {
                    let why = "it was answered, and is unfinished";
                    state.fault(Fault::State, task.item, why);
                }
                state.count("found unfinished");
            }
            (_, true) => {
                state.count("answers fetched");
                let expected = if answer.status < 400 {
                    "done"
                } else {
                    "failed"
                };
                if answer.header("x-job-state") != expected {
                    state.fault(Fault::State, task.item, &told);
                }
                self.answered(&mut state, task.item, answer);
            }
            (404, false) if deleted == Deleted::No => {
                state.count("lost");
                state.fault(Fault::Lost, task.item, "it was accepted, and is unknown");
            }
            (404, false) => state.count("found deleted"),
            (503, false) => self.away(&mut state, task.item, answer),
            _ => {
                let why = format!("{} {:?}", answer.status, answer.body);
                state.fault(Fault::Status, task.item, &why);
            }
        }
    }

    fn away(&self, state: &mut State, item: usize, answer: &Answer) {
        let code = code(answer);
        state.count(&format!("looked at: {code}"));
        let may_be = match code.as_str() {
            "store-unavailable" => self.terms.away,
            "shutting-down" => true,
            _ => false,
        };
        if !may_be {
            state.fault(Fault::Status, item, &format!("503 {code}"));
        }
    }

    /// An answer that was seen.
    fn answered(&self, state: &mut State, item: usize, answer: &Answer) {
        let seen = Seen {
            status: answer.status,
            content_type: answer.header("content-type").to_owned(),
            body: answer.body.to_vec(),
        };
        let stamp = state.stamp;
        match &state.items[item].answer {
            Some((_, before)) if *before == seen => {}
            Some((_, before)) => {
                let why = format!("two answers: {before:?}, and {seen:?}");
                state.fault(Fault::Answer, item, &why);
            }
            None => {
                state.count(&match seen.status {
                    200 => "finished: ok".to_owned(),
                    _ => format!("finished: {}", code(answer)),
                });
                let true_of_it = match seen.status {
                    200 => state.is_own(item, answer),
                    _ => self.can_fail_so(state, item, &code(answer)),
                };
                if let Err(why) = true_of_it {
                    state.fault(Fault::Answer, item, &why);
                }
                state.items[item].answer = Some((stamp, seen));
            }
        }
    }

    fn can_fail_so(&self, state: &State, item: usize, code: &str) -> Result<(), String> {
        let (item, life) = (&state.items[item], state.life);
        let mut plans = item
            .calls
            .iter()
            .map(|call| state.calls[*call as usize].plan);
        let can = match code {
            "interrupted" => !self.terms.idempotent && (!self.terms.single || life > item.born),
            "attempts-exhausted" => self.terms.idempotent,
            "upstream-timeout" => plans.any(|it| it == Plan::Never),
            "upstream-disconnected" => plans.any(|it| it == Plan::HangUp),
            "upstream-error" | "upstream-overloaded" => {
                plans.any(|it| it == Plan::Fail || it == Plan::Refuse)
            }
            "result-missing" => plans.any(|it| it == Plan::Forget),
            _ => false,
        };
        let plans: Vec<_> = item.calls.iter().collect();
        can.then_some(())
            .ok_or_else(|| format!("it failed as {code}, and can't have (calls: {plans:?})"))
    }

    /// What became of deleting it. Its caller is through with it.
    pub fn deleted(&self, task: &Task, answer: Option<&Answer>) {
        let mut state = self.state();
        let said = answer.map_or("broken off".to_owned(), |it| it.status.to_string());
        state.tell(self.started, task.item, format!("deleted: {said}"));
        let (stamp, life) = (state.stamp, state.life);
        let item = &mut state.items[task.item];
        item.busy = false;
        match answer.map(|it| it.status) {
            Some(204) => {
                item.deleted = Deleted::Certainly { stamp, life };
                state.count("deleted");
            }
            Some(404) => {
                let why = "it was accepted, and is unknown to whoever deletes it";
                state.count("lost");
                state.fault(Fault::Lost, task.item, why);
            }
            Some(503) => {
                let answer = answer.expect("it has a status");
                self.away(&mut state, task.item, answer);
            }
            Some(status) => {
                let why = format!("{status} to a deletion");
                state.fault(Fault::Status, task.item, &why);
            }
            None => state.count("nobody knows whether deleted"),
        }
    }

    /// A batch with these items is at the upstream, whole or in part.
    pub fn reached(&self, ids: &[usize], plan: Plan) -> u64 {
        let mut state = self.state();
        let call = state.calls.len() as u64;
        state.calls.push(Call { plan });
        state.count("calls");
        state.count(&format!("calls: {}", plan.name()));
        for &item in ids {
            if item >= state.items.len() {
                state
                    .faults
                    .push((Fault::Sent, format!("{} is nobody's", id(item))));
                continue;
            }
            state.count("items at the upstream");
            state.tell(self.started, item, format!("call {call}: {}", plan.name()));
            let life = state.life;
            let it = &mut state.items[item];
            it.calls.push(call);
            let (often, deleted) = (it.calls.len(), it.deleted);
            let answered = it.answer.is_some();
            if often > 1 {
                state.count("items at the upstream again");
            }
            if often > self.terms.most_calls {
                let why = format!("it is at the upstream for the {often}th time");
                state.fault(Fault::SentTooOften, item, &why);
            }
            if !self.terms.single {
                continue;
            }
            if let Deleted::Certainly { life: then, .. } = deleted
                && then < life
            {
                state.fault(Fault::Sent, item, "it was deleted by an earlier process");
            }
            if answered {
                state.fault(Fault::Sent, item, "its answer was seen before");
            }
        }
        call
    }

    /// The process has ended, and the upstream has all that it sent.
    pub fn life_ended(&self) {
        self.state().life += 1;
    }

    /// How many records there are, at least and at most.
    pub fn present(&self) -> (u64, u64) {
        let state = self.state();
        let mut range = (0, 0);
        for item in state.items.iter().filter(|it| it.way != Way::Waiting) {
            let (least, most) = match (&item.handle, item.deleted) {
                (Some(_), Deleted::No) => (1, 1),
                (Some(_), Deleted::Perhaps) => (0, 1),
                (Some(_), Deleted::Certainly { .. }) => (0, 0),
                (None, _) => (0, u64::from(item.unknown.min(1))),
            };
            range.0 += least;
            range.1 += most;
        }
        range
    }

    /// What can be said when nothing happens any more.
    pub fn close(&self) {
        let mut state = self.state();
        for item in 0..state.items.len() {
            let it = &state.items[item];
            if it.way == Way::Waiting {
                continue;
            }
            let unfinished = it.deleted == Deleted::No && it.answer.is_none();
            if it.handle.is_some() && unfinished {
                state.fault(Fault::State, item, "it has not finished in the end");
                continue;
            }
            if it.handle.is_none() && it.unknown == 0 && !it.calls.is_empty() {
                state.fault(Fault::Sent, item, "it was never accepted");
            }
        }
    }

    pub fn fault(&self, fault: Fault, what: &str) {
        self.state().faults.push((fault, what.to_owned()));
    }

    pub fn count(&self, what: &str) {
        self.state().count(what);
    }

    pub fn faults(&self) -> Vec<(Fault, String)> {
        self.state().faults.clone()
    }

    pub fn figures(&self) -> BTreeMap<String, u64> {
        self.state().figures.clone()
    }
}

impl Item {
    fn seen_before(&self, stamp: u64) -> bool {
        self.answer.as_ref().is_some_and(|(seen, _)| *seen < stamp)
    }

    fn body(&self, item: usize) -> String {
        json!({ "id": id(item), "padding": "x".repeat(self.padding) }).to_string()
    }
}

impl State {
    fn task(&mut self, item: usize) -> Task {
        self.stamp += 1;
        let it = &self.items[item];
        Task {
            item,
            way: it.way,
            stream: it.stream,
            body: it.body(item),
            handle: it.handle.clone(),
            stamp: self.stamp,
        }
    }

    fn tell(&mut self, started: Instant, item: usize, what: String) {
        self.stamp += 1;
        self.items[item].story.push((started.elapsed(), what));
    }

    fn count(&mut self, what: &str) {
        *self.figures.entry(what.to_owned()).or_default() += 1;
    }

    fn fault(&mut self, fault: Fault, item: usize, why: &str) {
        let it = &self.items[item];
        let story = it.story.iter();
        let story = story.map(|(at, what)| format!("\n    {at:>12.3?} {what}"));
        let handle = it.handle.as_deref().unwrap_or("no handle");
        let text = format!(
            "{} ({handle}): {why}{}",
            id(item),
            story.collect::<String>()
        );
        self.faults.push((fault, text));
    }

    /// The answer is this item's, by a call that it was in.
    fn is_own(&self, item: usize, answer: &Answer) -> Result<(), String> {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let call = body["call"].as_u64();
        let is_own = body["id"] == id(item);
        let by_its_call = call.is_some_and(|call| self.items[item].calls.contains(&call));
        match is_own && by_its_call {
            true => Ok(()),
            false => Err(format!("{body} is not its answer")),
        }
    }
}

/// The code of a problem; of others the status.
pub fn code(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body["code"].as_str();
    code.map_or_else(|| answer.status.to_string(), str::to_owned)
}

fn short(posted: &Posted) -> String {
    match posted {
        Posted::Finished(handle, answer) => format!("{handle}, {}", answer.status),
        other => format!("{other:?}"),
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}
