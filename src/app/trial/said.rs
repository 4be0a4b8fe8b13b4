//! What is printed: bodies on standard output, and all that is said of them on standard
//! error, so that `microbatch try … | jq` reads nothing else.

use std::io::{self, IsTerminal as _, Write as _};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http::response::Parts;

use super::batches::Named;
use super::route::Chosen;
use crate::batcher;
use crate::config::redacted;
use crate::config::settings::Route;
use crate::forward::Destination;
use crate::job::Job;
use crate::printable::printable;
use crate::shape::{Call, Why};
use crate::upstream::Target;

/// Where the first item of a batch that is sent is numbered from.
const FIRST_NUMBER: u64 = 1;

/// The most of a text that is shown of what tells two frames apart.
const SHOWN: usize = 200;

/// What a route does, in words.
pub(super) struct Said {
    route: Route,
}

impl Said {
    pub fn new(route: Route) -> Self {
        Self { route }
    }

    pub fn route(&self) -> &Route {
        &self.route
    }

    /// A call that goes by itself.
    pub fn alone(&self, name: &str, why: Why, chosen: &Chosen) -> io::Result<()> {
        let to = match self.route.alone.as_ref().map(|it| &it.to) {
            Some(Destination::At(target)) => address(target, chosen, chosen.uri.query())?,
            Some(Destination::Below(endpoint)) => endpoint.at(""),
            None => String::new(),
        };
        remark(&format!(
            "{name}: goes alone, as it came, to {to}: {why}, {}",
            because(why)
        ))
    }

    /// A call that is refused with this answer.
    pub fn refused(&self, name: &str, head: &Parts, body: &Bytes) -> io::Result<()> {
        let said = String::from_utf8_lossy(body);
        remark(&format!("{name}: refused with {}: {said}", head.status))
    }

    /// A call that the queue refuses.
    pub fn not_taken(&self, name: &str, error: &batcher::Error) -> io::Result<()> {
        remark(&format!("{name}: refused: {error}"))
    }

    /// What would be sent.
    pub fn batches(&self, batches: &[Vec<Named>], chosen: &Chosen) -> io::Result<()> {
        for (number, batch) in batches.iter().enumerate() {
            let calls = batch.iter().map(|(_, job)| job.call());
            let Some((_, first)) = batch.first() else {
                continue;
            };
            let sent = self.route.shape.write(calls.clone(), FIRST_NUMBER);
            if batches.len() > 1 {
                let before = batches[..number].iter().filter_map(|it| it.first());
                let why = apart(first, before.map(|(_, job)| job));
                remark(&format!("batch {} of {}{why}", number + 1, batches.len()))?;
            }
            let items: usize = calls.map(Call::count).sum();
            self.head(first, sent.as_is, items, chosen)?;
            let names: Vec<&str> = batch.iter().map(|(name, _)| name.as_str()).collect();
            let as_is = if sent.as_is { ", as it came" } else { "" };
            remark(&format!(
                "{} of {}{as_is}",
                calls_word(batch.len()),
                names.join(", ")
            ))?;
            let is_last = number + 1 == batches.len();
            body(&sent.body.into_bytes(), is_last)?;
        }
        Ok(())
    }

    /// The head of a request with the calls that are like this one.
    fn head(&self, job: &Job, as_is: bool, items: usize, chosen: &Chosen) -> io::Result<()> {
        let query = job.carried().and_then(|it| it.query.as_deref());
        let url = address(&self.route.upstream.url, chosen, query)?;
        remark(&format!("POST {url}"))?;
        let shape = &self.route.shape;
        let own = job.call().content_type().filter(|_| as_is);
        let content_type = own.map(str::to_owned);
        let content_type = content_type.unwrap_or_else(|| text(shape.content_type().as_bytes()));
        remark(&format!("content-type: {content_type}"))?;
        remark(&format!("x-batch-size: {items}"))?;
        for (name, _) in job.carried().iter().flat_map(|it| it.headers.iter()) {
            remark(&format!("{name}: the callers'"))?;
        }
        for name in self.route.upstream.headers.keys() {
            remark(&format!("{name}: that of upstream.headers"))?;
        }
        Ok(())
    }

    /// What a call is answered.
    pub fn answer(&self, name: &str, head: &Parts, whole: &Bytes) -> io::Result<()> {
        let said = |name: &str, headers: &HeaderMap| {
            let value = headers.get(name)?;
            Some(text(value.as_bytes()))
        };
        let size = said("x-batch-size", &head.headers);
        let size = size
            .map(|it| format!(", batch of {it}"))
            .unwrap_or_default();
        let kind = said(CONTENT_TYPE.as_str(), &head.headers);
        let kind = kind.map(|it| format!(", {it}")).unwrap_or_default();
        remark(&format!("{name}: {}{kind}{size}", head.status))?;
        if whole.is_empty() {
            return Ok(());
        }
        body(whole, false)
    }
}

/// Where it goes, without what of the URL may be a secret.
fn address(target: &Target, chosen: &Chosen, query: Option<&str>) -> io::Result<String> {
    let shown = redacted(target.endpoint());
    let shown = Target::compile(shown, &chosen.names).map_err(io::Error::other)?;
    let path = shown.path_for(&chosen.captures, query);
    let path = path.map_err(io::Error::other)?;
    Ok(shown.endpoint().at(&path))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn calls_word(count: usize) -> &'static str {
    if count == 1 { "the call" } else { "the calls" }
}

/// What keeps a call out of the batches before its own.
fn apart<'a>(first: &Job, before: impl Iterator<Item = &'a Job>) -> String {
    let mut before = before.peekable();
    if before.peek().is_none() {
        return String::new();
    }
    let frame = first.call().frame();
    let is_new = before.all(|it| it.call().frame() != frame || it.carried() != first.carried());
    match is_new {
        false => ": what has no room in the one before, or an id that is in it".to_owned(),
        true => {
            let (before, after) = (text(frame.before), text(frame.after));
            let around: String = format!("{before}…{after}").chars().take(SHOWN).collect();
            format!(": another frame, {}", printable(&around))
        }
    }
}

fn because(why: Why) -> &'static str {
    match why {
        Why::Method => "only POST is merged",
        Why::Type => "its content-type is none that the shape accepts; say another with -H",
        Why::Encoding => "it has a content-encoding",
        Why::Form => "it is no JSON, or has no item where the shape wants one",
        Why::Size => {
            "an item, or all of it, is over batch.max_size, batch.max_bytes or server.max_body"
        }
        Why::Upgrade => "it asks for another protocol",
        Why::Stream => "it has \"stream\": true",
        Why::Key => "it has an idempotency-key",
        Why::Header => "it has one of forward_headers twice",
    }
}

/// A line that is no body.
fn remark(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    text.lines()
        .try_for_each(|line| writeln!(stderr, "# {}", printable(line)))
}

/// A body, byte for byte. After the last one no line break is added, but on a terminal.
fn body(text: &[u8], is_last: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    let is_open = text.last() != Some(&b'\n');
    if is_open && (!is_last || stdout.is_terminal()) {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}
