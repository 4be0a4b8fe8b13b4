//! Section 12 of the contract, "Telemetry out": a collector that is away, stuck or wrong
//! costs spans and nothing else.

use std::process::Stdio;

use crate::collector::{Answers, Collector};
use crate::harness::{
    Proxy, Request, Reserved, Scrape, ScriptedUpstream, Signal, command, eventually,
};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// An upstream that answers whatever comes, and its URL.
async fn echoing() -> String {
    let mut upstream = ScriptedUpstream::start().await;
    let url = upstream.url();
    tokio::spawn(async move {
        loop {
            upstream.next_ever().await.echo();
        }
    });
    url
}

fn job(id: u32) -> Request {
    Request::job(format!(r#"{{"id":{id}}}"#)).header("traceparent", PARENT)
}

async fn dropped(proxy: &Proxy) -> f64 {
    Scrape::of(proxy).await.get("telemetry_spans_dropped_total")
}

#[tokio::test]
async fn a_collector_that_hangs_refuses_or_fails_costs_spans_alone() {
    let refused = format!("http://{}", Reserved::new().addr());
    let hanging = Collector::start(Answers::Never).await;
    let failing = Collector::start(Answers::Status(400)).await;
    for (url, is_told) in [
        (refused, true),
        (failing.url(), true),
        (hanging.url(), false),
    ] {
        let env = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "2"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "600000"),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
        ];
        let flags = ["--max-wait", "1ms"];
        let mut proxy = Proxy::start(&echoing().await, &flags, &env).await;
        assert_eq!(dropped(&proxy).await, 0.0);
        let mut connection = proxy.keep_alive().await;
        for id in 1..=200 {
            assert_eq!(connection.send(job(id)).await.status, 200);
        }
        // Two spans a job, of which one export has two, and the queue two more.
        if !is_told {
            eventually("spans to be dropped", || async {
                (dropped(&proxy).await >= 396.0).then_some(())
            })
            .await;
        } else {
            let line = proxy
                .log
                .nth("spans are dropped: the collector does not take them", 1);
            let line = line.await;
            // Its path may be a secret.
            assert_eq!(line.text("collector"), url);
            assert!(!line.text("cause").is_empty());
            assert!(dropped(&proxy).await > 0.0);
        }
        drop(connection);
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.exit_code().await, Some(0));
    }
}

#[tokio::test]
async fn what_is_left_is_sent_at_the_end() {
    let mut collector = Collector::start(Answers::Taken).await;
    let env = [
        ("MICROBATCH_TELEMETRY__OTLP__ENDPOINT", &*collector.url()),
        ("MICROBATCH_TELEMETRY__OTLP__PROTOCOL", "grpc"),
        // The settings win.
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
    ];
    let mut proxy = Proxy::start(&echoing().await, &["--max-wait", "1ms"], &env).await;
    assert_eq!(proxy.send(job(1)).await.status, 200);
    assert!(collector.is_idle());
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    let spans = collector.spans(2).await;
    assert!(
        spans.iter().all(|it| it.trace == PARENT[3..35]),
        "{spans:#?}"
    );
}

#[tokio::test]
async fn nothing_is_sent_where_that_is_switched_off() {
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let mut collector = Collector::start(Answers::Taken).await;
        let env = [
            ("MICROBATCH_TELEMETRY__OTLP__ENDPOINT", &*collector.url()),
            off,
        ];
        let mut proxy = Proxy::start(&echoing().await, &["--max-wait", "1ms"], &env).await;
        assert_eq!(proxy.send(job(1)).await.status, 200);
        assert_eq!(proxy.threads("spans"), 0);
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.exit_code().await, Some(0));
        assert!(collector.is_idle());
    }
}

#[tokio::test]
async fn what_is_not_understood_is_told_of() {
    let collector = Collector::start(Answers::Taken).await;
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url()),
        ("OTEL_TRACES_SAMPLER", "xray"),
    ];
    let proxy = Proxy::start(&echoing().await, &[], &env).await;
    let line = proxy.log.wait_for_nth("a warning", 1, |line| {
        line.message().starts_with("OTEL_TRACES_SAMPLER: must be")
    });
    line.await;

    let mut check = command();
    check.args(["check", "--upstream", "http://127.0.0.1:1/"]);
    check.env("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318");
    let output = check.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL"),
        "{told}"
    );
}
