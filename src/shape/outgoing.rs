//! Calls to the body of a batch.

use bytes::Bytes;

use super::call::{Call, Item, Items};
use super::form::Shape;
use super::pieces::{Spliced, Splicer};
use super::template::{Name, Piece, Template};

/// The most digits of a number in a batch.
const DIGITS: usize = 20;

/// The body of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// To be sent one after another.
    pub body: Spliced,
    /// Whether it is the only call's own body, whose answer is the caller's as it is.
    pub as_is: bool,
}

impl Shape {
    /// Writes a batch of calls whose frames and captures are equal, each as it came and in
    /// their order.
    ///
    /// Where ids are rewritten, items are numbered from `first_number` on, which is at
    /// least 1. With another one for each batch no answer that strays is taken for this
    /// one's.
    pub fn write<'a>(
        &self,
        calls: impl Iterator<Item = &'a Call> + Clone,
        first_number: u64,
    ) -> Outgoing {
        let mut both = calls.clone();
        let (first, second) = (both.next(), both.next());
        let Some(first) = first else {
            let body = Spliced::One(Bytes::new());
            return Outgoing { body, as_is: false };
        };
        if self.lone_as_is && second.is_none() {
            let body = Spliced::One(first.body.clone());
            return Outgoing { body, as_is: true };
        }
        let bytes = calls.clone().map(|call| self.copied_bytes(call));
        let room = bytes.sum::<usize>() + self.batch_bytes(first);
        let mut writer = Writer {
            shape: self,
            out: Splicer::with_capacity(room),
            count: calls.clone().map(Call::count).sum(),
            first_number,
        };
        writer.batch(first, calls);
        Outgoing {
            body: writer.out.finish(),
            as_is: false,
        }
    }

    /// The most bytes that a call adds to a batch.
    pub fn call_bytes(&self, call: &Call) -> usize {
        match &call.items {
            Items::Whole(item) if self.has_plain_items => item.span.len() + self.join.len(),
            _ => self.bytes(call, usize::MAX),
        }
    }

    /// The most bytes that a batch has besides what its calls add, whose frame is that of
    /// this one.
    pub fn batch_bytes(&self, call: &Call) -> usize {
        let frame = call.frame();
        let around = match &self.batch {
            Some(batch) => template_bytes(batch, call),
            None => frame.before.len() + frame.after.len() + "[]".len(),
        };
        // Nothing follows the last item.
        around.saturating_sub(self.join.len())
    }

    /// The same of batches that have no frame.
    pub fn batch_overhead(&self) -> usize {
        let around = match &self.batch {
            Some(batch) => fixed_bytes(batch, |_| NULL.len()),
            None => "[]".len(),
        };
        around.saturating_sub(self.join.len())
    }

    /// Of what a call adds to a batch, that which is copied.
    fn copied_bytes(&self, call: &Call) -> usize {
        self.bytes(call, super::pieces::COPIED_BELOW)
    }

    /// What a call adds to a batch, without parts of `from` bytes or more.
    fn bytes(&self, call: &Call, from: usize) -> usize {
        let part = |len: usize| if len < from { len } else { 0 };
        if self.has_plain_items {
            let items = call.items().iter();
            return items.map(|it| part(it.span.len()) + self.join.len()).sum();
        }
        let each = template_bytes(&self.item, call) + self.join.len();
        let rewritten = if self.rewrite { DIGITS } else { 0 };
        let items = call.items().iter().map(|item| {
            let own = self.item.names().map(|name| match name {
                Name::Item => part(item.span.len()) + rewritten,
                Name::Body => call.inner().map_or(NULL.len(), |it| part(it.len())),
                Name::Id => item.id.as_ref().map_or(0, |(_, at)| part(at.len())) + rewritten,
                _ => 0,
            });
            each + own.sum::<usize>()
        });
        items.sum()
    }
}

const NULL: &[u8] = b"null";

/// The most bytes of a template without what is a call's own.
fn template_bytes(template: &Template, call: &Call) -> usize {
    fixed_bytes(template, |at| call.path(at).map_or(NULL.len(), Bytes::len))
}

/// The same where what the path captured is so long.
fn fixed_bytes(template: &Template, path: impl Fn(usize) -> usize) -> usize {
    let names = template.names().map(|name| match name {
        Name::N | Name::Count => DIGITS,
        Name::Path(at) => path(at),
        _ => 0,
    });
    template.literal_len() + names.sum::<usize>()
}

struct Writer<'s> {
    shape: &'s Shape,
    out: Splicer,
    /// Of all items.
    count: usize,
    first_number: u64,
}

impl Writer<'_> {
    fn batch<'a>(&mut self, first: &Call, calls: impl Iterator<Item = &'a Call>) {
        let shape = self.shape;
        let Some(batch) = &shape.batch else {
            let place = match &first.items {
                Items::Whole(item) => item.span.range(),
                Items::List(list) => list.place.range(),
            };
            self.out.part(&first.body, 0..place.start, false);
            self.out.copy(b"[");
            self.items(calls);
            self.out.copy(b"]");
            let end = first.body.len();
            self.out.part(&first.body, place.end..end, false);
            return;
        };
        let mut calls = Some(calls);
        for piece in &batch.pieces {
            match piece {
                Piece::Text(text) => self.out.copy(text),
                Piece::Name(Name::Items) => calls.take().into_iter().for_each(|it| self.items(it)),
                Piece::Name(name) => self.common(*name, first),
            }
        }
    }

    fn items<'a>(&mut self, calls: impl Iterator<Item = &'a Call>) {
        let shape = self.shape;
        let plain = shape.has_plain_items;
        let mut n = 0_usize;
        for call in calls {
            for item in call.items() {
                if n > 0 {
                    self.out.copy(&shape.join);
                }
                match plain {
                    true => self.out.part(&call.body, item.span.range(), false),
                    false => self.item(call, item, n),
                }
                n += 1;
            }
        }
    }

    fn item(&mut self, call: &Call, item: &Item, n: usize) {
        let shape = self.shape;
        for piece in &shape.item.pieces {
            match piece {
                Piece::Text(text) => self.out.copy(text),
                Piece::Name(Name::Item) => self.raw_item(call, item, n),
                Piece::Name(Name::Id) => match &item.id {
                    Some(_) if shape.rewrite => self.wire_id(n),
                    Some((_, at)) => self.out.part(&call.body, at.range(), false),
                    None => self.out.copy(NULL),
                },
                Piece::Name(Name::Body) => match call.inner() {
                    Some(at) => self.out.part(&call.body, at.range(), shape.flat),
                    None => self.out.copy(NULL),
                },
                Piece::Name(Name::N) => self.out.number(n),
                Piece::Name(name) => self.common(*name, call),
            }
        }
    }

    fn raw_item(&mut self, call: &Call, item: &Item, n: usize) {
        let flat = self.shape.flat;
        match &item.id {
            Some((_, id)) if self.shape.rewrite => {
                let (item, id) = (item.span.range(), id.range());
                self.out.part(&call.body, item.start..id.start, flat);
                self.wire_id(n);
                self.out.part(&call.body, id.end..item.end, flat);
            }
            _ => self.out.part(&call.body, item.span.range(), flat),
        }
    }

    fn wire_id(&mut self, n: usize) {
        self.out.number(self.first_number.saturating_add(n as u64));
    }

    /// What is the same for all calls.
    fn common(&mut self, name: Name, call: &Call) {
        match name {
            Name::Count => self.out.number(self.count),
            Name::Path(at) => match call.path(at) {
                Some(text) => self.out.copy(text),
                None => self.out.copy(NULL),
            },
            _ => {}
        }
    }
}
