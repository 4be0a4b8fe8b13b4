//! What callers are told of an item, held against what is known of it.

use serde_json::Value;

use super::Ledger;
use super::fault::Fault;
use super::item::{Deleted, Seen, id};
use super::state::{State, Task};
use crate::harness::Answer;
use crate::upstream::Plan;

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

impl Ledger {
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
