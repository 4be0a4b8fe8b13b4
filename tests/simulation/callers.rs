//! Callers, and what every answer must be.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use microbatch::http::Caller;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::upstream::Oracle;

/// What a caller can get.
pub const ANSWERS: &[&str] = &[
    "ok",
    "job-error",
    "left",
    "circuit-open",
    "deadline-exceeded",
    "internal",
    "queue-full",
    "queue-timeout",
    "result-ambiguous",
    "result-malformed",
    "result-missing",
    "shutting-down",
    "upstream-auth",
    "upstream-connect-timeout",
    "upstream-disconnected",
    "upstream-error",
    "upstream-gateway-timeout",
    "upstream-malformed",
    "upstream-overloaded",
    "upstream-rejected-batch",
    "upstream-rejected-job",
    "upstream-response-too-large",
    "upstream-timeout",
    "upstream-too-large",
    "upstream-unreachable",
];

/// What a job for later can come to too, where the proxy is killed.
const GIVEN_UP: &[&str] = &["attempts-exhausted", "interrupted"];

/// What the callers saw, by outcome, and who left without an answer.
pub type Answers = BTreeMap<&'static str, u64>;

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// How all the callers of a schedule are.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    pub jobs: u64,
    /// Time between an answer and the next job, in milliseconds at most.
    pub thinks: u64,
    pub leaves: f64,
    pub hurries: f64,
    pub idempotent: bool,
}

/// One caller: job after job. Whenever the `exodus` changes, everybody leaves who
/// waits.
pub async fn call(
    caller: Caller,
    oracle: Oracle,
    manners: Manners,
    mut exodus: watch::Receiver<()>,
    seed: u64,
) -> Answers {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut seen = Answers::new();
    for _ in 0..manners.jobs {
        sleep(Duration::from_millis(rng.random_range(0..=manners.thinks))).await;
        let (id, secret) = draw_job(&mut rng);
        let mut request = Request::post("/jobs").header("host", "localhost");
        if rng.random_bool(manners.hurries) {
            request = request.header("prefer", "wait=1");
        }
        let request = request.body(Body::from(body(&id, &secret))).unwrap();
        let answer = caller.serve(request);
        let leaves = match rng.random_bool(manners.leaves) {
            true => Duration::from_millis(rng.random_range(0..60)),
            false => FOR_EVER,
        };
        exodus.mark_unchanged();
        let answer = tokio::select! {
            biased;
            answer = answer => Some(answer),
            () = sleep(leaves) => None,
            Ok(()) = exodus.changed() => None,
        };
        let outcome = match answer {
            Some(answer) => {
                let (head, body) = read(answer.map(Body::new)).await;
                let truth = (&id, secret.as_str(), &oracle);
                judge(
                    (head.status, &head.headers, &body),
                    truth,
                    manners.idempotent,
                )
            }
            None => "left",
        };
        *seen.entry(outcome).or_default() += 1;
    }
    seen
}

/// An id and a text that no other job has.
pub fn draw_job(rng: &mut StdRng) -> (Value, String) {
    // Few ids, so that the same one is often asked for at once; "1" and 1.
    let id: Value = match (rng.random_range(0..8_u64), rng.random()) {
        (id, true) => id.into(),
        (id, false) => id.to_string().into(),
    };
    let secret = format!("{:032x}", rng.random::<u128>());
    let padding = "-".repeat(rng.random_range(0..40));
    (id, format!("{secret}{padding}"))
}

/// The job as it is posted.
pub fn body(id: &Value, secret: &str) -> String {
    format!(r#"{{"id":{id},"body":"{secret}"}}"#)
}

/// A whole answer.
pub async fn read(answer: Response<Body>) -> (Parts, Bytes) {
    let (head, body) = answer.into_parts();
    (head, body.collect().await.unwrap().to_bytes())
}

/// The outcome, which must be about this job, true, and no other's.
pub fn judge(
    (status, headers, body): (StatusCode, &HeaderMap, &[u8]),
    (id, secret, oracle): (&Value, &str, &Oracle),
    idempotent: bool,
) -> &'static str {
    let text = std::str::from_utf8(body).unwrap();
    let fate = oracle.fate(secret);
    let json: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    if status == 200 {
        assert_eq!(text, format!(r#"{{"id":{id},"result":"{secret}"}}"#));
        assert!(fate.done >= 1);
        return "ok";
    }
    if json.get("error").is_some() {
        assert_eq!(text, format!(r#"{{"id":{id},"error":"{secret}"}}"#));
        assert_eq!(status, 422);
        return "job-error";
    }
    // Only a refusal of a batch of one is the upstream's own.
    if headers["content-type"] != "application/problem+json" {
        panic!("{status} {headers:?} {text}");
    }
    assert_eq!(json["id"], *id, "{text}");
    assert_eq!(json["status"], status.as_u16(), "{text}");
    assert!(!text.contains("simulated"), "{text}");
    match json["dispatched"].as_str().unwrap() {
        "no" => oracle.is_called_unseen(secret),
        "yes" => assert!(fate.seen, "{text}: {fate:?}"),
        "unknown" => {}
        other => panic!("{other}: {text}"),
    }
    // Sending it again must not do it twice, unless that does no harm.
    if json["retryable"] == true && !idempotent {
        assert_eq!(fate.done, 0, "{text}: {fate:?}");
    }
    let retry_after = headers.get("retry-after");
    assert_eq!(retry_after.is_some(), status == 503, "{text}");
    let code = json["code"].as_str().unwrap();
    let mut known = ANSWERS.iter().chain(GIVEN_UP);
    let known = known.find(|known| **known == code);
    known.unwrap_or_else(|| panic!("{text}"))
}
