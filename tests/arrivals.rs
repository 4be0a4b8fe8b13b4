//! How large batches are and how long items wait for company with
//! `wait = "adaptive"`, beside `"fixed"`, for the ways in which jobs arrive. On a clock
//! that jumps; `cargo test --test arrivals -- --nocapture` prints the table.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use microbatch::batcher::{Batch, Batcher, Options, Settings, Wait};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

const MS: Duration = Duration::from_millis(1);
const MAX_WAIT: Duration = Duration::from_millis(10);
const MAX_SIZE: usize = 16;
/// How long the upstream has a batch.
const SERVICE: Duration = Duration::from_millis(2);
/// The timer's tick.
const TICK: Duration = MS;

struct Number(u64);

impl Number {
    fn options(&self, deadline: Instant) -> Options {
        Options::default().key(self.0).bytes(8).deadline(deadline)
    }
}

type Numbers = Batcher<Number, ()>;

/// The sizes of the batches in their order, and how long each item waited.
#[derive(Default)]
struct Told {
    sizes: Vec<usize>,
    waits: Vec<Duration>,
}

impl Told {
    fn size(&self) -> f64 {
        self.sizes.iter().sum::<usize>() as f64 / self.sizes.len() as f64
    }

    /// The mean, in milliseconds.
    fn wait(&self) -> f64 {
        self.waits.iter().sum::<Duration>().as_secs_f64() * 1e3 / self.waits.len() as f64
    }

    fn longest(&self) -> Duration {
        self.waits.iter().copied().max().unwrap()
    }

    /// How far batches are from the one before, once it has settled: 0 for a rhythm.
    fn swing(&self) -> f64 {
        let settled = &self.sizes[self.sizes.len() / 4..];
        let steps = settled.windows(2).map(|two| two[0].abs_diff(two[1]));
        steps.sum::<usize>() as f64 / settled.len() as f64
    }
}

/// Runs arrivals against a batcher that waits like this.
fn run<F: Future<Output = ()>>(wait: Wait, arrivals: impl FnOnce(Numbers) -> F) -> Told {
    let told = Arc::new(Mutex::new(Told::default()));
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let settings = Settings {
            max_size: MAX_SIZE,
            max_wait: MAX_WAIT,
            wait,
            ..Settings::default()
        };
        let noted = Arc::clone(&told);
        let batcher = Batcher::with_batches(settings, move |mut batch: Batch<Number, ()>| {
            let mut told = noted.lock().unwrap();
            told.sizes.push(batch.len());
            let left = batch.left();
            told.waits
                .extend(batch.members().iter().map(|it| it.waited(left)));
            async move {
                sleep(SERVICE).await;
                batch.answer_all(|_| ());
            }
        });
        arrivals(batcher.clone()).await;
        batcher.vacated().await;
    });
    std::mem::take(&mut told.lock().unwrap())
}

/// Items from anywhere, each so long after the one before.
async fn open(batcher: Numbers, gaps: impl Iterator<Item = Duration>) {
    let mut waiting = JoinSet::new();
    let mut next = Instant::now();
    for (number, gap) in gaps.enumerate() {
        next += gap;
        sleep_until(next).await;
        let deadline = next + Duration::from_secs(60);
        let number = Number(number as u64);
        let options = number.options(deadline);
        let reply = batcher.submit_with(number, options).unwrap();
        waiting.spawn(reply);
    }
    while let Some(answer) = waiting.join_next().await {
        answer.unwrap().unwrap();
    }
}

/// Callers who send their next item when they have their answer, and a while later.
async fn closed(batcher: Numbers, callers: u64, thinks: u64) {
    let mut running = JoinSet::new();
    for caller in 0..callers {
        let source = batcher.source();
        running.spawn(async move {
            let mut rng = StdRng::seed_from_u64(caller);
            for _ in 0..200 {
                let deadline = Instant::now() + Duration::from_secs(60);
                let number = Number(caller);
                let options = number.options(deadline);
                source.submit_with(number, options).unwrap().await.unwrap();
                if thinks > 0 {
                    sleep(MS * rng.random_range(0..thinks) as u32).await;
                }
            }
        });
    }
    while let Some(caller) = running.join_next().await {
        caller.unwrap();
    }
}

fn steady(gap: Duration) -> impl Iterator<Item = Duration> {
    std::iter::repeat_n(gap, 1_000)
}

