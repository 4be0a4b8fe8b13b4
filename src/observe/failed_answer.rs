//! What the operator sees of an answer that failed a whole batch.
//!
//! It goes to the log and the live page and never to a caller. Whatever the upstream
//! wrote is cut and escaped here, once.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION};
use serde::Serialize;

use crate::printable::excerpt;

/// The most characters of a body that are shown.
const EXCERPT: usize = 300;

/// An answer that failed a whole batch; what does not apply is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FailedAnswer {
    /// Its status.
    pub upstream_status: u16,
    /// Where it pointed, as a redirect does; without credentials, and the query
    /// redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Its `Content-Type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How it was compressed, if it was: its `Content-Encoding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// The first characters of its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

impl FailedAnswer {
    /// As many bytes of the body as an excerpt is made of: characters have four at
    /// most.
    pub const BYTES: usize = EXCERPT * 4;

    /// What its head says.
    pub fn new(status: u16, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            let value = headers.get(name)?.as_bytes();
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let shown = |text: String| excerpt(&text, EXCERPT);
        let location = text(LOCATION).filter(|_| (300..=399).contains(&status));
        let encoding = text(CONTENT_ENCODING).filter(|it| it != "identity");
        Self {
            upstream_status: status,
            // Before it is cut: what tells a secret by may be behind it.
            location: location.map(|it| shown(redacted(&it))),
            content_type: text(CONTENT_TYPE).map(shown),
            content_encoding: encoding.map(shown),
            excerpt: None,
        }
    }

    /// The same without anything of the body.
    pub fn without_body(mut self) -> Self {
        self.excerpt = None;
        self
    }

    /// The same with the beginning of the body, unless that is compressed.
    pub fn with_body(mut self, beginning: &[u8]) -> Self {
        let beginning = &beginning[..beginning.len().min(Self::BYTES)];
        if self.content_encoding.is_none() && !beginning.is_empty() {
            let text = String::from_utf8_lossy(beginning);
            self.excerpt = Some(excerpt(&text, EXCERPT));
        }
        self
    }
}

/// A URL without user information, and with the query and what follows redacted.
fn redacted(url: &str) -> String {
    let (path, has_query) = match url.find(['?', '#']) {
        Some(end) => (&url[..end], true),
        None => (url, false),
    };
    let authority = path.find("//").map_or(0, |at| at + 2);
    let end = path[authority..]
        .find('/')
        .map_or(path.len(), |at| authority + at);
    let host = path[authority..end].rfind('@');
    let host = host.map_or(authority, |at| authority + at + 1);
    let query = if has_query { "?…" } else { "" };
    format!("{}{}{query}", &path[..authority], &path[host..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> FailedAnswer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.insert(name, value.parse().unwrap());
        }
        FailedAnswer::new(status, &map)
    }

    #[test]
    fn a_body_is_cut_and_its_control_characters_are_escaped() {
        for (body, excerpt) in [
            (&b""[..], None),
            (
                b"plain, \"quoted\" \\ \xC3\xA9",
                Some("plain, \"quoted\" \\ é"),
            ),
            (b"a\nb\x1b[2J\0", Some("a\\nb\\u{1b}[2J\\u{0}")),
            ("\u{202E}reversed".as_bytes(), Some("\\u{202e}reversed")),
            (b"\xFF\xFE", Some("\u{FFFD}\u{FFFD}")),
        ] {
            let found = answer(500, &[]).with_body(body).excerpt;
            assert_eq!(found.as_deref(), excerpt, "{body:?}");
        }
        for (char, length) in [("a", 300), ("é", 512), ("\u{1}", 512)] {
            let found = answer(500, &[]).with_body(char.repeat(5000).as_bytes());
            let length_found = found.excerpt.unwrap().len();
            assert!(
                length_found <= length && length_found > length - 6,
                "{length_found} for {char:?}"
            );
        }
    }

    #[test]
    fn the_target_of_a_redirect_is_shown_without_secrets() {
        for (status, location, shown) in [
            (302, "/login", Some("/login")),
            (
                302,
                "https://other.example/a/b",
                Some("https://other.example/a/b"),
            ),
            (
                308,
                "https://u:p@h.example/a?token=x#y",
                Some("https://h.example/a?…"),
            ),
            (308, "//u@h/a@b", Some("//h/a@b")),
            (302, "?token=x", Some("?…")),
            (201, "/made", None),
        ] {
            let found = answer(status, &[("location", location)]).location;
            assert_eq!(found.as_deref(), shown, "{status} {location}");
        }
        // However long what is hidden is.
        let long = format!("https://{}@host/", "x".repeat(400));
        let found = answer(302, &[("location", &long)]).location;
        assert_eq!(found.as_deref(), Some("https://host/"));
    }

    #[test]
    fn a_compressed_body_is_named_and_not_shown() {
        for (encoding, compressed) in [("gzip", true), ("identity", false)] {
            let found = answer(200, &[("content-encoding", encoding)]).with_body(b"\x1f\x8b");
            assert_eq!(found.content_encoding.is_some(), compressed);
            assert_eq!(found.excerpt.is_none(), compressed);
        }
    }
}
