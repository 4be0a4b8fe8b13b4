//! One result: whether it is JSON, which part of it is the caller's, and what it says of
//! itself.

use super::form::{ElementForm, PartForm};
use super::nan;
use super::probe::What;
use super::span::Span;
use crate::job_id::JobId;
use crate::json::pointer::{Pointer, only, within};
use crate::json::scan::{self, Part};
use crate::json::{self, MAX_DEPTH};

/// A value in a result, which may stand there more than once. The places are those in the
/// result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Seen {
    #[default]
    Nowhere,
    At(Span),
    Twice,
}

impl Seen {
    fn add(&mut self, at: Span) {
        *self = match self {
            Self::Nowhere => Self::At(at),
            _ => Self::Twice,
        };
    }
}

/// A result that is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// All of it, as it is written.
    pub raw: &'a str,
    pub is_object: bool,
    pub id: Seen,
    pub index: Seen,
    /// What of it is the caller's.
    pub part: Seen,
    /// Whether that tells of an error.
    pub failed: bool,
    /// Its own status, if it has one that counts.
    pub status: Option<u16>,
}

impl<'a> Element<'a> {
    /// What stands there.
    pub fn written(&self, at: Span) -> &'a str {
        self.raw.get(at.range()).unwrap_or_default()
    }
}

/// What an answer has where a result should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    Sound(Element<'a>),
    /// Not JSON, or too deep or too long.
    Malformed(&'a [u8]),
}

/// The results of an answer.
#[derive(Default)]
pub(super) struct Reads<'a> {
    /// All, or as many as can count.
    pub first: Vec<Read<'a>>,
    /// How many there are.
    pub all: usize,
}

impl<'a> Read<'a> {
    /// All of it, as it is written.
    pub fn raw(&self) -> &'a [u8] {
        match self {
            Self::Sound(element) => element.raw.as_bytes(),
            Self::Malformed(raw) => raw,
        }
    }
}

/// Reads one result.
pub(super) fn read<'a>(form: &ElementForm, part: Part<'a>) -> Read<'a> {
    let raw = match json::text(part.raw) {
        Ok(text) if part.depth <= MAX_DEPTH && text.len() <= Span::LONGEST => text,
        _ => return Read::Malformed(part.raw),
    };
    let sound = look(form, raw, raw, Extent::Whole).or_else(|| {
        let covered = nan::covered(raw).filter(|_| form.nan)?;
        look(form, raw, &covered, Extent::Whole)
    });
    sound.map_or(Read::Malformed(part.raw), Read::Sound)
}

/// Reads the result with which a text begins that nothing is known of, if it is a sound one.
pub(super) fn read_beginning<'a>(form: &ElementForm, text: &'a str) -> Option<Element<'a>> {
    look(form, text, text, Extent::Beginning).filter(|it| it.raw.len() <= Span::LONGEST)
}

/// How much of a text a result is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Beginning,
}

/// Reads `text`, or its beginning, in which everything stands as it does in `raw`.
fn look<'a>(form: &ElementForm, raw: &'a str, text: &str, extent: Extent) -> Option<Element<'a>> {
    let mut element = Element {
        raw,
        is_object: false,
        id: Seen::Nowhere,
        index: Seen::Nowhere,
        part: Seen::Nowhere,
        failed: false,
        status: None,
    };
    let bytes = text.as_bytes();
    let mut status = None;
    let mut note = |what, value: &[u8]| match what {
        What::Id => element.id.add(Span::new(within(bytes, value))),
        What::Index => element.index.add(Span::new(within(bytes, value))),
        What::Part => element.part.add(Span::new(within(bytes, value))),
        What::Error => element.failed |= !matches!(value, b"null" | b"\"\""),
        What::Status => status = own_status(value),
    };
    let (checked, end) = form.outer.check(text, &mut note)?;
    if checked.depth > MAX_DEPTH {
        return None;
    }
    let end = match extent {
        Extent::Beginning => end,
        Extent::Whole if json::is_blank(&bytes[end..]) => bytes.len(),
        Extent::Whole => return None,
    };
    let bytes = &bytes[..end];
    element.raw = &raw[..end];
    if form.part == PartForm::OnlyMember {
        // It is JSON, so its parts can be told apart.
        let _ = scan::members(bytes, |_, value| note(What::Part, value.raw));
    }
    if form.part == PartForm::Whole {
        element.part = Seen::At(Span::new(0..end));
    } else if let Seen::At(part) = element.part {
        let mut note = |what, value: &[u8]| match what {
            What::Error => element.failed |= !matches!(value, b"null" | b"\"\""),
            _ => status = own_status(value),
        };
        form.inner.look(&bytes[part.range()], &mut note);
    }
    element.is_object = checked.shape == json::Shape::Object;
    element.status = status.filter(|status| match form.any_status {
        true => (200..=599).contains(status),
        false => element.failed && (400..=599).contains(status),
    });
    Some(element)
}

fn own_status(value: &[u8]) -> Option<u16> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What stands at a pointer in a result that is not JSON, where its parts can be told
/// apart and that one is JSON.
pub(super) fn odd<'a>(raw: &'a [u8], pointer: Option<&Pointer>) -> Option<&'a str> {
    let at = only(raw, pointer?.tokens())?;
    let value = std::str::from_utf8(&raw[at]).ok()?;
    serde_json::from_str::<&serde_json::value::RawValue>(value).ok()?;
    Some(value)
}

/// The id in a result that is not JSON, where [`odd`] finds one that is an id.
pub(super) fn odd_id<'a>(raw: &'a [u8], pointer: Option<&Pointer>) -> Option<&'a str> {
    odd(raw, pointer).filter(|id| JobId::parse(id).is_ok())
}
