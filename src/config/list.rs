//! The kinds for lists: host names, `["proxy.internal"]`, and statuses, `[400, 422]`.

use std::fmt::Display;

use serde_json::json;
use toml::de::DeValue;

use super::kind::{Kind, Raw, Wrong, must_be, quoted, type_of};
use super::number::count;
use crate::printable::shown;

const HOSTS: &str = "a list of host names without ports such as [\"proxy.internal\"]";

/// Names by which a listener is called, without ports, in lower case.
pub(crate) fn host_names() -> Kind<Vec<String>> {
    let read = |raw: Raw<'_>| {
        let names = strings(raw, HOSTS)?;
        names.iter().map(|name| host(name)).collect()
    };
    let print = |names: &Vec<String>| list(names.iter().map(|name| quoted(name)));
    Kind::new(HOSTS, |value| value.is_array(), read, print).described(|| {
        let name = json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]+$" });
        json!({ "type": "array", "items": name, "examples": [["proxy.internal"]] })
    })
}

fn host(text: &str) -> Result<String, Wrong> {
    let may_be_in = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match !text.is_empty() && text.bytes().all(may_be_in) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!("must be {HOSTS}; {} is none", shown(text)).into()),
    }
}

const STATUSES: &str = "a list of statuses from 400 to 599 such as [400, 422]";

/// Statuses on which a batch is bisected, in ascending order, each once.
pub(crate) fn statuses() -> Kind<Vec<u16>> {
    let read = |raw: Raw<'_>| {
        let status = count(400..=599);
        let statuses: Result<_, Wrong> = match raw {
            Raw::Toml(value) => array(value)
                .map(|element| status.read(Raw::Toml(element)))
                .collect::<Result<_, _>>()
                .map_err(|wrong| format!("must be {STATUSES}: each {wrong}").into()),
            _ => elements(&raw.text())
                .map(|element| status.read(Raw::Text(element)))
                .collect::<Result<_, _>>()
                .map_err(|_| must_be(STATUSES, raw)),
        };
        checked(statuses?)
    };
    let print = |statuses: &Vec<u16>| list(statuses.iter());
    Kind::new(STATUSES, |value| value.is_array(), read, print).described(|| {
        let status =
            json!({ "allOf": [count::<u16>(400..=599).schema(), { "not": { "enum": NEVER } }] });
        json!({ "type": "array", "items": status, "examples": [[400, 422]] })
    })
}

/// Statuses that no single job is to blame for: 401, 403 and 407 speak of the proxy's credentials,
/// 429 and 503 of load, 502 and 504 of what lies behind the upstream. 413 halves a batch by itself.
const NEVER: [u16; 8] = [401, 403, 407, 413, 429, 502, 503, 504];

fn checked(mut statuses: Vec<u16>) -> Result<Vec<u16>, Wrong> {
    if let Some(status) = statuses.iter().find(|status| NEVER.contains(status)) {
        let why = match status {
            413 => "a batch answered 413 is halved in any case",
            _ => "it speaks of the whole upstream, and no smaller batch would fare better",
        };
        return Err(format!("must not have {status} in it: {why}").into());
    }
    statuses.sort_unstable();
    statuses.dedup();
    Ok(statuses)
}

/// The elements of a list of strings, which the setting is `allowed` to be.
pub(crate) fn strings(raw: Raw<'_>, allowed: &str) -> Result<Vec<String>, Wrong> {
    match raw {
        Raw::Toml(value) => array(value)
            .map(|element| match element {
                DeValue::String(text) => Ok(text.to_string()),
                other => Err(must_be(allowed, type_of(other))),
            })
            .collect(),
        _ => Ok(elements(&raw.text())
            .map(|text| text.trim_matches('"').to_owned())
            .collect()),
    }
}

/// The elements of a list in an environment variable: `a, b` or `[a, b]`.
pub(crate) fn elements(text: &str) -> impl Iterator<Item = &str> {
    let inner = text.trim();
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    let inner = inner.strip_suffix(']').unwrap_or(inner).trim();
    let some = !inner.is_empty();
    inner.split(',').map(str::trim).filter(move |_| some)
}

