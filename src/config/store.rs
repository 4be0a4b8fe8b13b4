//! The kinds for where records are kept: the store, and what a Redis is told and asked by.

use std::path::PathBuf;

use serde_json::json;
use url::Url;

use super::kind::{Kind, Wrong, must_be};
use super::nearest::nearest;
use crate::later::{RedisUrl, StoreKind};
use crate::printable::{is_unprintable, shown};

const STORES: &str =
    "\"off\", \"memory\", \"sqlite:FILE\", or a Redis: redis://, rediss:// or unix://";

/// A word, or a scheme and what it needs. What may have a password in it is not shown in an error.
pub(crate) fn store() -> Kind<StoreKind> {
    Kind::text(STORES, |text| checked(text.trim()), StoreKind::to_string)
        .expecting("a store such as \"sqlite:/var/lib/microbatch/later.db\"")
        .of_pattern(
            r"^\s*(off|memory|sqlite:[^?]+|rediss?://[^?#]+|(redis\+)?unix:/[^#]+)\s*$",
            &[
                "memory",
                "off",
                "sqlite:/var/lib/microbatch/later.db",
                "redis://127.0.0.1:6379/0",
            ],
        )
}

/// Every store that there is, by the beginning of its address.
const KNOWN: [(&str, &str); 7] = [
    ("off", "off"),
    ("memory", "memory"),
    ("sqlite", "sqlite:FILE"),
    ("redis", "redis://HOST:PORT"),
    ("rediss", "rediss://HOST:PORT"),
    ("unix", "unix:///PATH"),
    ("redis+unix", "redis+unix:///PATH"),
];

fn checked(text: &str) -> Result<StoreKind, Wrong> {
    match text.split_once(':') {
        None if text == "off" => Ok(StoreKind::Off),
        None if text == "memory" => Ok(StoreKind::Memory),
        Some(("sqlite", file)) => sqlite(file).map(StoreKind::Sqlite),
        Some(("redis" | "rediss", _)) => over_tcp(text).map(StoreKind::Redis),
        Some(("unix" | "redis+unix", _)) => over_a_socket(text).map(StoreKind::Redis),
        Some(("valkey" | "valkeys", _)) => Err(
            "must be written as of a Redis, whose protocol is Valkey's too: redis://, or \
                 rediss:// with TLS"
                .into(),
        ),
        other => Err(unknown(text, other.map(|(scheme, _)| scheme))),
    }
}

/// What is none of the stores: the nearest of them, or all. What follows a scheme, or could be a
/// user and a password, is not shown.
fn unknown(text: &str, scheme: Option<&str>) -> Wrong {
    let name = scheme.unwrap_or(text);
    let wrong = match scheme {
        _ if name.contains('@') => must_be(STORES, "something else"),
        None => must_be(STORES, shown(name)),
        Some(scheme) => must_be(STORES, format!("{} and what follows it", shown(scheme))),
    };
    let near = nearest(&name.to_lowercase(), KNOWN.into_iter());
    match near {
        Some(meant) if !name.contains('@') => format!("{wrong}; did you mean {meant}?").into(),
        _ => wrong,
    }
}

fn sqlite(file: &str) -> Result<PathBuf, Wrong> {
    const SUCH_AS: &str = "write one such as \"sqlite:/var/lib/microbatch/later.db\"";
    let what = match file {
        "" => "names no file",
        ":memory:" => return Err("would be kept in memory: write \"memory\"".into()),
        _ if file.contains(is_unprintable) => "must not have control characters in its path",
        _ if file.starts_with("file:") || file.contains('?') => {
            "must have a path after sqlite: and neither file: nor options"
        }
        _ if file.starts_with("//") && !file.starts_with("///") => {
            "must have the path right after sqlite: and not after //"
        }
        _ if file.starts_with('~') => "has a ~ that no shell expands here",
        _ if file.ends_with('/') || [".", ".."].contains(&file) => "names a directory, no file",
        _ => return Ok(PathBuf::from(file)),
    };
    Err(format!("{what}; {SUCH_AS}").into())
}

fn over_tcp(text: &str) -> Result<RedisUrl, Wrong> {
    const SUCH_AS: &str = "write one such as \"redis://127.0.0.1:6379/0\"";
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    if !rest.starts_with("//") {
        return Err(format!("must have // after {scheme}:; {SUCH_AS}").into());
    }
    let url = parsed(text, SUCH_AS)?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("has no host; {SUCH_AS}").into());
    }
    if ["0.0.0.0", "[::]"].map(Some).contains(&url.host_str()) {
        return Err("must have the address of one host, not of every interface".into());
    }
    if url.port() == Some(0) {
        return Err("must not have port 0".into());
    }
    if url.query().is_some() {
        return Err("must not have options (?…); the database is its path, such as /0".into());
    }
    match url.path() {
        "" | "/" => {}
        path => database(&path[1..])?,
    }
    Ok(RedisUrl(url))
}

