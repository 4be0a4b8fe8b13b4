//! All items and calls, and what is written down of them.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde_json::Value;

use super::fault::Fault;
use super::item::{Item, Way, id};
use crate::harness::Answer;
use crate::upstream::Plan;

pub(super) struct Call {
    pub(super) plan: Plan,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) items: Vec<Item>,
    pub(super) by_handle: HashMap<String, usize>,
    pub(super) calls: Vec<Call>,
    /// Of each number in a stream, the handle that was told with it.
    pub(super) numbers: HashMap<u64, String>,
    /// And the other way round.
    pub(super) told: HashMap<String, u64>,
    /// How often the process has ended.
    pub(super) life: u64,
    /// Grows with everything that is written down.
    pub(super) stamp: u64,
    pub(super) faults: Vec<(Fault, String)>,
    pub(super) figures: BTreeMap<String, u64>,
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

impl State {
    pub(super) fn task(&mut self, item: usize) -> Task {
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

    pub(super) fn tell(&mut self, started: Instant, item: usize, what: String) {
        self.stamp += 1;
        self.items[item].story.push((started.elapsed(), what));
    }

    pub(super) fn count(&mut self, what: &str) {
        *self.figures.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn fault(&mut self, fault: Fault, item: usize, why: &str) {
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
    pub(super) fn is_own(&self, item: usize, answer: &Answer) -> Result<(), String> {
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
