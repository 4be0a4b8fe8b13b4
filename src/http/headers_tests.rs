//! The rules on request headers, row by row.

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn content_types_with_and_without_an_origin() {
    for (content_type, plain, from_browser) in [
        (Some("application/json"), true, true),
        (Some("application/json; charset=utf-8"), true, true),
        (Some("Application/JSON"), true, true),
        (Some("application/problem+json"), true, true),
        (Some("application/vnd.api+json ; v=1"), true, true),
        (None, true, false),
        (Some("application/x-www-form-urlencoded"), true, false),
        (Some("text/plain"), true, false),
        (Some("Text/Plain;charset=UTF-8"), true, false),
        (Some("text/html"), false, false),
        (Some("multipart/form-data; boundary=x"), false, false),
        (Some("application/jsonp"), false, false),
        (Some("+json"), false, false),
        (Some("text/plain; x=application/json"), true, false),
        (Some("text/plain, application/json"), false, false),
        (Some(""), false, false),
    ] {
        let mut pairs: Vec<_> = content_type
            .map(|it| ("content-type", it))
            .into_iter()
            .collect();
        let taken = |pairs: &[_]| Headers::of(&headers(pairs)).content_type.is_ok();
        assert_eq!(taken(&pairs), plain, "{content_type:?}");
        pairs.push(("origin", "https://example.com"));
        assert_eq!(taken(&pairs), from_browser, "{content_type:?} of a browser");
    }
    let two = [
        ("content-type", "application/json"),
        ("content-type", "text/plain"),
    ];
    assert!(Headers::of(&headers(&two)).content_type.is_err());
}

#[test]
fn an_encoding_that_says_anything_is_named() {
    let long = "x".repeat(1_000);
    let long: &'static str = long.leak();
    for (values, expected) in [
        (&[][..], None),
        (&["identity"], None),
        (&["Identity, identity", ""], None),
        (&["gzip"], Some("gzip")),
        (&["identity", "br"], Some("br")),
        (&["identity, zstd;x"], Some("zstd;x")),
        (&["a\"\\"], Some("a\\\"\\\\")),
        (&[long], Some(&long[..LONGEST_ENCODING])),
    ] {
        let pairs: Vec<_> = values
            .iter()
            .map(|&value| ("content-encoding", value))
            .collect();
        let encoding = Headers::of(&headers(&pairs)).encoding;
        assert_eq!(encoding.as_deref(), expected, "{values:?}");
    }
}

#[test]
fn one_valid_traceparent_is_taken_with_all_of_its_state() {
    const PARENT: (&str, &str) = (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    );
    let trace_context = |pairs: &[_]| Headers::of(&headers(pairs)).trace;
    let context = trace_context(&[PARENT, ("tracestate", "a=1"), ("tracestate", "b=2")]);
    assert_eq!(context.unwrap().state(), Some("a=1,b=2"));
    assert_eq!(trace_context(&[PARENT]).unwrap().state(), None);
    assert_eq!(trace_context(&[PARENT, PARENT]), None);
    assert_eq!(trace_context(&[("tracestate", "a=1")]), None);
}
