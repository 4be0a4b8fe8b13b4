//! Where a batch goes: a URL, whose path and query may have `{name}` in place of what the
//! route's path captured.
//!
//! Compiled at start. What a caller wrote fills a place and never leaves it: it can neither
//! end the path or the query that it stands in, nor walk up the upstream's paths.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use thiserror::Error;
use url::{Position, Url};

use super::endpoint::Endpoint;

/// What no path can have, but for `%`: that is how a capture comes encoded.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What no query can have.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// What has a meaning in the value of a query's parameter.
const VALUE: &AsciiSet = &PATH.add(b'&').add(b'+').add(b'=').add(b';');

/// How [`Url`] writes braces in a path.
const BRACES: [[&str; 2]; 2] = [["{", "}"], ["%7B", "%7D"]];

/// An upstream's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    endpoint: Endpoint,
    /// None where there is nothing to fill in.
    parts: Option<Box<[Part]>>,
}

/// Why a URL can't be filled in.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// It has a placeholder for something that nothing gives.
    #[error("the route's path has no {{{0}}}")]
    NotCaptured(String),
    /// It has one where callers must not choose.
    #[error("a placeholder may stand in the path and in the query, not in the host")]
    Host,
    /// The same.
    #[error("a placeholder may stand in the path and in the query, not in the socket's own path")]
    Socket,
}

/// What nobody is asked for, whatever its route.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoSuchPath {
    /// A capture has a segment that is `.` or `..`.
    #[error("a path with the segment . or ..")]
    DotSegment,
    /// Path and query are longer than [`LONGEST`].
    #[error("a path and a query of more than {LONGEST} bytes")]
    TooLong,
    /// It has what can't stand in a path.
    #[error("no path that a request can have")]
    Malformed,
}

/// The longest path with its query that a request can have, in bytes: what [`http::Uri`]
/// takes.
pub const LONGEST: usize = u16::MAX as usize - 1;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// The capture of that number, in the path.
    Path(usize),
    /// The same as the value of a parameter.
    Query(usize),
}

impl From<Endpoint> for Target {
    /// As it is: braces in it are braces.
    fn from(endpoint: Endpoint) -> Self {
        let parts = None;
        Self { endpoint, parts }
    }
}

impl FromStr for Target {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(|it: Endpoint| it.into())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

impl Target {
    /// A URL whose placeholders stand for captures with these names, in this order.
    ///
    /// A `{word}` of letters, digits and `_` is a placeholder, and so is any captured name
    /// between braces; other braces are braces, and so are `%7b` and `%7d`.
    ///
    /// # Errors
    /// [`TargetError`], where it is not to be filled in so.
    pub fn compile(
        endpoint: impl Into<Endpoint>,
        captures: &[impl AsRef<str>],
    ) -> Result<Self, TargetError> {
        let endpoint = endpoint.into();
        let socket = endpoint.socket().map(|it| it.to_string_lossy());
        if socket.is_some_and(|it| it.contains(['{', '}'])) {
            return Err(TargetError::Socket);
        }
        let url = endpoint.url();
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        if authority.contains(['{', '}']) {
            return Err(TargetError::Host);
        }
        let mut parts = Vec::new();
        let path = &url[Position::BeforePath..Position::AfterPath];
        split(path, captures, Part::Path, &mut parts)?;
        let query = &url[Position::AfterPath..Position::AfterQuery];
        split(query, captures, Part::Query, &mut parts)?;
        let has_places = parts.iter().any(|it| !matches!(it, Part::Text(_)));
        let parts = has_places.then(|| parts.into_boxed_slice());
        Ok(Self { endpoint, parts })
    }

    /// Whom it calls, with its placeholders.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The URL, with its placeholders.
    pub fn url(&self) -> &Url {
        self.endpoint.url()
    }

    /// Whether every batch goes to the same path.
    pub(super) fn is_fixed(&self) -> bool {
        self.parts.is_none()
    }

    /// Path and query for a batch with these captures, percent-encoded as they came, and
    /// with its callers' query.
    ///
    /// # Errors
    /// [`NoSuchPath`]: nobody walks up the upstream's paths, or asks for more than fits.
    pub fn path_for(
        &self,
        captures: &[Box<str>],
        query: Option<&str>,
    ) -> Result<String, NoSuchPath> {
        if !self.is_fixed() && captures.iter().any(|it| walks(it)) {
            return Err(NoSuchPath::DotSegment);
        }
        let mut path = match &self.parts {
            None => self.url()[Position::BeforePath..Position::AfterQuery].to_owned(),
            Some(parts) => parts.iter().map(|it| it.filled(captures)).collect(),
        };
        if let Some(query) = query.filter(|it| !it.is_empty()) {
            match path.find('?') {
                None => path.push('?'),
                Some(at) if at + 1 < path.len() => path.push('&'),
                Some(_) => {}
            }
            path.extend(utf8_percent_encode(query, QUERY));
        }
        match path.len() {
            ..=LONGEST => Ok(path),
            _ => Err(NoSuchPath::TooLong),
        }
    }

