//! A text put together from parts of others: small ones are copied next to each other,
//! large ones are shared.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Parts below this size, in bytes, are copied: there a copy costs less than a slice of
/// its own, in the vectored write and in what keeps track of it.
pub(super) const COPIED_BELOW: usize = 2_048;

/// A text in pieces. Most have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spliced {
    /// In one piece.
    One(Bytes),
    /// In several.
    Many(Vec<Bytes>),
}

impl Spliced {
    /// How long it is, in bytes.
    pub fn len(&self) -> usize {
        self.pieces().iter().map(Bytes::len).sum()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its pieces, in order.
    pub fn pieces(&self) -> &[Bytes] {
        match self {
            Self::One(piece) => std::slice::from_ref(piece),
            Self::Many(pieces) => pieces,
        }
    }

    /// Its pieces, in order.
    pub fn into_pieces(self) -> Vec<Bytes> {
        match self {
            Self::One(piece) => vec![piece],
            Self::Many(pieces) => pieces,
        }
    }

    /// All of it in one piece; copied where it is in several.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::One(piece) => piece,
            Self::Many(pieces) => Bytes::from(pieces.concat()),
        }
    }
}

/// Puts a text together.
#[derive(Debug, Default)]
pub(super) struct Splicer {
    done: Vec<Bytes>,
    copy: BytesMut,
}

impl Splicer {
    /// Room for so many copied bytes.
    pub fn with_capacity(copied: usize) -> Self {
        let copy = BytesMut::with_capacity(copied);
        let done = Vec::new();
        Self { done, copy }
    }

    /// Adds a copy.
    pub fn copy(&mut self, text: &[u8]) {
        self.copy.extend_from_slice(text);
    }

    /// Adds a number.
    pub fn number(&mut self, number: impl itoa::Integer) {
        self.copy(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Adds a part of a text, with its line breaks as spaces where it is to be `flat`.
    pub fn part(&mut self, of: &Bytes, range: Range<usize>, flat: bool) {
        let part = &of[range.clone()];
        if flat && super::template::has_line_break(part) {
            let line = |&byte: &u8| {
                if matches!(byte, b'\n' | b'\r') {
                    b' '
                } else {
                    byte
                }
            };
            self.copy.extend(part.iter().map(line));
        } else if part.len() < COPIED_BELOW {
            self.copy(part);
        } else {
            if !self.copy.is_empty() {
                self.done.push(self.copy.split().freeze());
            }
            self.done.push(of.slice(range));
        }
    }

    /// What was put together.
    pub fn finish(mut self) -> Spliced {
        if self.done.is_empty() {
            return Spliced::One(self.copy.freeze());
        }
        if !self.copy.is_empty() {
            self.done.push(self.copy.freeze());
        }
        Spliced::Many(self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_parts_are_shared_and_small_ones_are_next_to_each_other() {
        let large = Bytes::from("x".repeat(COPIED_BELOW));
        let small = Bytes::from_static(b"abc");
        let mut splicer = Splicer::default();
        for part in [&small, &small, &large, &small] {
            splicer.part(part, 0..part.len(), false);
        }
        splicer.number(7_u32);
        let spliced = splicer.finish();
        assert_eq!(spliced.pieces().len(), 3);
        assert_eq!(spliced.pieces()[1].as_ptr(), large.as_ptr());
        assert_eq!(spliced.len(), 2 * 3 + COPIED_BELOW + 4);
        assert!(spliced.into_bytes().ends_with(b"xabc7"));
    }

    #[test]
    fn line_breaks_become_spaces_where_they_must() {
        let text = Bytes::from_static(b"{\n \"a\":\r\n1}");
        for (flat, expected) in [(true, &b"{  \"a\":  1}"[..]), (false, &text)] {
            let mut splicer = Splicer::default();
            splicer.part(&text, 0..text.len(), flat);
            assert_eq!(splicer.finish().into_bytes(), expected);
        }
    }
}
