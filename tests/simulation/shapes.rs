//! Batches of every shape: calls of one item or several, in frames that must not meet,
//! before an upstream that answers in the shape's form, or wrongly.
//!
//! From the batcher to the last answer, without HTTP. Each item tells whose it is, how many
//! its call has, and in which frame: so the upstream sees a call that is cut or mixed up,
//! and its caller a result that is another's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;
use microbatch::batcher::{Batcher, Reply, Settings};
use microbatch::engine::circuit::Circuit;
use microbatch::engine::outcome::{Failure, JobOutcome, JobResult};
use microbatch::engine::{Engine, Phase, Policy, options};
use microbatch::job::{Carried, Job};
use microbatch::json::MAX_DEPTH;
use microbatch::observe::{Bounds, Observer};
use microbatch::resilience::backoff::Backoff;
use microbatch::resilience::budget::Budget;
use microbatch::resilience::size::Size;
use microbatch::shape::{Keys, Limits, Request, Shape};
use microbatch::upstream::{Call, CallError, Outgoing, Response};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// What the upstream can do to a batch.
pub const DEEDS: &[&str] = &[
    "answers",
    "answers too few",
    "answers too many",
    "answers in wrong places",
    "answers for others",
    "answers with one error",
    "answers with an error status",
    "says no results",
    "says 400",
    "says 413",
    "says 500",
    "says 503",
    "hangs up",
    "is another batch's",
];

/// What a caller can get.
pub const ANSWERS: &[&str] = &[
    "as it came",
    "deadline-exceeded",
    "left",
    "ok",
    "queue-timeout",
    "result-count",
    "result-missing",
    "taken",
    "upstream-disconnected",
    "upstream-error",
    "upstream-malformed",
    "upstream-overloaded",
    "upstream-rejected-batch",
    "upstream-rejected-job",
    "upstream-too-large",
];

pub type Counts = BTreeMap<&'static str, u64>;

/// How calls, batches and answers look.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Jobs,
    Instances,
    Inputs,
    Rpc,
    Queries,
    Lines,
    JobsAsInstances,
}

const FORMS: [(Form, &str); 7] = [
    (Form::Jobs, ""),
    (Form::Instances, "like = 'kserve-v1'"),
    (
        Form::Inputs,
        "like = 'openai-embeddings'\nreply = '{\"data\":[$results]}'",
    ),
    (Form::Rpc, "like = 'json-rpc'"),
    (Form::Queries, "like = 'graphql'"),
    (Form::Lines, "like = 'ndjson'"),
    (
        Form::JobsAsInstances,
        "item = '$body'\nbatch = '{\"instances\":[$items]}'\nresults = '/predictions'\n\
         match = 'position'\nreply = '{\"id\":$id,\"result\":$result}'",
    ),
];

/// An item on the wire.
#[derive(Clone, Debug)]
struct Item {
    /// Its id there, if it has one.
    id: Value,
    secret: String,
}

impl Form {
    /// Whether calls may have several items.
    fn has_lists(self) -> bool {
        matches!(self, Self::Instances | Self::Inputs)
    }

    /// What of a frame is said in the body, and what beside it.
    fn places(self, frame: usize) -> (usize, usize) {
        match self.has_lists() {
            true => (frame % 2, frame / 2),
            false => (0, frame),
        }
    }

    /// A call with these items, as it is sent and what its reply is.
    fn call(self, id: &Value, frame: usize, secrets: &[String]) -> (String, String) {
        let one = &secrets[0];
        let (body, reply) = match self {
            Self::Jobs | Self::JobsAsInstances => (
                json!({"id": id, "body": one}),
                json!({"id": id, "result": one}),
            ),
            Self::Rpc => (
                json!({"id": id, "s": one}),
                json!({"id": id, "result": one}),
            ),
            Self::Queries => (json!({"query": one}), json!({"data": one})),
            Self::Lines => (json!({"s": one}), Value::Null),
            Self::Instances => {
                let body = json!({"instances": secrets, "frame": frame});
                (body, json!({"predictions": secrets}))
            }
            Self::Inputs => {
                let body = match secrets {
                    [one] => json!({"input": one, "frame": frame}),
                    several => json!({"input": several, "frame": frame}),
                };
                let results = secrets.iter().enumerate();
                let results = results.map(|(index, it)| json!({"index": index, "e": it}));
                (body, json!({"data": results.collect::<Vec<_>>()}))
            }
        };
        (body.to_string(), reply.to_string())
    }

