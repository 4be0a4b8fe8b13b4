//! What is told, as OpenTelemetry's spans: names, kinds and attributes by the semantic
//! conventions for HTTP (1.42), and those of our own under `microbatch.`.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::SystemTime;

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use opentelemetry_semantic_conventions::SCHEMA_URL;
use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, HTTP_REQUEST_BODY_SIZE, HTTP_REQUEST_METHOD, HTTP_REQUEST_RESEND_COUNT,
    HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, MESSAGING_BATCH_MESSAGE_COUNT, SERVER_ADDRESS,
    SERVER_PORT, URL_FULL, URL_TEMPLATE,
};

use crate::code::Code;
use crate::observe::spans::{CallSpan, JobEnd, JobSpan, Span};
use crate::trace_context::TraceContext;

const ROUTE: &str = "microbatch.route";
const OUTCOME: &str = "microbatch.outcome";
const BATCH_ID: &str = "microbatch.batch.id";
const HALF_OF: &str = "microbatch.batch.half_of";
const ITEMS: &str = "microbatch.batch.items";
const FLUSH_REASON: &str = "microbatch.flush_reason";
const ATTEMPT: &str = "microbatch.attempt";
/// Seconds, as durations are in the semantic conventions.
const QUEUE_DURATION: &str = "microbatch.queue.duration";

/// The event of a job's span that its batch has left.
const BATCH_LEFT: &str = "batch left";

static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(|| {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
});

/// See the module.
pub(super) fn span_data(span: Span) -> SpanData {
    match span {
        Span::Job(job) => of_job(*job),
        Span::Call(call) => of_call(*call),
    }
}

/// A job: what a server does for its caller.
fn of_job(job: JobSpan) -> SpanData {
    let of = &job.of;
    let mut attributes = vec![
        KeyValue::new(HTTP_REQUEST_METHOD, "POST"),
        KeyValue::new(HTTP_ROUTE, of.path.clone()),
        KeyValue::new(ROUTE, of.route.clone()),
    ];
    attributes.extend(job.status.map(status_code));
    attributes.push(KeyValue::new(OUTCOME, end(job.end)));
    let (mut events, mut links) = (SpanEvents::default(), SpanLinks::default());
    if let Some(joined) = &job.joined {
        let batch_id = KeyValue::new(BATCH_ID, joined.batch_id.to_string());
        attributes.push(batch_id.clone());
        let queued = joined.queued.as_secs_f64();
        attributes.push(KeyValue::new(QUEUE_DURATION, queued));
        let left = job.ended.checked_sub(joined.left).unwrap_or(job.ended);
        events.events = vec![Event::new(BATCH_LEFT, left, vec![batch_id], 0)];
        links.links.extend(joined.call.as_ref().map(link));
    }
    // What is wrong with a request is the caller's error, and none of the server's.
    let failed = job.status.is_some_and(|it| it >= 500);
    let status = error(failed, job.end.code(), job.status, &mut attributes);
    let name = format!("POST {}", of.path);
    data(
        job.place,
        SpanKind::Server,
        name,
        (job.ended, job.took),
        attributes,
        events,
        links,
        status,
    )
}

