//! A record is answered exactly once, whatever fails, hangs, panics, is split, deleted,
//! drained or given up: random ways of a batcher, an engine and records in memory, on a
//! paused clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

use super::Phase;
use super::records_tests::{Claiming, Queue};
use super::tests::{PANICS, Proxy, SECOND, Setup, Step};
use crate::batcher::Settings;
use crate::job::{Handle, Job, RouteName, State};
use crate::later::backlog::Claimed;
use crate::later::faulty_tests::{Fault, Faulty};
use crate::later::kept::Kept;
use crate::later::store::Pending;
use crate::later::{
    self, BatchSize, ClaimingLane, HandIn, Lane, Later, Leaves, Look, NotSent, Wanted, Withdraw,
};
use crate::observe::{Bounds, Observer, StoreStep};

const RECORDS: later::Settings = later::Settings {
    max_jobs: 1000,
    max_bytes: 1 << 20,
    keep: Duration::from_secs(3600),
    job_timeout: Duration::from_millis(400),
    max_wait: Duration::ZERO,
    max_attempts: 3,
};

#[derive(Clone, Debug)]
enum Act {
    HandIn,
    /// A caller that stays so long.
    Call(u64),
    Delete(usize),
    Sleep(u64),
    Fault(StoreStep, Option<Fault>),
}

#[derive(Clone, Debug)]
struct Way {
    max_size: usize,
    slots: usize,
    failures: u32,
    idempotent: bool,
    /// Whether its store lasts, so that jobs are claimed from it.
    lasts: bool,
    script: Vec<Step>,
    acts: Vec<Act>,
    /// How long the end waits for what is under way.
    patience: u64,
}

fn ways() -> impl Strategy<Value = Way> {
    let status = prop_oneof![
        6 => Just(200_u16), 2 => Just(503), 2 => Just(500), 2 => Just(413), 1 => Just(404), 1 => Just(PANICS)
    ];
    let times = || prop_oneof![Just(0_u64), 1..20_u64, 100..2000_u64];
    let step = (times(), status)
        .prop_map(|(time, status)| Step(Duration::from_millis(time), status, None));
    let fault = prop_oneof![
        2 => Just(None),
        1 => Just(Some(Fault::NotCommitted)),
        1 => Just(Some(Fault::Unanswered)),
        1 => Just(Some(Fault::Takes(Duration::from_millis(30)))),
    ];
    let at = prop_oneof![Just(StoreStep::Sent), Just(StoreStep::Finish)];
    let act = prop_oneof![
        6 => Just(Act::HandIn),
        2 => (1..500_u64).prop_map(Act::Call),
        2 => (0..1000_usize).prop_map(Act::Delete),
        3 => (0..40_u64).prop_map(Act::Sleep),
        1 => (at, fault).prop_map(|(at, fault)| Act::Fault(at, fault)),
    ];
    let numbers = (1..4_usize, 1..3_usize, 0..3_u32, 0..2000_u64);
    let numbers = (numbers, any::<(bool, bool)>());
    (numbers, vec(step, 0..12), vec(act, 1..40)).prop_map(|(numbers, script, acts)| {
        let ((max_size, slots, failures, patience), (idempotent, lasts)) = numbers;
        Way {
            max_size,
            slots,
            failures,
            idempotent,
            lasts,
            script,
            acts,
            patience,
        }
    })
}

/// The batcher's lane, that knows what it was given, and what of it was withdrawn.
#[derive(Clone)]
struct Known {
    queue: Queue,
    withdrawn: Arc<Mutex<BTreeMap<Handle, bool>>>,
    /// By their ids.
    handles: Arc<Mutex<BTreeMap<String, Handle>>>,
}

struct Place {
    queued: Box<dyn Withdraw>,
    handle: Handle,
    withdrawn: Arc<Mutex<BTreeMap<Handle, bool>>>,
}

impl Lane for Known {
    fn submit(&self, route: &RouteName, job: Job, deadline: Instant) -> Box<dyn Withdraw> {
        let handle = job.handle().unwrap();
        self.place(handle, job.raw(), || {
            self.queue.submit(route, job.clone(), deadline)
        })
    }

