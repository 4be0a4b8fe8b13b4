//! Section 12 of the contract, "Telemetry out": what spans there are, and how they hang
//! together.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::collector::{Answers, Collector, Seen};
use crate::harness::{Caller, LONG_WAIT, Proxy, Request, ScriptedUpstream};
use crate::retries::IDEMPOTENT;

const TRACES: [&str; 2] = [
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "0af7651916cd43dd8448eb211c80319c",
];
const SPANS: [&str; 2] = ["00f067aa0ba902b7", "b7ad6b7169203331"];

struct Scene {
    proxy: Proxy,
    upstream: ScriptedUpstream,
    collector: Collector,
}

impl Scene {
    /// Batches of so many jobs; spans go out at once.
    async fn set(size: &str, env: &[(&str, &str)]) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let collector = Collector::start(Answers::Taken).await;
        let flags = [&LONG_WAIT[..], &["--max-size", size]].concat();
        let url = collector.url();
        let own = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
        ];
        let env = [&own[..], env].concat();
        let proxy = Proxy::start(&upstream.url(), &flags, &env).await;
        Self {
            proxy,
            upstream,
            collector,
        }
    }
}

fn job(id: u32) -> Request {
    Request::job(format!(r#"{{"id":{id}}}"#))
}

fn traced(id: u32, caller: usize, flags: &str) -> Request {
    let parent = format!("00-{}-{}-{flags}", TRACES[caller], SPANS[caller]);
    job(id).header("traceparent", &parent)
}

fn expect(span: &Seen, attributes: &[(&str, &str)]) {
    for (name, value) in attributes {
        assert_eq!(span.get(name), *value, "{name} of {span:#?}");
    }
}

#[tokio::test]
async fn a_batch_is_linked_to_its_sampled_jobs_and_they_to_it() {
    let Scene {
        proxy,
        mut upstream,
        mut collector,
    } = Scene::set("4", &[]).await;
    let callers = [
        proxy.enqueue_request(traced(1, 0, "01")).await,
        proxy.enqueue_request(traced(2, 0, "00")).await,
        proxy.enqueue_request(traced(3, 1, "01")).await,
        proxy.enqueue_request(job(4)).await,
    ];
    let call = upstream.next().await;
    let parent = call.header("traceparent").to_owned();
    let batch_id = call.header("x-batch-id").to_owned();
    call.echo();
    for caller in callers {
        assert_eq!(caller.answer().await.status, 200);
    }
    let spans = collector.spans(3).await;
    let [one, other, call] = &spans[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(call.traceparent(), parent);
    assert_eq!((&*call.name, call.kind), ("POST /batch", SpanKind::Client));
    assert_eq!(call.parent, "");
    assert!(!TRACES.contains(&&*call.trace));
    let port = upstream.addr().port().to_string();
    expect(
        call,
        &[
            ("http.request.method", "POST"),
            ("http.response.status_code", "200"),
            ("server.address", "127.0.0.1"),
            ("server.port", &port),
            ("url.full", &upstream.url()),
            ("url.template", "/batch"),
            ("messaging.batch.message_count", "4"),
            ("microbatch.batch.items", "4"),
            ("microbatch.batch.id", &batch_id),
            ("microbatch.route", "jobs"),
            ("microbatch.flush_reason", "size"),
            ("microbatch.attempt", "1"),
            ("microbatch.outcome", "ok"),
            ("error.type", ""),
            ("http.request.resend_count", ""),
        ],
    );
    for (span, caller) in [(one, 0), (other, 1)] {
        assert_eq!((&*span.name, span.kind), ("POST /jobs", SpanKind::Server));
        assert_eq!(
            (&*span.trace, &*span.parent),
            (TRACES[caller], SPANS[caller])
        );
        assert_eq!(span.links, [(call.id.clone(), call.trace.clone())]);
        assert_eq!(span.events, ["batch left"]);
        let (job, batch) = (&span.nanoseconds, &call.nanoseconds);
        assert!(
            job.start < batch.start && batch.start <= batch.end,
            "{span:#?}"
        );
        expect(
            span,
            &[
                ("http.request.method", "POST"),
                ("http.route", "/jobs"),
                ("http.response.status_code", "200"),
                ("microbatch.route", "jobs"),
                ("microbatch.outcome", "ok"),
                ("microbatch.batch.id", &batch_id),
                ("error.type", ""),
            ],
        );
        assert!(
            span.get("microbatch.queue.duration")
                .parse::<f64>()
                .unwrap()
                > 0.0
        );
    }
    let links = [one, other].map(|it| (it.id.clone(), it.trace.clone()));
    assert_eq!(call.links, links);
    assert!(!spans.iter().any(|it| it.is_error));
}

#[tokio::test]
async fn a_batch_of_one_is_below_its_job_in_its_callers_trace() {
    let Scene {
        proxy,
        mut upstream,
        mut collector,
    } = Scene::set("1", &[]).await;
    let request = traced(1, 0, "01").header("tracestate", "a=1");
    let caller = Caller::spawn(proxy.jobs_addr, request);
    let call = upstream.next().await;
    let parent = call.header("traceparent").to_owned();
    call.echo();
    assert_eq!(caller.answer().await.status, 200);
    let spans = collector.spans(2).await;
    let [job, call] = &spans[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(call.traceparent(), parent);
    assert_eq!((&*job.parent, &*call.parent), (SPANS[0], &*job.id));
    for span in [job, call] {
        assert_eq!((&*span.trace, &*span.state), (TRACES[0], "a=1"));
    }
}

#[tokio::test]
async fn the_process_is_described_as_the_environment_says() {
    for protocol in ["http/protobuf", "grpc"] {
        let env = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Bearer%20t,x-a=1",
            ),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
        ];
        let Scene {
            proxy,
            mut upstream,
            mut collector,
        } = Scene::set("1", &env).await;
        let caller = Caller::spawn(proxy.jobs_addr, traced(1, 0, "01"));
        upstream.next().await.echo();
        assert_eq!(caller.answer().await.status, 200);
        let export = collector.next().await;
        assert_eq!(export.header("authorization"), "Bearer t", "{protocol}");
        assert_eq!(export.header("x-a"), "1");
        let (path, kind) = match protocol {
            "grpc" => (
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                "application/grpc",
            ),
            _ => ("/v1/traces", "application/x-protobuf"),
        };
        assert_eq!((&*export.path, export.header("content-type")), (path, kind));
        let resource = &export.spans()[0].resource;
        for (name, value) in [
            ("service.name", "microbatch"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("deployment.environment", "test"),
            ("telemetry.sdk.name", "opentelemetry"),
            ("telemetry.sdk.language", "rust"),
        ] {
            assert_eq!(resource[name], value, "{resource:?}");
        }
        for name in ["service.instance.id", "host.name", "telemetry.sdk.version"] {
            assert!(!resource[name].is_empty(), "{resource:?}");
        }
    }
}

#[tokio::test]
async fn each_attempt_is_a_span_of_its_own() {
    let env = [IDEMPOTENT, ("MICROBATCH_RETRY__MAX_ATTEMPTS", "2")];
    let Scene {
        proxy,
        mut upstream,
        mut collector,
    } = Scene::set("1", &env).await;
    let caller = Caller::spawn(proxy.jobs_addr, traced(1, 0, "01"));
    let mut parents = Vec::new();
    let call = upstream.next().await;
    parents.push(call.header("traceparent").to_owned());
    call.answer(503, &[], "");
    let call = upstream.next().await;
    parents.push(call.header("traceparent").to_owned());
    call.echo();
    assert_eq!(caller.answer().await.status, 200);
    let spans = collector.spans(3).await;
    let [job, first, second] = &spans[..] else {
        panic!("{spans:#?}");
    };
    let told = [first, second].map(Seen::traceparent);
    assert_eq!(told[..], parents);
    assert_eq!((&first.parent, &second.parent), (&job.id, &job.id));
    assert_eq!(job.links, [(second.id.clone(), second.trace.clone())]);
    assert!(first.is_error && !second.is_error && !job.is_error);
    expect(
        first,
        &[
            ("http.response.status_code", "503"),
            ("error.type", "upstream-overloaded"),
            ("microbatch.outcome", "upstream-overloaded"),
            ("microbatch.attempt", "1"),
        ],
    );
    let again = [
        ("microbatch.attempt", "2"),
        ("http.request.resend_count", "1"),
    ];
    expect(second, &again);
}

#[tokio::test]
async fn each_half_is_a_span_of_its_own() {
    let Scene {
        proxy,
        mut upstream,
        mut collector,
    } = Scene::set("2", &[]).await;
    let callers = [
        proxy.enqueue_request(traced(1, 0, "01")).await,
        proxy.enqueue_request(traced(2, 1, "01")).await,
    ];
    upstream.next().await.answer(413, &[], "");
    for _ in 0..2 {
        upstream.next().await.echo();
    }
    for caller in callers {
        assert_eq!(caller.answer().await.status, 200);
    }
    let spans = collector.spans(5).await;
    let [jobs @ .., whole, one, other] = &spans[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!((jobs.len(), whole.links.len()), (2, 2));
    expect(whole, &[("http.response.status_code", "413")]);
    for half in [one, other] {
        let job = jobs.iter().find(|it| it.id == half.parent);
        let job = job.unwrap_or_else(|| panic!("no job of {half:#?}"));
        assert_eq!(half.trace, job.trace);
        assert_eq!(
            half.get("microbatch.batch.half_of"),
            whole.get("microbatch.batch.id")
        );
        assert_eq!(half.get("messaging.batch.message_count"), "1");
    }
}

#[tokio::test]
async fn a_job_that_is_refused_or_left_has_a_span_without_a_batch() {
    let Scene {
        proxy,
        upstream: _upstream,
        mut collector,
    } = Scene::set("2", &[]).await;
    let request =
        Request::job("{}").header("traceparent", &format!("00-{}-{}-01", TRACES[0], SPANS[0]));
    assert_eq!(proxy.send(request).await.status, 422);
    let spans = collector.spans(1).await;
    let refused = [
        ("http.response.status_code", "422"),
        ("microbatch.outcome", "invalid-job"),
        ("error.type", ""),
        ("microbatch.batch.id", ""),
    ];
    expect(&spans[0], &refused);
    assert!(!spans[0].is_error && spans[0].links.is_empty());

    drop(proxy.enqueue_request(traced(1, 0, "01")).await);
    let spans = collector.spans(1).await;
    let left = [
        ("http.response.status_code", ""),
        ("microbatch.outcome", "caller-left"),
    ];
    expect(&spans[0], &left);
}

#[tokio::test]
async fn a_failure_of_ours_or_of_the_upstream_is_an_error() {
    let Scene {
        proxy,
        mut upstream,
        mut collector,
    } = Scene::set("1", &[("MICROBATCH_RETRY__MAX_ATTEMPTS", "1")]).await;
    let caller = Caller::spawn(proxy.jobs_addr, traced(1, 0, "01"));
    upstream.next().await.answer(500, &[], "");
    assert_eq!(caller.answer().await.status, 502);
    for span in collector.spans(2).await {
        assert!(span.is_error, "{span:#?}");
        assert_eq!(span.get("error.type"), "upstream-error");
    }
}

#[tokio::test]
async fn a_job_for_later_has_a_span_until_it_is_kept_and_its_batch_is_linked_to_it() {
    let Scene {
        proxy,
        mut upstream,
        mut collector,
    } = Scene::set("1", &[]).await;
    let parent = format!("00-{}-{}-01", TRACES[0], SPANS[0]);
    let request = Request::later(r#"{"id":1}"#).header("traceparent", &parent);
    assert_eq!(proxy.send(request).await.status, 202);
    let spans = collector.spans(1).await;
    let job = &spans[0];
    let handed_in = [
        ("http.response.status_code", "202"),
        ("microbatch.outcome", "handed-in"),
    ];
    expect(job, &handed_in);
    upstream.next().await.echo();
    let spans = collector.spans(1).await;
    let call = &spans[0];
    assert_eq!((&call.trace, &call.parent), (&job.trace, &job.id));
    assert_eq!(call.links, [(job.id.clone(), job.trace.clone())]);
}

#[tokio::test]
async fn whoever_is_not_sampled_has_no_span_unless_the_sampler_says_so() {
    for (sampler, spans) in [
        (&[][..], 0),
        (&[("OTEL_TRACES_SAMPLER", "parentbased_always_on")], 2),
        (&[("OTEL_TRACES_SAMPLER", "always_on")], 4),
        (&[("OTEL_TRACES_SAMPLER", "always_off")], 0),
    ] {
        let Scene {
            proxy,
            mut upstream,
            mut collector,
        } = Scene::set("1", sampler).await;
        for request in [job(1), traced(2, 0, "00")] {
            let caller = Caller::spawn(proxy.jobs_addr, request);
            upstream.next().await.echo();
            assert_eq!(caller.answer().await.status, 200);
        }
        let seen = collector.spans(spans).await;
        let begun = seen.iter().filter(|it| it.trace != TRACES[0]);
        assert_eq!(begun.count(), spans.min(2), "{seen:#?}");
        // One that is sampled comes after all that were told before.
        let caller = Caller::spawn(proxy.jobs_addr, traced(3, 1, "01"));
        upstream.next().await.echo();
        assert_eq!(caller.answer().await.status, 200);
        if sampler.first().is_none_or(|it| it.1 != "always_off") {
            let seen = collector.spans(2).await;
            assert!(seen.iter().all(|it| it.trace == TRACES[1]), "{seen:#?}");
        }
    }
}

#[tokio::test]
async fn a_call_that_all_callers_left_is_told_of() {
    let Scene {
        proxy,
        mut upstream,
        mut collector,
    } = Scene::set("1", &[]).await;
    let caller = Caller::spawn(proxy.jobs_addr, traced(1, 0, "01"));
    let mut call = upstream.next().await;
    drop(caller);
    let spans = collector.spans(2).await;
    expect(&spans[0], &[("microbatch.outcome", "caller-left")]);
    expect(&spans[1], &[("microbatch.outcome", "abandoned")]);
    assert!(!spans[1].is_error);
    call.caller_gone().await;
}
