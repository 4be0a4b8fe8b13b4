//! Answers: every row of the contract's strictness, and what each caller gets.

use super::*;
use crate::fault::{Instead, NotResults};

/// Two calls of three items and two.
const INDEX: &str = "call = '/in'\nmatch = 'index'\nresults = '/data'\nreply = '[$results]'";
const POSITION: &str = "call = '/in'\nmatch = 'position'\nresults = '/data'\nreply = '[$results]'";

const MISSING: Outcome = Outcome::Missing { other_type: false };

fn malformed(raw: &str) -> Outcome {
    Outcome::Malformed(Bytes::copy_from_slice(raw.as_bytes()))
}

fn three_and_two(shape: &Shape) -> Vec<Call> {
    calls(shape, &[r#"{"in":["a","b","c"]}"#, r#"{"in":["d","e"]}"#])
}

fn count(shape: &Shape, calls: &[Call], with: &str) -> Count {
    match answer(shape, calls, with) {
        Err(NoResults::Count(count)) => count,
        other => panic!("{with}: {other:?}"),
    }
}

#[test]
fn results_by_index_are_each_callers_own_and_numbered_from_0_again() {
    let shape = shape(INDEX);
    let calls = three_and_two(&shape);
    let answer = r#"{"n":1,"data":[{"index":4,"v":4},{"v":[0, 0],"index":0},{"index":2,"x":{"index":9}},
        {"\u0069ndex" : 3 ,"v":3},{"index":1}]}"#;
    let expected = [
        r#"[{"v":[0, 0],"index":0},{"index":1},{"index":2,"x":{"index":9}}]"#,
        r#"[{"\u0069ndex" : 0 ,"v":3},{"index":1,"v":4}]"#,
    ];
    assert_eq!(bodies(&shape, &calls, answer), expected);
}

