//! The kind for a list of host names: `["proxy.internal"]`.

use toml::de::DeValue;

use super::kind::{Kind, Wrong, quoted, shown, type_of};

/// Names by which a listener is called, without ports, in lower case.
pub(crate) struct HostNames;

const ALLOWED: &str = "a list of host names without ports such as [\"proxy.internal\"]";

fn name(text: &str) -> Result<String, Wrong> {
    let may_be_in = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match !text.is_empty() && text.bytes().all(may_be_in) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!("must be {ALLOWED}; {} is none", shown(text)).into()),
    }
}

impl Kind for HostNames {
    type Value = Vec<String>;

    fn allowed(&self) -> String {
        ALLOWED.to_owned()
    }

    fn text(&self, text: &str) -> Result<Vec<String>, Wrong> {
        let inner = text.trim();
        let inner = inner.strip_prefix('[').unwrap_or(inner);
        let inner = inner.strip_suffix(']').unwrap_or(inner).trim();
        if inner.is_empty() {
            return Ok(Vec::new());
        }
        let parts = inner.split(',').map(|part| part.trim().trim_matches('"'));
        parts.map(name).collect()
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Vec<String>, Wrong> {
        let wrong = |value: &DeValue<'_>| -> Wrong {
            format!("must be {ALLOWED}, not {}", type_of(value)).into()
        };
        let array = value.as_array().ok_or_else(|| wrong(value))?;
        let elements = array.iter().map(|element| element.get_ref());
        elements
            .map(|element| name(element.as_str().ok_or_else(|| wrong(element))?))
            .collect()
    }

    fn print(&self, value: &Vec<String>) -> String {
        let names: Vec<_> = value.iter().map(|name| quoted(name)).collect();
        format!("[{}]", names.join(", "))
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
    fn what_is_no_such_list_is_refused() {
        for (toml, what) in [
            ("\"a\"", ", not a string"),
            ("[1]", ", not an integer"),
            ("[\"a:80\"]", "; \"a:80\" is none"),
            ("[\"http://a\"]", "; \"http://a\" is none"),
            ("[\"*.a\"]", "; \"*.a\" is none"),
            ("[\"\"]", "; \"\" is none"),
        ] {
            let expected = format!("must be {ALLOWED}{what}");
            assert_eq!(from_toml(&HostNames, toml), Err(expected));
        }
        assert!(from_text(&HostNames, "a,,b").is_err());
    }
}
