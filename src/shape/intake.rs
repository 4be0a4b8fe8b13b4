//! From a request's body to a call, or to why it is none.
//!
//! The body is one JSON document or it is not merged: then its parts can be told apart by
//! strings and brackets alone, each item is a JSON value by itself, and no parser sees more
//! items, or others, than are counted here. What strict parsers refuse, and a whole text for
//! it, is not merged either, unless it is a job; nor is a name on the way to the items, or
//! to an id, that stands there twice or beside another in other letters, capital or small:
//! parsers disagree about which counts.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::alone::Why;
use super::call::{Call, Extra, Item, Items, List};
use super::form::{Accept, CallForm, Shape};
use super::job_error::JobError;
use super::kinds::{Kind, Kinds};
use super::media::is_taken_for_json;
use super::span::Span;
use crate::job_id::JobId;
use crate::json::pointer::{Pointer, only_in_any_case as only, within};
use crate::json::{self, AnyCase, Wanted, scan};

/// What is known of a request besides its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Its `Content-Type`.
    pub content_type: Option<&'a str>,
    /// What the route's path captured, in the order of the names that the shape was
    /// compiled with.
    pub captures: &'a [&'a str],
}

/// What may be merged.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Levels that a body may nest, itself the first.
    pub max_depth: usize,
    /// Items in a batch.
    pub max_items: usize,
    /// Bytes of a batch.
    pub max_bytes: usize,
}

/// Why a request's body is no call that can be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotMerged {
    /// It goes alone, as it came.
    Alone(Why),
    /// It is to be a job, and is none.
    NoJob(JobError),
}

impl From<Why> for NotMerged {
    fn from(why: Why) -> Self {
        Self::Alone(why)
    }
}

impl Shape {
    /// Whether a body of that type may be merged. Of jobs it is asked before.
    pub fn accepts(&self, content_type: Option<&str>) -> bool {
        match &self.accept {
            Accept::Json => is_taken_for_json(content_type),
            Accept::These(these) => content_type
                .and_then(super::media::essence)
                .is_some_and(|it| these.contains(&it)),
        }
    }

    /// Reads a request's body, whose memory the call keeps.
    ///
    /// # Errors
    /// Why it is not merged; with jobs always [`NotMerged::NoJob`], else never that.
    pub fn read(
        &self,
        body: Bytes,
        request: Request<'_>,
        limits: Limits,
    ) -> Result<Call, NotMerged> {
        if self.call != CallForm::Job && !self.accepts(request.content_type) {
            return Err(Why::Type.into());
        }
        let body = json::trim(body);
        if body.len() > Span::LONGEST {
            return Err(match self.call {
                CallForm::Job => malformed(format!("longer than {} bytes", Span::LONGEST)),
                _ => Why::Size.into(),
            });
        }
        let mut inner = None;
        // What fits by itself is not to be too deep for an upstream in a batch.
        let within = Limits {
            max_depth: limits.max_depth.saturating_sub(self.levels).max(1),
            ..limits
        };
        let (items, kinds) = match &self.call {
            CallForm::Job => (self.job(&body, limits, &mut inner)?, Kinds::default()),
            CallForm::Item => self.item(&body, within)?,
            CallForm::List(pointer) => self.list(&body, pointer, within)?,
        };
        let extra = self.extra(request, inner);
        let call = Call {
            body,
            items,
            kinds,
            extra,
        };
        match self.lets_alone() && self.lone_bytes(&call) > limits.max_bytes {
            true => Err(Why::Size.into()),
            false => Ok(call),
        }
    }

    /// The most bytes that the call has in a batch of its own.
    fn lone_bytes(&self, call: &Call) -> usize {
        let batch = self.call_bytes(call) + self.batch_bytes(call);
        batch.max(call.body.len())
    }

