//! Section 2 of the contract: the `traceparent` of a batch (W3C Trace Context).

use crate::harness::{Answer, Call, Caller, LONG_WAIT, Proxy, Request, ScriptedUpstream};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

async fn start(size: &str) -> (Proxy, ScriptedUpstream) {
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
        Self::read(call.header("traceparent"))
    }

    fn read(text: &str) -> Self {
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

/// A header of a call, where it has one.
fn header(call: &Call, name: &str) -> Option<String> {
    let present = call.headers.contains_key(name);
    present.then(|| call.header(name).to_owned())
}

/// What a batch of this one job is sent with: `traceparent` and `tracestate`.
async fn one_member(request: Request) -> (Option<String>, Option<String>, Answer) {
    let (proxy, mut upstream) = start("1").await;
    let caller = Caller::spawn(proxy.jobs_addr, request);
    let call = upstream.next().await;
    let (parent, state) = (header(&call, "traceparent"), header(&call, "tracestate"));
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
        let parent = Parent::read(&parent.expect("a traceparent"));
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
async fn untraced_callers_make_no_trace() {
    let (parent, state, answer) = one_member(job(1).header("tracestate", "a=b")).await;
    assert_eq!((parent, state, answer.status), (None, None, 200));

    let (proxy, mut upstream) = start("2").await;
    let callers = [
        proxy.enqueue_request(job(1)).await,
        proxy.enqueue_request(job(2)).await,
    ];
    let call = upstream.next().await;
    assert_eq!(header(&call, "traceparent"), None);
    // The log makes none up either.
    let left = proxy.log.nth("batch left", 1).await;
    let span = left.0["span"].as_object().expect("a span");
    assert!(!span.contains_key("traceparent") && !span.contains_key("links"));
    call.echo();
    for caller in callers {
        assert_eq!(caller.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_state_that_is_not_valid_or_too_long_stays_behind() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let state_of = |length: usize| format!("a={},b={}", "v".repeat(256), "v".repeat(length - 261));
    for (state, carried) in [
        (state_of(512), true),
        (state_of(513), false),
        ("a=b,a=c".to_owned(), false),
        ("A=b".to_owned(), false),
        ("a".to_owned(), false),
    ] {
        let request = job(1)
            .header("traceparent", &parent)
            .header("tracestate", &state);
        let (sent, sent_state, answer) = one_member(request).await;
        assert_eq!(Parent::read(&sent.expect("a traceparent")).trace, TRACE);
        assert_eq!(sent_state, carried.then_some(state));
        assert_eq!(answer.status, 200);
    }
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
        assert_eq!((parent, state), (None, None), "{bad}");
        assert_eq!(answer.status, 200, "{bad}");
    }
}

#[tokio::test]
async fn several_members_get_a_new_trace() {
    let (proxy, mut upstream) = start("2").await;
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
    let (proxy, mut upstream) = start("3").await;
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
