//! The table of errors against the problems that the program makes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::response::IntoResponse as _;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use microbatch::batcher;
use microbatch::code::Code;
use microbatch::engine::meaning::code_of_status;
use microbatch::engine::outcome::{Failure, Refusal};
use microbatch::http::problem::Problem;
use microbatch::job::Job;
use microbatch::json::MAX_DEPTH;
use microbatch::later::FetchError;
use microbatch::later::store::{Refused, StoreError};
use serde_json::Value;

use crate::page::{Page, code, pages};

/// One row's promise: status as written, `dispatched`, `retryable`, and whether there is a
/// `Retry-After`.
#[derive(Clone, Debug, PartialEq)]
struct Promise {
    status: String,
    dispatched: String,
    retryable: String,
    retry_after: bool,
}

const HEAD: &str =
    "| status | code | dispatched | retryable | Retry-After | what happened | what to do |";

/// By code, and where one has several rows by `dispatched`.
fn promises() -> BTreeMap<String, Vec<Promise>> {
    let mut promises: BTreeMap<_, Vec<Promise>> = BTreeMap::new();
    for row in Page::of("docs/errors.md").table(HEAD) {
        let [
            status,
            name,
            dispatched,
            retryable,
            retry_after,
            happened,
            to_do,
        ] = &row[..]
        else {
            panic!("{row:?}");
        };
        assert!(!happened.is_empty() && !to_do.is_empty(), "{name}");
        let promise = Promise {
            status: status.clone(),
            dispatched: dispatched.clone(),
            retryable: retryable.clone(),
            retry_after: retry_after == "yes",
        };
        let rows = promises.entry(code(name)[0].to_owned()).or_default();
        let twice = rows.iter().any(|it| it.dispatched == promise.dispatched);
        assert!(!twice, "{name} twice");
        rows.push(promise);
    }
    promises
}

fn not_handed_in(refused: Refused) -> Problem {
    Problem::not_handed_in(&refused.into(), false, 0)
}

/// Whether a row says of a problem with or without an `Idempotency-Key` that it is retryable.
fn is_retryable(promise: &Promise, keyed: bool) -> bool {
    match &promise.retryable[..] {
        "with an `Idempotency-Key`" => keyed,
        other => other == "true",
    }
}

/// One problem of every code.
fn problems() -> Vec<Problem> {
    let refused = |status, size| {
        Failure::from(Refusal {
            status,
            code: code_of_status(status, size),
            retry_after: None,
            body: None,
        })
    };
    let failures = [
        Failure::DeadlineExceeded { sent: true },
        Failure::Unreachable,
        Failure::ConnectTimeout,
        Failure::Disconnected,
        Failure::Timeout,
        Failure::Malformed(200),
        Failure::ResponseTooLarge(200),
        Failure::ResultCount(200),
        Failure::ResultMissing {
            status: 200,
            other_type: false,
        },
        Failure::ResultAmbiguous(200),
        Failure::ResultMalformed(200),
        refused(413, 1),
        refused(404, 1),
        refused(422, 2),
        refused(403, 1),
        refused(429, 1),
        refused(503, 2),
        refused(504, 1),
        refused(500, 1),
        refused(302, 1),
    ];
    let jobs =
        [&b"{"[..], b"[]"].map(|body| Job::parse(Bytes::from_static(body), MAX_DEPTH).unwrap_err());
    let mut problems: Vec<_> = failures.iter().map(Problem::from).collect();
    problems.extend(jobs.map(Problem::from));
    problems.extend([
        Problem::invalid_request("here"),
        Problem::misdirected(),
        Problem::unauthorized("here"),
        Problem::foreign_origin(),
        Problem::invalid_parameter("here"),
        Problem::from(FetchError::Unknown),
        not_handed_in(Refused::KeyReused),
        not_handed_in(Refused::Full { next_expiry: None }),
        not_handed_in(StoreError::NotCommitted.into()),
        Problem::overloaded(),
        Problem::not_found("there"),
        Problem::method_not_allowed("POST"),
        Problem::unsupported_media_type("that"),
        Problem::job_too_large(1),
        Problem::read_timeout(),
        Problem::internal(),
        Problem::interrupted(),
        Problem::attempts_exhausted(),
        Problem::from(batcher::Error::Full {
            room_in: Duration::from_secs(1),
        }),
        Problem::from(batcher::Error::Closed),
        Problem::circuit_open(1),
        Problem::from(batcher::Error::Expired {
            room_in: Duration::from_secs(1),
        }),
        Problem::from(batcher::Error::Abandoned),
    ]);
    problems
}

#[tokio::test]
async fn the_table_of_errors_is_the_program_s() {
    let promises = promises();
    let mut seen = BTreeSet::new();
    let unanswered = Refused::from(StoreError::Unanswered).into();
    let unanswered =
        [false, true].map(|keyed| (Problem::not_handed_in(&unanswered, keyed, 0), keyed));
    let problems = problems().into_iter().map(|it| (it, false));
    for (problem, keyed) in problems.chain(unanswered) {
        let response = problem.into_response();
        let retry_after = response.headers().contains_key("retry-after");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: Value = serde_json::from_slice(&body).unwrap();
        // What does not apply is absent, and shown as a dash.
        let text = |member: &str| match document.get(member) {
            Some(value) => value.to_string().replace('"', ""),
            None => "–".to_owned(),
        };
        let made = Promise {
            status: match &text("code")[..] {
                "upstream-rejected-job" => "4xx".to_owned(),
                _ => text("status"),
            },
            dispatched: text("dispatched"),
            retryable: text("retryable"),
            retry_after,
        };
        let rows = promises.get(&text("code")).into_iter().flatten();
        let promise = rows.clone().find(|it| it.dispatched == made.dispatched);
        let promise = promise.map(|it| Promise {
            retryable: is_retryable(it, keyed).to_string(),
            ..it.clone()
        });
        assert_eq!(promise.as_ref(), Some(&made), "{document}");
        seen.insert((text("code"), made.dispatched));
    }
    let rows = promises.iter();
    let rows = rows.flat_map(|(code, rows)| rows.iter().map(move |it| (code, &it.dispatched)));
    let rows: BTreeSet<_> = rows.map(|(code, it)| (code.clone(), it.clone())).collect();
    assert_eq!(seen, rows);
    let shown: BTreeSet<_> = promises.into_keys().collect();
    let all = Code::ALL.iter().map(|code| code.as_str().to_owned());
    let failures = all.filter(|code| !["ok", "job-error"].contains(&&code[..]));
    assert_eq!(failures.collect::<BTreeSet<_>>(), shown);
}

/// Where a page puts a status before a code (502 `upstream-error`), the table has the same.
#[test]
fn the_pages_give_codes_the_same_status() {
    let promises = promises();
    let mut given = 0;
    for page in pages() {
        for line in page.text.lines() {
            // The words before each code, and the code.
            let parts: Vec<_> = line.split('`').collect();
            for pair in parts.windows(2) {
                let status = pair[0].trim_end().rsplit(' ').next().unwrap_or_default();
                let Some(rows) = promises.get(pair[1]) else {
                    continue;
                };
                if status.len() == 3 && status.chars().all(|it| it.is_ascii_digit()) {
                    assert!(
                        rows.iter().all(|it| it.status == status),
                        "{}: {line}",
                        page.path
                    );
                    given += 1;
                }
            }
        }
    }
    assert!(given >= 20, "{given} codes");
}
