//! Jobs of a store that lasts: claimed, sent, taken back, and found again by another
//! process; with lanes that do as the test says, on a paused clock.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::sync::watch;
use tokio::time::{Instant, advance, sleep, timeout};

use super::answer::Answer;
use super::backlog::{Claimed, NO_FRAME};
use super::kept::Kept;
use super::lasting::Lasting;
use super::record::StreamName;
use super::step::Pending;
use super::store::Look;
use super::{
    BatchSize, ClaimingLane, FetchError, HandIn, Heard, Lane, Later, Leaves, NotSent, Settings,
    Wanted, Withdraw,
};
use crate::code::Code;
use crate::job::{Handle, Job, RouteName, State};
use crate::json::MAX_DEPTH;
use crate::observe::{Bounds, Observer};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) const SETTINGS: Settings = Settings {
    max_jobs: 1000,
    max_bytes: 1 << 20,
    keep: Duration::from_secs(3600),
    job_timeout: Duration::from_secs(600),
    max_wait: SECOND,
    max_attempts: 3,
};

/// A process: jobs for later, and the lane that they are claimed for.
pub(super) struct Process {
    pub store: Arc<Lasting>,
    pub later: Later,
    pub lane: Arc<TestLane>,
    /// All lanes.
    pub lanes: Arc<Lanes>,
}

/// A lane that wants what it is told to want, and keeps what it is given.
pub(super) struct TestLane {
    route: RouteName,
    is_served: bool,
    is_idempotent: bool,
    /// Batches that it takes, and riders.
    wants: watch::Sender<(usize, usize)>,
    taken: Mutex<Vec<(Claimed, Leaves)>>,
    failed: Mutex<Vec<(Claimed, NotSent)>>,
    withdrawn: Arc<Mutex<Vec<Handle>>>,
    /// Whether jobs that it has taken were sent.
    pub sent: Arc<Mutex<bool>>,
    later: OnceLock<Later>,
}

/// Those of the routes that are served.
pub(super) struct Lanes(pub Mutex<Vec<Arc<TestLane>>>);

struct Place {
    route: RouteName,
    handle: Handle,
    withdrawn: Arc<Mutex<Vec<Handle>>>,
    sent: Arc<Mutex<bool>>,
}

impl Lane for Arc<Lanes> {
    fn submit(&self, _: &RouteName, _: Job, _: Instant) -> Box<dyn Withdraw> {
        panic!("jobs wait in the store")
    }

    fn claiming(&self) -> Vec<Arc<dyn ClaimingLane>> {
        let lanes = self.0.lock().unwrap();
        let lanes = lanes.iter().cloned();
        lanes.map(|it| it as Arc<dyn ClaimingLane>).collect()
    }

    fn unserved(&self, route: RouteName) -> Option<Arc<dyn ClaimingLane>> {
        let lanes = self.0.lock().unwrap();
        let lane = TestLane {
            is_served: false,
            ..TestLane::new(route, false)
        };
        lane.later
            .set(lanes[0].later.get().unwrap().clone())
            .unwrap();
        Some(Arc::new(lane))
    }
}

impl TestLane {
    pub fn new(route: RouteName, is_idempotent: bool) -> Self {
        Self {
            route,
            is_served: true,
            is_idempotent,
            wants: watch::Sender::new((0, 0)),
            taken: Mutex::default(),
            failed: Mutex::default(),
            withdrawn: Arc::default(),
            sent: Arc::default(),
            later: OnceLock::new(),
        }
    }

    /// It takes so many batches more, and so many jobs beside callers.
    pub fn wants(&self, batches: usize, riders: usize) {
        self.wants.send_modify(|it| {
            it.0 += batches;
            it.1 += riders;
        });
    }

    pub fn taken(&self) -> Vec<(u64, Leaves)> {
        let taken = self.taken.lock().unwrap();
        taken.iter().map(|it| (id(&it.0), it.1)).collect()
    }

    pub fn failed(&self) -> Vec<(u64, NotSent)> {
        let failed = self.failed.lock().unwrap();
        failed.iter().map(|it| (id(&it.0), it.1)).collect()
    }
}

/// The id of a claimed job.
fn id(claimed: &Claimed) -> u64 {
    let kept = Kept::from_bytes(&claimed.job).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&kept.body).unwrap();
    body["id"].as_u64().unwrap()
}

impl ClaimingLane for TestLane {
    fn route(&self) -> &RouteName {
        &self.route
    }

    fn is_served(&self) -> bool {
        self.is_served
    }

