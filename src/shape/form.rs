//! A shape, compiled: plain values that are read by those who read and write by it.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::kinds::Singles;
use super::probe::Probe;
use super::template::{Name, Template};
use crate::json::pointer::Pointer;

/// How calls become a batch, and how its answer becomes replies.
///
/// Immutable, and without any state: what it says depends on what it is given alone.
#[derive(Clone, Debug)]
pub struct Shape {
    pub(super) call: CallForm,
    pub(super) single: Singles,
    /// Where an item has its id, if anybody asks for it.
    pub(super) item_id: Option<Pointer>,
    /// Whether an item without an id can't be in a batch.
    pub(super) needs_id: bool,
    /// Whether two items of one id can't.
    pub(super) keeps_apart: bool,
    /// Where an item that may be merged, which is an object then, has strings.
    pub(super) require: Option<Vec<Pointer>>,
    pub(super) item: Template,
    /// Whether an item stands in the batch as it came.
    pub(super) has_plain_items: bool,
    /// Whether `$body` is asked for.
    pub(super) needs_body: bool,
    /// Whether what the path captured is.
    pub(super) needs_path: bool,
    /// Whether line breaks in items would end something.
    pub(super) flat: bool,
    /// How many levels deeper an item stands in the batch than by itself.
    pub(super) levels: usize,
    /// None where the calls' own frame surrounds the items.
    pub(super) batch: Option<Template>,
    pub(super) join: Bytes,
    pub(super) content_type: HeaderValue,
    pub(super) accept: Accept,
    pub(super) lone_as_is: bool,
    pub(super) results: Results,
    pub(super) matching: Matching,
    pub(super) rewrite: bool,
    pub(super) element: ElementForm,
    pub(super) error_status: u16,
    pub(super) reply: Template,
    /// Whether a reply is its result as it came.
    pub(super) has_plain_replies: bool,
    pub(super) reply_headers: Vec<HeaderName>,
    pub(super) problem: Option<Template>,
    pub(super) problem_status: Option<u16>,
    pub(super) answers: Vec<(u16, u16)>,
    pub(super) refusal_one: bool,
}

/// What a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallForm {
    /// A job, as `POST /jobs` takes it.
    Job,
    /// One item.
    Item,
    /// A list of items stands there.
    List(Pointer),
}

/// Which content types are merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Accept {
    /// JSON types, as on `POST /jobs`.
    Json,
    /// These, in lower case and without parameters.
    These(Vec<String>),
}

/// Where an answer has its results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Results {
    /// In an array there.
    At(Pointer),
    /// One on each line.
    Lines,
    /// All of it is everybody's.
    Same,
    /// Nowhere.
    None,
}

/// How a result finds its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matching {
    Id,
    Index,
    Position,
}

/// What is looked for in a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ElementForm {
    pub id: Option<Pointer>,
    /// Where it is matched by index.
    pub index: Option<Pointer>,
    pub part: PartForm,
    /// Where in that part a result tells that it failed.
    pub error: Option<Pointer>,
    /// Whether a status counts without an error, and success as well.
    pub any_status: bool,
    pub nan: bool,
    /// Of a whole result.
    pub outer: Probe,
    /// Of the caller's part, where that is not the whole.
    pub inner: Probe,
}

/// Which part of a result is the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PartForm {
    /// All of it.
    Whole,
    /// The value of its only member.
    OnlyMember,
    /// What stands there.
    At(Pointer),
}

impl Shape {
    /// Whether what can't be merged goes alone, as it came. Where calls are jobs it is an
    /// error instead.
    pub fn lets_alone(&self) -> bool {
        self.call != CallForm::Job
    }

    /// Whether calls with an id in common may not share a batch; [`Call::keys`] tells them.
    ///
    /// [`Call::keys`]: super::call::Call::keys
    pub fn keeps_apart(&self) -> bool {
        self.keeps_apart
    }

    /// The content types of calls that are merged.
    pub fn call_types(&self) -> Vec<String> {
        match &self.accept {
            Accept::Json => vec!["application/json".to_owned()],
            Accept::These(types) => types.clone(),
        }
    }

    /// Whether what the proxy says itself has a form of the shape's own.
    pub fn has_own_problems(&self) -> bool {
        self.problem.is_some()
    }

    /// The content type of a batch that does not go as it came.
    pub fn content_type(&self) -> &HeaderValue {
        &self.content_type
    }

    /// Headers of an answer that every caller gets too.
    pub fn reply_headers(&self) -> &[HeaderName] {
        &self.reply_headers
    }

    /// The status of every problem, where it is not the usual one of its code.
    pub fn problem_status(&self) -> Option<u16> {
        self.problem_status
    }

    /// Whether the body of an answer with this status is to be read for results.
    pub fn holds_results(&self, status: u16) -> bool {
        let mut answers = self.answers.iter();
        answers.any(|(from, to)| (*from..=*to).contains(&status))
    }

    /// Whether any 2xx answers every member, and nothing is read.
    pub fn has_no_results(&self) -> bool {
        self.results == Results::None
    }

    /// Whether an upstream sees the ids of items.
    pub(super) fn shows_ids(&self) -> bool {
        self.item.has(Name::Item) || self.item.has(Name::Id)
    }
}
