//! What the parts of a job's way cost, each alone: `cargo bench --bench parts`.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that fails may say so at once"
)]

use std::time::Duration;

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use microbatch::batcher::{Batch, Batcher, Settings};
use microbatch::engine::correlate::correlate;
use microbatch::engine::{encode, options};
use microbatch::job::Job;
use microbatch::json::MAX_DEPTH;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// Jobs in a batch.
const SIZES: [usize; 4] = [8, 64, 512, 4_096];

/// Bytes of a job's body.
const BYTES: [usize; 4] = [100, 1 << 10, 10 << 10, 100 << 10];

fn main() {
    divan::main();
}

fn body(id: usize, bytes: usize) -> Bytes {
    Bytes::from(format!(r#"{{"id":"{id}","body":"{}"}}"#, "x".repeat(bytes)))
}

fn jobs(count: usize, bytes: usize) -> Vec<Job> {
    let bodies = (0..count).map(|id| body(id, bytes));
    bodies
        .map(|body| Job::parse(body, MAX_DEPTH).unwrap())
        .collect()
}

/// Finding the id, which checks all of the JSON.
#[divan::bench(args = BYTES)]
fn find_id(bencher: Bencher<'_, '_>, bytes: usize) {
    let body = body(1, bytes);
    bencher.bench(|| Job::parse(black_box(&body).clone(), MAX_DEPTH));
}

/// Joining a batch of 64 by the size of its jobs: small ones are copied, large ones
/// are not.
#[divan::bench(args = BYTES)]
fn join(bencher: Bencher<'_, '_>, bytes: usize) {
    let jobs = jobs(64, bytes);
    let bencher = bencher.counter(ItemsCount::new(64_usize));
    bencher.bench(|| encode::array(black_box(&jobs).iter()));
}

/// Matching an answer's results to the jobs.
#[divan::bench(args = SIZES)]
fn match_results(bencher: Bencher<'_, '_>, size: usize) {
    let jobs = jobs(size, 60);
    let answer = Bytes::from(encode::array(jobs.iter()).concat());
    let bencher = bencher.counter(ItemsCount::new(size));
    bencher.bench(|| correlate(jobs.iter().map(Job::id), black_box(&answer)));
}

/// One job in and out again while that many wait and a full batch of them is held up
/// by `min_interval`: what it costs does not depend on how many they are.
#[divan::bench(args = [100, 5_000, 50_000])]
fn submit_while_held_up(bencher: Bencher<'_, '_>, waiting: usize) {
    let runtime: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let far = Duration::from_secs(3_600);
    let batcher = runtime.block_on(async {
        let settings = Settings {
            max_size: waiting,
            max_bytes: 50 * waiting,
            max_wait: far,
            min_interval: far,
            queue_items: 2 * waiting + 1,
            queue_bytes: usize::MAX,
            ..Settings::default()
        };
        Batcher::with_batches(settings, |mut batch: Batch<Job, u64>| async move {
            batch.answer_all(|member| member.item().key());
        })
    });
    let jobs = jobs(2 * waiting + 1, 20);
    let (first, held_up) = jobs.split_at(1);
    runtime.block_on(async {
        let deadline = Instant::now() + 2 * far;
        let submit = |job: &Job| {
            batcher
                .submit_with(job.clone(), options(job, deadline))
                .unwrap()
        };
        let one = submit(&first[0]);
        batcher.flush();
        one.await.unwrap();
        let _replies: Vec<_> = held_up.iter().map(submit).collect();
        bencher.bench_local(|| drop(black_box(submit(&first[0]))));
    });
}

/// The batcher alone: each job in, one batch out, each answer back.
#[divan::bench(args = SIZES)]
fn queue(bencher: Bencher<'_, '_>, size: usize) {
    let runtime: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let batcher = runtime.block_on(async {
        let settings = Settings {
            max_size: size,
            max_bytes: 64 << 20,
            max_wait: Duration::from_secs(3_600),
            ..Settings::default()
        };
        Batcher::with_batches(settings, |mut batch: Batch<Job, u64>| async move {
            batch.answer_all(|member| member.item().key());
        })
    });
    let bencher = bencher.counter(ItemsCount::new(size));
    bencher.with_inputs(|| jobs(size, 60)).bench_values(|jobs| {
        runtime.block_on(async {
            let deadline = Instant::now() + Duration::from_secs(7_200);
            let submit = |job: Job| {
                let options = options(&job, deadline);
                batcher.submit_with(job, options).unwrap()
            };
            let replies: Vec<_> = jobs.into_iter().map(submit).collect();
            for reply in replies {
                black_box(reply.await.unwrap());
            }
        });
    });
}
