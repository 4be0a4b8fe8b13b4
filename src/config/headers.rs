//! The kinds for the headers that every batch carries to the upstream, and for the names of those
//! of callers that travel with theirs.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use toml::de::DeValue;

use super::kind::{Kind, Part, Raw, Wrong, must_be, quoted, type_of};
use super::list::{list, strings};
use super::pattern::any_case;
use super::target::REDACTED;
use crate::printable::shown;

/// Header names and values: a TOML table in the file, an inline one in the environment,
/// `Name: value` as a flag. A value is marked sensitive and never shown. Layers add up by name.
pub(crate) fn headers() -> Kind<HeaderMap> {
    let mut kind = Kind::new(
        "header names with their values",
        |value| value.is_table(),
        read,
        print,
    );
    kind.merge = |upper, lower| {
        for (name, value) in lower {
            upper.entry(name).or_insert_with(|| value.clone());
        }
    };
    kind.expecting(IN_A_FILE).described(|| {
        json!({
            "type": "object",
            "propertyNames": name_but(REFUSED.iter()),
            "additionalProperties": { "type": "string" },
        })
    })
}

const IN_A_FILE: &str = "a table such as [upstream.headers]";
const IN_A_LINE: &str = "an inline TOML table such as { Authorization = \"Bearer …\" }";

fn read(raw: Raw<'_>) -> Result<HeaderMap, Wrong> {
    match raw {
        Raw::Toml(value) => from_table(value, IN_A_FILE),
        Raw::Flag(text) => {
            let (name, value) = text.split_once(':').ok_or("must be 'Name: value'")?;
            Ok(HeaderMap::from_iter([header(name.trim(), value)?]))
        }
        Raw::Text(text) => {
            let value = DeValue::parse(text).map_err(|error| {
                format!(
                    "must be {IN_A_LINE}: {}",
                    error.message().replace('\n', ", ")
                )
            })?;
            from_table(value.get_ref(), IN_A_LINE)
        }
    }
}

fn print(headers: &HeaderMap) -> String {
    if headers.is_empty() {
        return "{}".to_owned();
    }
    // A header name holds neither a quote nor a backslash (RFC 9110, 5.6.2).
    let members = headers.keys();
    let members = members.map(|name| format!("\"{name}\" = \"{REDACTED}\""));
    let mut members: Vec<_> = members.collect();
    members.sort();
    format!("{{ {} }}", members.join(", "))
}

/// Headers that are not the operator's to set, and why.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &[
            "content-length",
            "transfer-encoding",
            "trailer",
            "te",
            "expect",
        ],
        "it frames the message, which the proxy does",
    ),
    (
        &[
            "connection",
            "http2-settings",
            "keep-alive",
            "proxy-connection",
            "upgrade",
        ],
        "it is about one connection, which the proxy keeps",
    ),
    (
        &[
            "content-type",
            "x-batch-id",
            "x-batch-size",
            "traceparent",
            "tracestate",
        ],
        "the proxy sets it for each batch",
    ),
];

/// Headers of callers that can't travel with a batch, and why.
const NOT_CALLERS: &[(&[&str], &str)] = &[
    (
        &["host"],
        "it names the proxy, and the upstream has a name of its own",
    ),
    (
        &["proxy-authenticate", "proxy-authorization"],
        "it is about one connection, which the proxy keeps",
    ),
    (
        &["accept", "user-agent"],
        "the proxy sets it for each batch",
    ),
    (
        &["accept-encoding", "content-encoding"],
        "the proxy reads bodies as they are",
    ),
    (&["idempotency-key"], "a call that has one is never merged"),
];

const NAMES: &str = "a list of header names such as [\"authorization\"]";

/// Names of headers of callers, each once, in lower case.
pub(crate) fn forward_headers() -> Kind<Vec<HeaderName>> {
    let read = |raw: Raw<'_>| {
        let mut read: Vec<HeaderName> = Vec::new();
        for name in strings(raw, NAMES)? {
            let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
                return Err(format!("must be {NAMES}; {} is none", shown(&name)).into());
            };
            let mut refused = REFUSED.iter().chain(NOT_CALLERS);
            if let Some((_, why)) = refused.find(|(names, _)| names.contains(&parsed.as_str())) {
                return Err(format!("{parsed} of a caller cannot travel: {why}").into());
            }
            if read.contains(&parsed) {
                return Err(format!("has {parsed} twice: header names ignore case").into());
            }
            read.push(parsed);
        }
        Ok(read)
    };
    let print = |names: &Vec<HeaderName>| list(names.iter().map(|name| quoted(name.as_str())));
    Kind::new(NAMES, |value| value.is_array(), read, print).described(|| {
        let name = name_but(REFUSED.iter().chain(NOT_CALLERS));
        json!({
            "type": "array", "items": name, "uniqueItems": true, "examples": [["authorization"]],
        })
    })
}

/// The schema of a header's name that is none of those refused, however written.
fn name_but(
    refused: impl Iterator<Item = &'static (&'static [&'static str], &'static str)>,
) -> Value {
    let names = refused.flat_map(|(names, _)| names.iter().map(|name| any_case(name)));
    let names: Vec<_> = names.collect();
    json!({
        "type": "string",
        "pattern": r"^[-A-Za-z0-9!#$%&'*+.^_`|~]+$",
        "not": { "pattern": format!("^({})$", names.join("|")) },
    })
}

