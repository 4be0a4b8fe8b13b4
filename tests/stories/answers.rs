//! Section 3 of the contract: the status and the headers that a result comes
//! with.

use crate::harness::{Caller, Request};
use crate::results::{Setup, a_and_b};

#[tokio::test]
async fn no_error_null_or_empty_is_a_result() {
    for error in [
        "",
        r#","error":null"#,
        r#","error":"""#,
        r#","\u0065rror":null"#,
    ] {
        // Without an error, a `status` means nothing to the proxy.
        let body = format!(r#"[{{"id":"a"{error},"status":500}},{{"id":"b"}}]"#);
        let [one, other] = a_and_b(&body).await;
        one.is_result(&body[1..body.len() - 12]);
        other.is_result(r#"{"id":"b"}"#);
    }
}

#[tokio::test]
async fn any_other_error_is_422_and_the_element() {
    for error in [
        "\"no\"",
        "\" \"",
        "{}",
        "[]",
        "0",
        "1",
        "false",
        "true",
        r#"{"code":7}"#,
    ] {
        let element = format!(r#"{{"id":"a", "error": {error}}}"#);
        let [one, other] = a_and_b(&format!(r#"[{{"id":"b"}},{element}]"#)).await;
        assert_eq!((one.status, one.text()), (422, &*element), "{one:?}");
        assert_eq!(one.header("content-type"), "application/json");
        other.is_result(r#"{"id":"b"}"#);
    }
}

#[tokio::test]
async fn a_name_spelled_with_escapes_is_the_same_name() {
    let element = r#"{"id":"a","\u0065rror":"no","st\u0061tus":409}"#;
    let [one, _] = a_and_b(&format!(r#"[{{"id":"b"}},{element}]"#)).await;
    assert_eq!((one.status, one.text()), (409, element));
}

#[tokio::test]
async fn job_error_status_is_configured() {
    let mut setup = Setup::of(1, &[("MICROBATCH_SHAPE__ERROR_STATUS", "400")]).await;
    let element = r#"{"id":"a","error":"no"}"#;
    let [answer] = setup.batch([r#""a""#], &format!("[{element}]")).await;
    assert_eq!((answer.status, answer.text()), (400, element));
}

#[tokio::test]
async fn an_errors_own_status_counts_from_400_to_599() {
    let mut setup = Setup::of(1, &[]).await;
    for (status, expected) in [
        ("400", 400),
        ("404", 404),
        ("429", 429),
        ("500", 500),
        ("503", 503),
        ("599", 599),
        ("399", 422),
        ("600", 422),
        ("200", 422),
        ("100", 422),
        ("0", 422),
        ("-404", 422),
        ("404.0", 422),
        ("4e2", 422),
        ("\"404\"", 422),
        ("null", 422),
        ("[404]", 422),
        ("18446744073709551616", 422),
        ("65940", 422),
    ] {
        let element = format!(r#"{{"id":"a","error":"no","status":{status}}}"#);
        let [answer] = setup.batch([r#""a""#], &format!("[{element}]")).await;
        assert_eq!(
            (answer.status, answer.text()),
            (expected, &*element),
            "status {status}"
        );
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn any_2xx_carries_results() {
    for status in [200, 201, 202, 203, 207, 299] {
        let mut setup = Setup::of(1, &[]).await;
        let caller = setup.proxy.enqueue(r#"{"id":"a"}"#).await;
        // Nor does the type matter.
        let call = setup.upstream.next().await;
        call.answer(status, &[("content-type", "text/plain")], r#"[{"id":"a"}]"#);
        caller.answer().await.is_result(r#"{"id":"a"}"#);
    }
}

#[tokio::test]
async fn without_results_any_2xx_is_204() {
    let mut setup = Setup::of(2, &[("MICROBATCH_SHAPE__RESULTS", "none")]).await;
    for (status, body) in [
        (200, "[]"),
        (200, r#"[{"id":"a","error":"no"}]"#),
        (200, "not json"),
        (201, ""),
        (202, "{}"),
        (204, ""),
    ] {
        let a = setup.proxy.enqueue(r#"{"id":"a"}"#).await;
        let b = setup.proxy.enqueue(r#"{"id":"b"}"#).await;
        setup.upstream.next().await.answer(status, &[], body);
        for caller in [a, b] {
            let answer = caller.answer().await;
            assert_eq!((answer.status, answer.text()), (204, ""), "{status} {body}");
            assert_eq!(answer.header("x-batch-size"), "2");
        }
    }
    let a = setup.proxy.enqueue(r#"{"id":"a"}"#).await;
    let b = setup.proxy.enqueue(r#"{"id":"b"}"#).await;
    setup.upstream.next().await.answer(500, &[], "");
    for caller in [a, b] {
        caller.answer().await.problem(502, "upstream-error", "yes");
    }
}

#[tokio::test]
async fn an_answer_names_its_batch_and_times() {
    let mut setup = Setup::of(2, &[]).await;
    let [one, other] = setup
        .batch([r#""a""#, r#""b""#], r#"[{"id":"b"},{"id":"a"}]"#)
        .await;
    let batch = setup.proxy.log.nth("batch left", 1).await;
    for answer in [one, other] {
        assert_eq!(answer.header("x-batch-id"), batch.text("batch_id"));
        assert_eq!(answer.header("x-batch-size"), "2");
        let timing = answer.header("server-timing");
        let parts: Vec<_> = timing.split(", ").collect();
        let [queue, upstream] = parts[..] else {
            panic!("two timings: {answer:?}")
        };
        for (part, name) in [(queue, "queue;dur="), (upstream, "upstream;dur=")] {
            let duration = part.strip_prefix(name).expect(name).parse::<f64>();
            assert!(
                duration.is_ok_and(|ms| (0.0..30_000.0).contains(&ms)),
                "{timing}"
            );
        }
    }
}

#[tokio::test]
async fn timing_can_be_off() {
    let mut setup = Setup::of(1, &[("MICROBATCH_SERVER__TIMING", "false")]).await;
    let [answer] = setup.batch(["1"], r#"[{"id":1}]"#).await;
    answer.is_result(r#"{"id":1}"#);
    assert!(!answer.headers.contains_key("server-timing"), "{answer:?}");
    assert_eq!(answer.header("x-batch-size"), "1");
}

#[tokio::test]
async fn nothing_of_the_upstreams_headers_reaches_a_caller() {
    let mut setup = Setup::of(1, &[]).await;
    let caller = Caller::spawn(setup.proxy.jobs_addr, Request::job(r#"{"id":1}"#));
    let headers = [
        ("set-cookie", "secret=1"),
        ("server", "secret/1"),
        ("x-secret", "secret"),
    ];
    setup
        .upstream
        .next()
        .await
        .answer(200, &headers, r#"[{"id":1}]"#);
    let answer = caller.answer().await;
    answer.is_result(r#"{"id":1}"#);
    assert!(
        !format!("{:?}", answer.headers).contains("secret"),
        "{answer:?}"
    );
}