fn over_a_socket(text: &str) -> Result<RedisUrl, Wrong> {
    const SUCH_AS: &str = "write one such as \"unix:///run/redis/redis.sock\"";
    let url = parsed(text, SUCH_AS)?;
    if url.host_str().is_some_and(|host| !host.is_empty()) || url.cannot_be_a_base() {
        return Err(format!("must have an absolute path, after three slashes; {SUCH_AS}").into());
    }
    if url.path().is_empty() || url.path().ends_with('/') {
        return Err(format!("names no socket; {SUCH_AS}").into());
    }
    for (name, value) in url.query_pairs() {
        match &*name {
            "db" => database(&value)?,
            "user" | "pass" => {}
            _ => return Err("must not have options (?…) but for db, user and pass".into()),
        }
    }
    Ok(RedisUrl(url))
}

fn parsed(text: &str, such_as: &str) -> Result<Url, Wrong> {
    let url = Url::parse(text).map_err(|why| {
        // A password that is not encoded ends the host where it has one of `/?#`.
        let encoded = "; signs such as # and / of a password are percent-encoded";
        let encoded = if text.contains('@') { encoded } else { "" };
        format!("is not a URL: {why}; {such_as}{encoded}")
    })?;
    match url.fragment() {
        Some("insecure") => Err(
            "must not have #insecure, which would trust anybody who answers; give later.ca the \
             certificate of who signed the server's"
                .into(),
        ),
        Some(_) => Err(
            "must not have a fragment (#…): it would never be sent; in a password # is %23".into(),
        ),
        None => Ok(url),
    }
}

/// The most digits of a number of a database.
const DIGITS: usize = 6;

fn database(number: &str) -> Result<(), Wrong> {
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    match digits && (1..=DIGITS).contains(&number.len()) {
        true => Ok(()),
        false => {
            Err("must have the number of a database after its host, such as /0, or nothing".into())
        }
    }
}

/// What keys in a Redis begin with.
pub(crate) fn prefix() -> Kind<String> {
    const ALLOWED: &str = "1 to 64 of A-Z a-z 0-9 . _ -";
    let may_be_in = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let read = move |text: &str| match (1..=64).contains(&text.len()) && text.bytes().all(may_be_in)
    {
        true => Ok(text.to_owned()),
        false => Err(must_be(ALLOWED, shown(text))),
    };
    Kind::text(ALLOWED, read, String::clone).of_pattern("^[A-Za-z0-9._-]{1,64}$", &["microbatch"])
}

/// The path of a file.
pub(crate) fn file() -> Kind<PathBuf> {
    const ALLOWED: &str = "the path of a file";
    let read = |text: &str| match text.is_empty() || text.contains(is_unprintable) {
        false => Ok(PathBuf::from(text)),
        true => Err(must_be(ALLOWED, shown(text))),
    };
    Kind::text(ALLOWED, read, |path| path.display().to_string())
        .described(|| json!({ "type": "string", "minLength": 1 }))
}

#[cfg(test)]
mod tests {
    use super::super::kind::Raw;
    use super::super::kind::testing::{from_text, from_toml, round_trips};
    use super::*;

    #[test]
    fn a_store_is_a_word_a_file_or_a_redis() {
        for good in [
            "off",
            "memory",
            "sqlite:later.db",
            "sqlite:../a b/later.db",
            "sqlite:/var/lib/microbatch/later.db",
            "sqlite:///var/lib/microbatch/later.db",
            "redis://127.0.0.1",
            "redis://h:6379/",
            "redis://h/15",
            "redis://[::1]:6379/0",
            "rediss://redis.internal:6380/0",
            "unix:///run/redis.sock",
            "unix:///run/redis.sock?db=3",
            "redis+unix:///run/redis.sock",
        ] {
            assert_eq!(from_text(&store(), good), Ok(format!("{good:?}")));
            round_trips(&store(), good);
        }
        let read = store().read(Raw::Text(" sqlite:a "));
        assert_eq!(read.unwrap(), StoreKind::Sqlite("a".into()));
    }

    #[test]
    fn what_is_no_store_says_what_was_meant() {
        let none = |what: &str| format!("must be {STORES}, not {what}");
        for (bad, expected) in [
            ("", none("\"\"")),
            ("disk", none("\"disk\"")),
            ("of", none("\"of\"; did you mean off?")),
            ("Memory", none("\"Memory\"; did you mean memory?")),
            ("sqlite", none("\"sqlite\"; did you mean sqlite:FILE?")),
            ("redis", none("\"redis\"; did you mean redis://HOST:PORT?")),
            (
                "sqlite3:later.db",
                none("\"sqlite3\" and what follows it; did you mean sqlite:FILE?"),
            ),
            (
                "reddis://:s3cret@h",
                none("\"reddis\" and what follows it; did you mean redis://HOST:PORT?"),
            ),
            (
                "postgres://u:s3cret@h/db",
                none("\"postgres\" and what follows it"),
            ),
            ("s3cret@h:6379", none("something else")),
            ("s3cret@h", none("something else")),
        ] {
            assert_eq!(from_text(&store(), bad), Err(expected), "{bad}");
        }
        let expected =
            "must be a store such as \"sqlite:/var/lib/microbatch/later.db\", not a boolean";
        assert_eq!(from_toml(&store(), "false"), Err(expected.to_owned()));
    }