    /// The items of a batch, and whether it is one.
    fn read(self, body: &str) -> (Vec<Item>, bool) {
        let item = |id: &Value, secret: &Value| Item {
            id: id.clone(),
            secret: secret.as_str().expect("a secret").to_owned(),
        };
        if self == Self::Lines {
            let lines = body
                .lines()
                .map(|it| serde_json::from_str(it).expect("a line"));
            return (
                lines
                    .map(|it: Value| item(&Value::Null, &it["s"]))
                    .collect(),
                true,
            );
        }
        let body: Value = serde_json::from_str(body).expect("JSON");
        let (list, name) = match self {
            Self::Jobs => (&body, "body"),
            Self::Rpc => (&body, "s"),
            Self::Queries => (&body, "query"),
            Self::Inputs => (&body["input"], ""),
            _ => (&body["instances"], ""),
        };
        let read = |it: &Value| match name {
            "" => item(&Value::Null, it),
            name => item(&it["id"], &it[name]),
        };
        match list.as_array() {
            Some(list) => (list.iter().map(read).collect(), true),
            None => (vec![read(list)], false),
        }
    }

    /// One result for each of these.
    fn results(self, items: &[Item]) -> Vec<Value> {
        let result = |(index, item): (usize, &Item)| match self {
            Self::Jobs | Self::Rpc => json!({"id": item.id, "result": item.secret}),
            Self::Queries => json!({"data": item.secret}),
            Self::Inputs => json!({"index": index, "e": item.secret}),
            _ => json!(item.secret),
        };
        items.iter().enumerate().map(result).collect()
    }

    /// An answer with these results.
    fn answer(self, results: Vec<Value>, is_batch: bool) -> String {
        let answer = match self {
            Self::Jobs | Self::Rpc | Self::Queries if is_batch => Value::Array(results),
            Self::Jobs | Self::Rpc | Self::Queries => {
                results.into_iter().next().unwrap_or_default()
            }
            Self::Inputs => json!({"data": results}),
            Self::Lines => Value::Null,
            _ => json!({"predictions": results}),
        };
        answer.to_string()
    }
}

/// What the upstream knows.
struct Known {
    rng: StdRng,
    /// How often each item was done.
    done: HashMap<String, u32>,
    deeds: Counts,
}

#[derive(Clone)]
struct Upstream {
    form: Form,
    bounds: Bounds,
    badness: f64,
    known: Arc<Mutex<Known>>,
}

/// Of which frame, whose, and which of how many.
fn parts(secret: &str) -> [usize; 4] {
    let parts = secret.split('-').map(|it| it.parse().expect("a number"));
    parts.collect::<Vec<_>>().try_into().expect("four parts")
}

impl Upstream {
    /// What a batch must be, whatever becomes of it.
    fn check(&self, batch: &Outgoing<'_>, items: &[Item]) {
        let length: usize = batch.body.iter().map(Bytes::len).sum();
        let [frame, ..] = parts(&items[0].secret);
        let query = batch.query.map_or(0, |it| it.parse().expect("a frame"));
        let captured = batch
            .captures
            .first()
            .map_or(0, |it| it.parse().expect("a frame"));
        let size: usize = batch.batch_size.to_str().unwrap().parse().unwrap();
        assert_eq!(size, items.len(), "X-Batch-Size");
        let mut rest = items;
        let mut calls = 0;
        while let [first, ..] = rest {
            let [_, whose, _, count] = parts(&first.secret);
            let (call, others) = rest.split_at(count);
            for (at, item) in call.iter().enumerate() {
                let expected = [frame, whose, at, count];
                assert_eq!(
                    parts(&item.secret),
                    expected,
                    "cut, or in another frame: {items:?}"
                );
            }
            (rest, calls) = (others, calls + 1);
        }
        let is_full = items.len() > self.bounds.max_size || length > self.bounds.max_bytes;
        assert!(!is_full, "{calls} calls: {items:?}");
        let (in_body, carried) = self.form.places(frame);
        assert_eq!((query, captured), (carried % 2, carried / 2), "{items:?}");
        if self.form.has_lists() {
            let body: Value = serde_json::from_slice(&batch.body.concat()).unwrap();
            assert_eq!(body["frame"], in_body);
        }
        let ids: HashSet<_> = items.iter().map(|it| it.id.to_string()).collect();
        if matches!(self.form, Form::Jobs | Form::Rpc) {
            assert_eq!(ids.len(), items.len(), "an id twice on the wire");
        }
    }

