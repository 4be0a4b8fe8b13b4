//! A collector of spans, which takes OTLP over HTTP with protobuf and over gRPC, and hands
//! them to the story.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::harness::{Reserved, within};

/// See the module.
pub struct Collector {
    port: Reserved,
    exports: mpsc::UnboundedReceiver<Export>,
    spans: Vec<Seen>,
}

/// How it answers.
#[derive(Clone, Copy)]
pub enum Answers {
    /// That it has taken them.
    Taken,
    /// With this status.
    Status(u16),
    /// Never.
    Never,
}

/// One request.
pub struct Export {
    pub path: String,
    pub headers: HeaderMap,
    request: ExportTraceServiceRequest,
}

/// A span, with its resource; ids in hexadecimal, empty where there is none.
#[derive(Clone, Debug)]
pub struct Seen {
    pub name: String,
    pub kind: SpanKind,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub state: String,
    pub attributes: BTreeMap<String, String>,
    /// The ids of the linked spans, with their traces.
    pub links: Vec<(String, String)>,
    pub events: Vec<String>,
    pub is_error: bool,
    pub nanoseconds: std::ops::Range<u64>,
    pub resource: BTreeMap<String, String>,
}

impl Collector {
    /// One that answers so.
    pub async fn start(answers: Answers) -> Self {
        let (sender, exports) = mpsc::unbounded_channel();
        let port = Reserved::new();
        tokio::spawn(serve(port.listen(), answers, sender));
        Self {
            port,
            exports,
            spans: Vec::new(),
        }
    }

    /// What the proxy is told of it.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The next request.
    pub async fn next(&mut self) -> Export {
        let export = within("an export", self.exports.recv()).await;
        export.expect("a sender is kept")
    }

    /// Whether any request has come.
    pub fn is_idle(&mut self) -> bool {
        self.exports.try_recv().is_err()
    }

    /// So many spans, by whatever requests; jobs before calls, each in the order of time.
    pub async fn spans(&mut self, count: usize) -> Vec<Seen> {
        while self.spans.len() < count {
            let export = self.next().await;
            self.spans.extend(export.spans());
        }
        assert_eq!(self.spans.len(), count, "{:#?}", self.spans);
        let mut spans = std::mem::take(&mut self.spans);
        spans.sort_by_key(|it| (it.kind == SpanKind::Client, it.nanoseconds.start));
        spans
    }
}

impl Export {
    /// The spans in it.
    pub fn spans(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for of_resource in &self.request.resource_spans {
            let resource = of_resource.resource.as_ref().expect("a resource");
            let resource = attributes(&resource.attributes);
            for of_scope in &of_resource.scope_spans {
                let scope = of_scope.scope.as_ref().expect("a scope");
                assert_eq!(scope.name, "microbatch");
                let spans = of_scope.spans.iter();
                seen.extend(spans.map(|span| Seen::of(span, resource.clone())));
            }
        }
        seen
    }

    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |it| it.to_str().expect("text"))
    }
}

impl Seen {
    fn of(span: &Span, resource: BTreeMap<String, String>) -> Self {
        assert!(span.flags & 1 == 1, "not sampled: {span:?}");
        Self {
            name: span.name.clone(),
            kind: span.kind(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            state: span.trace_state.clone(),
            attributes: attributes(&span.attributes),
            links: span
                .links
                .iter()
                .map(|it| (hex(&it.span_id), hex(&it.trace_id)))
                .collect(),
            events: span.events.iter().map(|it| it.name.clone()).collect(),
            is_error: span.status.as_ref().is_some_and(|it| it.code == 2),
            nanoseconds: span.start_time_unix_nano..span.end_time_unix_nano,
            resource,
        }
    }

    /// An attribute's value, empty where there is none.
    pub fn get(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }

    /// The `traceparent` that names it.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.id)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |it: &KeyValue| match it.value.as_ref().and_then(|it| it.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => panic!("{}: {other:?}", it.key),
    };
    all.iter().map(|it| (it.key.clone(), text(it))).collect()
}

async fn serve(listener: TcpListener, answers: Answers, exports: mpsc::UnboundedSender<Export>) {
    while let Ok((stream, _)) = listener.accept().await {
        let exports = exports.clone();
        let service = service_fn(move |request| answer(request, answers, exports.clone()));
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: Answers,
    exports: mpsc::UnboundedSender<Export>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let mut body = body.collect().await?.to_bytes();
    let content_type = head.headers.get(CONTENT_TYPE).expect("a type").clone();
    let is_grpc = content_type == "application/grpc";
    if is_grpc {
        // Whether it is compressed, and its length.
        let prefix = body.split_to(5);
        assert_eq!(prefix[0], 0);
    }
    let request = ExportTraceServiceRequest::decode(body).expect("an export");
    let _ = exports.send(Export {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        request,
    });
    let status = match answers {
        Answers::Taken => 200,
        Answers::Status(status) => status,
        Answers::Never => std::future::pending().await,
    };
    let body = match is_grpc {
        // A message of no bytes, and that all is well.
        true => {
            let trailers = HeaderMap::from_iter([(
                "grpc-status".parse().expect("a name"),
                HeaderValue::from_static("0"),
            )]);
            let message = Full::new(Bytes::from_static(&[0; 5]));
            message.with_trailers(async { Some(Ok(trailers)) }).boxed()
        }
        false => Full::default().boxed(),
    };
    let answer = Response::builder().status(status);
    let answer = answer.header(CONTENT_TYPE, content_type);
    Ok(answer.body(body).expect("an answer"))
}
