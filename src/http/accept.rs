//! Which types of answers a caller takes (`Accept`, RFC 9110, section 12.5.1): an answer
//! that is taken from a batch is JSON.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// Whether a caller takes JSON, of any kind, or `also`: as who says nothing does.
pub(super) fn takes_json(headers: &HeaderMap, also: &str) -> bool {
    let also = essence(also);
    let (mut says_any, mut named, mut best) = (false, false, (0, false));
    for value in headers.get_all(ACCEPT) {
        // What is no text is no type that anybody could answer with.
        let written = value.to_str().unwrap_or("?");
        for range in written.split(',').filter(|it| !it.trim().is_empty()) {
            says_any = true;
            let (range, taken) = (essence(range), weighs(range));
            let is = |it: &str| range.eq_ignore_ascii_case(it);
            // The most specific that fits JSON decides.
            let specific = match () {
                () if is("application/json") => 3,
                () if is("application/*") => 2,
                () if is("*/*") => 1,
                () => 0,
            };
            if specific > best.0 || specific > 0 && specific == best.0 && taken {
                best = (specific, taken);
            }
            let suffix = range.len().checked_sub("+json".len());
            let suffix = suffix.and_then(|at| range.get(at..));
            let is_json = suffix.is_some_and(|it| it.eq_ignore_ascii_case("+json"));
            named |= taken && (is_json || is(also));
        }
    }
    !says_any || named || best.1
}

fn essence(range: &str) -> &str {
    range.split(';').next().unwrap_or_default().trim()
}

/// Whether a range has a weight that is not 0, which means "not acceptable".
fn weighs(range: &str) -> bool {
    let parameters = range.split(';').skip(1).filter_map(|it| it.split_once('='));
    let mut weights = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    weights.all(|(_, weight)| weight.trim().parse() != Ok(0.0))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn json_is_taken_by_whoever_does_not_rule_it_out() {
        for (accept, taken) in [
            (&[][..], true),
            (&[""], true),
            (&["*/*"], true),
            (&["application/*;q=0.1"], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["application/graphql-response+json"], true),
            (&["application/vnd.x+JSON;q=0.001"], true),
            (&["application/json, text/event-stream"], true),
            (&["text/event-stream", "application/json"], true),
            (&["text/html, */*;q=0.8"], true),
            (&["application/x-ndjson"], true),
            (&["text/event-stream"], false),
            (&["multipart/mixed; boundary=\"-\""], false),
            (&["text/*"], false),
            (&["application/jsonx"], false),
            (&["+json;q=0"], false),
            (&["application/json;q=0"], false),
            (&["application/json; Q = 0.000"], false),
            // The most specific decides, wherever it stands.
            (&["application/json;q=0, */*"], false),
            (&["*/*, application/json;q=0"], false),
            (&["*/*;q=0, application/json"], true),
            (&["application/*;q=0, */*"], false),
            (&["json"], false),
            (&["\u{e4}"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(ACCEPT, value);
            }
            let found = takes_json(&headers, "application/x-ndjson; charset=utf-8");
            assert_eq!(found, taken, "{accept:?}");
        }
    }
}
