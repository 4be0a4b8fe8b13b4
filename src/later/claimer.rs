//! Claims the jobs of one route from a store that lasts, as its lane has use for them.
//!
//! [`Later::start`](super::Later::start) runs one for each route. What to do is said by
//! `choice`; here it is done. A claimer holds no job for longer than it takes to hand it to
//! the lane, claims at most a batch at a time, and does nothing while nothing waits. After
//! the store has failed it pauses.
//!
//! | file | what it is |
//! |---|---|
//! | `choice` | what to do next, and what becomes of a claimed job |
//! | `signals` | what claimers are told by others |

mod choice;
mod signals;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use self::choice::{Fate, Next, PAUSE, Route, fate, next};
use self::signals::Signal;
use super::backlog::{Claim, Claimed, Which};
use super::clock;
use super::lane::{ClaimingLane, Leaves, Wanted};
use super::outbox::Outbox;
use super::record::Millis;
use super::reported::Reported;
use super::withdrawals::Withdrawals;
use crate::aside::{LARGE, aside};
use crate::job::Handle;

pub(super) use self::signals::Signals;

/// Most jobs that are claimed at once to be answered, and most of their bytes.
const MOST: usize = 256;
const MOST_BYTES: usize = 1 << 20;

/// What is in its hands stays there where [`run`](Self::run) panics.
pub(super) struct Claimer {
    store: Arc<Reported>,
    lane: Arc<dyn ClaimingLane>,
    withdrawals: Arc<Withdrawals>,
    /// Where jobs go that are to wait again.
    released: Arc<Outbox<Handle>>,
    signal: Arc<Signal>,
    stops: watch::Receiver<bool>,
    route: Route,
    /// Jobs that were claimed, and how they leave.
    claimed: VecDeque<(Claimed, Leaves)>,
}

/// What a claimer goes on for.
enum Came {
    Wanted(Wanted),
    /// There is something new, or it is time.
    News,
    Stop,
}

impl Claimer {
    /// Those of these lanes, each one's own.
    pub fn of(
        lanes: Vec<Arc<dyn ClaimingLane>>,
        max_attempts: u32,
        store: &Arc<Reported>,
        withdrawals: &Arc<Withdrawals>,
        released: &Arc<Outbox<Handle>>,
        signals: &Signals,
    ) -> Vec<Self> {
        let told = signals.begin(lanes.iter().map(|it| it.route().clone()));
        let claimer = |(lane, signal): (Arc<dyn ClaimingLane>, _)| Self {
            store: Arc::clone(store),
            withdrawals: Arc::clone(withdrawals),
            released: Arc::clone(released),
            signal,
            stops: signals.stops(),
            route: Route {
                batch: lane.batch(),
                is_idempotent: lane.is_idempotent(),
                max_attempts,
            },
            lane,
            claimed: VecDeque::new(),
        };
        lanes.into_iter().zip(told).map(claimer).collect()
    }

    /// Runs until it is told to stop; run again after a panic, it goes on.
    pub async fn run(&mut self) {
        loop {
            if *self.stops.borrow() {
                let left = self.claimed.drain(..).map(|it| it.0.handle);
                return self.released.push(left);
            }
            self.hand_out().await;
            let (waiting, now) = (self.store.waiting(self.lane.route()), clock::now());
            let batch = self.route.batch;
            match next(&waiting, now, &self.route, self.signal.flushed()) {
                Next::Answer(which) => {
                    let most = match which {
                        Which::Overdue { .. } => MOST,
                        _ => 1,
                    };
                    self.claim(which, most, MOST_BYTES, Leaves::AtOnce).await;
                }
                Next::Rest { until } => {
                    self.wait(None, until).await;
                }
                Next::Ask {
                    ready,
                    which,
                    until,
                } => match self.wait(Some(ready), until).await {
                    Came::Wanted(Wanted::Batch) => {
                        self.claim(which, batch.items, batch.bytes, Leaves::AtOnce)
                            .await;
                    }
                    Came::Wanted(Wanted::Riders(most)) => {
                        let items = most.min(batch.items);
                        self.claim(Which::Any, items, batch.bytes, Leaves::InTime)
                            .await;
                    }
                    Came::News | Came::Stop => {}
                },
            }
        }
    }

    /// Waits for what the lane wants, if it is to be asked, for news, and for this time.
    async fn wait(&mut self, ask: Option<bool>, until: Option<Millis>) -> Came {
        let wanted = async {
            match ask {
                Some(ready) => self.lane.wanted(ready).await,
                None => std::future::pending().await,
            }
        };
        let time = async {
            match until {
                Some(until) => sleep_until(clock::instant_at(until)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.stops.wait_for(|&stops| stops) => Came::Stop,
            wanted = wanted => Came::Wanted(wanted),
            () = self.signal.changed() => Came::News,
            () = time => Came::News,
        }
    }

    /// Claims, and pauses if that comes to nothing: the store is away, or what it knew
    /// here of what waits was not so.
    async fn claim(&mut self, which: Which, max_items: usize, max_bytes: usize, leaves: Leaves) {
        let claim = Claim {
            route: self.lane.route().clone(),
            max_items,
            max_bytes,
            which,
        };
        match self.store.claim(claim).await {
            Ok(claimed) if claimed.is_empty() => {
                let until = clock::now().saturating_add(clock::millis(PAUSE));
                self.wait(None, Some(until)).await;
            }
            Ok(claimed) => {
                let claimed = claimed.into_iter().map(|it| (it, leaves));
                self.claimed.extend(claimed);
            }
            Err(_) => {
                let stop = self.stops.wait_for(|&stops| stops);
                let _stopped = timeout(PAUSE, stop).await;
            }
        }
    }

    /// Hands to the lane what was claimed.
    async fn hand_out(&mut self) {
        while let Some((claimed, leaves)) = self.claimed.pop_front() {
            let handed_in = claimed.handle.millis();
            let is_overdue = claimed.deadline <= clock::now();
            // That may have come while it was being claimed.
            let is_flushed = self.signal.flushed().is_some_and(|it| handed_in <= it);
            let leaves = if is_flushed { Leaves::AtOnce } else { leaves };
            let (fate, recovered) = fate(claimed.interrupted, is_overdue, leaves, &self.route);
            if let Some(how) = recovered {
                self.store.recovered(self.lane.route(), how);
            }
            let (lane, withdrawals) = (Arc::clone(&self.lane), Arc::clone(&self.withdrawals));
            let size = claimed.job.len();
            let hand = move || match fate {
                Fate::Answered(why) => lane.fail(claimed, why),
                Fate::Sent(leaves) => {
                    let handle = claimed.handle;
                    withdrawals.queue(handle, || lane.take(claimed, leaves));
                }
            };
            match size {
                ..LARGE => hand(),
                _ => aside(hand).await,
            }
        }
    }
}