    fn claiming(&self) -> Vec<Arc<dyn ClaimingLane>> {
        let claiming = Claiming(self.queue.clone(), RouteName::jobs());
        vec![Arc::new(KnownClaiming(self.clone(), claiming))]
    }
}

impl Known {
    fn place(
        &self,
        handle: Handle,
        body: &[u8],
        queue: impl FnOnce() -> Box<dyn Withdraw>,
    ) -> Box<dyn Withdraw> {
        let id: serde_json::Value = serde_json::from_slice(body).unwrap();
        let id = id["id"].as_str().unwrap().to_owned();
        self.handles.lock().unwrap().insert(id, handle);
        let withdrawn = Arc::clone(&self.withdrawn);
        let before = withdrawn.lock().unwrap().insert(handle, false);
        assert_eq!(before, None, "queued twice");
        Box::new(Place {
            queued: queue(),
            handle,
            withdrawn,
        })
    }
}

/// The same where jobs are claimed.
struct KnownClaiming(Known, Claiming);

impl ClaimingLane for KnownClaiming {
    fn route(&self) -> &RouteName {
        self.1.route()
    }

    fn batch(&self) -> BatchSize {
        self.1.batch()
    }

    fn is_idempotent(&self) -> bool {
        false
    }

    fn wanted(&self, ready: bool) -> Pending<'_, Wanted> {
        self.1.wanted(ready)
    }

    fn take(&self, claimed: Claimed, leaves: Leaves) -> Box<dyn Withdraw> {
        let body = Kept::from_bytes(&claimed.job).unwrap().body;
        self.0.place(claimed.handle, &body, || {
            self.1.take(claimed.clone(), leaves)
        })
    }

    fn fail(&self, claimed: Claimed, why: NotSent) {
        self.1.fail(claimed, why);
    }
}

impl Withdraw for Place {
    fn withdraw(&self) {
        self.withdrawn.lock().unwrap().insert(self.handle, true);
        self.queued.withdraw();
    }

    fn take_back(&self) -> bool {
        self.queued.take_back()
    }
}

struct World {
    proxy: Proxy,
    later: Later,
    store: Arc<Faulty>,
    /// What was handed in, by its id.
    made: Vec<Handle>,
    /// What was sent though its record did not say so. A panic of the call would be one
    /// that the test asked for.
    unmarked: Arc<Mutex<Vec<String>>>,
    /// How many calls there had been when a record was deleted, by the job's id.
    deleted: BTreeMap<usize, usize>,
}