    fn choose(&self) -> &'static str {
        let mut known = self.known.lock().unwrap();
        let deed = match known.rng.random_bool(self.badness) {
            true => DEEDS[known.rng.random_range(1..DEEDS.len())],
            false => DEEDS[0],
        };
        *known.deeds.entry(deed).or_default() += 1;
        deed
    }

    fn say(&self, deed: &str, items: &[Item], is_batch: bool) -> (u16, String) {
        if let Some(status) = deed.strip_prefix("says ").and_then(|it| it.parse().ok()) {
            return (status, "no".to_owned());
        }
        let mut known = self.known.lock().unwrap();
        // What a batch may be bisected after has no effect.
        let is_refused = match deed {
            "answers with one error" => true,
            "answers with an error status" => self.form != Form::Queries,
            _ => false,
        };
        for item in items.iter().filter(|_| !is_refused) {
            *known.done.entry(item.secret.clone()).or_default() += 1;
        }
        let mut results = self.form.results(items);
        let status = match deed {
            "answers with an error status" => [400, 500][known.rng.random_range(0..2)],
            _ => 200,
        };
        match deed {
            "answers too few" => drop(results.pop()),
            "answers too many" => results.push(json!({"id": 0, "index": 0})),
            "answers in wrong places" if self.form == Form::Inputs => {
                let wrong = [json!(items.len()), json!(-1), json!("0"), Value::Null];
                let which = known.rng.random_range(0..wrong.len());
                results[0]["index"] = wrong[which].clone();
            }
            "answers for others" if matches!(self.form, Form::Jobs | Form::Rpc) => {
                results
                    .iter_mut()
                    .for_each(|it| it["id"] = json!("another"));
            }
            "answers with one error" => {
                return (200, json!({"id": null, "error": "refused"}).to_string());
            }
            "says no results" => return (200, "<html>".to_owned()),
            _ => {}
        }
        if matches!(self.form, Form::Jobs | Form::Rpc | Form::Inputs) && is_batch {
            let is_whole = matches!(deed, "answers" | "answers with an error status");
            // One that goes as it came is its caller's as it is.
            if is_whole && (self.form != Form::Inputs || parts(&items[0].secret)[3] < items.len()) {
                results.shuffle(&mut known.rng);
            }
        }
        (status, self.form.answer(results, is_batch))
    }
}

impl Call for Upstream {
    async fn post(&self, batch: Outgoing<'_>) -> Result<Response, CallError> {
        let body = String::from_utf8(batch.body.concat()).unwrap();
        let (items, is_batch) = self.form.read(&body);
        self.check(&batch, &items);
        assert!(batch.dispatch.set());
        let deed = self.choose();
        let (status, answer) = self.say(deed, &items, is_batch);
        let takes = self.known.lock().unwrap().rng.random_range(0..60);
        sleep(Duration::from_millis(takes)).await;
        if deed == "hangs up" {
            return Err(CallError::Disconnected("simulated".to_owned()));
        }
        let mut response = http::Response::builder().status(status);
        if deed == "is another batch's" {
            let other = "018f0000-0000-7000-8000-000000000000";
            response = response.header("x-batch-id", HeaderValue::from_static(other));
        }
        let response = response.body(Full::from(answer)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(1);
        Response::new(response, batch.batch_id, 1 << 16, deadline, Box::new(()))
    }
}

/// What came of one schedule.
pub fn run(seed: u64) -> (Counts, Counts) {
    fastrand::seed(seed);
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let hang = Duration::from_secs(3600);
    runtime.block_on(async { timeout(hang, schedule(seed)).await.expect("it hangs") })
}

async fn schedule(seed: u64) -> (Counts, Counts) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (form, keys) = FORMS[rng.random_range(0..FORMS.len())];
    let keys: Keys = toml::from_str(keys).unwrap();
    let shape = Arc::new(Shape::compile(&keys, &["captured"]).unwrap());
    let bounds = Bounds {
        max_size: rng.random_range(1..12),
        max_bytes: rng.random_range(200..600),
    };
    let upstream = Upstream {
        form,
        bounds,
        badness: [0.0, 0.3, 0.7][rng.random_range(0..3)],
        known: Arc::new(Mutex::new(Known {
            rng: StdRng::seed_from_u64(rng.random()),
            done: HashMap::new(),
            deeds: Counts::new(),
        })),
    };
    let (batcher, phase) = start(&mut rng, &shape, upstream.clone());
    let mut callers = JoinSet::new();
    let frames = [1, 2, 8][rng.random_range(0..3)];
    for whose in 0..rng.random_range(1..60) {
        let count = match form.has_lists() {
            true => rng.random_range(1..=bounds.max_size.min(4)),
            false => 1,
        };
        let frame = rng.random_range(0..frames);
        let secrets = (0..count).map(|at| format!("{frame}-{whose}-{at}-{count}"));
        let secrets: Vec<String> = secrets.collect();
        let id = json!(rng.random_range(1..5));
        let (in_body, carried) = form.places(frame);
        let (body, reply) = form.call(&id, in_body, &secrets);
        let comes = Duration::from_millis(rng.random_range(0..120));
        let stays = Duration::from_millis([40, 400, 4000][rng.random_range(0..3)]);
        let leaves = rng
            .random_bool(0.1)
            .then(|| Duration::from_millis(rng.random_range(0..80)));
        let (shape, batcher) = (Arc::clone(&shape), batcher.clone());
        callers.spawn(async move {
            sleep(comes).await;
            let job = job(&shape, &body, carried);
            let options = options(&shape, &job, Instant::now() + stays);
            let result = batcher.submit_with(job, options).expect("room");
            judge(form, result, leaves, &reply).await
        });
    }
    let mut answers = Counts::new();
    for answer in callers.join_all().await {
        *answers.entry(answer).or_default() += 1;
    }
    batcher.close();
    batcher.vacated().await;
    drop(phase);
    let known = upstream.known.lock().unwrap();
    for (secret, times) in &known.done {
        assert_eq!(*times, 1, "{secret} done again");
    }
    (known.deeds.clone(), answers)
}

