//! What must hold between settings, each of which is fine by itself.
//!
//! A check runs when both its values could be read, so that one mistake is not reported twice.

use std::fmt::Display;
use std::time::Duration;

use super::address::collide;
use super::mistake::{Mistake, Origin};
use super::schema::Draft;
use super::table::Slot;
use super::{duration, size};

/// What cannot work together.
pub(crate) fn refused(draft: &Draft) -> Vec<Mistake> {
    let (server, batch, queue) = (&draft.server, &draft.batch, &draft.queue);
    let upstream = &draft.upstream;
    let mut found = Vec::new();
    if let Some((body, array)) = both(&server.max_body, &batch.max_bytes)
        && body.saturating_add(2) > *array
    {
        found.push(format!(
            "{} + 2 is more than {}: the largest job alone must fit a batch with its brackets; \
             lower server.max_body or raise batch.max_bytes",
            bytes("server.max_body", &server.max_body),
            bytes("batch.max_bytes", &batch.max_bytes),
        ));
    }
    if let Some((wait, timeout)) = both(&batch.max_wait, &server.request_timeout)
        && wait >= timeout
    {
        found.push(format!(
            "{} is not less than {}: a job would expire while it waits for company; lower \
             batch.max_wait or raise server.request_timeout",
            time("batch.max_wait", &batch.max_wait),
            time("server.request_timeout", &server.request_timeout),
        ));
    }
    if let Some((room, body)) = both(&queue.max_bytes, &server.max_body)
        && room < body
    {
        found.push(format!(
            "{} is less than {}: the largest job could never wait; raise queue.max_bytes or \
             lower server.max_body",
            bytes("queue.max_bytes", &queue.max_bytes),
            bytes("server.max_body", &server.max_body),
        ));
    }
    if let Some((body, answer)) = both(&server.max_body, &upstream.max_response)
        && let Some(room) = &server.max_buffered.value
        && *room < body.saturating_add(*answer)
    {
        found.push(format!(
            "{} is less than {} and {} together: one body and one answer must fit; raise \
             server.max_buffered or lower one of the two",
            bytes("server.max_buffered", &server.max_buffered),
            bytes("server.max_body", &server.max_body),
            bytes("upstream.max_response", &upstream.max_response),
        ));
    }
    if let Some((base, cap)) = both(&draft.retry.base, &draft.retry.cap)
        && base > cap
    {
        found.push(format!(
            "{} is more than {}: no pause before a retry may be longer than the cap; lower \
             retry.base or raise retry.cap",
            time("retry.base", &draft.retry.base),
            time("retry.cap", &draft.retry.cap),
        ));
    }
    if let Some((jobs, Some(operators))) = both(&server.listen, &draft.admin.listen)
        && collide(jobs, operators)
    {
        found.push(format!(
            "{} and {} are one port of one host; give them two, or \"\" for no admin.listen",
            named("server.listen", jobs, &server.listen),
            named("admin.listen", operators, &draft.admin.listen),
        ));
    }
    let mistake = |what| Mistake {
        origin: None,
        key: String::new(),
        what,
    };
    found.into_iter().map(mistake).collect()
}

/// What works, but cannot be what was meant.
pub(crate) fn doubtful(draft: &Draft) -> Vec<String> {
    let (batch, queue) = (&draft.batch, &draft.queue);
    let mut found = Vec::new();
    if let Some((jobs, size)) = both(&queue.max_jobs, &batch.max_size)
        && jobs < size
    {
        found.push(format!(
            "{} is less than {}: no batch will ever be full",
            named("queue.max_jobs", jobs, &queue.max_jobs),
            named("batch.max_size", size, &batch.max_size),
        ));
    }
    if let Some((room, array)) = both(&queue.max_bytes, &batch.max_bytes)
        && room < array
    {
        found.push(format!(
            "{} is less than {}: no batch will ever be that large",
            bytes("queue.max_bytes", &queue.max_bytes),
            bytes("batch.max_bytes", &batch.max_bytes),
        ));
    }
    found
}

fn both<'a, A, B>(one: &'a Slot<A>, other: &'a Slot<B>) -> Option<(&'a A, &'a B)> {
    one.value.as_ref().zip(other.value.as_ref())
}

fn bytes(key: &str, slot: &Slot<usize>) -> String {
    let value = slot.value.unwrap_or_default();
    named(key, &size::spelled(value as u64), slot)
}

fn time(key: &str, slot: &Slot<Duration>) -> String {
    let value = slot.value.unwrap_or_default();
    named(key, &duration::spelled(value), slot)
}

/// A key with its value and where that came from.
fn named<T>(key: &str, value: &impl Display, slot: &Slot<T>) -> String {
    let from = slot.from.as_ref().unwrap_or(&Origin::Default);
    format!("{key} = {value} ({from})")
}
