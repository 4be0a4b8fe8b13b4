//! The contract's table of errors: code, status, dispatched, retryable.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::Value;

use super::*;
use crate::batcher::Error;
use crate::engine::meaning::code_of_status;
use crate::engine::outcome::{self, Failure};
use crate::later::record::InvalidName;
use crate::later::store::{Refused, StoreError};
use crate::later::{FetchError, HandInError};
use crate::shape::JobError;

fn missing(other_type: bool) -> Failure {
    Failure::ResultMissing {
        status: 200,
        other_type,
    }
}

async fn document(problem: Problem) -> (Response<()>, Value) {
    let (head, body) = problem.into_response().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        Response::from_parts(head, ()),
        serde_json::from_slice(&body).unwrap(),
    )
}

fn refusal(status: u16, size: usize) -> Failure {
    Failure::from(outcome::Refusal {
        status,
        code: code_of_status(status, size),
        retry_after: None,
        body: None,
    })
}

#[tokio::test]
async fn the_table_of_errors() {
    let room_in = Duration::from_secs(7);
    let full = Error::Full { room_in };
    let key_full = Error::KeyFull { room_in };
    let expired = Error::Expired { room_in };
    let malformed = JobError::Malformed("here".to_owned());
    let full_store = Refused::Full {
        next_expiry: Some(16_001),
    };
    let of = |failure: Failure| Problem::from(&failure);
    let refused = |refused: Refused| Problem::not_handed_in(&refused.into(), false, 10_000);
    for (problem, status, code, dispatched, retryable) in [
        (Problem::from(malformed), 400, "malformed-json", "no", false),
        (
            Problem::invalid_request("no"),
            400,
            "invalid-request",
            "no",
            false,
        ),
        (Problem::misdirected(), 421, "misdirected", "no", false),
        (
            Problem::foreign_origin(),
            403,
            "foreign-origin",
            "no",
            false,
        ),
        (
            Problem::unsupported_encoding("gzip"),
            415,
            "unsupported-media-type",
            "no",
            false,
        ),
        (Problem::overloaded(), 503, "overloaded", "no", true),
        (Problem::not_found("no"), 404, "not-found", "no", false),
        (
            Problem::method_not_allowed("GET"),
            405,
            "method-not-allowed",
            "no",
            false,
        ),
        (
            Problem::from(JobError::NoId),
            422,
            "invalid-job",
            "no",
            false,
        ),
        (
            Problem::unsupported_media_type("no"),
            415,
            "unsupported-media-type",
            "no",
            false,
        ),
        (Problem::job_too_large(1), 413, "job-too-large", "no", false),
        (
            Problem::from(Error::TooLarge),
            413,
            "job-too-large",
            "no",
            false,
        ),
        (Problem::read_timeout(), 408, "read-timeout", "no", false),
        (Problem::from(full), 503, "queue-full", "no", true),
        (Problem::from(key_full), 503, "queue-full", "no", true),
        (Problem::from(expired), 503, "queue-timeout", "no", true),
        (Problem::circuit_open(5), 503, "circuit-open", "no", true),
        (of(Failure::CircuitOpen(5)), 503, "circuit-open", "no", true),
        (
            of(Failure::DeadlineExceeded { sent: true }),
            504,
            "deadline-exceeded",
            "unknown",
            false,
        ),
        (
            of(Failure::DeadlineExceeded { sent: false }),
            504,
            "deadline-exceeded",
            "no",
            true,
        ),
        (
            of(Failure::GivenUp { sent: true }),
            504,
            "deadline-exceeded",
            "unknown",
            false,
        ),
        (
            of(Failure::GivenUp { sent: false }),
            503,
            "shutting-down",
            "no",
            true,
        ),
        (
            of(Failure::Unreachable),
            502,
            "upstream-unreachable",
            "no",
            true,
        ),
        (
            of(Failure::ConnectTimeout),
            504,
            "upstream-connect-timeout",
            "no",
            true,
        ),
        (
            of(Failure::Disconnected),
            502,
            "upstream-disconnected",
            "unknown",
            false,
        ),
        (
            of(Failure::Timeout),
            504,
            "upstream-timeout",
            "unknown",
            false,
        ),
        (of(refusal(413, 1)), 413, "upstream-too-large", "yes", false),
        (
            of(refusal(413, 2)),
            502,
            "upstream-rejected-batch",
            "yes",
            false,
        ),
        (
            of(refusal(400, 1)),
            400,
            "upstream-rejected-job",
            "yes",
            false,
        ),
        (
            of(refusal(404, 1)),
            404,
            "upstream-rejected-job",
            "yes",
            false,
        ),
        (
            of(refusal(400, 2)),
            502,
            "upstream-rejected-batch",
            "yes",
            false,
        ),
        (of(refusal(401, 1)), 502, "upstream-auth", "yes", false),
        (of(refusal(403, 2)), 502, "upstream-auth", "yes", false),
        (of(refusal(407, 2)), 502, "upstream-auth", "yes", false),
        (of(refusal(429, 1)), 503, "upstream-overloaded", "yes", true),
        (of(refusal(503, 2)), 503, "upstream-overloaded", "yes", true),
        (
            of(refusal(504, 2)),
            504,
            "upstream-gateway-timeout",
            "unknown",
            false,
        ),
        (of(refusal(500, 2)), 502, "upstream-error", "yes", false),
        (of(refusal(302, 1)), 502, "upstream-error", "yes", false),
        (of(refusal(101, 1)), 502, "upstream-error", "yes", false),
        (
            of(Failure::Malformed(200)),
            502,
            "upstream-malformed",
            "yes",
            false,
        ),
        (
            of(Failure::ResponseTooLarge(200)),
            502,
            "upstream-response-too-large",
            "yes",
            false,
        ),
        (
            of(Failure::ResultCount(200)),
            502,
            "result-count",
            "yes",
            false,
        ),
        (of(missing(false)), 502, "result-missing", "yes", false),
        (of(missing(true)), 502, "result-missing", "yes", false),
        (
            of(Failure::ResultMalformed(200)),
            502,
            "result-malformed",
            "yes",
            false,
        ),
        (
            of(Failure::ResultAmbiguous(200)),
            502,
            "result-ambiguous",
            "yes",
            false,
        ),
        (
            Problem::from(InvalidName::Stream),
            400,
            "invalid-parameter",
            "no",
            false,
        ),
        (
            refused(Refused::KeyReused),
            422,
            "idempotency-key-reused",
            "no",
            false,
        ),
        (refused(full_store), 503, "store-full", "no", true),
        (
            refused(StoreError::NotCommitted.into()),
            503,
            "store-unavailable",
            "no",
            true,
        ),
        (
            refused(StoreError::Unanswered.into()),
            503,
            "store-unavailable",
            "unknown",
            false,
        ),
        (
            Problem::not_handed_in(&Refused::from(StoreError::Unanswered).into(), true, 0),
            503,
            "store-unavailable",
            "unknown",
            true,
        ),
        (
            Problem::from(FetchError::Store(StoreError::Unanswered)),
            503,
            "store-unavailable",
            "",
            true,
        ),
        (
            Problem::from(FetchError::Unknown),
            404,
            "job-unknown",
            "",
            false,
        ),
        (
            Problem::not_handed_in(&HandInError::Closed, true, 0),
            503,
            "shutting-down",
            "no",
            true,
        ),
        (
            Problem::from(Error::Closed),
            503,
            "shutting-down",
            "no",
            true,
        ),
        (
            Problem::from(Error::Abandoned),
            503,
            "shutting-down",
            "no",
            true,
        ),
        (
            Problem::from(Error::Dropped),
            500,
            "internal",
            "unknown",
            false,
        ),
    ] {
        let (head, document) = document(problem).await;
        assert_eq!(head.status(), status, "{code}");
        assert_eq!(head.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(document["status"], status, "{code}");
        assert_eq!(document["code"], code);
        assert_eq!(document["type"], format!("urn:microbatch:problem:{code}"));
        let told = document.get("dispatched");
        let told = told.map_or("", |told| told.as_str().unwrap());
        assert_eq!(told, dispatched, "{code}");
        assert_eq!(document["retryable"], retryable, "{code}");
        let texts = [&document["title"], &document["detail"]];
        assert!(
            texts
                .iter()
                .all(|it| it.as_str().is_some_and(|it| !it.is_empty()))
        );
        let members = document.as_object().unwrap();
        assert!(members.values().all(|it| !it.is_null()), "{code}");
        let expected = match code {
            "queue-full" | "queue-timeout" | "store-full" => Some("7"),
            "circuit-open" => Some("5"),
            "overloaded" | "shutting-down" | "store-unavailable" | "upstream-overloaded" => {
                Some("1")
            }
            _ => None,
        };
        let retry_after = head.headers().get(RETRY_AFTER);
        assert_eq!(
            retry_after.map(|it| it.to_str().unwrap()),
            expected,
            "{code}"
        );
    }
}

#[tokio::test]
async fn what_is_known_is_told() {
    let id = crate::job::Job::parse(
        bytes::Bytes::from_static(br#"{"id":"a\"b"}"#),
        crate::json::MAX_DEPTH,
    )
    .unwrap();
    let batch = Uuid::now_v7();
    let problem = Problem::from(&refusal(500, 2)).of(id.id()).in_batch(batch);
    let (_, document) = document(problem).await;
    assert_eq!(document["id"], "a\"b");
    assert_eq!(document["batch_id"], batch.to_string());
    assert_eq!(document["upstream_status"], 500);
    assert_eq!(document.get("pointer"), None);
}

#[tokio::test]
async fn some_answers_carry_more_headers() {
    let (head, document_) = document(Problem::from(JobError::TwoIds)).await;
    assert_eq!(document_["pointer"], "/id");
    assert!(head.headers().get(CONNECTION).is_none());
    let (head, _) = document(Problem::method_not_allowed("POST")).await;
    assert_eq!(head.headers()[ALLOW], "POST");
    let (head, _) = document(Problem::from(Error::Closed)).await;
    assert_eq!(head.headers()[CONNECTION], "close");
    let overloaded = Failure::from(outcome::Refusal {
        status: 429,
        code: Code::UpstreamOverloaded,
        retry_after: Some(30),
        body: None,
    });
    let (head, _) = document(Problem::from(&overloaded)).await;
    assert_eq!(head.headers()[RETRY_AFTER], "30");
}

#[tokio::test]
async fn a_full_store_tells_when_the_next_record_expires() {
    for (next_expiry, seconds) in [
        (None, "60"),
        (Some(0), "1"),
        (Some(10_000), "1"),
        (Some(10_001), "1"),
        (Some(11_001), "2"),
        (Some(70_000), "60"),
        (Some(u64::MAX), "60"),
    ] {
        let error = HandInError::from(Refused::Full { next_expiry });
        let (head, _) = document(Problem::not_handed_in(&error, false, 10_000)).await;
        assert_eq!(head.headers()[RETRY_AFTER], seconds, "{next_expiry:?}");
    }
}

#[tokio::test]
async fn what_an_earlier_attempt_may_have_done_is_told() {
    use Dispatched::{No, Unknown, Yes};
    let earlier = |failure: Failure, earlier| Problem::from(&failure).after(earlier);
    for (problem, status, dispatched, retryable) in [
        (earlier(Failure::Unreachable, No), 502, "no", true),
        (
            earlier(Failure::Unreachable, Unknown),
            502,
            "unknown",
            false,
        ),
        (earlier(Failure::ConnectTimeout, Yes), 504, "yes", false),
        (earlier(Failure::CircuitOpen(5), Yes), 503, "yes", false),
        // What this attempt came to is not made less sure by an earlier one.
        (earlier(refusal(500, 1), Unknown), 502, "yes", false),
        (earlier(Failure::Timeout, Yes), 504, "unknown", false),
        (earlier(refusal(429, 1), Unknown), 503, "yes", true),
    ] {
        let (_, told) = document(problem).await;
        let found = (&told["status"], &told["dispatched"], &told["retryable"]);
        assert_eq!(
            found,
            (&status.into(), &dispatched.into(), &retryable.into()),
            "{told}"
        );
        let nothing_sent = told["detail"]
            .as_str()
            .unwrap()
            .contains("nothing was sent");
        assert!(!nothing_sent || dispatched == "no", "{told}");
    }
}

#[tokio::test]
async fn where_twice_does_no_harm_every_502_503_and_504_is_retryable() {
    for (failure, retryable) in [
        (Failure::Disconnected, true),
        (Failure::Timeout, true),
        (Failure::DeadlineExceeded { sent: true }, true),
        (Failure::Malformed(200), true),
        (missing(false), true),
        (refusal(500, 1), true),
        (refusal(504, 1), true),
        (refusal(401, 1), true),
        (refusal(400, 2), true),
        (refusal(400, 1), false),
        (refusal(413, 1), false),
    ] {
        let (_, told) = document(Problem::from(&failure).idempotent()).await;
        assert_eq!(told["retryable"], retryable, "{told}");
    }
}
