//! Content types.

/// The type and subtype of a content type, in lower case and without parameters (RFC
/// 9110, section 8.3.1); nothing where it is none.
pub(super) fn essence(written: &str) -> Option<String> {
    let essence = written.split(';').next().unwrap_or_default().trim();
    let is_token = |it: &str| {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !it.is_empty() && it.bytes().all(token)
    };
    let (kind, sub) = essence.split_once('/')?;
    (is_token(kind) && is_token(sub)).then(|| essence.to_ascii_lowercase())
}

/// Whether a body of that type is taken for JSON: a JSON type, none at all, and what a
/// bare `curl -d` and a bare `fetch` say.
pub(super) fn is_taken_for_json(content_type: Option<&str>) -> bool {
    let Some(written) = content_type else {
        return true;
    };
    const BARE: [&str; 2] = ["application/x-www-form-urlencoded", "text/plain"];
    essence(written).is_some_and(|it| {
        it == "application/json" || it.ends_with("+json") || BARE.contains(&it.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_by_its_type_and_taken_without_one() {
        for (content_type, taken) in [
            (None, true),
            (Some("application/json"), true),
            (Some("Application/JSON; charset=utf-8"), true),
            (Some("application/vnd.x+json"), true),
            (Some("application/x-www-form-urlencoded"), true),
            (Some("text/plain;charset=UTF-8"), true),
            (Some("application/jsonx"), false),
            (Some("text/csv"), false),
            (Some("json"), false),
            (Some(""), false),
        ] {
            assert_eq!(is_taken_for_json(content_type), taken, "{content_type:?}");
        }
        assert_eq!(essence("a/b/c"), None);
        assert_eq!(essence("a /b"), None);
    }
}