/// Every header of a table, or every one that is wrong.
fn from_table(value: &DeValue<'_>, allowed: &str) -> Result<HeaderMap, Wrong> {
    let table = value.as_table();
    let table = table.ok_or_else(|| must_be(allowed, type_of(value)))?;
    let mut headers = HeaderMap::new();
    let mut wrong = Vec::new();
    for (key, value) in table {
        let read = match value.get_ref() {
            DeValue::String(text) => header(key.get_ref(), text),
            other => Err(format!("must be a string, not {}", type_of(other))),
        };
        let read = read.and_then(|(name, value)| match headers.insert(name, value) {
            None => Ok(()),
            Some(_) => Err("is given twice: header names ignore case".to_owned()),
        });
        if let Err(what) = read {
            let member = Some((key.get_ref().to_string(), key.span()));
            wrong.push(Part { member, what });
        }
    }
    match wrong.is_empty() {
        true => Ok(headers),
        false => Err(Wrong(wrong)),
    }
}

/// One header, its value marked sensitive.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err("is not a header name: letters, digits and -_.!#$%&'*+^`|~ only".to_owned());
    };
    let reason = REFUSED
        .iter()
        .find(|(names, _)| names.contains(&parsed.as_str()));
    if let Some((_, reason)) = reason {
        return Err(format!("{parsed} cannot be set here: {reason}"));
    }
    let Ok(mut value) = HeaderValue::from_str(value.trim()) else {
        return Err(format!(
            "the value of {parsed} must be printable ASCII on one line"
        ));
    };
    value.set_sensitive(true);
    Ok((parsed, value))
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_flag, from_text, from_toml};
    use super::*;

    #[test]
    fn each_layer_has_its_spelling() {
        let expected = Ok("{ \"authorization\" = \"***\" }".to_owned());
        let table = "{ Authorization = \"Bearer s3cret\" }";
        assert_eq!(from_toml(&headers(), table), expected);
        assert_eq!(from_text(&headers(), table), expected);
        assert_eq!(
            from_flag(&headers(), "Authorization: Bearer s3cret"),
            expected
        );
        let read = |flag| headers().read(Raw::Flag(flag)).unwrap();
        let given = read("Authorization:  Bearer a:b ");
        assert_eq!(given["authorization"], "Bearer a:b");
        assert!(given["authorization"].is_sensitive());
        assert!(!format!("{given:?}").contains("Bearer"));
        assert_eq!(from_text(&headers(), "{}"), Ok("{}".to_owned()));
    }

    #[test]
    fn what_the_proxy_owns_is_refused() {
        let mut names = 0;
        for name in REFUSED.iter().flat_map(|(names, _)| *names) {
            let spelled = name.to_uppercase();
            let wrong = from_flag(&headers(), &format!("{spelled}: s3cret")).unwrap_err();
            assert!(
                wrong.starts_with(&format!("{name} cannot be set here: ")),
                "{wrong}"
            );
            assert!(!wrong.contains("s3cret"));
            names += 1;
        }
        assert_eq!(names, 15);
        for name in [
            "accept",
            "user-agent",
            "host",
            "authorization",
            "x-api-key",
            "cookie",
        ] {
            assert!(
                from_flag(&headers(), &format!("{name}: x")).is_ok(),
                "{name}"
            );
        }
    }

    #[test]
    fn every_wrong_header_is_named_and_no_value_shown() {
        let table =
            "{ \"a b\" = \"s3cret\", te = \"s3cret\", x = 1, y = \"s3cret\\nx\", ok = \"v\" }";
        let expected = "a b: is not a header name: letters, digits and -_.!#$%&'*+^`|~ only; \
                        te: te cannot be set here: it frames the message, which the proxy does; \
                        x: must be a string, not an integer; \
                        y: the value of y must be printable ASCII on one line";
        assert_eq!(from_toml(&headers(), table), Err(expected.to_owned()));
        let twice = from_toml(&headers(), "{ X-A = \"1\", x-a = \"2\" }").unwrap_err();
        assert_eq!(twice, "x-a: is given twice: header names ignore case");
        for text in [
            "s3cret",
            "{ a = s3cret }",
            "\"s3cret\"",
            "",
            "{ a = \"s3cret",
            "a: s3cret",
        ] {
            let wrong = from_text(&headers(), text).unwrap_err();
            assert!(wrong.starts_with("must be an inline TOML table"), "{wrong}");
            assert!(
                !wrong.contains("s3cret") && !wrong.contains('\n'),
                "{wrong}"
            );
        }
        assert_eq!(
            from_flag(&headers(), "s3cret"),
            Err("must be 'Name: value'".to_owned())
        );
        let wrong = from_toml(&headers(), "\"s3cret\"").unwrap_err();
        assert_eq!(
            wrong,
            "must be a table such as [upstream.headers], not a string"
        );
    }

    #[test]
    fn an_upper_layer_overrides_by_name() {
        let headers = headers();
        let lower = headers.read(Raw::Text("{ a = \"1\", b = \"1\" }")).unwrap();
        let mut merged = headers.read(Raw::Flag("B: 2")).unwrap();
        (headers.merge)(&mut merged, &lower);
        assert_eq!(
            (merged.len(), &merged["a"], &merged["b"]),
            (2, &"1".parse().unwrap(), &"2".parse().unwrap())
        );
    }
}
