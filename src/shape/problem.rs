//! What a caller gets when the proxy has to speak itself, in the form that its client
//! understands.

use bytes::Bytes;

use super::form::Shape;
use super::pieces::Splicer;
use super::template::{Name, Piece};

/// What is known of a problem.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// What happened, and what to do.
    pub detail: &'a str,
    /// Its code.
    pub code: &'a str,
    /// The usual status of that code.
    pub status: u16,
    /// The id of the call as JSON, where it is known.
    pub id: Option<&'a [u8]>,
    /// The whole document (RFC 9457).
    pub document: &'a [u8],
}

impl Shape {
    /// The body of a problem, which is JSON; nothing where that is the document itself.
    pub fn problem(&self, problem: Problem<'_>) -> Option<Bytes> {
        let template = self.problem.as_ref()?;
        let mut out = Splicer::default();
        let quoted = |text: &str| serde_json::to_vec(text).unwrap_or_default();
        for piece in &template.pieces {
            match piece {
                Piece::Text(text) => out.copy(text),
                Piece::Name(Name::Detail) => out.copy(&quoted(problem.detail)),
                Piece::Name(Name::Code) => out.copy(&quoted(problem.code)),
                Piece::Name(Name::Status) => out.number(problem.status),
                Piece::Name(Name::Id) => out.copy(problem.id.unwrap_or(b"null")),
                Piece::Name(Name::Problem) => out.copy(problem.document),
                Piece::Name(_) => {}
            }
        }
        Some(out.finish().into_bytes())
    }
}