    /// Whether a batch with these captures and this query can be sent.
    ///
    /// # Errors
    /// As [`path_for`](Self::path_for).
    pub fn check(&self, captures: &[Box<str>], query: Option<&str>) -> Result<(), NoSuchPath> {
        // Whatever is written is at most three times as long when it is encoded.
        let captured = captures.iter().map(|it| it.len()).sum::<usize>();
        let places = self.parts.as_ref().map_or(0, |parts| parts.len());
        let theirs = captured.saturating_mul(places) + query.map_or(0, |it| it.len() + 1);
        let fits = theirs.saturating_mul(3) + self.url().as_str().len() <= LONGEST;
        if fits && !captures.iter().any(|it| walks(it)) {
            return Ok(());
        }
        self.path_for(captures, query).map(drop)
    }
}

impl Part {
    fn filled<'a>(&'a self, captures: &'a [Box<str>]) -> Cow<'a, str> {
        let capture = |at: &usize| captures.get(*at).map_or("", |it| &**it);
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Path(at) => utf8_percent_encode(capture(at), PATH).into(),
            Self::Query(at) => utf8_percent_encode(capture(at), VALUE).into(),
        }
    }
}

/// Whether one of the segments of what a path captured, however encoded, is `.` or `..`, as it
/// is or without its parameters (RFC 3986, section 3.3): some servers take them off before
/// they walk.
pub fn walks(capture: &str) -> bool {
    capture.contains(['.', '%'])
        && percent_decode_str(capture)
            .decode_utf8_lossy()
            .split(['/', '\\'])
            .filter_map(|it| it.split(';').next())
            .any(|it| matches!(it, "." | ".."))
}

/// Splits a part of a URL at its placeholders.
fn split(
    text: &str,
    captures: &[impl AsRef<str>],
    place: fn(usize) -> Part,
    parts: &mut Vec<Part>,
) -> Result<(), TargetError> {
    let (mut literal, mut from) = (0, 0);
    while let Some((start, [open, close])) = next_brace(text, from) {
        from = start + open.len();
        let Some(length) = text[from..].find(close) else {
            continue;
        };
        let name = percent_decode_str(&text[from..from + length]).decode_utf8_lossy();
        match captures.iter().position(|it| it.as_ref() == name) {
            Some(at) => {
                parts.push(Part::Text(text[literal..start].into()));
                parts.push(place(at));
                from += length + close.len();
                literal = from;
            }
            None if is_word(&name) => return Err(TargetError::NotCaptured(name.into_owned())),
            None => {}
        }
    }
    parts.push(Part::Text(text[literal..].into()));
    Ok(())
}

