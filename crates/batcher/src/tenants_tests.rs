//! A thousand tenants, each with a frame of its own and one of them greedy, on a paused
//! clock: how long the others wait, and what is left of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::tests::MS;
use super::*;

const TENANTS: usize = 1_000;
const GREEDY: usize = 0;
/// How many items the greedy one always has in.
const GREED: usize = 5_000;
/// How long a batch takes.
const SERVICE: Duration = Duration::from_millis(2);
/// What the others do between an answer and their next item, so that half of the slots would
/// do for them.
const PAUSE: Duration = Duration::from_millis(400);

fn settings() -> Settings {
    Settings {
        max_size: 10,
        max_in_flight: 10,
        ..Settings::default()
    }
}

type Waits = Arc<Mutex<Vec<Duration>>>;

/// An item is its tenant. How long those waited that are not greedy is noted.
fn upstream() -> (Batcher<usize, ()>, Waits) {
    let waits = Waits::default();
    let noted = Arc::clone(&waits);
    let batcher = Batcher::with_batches(settings(), move |mut batch: Batch<usize, ()>| {
        let others = batch.members().iter().filter(|it| *it.item() != GREEDY);
        let waited = others.map(|it| it.waited(batch.left()));
        noted.lock().unwrap().extend(waited);
        async move {
            sleep(SERVICE).await;
            batch.answer_all(|_| ());
        }
    });
    (batcher, waits)
}

fn submit(batcher: &Batcher<usize, ()>, tenant: usize) -> Reply<usize, ()> {
    let options = Options::default().frame(Frame::new(tenant.to_le_bytes()));
    batcher.submit_with(tenant, options).unwrap()
}

/// Half and nine tenths of them waited no longer than this.
fn typical(mut waits: Vec<Duration>) -> [Duration; 2] {
    waits.sort_unstable();
    [waits.len() / 2, waits.len() * 9 / 10].map(|at| waits[at])
}

/// Each of the others has one item in at a time, and comes in its turn.
async fn in_turn(greedy: bool) -> [Duration; 2] {
    let (batcher, waits) = upstream();
    let mut callers = JoinSet::new();
    for _ in 0..if greedy { GREED } else { 0 } {
        let batcher = batcher.clone();
        callers.spawn(async move {
            loop {
                submit(&batcher, GREEDY).await.unwrap();
            }
        });
    }
    for tenant in (0..TENANTS).filter(|&it| it != GREEDY) {
        let batcher = batcher.clone();
        callers.spawn(async move {
            sleep(PAUSE * tenant as u32 / TENANTS as u32).await;
            loop {
                submit(&batcher, tenant).await.unwrap();
                sleep(PAUSE).await;
            }
        });
    }
    let _still_there = timeout(4 * PAUSE, callers.join_next()).await;
    let waits = std::mem::take(&mut *waits.lock().unwrap());
    assert!(waits.len() > 3 * TENANTS, "{}", waits.len());
    typical(waits)
}

/// All others come in one moment, each with one item.
async fn at_once(greedy: bool) -> [Duration; 2] {
    let (batcher, waits) = upstream();
    let first: Vec<_> = (0..if greedy { GREED } else { 0 })
        .map(|_| submit(&batcher, GREEDY))
        .collect();
    let others = (0..TENANTS).filter(|&it| it != GREEDY);
    let others: Vec<_> = others.map(|it| submit(&batcher, it)).collect();
    for reply in others {
        reply.await.unwrap();
    }
    drop(first);
    let waits = std::mem::take(&mut *waits.lock().unwrap());
    assert_eq!(waits.len(), TENANTS - 1);
    typical(waits)
}

#[tokio::test(start_paused = true)]
async fn beside_a_greedy_tenant_the_others_wait_hardly_longer() {
    for (come, calm, greedy) in [
        ("in turn", in_turn(false).await, in_turn(true).await),
        ("at once", at_once(false).await, at_once(true).await),
    ] {
        println!("{come}: half wait {:?}, nine tenths {:?}", calm[0], calm[1]);
        println!("beside a greedy one {:?} and {:?}", greedy[0], greedy[1]);
        for (calm, greedy) in calm.into_iter().zip(greedy) {
            assert!(greedy <= 2 * calm, "{come}: {greedy:?} and {calm:?}");
        }
    }
}

/// In both lanes: each time as many more, of which some leave, some depart and some expire.
#[tokio::test(start_paused = true)]
async fn ten_thousand_frames_come_and_go_and_leave_nothing() {
    const FRAMES: usize = 10_000;
    let (batcher, _) = upstream();
    let mut room = Vec::new();
    for round in 0..4 {
        let soon = Instant::now() + MS;
        let (mut replies, mut detached) = (Vec::new(), Vec::new());
        for number in 0..FRAMES {
            let frame = Frame::new((round * FRAMES + number).to_le_bytes());
            let options = Options::default().frame(frame).keys([1, 2]);
            let options = match number % 3 {
                0 => options.deadline(soon),
                _ => options,
            };
            replies.push(batcher.submit_with(1, options.clone()).ok());
            let on_answer: OnAnswer<()> = Box::new(drop);
            detached.push(batcher.submit_detached(1, options, on_answer).unwrap());
        }
        for (reply, detached) in replies.iter_mut().zip(&detached).skip(1).step_by(3) {
            reply.take();
            detached.withdraw();
        }
        batcher.flush();
        for reply in replies.into_iter().flatten() {
            let _expired = reply.await;
        }
        batcher.vacated().await;
        for lane in batcher.0.lock().frames() {
            assert_eq!((lane.frames, lane.turns), (0, 0));
            room.push(lane.room);
        }
    }
    assert_eq!(batcher.snapshot().accepted, 4 * FRAMES as u64);
    let most = room.iter().max().unwrap();
    assert!(*most <= 200, "{room:?}");
}
