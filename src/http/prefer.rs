//! What a request would have rather than not (RFC 7240).

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::HeaderName;

pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The preferences that are known here. Of one that is given twice the first counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Preferences {
    /// The seconds of `wait=…`.
    pub wait: Option<Duration>,
    /// `respond-async`.
    pub respond_async: bool,
}

impl Preferences {
    /// Those of all `Prefer` headers, which are one list.
    pub fn of(all: &HeaderMap) -> Self {
        let values = all.get_all(PREFER).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        let (mut wait, mut respond_async) = (None, false);
        for preference in values.flat_map(|value| parts(value, ',')) {
            // Parameters, which come after it, are none of ours.
            let preference = parts(preference, ';').next().unwrap_or_default();
            let (name, value) = match preference.split_once('=') {
                Some((name, value)) => (name, Some(value.trim().trim_matches('"'))),
                None => (preference, None),
            };
            let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
            match value {
                Some(seconds) if wait.is_none() && is("wait") => wait = Some(seconds.parse()),
                // An empty value is none (section 2).
                None | Some("") if is("respond-async") => respond_async = true,
                _ => {}
            }
        }
        Self {
            wait: wait.and_then(Result::ok).map(Duration::from_secs),
            respond_async,
        }
    }
}

/// The parts of a text between separators that do not stand in quotes.
fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.find(|letter| {
            let (was_escaped, was_quoted) = (escaped, quoted);
            escaped = quoted && !was_escaped && letter == '\\';
            quoted ^= letter == '"' && !was_escaped;
            letter == separator && !was_quoted
        });
        let (part, after) = match end {
            Some(end) => (&text[..end], Some(&text[end + separator.len_utf8()..])),
            None => (text, None),
        };
        rest = after;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn preferences_in_all_their_spellings() {
        for (values, seconds, respond_async) in [
            (&["wait=10"][..], Some(10), false),
            (&["respond-async, WAIT=7"], Some(7), true),
            (&["respond-async", "wait=\"7\"; x=y"], Some(7), true),
            (&["wait = 7, wait=9"], Some(7), false),
            (&["wait=x, wait=9"], None, false),
            (&["wait=0"], Some(0), false),
            (&["wait=-1"], None, false),
            (&["wait=1.5"], None, false),
            (&["wait"], None, false),
            (&["waits=3"], None, false),
            (&["Respond-Async"], None, true),
            (&["respond-async;x=\"a, b\", wait=3"], Some(3), true),
            (&["respond-async=\"\""], None, true),
            (&["respond-async=no"], None, false),
            (&["respond-asynchronously, x=respond-async"], None, false),
            (&["x=\"a, respond-async, wait=3\""], None, false),
            (&["x=\"\\\", respond-async\", wait=3"], Some(3), false),
            (&["x=\"open, respond-async"], None, false),
            (&["return=minimal", "", ",, ;, ="], None, false),
            (&["respond-async, wait=99999999999999999999"], None, true),
            (&[], None, false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(PREFER, HeaderValue::from_static(value));
            }
            let expected = Preferences {
                wait: seconds.map(Duration::from_secs),
                respond_async,
            };
            assert_eq!(Preferences::of(&headers), expected, "{values:?}");
        }
    }
}
