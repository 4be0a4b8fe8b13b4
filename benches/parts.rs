//! What the parts of a job's way cost, each alone: `cargo bench --bench parts`.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that fails may say so at once"
)]

use std::time::Duration;

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use microbatch::batcher::{Batch, Batcher, Settings};
use microbatch::engine::options;
use microbatch::job::Job;
use microbatch::json::{MAX_DEPTH, scan};
use microbatch::shape::{Call, Keys, Limits, Request, Shape};
use serde_json::value::RawValue;
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
    bencher.bench(|| Shape::jobs().write(black_box(&jobs).iter().map(Job::call), 1));
}

/// Matching an answer's results to the jobs.
#[divan::bench(args = SIZES)]
fn match_results(bencher: Bencher<'_, '_>, size: usize) {
    let jobs = jobs(size, 60);
    let answer = Shape::jobs().write(jobs.iter().map(Job::call), 1);
    let answer = answer.body.into_bytes();
    let bencher = bencher.counter(ItemsCount::new(size));
    bencher.bench(|| {
        let calls = jobs.iter().map(Job::call);
        Shape::jobs()
            .read_answer(calls, 1, black_box(&answer))
            .unwrap()
    });
}

/// Arrays that are told apart into their elements: as embeddings and as small results come.
fn arrays(which: &str) -> String {
    let element = |at: usize| match which {
        "floats" => {
            let floats: Vec<String> = (0..1_536).map(|it| format!("0.{it:08}")).collect();
            format!(r#"{{"index":{at},"embedding":[{}]}}"#, floats.join(","))
        }
        _ => format!(r#"{{"id":"{at}","body":"{}"}}"#, "x".repeat(60)),
    };
    let elements: Vec<String> = (0..64).map(element).collect();
    format!("[{}]", elements.join(","))
}

const ARRAYS: [&str; 2] = ["floats", "small"];

/// By structure alone.
#[divan::bench(args = ARRAYS)]
fn split_by_structure(bencher: Bencher<'_, '_>, which: &str) {
    let array = arrays(which);
    let bencher = bencher.counter(BytesCount::of_str(&array));
    bencher.bench(|| {
        let mut bytes = 0;
        scan::elements(black_box(array.as_bytes()), |it| bytes += it.raw.len()).unwrap();
        bytes
    });
}

/// By a parser, which checks them as well.
#[divan::bench(args = ARRAYS)]
fn split_by_parser(bencher: Bencher<'_, '_>, which: &str) {
    let array = arrays(which);
    let bencher = bencher.counter(BytesCount::of_str(&array));
    bencher.bench(|| {
        let elements: Vec<&RawValue> = serde_json::from_str(black_box(&array)).unwrap();
        elements.len()
    });
}

const PRESETS: [&str; 4] = ["jobs", "json-rpc", "kserve-v1", "openai-embeddings"];

/// A preset, 64 calls of it, and an answer to them, whose numbers begin at 1.
fn shaped(preset: &str) -> (Shape, Vec<Call>, Bytes) {
    let keys = Keys {
        like: Some(preset.to_owned()),
        ..Keys::default()
    };
    let shape = Shape::compile(&keys, &[]).unwrap();
    let text = "x".repeat(60);
    let body = |at: usize| match preset {
        "jobs" => format!(r#"{{"id":"{at}","body":"{text}"}}"#),
        "json-rpc" => format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":["{text}"]}}"#),
        "kserve-v1" => format!(r#"{{"instances":["{text}"]}}"#),
        _ => format!(r#"{{"model":"m","input":"{text}"}}"#),
    };
    let result = |at: usize| match preset {
        "jobs" => format!(r#"{{"id":"{at}","body":"{text}"}}"#),
        "json-rpc" => format!(r#"{{"jsonrpc":"2.0","id":{},"result":"{text}"}}"#, at + 1),
        "kserve-v1" => format!("[0.{at},1,2]"),
        _ => format!(r#"{{"object":"embedding","index":{at},"embedding":[0.{at},1,2]}}"#),
    };
    let read = |at| read(&shape, body(at).into());
    let calls = (0..64).map(read).collect();
    let results: Vec<String> = (0..64).map(result).collect();
    let results = results.join(",");
    let answer = match preset {
        "jobs" | "json-rpc" => format!("[{results}]"),
        "kserve-v1" => format!(r#"{{"predictions":[{results}]}}"#),
        _ => format!(
            r#"{{"data":[{results}],"model":"m","usage":{{"prompt_tokens":64,"total_tokens":64}}}}"#
        ),
    };
    (shape, calls, answer.into())
}

fn read(shape: &Shape, body: Bytes) -> Call {
    let limits = Limits {
        max_depth: MAX_DEPTH,
        max_items: 100,
        max_bytes: 1 << 20,
    };
    shape.read(body, Request::default(), limits).unwrap()
}

/// Reading one call by its shape.
#[divan::bench(args = PRESETS)]
fn shape_read(bencher: Bencher<'_, '_>, preset: &str) {
    let (shape, calls, _) = shaped(preset);
    bencher.bench(|| read(&shape, black_box(calls[0].body()).clone()));
}

/// Writing a batch of 64.
#[divan::bench(args = PRESETS)]
fn shape_write(bencher: Bencher<'_, '_>, preset: &str) {
    let (shape, calls, _) = shaped(preset);
    let bencher = bencher.counter(ItemsCount::new(calls.len()));
    bencher.bench(|| shape.write(black_box(&calls).iter(), 1));
}

/// Reading its answer, and writing 64 replies.
#[divan::bench(args = PRESETS)]
fn shape_answer(bencher: Bencher<'_, '_>, preset: &str) {
    let (shape, calls, answer) = shaped(preset);
    let bencher = bencher.counter(ItemsCount::new(calls.len()));
    bencher.bench(|| {
        let answer = shape.read_answer(black_box(&calls).iter(), 1, &answer);
        answer.unwrap()
    });
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
        Batcher::with_batches(settings, |mut batch: Batch<Job, usize>| async move {
            batch.answer_all(|member| member.item().raw().len());
        })
    });
    let jobs = jobs(2 * waiting + 1, 20);
    let (first, held_up) = jobs.split_at(1);
    runtime.block_on(async {
        let deadline = Instant::now() + 2 * far;
        let submit = |job: &Job| {
            batcher
                .submit_with(job.clone(), options(Shape::jobs(), job, deadline))
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
        Batcher::with_batches(settings, |mut batch: Batch<Job, usize>| async move {
            batch.answer_all(|member| member.item().raw().len());
        })
    });
    let bencher = bencher.counter(ItemsCount::new(size));
    bencher.with_inputs(|| jobs(size, 60)).bench_values(|jobs| {
        runtime.block_on(async {
            let deadline = Instant::now() + Duration::from_secs(7_200);
            let submit = |job: Job| {
                let options = options(Shape::jobs(), &job, deadline);
                batcher.submit_with(job, options).unwrap()
            };
            let replies: Vec<_> = jobs.into_iter().map(submit).collect();
            for reply in replies {
                black_box(reply.await.unwrap());
            }
        });
    });
}