    #[test]
    fn a_file_is_a_path_and_no_url() {
        for (bad, expected) in [
            ("sqlite:", "names no file"),
            ("sqlite:~/later.db", "has a ~ that no shell expands here"),
            (
                "sqlite://later.db",
                "must have the path right after sqlite: and not after //",
            ),
            ("sqlite:/var/lib/", "names a directory, no file"),
            ("sqlite:..", "names a directory, no file"),
            (
                "sqlite:file:later.db",
                "must have a path after sqlite: and neither file: nor options",
            ),
            (
                "sqlite:later.db?mode=ro",
                "must have a path after sqlite: and neither file: nor options",
            ),
            (
                "sqlite:a\u{0}b",
                "must not have control characters in its path",
            ),
        ] {
            let expected =
                format!("{expected}; write one such as \"sqlite:/var/lib/microbatch/later.db\"");
            assert_eq!(from_text(&store(), bad), Err(expected), "{bad}");
        }
        let expected = "would be kept in memory: write \"memory\"".to_owned();
        assert_eq!(from_text(&store(), "sqlite::memory:"), Err(expected));
    }

    #[test]
    fn a_redis_has_a_host_and_perhaps_a_database() {
        for (bad, expected) in [
            ("redis:h:6379", "must have // after redis:"),
            ("redis://", "has no host"),
            ("redis:///0", "has no host"),
            (
                "redis://u:s3cret@h:99999/",
                "is not a URL: invalid port number",
            ),
            (
                "rediss://:s3cret@0.0.0.0/",
                "must have the address of one host",
            ),
            ("redis://h:0", "must not have port 0"),
            ("redis://h/?password=s3cret", "must not have options (?…)"),
            (
                "redis://:s3cret@h/one",
                "must have the number of a database",
            ),
            ("redis://h/-1", "must have the number of a database"),
            ("redis://h/1/2", "must have the number of a database"),
            ("rediss://h/#insecure", "must not have #insecure"),
            ("redis://h/#s3cret", "must not have a fragment (#…)"),
            ("redis://:s3#cret@h/", "is not a URL: "),
            ("valkey://h", "must be written as of a Redis"),
            ("unix://run/redis.sock", "must have an absolute path"),
            ("unix:redis.sock", "must have an absolute path"),
            ("unix://", "names no socket"),
            ("unix:///run/", "names no socket"),
            (
                "unix:///run/redis.sock?db=x",
                "must have the number of a database",
            ),
            (
                "unix:///run/redis.sock?password=s3cret",
                "must not have options (?…)",
            ),
        ] {
            let wrong = from_text(&store(), bad).unwrap_err();
            assert!(wrong.starts_with(expected), "{bad}: {wrong}");
            assert!(!wrong.contains("s3"), "{wrong}");
        }
    }

    #[test]
    fn no_user_and_no_password_is_printed() {
        for (url, expected) in [
            ("redis://u:p@h/1", "redis://***:***@h/1"),
            ("rediss://:p@h:1", "rediss://:***@h:1"),
            (
                "unix:///r.sock?db=1&user=u&pass=p",
                "unix:///r.sock?db=1&user=***&pass=***",
            ),
        ] {
            assert_eq!(from_text(&store(), url), Ok(format!("{expected:?}")));
            assert_eq!(from_text(&store(), expected), Ok(format!("{expected:?}")));
            let read = store().read(Raw::Text(url)).unwrap();
            assert_eq!(format!("{read:?}"), format!("Redis({expected})"));
        }
    }

    #[test]
    fn a_prefix_is_a_plain_name() {
        for good in ["microbatch", "a", "A-1_b.c", &"x".repeat(64)] {
            round_trips(&prefix(), good);
        }
        for bad in ["", "a b", "a:b", "{a}", "ä", &"x".repeat(65)] {
            let expected = format!("must be 1 to 64 of A-Z a-z 0-9 . _ -, not {}", shown(bad));
            assert_eq!(from_text(&prefix(), bad), Err(expected));
        }
        round_trips(&file(), "/etc/ssl/redis.pem");
        let expected = "must be the path of a file, not \"\"".to_owned();
        assert_eq!(from_text(&file(), ""), Err(expected));
    }
}