    fn batch(&self) -> BatchSize {
        BatchSize {
            items: 3,
            bytes: 1_000,
            max_wait: SETTINGS.max_wait,
        }
    }

    fn is_idempotent(&self) -> bool {
        self.is_idempotent
    }

    fn wanted(&self, ready: bool) -> Pending<'_, Wanted> {
        Box::pin(async move {
            let mut wants = self.wants.subscribe();
            let found = wants.wait_for(|it| it.1 > 0 || (ready && it.0 > 0));
            let (batches, riders) = *found.await.unwrap();
            if ready && batches > 0 {
                self.wants.send_modify(|it| it.0 -= 1);
                return Wanted::Batch;
            }
            self.wants.send_modify(|it| it.1 = 0);
            Wanted::Riders(riders)
        })
    }

    fn take(&self, job: Claimed, leaves: Leaves) -> Box<dyn Withdraw> {
        let place = Place {
            route: self.route.clone(),
            handle: job.handle,
            withdrawn: Arc::clone(&self.withdrawn),
            sent: Arc::clone(&self.sent),
        };
        self.taken.lock().unwrap().push((job, leaves));
        Box::new(place)
    }

    fn fail(&self, job: Claimed, why: NotSent) {
        let handle = job.handle;
        self.failed.lock().unwrap().push((job, why));
        self.later.get().unwrap().answered(handle, answer(502));
    }
}

impl Withdraw for Place {
    fn withdraw(&self) {
        self.withdrawn.lock().unwrap().push(self.handle);
    }

    fn route(&self) -> Option<&RouteName> {
        Some(&self.route)
    }

    fn take_back(&self) -> bool {
        !*self.sent.lock().unwrap()
    }
}

pub(super) fn answer(status: u16) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer::new(Code::Ok, status, &HeaderMap::new(), &Bytes::from("{}"))
}

pub(super) fn job_of(route: &str, id: u64) -> HandIn {
    let body = Bytes::from(format!("{{\"id\":{id}}}"));
    HandIn {
        lane: None,
        route: route.parse().unwrap(),
        job: Job::parse(body, MAX_DEPTH).unwrap(),
        stream: None,
        key: None,
        frame: NO_FRAME,
    }
}

pub(super) fn job(id: u64) -> HandIn {
    job_of("jobs", id)
}

impl Process {
    pub fn on(store: Lasting, is_idempotent: bool) -> Self {
        let store = Arc::new(store);
        let bounds = Bounds {
            max_size: 1,
            max_bytes: 1,
        };
        let observer = Arc::new(Observer::new(bounds));
        let later = Later::new(Arc::clone(&store) as _, SETTINGS, [observer]);
        let lane = Arc::new(TestLane::new(RouteName::jobs(), is_idempotent));
        lane.later.set(later.clone()).unwrap();
        let lanes = Arc::new(Lanes(Mutex::new(vec![Arc::clone(&lane)])));
        later.start(Arc::new(Arc::clone(&lanes)));
        Self {
            store,
            later,
            lane,
            lanes,
        }
    }

    /// These routes are served from here on, by lanes that it tells.
    pub async fn serves(&self, routes: &[&str], is_idempotent: bool) -> Vec<Arc<TestLane>> {
        let lane = |route: &&str| {
            let lane = TestLane::new(route.parse().unwrap(), is_idempotent);
            lane.later.set(self.later.clone()).unwrap();
            Arc::new(lane)
        };
        let lanes: Vec<_> = routes.iter().map(lane).collect();
        *self.lanes.0.lock().unwrap() = lanes.clone();
        self.later.follow([]);
        settle().await;
        lanes
    }

    pub fn new() -> Self {
        Self::on(Lasting::new(&SETTINGS), false)
    }

    /// It is gone, and this is the next on its store.
    pub async fn crash(self, is_idempotent: bool) -> Self {
        settle().await;
        self.store.crash();
        Self::on(self.store.another(), is_idempotent)
    }

    pub async fn hand_in(&self, ids: std::ops::RangeInclusive<u64>) -> Vec<Handle> {
        let mut handles = Vec::new();
        for id in ids {
            handles.push(self.later.hand_in(job(id)).await.unwrap().handle);
            // Each in a millisecond of its own: so they are in order.
            sleep(Duration::from_millis(1)).await;
        }
        settle().await;
        handles
    }

    pub async fn state(&self, handle: Handle) -> State {
        self.later
            .fetch(handle, Look::ForState)
            .await
            .unwrap()
            .state
    }
}

/// Everything that can be done at this moment is done.
pub(super) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