/// The first brace from there on, and how it and its other half are written.
fn next_brace(text: &str, from: usize) -> Option<(usize, [&'static str; 2])> {
    let found = BRACES.into_iter().filter_map(|braces| {
        let at = text[from..].find(braces[0])?;
        Some((from + at, braces))
    });
    found.min_by_key(|it| it.0)
}

fn is_word(name: &str) -> bool {
    let is_part = |it: char| it.is_alphanumeric() || it == '_';
    !name.is_empty() && name.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(url: &str, captures: &[&str]) -> Result<Target, TargetError> {
        Target::compile(url.parse::<Endpoint>().unwrap(), captures)
    }

    #[test]
    fn placeholders_are_filled_where_they_stand() {
        for (url, captures, query, expected) in [
            ("http://h", &[][..], None, "/"),
            ("http://h/a?b=1", &[], Some("c=2&d"), "/a?b=1&c=2&d"),
            ("http://h/a?", &[], Some("c"), "/a?c"),
            ("http://h/a", &[], Some("c=%20?"), "/a?c=%20?"),
            ("http://h/a", &[], Some(""), "/a"),
            ("http://h/{x}", &["m%20n:predict"], None, "/m%20n:predict"),
            ("unix:/s", &[], None, "/"),
            ("unix:/s:/v1/{x}?a", &["m:n"], Some("b"), "/v1/m:n?a&b"),
            (
                "http://h/a/{x}/{y}.b/{x}",
                &["1", "2"],
                Some("q"),
                "/a/1/2.b/1?q",
            ),
            (
                "http://h/{y}?m={x}&n",
                &["a&b=c+d%26", "2"],
                Some("q"),
                "/2?m=a%26b%3Dc%2Bd%26&n&q",
            ),
            ("http://h/{x}", &["a/b/c"], None, "/a/b/c"),
            ("http://h/%7bx%7d/{", &["1"], None, "/%7bx%7d/%7B"),
            (
                "http://h/{\"a\"}?q={\"a\":1}",
                &[],
                None,
                "/%7B%22a%22%7D?q={%22a%22:1}",
            ),
            ("http://h/{ü}", &["1", "2", "3"], None, "/3"),
            // What no URI of a request can have; nothing is taken for an end.
            (
                "http://h/{x}/b",
                &["a?b#c d"],
                Some("e#f g"),
                "/a%3Fb%23c%20d/b?e%23f%20g",
            ),
        ] {
            let target = compile(url, &["x", "y", "ü"]).unwrap();
            let captures: Vec<Box<str>> = captures.iter().map(|&it| it.into()).collect();
            let path = target.path_for(&captures, query);
            assert_eq!(path.as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn nobody_walks_up_the_paths_of_an_upstream() {
        let target = compile("http://h/a/{x}/b", &["x"]).unwrap();
        for capture in [
            ".",
            "..",
            "%2e",
            "%2E.",
            "a/../b",
            "a%2F..%2fb",
            "..%5Cb",
            "..\\b",
            "a/.",
            // What servers cut off before they look (servlet containers do).
            "..;x",
            "a/..;/b",
            "%2e%2E%3bx=1",
            ".;",
        ] {
            let path = target.path_for(&[capture.into()], None);
            assert_eq!(path, Err(NoSuchPath::DotSegment), "{capture}");
            let checked = target.check(&[capture.into()], None);
            assert_eq!(checked, Err(NoSuchPath::DotSegment), "{capture}");
        }
        for capture in ["...", "a.b", "..a", "%2ea", "", "a;..", "...;", ";a"] {
            let path = target.path_for(&[capture.into()], None);
            assert_eq!(path, Ok(format!("/a/{capture}/b")));
        }
    }

    #[test]
    fn whatever_is_written_makes_a_path_that_can_be_asked_for_while_it_fits() {
        let target = compile("http://h/{x}/{x}?y={x}", &["x"]).unwrap();
        for odd in (0..0x3000).filter_map(char::from_u32) {
            let odd = odd.to_string();
            let path = target.path_for(&[format!("a{odd}").into()], Some(&odd));
            let path = http::uri::PathAndQuery::try_from(path.unwrap());
            assert!(path.is_ok(), "{odd:?}: {path:?}");
        }
        // What is fixed is "//?y=" and "&".
        for (captured, query, taken) in [
            ("a".repeat(20_000), "q".repeat(LONGEST - 60_006), true),
            ("a".repeat(20_000), "q".repeat(LONGEST - 60_005), false),
            ("a".repeat(21_843), "q".to_owned(), false),
            ("\u{e4}".repeat(3_600), String::new(), true),
            ("\u{e4}".repeat(3_700), String::new(), false),
        ] {
            let captures = [captured.into_boxed_str()];
            let path = target.path_for(&captures, Some(&query));
            let uri = path.map(|it| it.parse::<http::Uri>().is_ok());
            let expected = match taken {
                true => Ok(true),
                false => Err(NoSuchPath::TooLong),
            };
            assert_eq!(uri, expected);
            let checked = target.check(&captures, Some(&query));
            assert_eq!(checked.map(|()| true), expected);
        }
    }

    #[test]
    fn a_placeholder_stands_for_what_the_path_captures() {
        let captured = |name: &str| Err(TargetError::NotCaptured(name.to_owned()));
        for (url, expected) in [
            ("http://h/{x}", Ok(false)),
            ("http://h/?a={x}", Ok(false)),
            ("http://h/", Ok(true)),
            ("http://h/{model}", captured("model")),
            ("http://h/{x}?{a_1}", captured("a_1")),
            ("http://h/{X}", captured("X")),
            ("http://{x}/", Err(TargetError::Host)),
            ("http://a{x}.b:1/", Err(TargetError::Host)),
            ("http://u{x}:{p}@h/", Ok(true)),
            ("unix:/s:/{x}", Ok(false)),
            ("unix:/s:/?a={x}", Ok(false)),
            ("unix:/s", Ok(true)),
            ("unix:/{x}:/", Err(TargetError::Socket)),
        ] {
            let found = compile(url, &["x"]).map(|it| it.is_fixed());
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn a_plain_url_is_as_it_is() {
        let target: Target = "http://h/{x}?{y}".parse().unwrap();
        assert_eq!(target.path_for(&[], None).as_deref(), Ok("/%7Bx%7D?{y}"));
        assert_eq!(target.to_string(), "http://h/%7Bx%7D?{y}");
    }
}
