//! The kind for a list of the upstream's statuses: `[400, 422]`.

use toml::de::DeValue;

use super::kind::{Kind, Wrong, shown, type_of};
use super::number::count;

/// Statuses on which a batch is bisected, in ascending order, each once.
///
/// Those that no single job is to blame for are refused: 401, 403 and 407 speak of the proxy's
/// credentials, 429 and 503 of load, 502 and 504 of what lies behind the upstream. 413 halves a
/// batch by itself.
pub(crate) struct Statuses;

const NEVER: [u16; 8] = [401, 403, 407, 413, 429, 502, 503, 504];

const ALLOWED: &str = "a list of statuses from 400 to 599 such as [400, 422]";

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
        ALLOWED.to_owned()
    }

    fn text(&self, text: &str) -> Result<Vec<u16>, Wrong> {
        let inner = text.trim();
        let inner = inner.strip_prefix('[').unwrap_or(inner);
        let inner = inner.strip_suffix(']').unwrap_or(inner).trim();
        if inner.is_empty() {
            return Ok(Vec::new());
        }
        let status = count::<u16>(400..=599);
        let read = |part: &str| status.text(part.trim());
        let statuses: Result<_, Wrong> = inner.split(',').map(read).collect();
        checked(statuses.map_err(|_| format!("must be {ALLOWED}, not {}", shown(text)))?)
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Vec<u16>, Wrong> {
        let Some(array) = value.as_array() else {
            return Err(format!("must be {ALLOWED}, not {}", type_of(value)).into());
        };
        let status = count::<u16>(400..=599);
        let read = |element: &toml::Spanned<DeValue<'_>>| status.toml(element.get_ref());
        let statuses: Result<_, Wrong> = array.iter().map(read).collect();
        checked(statuses.map_err(|wrong| format!("must be {ALLOWED}: each {wrong}"))?)
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
    fn what_is_no_such_list_is_refused() {
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
