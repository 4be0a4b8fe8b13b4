//! What is merged, and what goes alone.

use super::*;
use crate::shape::JobError;

const SINGLE: &str = "call = '/input'\nsingle = ['value', 'integers', 'objects']\n\
     match = 'position'\nreply = '[$results]'";
const LIST: &str = "call = '/a/b'\nmatch = 'position'\nreply = '[$results]'";
const ITEM: &str = "call = 'item'";

/// The items of a call, or why it is none.
fn items(shape: &Shape, body: &str) -> Result<Vec<String>, NotMerged> {
    let call = read(shape, body)?;
    let raw = |item: &call::Item| call.body()[item.span.range()].to_vec();
    let items = call.items().iter().map(raw);
    Ok(items.map(|it| String::from_utf8(it).unwrap()).collect())
}

#[test]
fn items_are_found_where_they_stand_or_the_call_goes_alone() {
    let alone = |why| Err(NotMerged::Alone(why));
    let one = |item: &str| Ok(vec![item.to_owned()]);
    let form = || alone(Why::Form);
    for (table, body, expected) in [
        (
            LIST,
            r#"{"a":{"b":[1, {"x":[2]} ,"3"]}}"#,
            Ok(vec!["1".into(), r#"{"x":[2]}"#.into(), r#""3""#.into()]),
        ),
        (LIST, r#"{"a":{"b":[]}}"#, form()),
        (LIST, r#"{"a":{"b":1}}"#, form()),
        (LIST, r#"{"a":{"c":[1]}}"#, form()),
        (LIST, r#"{"a":[1]}"#, form()),
        (LIST, r#"{"a":{"b":[1],"b":[2]}}"#, form()),
        (LIST, r#"{"a":{"b":[1],"\u0062":[2]}}"#, form()),
        (LIST, r#"{"a":{"b":[1]},"a":{"b":[2]}}"#, form()),
        (LIST, r#"{"a":{"b":[1]},"a":1}"#, form()),
        (LIST, r#"{"a":{"b":[1]},"\u0061":{}}"#, form()),
        (LIST, r#"{"\u0061":{"b":[1]}}"#, one("1")),
        (LIST, r#"{"x":{"a":1},"a":{"x":{"b":1},"b":[1]}}"#, one("1")),
        (LIST, r#"{"a":{"b":[1]},"stream":true}"#, alone(Why::Stream)),
        (
            LIST,
            r#"{"stream":true,"stream":false,"a":{"b":[1]}}"#,
            alone(Why::Stream),
        ),
        (
            LIST,
            r#"{"\u0073tream":true,"a":{"b":[1]}}"#,
            alone(Why::Stream),
        ),
        (
            LIST,
            r#"{"a":{"b":[1],"stream":true},"stream":"true"}"#,
            one("1"),
        ),
        (LIST, "", form()),
        (LIST, "[1]", form()),
        (LIST, r#"{"a":{"b":[1]}"#, form()),
        (LIST, r#"{"a":{"b":[1]}} x"#, form()),
        (LIST, r#"{"a":{"b":[1,]}}"#, form()),
        (LIST, r#"{"a":{"b":[NaN]}}"#, form()),
        (LIST, r#"{"a":{"b":[1]/**/}}"#, form()),
        (LIST, "\u{feff}{\"a\":{\"b\":[1]}}", form()),
        (SINGLE, r#"{"input":"a"}"#, one(r#""a""#)),
        (
            SINGLE,
            r#"{"input":["a","b"]}"#,
            Ok(vec![r#""a""#.into(), r#""b""#.into()]),
        ),
        (SINGLE, r#"{"input":[1,2]}"#, one("[1,2]")),
        (
            SINGLE,
            r#"{"input":[[1,2],[3]]}"#,
            Ok(vec!["[1,2]".into(), "[3]".into()]),
        ),
        (SINGLE, r#"{"input":[{"a":1},{}]}"#, one(r#"[{"a":1},{}]"#)),
        (
            SINGLE,
            r#"{"input":[1,2.5]}"#,
            Ok(vec!["1".into(), "2.5".into()]),
        ),
        (SINGLE, r#"{"input":[]}"#, form()),
        (SINGLE, r#"{"input":null}"#, one("null")),
        (ITEM, r#" {"id":1} "#, one(r#"{"id":1}"#)),
        (ITEM, r#"{"id":null}"#, form()),
        (ITEM, r#"{"id":1.5}"#, form()),
        (ITEM, r#"{"id":1,"id":1}"#, form()),
        (ITEM, r#"{"id":1,"\u0069d":1}"#, form()),
        (ITEM, r#"{"no":1}"#, form()),
        (ITEM, r#"{"id":1,"ID":2}"#, form()),
        (ITEM, r#"{"\u0049D":2,"id":1}"#, form()),
        (ITEM, r#"{"Id":1}"#, form()),
        (ITEM, r#"{"id":1,"Stream":true}"#, alone(Why::Stream)),
        (ITEM, "{\"id\":1,\"\u{17f}tream\":true}", alone(Why::Stream)),
        (
            ITEM,
            r#"{"id":1,"x":{"ID":2}}"#,
            one(r#"{"id":1,"x":{"ID":2}}"#),
        ),
        (LIST, r#"{"a":{"b":[1],"B":[2]}}"#, form()),
        (LIST, r#"{"A":{"b":[1]},"a":{"b":[1]}}"#, form()),
        (ITEM, r#"[{"id":1}]"#, form()),
        (
            "call = 'item'\nresults = 'none'",
            r#"[{"id":1}]"#,
            one(r#"[{"id":1}]"#),
        ),
        ("call = 'item'\nresults = 'none'", "7", one("7")),
        ("like = 'graphql'", r#"[{"query":"a"}]"#, form()),
        (
            "like = 'graphql'",
            r#"{"query":"a"}"#,
            one(r#"{"query":"a"}"#),
        ),
        (
            "call = 'item'\nid = '/stream'",
            r#"{"stream":5}"#,
            one(r#"{"stream":5}"#),
        ),
        (
            "call = 'item'\nid = '/m/id'",
            r#"{"m":{"id":5}}"#,
            one(r#"{"m":{"id":5}}"#),
        ),
        (
            "call = 'item'\nid = '/m/id'",
            r#"{"m":{"id":5},"m":{"id":5}}"#,
            form(),
        ),
        (
            "call = ''\nmatch = 'position'\nreply = '[$results]'",
            "[1,2]",
            Ok(vec!["1".into(), "2".into()]),
        ),
        (
            "call = '/a'\nreply = '[$results]'",
            r#"{"a":[{"id":1},{"id":2}]}"#,
            Ok(vec![r#"{"id":1}"#.into(), r#"{"id":2}"#.into()]),
        ),
        (
            "call = '/a'\nreply = '[$results]'",
            r#"{"a":[{"id":1},{"id":1}]}"#,
            form(),
        ),
        (
            "call = '/a'\nreply = '[$results]'\nids = 'rewrite'",
            r#"{"a":[{"id":1},{"id":1}]}"#,
            Ok(vec![r#"{"id":1}"#.into(), r#"{"id":1}"#.into()]),
        ),
        (
            "call = '/a'\nreply = '[$results]'",
            r#"{"a":[{"id":1},2]}"#,
            form(),
        ),
    ] {
        assert_eq!(items(&shape(table), body), expected, "{table}: {body}");
    }
}

#[test]
fn a_job_is_one_or_an_error() {
    let shape = shape("");
    let refused = |body: &str| match read(&shape, body) {
        Err(NotMerged::NoJob(error)) => Some(error),
        _ => None,
    };
    assert!(matches!(refused("{"), Some(JobError::Malformed(_))));
    assert_eq!(refused("[]"), Some(JobError::NotAnObject));
    assert_eq!(refused("{}"), Some(JobError::NoId));
    assert_eq!(refused(r#"{"id":1,"id":2}"#), Some(JobError::TwoIds));
    assert!(matches!(refused(r#"{"id":[]}"#), Some(JobError::Id(_))));
    let deep = format!(
        "{{\"id\":1,\"body\":{}{}}}",
        "[".repeat(128),
        "]".repeat(128)
    );
    assert!(matches!(refused(&deep), Some(JobError::Malformed(_))));
    assert_eq!(refused(r#"{"id":1,"stream":true}"#), None);
    let call = read(&shape, " {\"body\":2,\"id\":\"\\u0061\"} ").unwrap();
    assert_eq!(call.id().unwrap().to_string(), "\"a\"");
    assert_eq!(call.raw_id().unwrap(), br#""\u0061""#);
    assert!(!shape.lets_alone() && shape.keeps_apart());
}

#[test]
fn what_is_too_large_or_too_deep_goes_alone() {
    let list = shape(LIST);
    let body = |items: usize| format!("{{\"a\":{{\"b\":[{}]}}}}", vec!["1"; items].join(","));
    assert!(read(&list, &body(100)).is_ok());
    assert_eq!(
        read(&list, &body(101)).unwrap_err(),
        NotMerged::Alone(Why::Size)
    );
    let deep = |levels| {
        format!(
            "{{\"a\":{{\"b\":[{}{}]}}}}",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert!(read(&list, &deep(125)).is_ok());
    assert_eq!(
        read(&list, &deep(126)).unwrap_err(),
        NotMerged::Alone(Why::Form)
    );
    let text = Bytes::from(body(10));
    for (max_bytes, fits) in [(text.len() + 10, true), (text.len() - 1, false)] {
        let limits = Limits {
            max_bytes,
            ..LIMITS
        };
        let read = list.read(text.clone(), Request::default(), limits);
        assert_eq!(read.is_ok(), fits, "{max_bytes}");
    }
}

#[test]
fn what_strict_parsers_refuse_goes_alone_but_for_jobs() {
    for value in ["\"\\ud800\"", "{\"\\udc00\":1}", "1e999"] {
        let odd = Err(NotMerged::Alone(Why::Form));
        assert_eq!(items(&shape("call = 'item'"), value), odd, "{value}");
        for body in [
            format!(r#"{{"a":{{"b":[1,{value}]}}}}"#),
            format!(r#"{{"a":{{"b":[1]}},"c":{value}}}"#),
        ] {
            assert_eq!(items(&shape(LIST), &body), odd, "{body}");
        }
        let job = format!(r#"{{"id":1,"body":{value}}}"#);
        assert_eq!(items(Shape::jobs(), &job), Ok(vec![job.clone()]));
    }
}

#[test]
fn types_that_are_not_accepted_go_alone() {
    let events = shape("like = 'cloudevents'");
    let any = shape("like = 'ndjson'");
    const EVENT: &[u8] = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    for (content_type, event, value) in [
        (Some("application/cloudevents+json"), true, true),
        (
            Some("Application/CloudEvents+JSON; charset=utf-8"),
            true,
            true,
        ),
        (Some("application/json"), false, true),
        (Some("application/cloudevents-batch+json"), false, true),
        (Some("text/csv"), false, false),
        (None, false, true),
    ] {
        for (shape, accepted) in [(&events, event), (&any, value)] {
            let request = Request {
                content_type,
                captures: &[],
            };
            let read = shape.read(Bytes::from_static(EVENT), request, LIMITS);
            let expected = (!accepted).then_some(NotMerged::Alone(Why::Type));
            assert_eq!(read.err(), expected, "{content_type:?}");
        }
    }
}

#[test]
fn frames_are_equal_byte_for_byte_and_of_one_kind() {
    let list = shape(LIST);
    let single = shape(SINGLE);
    for (shape, one, other, equal) in [
        (
            &list,
            r#"{"a":{"b":[1]},"c":2}"#,
            r#"{"a":{"b":["x",{}]},"c":2}"#,
            true,
        ),
        (
            &list,
            r#"{"a":{"b":[1]},"c":2}"#,
            r#"{"a":{"b":[1]},"c":3}"#,
            false,
        ),
        (
            &list,
            r#"{"a":{"b":[1]},"c":2}"#,
            r#"{"a":{"b":[1]}, "c":2}"#,
            false,
        ),
        (
            &list,
            r#"{"c":2,"a":{"b":[1]}}"#,
            r#"{"a":{"b":[1]},"c":2}"#,
            false,
        ),
        (
            &list,
            r#"{"a":{"b":[ 1 , 2 ]}}"#,
            r#"{"a":{"b":[1]}}"#,
            true,
        ),
        (&single, r#"{"input":"a"}"#, r#"{"input":["a","b"]}"#, true),
        (&single, r#"{"input":"a"}"#, r#"{"input":[1]}"#, false),
        (&single, r#"{"input":"a"}"#, r#"{"input":["a",1]}"#, false),
        (&single, r#"{"input":[1]}"#, r#"{"input":[[1],[2]]}"#, true),
        (
            &single,
            r#"{"input":"a","model":"m"}"#,
            r#"{"input":"a","model":"n"}"#,
            false,
        ),
    ] {
        let calls = calls(shape, &[one, other]);
        assert_eq!(calls[0].frame() == calls[1].frame(), equal, "{one} {other}");
    }
}

#[test]
fn ids_in_common_are_told_by_their_keys() {
    let shape = shape("call = '/a'\nreply = '[$results]'");
    let calls = calls(
        &shape,
        &[
            r#"{"a":[{"id":1},{"id":"x"}]}"#,
            r#"{"a":[{"id":"\u0078"}]}"#,
            r#"{"a":[{"id":"1"}]}"#,
        ],
    );
    let keys: Vec<Vec<u64>> = calls.iter().map(|call| call.keys().collect()).collect();
    assert_eq!(keys[0][1], keys[1][0]);
    assert!(!keys[0].contains(&keys[2][0]));
    assert!(shape.keeps_apart());
    for table in ["like = 'json-rpc'", "like = 'ndjson'", "match = 'position'"] {
        assert!(!super::shape(table).keeps_apart(), "{table}");
    }
}
