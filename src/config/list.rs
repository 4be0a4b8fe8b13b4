//! The kinds for lists: host names, `["proxy.internal"]`, and statuses, `[400, 422]`.

use toml::de::DeValue;

use super::kind::{Kind, Wrong, must_be, quoted, shown, type_of};
use super::number::count;

/// The elements of a list in an environment variable: `a, b` or `[a, b]`.
fn elements(text: &str) -> impl Iterator<Item = &str> {
    let inner = text.trim();
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    let inner = inner.strip_suffix(']').unwrap_or(inner).trim();
    let some = !inner.is_empty();
    inner.split(',').map(str::trim).filter(move |_| some)
}

/// The elements of a list in the file.
fn array<'a>(
    value: &'a DeValue<'a>,
    allowed: &str,
) -> Result<impl Iterator<Item = &'a DeValue<'a>>, Wrong> {
    let array = value.as_array();
    let array = array.ok_or_else(|| must_be(allowed, type_of(value)))?;
    Ok(array.iter().map(toml::Spanned::get_ref))
}

/// Names by which a listener is called, without ports, in lower case.
pub(crate) struct HostNames;

const HOSTS: &str = "a list of host names without ports such as [\"proxy.internal\"]";

fn host(text: &str) -> Result<String, Wrong> {
    let may_be_in = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match !text.is_empty() && text.bytes().all(may_be_in) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!("must be {HOSTS}; {} is none", shown(text)).into()),
    }
}

impl Kind for HostNames {
    type Value = Vec<String>;

    fn allowed(&self) -> String {
        HOSTS.to_owned()
    }

    fn text(&self, text: &str) -> Result<Vec<String>, Wrong> {
        let names = elements(text).map(|part| part.trim_matches('"'));
        names.map(host).collect()
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Vec<String>, Wrong> {
        let name = |element: &DeValue<'_>| match element.as_str() {
            Some(name) => host(name),
            None => Err(must_be(HOSTS, type_of(element))),
        };
        array(value, HOSTS)?.map(name).collect()
    }

    fn print(&self, value: &Vec<String>) -> String {
        let names: Vec<_> = value.iter().map(|name| quoted(name)).collect();
        format!("[{}]", names.join(", "))
    }
}

/// Statuses on which a batch is bisected, in ascending order, each once.
///
/// Those that no single job is to blame for are refused: 401, 403 and 407 speak of the proxy's
/// credentials, 429 and 503 of load, 502 and 504 of what lies behind the upstream. 413 halves a
/// batch by itself.
pub(crate) struct Statuses;

const NEVER: [u16; 8] = [401, 403, 407, 413, 429, 502, 503, 504];

const STATUSES: &str = "a list of statuses from 400 to 599 such as [400, 422]";

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

impl Kind for Statuses {
    type Value = Vec<u16>;

    fn allowed(&self) -> String {
        STATUSES.to_owned()
    }

    fn text(&self, text: &str) -> Result<Vec<u16>, Wrong> {
        let status = count(400..=599);
        let statuses: Result<_, Wrong> = elements(text).map(|part| status.text(part)).collect();
        checked(statuses.map_err(|_| must_be(STATUSES, shown(text)))?)
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Vec<u16>, Wrong> {
        let status = count(400..=599);
        let statuses = array(value, STATUSES)?.map(|element| status.toml(element));
        let statuses: Result<_, Wrong> = statuses.collect();
        checked(statuses.map_err(|wrong| format!("must be {STATUSES}: each {wrong}"))?)
    }

    fn print(&self, value: &Vec<u16>) -> String {
        let statuses: Vec<_> = value.iter().map(u16::to_string).collect();
        format!("[{}]", statuses.join(", "))
    }
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
            assert_eq!(from_text(&HostNames, text), Ok(printed.to_owned()));
        }
        let toml = from_toml(&HostNames, "[\"A.example\"]");
        assert_eq!(toml, Ok("[\"a.example\"]".to_owned()));
        round_trips(&HostNames, "a.example,b");
        round_trips(&HostNames, "");
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
            assert_eq!(from_toml(&HostNames, toml), Err(expected));
        }
        assert!(from_text(&HostNames, "a,,b").is_err());
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
            assert_eq!(from_text(&Statuses, text), Ok(printed.to_owned()), "{text}");
        }
        assert_eq!(
            from_toml(&Statuses, "[422, 400]"),
            Ok("[400, 422]".to_owned())
        );
        round_trips(&Statuses, "400, 422, 500");
        round_trips(&Statuses, "");
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
            assert_eq!(from_toml(&Statuses, toml), Err(expected.to_owned()));
        }
        for text in ["400 422", "400,", "[400", "x", "399"] {
            let result = from_text(&Statuses, text);
            // One bracket is as good as two, or none.
            assert_eq!(result.is_err(), text != "[400", "{text}: {result:?}");
        }
        for status in NEVER {
            assert!(from_text(&Statuses, &status.to_string()).is_err());
        }
    }
}
