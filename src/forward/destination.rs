//! Where a request goes: a URL, and the caller's path where that is passed on.
//!
//! Whatever a caller writes is part of the path and the query: scheme, host and port are
//! those of the settings.

use http::Uri;
use http::uri::{Authority, InvalidUri, PathAndQuery, Scheme};
use url::{Position, Url};

use crate::upstream::{Endpoint, LONGEST, NoSuchPath, Target, walks};

/// Where requests go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To the URL itself, filled with what the route's path has captured; the caller's query
    /// follows its own.
    At(Target),
    /// To the caller's own path, below the URL's; the URL's query comes first.
    Below(Endpoint),
}

/// A destination, ready for requests.
#[derive(Debug)]
pub(super) struct Compiled {
    scheme: Scheme,
    authority: Authority,
    destination: Destination,
}

impl Destination {
    /// Whom it calls, with its placeholders.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::At(target) => target.endpoint(),
            Self::Below(endpoint) => endpoint,
        }
    }
}

impl Compiled {
    pub fn new(destination: Destination) -> Result<Self, InvalidUri> {
        let url = destination.endpoint().url();
        Ok(Self {
            scheme: url.scheme().parse()?,
            authority: url[Position::BeforeHost..Position::AfterPort].parse()?,
            destination,
        })
    }

    /// Where a request to this goes, of which the route's path has captured so much.
    ///
    /// # Errors
    /// [`NoSuchPath`], where it has nowhere to go.
    pub fn of(&self, requested: &Uri, captures: &[Box<str>]) -> Result<Uri, NoSuchPath> {
        let path = match &self.destination {
            Destination::At(target) => target.path_for(captures, requested.query())?,
            Destination::Below(_) if walks(requested.path()) => return Err(NoSuchPath::DotSegment),
            Destination::Below(endpoint) => below(endpoint.url(), requested),
        };
        if path.len() > LONGEST {
            return Err(NoSuchPath::TooLong);
        }
        let path = PathAndQuery::try_from(path).map_err(|_| NoSuchPath::Malformed)?;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|_| NoSuchPath::Malformed)
    }
}

/// The path as it came, byte for byte: what it means is for the upstream to say, as long as
/// it does not walk out of what is above it.
fn below(url: &Url, requested: &Uri) -> String {
    let prefix = url.path();
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let queries = [url.query(), requested.query()];
    let mut all = format!("{prefix}{}", requested.path());
    // An empty query is one: what came with a question mark goes with one.
    for (query, mark) in queries.into_iter().flatten().zip(["?", "&"]) {
        all.push_str(mark);
        all.push_str(query);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, requested: &str) -> String {
        let destination = Destination::Below(url.parse().unwrap());
        let compiled = Compiled::new(destination).unwrap();
        let uri = compiled.of(&requested.parse().unwrap(), &[]).unwrap();
        // However it is written, it is for the host of the settings.
        let host = url.parse::<Uri>().unwrap().authority().unwrap().clone();
        let host = host.as_str().rsplit('@').next().unwrap().to_owned();
        assert_eq!(uri.authority().unwrap().as_str(), host, "{requested}");
        assert_eq!(uri.scheme_str(), Some("http"));
        uri.path_and_query().unwrap().to_string()
    }

    #[test]
    fn the_callers_path_goes_below_the_urls_own() {
        for (url, requested, expected) in [
            ("http://h", "/", "/"),
            ("http://h:81/", "/a/b?c=d", "/a/b?c=d"),
            ("http://h/base", "/a", "/base/a"),
            ("http://h/base/", "/a/", "/base/a/"),
            ("http://h/base/", "/", "/base/"),
            ("http://h/?k=v", "/a", "/a?k=v"),
            ("http://h/?k=v", "/a?b=c&k=w", "/a?k=v&b=c&k=w"),
            ("http://h/", "/a?", "/a?"),
            ("http://u:p@h/", "/a", "/a"),
            // Byte for byte.
            (
                "http://h/base/",
                "/a/.../%2ea/b//c?d=/../",
                "/base/a/.../%2ea/b//c?d=/../",
            ),
            ("http://h", "/a%2Fb%00;x|y\"z{}", "/a%2Fb%00;x|y\"z{}"),
        ] {
            assert_eq!(of(url, requested), expected, "{url} {requested}");
        }
    }

    #[test]
    fn nobody_walks_out_of_the_urls_own_path() {
        for requested in [
            "/../admin",
            "/a/..",
            "/%2e%2E/admin",
            "/a%2f../b",
            "/.",
            "/..;x/admin",
            "/a/..\\b",
        ] {
            for url in ["http://h", "http://h/base/"] {
                let compiled = Compiled::new(Destination::Below(url.parse().unwrap()));
                let found = compiled.unwrap().of(&requested.parse().unwrap(), &[]);
                assert_eq!(found, Err(NoSuchPath::DotSegment), "{url} {requested}");
            }
        }
    }

    #[test]
    fn what_a_path_captures_is_filled_in() {
        let target =
            Target::compile("http://h/d/{x}?k".parse::<Endpoint>().unwrap(), &["x"]).unwrap();
        let compiled = Compiled::new(Destination::At(target)).unwrap();
        let of = |requested: &str, capture: &str| {
            let uri = compiled.of(&requested.parse().unwrap(), &[capture.into()]);
            uri.ok().map(|uri| uri.to_string())
        };
        let found = of("/a/b?q", "b%20").unwrap();
        assert_eq!(found, "http://h/d/b%20?k&q");
        assert_eq!(of("/a/..", ".."), None);
    }

    #[test]
    fn nobody_chooses_another_host() {
        for (requested, expected) in [
            ("//evil/a", "//evil/a"),
            ("//u:p@evil:1/", "//u:p@evil:1/"),
            ("/@evil", "/@evil"),
            ("/\\evil", "/\\evil"),
            ("http://evil/a?b", "/a?b"),
            ("https://evil:1", "/"),
            ("/http://evil/", "/http://evil/"),
        ] {
            assert_eq!(of("http://h", requested), expected, "{requested}");
            assert_eq!(of("http://h/b", requested), format!("/b{expected}"));
        }
    }
}