pub(super) fn at_once(ids: &[u64]) -> Vec<(u64, Leaves)> {
    ids.iter().map(|&id| (id, Leaves::AtOnce)).collect()
}

#[tokio::test(start_paused = true)]
async fn jobs_wait_in_the_store_until_they_fill_a_batch_or_are_due() {
    let process = Process::new();
    let lane = &process.lane;
    lane.wants(9, 0);
    let handles = process.hand_in(1..=2).await;
    assert_eq!((lane.taken(), process.store.claimed()), (vec![], 0));
    assert_eq!(process.state(handles[0]).await, State::Queued);
    process.hand_in(3..=5).await;
    assert_eq!(lane.taken(), at_once(&[1, 2, 3]), "a full batch");
    assert_eq!(process.state(handles[0]).await, State::Sent);
    advance(SECOND).await;
    settle().await;
    assert_eq!(lane.taken(), at_once(&[1, 2, 3, 4, 5]), "and what is due");
    assert_eq!(process.later.withdrawals(), 5);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_claimed_than_is_wanted() {
    let process = Process::new();
    process.hand_in(1..=9).await;
    sleep(10 * SECOND).await;
    assert_eq!(process.store.claimed(), 0);
    process.lane.wants(1, 0);
    sleep(10 * SECOND).await;
    assert_eq!(process.lane.taken(), at_once(&[1, 2, 3]));
    process.lane.wants(0, 2);
    sleep(10 * SECOND).await;
    let riders = [(4, Leaves::InTime), (5, Leaves::InTime)];
    assert_eq!(process.lane.taken()[3..], riders);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_claimed_by_the_next_process() {
    let process = Process::new();
    let handles = process.hand_in(1..=3).await;
    let next = process.crash(false).await;
    next.lane.wants(1, 0);
    settle().await;
    assert_eq!(next.lane.taken(), at_once(&[1, 2, 3]));
    for handle in &handles {
        assert_eq!(next.later.sent(vec![*handle]).await, Ok(vec![]));
        next.later.answered(*handle, answer(200));
    }
    settle().await;
    for handle in handles {
        assert_eq!(next.state(handle).await, State::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_interrupted() {
    let process = Process::new();
    process.lane.wants(1, 0);
    let handles = process.hand_in(1..=4).await;
    let next = process.crash(false).await;
    settle().await;
    // Whatever the lane wants.
    let failed = [1, 2, 3].map(|id| (id, NotSent::Interrupted));
    assert_eq!(next.lane.failed(), failed);
    assert_eq!(next.state(handles[0]).await, State::Failed);
    assert_eq!(next.state(handles[3]).await, State::Queued);
    let counts = next.later.counts().total();
    assert_eq!((counts.accepted, counts.present), (4, [1, 0, 0, 3]));
}

#[tokio::test(start_paused = true)]
async fn what_may_be_sent_twice_is_sent_again_alone_as_often_as_is_set() {
    let mut process = Process::on(Lasting::new(&SETTINGS), true);
    process.lane.wants(1, 0);
    process.hand_in(1..=3).await;
    for _ in 1..SETTINGS.max_attempts {
        process = process.crash(true).await;
        process.lane.wants(3, 0);
        settle().await;
        let alone = [1, 2, 3].map(|id| (id, Leaves::Alone));
        assert_eq!(process.lane.taken(), alone);
    }
    process = process.crash(true).await;
    process.lane.wants(3, 0);
    settle().await;
    assert_eq!(process.lane.taken(), []);
    let exhausted = [1, 2, 3].map(|id| (id, NotSent::AttemptsExhausted));
    assert_eq!(process.lane.failed(), exhausted);
}

#[tokio::test(start_paused = true)]
async fn what_pauses_between_attempts_was_not_interrupted() {
    let process = Process::new();
    process.lane.wants(1, 0);
    let handles = process.hand_in(1..=3).await;
    process.later.queued_again(handles.clone()).await.unwrap();
    assert_eq!(process.state(handles[0]).await, State::Queued);
    // It is this process's all the same.
    process.lane.wants(1, 0);
    settle().await;
    assert_eq!(process.lane.taken().len(), 3);
    let next = process.crash(false).await;
    next.lane.wants(1, 0);
    settle().await;
    assert_eq!(next.lane.taken(), at_once(&[1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_once_it_is_claimed_is_not_sent() {
    let process = Process::new();
    process.lane.wants(1, 0);
    let handles = process.hand_in(1..=3).await;
    assert_eq!(process.later.delete(handles[1]).await, Ok(State::Sent));
    assert_eq!(*process.lane.withdrawn.lock().unwrap(), [handles[1]]);
    let gone = process.later.sent(handles.clone()).await;
    assert_eq!(gone, Ok(vec![handles[1]]));
    // And before that it is claimed by nobody.
    let handles = process.hand_in(4..=5).await;
    assert_eq!(process.later.delete(handles[0]).await, Ok(State::Queued));
    process.lane.wants(1, 0);
    sleep(2 * SECOND).await;
    assert_eq!(process.lane.taken()[3..], at_once(&[5]));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_waits_for_the_next_process() {
    let process = Process::new();
    process.lane.wants(1, 0);
    let handles = process.hand_in(1..=4).await;
    assert_eq!(process.store.claimed(), 3);
    process.later.close();
    process.later.all_queued().await;
    assert_eq!(
        (process.store.claimed(), process.later.withdrawals()),
        (0, 0)
    );
    // As far as it comes back from somewhere else.
    process.later.end().await;
    let next = process.crash(false).await;
    next.lane.wants(9, 0);
    sleep(2 * SECOND).await;
    assert_eq!(next.lane.taken(), at_once(&[1, 2, 3, 4]));
    assert_eq!(next.lane.failed(), []);
    assert_eq!(next.state(handles[0]).await, State::Sent);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_waited_for_at_the_end() {
    let process = Process::new();
    process.lane.wants(1, 0);
    let handles = process.hand_in(1..=3).await;
    *process.lane.sent.lock().unwrap() = true;
    process.later.close();
    process.later.all_queued().await;
    assert_eq!(process.store.claimed(), 3);
    process.later.answered(handles[0], answer(200));
    // It was not sent after all.
    process.later.release(vec![handles[1]]);
    process.later.end().await;
    assert_eq!(process.store.claimed(), 1);
    assert_eq!(process.state(handles[0]).await, State::Done);
    assert_eq!(process.state(handles[1]).await, State::Queued);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_holds_up_the_end_as_long_as_it_is_let() {
    let process = Process::new();
    process.lane.wants(1, 0);
    process.hand_in(1..=3).await;
    process.store.set_away(true);
    process.later.close();
    let all_queued = timeout(5 * SECOND, process.later.all_queued());
    assert!(all_queued.await.is_err());
    process.store.set_away(false);
    process.later.all_queued().await;
    assert_eq!(process.store.claimed(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_overdue_is_answered_though_the_lane_wants_nothing() {
    let process = Process::new();
    let handles = process.hand_in(1..=5).await;
    sleep(SETTINGS.job_timeout - SECOND).await;
    assert_eq!(process.lane.failed(), []);
    sleep(2 * SECOND).await;
    let overdue: Vec<_> = (1..=5).map(|id| (id, NotSent::Overdue)).collect();
    assert_eq!(process.lane.failed(), overdue);
    assert_eq!(process.state(handles[4]).await, State::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_flush_is_about_what_waits_at_that_moment() {
    let process = Process::new();
    process.lane.wants(9, 0);
    process.hand_in(1..=2).await;
    assert_eq!(process.later.flush(&RouteName::jobs()), 2);
    sleep(Duration::from_millis(1)).await;
    process.hand_in(3..=4).await;
    assert_eq!(process.lane.taken(), at_once(&[1, 2]));
    sleep(SECOND).await;
    assert_eq!(process.lane.taken(), at_once(&[1, 2, 3, 4]));
    assert_eq!(process.later.flush(&RouteName::jobs()), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_claimed_when_all_is_flushed_leaves_too() {
    let process = Process::new();
    process.hand_in(1..=2).await;
    // Both at one moment: whichever the claimer hears of first.
    process.lane.wants(0, 1);
    process.later.flush(&RouteName::jobs());
    settle().await;
    assert_eq!(process.lane.taken(), at_once(&[1]));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_away_is_claimed_from_again() {
    let process = Process::new();
    process.hand_in(1..=3).await;
    process.store.set_away(true);
    process.lane.wants(5, 0);
    sleep(Duration::from_millis(3_500)).await;
    assert_eq!(process.lane.taken(), []);
    // Four claims in as many seconds: it does not spin.
    assert_eq!(process.lane.wants.borrow().0, 1);
    process.store.set_away(false);
    sleep(SECOND).await;
    assert_eq!(process.lane.taken(), at_once(&[1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn what_another_process_has_done_is_news() {
    let process = Process::new();
    process.lane.wants(1, 0);
    let other = Process::on(process.store.another(), false);
    let stream = StreamName::new("s").unwrap();
    let on_stream = HandIn {
        lane: None,
        stream: Some(stream.clone()),
        ..job(1)
    };
    let told = process.later.hand_in(on_stream).await.unwrap().handle;
    let handles = process.hand_in(2..=3).await;
    let mut listener = other.later.listen(stream, None);
    let listening = tokio::spawn(async move { listener.next().await });
    let polling = [told, handles[0]].map(|handle| {
        let (later, until) = (other.later.clone(), Instant::now() + SECOND);
        tokio::spawn(async move { later.fetch_finished(handle, Look::ForAnswer, until).await })
    });
    settle().await;
    let before = Instant::now();
    process.later.answered(told, answer(200));
    process.later.delete(handles[0]).await.unwrap();
    let [told, deleted] = polling;
    assert_eq!(told.await.unwrap().unwrap().state, State::Done);
    let deleted = deleted.await.unwrap().unwrap_err();
    assert_eq!(deleted, FetchError::Unknown);
    let heard = listening.await.unwrap().unwrap();
    assert!(matches!(heard, Some(Heard::Finished(..))), "{heard:?}");
    assert_eq!(before, Instant::now(), "it polls");
    // What others hand in is claimed here.
    other.lane.wants(1, 0);
    process.hand_in(4..=6).await;
    assert_eq!(other.lane.taken(), at_once(&[4, 5, 6]));
    assert_eq!(other.later.delete(handles[1]).await, Ok(State::Sent));
    settle().await;
    let withdrawn = process.lane.withdrawn.lock().unwrap().clone();
    assert_eq!(withdrawn, handles);
}

#[tokio::test(start_paused = true)]
async fn what_another_process_has_finished_expires_though_that_is_gone() {
    let process = Process::new();
    let stays = Process::on(process.store.another(), false);
    process.lane.wants(1, 0);
    let handles = process.hand_in(1..=3).await;
    for handle in handles {
        process.later.answered(handle, answer(200));
    }
    settle().await;
    process.store.crash();
    assert_eq!(stays.later.counts().total().present, [0, 0, 3, 0]);
    sleep(SETTINGS.keep + SECOND).await;
    assert_eq!(stays.later.counts().total().present, [0; 4]);
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_route_that_is_gone_wait_until_they_are_overdue() {
    let process = Process::new();
    let gone = process.later.hand_in(job_of("gone", 1)).await.unwrap();
    let next = process.crash(false).await;
    next.lane.wants(9, 9);
    sleep(SETTINGS.job_timeout - SECOND).await;
    assert_eq!(next.state(gone.handle).await, State::Queued);
    sleep(2 * SECOND).await;
    assert_eq!(next.state(gone.handle).await, State::Failed);
    assert_eq!(next.lane.taken(), []);
}

#[tokio::test(start_paused = true)]
async fn a_claimer_whose_lane_panics_goes_on() {
    struct Panics(Arc<TestLane>, Mutex<bool>);

    impl Lane for Arc<Panics> {
        fn submit(&self, _: &RouteName, _: Job, _: Instant) -> Box<dyn Withdraw> {
            panic!("jobs wait in the store")
        }

        fn claiming(&self) -> Vec<Arc<dyn ClaimingLane>> {
            vec![Arc::clone(self) as Arc<dyn ClaimingLane>]
        }
    }

    impl ClaimingLane for Panics {
        fn route(&self) -> &RouteName {
            self.0.route()
        }

        fn batch(&self) -> BatchSize {
            self.0.batch()
        }

        fn is_idempotent(&self) -> bool {
            self.0.is_idempotent()
        }

        fn wanted(&self, ready: bool) -> Pending<'_, Wanted> {
            self.0.wanted(ready)
        }

        fn take(&self, job: Claimed, leaves: Leaves) -> Box<dyn Withdraw> {
            let first = std::mem::take(&mut *self.1.lock().unwrap());
            assert!(!first, "on purpose");
            self.0.take(job, leaves)
        }

        fn fail(&self, job: Claimed, why: NotSent) {
            self.0.fail(job, why);
        }
    }

    let lane = Arc::new(TestLane::new(RouteName::jobs(), false));
    let store = Arc::new(Lasting::new(&SETTINGS));
    let later = Later::new(store as _, SETTINGS, []);
    let panics = Panics(Arc::clone(&lane), Mutex::new(true));
    later.start(Arc::new(Arc::new(panics)));
    lane.wants(2, 0);
    for id in 1..=6 {
        later.hand_in(job(id)).await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    sleep(2 * SECOND).await;
    assert_eq!(lane.taken(), at_once(&[2, 3, 4, 5, 6]));
}
