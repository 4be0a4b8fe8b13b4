//! What is asked: a path, of which route, and from when on.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What no name of a route has.
const NO_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_');

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Starts with a slash, and has no query.
    pub path: &'a str,
    /// Of which route; of all where it is none.
    pub route: Option<&'a str>,
    /// Only of the seconds after this one, in Unix time.
    pub since: Option<u64>,
}

impl<'a> Question<'a> {
    /// This path, of that route.
    pub fn of(path: &'a str, route: Option<&'a str>) -> Self {
        Self {
            path,
            route,
            since: None,
        }
    }

    /// The path with its query.
    pub(super) fn target(&self) -> Cow<'a, str> {
        let route = self.route.map(|it| {
            let name = utf8_percent_encode(it, NO_NAME);
            format!("route={name}")
        });
        let since = self.since.map(|it| format!("since={it}"));
        let query: Vec<_> = route.into_iter().chain(since).collect();
        match query.is_empty() {
            true => self.path.into(),
            false => format!("{}?{}", self.path, query.join("&")).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stands_in_the_query() {
        let target = |route, since| {
            let question = Question {
                since,
                ..Question::of("/live", route)
            };
            question.target().into_owned()
        };
        assert_eq!(target(None, None), "/live");
        assert_eq!(target(None, Some(7)), "/live?since=7");
        assert_eq!(target(Some("a_1"), None), "/live?route=a_1");
        assert_eq!(target(Some("a_1"), Some(7)), "/live?route=a_1&since=7");
        assert_eq!(target(Some("a&b #?"), None), "/live?route=a%26b%20%23%3F");
    }
}