/// A call: what a client asks of the upstream.
fn of_call(call: CallSpan) -> SpanData {
    let (of, about) = (&call.of, call.about);
    let mut attributes = vec![
        KeyValue::new(HTTP_REQUEST_METHOD, "POST"),
        KeyValue::new(SERVER_ADDRESS, of.host.clone()),
        KeyValue::new(URL_FULL, of.url.clone()),
        KeyValue::new(URL_TEMPLATE, of.url_path.clone()),
        KeyValue::new(HTTP_REQUEST_BODY_SIZE, number(about.bytes)),
        KeyValue::new(MESSAGING_BATCH_MESSAGE_COUNT, number(about.jobs)),
        KeyValue::new(ROUTE, of.route.clone()),
        KeyValue::new(BATCH_ID, about.batch_id.to_string()),
        KeyValue::new(ITEMS, number(about.items)),
        KeyValue::new(FLUSH_REASON, about.reason.as_str()),
        KeyValue::new(ATTEMPT, i64::from(about.attempt)),
        KeyValue::new(OUTCOME, call.outcome.map_or("abandoned", Code::as_str)),
    ];
    attributes.extend(of.port.map(|it| KeyValue::new(SERVER_PORT, i64::from(it))));
    if about.attempt > 1 {
        let resent = i64::from(about.attempt - 1);
        attributes.push(KeyValue::new(HTTP_REQUEST_RESEND_COUNT, resent));
    }
    let half_of = about.half_of.map(|it| it.to_string());
    attributes.extend(half_of.map(|it| KeyValue::new(HALF_OF, it)));
    attributes.extend(call.status.map(status_code));
    let failed = call.outcome.is_some_and(|it| it != Code::Ok);
    let status = error(failed, call.outcome, call.status, &mut attributes);
    let mut links = SpanLinks::default();
    links.links = about.links.iter().map(link).collect();
    links.dropped_count = u32::try_from(about.more_links).unwrap_or(u32::MAX);
    let name = format!("POST {}", of.url_path);
    let events = SpanEvents::default();
    data(
        call.place,
        SpanKind::Client,
        name,
        (call.ended, call.took),
        attributes,
        events,
        links,
        status,
    )
}

#[expect(clippy::too_many_arguments, reason = "the parts of a span, each once")]
fn data(
    place: TraceContext,
    span_kind: SpanKind,
    name: String,
    (end_time, took): (SystemTime, std::time::Duration),
    attributes: Vec<KeyValue>,
    events: SpanEvents,
    links: SpanLinks,
    status: Status,
) -> SpanData {
    let parent = place
        .parent()
        .map(|it| SpanId::from_bytes(it.to_be_bytes()));
    SpanData {
        span_context: context(&place, false),
        parent_span_id: parent.unwrap_or(SpanId::INVALID),
        // A call's is the job that it was made for alone; a job's is its caller.
        parent_span_is_remote: parent.is_some() && span_kind == SpanKind::Server,
        span_kind,
        name: Cow::Owned(name),
        start_time: end_time.checked_sub(took).unwrap_or(end_time),
        end_time,
        attributes,
        dropped_attributes_count: 0,
        events,
        links,
        status,
        instrumentation_scope: SCOPE.clone(),
    }
}

fn context(place: &TraceContext, is_remote: bool) -> SpanContext {
    let flags = match place.is_sampled() {
        true => TraceFlags::SAMPLED,
        false => TraceFlags::default(),
    };
    let state = place.state().and_then(|it| it.parse::<TraceState>().ok());
    SpanContext::new(
        TraceId::from_bytes(place.trace_id().to_be_bytes()),
        SpanId::from_bytes(place.span_id().to_be_bytes()),
        flags,
        is_remote,
        state.unwrap_or_default(),
    )
}

fn link(place: &TraceContext) -> Link {
    Link::with_context(context(place, false))
}

/// The status of a span, and `error.type`: the problem's code where there is one, else the
/// status of the answer.
fn error(
    failed: bool,
    code: Option<Code>,
    status: Option<u16>,
    attributes: &mut Vec<KeyValue>,
) -> Status {
    if !failed {
        return Status::Unset;
    }
    let kind = match (code, status) {
        (Some(code), _) => code.as_str().to_owned(),
        (None, Some(status)) => status.to_string(),
        (None, None) => "_OTHER".to_owned(),
    };
    attributes.push(KeyValue::new(ERROR_TYPE, kind));
    // The conventions want no description where the attributes say it all.
    Status::error("")
}

fn end(end: JobEnd) -> &'static str {
    match end {
        JobEnd::Answered(code) => code.as_str(),
        JobEnd::HandedIn => "handed-in",
        JobEnd::CallerLeft => "caller-left",
    }
}

fn status_code(status: u16) -> KeyValue {
    KeyValue::new(HTTP_RESPONSE_STATUS_CODE, i64::from(status))
}

fn number(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
