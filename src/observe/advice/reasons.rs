//! Why jobs come to a code, and what to change about it.

use super::figures::{Figures, Limits};
use crate::code::Code;
use crate::fault::{Instead, NotResults, Unsound};
use crate::observe::live::Failures;
use crate::observe::words::{in_brackets, ms, quoted};

/// Why jobs fail, as the sentence says it, and the setting to change.
pub(super) struct Reason {
    pub setting: Option<&'static str>,
    pub text: String,
}

impl Reason {
    pub fn new(setting: impl Into<Option<&'static str>>, text: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            text: text.into(),
        }
    }
}

/// Why jobs come to a code, and what to change. The last of those failures tells the
/// upstream's side of it, where it is known.
pub(super) fn reason(
    code: Code,
    last: Option<&Failures>,
    figures: &Figures,
    limits: &Limits,
) -> Reason {
    let answer = last.and_then(|last| last.answer.as_ref());
    let status = answer.map_or(0, |answer| answer.upstream_status);
    let cause = last.map_or("", |last| last.cause.as_str());
    match code {
        Code::UpstreamUnreachable if cause.contains(TLS) => untrusted(cause),
        Code::UpstreamUnreachable => Reason::new(
            "upstream.url",
            format!(
                "nobody answers at `upstream.url`{}; check that the upstream runs, and that this is its address",
                in_brackets(cause)
            ),
        ),
        Code::UpstreamConnectTimeout => Reason::new(
            "upstream.url",
            "nobody answers at `upstream.url` within `upstream.connect_timeout`; check that the \
             upstream runs, and that this is its address",
        ),
        Code::UpstreamTimeout => Reason::new(
            "upstream.timeout",
            format!(
                "the upstream is slow, and has no complete answer within `upstream.timeout` ({}); \
                 have it answer sooner, or raise that",
                ms(limits.upstream_timeout_ms)
            ),
        ),
        Code::DeadlineExceeded => Reason::new(
            "server.request_timeout",
            format!(
                "the upstream is slow, and answers come later than callers wait \
                 (`server.request_timeout`, {}, or less by `Prefer`); have it answer sooner, or let \
                 them wait longer",
                ms(limits.request_timeout_ms)
            ),
        ),
        Code::QueueTimeout => Reason::new(
            "server.request_timeout",
            "jobs expire before a batch takes them: the upstream is too slow for what comes in",
        ),
        Code::UpstreamDisconnected => Reason::new(
            None,
            format!(
                "the upstream breaks the connection in the middle of a call{}; its own log may say why",
                in_brackets(cause)
            ),
        ),
        Code::UpstreamResponseTooLarge => Reason::new(
            "upstream.max_response",
            "its answers are larger than `upstream.max_response`; raise that, or lower \
             `batch.max_size`",
        ),
        Code::UpstreamOverloaded => overloaded(status, limits),
        Code::UpstreamMalformed => malformed(last),
        Code::ResultCount => Reason::new(
            None,
            format!(
                "results find their jobs by their places, and {}; have the upstream answer with one \
                 for each item",
                quoted(cause)
            ),
        ),
        Code::ResultMissing | Code::ResultAmbiguous | Code::ResultMalformed => unsound(code, cause),
        _ if answer.is_some() => refused(code, status, last, figures),
        _ => Reason::new(None, "look at what failed last"),
    }
}

/// What the cause has before what is said of TLS, and what to do about it.
const TLS: &str = "TLS: ";

/// The upstream is there, and no TLS can be agreed on with it.
fn untrusted(cause: &str) -> Reason {
    const SETTINGS: [&str; 3] = [
        "upstream.tls.ca",
        "upstream.tls.server_name",
        "upstream.tls.cert",
    ];
    let what = cause.split_once(TLS).map_or(cause, |(_, what)| what);
    let setting = SETTINGS.into_iter().find(|it| what.contains(it));
    Reason::new(
        setting.unwrap_or("upstream.url"),
        format!("there is no TLS with whoever answers at `upstream.url`: {what}"),
    )
}

fn overloaded(status: u16, limits: &Limits) -> Reason {
    let asks = match status {
        0 => "the upstream has too much to do".to_owned(),
        status => format!("the upstream answers {status}, it has too much to do"),
    };
    match limits.idempotent {
        false => Reason::new(
            "upstream.max_in_flight",
            format!(
                "{asks}; `upstream.max_in_flight = \"adaptive\"` finds what it bears, and with \
                 `upstream.idempotent` its batches would be sent again"
            ),
        ),
        true => Reason::new(
            "upstream.max_in_flight",
            format!("{asks}; `upstream.max_in_flight = \"adaptive\"` finds what it bears"),
        ),
    }
}

