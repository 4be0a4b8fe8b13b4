//! The kind for the upstream's URL, which may carry secrets.

use url::Url;

use super::kind::{Kind, Wrong};

/// An `http` or `https` URL with a host. It is never shown in an error, and never printed with
/// what of it may be a secret: its user information, the values of its query, and segments of its
/// path that look like keys.
pub(crate) fn target() -> Kind<Url> {
    Kind::text("an http or https URL", checked, |url| {
        with_braces(&redacted(url))
    })
    .expecting("a URL such as \"http://127.0.0.1:9000/batch\"")
    .of_pattern(
        r"^\s*([hH][tT][tT][pP][sS]?://[^#]+|unix:/[^#]+)$",
        &["http://127.0.0.1:9000/batch"],
    )
}

/// The URL as it is written: [`Url`] has braces in a path percent-encoded, and there they stand for
/// what a route's path captures.
fn with_braces(url: &Url) -> String {
    url.as_str().replace("%7B", "{").replace("%7D", "}")
}

/// What stands in place of a secret.
pub(crate) const REDACTED: &str = "***";

fn checked(text: &str) -> Result<Url, Wrong> {
    let text = text.trim();
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let http = |scheme: &str| ["http", "https"].contains(&&*scheme.to_ascii_lowercase());
    if !scheme.is_some_and(http) {
        return Err("must start with http:// or https://".into());
    }
    let url = Url::parse(text).map_err(|why| {
        format!("is not a URL: {why}; write one such as \"http://127.0.0.1:9000/batch\"")
    })?;
    match (url.fragment(), url.port()) {
        (Some(_), _) => Err("must not have a fragment (#…): it would never be sent".into()),
        (_, Some(0)) => Err("must not have port 0".into()),
        _ => Ok(url),
    }
}

/// The shortest segment of a path that may be a key, in characters. Providers that put one there
/// (`/v3/KEY`) have longer ones.
const KEY: usize = 16;

/// The URL with `***` for its user, its password, every value of its query, and every segment of
/// its path of 16 characters or more with letters and digits among them. A part of the query
/// without `=` could be a secret itself, so it goes whole.
pub(crate) fn redacted(url: &Url) -> Url {
    let mut shown = url.clone();
    // Both setters fail only where a URL has no host, and then there is nothing to hide.
    if !url.username().is_empty() {
        let _ = shown.set_username(REDACTED);
    }
    if url.password().is_some() {
        let _ = shown.set_password(Some(REDACTED));
    }
    if url.path().split('/').any(may_be_a_key) {
        let segments = url
            .path()
            .split('/')
            .map(|segment| match may_be_a_key(segment) {
                true => REDACTED,
                false => segment,
            });
        shown.set_path(&segments.collect::<Vec<_>>().join("/"));
    }
    if let Some(query) = url.query() {
        let pairs: Vec<_> = query.split('&').map(redacted_pair).collect();
        shown.set_query(Some(&pairs.join("&")));
    }
    shown
}

/// Whether that may be a secret, but for the placeholders in it.
pub(crate) fn may_be_a_key(segment: &str) -> bool {
    let segment: String = segment
        .split("%7B")
        .enumerate()
        .map(|(i, part)| match (i, part.split_once("%7D")) {
            (1.., Some((_, rest))) => rest,
            _ => part,
        })
        .collect();
    let has = |kind: fn(char) -> bool| segment.contains(kind);
    segment.chars().count() >= KEY && has(char::is_alphabetic) && has(char::is_numeric)
}

fn redacted_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) => format!("{name}={REDACTED}"),
        None if pair.is_empty() => String::new(),
        None => REDACTED.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml};
    use super::*;

    #[test]
    fn a_url_is_http_with_a_host() {
        for good in [
            "http://127.0.0.1:9000/batch",
            "https://example.org/",
            "http://[::1]:9000/",
            "http://h/a?b",
        ] {
            assert_eq!(checked(good).unwrap().as_str(), good);
        }
        for (bad, expected) in [
            ("", "must start with http:// or https://"),
            ("localhost:9000", "must start with http:// or https://"),
            ("ftp://s3cret@h/", "must start with http:// or https://"),
            ("http:/h", "must start with http:// or https://"),
            (
                "http://h/#s3cret",
                "must not have a fragment (#…): it would never be sent",
            ),
            ("http://h:0/", "must not have port 0"),
        ] {
            assert_eq!(from_text(&target(), bad), Err(expected.to_owned()), "{bad}");
        }
        for bad in [
            "http://",
            "http://u:s3cret@",
            "http://u:s3cret@h:99999/",
            "http://a b/",
        ] {
            let wrong = from_text(&target(), bad).unwrap_err();
            assert!(wrong.starts_with("is not a URL: "), "{wrong}");
            assert!(!wrong.contains("s3cret"), "{wrong}");
        }
        let expected = "must be a URL such as \"http://127.0.0.1:9000/batch\", not an integer";
        assert_eq!(from_toml(&target(), "9000"), Err(expected.to_owned()));
    }

    #[test]
    fn secrets_are_redacted_and_the_rest_stands() {
        for (url, expected) in [
            ("http://h:1/a?b", "http://h:1/a?***"),
            ("http://u:p@h/", "http://***:***@h/"),
            ("http://token@h/", "http://***@h/"),
            ("http://:p@h/", "http://:***@h/"),
            (
                "http://h/?key=1&&k=2=3&x=",
                "http://h/?key=***&&k=***&x=***",
            ),
            ("https://h/p", "https://h/p"),
            (
                "http://h/v3/9aa3d95b3bc440fa88ea12eaa4456161",
                "http://h/v3/***",
            ),
            ("http://h/bot123:0123456789abcde/send", "http://h/***/send"),
            ("http://h/0123456789abcdef", "http://h/***"),
            ("http://h/0123456789abcde/", "http://h/0123456789abcde/"),
            (
                "http://h/only-letters-and-signs/0123456789012345/a/",
                "http://h/only-letters-and-signs/0123456789012345/a/",
            ),
        ] {
            assert_eq!(from_text(&target(), url), Ok(format!("{expected:?}")));
            assert_eq!(from_text(&target(), expected), Ok(format!("{expected:?}")));
        }
    }
}
