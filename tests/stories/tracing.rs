//! Section 2 of the contract: the `traceparent` of a batch (W3C Trace Context).

use crate::harness::{Answer, Call, Caller, LONG_WAIT, Proxy, Request, ScriptedUpstream};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

async fn house(size: &str) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let flags = [&LONG_WAIT[..], &["--max-size", size]].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    (proxy, upstream)
}

fn job(id: u32) -> Request {
    Request::job(format!(r#"{{"id":{id}}}"#))
}

/// A version 00 `traceparent`, taken apart and checked.
struct Parent {
    trace: String,
    span: String,
    flags: String,
}

impl Parent {
    fn of(call: &Call) -> Self {
        let text = call.header("traceparent");
        let parts: Vec<_> = text.split('-').collect();
        let [version, trace, span, flags] = parts[..] else {
            panic!("four parts: {text:?}")
        };
        assert_eq!(version, "00", "{text}");
        for (part, length) in [(trace, 32), (span, 16), (flags, 2)] {
            let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            assert!(part.len() == length && part.bytes().all(hex), "{text}");
        }
        assert!(
            trace.bytes().any(|b| b != b'0') && span.bytes().any(|b| b != b'0'),
            "{text}"
        );
        Self {
            trace: trace.to_owned(),
            span: span.to_owned(),
            flags: flags.to_owned(),
        }
    }
}

async fn one_member(request: Request) -> (Parent, Option<String>, Answer) {
    let (proxy, mut upstream) = house("1").await;
    let caller = Caller::spawn(proxy.jobs_addr, request);
    let call = upstream.next().await;
    let parent = Parent::of(&call);
    let state = call.headers.contains_key("tracestate");
    let state = state.then(|| call.header("tracestate").to_owned());
    call.echo();
    (parent, state, caller.answer().await)
}

#[tokio::test]
async fn one_member_keeps_its_trace_with_a_new_span() {
    for flags in ["00", "01"] {
        let request = job(1)
            .header("traceparent", &format!("00-{TRACE}-{SPAN}-{flags}"))
            .header("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
        let (parent, state, answer) = one_member(request).await;
        assert_eq!((&*parent.trace, &*parent.flags), (TRACE, flags));
        assert_ne!(parent.span, SPAN);
        assert_eq!(
            state.as_deref(),
            Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
        );
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn one_member_without_a_trace_gets_a_new_one() {
    let (one, state, _) = one_member(job(1)).await;
    assert_eq!(state, None);
    let (other, _, _) = one_member(job(1)).await;
    assert_ne!(one.trace, other.trace);
    assert_ne!(one.span, other.span);
}

#[tokio::test]
async fn a_trace_that_is_not_valid_is_not_continued() {
    for bad in [
        format!("00-{}-{SPAN}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{SPAN}"),
        format!("00-{TRACE}-{SPAN}-01-extra"),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}0-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-zz"),
        "garbage".to_owned(),
        String::new(),
    ] {
        let request = job(1)
            .header("traceparent", &bad)
            .header("tracestate", "a=b");
        let (parent, state, answer) = one_member(request).await;
        assert_ne!(parent.trace, TRACE, "{bad}");
        assert_eq!(state, None, "{bad}");
        assert_eq!(answer.status, 200, "{bad}");
    }
}

#[tokio::test]
async fn several_members_get_a_new_trace() {
    let (proxy, mut upstream) = house("2").await;
    let mut callers = Vec::new();
    for id in [1, 2] {
        let request = job(id)
            .header("traceparent", &format!("00-{TRACE}-{SPAN}-01"))
            .header("tracestate", "a=b");
        callers.push(proxy.enqueue_request(request).await);
    }
    let call = upstream.next().await;
    assert_ne!(Parent::of(&call).trace, TRACE);
    assert!(!call.headers.contains_key("tracestate"));
    call.echo();
    for caller in callers {
        assert_eq!(caller.answer().await.status, 200);
    }
}

#[tokio::test]
async fn the_log_links_a_batch_to_its_callers_traces() {
    let (proxy, mut upstream) = house("3").await;
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let traced = proxy
        .enqueue_request(job(1).header("traceparent", &parent))
        .await;
    let others = [
        proxy.enqueue_request(job(2)).await,
        proxy.enqueue_request(job(3)).await,
    ];
    let call = upstream.next().await;
    let batch = Parent::of(&call);
    let left = proxy.log.nth("batch left", 1).await;
    let span = &left.0["span"];
    assert_eq!(span["name"], "batch", "{left:?}");
    assert_eq!(span["batch_id"], call.header("x-batch-id"), "{left:?}");
    assert_eq!(span["links"], parent, "{left:?}");
    // Its own place is in the trace that the upstream is told of.
    assert_ne!(batch.trace, TRACE);
    assert_eq!(span["traceparent"], call.header("traceparent"), "{left:?}");
    call.echo();
    for caller in [traced].into_iter().chain(others) {
        assert_eq!(caller.answer().await.status, 200);
    }
}