/// A status that is no success.
fn refused(code: Code, status: u16, last: Option<&Failures>, figures: &Figures) -> Reason {
    let location = last.and_then(|last| last.answer.as_ref()?.location.as_deref());
    match status {
        300..=399 => {
            let to = match location {
                Some(location) => format!(" to `{}`", quoted(location)),
                None => String::new(),
            };
            Reason::new(
                "upstream.url",
                format!(
                    "the upstream redirects ({status}){to}, and redirects are not followed; set \
                     `upstream.url` to where it points"
                ),
            )
        }
        401 | 403 | 407 => Reason::new(
            "upstream.headers",
            format!(
                "the upstream answers {status}: it wants other credentials in `upstream.headers`"
            ),
        ),
        413 => Reason::new(
            "server.max_body",
            "the upstream answers 413 to a job alone; lower `server.max_body`, or have it take more",
        ),
        400..=499 if code == Code::UpstreamRejectedBatch && figures.some_succeed() => Reason::new(
            "upstream.split_on",
            format!(
                "the upstream answers {status} to a whole batch, and takes others: one odd job may \
                 spoil its batch; with {status} in `upstream.split_on` it is found, and the others get \
                 their results"
            ),
        ),
        404 | 405 | 410 => Reason::new(
            "upstream.url",
            format!(
                "the upstream answers {status} to every batch; check the path of `upstream.url`"
            ),
        ),
        400..=499 => Reason::new(
            "upstream.url",
            format!(
                "the upstream answers {status} to every batch; a batch is a `POST` of a JSON array of \
                 the jobs, so check that this is what `upstream.url` takes"
            ),
        ),
        504 => Reason::new(
            None,
            "the upstream answers 504: what it asks in turn is slow; have it answer sooner",
        ),
        _ => Reason::new(
            None,
            format!(
                "the upstream answers {status}: the fault is on its side, and its own log may say why"
            ),
        ),
    }
}

/// A success without results.
fn malformed(last: Option<&Failures>) -> Reason {
    let Some(last) = last else {
        return Reason::new(None, "its answers are no arrays of results");
    };
    let answer = last.answer.as_ref();
    let encoding = answer.and_then(|answer| answer.content_encoding.as_deref());
    match encoding {
        Some(encoding) => Reason::new(
            None,
            format!(
                "the upstream's answers are compressed (`{}`), which was not asked for; have it answer \
                 without a `Content-Encoding`",
                quoted(encoding)
            ),
        ),
        None => instead_of_results(&last.cause),
    }
}

fn instead_of_results(cause: &str) -> Reason {
    let is = |instead| cause == NotResults::NotAnArray(instead).to_string();
    // Where the shape has results elsewhere.
    let elsewhere = cause.starts_with("no array at ");
    let (setting, then) = if cause.ends_with(&Instead::Markup.to_string()) {
        let then = "check that `upstream.url` is where batches are taken, and not a page";
        (Some("upstream.url"), then)
    } else if elsewhere {
        let then = "set `shape.results` to where its results are";
        (Some("shape.results"), then)
    } else if is(Instead::Wrapped) {
        let then = "have it answer with that array alone, or set `shape.results` to where it is";
        (Some("shape.results"), then)
    } else {
        let then = "have it answer with an array of objects, each with the `id` of its job, or set \
                    `shape.results = \"none\"` if it gives no results";
        (Some("shape.results"), then)
    };
    let has = if elsewhere { "has" } else { "is" };
    let text = format!("the upstream's answer {has} {}; {then}", quoted(cause));
    Reason::new(setting, text)
}

fn unsound(code: Code, cause: &str) -> Reason {
    let text = match code {
        Code::ResultMissing if cause == Unsound::OtherType.to_string() => {
            "ids come back as another JSON type; have the upstream return each `id` as it came, 7 as \
             `7` and \"7\" as `\"7\"`"
        }
        Code::ResultMissing => {
            "the upstream's answers have no result under the job's `id`; have it answer each job of a \
             batch under that"
        }
        Code::ResultAmbiguous => {
            "the upstream's answers have different results under one `id`; have it give one for each \
             job"
        }
        _ => "results are not JSON, such as a bare `NaN`; have the upstream write what JSON knows",
    };
    Reason::new(None, text)
}