    /// A job, by the rules of `POST /jobs`; `inner` is where its body stands, if that counts.
    fn job(
        &self,
        body: &[u8],
        limits: Limits,
        inner: &mut Option<Span>,
    ) -> Result<Items, NotMerged> {
        let text = json::text(body).map_err(|it| malformed(format!("not UTF-8: {it}")))?;
        let (mut id, mut ids) = (None, 0_usize);
        let names: &[&str] = if self.needs_body {
            &["id", "body"]
        } else {
            &["id"]
        };
        let checked = json::visit_members(text, names, |name, value| match name {
            0 => {
                id.get_or_insert(value);
                ids += 1;
            }
            // The last of several counts, as with most parsers.
            _ => *inner = Some(Span::new(within(body, value.as_bytes()))),
        });
        let checked = checked.map_err(|error| malformed(error.to_string()))?;
        if checked.depth > limits.max_depth {
            let levels = limits.max_depth;
            return Err(malformed(format!("nested deeper than {levels} levels")));
        }
        if self.needs_body && checked.is_suspect && !json::strict::takes(body) {
            let what = "half of a surrogate pair, or a number beyond all that others can read";
            return Err(malformed(format!("it has {what}")));
        }
        let id = match (checked.shape, id, ids) {
            (json::Shape::Other, ..) => Err(JobError::NotAnObject),
            (_, None, _) => Err(JobError::NoId),
            (_, Some(id), 1) => JobId::parse(id)
                .map(|it| (it, Span::new(within(body, id.as_bytes()))))
                .map_err(JobError::Id),
            _ => Err(JobError::TwoIds),
        };
        Ok(Items::Whole(Item {
            span: Span::new(0..body.len()),
            id: Some(id.map_err(NotMerged::NoJob)?),
        }))
    }

    fn item(&self, body: &[u8], limits: Limits) -> Result<(Items, Kinds), NotMerged> {
        let id = document(body, self.item_id.as_ref(), limits)?;
        let mut kinds = Kinds::default();
        if self.single.any() {
            let kind = Kind::of(body);
            if !self.single.has(kind) {
                return Err(Why::Form.into());
            }
            kinds.add(kind);
        }
        let item = self.one(body, 0..body.len(), id)?;
        Ok((Items::Whole(item), kinds))
    }

    fn list(
        &self,
        body: &[u8],
        pointer: &Pointer,
        limits: Limits,
    ) -> Result<(Items, Kinds), NotMerged> {
        let place = document(body, Some(pointer), limits)?.ok_or(Why::Form)?;
        let value = &body[place.clone()];
        let is_list = value.first() == Some(&b'[');
        let kind = self.single.any().then(|| Kind::of(value));
        let mut raw = Vec::new();
        match kind {
            Some(kind) if self.single.has(kind) => raw.push(value),
            _ if is_list => {
                scan::elements(value, |element| raw.push(element.raw)).map_err(|_| Why::Form)?;
            }
            _ => return Err(Why::Form.into()),
        }
        if raw.is_empty() {
            return Err(Why::Form.into());
        }
        if raw.len() > limits.max_items {
            return Err(Why::Size.into());
        }
        let mut kinds = Kinds::default();
        if self.single.any() {
            raw.iter().for_each(|item| kinds.add(Kind::of(item)));
        }
        let items = raw.into_iter().map(|item| {
            let range = within(body, item);
            let id = self.item_id.as_ref().and_then(|id| only(item, id.tokens()));
            let id = id.map(|at| range.start + at.start..range.start + at.end);
            self.one(body, range, id)
        });
        let items = items.collect::<Result<Vec<_>, _>>()?;
        if self.keeps_apart && has_twins(&items) {
            return Err(Why::Form.into());
        }
        let place = Span::new(place);
        Ok((Items::List(Arc::new(List { place, items })), kinds))
    }

    /// The item that stands there in `body`, and what it may be known by.
    fn one(
        &self,
        body: &[u8],
        range: Range<usize>,
        id: Option<Range<usize>>,
    ) -> Result<Item, NotMerged> {
        let id = id.and_then(|at| {
            let written = str::from_utf8(&body[at.clone()]).ok()?;
            Some((JobId::parse(written).ok()?, Span::new(at)))
        });
        match id.is_none() && self.needs_id || !self.is_as_required(&body[range.clone()]) {
            true => Err(Why::Form.into()),
            false => Ok(Item {
                span: Span::new(range),
                id,
            }),
        }
    }

