//! A call that was read: its body as it came, and where in it the items stand.

use std::sync::Arc;

use bytes::Bytes;

use super::kinds::Kinds;
use super::span::Span;
use crate::job_id::JobId;

/// What one caller sent, to be merged with what others did.
///
/// Its items are slices of its body. Two calls may share a batch only if their
/// [frames](Call::frame) are equal, and whatever else travels with the batch is.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) body: Bytes,
    pub(super) items: Items,
    pub(super) kinds: Kinds,
    /// Boxed, since most calls have none and every call is moved.
    pub(super) extra: Option<Box<Extra>>,
}

/// What few calls have.
#[derive(Clone, Debug, Default)]
pub(super) struct Extra {
    /// Where the body of a job stands, if anybody asks.
    pub inner: Option<Span>,
    /// What the path captured, each as a JSON string; empty where no template asks.
    pub path: Vec<Bytes>,
    /// Where the call may go as it came, and the type of a batch is another one.
    pub content_type: Option<Box<str>>,
}

/// Where the items stand.
#[derive(Clone, Debug)]
pub(super) enum Items {
    /// The whole body.
    Whole(Item),
    /// In a list, or in the place of one. Clones share it.
    List(Arc<List>),
}

/// A list of items, and what surrounds it.
#[derive(Clone, Debug)]
pub(super) struct List {
    /// The list's value, brackets included, or the single item.
    pub place: Span,
    /// At least one.
    pub items: Vec<Item>,
}

/// One item.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Where in the call's body it stands.
    pub span: Span,
    /// What it is known by, and where that stands in the call's body.
    pub id: Option<(JobId, Span)>,
}

/// What surrounds the items of a call, and what kinds they are of, where that counts.
///
/// Equal where calls may share a batch, as far as their bodies tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame<'a> {
    /// What stands before the items.
    pub before: &'a [u8],
    /// What stands after them.
    pub after: &'a [u8],
    /// Of the items.
    pub kinds: Kinds,
}

impl Call {
    /// The body, without outer whitespace.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The same call, which keeps its own bytes alone of the memory that it was read from.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.body = Bytes::copy_from_slice(&self.body);
        self
    }

    /// Its own content type, for when it goes as it came; nothing where that is the
    /// shape's.
    pub fn content_type(&self) -> Option<&str> {
        self.extra.as_ref()?.content_type.as_deref()
    }

    /// What it may share with others.
    pub fn frame(&self) -> Frame<'_> {
        let (before, after) = match &self.items {
            Items::Whole(_) => (&[][..], &[][..]),
            Items::List(list) => {
                let place = list.place.range();
                (&self.body[..place.start], &self.body[place.end..])
            }
        };
        Frame {
            before,
            after,
            kinds: self.kinds,
        }
    }

    /// How many items it has; at least one.
    pub fn count(&self) -> usize {
        self.items().len()
    }

    /// The id of a call that is one item, if it is known by one.
    pub fn id(&self) -> Option<&JobId> {
        self.known_by().map(|(id, _)| id)
    }

    /// The same, as the caller wrote it.
    pub fn raw_id(&self) -> Option<&[u8]> {
        self.known_by().map(|(_, at)| &self.body[at.range()])
    }

    /// A number for the id of each item. Two calls that have one in common have, but for
    /// chance, an id in common.
    pub fn keys(&self) -> impl Iterator<Item = u64> {
        let ids = self.items().iter().filter_map(|item| item.id.as_ref());
        ids.map(|(id, _)| id.fingerprint())
    }

    fn known_by(&self) -> Option<&(JobId, Span)> {
        match &self.items {
            Items::Whole(item) => item.id.as_ref(),
            Items::List(_) => None,
        }
    }

    /// Where the body of a job stands, if anybody asks and there is one.
    pub(super) fn inner(&self) -> Option<Span> {
        self.extra.as_ref()?.inner
    }

    /// What the path captured there, as a JSON string.
    pub(super) fn path(&self, at: usize) -> Option<&Bytes> {
        self.extra.as_ref()?.path.get(at)
    }

    pub(super) fn items(&self) -> &[Item] {
        match &self.items {
            Items::Whole(item) => std::slice::from_ref(item),
            Items::List(list) => &list.items,
        }
    }

    /// How long its items are together, in bytes.
    pub(super) fn items_len(&self) -> usize {
        self.items().iter().map(|item| item.span.len()).sum()
    }
}
