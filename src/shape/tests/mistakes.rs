//! Every mistake of a shape is found when it is compiled.

use super::*;

/// The mistakes of a table: each key, and what is said.
fn mistakes(table: &str) -> Vec<Mistake> {
    let keys: Keys = toml::from_str(table).unwrap();
    Shape::compile(&keys, &["model"]).err().unwrap_or_default()
}

#[test]
fn each_mistake_is_told_at_its_key() {
    for (table, key, said) in [
        ("like = 'kserve'", "like", "none of cloudevents"),
        (
            "call = 'jobs'",
            "call",
            "\"job\", \"item\" or a JSON Pointer",
        ),
        ("call = '/a~2'", "call", "JSON Pointer"),
        (
            "call = 'item'\nsingle = ['list']",
            "single",
            "none of \"value\"",
        ),
        ("single = ['value']", "single", "a job is one item"),
        ("item = '$itm'", "item", "$itm means nothing here"),
        (
            "item = '{\"a\":$path.index}'",
            "item",
            "captures no {index}; it captures model",
        ),
        ("item = '{}'", "item", "nothing of the item"),
        (
            "call = 'item'\nitem = '$body'\nmatch = 'position'",
            "item",
            "$body is a job's",
        ),
        ("item = '$body'", "item", "results are matched by id"),
        ("item = '{\"text\":\"$item\"}'", "item", "not JSON"),
        ("item = '{$item:1}'", "item", "not JSON"),
        ("item = '{\"a\":$item'", "item", "not JSON"),
        ("item = '{\"a\":\"$id\"}'", "item", "not JSON"),
        ("batch = '[]'", "batch", "0 times"),
        ("batch = '[$items,$items]'", "batch", "2 times"),
        ("batch = '{\"items\":\"$items\"}'", "batch", "not JSON"),
        (
            "batch = '{\"n\":$item,\"x\":[$items]}'",
            "batch",
            "allowed here are $items",
        ),
        ("batch = '{\"x\":[$items}'", "batch", "not JSON"),
        ("join = ';'", "join", "not JSON"),
        ("join = \"\\n\"", "join", "not JSON"),
        (
            "call = '/a'\nreply = '[$results]'\njoin = ''",
            "join",
            "not JSON",
        ),
        (
            "content_type = 'application/x-ndjson'\nbatch = '$items'",
            "batch",
            "not JSON",
        ),
        ("content_type = 'json'", "content_type", "no content type"),
        (
            "content_type = \"a/b; x=\\u0001\"",
            "content_type",
            "no content type",
        ),
        (
            "call = 'item'\naccept = []",
            "accept",
            "no content type is merged",
        ),
        (
            "call = 'item'\naccept = ['a/b; c=d']",
            "accept",
            "without parameters",
        ),
        ("accept = ['text/csv']", "accept", "jobs are JSON"),
        ("require = []", "require", "a job needs an id alone"),
        (
            "call = 'item'\nrequire = ['query']",
            "require",
            "where in an item",
        ),
        ("lone = 'as-is'", "lone", "would come back as no job"),
        (
            "call = 'item'\nids = 'rewrite'\nmatch = 'index'\nid = '/m'\nindex = '/m/i'",
            "index",
            "in what id points to",
        ),
        ("lone = 'alone'", "lone", "none of \"as-is\", \"batch\""),
        ("results = 'data'", "results", "JSON Pointer"),
        (
            "match = 'order'",
            "match",
            "none of \"id\", \"index\", \"position\"",
        ),
        ("match = 'id'\nid = ''", "id", "matched by id"),
        ("id = ''", "id", "matched by id"),
        ("id = 'id'", "id", "begins with a slash"),
        ("match = 'index'\nindex = ''", "index", "matched by index"),
        (
            "match = 'position'\nindex = 'i'",
            "index",
            "begins with a slash",
        ),
        (
            "ids = 'rewrite'\nid = ''\nmatch = 'position'",
            "ids",
            "needs to know where ids stand",
        ),
        ("ids = 'change'", "ids", "none of \"keep\", \"rewrite\""),
        ("error = 'e'", "error", "begins with a slash"),
        ("status = 's'", "status", "begins with a slash"),
        ("error_status = 199", "error_status", "from 200 to 599"),
        ("error_status = 600", "error_status", "from 200 to 599"),
        ("result = '*'", "result", "JSON Pointer"),
        ("reply = '$items'", "reply", "allowed here are $result"),
        ("reply = '{\"a\":\"$result\"}'", "reply", "not JSON"),
        ("reply = '{\"a\":$result'", "reply", "not JSON"),
        (
            "reply = '{\"a\":$result,\"b\":$/b}'",
            "reply",
            "not outside of the results",
        ),
        (
            "results = '/data'\nreply = '[$result,$/data/0]'",
            "reply",
            "/data/0 is not outside",
        ),
        (
            "results = '/a/b'\nreply = '[$result,$/a]'",
            "reply",
            "/a is not outside",
        ),
        (
            "results = 'same'\nreply = '[$result,$/a]'",
            "reply",
            "/a is not outside",
        ),
        (
            "results = 'lines'\nreply = '[$result,$share/a]'",
            "reply",
            "/a is not outside",
        ),
        ("results = 'none'\nreply = '[$result]'", "reply", "204"),
        ("call = '/a'\nmatch = 'position'", "reply", "name $results"),
        (
            "call = '/a'\nreply = '[$results,$id]'",
            "reply",
            "no $id of its own",
        ),
        (
            "reply_headers = ['Set-Cookie']",
            "reply_headers",
            "set-cookie",
        ),
        (
            "reply_headers = ['Connection']",
            "reply_headers",
            "connection",
        ),
        (
            "reply_headers = ['a b']",
            "reply_headers",
            "no name of a header",
        ),
        (
            "problem = '$result'",
            "problem",
            "allowed here are $detail $code $status $id",
        ),
        ("problem = '{\"e\":\"$detail\"}'", "problem", "not JSON"),
        ("problem_status = 100", "problem_status", "from 200 to 599"),
        ("answers = []", "answers", "no answer has results"),
        ("answers = ['3xx']", "answers", "statuses are"),
        ("answers = [302]", "answers", "statuses are"),
        ("answers = ['ok']", "answers", "statuses are"),
        ("refusal = 'all'", "refusal", "none of \"none\", \"one\""),
        (
            "results = 'none'\nrefusal = 'one'",
            "refusal",
            "goes with results",
        ),
    ] {
        let found = mistakes(table);
        assert_eq!(found.len(), 1, "{table}: {found:?}");
        assert_eq!(found[0].key, key, "{table}: {found:?}");
        assert!(found[0].what.contains(said), "{table}: {found:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let table = "call = 'x'\nitem = '$a $b'\nlone = 'y'\nerror_status = 1\nanswers = [1, 2]";
    let keys: Vec<&str> = mistakes(table).iter().map(|it| it.key).collect();
    let expected = [
        "call",
        "item",
        "item",
        "lone",
        "error_status",
        "answers",
        "answers",
    ];
    let sorted = |mut keys: Vec<&'static str>| {
        keys.sort_unstable();
        keys
    };
    assert_eq!(sorted(keys.to_vec()), sorted(expected.to_vec()));
    let table = "single = ['value']\nbatch = '[]'\nresults = 'none'\nrefusal = 'one'";
    assert_eq!(mistakes(table).len(), 3);
}

#[test]
fn an_unknown_key_is_none() {
    assert!(toml::from_str::<Keys>("cal = 'job'").is_err());
    let names: Vec<&str> = Keys::names().collect();
    assert_eq!(names.len(), 26);
    let table: String = names.iter().map(|it| format!("{it} = 0\n")).collect();
    let table: toml::Table = toml::from_str(&table).unwrap();
    let known = |name: &&&str| {
        let only: toml::Table =
            std::iter::once((name.to_string(), table[**name].clone())).collect();
        let error = only.try_into::<Keys>().err();
        error.is_none_or(|it| !it.to_string().contains("unknown field"))
    };
    assert_eq!(names.iter().filter(known).count(), names.len());
}

#[test]
fn what_fits_together_is_no_mistake() {
    for table in [
        "",
        "call = ''\nresults = ''\nmatch = 'position'\nreply = '[$results]'",
        "item = '$body'\nbatch = '{\"instances\":[$items]}'\nresults = '/predictions'\n\
         match = 'position'\nreply = '{\"id\":$id,\"body\":$result}'",
        "content_type = 'application/stream+json'\njoin = \"\\n\"\nbatch = \"$items\\n\"",
        "content_type = 'text/csv'\njoin = ';'\nitem = \"'$item'\"\nresults = 'none'",
        "results = '/a/b'\nreply = '{\"r\":$result,\"c\":$/a/c,\"u\":$share/u}'",
        "call = 'item'\nids = 'rewrite'\nmatch = 'position'",
        "call = 'item'\nid = '/meta/id'\nitem = '{\"n\":$n,\"m\":$path.model,\"i\":$item}'",
        "like = 'ndjson'\nresults = 'lines'\nmatch = 'position'",
        "results = 'none'\nid = ''",
    ] {
        assert_eq!(mistakes(table), [], "{table}");
    }
}