/// Independent of each other, so many milliseconds apart in the mean.
fn poisson(mean: f64) -> impl Iterator<Item = Duration> {
    let mut rng = StdRng::seed_from_u64(7);
    let gap = move |_| {
        let chance: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
        Duration::from_secs_f64(-chance.ln() * mean / 1e3)
    };
    (0..2_000).map(gap)
}

/// Ten at once, then nothing for a while.
fn bursty() -> impl Iterator<Item = Duration> {
    (0..2_000).map(|n| if n % 10 == 0 { 50 * MS } else { Duration::ZERO })
}

/// Dense, then sparse, then dense again.
fn changing() -> impl Iterator<Item = Duration> {
    let part = |gap| std::iter::repeat_n(gap, 300);
    part(MS).chain(part(40 * MS)).chain(part(MS))
}

#[test]
fn adaptive_waits_pay_and_fixed_ones_are_no_longer() {
    type Arrivals = fn(Numbers) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;
    // With the least share of the fixed batches' size, and the most of their wait, that
    // adaptive ones are to have.
    let rows: [(&str, Arrivals, f64, f64); 9] = [
        (
            "steady, every 1 ms",
            |it| Box::pin(open(it, steady(MS))),
            0.8,
            1.0,
        ),
        (
            "steady, every 5 ms",
            |it| Box::pin(open(it, steady(5 * MS))),
            0.5,
            1.0,
        ),
        (
            "steady, every 20 ms",
            |it| Box::pin(open(it, steady(20 * MS))),
            1.0,
            0.1,
        ),
        (
            "Poisson, 1 ms apart",
            |it| Box::pin(open(it, poisson(1.0))),
            0.6,
            1.0,
        ),
        (
            "Poisson, 20 ms apart",
            |it| Box::pin(open(it, poisson(20.0))),
            0.6,
            0.3,
        ),
        (
            "bursts of 10 every 50 ms",
            |it| Box::pin(open(it, bursty())),
            1.0,
            0.5,
        ),
        (
            "closed loop, 1 caller",
            |it| Box::pin(closed(it, 1, 0)),
            1.0,
            0.05,
        ),
        (
            "closed loop, 8 callers",
            |it| Box::pin(closed(it, 8, 0)),
            1.0,
            0.05,
        ),
        (
            "closed loop, 8 callers who think",
            |it| Box::pin(closed(it, 8, 20)),
            0.6,
            1.0,
        ),
    ];
    println!("| arrivals | size, fixed | adaptive | wait, fixed | adaptive |");
    println!("|---|---|---|---|---|");
    for (name, arrivals, least_size, most_wait) in rows {
        let (fixed, adaptive) = (run(Wait::Fixed, arrivals), run(Wait::Adaptive, arrivals));
        tell(name, &fixed, &adaptive);
        for told in [&fixed, &adaptive] {
            assert!(
                told.longest() <= MAX_WAIT + TICK,
                "{name}: {:?}",
                told.longest()
            );
        }
        assert!(adaptive.size() >= fixed.size() * least_size, "{name}");
        assert!(adaptive.wait() <= fixed.wait() * most_wait + 0.01, "{name}");
    }
}

fn tell(name: &str, fixed: &Told, adaptive: &Told) {
    let (size, adaptive_size) = (fixed.size(), adaptive.size());
    let (wait, adaptive_wait) = (fixed.wait(), adaptive.wait());
    println!("| {name} | {size:.1} | {adaptive_size:.1} | {wait:.2} ms | {adaptive_wait:.2} ms |");
}

#[test]
fn what_changes_is_followed_and_what_is_steady_does_not_swing() {
    for gap in [MS, 3 * MS, 20 * MS] {
        let told = run(Wait::Adaptive, |it| open(it, steady(gap)));
        assert!(told.swing() < 0.6, "{gap:?}: {:?}", told.sizes);
    }
    let told = run(Wait::Adaptive, |it| open(it, changing()));
    tell(
        "every 1 ms, 40 ms, 1 ms",
        &run(Wait::Fixed, |it| open(it, changing())),
        &told,
    );
    // The sparse ones in the middle leave alone, after the first few.
    let alone = told.sizes.iter().filter(|&&size| size == 1).count();
    assert!((290..=310).contains(&alone), "{:?}", told.sizes);
    // The dense ones fill batches again, soon after; the last one is what is left.
    let end = told.sizes.len() - 1;
    let last = &told.sizes[end - 20..end];
    assert!(last.iter().all(|&size| size >= 9), "{last:?}");
}