    /// Whether an item is what an upstream takes that would refuse a whole batch for one
    /// that is not.
    fn is_as_required(&self, item: &[u8]) -> bool {
        let Some(pointers) = &self.require else {
            return true;
        };
        let has_string = |it: &Pointer| {
            let found = only(item, it.tokens());
            found.is_some_and(|at| {
                item[at.clone()].first() == Some(&b'"') && at.len() > "\"\"".len()
            })
        };
        item.first() == Some(&b'{') && pointers.iter().all(has_string)
    }

    fn extra(&self, request: Request<'_>, inner: Option<Span>) -> Option<Box<Extra>> {
        let own = request.content_type;
        let own = own.filter(|it| self.lone_as_is && self.content_type != *it);
        if own.is_none() && inner.is_none() && !self.needs_path {
            return None;
        }
        let quoted = |it: &&str| serde_json::to_vec(it).unwrap_or_default().into();
        let captures = request.captures.iter().filter(|_| self.needs_path);
        Some(Box::new(Extra {
            inner,
            path: captures.map(quoted).collect(),
            content_type: own.map(Into::into),
        }))
    }
}

fn malformed(error: String) -> NotMerged {
    NotMerged::NoJob(JobError::Malformed(error))
}

/// Where the pointer's value stands in `body`, as [`only`] tells it, if that is one JSON
/// document that may be merged.
fn document(
    body: &[u8],
    pointer: Option<&Pointer>,
    limits: Limits,
) -> Result<Option<Range<usize>>, Why> {
    let text = json::text(body).map_err(|_| Why::Form)?;
    let tokens = pointer.map(Pointer::tokens);
    // Almost always it has one name or none, which is found while the document is checked.
    let name = tokens.and_then(|it| it.first()).map(String::as_str);
    let (mut streams, mut found, mut times) = (false, None, 0_usize);
    let names = [
        Name::AnyCase("stream"),
        Name::Exactly(name.unwrap_or_default()),
        Name::AnyCase(name.unwrap_or_default()),
    ];
    let names = if name.is_some() {
        &names[..]
    } else {
        &names[..1]
    };
    let checked = json::visit_members(text, names, |name, value| match name {
        0 => streams |= value == "true",
        1 => {
            found = Some(value.as_bytes());
            times += 1;
        }
        // A twin, which some parsers would take.
        _ => times += 1,
    });
    let checked = checked.map_err(|_| Why::Form)?;
    if checked.depth > limits.max_depth || checked.is_suspect && !json::strict::takes(body) {
        return Err(Why::Form);
    }
    if streams {
        return Err(Why::Stream);
    }
    let streams = |name| AnyCase("stream").is(name);
    let outermost = checked.shape == json::Shape::Object && !name.is_some_and(streams);
    Ok(match tokens {
        Some([_, rest @ ..]) if outermost => found.filter(|_| times == 1).and_then(|value| {
            let (at, inner) = (within(body, value), only(value, rest)?);
            Some(at.start + inner.start..at.start + inner.end)
        }),
        Some(tokens) => only(body, tokens),
        None => None,
    })
}

/// What a member at the top may be called.
enum Name<'a> {
    Exactly(&'a str),
    AnyCase(&'a str),
}

impl Wanted for Name<'_> {
    fn is(&self, name: &str) -> bool {
        match self {
            Self::Exactly(wanted) => wanted.is(name),
            Self::AnyCase(wanted) => AnyCase(wanted).is(name),
        }
    }
}

fn has_twins(items: &[Item]) -> bool {
    let ids = items.iter().filter_map(|item| item.id.as_ref());
    let mut known = std::collections::HashSet::with_capacity(items.len());
    items.len() > 1 && !ids.into_iter().all(|(id, _)| known.insert(id))
}
