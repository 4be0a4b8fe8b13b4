//! The kind for whom to call: the upstream's URL, which may carry secrets, or its socket.

use url::Url;

use super::kind::{Kind, Wrong};
use crate::address::{UNIX, socket_path};
use crate::upstream::Endpoint;

/// An `http` or `https` URL with a host, or a unix socket with a path to ask for. It is never
/// shown in an error, and never printed with what of it may be a secret: its user information,
/// the values of its query, and segments of its path that look like keys.
pub(crate) fn target() -> Kind<Endpoint> {
    const ALLOWED: &str = "an http or https URL, or unix:/socket:/path";
    Kind::text(ALLOWED, checked, |to| with_braces(&redacted(to)))
        .expecting("a URL such as \"http://127.0.0.1:9000/batch\"")
        .of_pattern(
            r"^\s*([hH][tT][tT][pP][sS]?://[^#]+|unix:/[^#]+)$",
            &["http://127.0.0.1:9000/batch"],
        )
}

/// As it is written: [`Url`] has braces in a path percent-encoded, and there they stand for
/// what a route's path captures.
fn with_braces(to: &Endpoint) -> String {
    to.to_string().replace("%7B", "{").replace("%7D", "}")
}

/// What stands in place of a secret.
pub(crate) const REDACTED: &str = "***";

fn checked(text: &str) -> Result<Endpoint, Wrong> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix(UNIX) {
        socket(rest)?;
    } else {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let http = |scheme: &str| ["http", "https"].contains(&&*scheme.to_ascii_lowercase());
        if !scheme.is_some_and(http) {
            return Err("must start with http://, https:// or unix:/".into());
        }
    }
    let to: Endpoint = text.parse().map_err(|why| {
        format!("is not a URL: {why}; write one such as \"http://127.0.0.1:9000/batch\"")
    })?;
    match (to.url().fragment(), to.url().port()) {
        (Some(_), _) => Err("must not have a fragment (#…): it would never be sent".into()),
        (_, Some(0)) => Err("must not have port 0".into()),
        _ => Ok(to),
    }
}

/// Looks at what follows `unix:`.
fn socket(text: &str) -> Result<(), String> {
    let (socket, path) = text.split_once(':').unwrap_or((text, "/"));
    let right = socket_path(socket).and_then(|_| match path.starts_with('/') {
        true => Ok(()),
        false => Err("what is asked for begins with a slash"),
    });
    right.map_err(|why| {
        format!(
            "is not a socket with a path: {why}; write unix:, the socket, a colon and the path, \
             such as \"unix:/run/model.sock:/batch\""
        )
    })
}

/// The shortest segment of a path that may be a key, in characters. Providers that put one there
/// (`/v3/KEY`) have longer ones.
const KEY: usize = 16;

/// The URL with `***` for its user, its password, every value of its query, and every segment of
/// its path of 16 characters or more with letters and digits among them. A part of the query
/// without `=` could be a secret itself, so it goes whole.
pub(crate) fn redacted(to: &Endpoint) -> Endpoint {
    to.with(without_secrets(to.url()))
}

fn without_secrets(url: &Url) -> Url {
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
            "unix:/run/model.sock",
            "unix:/run/model.sock:/v1/x:y?a=b:c",
        ] {
            assert_eq!(checked(good).unwrap().to_string(), good);
        }
        for (bad, expected) in [
            ("", "must start with http://, https:// or unix:/"),
            (
                "localhost:9000",
                "must start with http://, https:// or unix:/",
            ),
            (
                "ftp://s3cret@h/",
                "must start with http://, https:// or unix:/",
            ),
            ("http:/h", "must start with http://, https:// or unix:/"),
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
    fn a_socket_may_be_followed_by_a_path() {
        for (bad, why) in [
            ("unix:", "the path is not absolute"),
            ("unix:model.sock:/batch", "the path is not absolute"),
            (
                "unix:///run/model.sock",
                "the path begins with more than one slash",
            ),
            ("unix:/run/:/batch", "the path is that of a directory"),
            (
                "unix:/run/model.sock:",
                "what is asked for begins with a slash",
            ),
            (
                "unix:/run/model.sock:batch",
                "what is asked for begins with a slash",
            ),
        ] {
            let expected = format!(
                "is not a socket with a path: {why}; write unix:, the socket, a colon and the \
                 path, such as \"unix:/run/model.sock:/batch\""
            );
            assert_eq!(from_text(&target(), bad), Err(expected));
        }
        let fragment = from_text(&target(), "unix:/s:/a#b").unwrap_err();
        assert!(fragment.contains("fragment"), "{fragment}");
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
            ("unix:/s:/a?key=1", "unix:/s:/a?key=***"),
            ("unix:/s:/{model}", "unix:/s:/{model}"),
            (
                "unix:/run/0123456789abcdef:/0123456789abcdef",
                "unix:/run/0123456789abcdef:/***",
            ),
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
