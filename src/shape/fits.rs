//! Whether the parts of a shape fit together.
//!
//! A template whose text is no JSON once its names are filled in is a mistake. So no name
//! stands inside of a string, where what a caller writes could end the string and go on
//! in the template's place.

use serde::de::IgnoredAny;

use super::form::{CallForm, Matching, Results, Shape};
use super::keys::Keys;
use super::media::essence;
use super::mistake::Mistakes;
use super::template::{Name, Template};

/// Headers that no caller gets of an answer to many: those of another's session, of the
/// connection, of the body, and the proxy's own.
pub(super) const OWN_HEADERS: [&str; 16] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "server-timing",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-batch-id",
    "x-batch-size",
    "x-content-type-options",
];

/// Tells what does not fit.
pub(super) fn check(shape: &Shape, keys: &Keys, wrong: &mut Mistakes) {
    calls(shape, keys, wrong);
    items(shape, wrong);
    results(shape, wrong);
    reply(shape, wrong);
    texts(shape, keys, wrong);
}

fn calls(shape: &Shape, keys: &Keys, wrong: &mut Mistakes) {
    if shape.call != CallForm::Job {
        return;
    }
    if shape.single.any() {
        wrong.add(
            "single",
            "a job is one item; this goes with call = \"item\" or a pointer",
        );
    }
    if shape.require.is_some() {
        wrong.add(
            "require",
            "a job needs an id alone; this goes with call = \"item\" or a pointer",
        );
    }
    if shape.lone_as_is {
        wrong.add(
            "lone",
            "a job that goes as it came would come back as no job; use \"batch\"",
        );
    }
    if keys.accept.is_some() {
        wrong.add("accept", "jobs are JSON, and nothing else is let through");
    }
}

fn items(shape: &Shape, wrong: &mut Mistakes) {
    let has_id = shape.shows_ids();
    if shape.item.has(Name::Body) && shape.call != CallForm::Job {
        wrong.add(
            "item",
            "$body is a job's; with another call there is $item alone",
        );
    }
    if !has_id && !shape.item.has(Name::Body) {
        wrong.add("item", "it has nothing of the item: name $item");
    }
    let lists = shape.batch.iter().flat_map(Template::names);
    let lists = lists.filter(|it| *it == Name::Items).count();
    if shape.batch.is_some() && lists != 1 {
        wrong.add("batch", format!("it names $items {lists} times, not once"));
    }
    if shape.rewrite && shape.element.id.is_none() {
        wrong.add(
            "ids",
            "\"rewrite\" needs to know where ids stand: set id to a JSON Pointer",
        );
    } else if by_id(shape) && shape.element.id.is_none() {
        wrong.add(
            "id",
            "results are matched by id: set it to a JSON Pointer, or match to something else",
        );
    } else if by_id(shape) && shape.item.has(Name::Body) && !has_id {
        wrong.add(
            "item",
            "results are matched by id, and the item has none: name $item or $id",
        );
    }
}

fn by_id(shape: &Shape) -> bool {
    has_several(shape) && shape.matching == Matching::Id
}

fn has_several(shape: &Shape) -> bool {
    matches!(shape.results, Results::At(_) | Results::Lines)
}

fn results(shape: &Shape, wrong: &mut Mistakes) {
    if has_several(shape) && shape.matching == Matching::Index && shape.element.index.is_none() {
        wrong.add(
            "index",
            "results are matched by index: set it to a JSON Pointer",
        );
    }
    if let (true, Some(id), Some(index)) = (shape.rewrite, &shape.element.id, &shape.element.index)
        && id.overlaps(index)
    {
        wrong.add("index", "it is in what id points to, or around it");
    }
    if shape.refusal_one && !has_several(shape) {
        wrong.add(
            "refusal",
            "\"one\" goes with results at a pointer or in lines alone",
        );
    }
}

fn reply(shape: &Shape, wrong: &mut Mistakes) {
    let is_list = matches!(shape.call, CallForm::List(_));
    if shape.results == Results::None {
        if !shape.reply.is(Name::Result) {
            wrong.add(
                "reply",
                "without results every reply is 204 and has no body",
            );
        }
        return;
    }
    if is_list && shape.reply.has(Name::Id) {
        wrong.add("reply", "a call with a list of items has no $id of its own");
    }
    if is_list && has_several(shape) && shape.reply.has(Name::Result) {
        wrong.add(
            "reply",
            "a call with a list of items has several results: name $results, as in \
             '{\"predictions\":[$results]}'",
        );
    }
    for pointer in &shape.reply.pointers {
        let outside = match &shape.results {
            Results::At(results) => !results.overlaps(pointer),
            _ => false,
        };
        if !outside {
            wrong.add(
                "reply",
                format!("{pointer} is not outside of the results, which are not for every caller"),
            );
        }
    }
}

/// Whether the texts that templates make are JSON.
fn texts(shape: &Shape, keys: &Keys, wrong: &mut Mistakes) {
    for sample in [r#"{"a":"b"}"#, r#""a""#, "1"] {
        let id = if shape.rewrite { "1" } else { sample };
        let id = if id.starts_with('{') { "\"a\"" } else { id };
        let value = |name| match name {
            Name::Item | Name::Body | Name::Result => sample.to_owned(),
            Name::Results => format!("{sample},{sample}"),
            Name::Id => id.to_owned(),
            Name::N | Name::Count | Name::Share(_) | Name::Status => "1".to_owned(),
            Name::At(_) => "null".to_owned(),
            Name::Problem => "{}".to_owned(),
            Name::Path(_) | Name::Detail | Name::Code | Name::Items => "\"a\"".to_owned(),
        };
        if !is_json(&shape.reply.filled(value)) {
            wrong.add("reply", not_json("a reply"));
            return;
        }
        if let Some(problem) = &shape.problem
            && !is_json(&problem.filled(value))
        {
            wrong.add("problem", not_json("a problem"));
            return;
        }
        let item = shape.item.filled(value);
        let items = [item.as_str(), &item].join(&String::from_utf8_lossy(&shape.join));
        let batch = match &shape.batch {
            None => format!("{{\"a\":[{items}]}}"),
            Some(batch) => batch.filled(|name| match name {
                Name::Items => items.clone(),
                other => value(other),
            }),
        };
        if !is_sound(shape, &batch) {
            let keys = [
                ("batch", keys.batch.is_some()),
                ("item", keys.item.is_some()),
                ("join", keys.join.is_some()),
            ];
            let given = keys.iter().find(|(_, is_given)| *is_given);
            let key = given.map_or("content_type", |(key, _)| key);
            wrong.add(key, not_json("a batch of its content type"));
            return;
        }
    }
}

fn not_json(what: &str) -> String {
    format!(
        "what it makes is not JSON, as {what} must be, with any JSON value in place of each name; \
         names stand where values do, never in quotes"
    )
}

/// Whether a batch is what its content type says, as far as that is known.
fn is_sound(shape: &Shape, batch: &str) -> bool {
    let content_type = shape.content_type.to_str().ok().and_then(essence);
    let Some(sub) = content_type.filter(|it| it.contains("json")) else {
        return true;
    };
    let lines = shape.flat || sub.contains("ndjson");
    let mut filled = batch.lines().filter(|it| !it.trim().is_empty());
    (!sub.contains("ndjson") && is_json(batch)) || (lines && filled.all(is_json))
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}
