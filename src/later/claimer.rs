//! Claims the jobs of one route from a store that lasts, as its lane has use for them.
//!
//! [`Later`](super::Later) runs one for each name that a route has or has had. Where the
//! route is served otherwise than before, the claimer goes on for its new form. What to do is
//! said by `choice`; here it is done. A claimer holds no job for longer than it takes to hand it to
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
use tracing::warn;

use self::choice::{Fate, Next, PAUSE, Route, fate, next};
use super::backlog::{Claim, Claimed, Waiting, Which};
use super::clock;
use super::lane::{ClaimingLane, Leaves, Wanted};
use super::outbox::Outbox;
use super::record::Millis;
use super::reported::Reported;
use super::settings::Settings;
use super::withdrawals::Withdrawals;
use crate::aside::{LARGE, aside};
use crate::job::Handle;

pub(super) use self::signals::{Signal, Signals};

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
    settings: watch::Receiver<Settings>,
    /// Whether it was told that jobs wait of a route which is not served.
    is_told: bool,
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
    /// The one of a route that has none yet.
    pub fn new(
        signal: Arc<Signal>,
        signals: &Signals,
        settings: watch::Receiver<Settings>,
        store: &Arc<Reported>,
        withdrawals: &Arc<Withdrawals>,
        released: &Arc<Outbox<Handle>>,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            lane: signal.lane(),
            withdrawals: Arc::clone(withdrawals),
            released: Arc::clone(released),
            signal,
            stops: signals.stops(),
            settings,
            is_told: false,
            claimed: VecDeque::new(),
        }
    }

    /// Runs until it is told to stop; run again after a panic, it goes on.
    pub async fn run(&mut self) {
        loop {
            let back = self.follow();
            if *self.stops.borrow() {
                let left = self.claimed.drain(..).map(|it| it.0.handle);
                return self.released.push(left);
            }
            self.hand_out().await;
            let (waiting, now) = (self.store.waiting(self.lane.route()), clock::now());
            self.tell_unserved(&waiting, back);
            let route = self.route();
            let batch = route.batch;
            match next(&waiting, now, &route, self.signal.flushed()) {
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

    /// Claims for the route as it is served by now. What its lane holds and has not sent
    /// waits in the store again, to be claimed for that: how many jobs that is.
    fn follow(&mut self) -> usize {
        let lane = self.signal.lane();
        if Arc::ptr_eq(&lane, &self.lane) {
            return 0;
        }
        let back = self.withdrawals.take_back_of(self.lane.route());
        let jobs = back.len();
        self.released.push(back);
        self.is_told &= !lane.is_served();
        self.lane = lane;
        jobs
    }

    /// Says once that jobs wait of a route which is not served, those that were just taken
    /// back included.
    fn tell_unserved(&mut self, waiting: &Waiting, back: usize) {
        let Waiting { jobs, lapses, .. } = *waiting;
        let jobs = jobs + back as u64;
        // Also where another process has some of them: it may be gone.
        if self.is_told || self.lane.is_served() || (jobs == 0 && lapses.is_none()) {
            return;
        }
        self.is_told = true;
        warn!(
            route = self.lane.route().as_str(),
            jobs,
            "jobs for later wait of a route that is not in the settings; they stay until \
             later.job_timeout is over and fail then, unless the route is there again; those \
             that were sent by a process which is gone fail as interrupted"
        );
    }

    fn route(&self) -> Route {
        Route {
            batch: self.lane.batch(),
            is_idempotent: self.lane.is_idempotent(),
            max_attempts: self.settings.borrow().max_attempts,
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
            let (fate, recovered) = fate(claimed.interrupted, is_overdue, leaves, &self.route());
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
