//! What a batch looks like.

use super::*;

#[test]
fn a_batch_is_written_as_its_template_says() {
    let (one, two) = (r#"{"id":"a","body":[1, 2]}"#, r#"{"id":7}"#);
    for (table, expected) in [
        ("", r#"[{"id":"a","body":[1, 2]},{"id":7}]"#),
        ("item = '$body'\nmatch = 'position'", "[[1, 2],null]"),
        (
            "item = '[$id,$n,$count,$body]'\nbatch = '{\"n\":$count,\"x$$\":[$items]}'",
            r#"{"n":2,"x$":[["a",0,2,[1, 2]],[7,1,2,null]]}"#,
        ),
        ("ids = 'rewrite'", r#"[{"id":7,"body":[1, 2]},{"id":8}]"#),
        (
            "ids = 'rewrite'\nitem = '{\"id\":$id,\"v\":$body}'",
            r#"[{"id":7,"v":[1, 2]},{"id":8,"v":null}]"#,
        ),
        (
            "item = \"{\\\"create\\\":{\\\"_id\\\":$id}}\\n$body\"\njoin = \"\\n\"\nbatch = \"$items\\n\"\ncontent_type = 'application/x-ndjson'",
            "{\"create\":{\"_id\":\"a\"}}\n[1, 2]\n{\"create\":{\"_id\":7}}\nnull\n",
        ),
    ] {
        let shape = shape(table);
        let calls = calls(&shape, &[one, two]);
        assert_eq!(batch(&shape, &calls), expected, "{table}");
    }
}

#[test]
fn what_the_path_captured_is_a_json_string() {
    let table = "call = 'item'\nresults = 'none'\nitem = '{\"m\":$path.m,\"i\":$item}'\nbatch = '{\"n\":$path.n,\"x\":[$items]}'";
    let shape = shape_of_path(table, &["m", "n"]);
    let captures = ["a\"},\n\\", "é"];
    let request = Request {
        content_type: None,
        captures: &captures,
    };
    let call = shape
        .read(Bytes::from_static(b"1"), request, LIMITS)
        .unwrap();
    let batch = batch(&shape, &[call.clone(), call]);
    let parsed: serde_json::Value = serde_json::from_str(&batch).unwrap();
    let item = serde_json::json!({"m": captures[0], "i": 1});
    assert_eq!(parsed, serde_json::json!({"n": "é", "x": [item, item]}));
}

#[test]
fn line_breaks_in_items_become_spaces_where_lines_count() {
    let pretty = "{\r\n  \"a\": [\n1 ]\n}";
    for (table, expected) in [
        (
            "like = 'ndjson'",
            "{    \"a\": [ 1 ] }\n{    \"a\": [ 1 ] }\n".to_owned(),
        ),
        (
            "call = 'item'\nresults = 'none'",
            format!("[{pretty},{pretty}]"),
        ),
    ] {
        let shape = shape(table);
        let calls = calls(&shape, &[pretty, pretty]);
        assert_eq!(batch(&shape, &calls), expected);
    }
}

#[test]
fn the_frame_surrounds_the_items_of_all() {
    let shape = shape("like = 'openai-embeddings'");
    let calls = calls(
        &shape,
        &[
            r#" {"model":"m", "input": "a","dimensions":3}"#,
            r#"{"model":"m", "input": [ "b" , "c" ],"dimensions":3} "#,
        ],
    );
    assert_eq!(calls[0].frame(), calls[1].frame());
    let expected = r#"{"model":"m", "input": ["a","b","c"],"dimensions":3}"#;
    assert_eq!(batch(&shape, &calls), expected);
}

#[test]
fn a_lone_call_goes_as_it_came_where_the_shape_says_so() {
    let body = r#"{"model":"m", "input": [ "b" , "c" ] }"#;
    let list = shape("like = 'openai-embeddings'");
    let lone = calls(&list, &[body]);
    let outgoing = list.write(lone.iter(), FIRST);
    assert_eq!(
        (outgoing.as_is, text(&outgoing.body)),
        (true, body.to_owned())
    );
    assert_eq!(lone[0].content_type(), None);
    let batch = shape("like = 'openai-embeddings'\nlone = 'batch'");
    let lone = calls(&batch, &[body]);
    let outgoing = batch.write(lone.iter(), FIRST);
    let expected = r#"{"model":"m", "input": ["b","c"] }"#;
    assert_eq!(
        (outgoing.as_is, text(&outgoing.body)),
        (false, expected.to_owned())
    );
    let rpc = shape("like = 'json-rpc'");
    let request = Request {
        content_type: Some("application/json-rpc+json"),
        captures: &[],
    };
    let body = Bytes::from_static(br#"{"id":1}"#);
    let call = rpc.read(body.clone(), request, LIMITS).unwrap();
    assert_eq!(call.content_type(), Some("application/json-rpc+json"));
    assert_eq!(
        rpc.write([&call].into_iter(), FIRST).body,
        Spliced::One(body)
    );
}

#[test]
fn large_items_are_not_copied() {
    let shape = shape("");
    let body = Bytes::from(format!(r#"{{"id":1,"body":"{}"}}"#, "x".repeat(5_000)));
    let call = shape
        .read(body.clone(), Request::default(), LIMITS)
        .unwrap();
    let written = shape.write([&call, &call].into_iter(), FIRST).body;
    let shared = written
        .pieces()
        .iter()
        .filter(|it| it.as_ptr() == body.as_ptr());
    assert_eq!(shared.count(), 2);
}