/// The elements of a list in the file.
fn array<'a>(value: &'a DeValue<'a>) -> impl Iterator<Item = &'a DeValue<'a>> {
    let elements = value.as_array().into_iter().flatten();
    elements.map(toml::Spanned::get_ref)
}

/// A list as TOML, of elements as TOML.
pub(crate) fn list(elements: impl Iterator<Item = impl Display>) -> String {
    let elements: Vec<_> = elements.map(|element| element.to_string()).collect();
    format!("[{}]", elements.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml, round_trips};
    use super::*;

    #[test]
    fn names_are_listed_in_lower_case() {
        for (text, printed) in [
            ("", "[]"),
            ("[]", "[]"),
            ("Proxy.Internal", "[\"proxy.internal\"]"),
            ("a, b_c-d", "[\"a\", \"b_c-d\"]"),
            ("[\"a\", \"b\"]", "[\"a\", \"b\"]"),
        ] {
            assert_eq!(from_text(&host_names(), text), Ok(printed.to_owned()));
        }
        let toml = from_toml(&host_names(), "[\"A.example\"]");
        assert_eq!(toml, Ok("[\"a.example\"]".to_owned()));
        round_trips(&host_names(), "a.example,b");
        round_trips(&host_names(), "");
    }

    #[test]
    fn what_is_no_list_of_names_is_refused() {
        for (toml, what) in [
            ("\"a\"", ", not a string"),
            ("[1]", ", not an integer"),
            ("[\"a:80\"]", "; \"a:80\" is none"),
            ("[\"http://a\"]", "; \"http://a\" is none"),
            ("[\"*.a\"]", "; \"*.a\" is none"),
            ("[\"\"]", "; \"\" is none"),
        ] {
            let expected = format!("must be {HOSTS}{what}");
            assert_eq!(from_toml(&host_names(), toml), Err(expected));
        }
        assert!(from_text(&host_names(), "a,,b").is_err());
    }

    #[test]
    fn statuses_are_listed_once_and_in_order() {
        for (text, printed) in [
            ("422,400", "[400, 422]"),
            ("[422, 400, 422]", "[400, 422]"),
            ("", "[]"),
            ("[]", "[]"),
            (" 500 ", "[500]"),
        ] {
            assert_eq!(
                from_text(&statuses(), text),
                Ok(printed.to_owned()),
                "{text}"
            );
        }
        assert_eq!(
            from_toml(&statuses(), "[422, 400]"),
            Ok("[400, 422]".to_owned())
        );
        round_trips(&statuses(), "400, 422, 500");
        round_trips(&statuses(), "");
    }

    #[test]
    fn what_is_no_list_of_statuses_is_refused() {
        for (toml, expected) in [
            (
                "400",
                "must be a list of statuses from 400 to 599 such as [400, 422], not an integer",
            ),
            (
                "[200]",
                "must be a list of statuses from 400 to 599 such as [400, 422]: each must be a \
                 whole number from 400 to 599, not 200",
            ),
            (
                "[\"400\"]",
                "must be a list of statuses from 400 to 599 such as [400, 422]: each must be a \
                 whole number from 400 to 599, without quotes",
            ),
            (
                "[400, 413]",
                "must not have 413 in it: a batch answered 413 is halved in any case",
            ),
            (
                "[429]",
                "must not have 429 in it: it speaks of the whole upstream, and no smaller batch \
                 would fare better",
            ),
        ] {
            assert_eq!(from_toml(&statuses(), toml), Err(expected.to_owned()));
        }
        for text in ["400 422", "400,", "[400", "x", "399"] {
            let result = from_text(&statuses(), text);
            // One bracket is as good as two, or none.
            assert_eq!(result.is_err(), text != "[400", "{text}: {result:?}");
        }
        for status in NEVER {
            assert!(from_text(&statuses(), &status.to_string()).is_err());
        }
    }
}