#[test]
fn an_index_that_can_not_be_right_gives_nobody_anything() {
    let shape = shape(INDEX);
    let calls = three_and_two(&shape);
    let with = |indices: [&str; 5]| {
        let each = indices.map(|it| format!("{{\"index\":{it}}}"));
        format!("{{\"data\":[{}]}}", each.join(","))
    };
    for (indices, expected) in [
        (["0", "1", "2", "3", "3"], Count::IndexTwice { index: 3 }),
        (["0", "1", "2", "3", "5"], Count::NoIndex { at: 4, last: 4 }),
        (
            ["0", "-1", "2", "3", "4"],
            Count::NoIndex { at: 1, last: 4 },
        ),
        (
            ["0", "1.0", "2", "3", "4"],
            Count::NoIndex { at: 1, last: 4 },
        ),
        (
            ["0", "01", "2", "3", "4"],
            Count::NoIndex { at: 1, last: 4 },
        ),
        (
            ["0", "\"1\"", "2", "3", "4"],
            Count::NoIndex { at: 1, last: 4 },
        ),
        (
            ["null", "1", "2", "3", "4"],
            Count::NoIndex { at: 0, last: 4 },
        ),
        (
            ["0,\"index\":0", "1", "2", "3", "4"],
            Count::NoIndex { at: 0, last: 4 },
        ),
        (
            ["99999999999999999999", "1", "2", "3", "4"],
            Count::NoIndex { at: 0, last: 4 },
        ),
    ] {
        assert_eq!(count(&shape, &calls, &with(indices)), expected);
    }
    let missing = r#"{"data":[{"index":0},{},{"index":2},{"index":3},{"index":4}]}"#;
    assert_eq!(
        count(&shape, &calls, missing),
        Count::NoIndex { at: 1, last: 4 }
    );
    let nothing = r#"{"data":[1,{"index":1},{"index":2},{"index":3},{"index":4}]}"#;
    assert_eq!(
        count(&shape, &calls, nothing),
        Count::NoIndex { at: 0, last: 4 }
    );
    // What is not JSON is one call's misfortune as long as its index can be read.
    let odd = r#"{"data":[{"index":0},{"index":1,"v":NaN},{"index":2},{"index":3},{"index":4}]}"#;
    let found = replies(&shape, &calls, odd);
    assert_eq!(found[0], Err(malformed(r#"{"index":1,"v":NaN}"#)));
    assert!(found[1].is_ok());
    let odd = odd.replace("\"index\":1,", "");
    assert_eq!(
        count(&shape, &calls, &odd),
        Count::NoIndex { at: 1, last: 4 }
    );
}

#[test]
fn results_by_position_must_be_as_many_as_the_items() {
    for table in [POSITION, INDEX] {
        let shape = shape(table);
        let calls = three_and_two(&shape);
        for results in [0, 1, 4, 6] {
            let each: Vec<_> = (0..results)
                .map(|it| format!("{{\"index\":{it}}}"))
                .collect();
            let with = format!("{{\"data\":[{}]}}", each.join(","));
            let expected = Count::Results { items: 5, results };
            assert_eq!(count(&shape, &calls, &with), expected);
        }
    }
    let shape = shape(POSITION);
    let calls = three_and_two(&shape);
    let with = r#"{"data":[1,"x, y" , {"a":[2]},null,[[ ]]]}"#;
    assert_eq!(
        bodies(&shape, &calls, with),
        [r#"[1,"x, y",{"a":[2]}]"#, "[null,[[ ]]]"]
    );
    let found = replies(&shape, &calls, r#"{"data":[1,2,3,4,NaN]}"#);
    assert_eq!(found[1], Err(malformed("NaN")));
    assert!(found[0].is_ok());
}

#[test]
fn an_id_that_disagrees_gives_nobody_anything() {
    let position = "call = 'item'\nmatch = 'position'";
    let index = "call = 'item'\nmatch = 'index'";
    let rewrite = "call = 'item'\nmatch = 'position'\nids = 'rewrite'";
    for (table, ids, agree) in [
        (position, ["1", "\"a\""], true),
        (position, ["1", "\"\\u0061\""], true),
        (position, ["2", "\"a\""], false),
        (position, ["\"1\"", "\"a\""], false),
        (position, ["1,\"id\":1", "\"a\""], false),
        (position, ["null", "\"a\""], true),
        (index, ["\"a\",\"index\":1", "1,\"index\":0"], true),
        (index, ["1,\"index\":1", "\"a\",\"index\":0"], false),
        (rewrite, ["7", "8"], true),
        (rewrite, ["8", "7"], false),
        (rewrite, ["1", "\"a\""], false),
        (rewrite, ["\"7\"", "8"], false),
    ] {
        let shape = shape(table);
        let calls = calls(&shape, &[r#"{"id":1}"#, r#"{"id":"a"}"#]);
        let with = format!("[{{\"id\":{}}},{{\"id\":{}}}]", ids[0], ids[1]);
        let found = answer(&shape, &calls, &with);
        match agree {
            true => assert!(found.is_ok(), "{table}: {with}: {found:?}"),
            false => assert!(
                matches!(found, Err(NoResults::Count(Count::OtherId { .. }))),
                "{table}: {with}: {found:?}"
            ),
        }
    }
    // An item that shows none goes with any, and so does a result.
    let shape = shape(position);
    let calls = calls(&shape, &["[1]", r#"{"id":"a"}"#]);
    assert!(answer(&shape, &calls, r#"[{"id":9},{"x":1}]"#).is_ok());
    // One that is not JSON says its id all the same.
    let odd = answer(&shape, &calls, r#"[1,{"id":"b","x":NaN}]"#);
    assert_eq!(odd, Err(NoResults::Count(Count::OtherId { at: 1 })));
}

#[test]
fn rewritten_ids_are_put_back_as_they_were_written() {
    let shape = shape("like = 'json-rpc'");
    let calls = calls(
        &shape,
        &[
            r#"{"jsonrpc":"2.0", "id" : 1 ,"method":"a"}"#,
            r#"{"id":1}"#,
            r#"{"id":"\u0031"}"#,
            r#"{"id":-5}"#,
        ],
    );
    assert!(!shape.keeps_apart());
    let sent = r#"[{"jsonrpc":"2.0", "id" : 7 ,"method":"a"},{"id":8},{"id":9},{"id":10}]"#;
    assert_eq!(batch(&shape, &calls), sent);
    let with = r#"[{"result":"d","id":10},{"id":8,"error":{"code":-1,"id":8}},{"id":9},{"id":7,"result":[7]}]"#;
    let expected = [
        r#"{"id":1,"result":[7]}"#,
        r#"{"id":1,"error":{"code":-1,"id":8}}"#,
        r#"{"id":"\u0031"}"#,
        r#"{"result":"d","id":-5}"#,
    ];
    assert_eq!(bodies(&shape, &calls, with), expected);
    // Numbers of another batch, or of another type, are nobody's.
    let strays = r#"[{"id":1},{"id":6},{"id":11},{"id":"8"},{"id":9.0},{"id":"x"},{"id":07}]"#;
    let found = answer(&shape, &calls, strays).unwrap();
    let other = Outcome::Missing { other_type: true };
    assert_eq!(found.outcomes, [MISSING, other, MISSING, MISSING]);
    assert!(found.is_for_nobody());
    assert_eq!(
        (found.unmatched.unknown_id, found.unmatched.malformed),
        (6, 1)
    );
}

#[test]
fn results_are_found_where_the_shape_says() {
    let wrapped = "call = 'item'\nresults = '/r/data'\nreply = '[$result,$/n,$/m/x,$/none]'";
    let lines = "call = 'item'\nresults = 'lines'";
    let same = "call = 'item'\nresults = 'same'\nid = ''\nmatch = 'position'";
    let part = "call = 'item'\nresult = '/out/0'";
    let first = "call = 'item'\nmatch = 'position'\nresult = '/0'";
    let only = "call = 'item'\nmatch = 'position'\nresult = '/*'";
    for (table, with, one) in [
        (first, "[[1, 2],[3]]", "1"),
        (
            wrapped,
            r#"{"n":5,"r":{"data":[{"id":2},{"id":1}],"x":3},"m":{"x":[1, 2]}}"#,
            r#"[{"id":1},5,[1, 2],null]"#,
        ),
        (
            wrapped,
            "\u{feff}{\"r\":{\"data\":[{\"id\":1},{\"id\":2}]},\"n\":NaN,\"m\":{\"x\":1,\"x\":2}}",
            r#"[{"id":1},null,null,null]"#,
        ),
        (
            lines,
            "{\"id\":2}\n\n {\"id\":1, \"a\":2}\r\n",
            r#"{"id":1, "a":2}"#,
        ),
        (same, " {\"took\":1} ", r#"{"took":1}"#),
        (
            part,
            r#"[{"id":1,"out":[{"a": 1},2]},{"id":2,"out":[3]}]"#,
            r#"{"a": 1}"#,
        ),
        (
            only,
            r#"[{"index":{"_id":"x"}},{"index":{}}]"#,
            r#"{"_id":"x"}"#,
        ),
    ] {
        let shape = shape(table);
        let calls = calls(&shape, &[r#"{"id":1}"#, r#"{"id":2}"#]);
        assert_eq!(bodies(&shape, &calls, with)[0], one, "{table}: {with}");
    }
}

#[test]
fn a_result_without_the_callers_part_is_none() {
    let part = "call = 'item'\nmatch = 'position'\nresult = '/out'";
    let only = "call = 'item'\nmatch = 'position'\nresult = '/*'";
    for (table, result, expected) in [
        (part, r#"{"in":1}"#, MISSING),
        (part, "7", MISSING),
        (part, r#"{"out":1,"out":2}"#, Outcome::Ambiguous),
        (only, "{}", MISSING),
        (only, "[1]", MISSING),
        (only, r#"{"a":1,"b":2}"#, Outcome::Ambiguous),
    ] {
        let shape = shape(table);
        let calls = calls(&shape, &["{}", "{}"]);
        let with = format!("[{result},{{\"out\":1}}]");
        let found = replies(&shape, &calls, &with);
        assert_eq!(
            found,
            [Err(expected), Ok((200, "1".to_owned()))],
            "{table}: {result}"
        );
    }
}

#[test]
fn an_answer_without_results_gives_nobody_anything() {
    let whole = "call = 'item'\nmatch = 'position'";
    let inside = "call = 'item'\nmatch = 'position'\nresults = '/a/b'";
    let same = "call = 'item'\nresults = 'same'";
    let not_there = |answer| NoResults::NotThere {
        at: "/a/b".to_owned(),
        answer,
    };
    let not_array = |it| NoResults::NotResults(NotResults::NotAnArray(it));
    for (table, with, expected) in [
        (whole, "", not_array(Instead::Nothing)),
        (whole, "{}", not_array(Instead::Object)),
        (whole, "<html>", not_array(Instead::Markup)),
        (inside, "[1,2]", not_there(Instead::Value)),
        (inside, r#"{"a":[1,2]}"#, not_there(Instead::Object)),
        (inside, r#"{"a":{"b":1}}"#, not_array(Instead::Value)),
        (
            inside,
            r#"{"a":{"b":[1,2],"b":[3,4]}}"#,
            not_there(Instead::Object),
        ),
        (
            inside,
            r#"{"a":{"b":[1,2]},"a":{}}"#,
            not_there(Instead::Object),
        ),
        (inside, "OK", not_there(Instead::Other)),
        (same, "OK", NoResults::NotJson(Instead::Other)),
        (same, "", NoResults::NotJson(Instead::Nothing)),
    ] {
        let shape = shape(table);
        let calls = calls(&shape, &[r#"{"id":1}"#, r#"{"id":2}"#]);
        assert_eq!(
            answer(&shape, &calls, with),
            Err(expected),
            "{table}: {with}"
        );
    }
    for with in [
        "[1,2",
        "[1,,2]",
        "[1] x",
        "{\"a\":{\"b\":[1,2]}",
        "{\"a\":{\"b\":[1 2]}}",
    ] {
        let table = if with.starts_with('[') { whole } else { inside };
        let shape = shape(table);
        let calls = calls(&shape, &["{}", "{}"]);
        let found = answer(&shape, &calls, with);
        let unreadable = matches!(found, Err(NoResults::NotResults(NotResults::Unreadable(_))));
        assert!(unreadable || with.contains("1 2"), "{with}: {found:?}");
        assert!(found.is_err() || with.contains("1 2"));
    }
}

#[test]
fn errors_and_statuses_are_those_of_the_callers_part() {
    let item = "call = 'item'\nmatch = 'position'\nid = ''";
    let part = "call = 'item'\nmatch = 'position'\nid = ''\nresult = '/*'";
    let nowhere = "call = 'item'\nmatch = 'position'\nid = ''\nerror = ''\nstatus = ''";
    let fixed = "call = 'item'\nmatch = 'position'\nid = ''\nerror_status = 409";
    let deep = "call = 'item'\nmatch = 'position'\nid = ''\nerror = '/m/error'\nstatus = '/m/code'";
    let list = "call = '/in'\nmatch = 'position'\nid = ''\nreply = '[$results]'";
    let two = [r#"{"in":[1]}"#, r#"{"in":[2]}"#];
    for (table, result, status, is_error) in [
        (item, r#"{"a":1}"#, 200, false),
        (item, r#"{"error":null}"#, 200, false),
        (item, r#"{"error":""}"#, 200, false),
        (item, r#"{"error":0}"#, 422, true),
        (item, r#"{"error":{},"status":503}"#, 503, true),
        (item, r#"{"error":1,"status":201}"#, 201, true),
        (item, r#"{"status":201}"#, 201, false),
        (item, r#"{"status":404}"#, 404, false),
        (item, r#"{"status":199}"#, 200, false),
        (item, r#"{"status":600}"#, 200, false),
        (item, r#"{"status":"404"}"#, 200, false),
        (item, "[1]", 200, false),
        (part, r#"{"x":{"status":201}}"#, 201, false),
        (part, r#"{"x":{"status":409,"error":1}}"#, 409, true),
        (part, r#"{"error":{"a":1}}"#, 200, false),
        (nowhere, r#"{"error":1,"status":500}"#, 200, false),
        (fixed, r#"{"error":1}"#, 409, true),
        (deep, r#"{"m":{"error":1,"code":418}}"#, 418, true),
        (deep, r#"{"error":1,"status":500}"#, 200, false),
        (list, r#"{"error":1,"status":500}"#, 500, true),
    ] {
        let shape = shape(table);
        let calls = calls(&shape, &two);
        let with = format!("[{result},{{\"x\":1}}]");
        match &answer(&shape, &calls, &with).unwrap().outcomes[0] {
            Outcome::Reply(reply) => {
                assert_eq!(
                    (reply.status, reply.is_error),
                    (status, is_error),
                    "{table}: {result}"
                );
            }
            other => panic!("{table}: {result}: {other:?}"),
        }
    }
    // A call of several is 200, whatever its results say.
    let several = shape(list);
    let calls = calls(&several, &[r#"{"in":[1,2]}"#, r#"{"in":[1]}"#]);
    let with = r#"[{"error":1,"status":500},2,3]"#;
    let expected = Ok((200, r#"[{"error":1,"status":500},2]"#.to_owned()));
    assert_eq!(replies(&several, &calls, with)[0], expected);
}

#[test]
fn a_status_without_a_body_has_none() {
    let shape = shape("call = 'item'\nmatch = 'position'\nid = ''");
    let calls = calls(&shape, &["1", "2", "3"]);
    let with = r#"[{"status":204},{"status":304},{"status":205}]"#;
    let expected = [204, 304, 205].map(|status| Ok((status, String::new())));
    assert_eq!(replies(&shape, &calls, with), expected);
}

#[test]
fn bare_nan_passes_where_the_shape_lets_it() {
    for (nan, result, passes) in [
        (
            true,
            r#"{"v":[NaN,-Infinity , Infinity],"s":"\"NaN"}"#,
            true,
        ),
        (false, r#"{"v":NaN}"#, false),
        (true, r#"{"v":nan}"#, false),
        (true, r#"{"v":-NaN}"#, false),
        (true, r#"{"v":NaN,}"#, false),
        (true, r#"{"NaN":1NaN}"#, false),
        (true, "NaN", true),
        (true, "{\"v\":NaN,\"s\":\"\u{1}\"}", false),
        // No whitespace of JSON.
        (true, "1\u{c}", false),
        (false, "1\u{c}", false),
        (true, "NaN\u{b}", false),
    ] {
        let shape = shape(&format!(
            "call = 'item'\nmatch = 'position'\nnan = {nan}\nid = ''"
        ));
        let calls = calls(&shape, &["1", "2"]);
        let found = replies(&shape, &calls, &format!("[{result},0]"));
        let expected = match passes {
            true => Ok((200, result.to_owned())),
            false => Err(malformed(result)),
        };
        assert_eq!(found, [expected, Ok((200, "0".to_owned()))], "{result}");
    }
    // What stands after such a word stands where it stood.
    let table = "call = 'item'\nnan = true\nids = 'rewrite'\nmatch = 'index'";
    let shape = shape(table);
    let calls = calls(&shape, &[r#"{"id":"x"}"#, r#"{"id":"y"}"#]);
    let with = r#"[{"v":-Infinity,"index":1,"id":8},{"v":NaN,"id":7,"index":0}]"#;
    let expected = [
        r#"{"v":NaN,"id":"x","index":0}"#,
        r#"{"v":-Infinity,"index":0,"id":"y"}"#,
    ];
    assert_eq!(bodies(&shape, &calls, with), expected);
}

#[test]
fn one_error_for_several_refuses_the_batch() {
    let refusing = "call = 'item'\nrefusal = 'one'";
    let rewriting = "like = 'json-rpc'";
    let patient = "call = 'item'";
    for (table, with, refused) in [
        (refusing, r#"{"error":"too many"}"#, true),
        (refusing, "{}", true),
        (refusing, r#"{"error":"#, false),
        (refusing, r#""no""#, false),
        (refusing, r#"[{"id":1,"error":1}]"#, true),
        (refusing, r#"[{"id":1,"error":null}]"#, false),
        (refusing, r#"[{"id":1}]"#, false),
        (refusing, r#"[{"id":2,"error":1}]"#, false),
        (refusing, r#"[{"id":null,"error":1}]"#, false),
        (refusing, r#"[{"id":1,"error":1},{"id":2}]"#, false),
        (rewriting, r#"[{"id":7,"error":1}]"#, true),
        (rewriting, r#"[{"id":1,"error":1}]"#, false),
        (
            rewriting,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600}}"#,
            true,
        ),
        (patient, r#"{"error":"too many"}"#, false),
        (patient, r#"[{"id":1,"error":1}]"#, false),
    ] {
        let shape = shape(table);
        let two = calls(&shape, &[r#"{"id":1}"#, r#"{"id":2}"#]);
        let found = answer(&shape, &two, with);
        assert_eq!(found == Err(NoResults::Refused), refused, "{table}: {with}");
        // One that was sent alone has nothing to be halved.
        assert_ne!(answer(&shape, &two[..1], with), Err(NoResults::Refused));
    }
}

#[test]
fn only_what_a_reply_names_leaves_the_answer() {
    let table = "call = '/in'\nresults = '/data'\nmatch = 'position'\nid = ''\n\
        reply = '{\"data\":[$results],\"model\":$/model}'";
    let shape = shape(table);
    let calls = calls(&shape, &[r#"{"in":[1]}"#, r#"{"in":[2]}"#]);
    let with = r#"{"data":["mine","yours"],"model":"m","all_inputs":[1,2],"usage":{"n":2}}"#;
    let expected = [
        r#"{"data":["mine"],"model":"m"}"#,
        r#"{"data":["yours"],"model":"m"}"#,
    ];
    assert_eq!(bodies(&shape, &calls, with), expected);
}

#[test]
fn shares_go_by_the_bytes_of_items_and_their_sum_is_kept() {
    let table = "call = '/in'\nresults = '/data'\nmatch = 'position'\n\
        reply = '{\"d\":[$results],\"n\":$share/usage/n,\"x\":$share/usage/x}'";
    let shape = shape(table);
    let calls = calls(
        &shape,
        &[
            r#"{"in":["aaaaaaaa"]}"#,
            r#"{"in":[1,2,3]}"#,
            r#"{"in":[12]}"#,
        ],
    );
    let with = r#"{"data":[1,2,3,4,5],"usage":{"n":31,"x":"y"}}"#;
    let expected = [
        r#"{"d":[1],"n":20,"x":null}"#,
        r#"{"d":[2,3,4],"n":6,"x":null}"#,
        r#"{"d":[5],"n":5,"x":null}"#,
    ];
    assert_eq!(bodies(&shape, &calls, with), expected);
}

#[test]
fn statuses_that_hold_results_are_the_shapes() {
    let default = shape("");
    let more = shape("answers = ['2xx', 400, '5xx']");
    for (status, by_default, by_more) in [
        (199, false, false),
        (200, true, true),
        (299, true, true),
        (300, false, false),
        (400, false, true),
        (413, false, false),
        (500, false, true),
        (599, false, true),
    ] {
        let holds = (default.holds_results(status), more.holds_results(status));
        assert_eq!(holds, (by_default, by_more), "{status}");
    }
}

#[test]
fn a_call_of_several_fails_as_a_whole() {
    let shape = shape("call = '/in'\nreply = '[$results]'");
    let two = [
        r#"{"in":[{"id":1},{"id":2}]}"#,
        r#"{"in":[{"id":3},{"id":4}]}"#,
    ];
    let calls = calls(&shape, &two);
    let with = r#"[{"id":4},{"id":3},{"id":1},{"id":2,"x":NaN}]"#;
    let found = replies(&shape, &calls, with);
    let second = Ok((200, r#"[{"id":3},{"id":4}]"#.to_owned()));
    assert_eq!(
        found,
        [Err(malformed(r#"{"id":2,"x":NaN}"#)), second.clone()]
    );
    let found = replies(&shape, &calls, r#"[{"id":4},{"id":3},{"id":1}]"#);
    assert_eq!(found, [Err(MISSING), second.clone()]);
    let found = replies(
        &shape,
        &calls,
        r#"[{"id":4},{"id":3},{"id":1},{"id":2},{"id":1,"y":1}]"#,
    );
    assert_eq!(found, [Err(Outcome::Ambiguous), second]);
}