/// What the caller of this gets, in words.
async fn judge(
    form: Form,
    result: Reply<Job, JobResult>,
    leaves: Option<Duration>,
    reply: &str,
) -> &'static str {
    let patience = leaves.unwrap_or(Duration::from_secs(60));
    let Ok(result) = timeout(patience, result).await else {
        assert!(leaves.is_some(), "never answered");
        return "left";
    };
    let Ok(result) = result else {
        return "queue-timeout";
    };
    let code = match result.outcome {
        JobOutcome::Reply { reply: found, .. } => {
            assert_eq!(found.body.into_bytes(), reply, "{form:?}");
            return "ok";
        }
        JobOutcome::AsItCame { passthrough, .. } => {
            // What the upstream says to one call, it says to its caller.
            let text = String::from_utf8(passthrough.bytes.to_vec()).unwrap();
            let own: Value = serde_json::from_str(reply).unwrap();
            let own = own.to_string();
            let secret = own
                .split('"')
                .find(|it| it.matches('-').count() == 3)
                .expect("a secret");
            let [_, whose, ..] = parts(secret);
            let all = text.split('"').filter(|it| it.matches('-').count() == 3);
            all.for_each(|it| assert_eq!(parts(it)[1], whose, "{text}"));
            return "as it came";
        }
        JobOutcome::Taken => {
            assert_eq!(form, Form::Lines);
            return "taken";
        }
        JobOutcome::Failed(Failure::DeadlineExceeded { .. }) => return "deadline-exceeded",
        JobOutcome::Failed(failure) => failure.code().as_str(),
    };
    let known = ANSWERS.iter().find(|known| **known == code);
    known.unwrap_or_else(|| panic!("{code}"))
}

fn job(shape: &Shape, body: &str, carried: usize) -> Job {
    let limits = Limits {
        max_depth: MAX_DEPTH,
        max_items: 100,
        max_bytes: 1 << 20,
    };
    let body = Bytes::copy_from_slice(body.as_bytes());
    let call = shape
        .read(body, Request::default(), limits)
        .expect("a call");
    let text = |number: usize| number.to_string().into_boxed_str();
    let captures: Box<[Box<str>]> = match carried / 2 {
        0 => Box::default(),
        frame => [text(frame)].into(),
    };
    let carried = Carried {
        captures,
        query: (carried % 2 > 0).then(|| text(carried % 2)),
        headers: Box::default(),
    };
    Job::new(call).with_carried(Some(Arc::new(carried)))
}

fn start(
    rng: &mut StdRng,
    shape: &Arc<Shape>,
    upstream: Upstream,
) -> (Batcher<Job, JobResult>, watch::Sender<Phase>) {
    let bounds = upstream.bounds;
    let settings = Settings {
        max_size: bounds.max_size,
        max_bytes: bounds.max_bytes,
        batch_overhead: shape.batch_overhead(),
        max_wait: Duration::from_millis(rng.random_range(0..12)),
        max_in_flight: rng.random_range(1..5),
        ..Settings::default()
    };
    let policy = Policy {
        idempotent: false,
        split_on: [vec![], vec![400]][rng.random_range(0..2)].clone(),
        max_attempts: 3,
        backoff: Backoff {
            base: Duration::from_millis(5),
            cap: Duration::from_millis(50),
        },
        longest_wait: Duration::from_secs(1),
        largest: Size {
            jobs: bounds.max_size,
            bytes: bounds.max_bytes,
        },
        excerpts: true,
    };
    let (phase, current) = watch::channel(Phase::Running);
    let engine = Arc::new(Engine::new(
        upstream,
        Arc::clone(shape),
        policy,
        Budget::new(0.5, 5, Instant::now()),
        Arc::new(Circuit::new(0, Duration::ZERO)),
        current,
        Arc::new(Observer::new(bounds)),
    ));
    let process = move |batch| Arc::clone(&engine).process(batch);
    (Batcher::with_batches(settings, process), phase)
}
