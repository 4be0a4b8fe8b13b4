//! What a process has said until a moment, and whether a store keeps it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use microbatch::job::{Handle, RouteName};
use microbatch::later::backlog::{Claim, Which};
use microbatch::later::store::{Look, Store};
use serde_json::Value;

use super::trace::Deed;
use crate::harness::within;

/// The book of one store.
#[derive(Clone, Default)]
pub struct Book {
    /// Which jobs were accepted.
    accepted: BTreeMap<String, u64>,
    /// Whose answers were told, and which.
    answered: BTreeMap<u64, Vec<u8>>,
    /// Which were deleted for certain.
    deleted: BTreeSet<String>,
    /// Which may have been deleted when power was lost.
    doubtful: BTreeSet<String>,
    /// Which the upstream may have.
    left: BTreeSet<u64>,
    /// How many were handed in at most.
    handed_in: u64,
    /// Which are deleted, one after the other, of this life.
    deletions: Vec<String>,
    /// How many of them were told.
    told: usize,
    /// What was said on each socket.
    sockets: HashMap<String, Vec<u8>>,
}

impl Book {
    /// A process lives, with the jobs up to this one and these deletions.
    pub fn begin_life(&mut self, handed_in: u64, deletions: Vec<String>) {
        self.doubtful.extend(self.deletions.get(self.told).cloned());
        self.handed_in = handed_in;
        self.deletions = deletions;
        self.told = 0;
        self.sockets.clear();
    }

    pub fn hear(&mut self, deed: &Deed) {
        let Deed::Said { socket, bytes } = deed else {
            return;
        };
        let said = self.sockets.entry(socket.clone()).or_default();
        said.extend_from_slice(bytes);
        let text = String::from_utf8_lossy(said).into_owned();
        if text.starts_with("POST /batch ") {
            let ids = text.split("{\"id\":").skip(1);
            let digits = |it: &str| {
                let end = it.find(|it: char| !it.is_ascii_digit())?;
                it[..end].parse::<u64>().ok()
            };
            self.left.extend(ids.filter_map(digits));
        }
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return;
        };
        if head.starts_with("HTTP/1.1 204") {
            self.deleted.insert(self.deletions[self.told].clone());
            self.told += 1;
            // Each request has a connection of its own.
            self.sockets.remove(socket);
            return;
        }
        let Ok(document) = serde_json::from_str::<Value>(body) else {
            return;
        };
        let (id, handle) = (document["id"].as_u64(), document["handle"].as_str());
        if let (Some(id), Some(handle)) = (id, handle)
            && head.starts_with("HTTP/1.1 202")
        {
            self.accepted.insert(handle.to_owned(), id);
        } else if let Some(id) = id
            && head.contains("x-job-state: done")
        {
            self.answered.insert(id, body.into());
        }
    }

    /// How many were accepted and not deleted for certain.
    pub fn kept(&self) -> usize {
        self.accepted.len() - self.deleted.len()
    }

    /// How many answers were told.
    pub fn told(&self) -> usize {
        self.answered.len()
    }

    /// Whether all of that is so in a store that has just been opened.
    pub async fn holds(&self, store: &dyn Store) -> Result<(), String> {
        let mut present = 0;
        for (handle, id) in &self.accepted {
            let address: Handle = handle.parse().expect("a handle");
            let record = store.fetch(address, Look::ForState).await;
            let record = record.map_err(|error| format!("{handle} of {id}: {error}"))?;
            present += u64::from(record.is_some());
            let may_be_gone =
                self.deletions.get(self.told) == Some(handle) || self.doubtful.contains(handle);
            match (record, self.deleted.contains(handle)) {
                (Some(_), true) => return Err(format!("{id} was deleted, and is there")),
                (None, false) if !may_be_gone => {
                    return Err(format!("{id} was accepted, and is lost"));
                }
                (Some(record), false) => {
                    let answer = record.answer.as_ref().map(|it| it.body().to_vec());
                    let told = self.answered.get(id);
                    if told.is_some() && told != answer.as_ref() {
                        return Err(format!(
                            "{id} was answered with {told:?}, and has {answer:?}"
                        ));
                    }
                }
                (None, _) => {}
            }
        }
        let counts = store.counts();
        let there: u64 = counts.total().present.iter().sum();
        if there < present || there > self.handed_in {
            return Err(format!(
                "{there} records, of {present} to {}",
                self.handed_in
            ));
        }
        for (_, counts) in counts.iter() {
            let ended =
                counts.deleted.iter().sum::<u64>() + counts.expired_read + counts.expired_unread;
            if counts.accepted != ended + counts.present.iter().sum::<u64>() {
                return Err(format!("it does not add up: {counts:?}"));
            }
        }
        self.left_no_more(store).await
    }

    /// Nothing is to be sent as if it had not left.
    async fn left_no_more(&self, store: &dyn Store) -> Result<(), String> {
        let backlog = store.backlog().expect("it lasts");
        loop {
            let claim = Claim {
                route: RouteName::jobs(),
                max_items: 64,
                max_bytes: usize::MAX,
                which: Which::Any,
            };
            let claimed = within("a claim", backlog.claim(claim)).await;
            let claimed = claimed.map_err(|error| format!("a claim: {error}"))?;
            if claimed.is_empty() {
                return Ok(());
            }
            for job in claimed {
                let id = self.accepted.get(&job.handle.to_string());
                if job.interrupted == 0 && id.is_some_and(|it| self.left.contains(it)) {
                    return Err(format!(
                        "{id:?} has left, and is to be sent as if it had not"
                    ));
                }
            }
        }
    }
}