impl World {
    fn new(way: &Way) -> Self {
        let observer = Arc::new(Observer::new(Bounds {
            max_size: 1,
            max_bytes: 1,
        }));
        let store = Arc::new(match way.lasts {
            true => Faulty::lasting(&RECORDS),
            false => Faulty::new(&RECORDS),
        });
        let later = Later::new(store.clone(), RECORDS, [observer]);
        let kept = Arc::clone(&store);
        // Each that is sent is told to be sent, by an id that its handle is known by.
        let handles: Arc<Mutex<BTreeMap<String, Handle>>> = Arc::default();
        let known = Arc::clone(&handles);
        let unmarked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&unmarked);
        let idempotent = way.idempotent;
        let on_call = move |array: &str| {
            let array: Vec<serde_json::Value> = serde_json::from_str(array).unwrap();
            for job in array {
                if let Some(&handle) = known.lock().unwrap().get(job["id"].as_str().unwrap()) {
                    let state = kept.state(handle);
                    if !idempotent && !matches!(state, None | Some(State::Sent)) {
                        noted.lock().unwrap().push(format!("{state:?}: {job}"));
                    }
                }
            }
        };
        let setup = Setup {
            on_call: Some(Arc::new(on_call)),
            settings: Settings {
                max_size: way.max_size,
                max_in_flight: way.slots,
                max_wait: Duration::from_millis(1),
                detached_max_wait: Duration::from_millis(10),
                ..Settings::default()
            },
            split_on: vec![413, 500],
            idempotent,
            failures: way.failures,
            open_for: Duration::from_millis(50),
            later: Some(later.clone()),
            ..Setup::default()
        };
        let proxy = setup.start(way.script.iter().copied());
        later.start(Arc::new(Known {
            queue: Queue(proxy.batcher.clone(), later.clone()),
            withdrawn: Arc::default(),
            handles,
        }));
        Self {
            proxy,
            later,
            store,
            made: Vec::new(),
            unmarked,
            deleted: BTreeMap::new(),
        }
    }

    async fn act(&mut self, act: &Act) {
        match act {
            Act::HandIn => {
                let body = Bytes::from(format!(r#"{{"id":"later-{}."}}"#, self.made.len()));
                let hand_in = HandIn {
                    lane: None,
                    route: RouteName::jobs(),
                    job: Job::parse(body, crate::json::MAX_DEPTH).unwrap(),
                    stream: None,
                    key: None,
                    frame: crate::later::backlog::NO_FRAME,
                };
                let record = self.later.hand_in(hand_in).await.unwrap();
                self.made.push(record.handle);
            }
            Act::Call(stays) => {
                let stays = Duration::from_millis(*stays);
                let reply = self.proxy.job("caller", stays);
                tokio::spawn(timeout(stays, reply));
            }
            Act::Delete(which) => {
                let Some(id) = which.checked_rem(self.made.len()) else {
                    return;
                };
                let gone = self.deleted.contains_key(&id);
                let deleted = self.later.delete(self.made[id]).await;
                assert_eq!(deleted.is_err(), gone, "{deleted:?}");
                let calls = self.proxy.script.calls().len();
                self.deleted.entry(id).or_insert(calls);
            }
            Act::Sleep(time) => sleep(Duration::from_millis(*time)).await,
            Act::Fault(step, fault) => self.store.set(*step, *fault),
        }
    }

    async fn end(&self, patience: u64) {
        self.later.close();
        let queued = timeout(60 * SECOND, self.later.all_queued()).await;
        queued.expect("no job is left on its way");
        self.proxy.phase.send_replace(Phase::Draining);
        self.proxy.batcher.close();
        let patience = Duration::from_millis(patience);
        if timeout(patience, self.proxy.batcher.vacated())
            .await
            .is_err()
        {
            self.proxy.phase.send_replace(Phase::GivingUp);
            self.proxy.batcher.abandon();
            let vacated = timeout(SECOND, self.proxy.batcher.vacated()).await;
            vacated.expect("what was given up has ended");
        }
        for step in StoreStep::ALL {
            self.store.set(step, None);
        }
        let ended = timeout(60 * SECOND, self.later.end()).await;
        ended.expect("every answer is committed");
    }

    async fn check(&self) {
        let counts = self.later.counts().total();
        assert_eq!(counts.accepted, self.made.len() as u64);
        // What was not sent waits in a store that lasts, for the next process.
        let lasts = self.later.lasts();
        let left = counts.present[State::Queued as usize];
        assert!(left == 0 || lasts, "unfinished: {counts:?}");
        assert_eq!(counts.present[State::Sent as usize], 0, "{counts:?}");
        assert_eq!(
            counts.deleted.iter().sum::<u64>(),
            self.deleted.len() as u64
        );
        let finished: u64 = counts.finished.iter().map(|it| it.1).sum();
        let unfinished =
            counts.deleted[State::Queued as usize] + counts.deleted[State::Sent as usize];
        assert_eq!(counts.accepted, finished + unfinished + left);
        let (mut without, lane) = (0, self.proxy.batcher.snapshot());
        assert_eq!((lane.detached_queued, lane.in_flight), (0, 0));
        for (id, handle) in self.made.iter().enumerate() {
            let record = self.later.fetch(*handle, Look::ForAnswer).await;
            match self.deleted.contains_key(&id) {
                true => assert!(record.is_err()),
                false => without += u64::from(record.unwrap().answer.is_none()),
            }
        }
        assert_eq!(without, left);
        // Nothing that was deleted was sent after that.
        for (id, calls) in &self.deleted {
            let after = &self.proxy.script.calls()[*calls..];
            let id = format!("later-{id}.");
            assert!(
                !after.iter().any(|it| it.contains(&id)),
                "{id} in {after:?}"
            );
        }
        assert_eq!(self.later.withdrawals(), 0);
        assert_eq!(*self.unmarked.lock().unwrap(), [""; 0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_record_is_answered_exactly_once(way in ways()) {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new(&way);
            for act in &way.acts {
                world.act(act).await;
            }
            world.end(way.patience).await;
            world.check().await;
        });
    }
}
