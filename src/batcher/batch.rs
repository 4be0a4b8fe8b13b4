//! A batch that has left: its members, and the slot it occupies.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::policy::FlushReason;
use super::queue::Entry;
use super::seat::{Answerer, Flight};
use super::state::Pending;
use super::{Item, Slot};

/// Items that left together, for a processor to answer one by one.
///
/// Whatever is dropped unanswered answers for itself, then the slot is free.
#[derive(Debug)]
pub struct Batch<J: Item, R: Send + 'static> {
    // Dropped in this order: members are answered before the slot is free.
    members: Vec<Member<J, R>>,
    reason: FlushReason,
    left: Instant,
    flight: Arc<Flight>,
    _slot: Slot<J, R>,
}

impl<J: Item, R: Send + 'static> Batch<J, R> {
    pub(super) fn new(
        entries: Vec<Entry<Pending<J, R>>>,
        reason: FlushReason,
        left: Instant,
        slot: Slot<J, R>,
    ) -> Self {
        let flight = Arc::new(Flight::default());
        let members = entries
            .into_iter()
            .map(|entry| {
                let (item, answerer) = entry.item;
                answerer.board(&flight);
                Member {
                    item,
                    answerer,
                    arrived: entry.arrived,
                    deadline: entry.deadline,
                }
            })
            .collect();
        Self {
            members,
            reason,
            left,
            flight,
            _slot: slot,
        }
    }

    /// The members not yet answered or dropped, oldest first.
    pub fn members(&self) -> &[Member<J, R>] {
        &self.members
    }

    /// How many those are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Why the batch left.
    pub fn reason(&self) -> FlushReason {
        self.reason
    }

    /// When the batch left.
    pub fn left(&self) -> Instant {
        self.left
    }

    /// Answers every remaining member.
    pub fn answer_all(&mut self, mut answer: impl FnMut(&Member<J, R>) -> R) {
        for member in self.members.drain(..) {
            let answer = answer(&member);
            member.answerer.answer(Ok(answer));
        }
    }

    /// Answers the members whose deadline has come; the others stay.
    pub fn answer_expired(&mut self, now: Instant, mut answer: impl FnMut(&Member<J, R>) -> R) {
        for member in self.members.extract_if(.., |member| member.deadline <= now) {
            let answer = answer(&member);
            member.answerer.answer(Ok(answer));
        }
    }

    /// The earliest deadline of the members.
    pub fn earliest_deadline(&self) -> Option<Instant> {
        self.members.iter().map(|member| member.deadline).min()
    }

    /// A future that ends once no member is left whose caller waits. It borrows
    /// nothing of the batch; one may be awaited at a time.
    pub fn abandoned(&self) -> impl Future<Output = ()> + Send + 'static {
        let flight = Arc::clone(&self.flight);
        async move { flight.emptied().await }
    }
}

/// One item of a batch, and the duty to answer it.
#[derive(Debug)]
pub struct Member<J, R> {
    item: J,
    answerer: Answerer<R>,
    arrived: Instant,
    deadline: Instant,
}

impl<J, R> Member<J, R> {
    /// The item.
    pub fn item(&self) -> &J {
        &self.item
    }

    /// When the item was submitted.
    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    /// How long it had waited by `left`.
    pub fn waited(&self, left: Instant) -> Duration {
        left.saturating_duration_since(self.arrived)
    }
}
