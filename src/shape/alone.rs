//! Why a call is forwarded by itself, as it came.

use std::fmt;

/// Why a call is not merged with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// A method other than POST.
    Method,
    /// A content type that the shape does not accept, or an answer wanted that is no JSON.
    Type,
    /// A `Content-Encoding`.
    Encoding,
    /// Not JSON, or nothing in it that would be an item.
    Form,
    /// An item, or the call, is over a limit.
    Size,
    /// It asks for another protocol.
    Upgrade,
    /// It asks for its answer in pieces.
    Stream,
    /// It has an `Idempotency-Key`.
    Key,
    /// It has a header twice of which one travels with the batch.
    Header,
}

impl Why {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Method,
        Self::Type,
        Self::Encoding,
        Self::Form,
        Self::Size,
        Self::Upgrade,
        Self::Stream,
        Self::Key,
        Self::Header,
    ];

    /// As metrics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Type => "type",
            Self::Encoding => "encoding",
            Self::Form => "form",
            Self::Size => "size",
            Self::Upgrade => "upgrade",
            Self::Stream => "stream",
            Self::Key => "key",
            Self::Header => "header",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
