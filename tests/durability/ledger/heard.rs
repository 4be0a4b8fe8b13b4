//! What listeners hear of items, held against what is known of them.

use std::collections::BTreeSet;

use super::Ledger;
use super::fault::Fault;
use super::item::{Deleted, Item};
use crate::streams::Event;

impl Ledger {
    /// An event of a stream, to somebody who had heard all up to that number.
    pub fn heard(&self, stream: u8, after: Option<u64>, event: &Event) {
        let mut state = self.state();
        state.count("events heard");
        let number = match event.number {
            _ if event.name == "gap" => {
                return state
                    .faults
                    .push((Fault::Stream, format!("a gap: {event:?}")));
            }
            Some(number) if after.is_none_or(|after| number > after) => number,
            _ => {
                let what = format!("{event:?} after {after:?}");
                return state.faults.push((Fault::Stream, what));
            }
        };
        let handle = event.handle();
        // What was accepted, and its 202 lost, is nobody's until it is handed in again.
        let before = state.numbers.insert(number, handle.clone());
        if before.as_ref().is_some_and(|it| *it != handle) {
            let what = format!("number {number} was {before:?}, and is {handle}");
            state.faults.push((Fault::Stream, what));
        }
        let told = state.told.insert(handle.clone(), number);
        if told.is_some_and(|it| it != number) {
            let what = format!("{handle} was number {told:?}, and is {number}");
            state.faults.push((Fault::Stream, what));
        }
        let Some(&item) = state.by_handle.get(&handle) else {
            return;
        };
        if state.items[item].stream != Some(stream) {
            state.fault(Fault::Stream, item, "it is told on another stream");
        }
        let seen = state.items[item].answer.as_ref().map(|it| it.1.status);
        let status = event.data["status"].as_u64();
        if seen.is_some_and(|it| Some(it.into()) != status) {
            let why = format!("its status was {seen:?}, and is told as {status:?}");
            state.fault(Fault::Stream, item, &why);
        }
    }

    /// The finished items of a stream that nobody has heard of.
    pub fn not_heard(&self, stream: u8) -> Vec<(usize, String)> {
        let state = self.state();
        let items = state.items.iter().enumerate();
        let unheard = items.filter(|(_, it)| {
            let handle = it.handle.as_ref().filter(|_| is_there(it, stream));
            handle.is_some_and(|it| !state.told.contains_key(it))
        });
        let why = || "who listens all the time has not heard of it".to_owned();
        unheard.map(|(item, _)| (item, why())).collect()
    }

    /// The handles of the finished items that are there.
    pub fn on_stream(&self, stream: u8) -> BTreeSet<String> {
        let state = self.state();
        let items = state.items.iter().filter(|it| is_there(it, stream));
        items.filter_map(|it| it.handle.clone()).collect()
    }
}

fn is_there(item: &Item, stream: u8) -> bool {
    item.stream == Some(stream) && item.answer.is_some() && item.deleted == Deleted::No
}
