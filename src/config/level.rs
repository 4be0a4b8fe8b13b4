//! The kind for log filters: a level, or targets with levels.

use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::kind::{Kind, Wrong, must_be};
use super::pattern::any_case;
use crate::printable::shown;

const ALLOWED: &str = "a level (off, error, warn, info, debug, trace) or target=level pairs, such \
                       as \"info\" or \"warn,microbatch=debug\"";

/// A filter as [`Targets`] reads it: `info`, `warn,microbatch=debug`.
pub(crate) fn level() -> Kind<String> {
    Kind::text(ALLOWED, filter, String::clone).described(|| {
        let words = ["off", "error", "warn", "info", "debug", "trace"].map(any_case);
        let one = format!(r"\s*([^=,\s]+=)?({}|[0-5])\s*", words.join("|"));
        let examples = ["info", "warn,microbatch=debug"];
        json!({ "type": "string", "pattern": format!("^{one}(,{one})*$"), "examples": examples })
    })
}

fn filter(text: &str) -> Result<String, Wrong> {
    let directives: Vec<_> = text.split(',').map(str::trim).collect();
    let text = directives.join(",");
    match directives.into_iter().all(is_directive) && text.parse::<Targets>().is_ok() {
        true => Ok(text),
        false => Err(must_be(ALLOWED, shown(&text))),
    }
}

/// Whether this is `level` or `target=level`. [`Targets`] takes a lone unknown word for a target
/// whose every event is logged; here it is a level with a typo.
fn is_directive(directive: &str) -> bool {
    let (target, level) = match directive.split_once('=') {
        Some((target, level)) => (Some(target), level),
        None => (None, directive),
    };
    let is_path = |target: &str| {
        let path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '-' | '.');
        !target.is_empty() && target.chars().all(path)
    };
    !level.is_empty() && level.parse::<LevelFilter>().is_ok() && target.is_none_or(is_path)
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml};
    use super::*;

    #[test]
    fn a_filter_is_levels_and_targets() {
        for (text, expected) in [
            ("info", "info"),
            ("off", "off"),
            ("DEBUG", "DEBUG"),
            ("warn, microbatch=debug", "warn,microbatch=debug"),
            ("microbatch::http=trace", "microbatch::http=trace"),
        ] {
            assert_eq!(from_text(&level(), text), Ok(format!("{expected:?}")));
            assert!(expected.parse::<Targets>().is_ok());
        }
        for text in [
            "",
            "inof",
            "info,",
            "=info",
            "microbatch=",
            "a=b",
            "a b=info",
            "a[x]=info",
        ] {
            let expected = format!("must be {ALLOWED}, not {text:?}");
            assert_eq!(from_text(&level(), text), Err(expected));
        }
        let expected = format!("must be {ALLOWED}, not an integer");
        assert_eq!(from_toml(&level(), "3"), Err(expected));
    }
}
