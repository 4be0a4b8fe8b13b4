//! What a caller can't do: whatever it sends, an upstream reads of the batch what it would
//! have read of each caller alone.

use std::fmt;

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::*;

/// All members of an object, also those of equal names.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Box<RawValue>, _>()? {
                    // One that is no Unicode is as it is written.
                    let name = serde_json::from_str(name.get()).unwrap_or(name.get().to_owned());
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// Which of two members of one name a parser takes.
#[derive(Clone, Copy)]
enum Taken {
    First,
    Last,
    /// The last one, in capital or small letters.
    AnyCase,
}

/// What a parser finds there.
fn find(text: &str, path: &[&str], taken: Taken) -> Option<String> {
    let Some((name, rest)) = path.split_first() else {
        return Some(text.to_owned());
    };
    let members: Members = serde_json::from_str(text).ok()?;
    let mut mine = members.0.iter().filter(|(it, _)| match taken {
        Taken::AnyCase => it.eq_ignore_ascii_case(name),
        _ => it == name,
    });
    let (_, value) = match taken {
        Taken::First => mine.next(),
        Taken::Last | Taken::AnyCase => mine.next_back(),
    }?;
    find(value.get(), rest, taken)
}

fn list(text: &str) -> Option<Vec<String>> {
    let list: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(list.into_iter().map(|it| it.get().to_owned()).collect())
}

/// The document without what stands at the path, by members in their order.
fn frame(text: &str, path: &[&str]) -> Vec<String> {
    let Some((name, rest)) = path.split_first() else {
        return Vec::new();
    };
    let members: Members = serde_json::from_str(text).unwrap();
    let each = members
        .0
        .into_iter()
        .flat_map(|(it, value)| match it == *name {
            true => [vec![it], frame(value.get(), rest)].concat(),
            false => vec![it, value.get().to_owned()],
        });
    each.collect()
}

/// Bodies that were sound once.
fn hostile(sound: &'static [&'static str]) -> impl Strategy<Value = String> {
    let parts = vec![
        "]",
        "[",
        "}",
        "{",
        ",",
        ":",
        "\"",
        "\\",
        "\\\"",
        "\"in\"",
        "\"in\":[9]",
        "\"IN\":[9],",
        "\"D\":{\"in\":[9]},",
        "\"\\u0049d\":2,",
        ",\"in\":[9]",
        "\"\\u0069n\":[9],",
        "\"d\":{\"in\":[9]},",
        "\"stream\":true,",
        " ",
        "\n",
        "\u{2028}",
        "],\"x\":[",
        "]}",
        "//",
        "/*",
        "null",
        "NaN",
        "1",
        "\"id\":2,",
        "\"\\u0069d\":2,",
        "\u{feff}",
        "\0",
        "é",
        "\\ud800",
        "{\"id\":3}",
        "],[",
        "}\n{",
    ];
    let edit = (
        any::<prop::sample::Index>(),
        0..4_usize,
        prop::sample::select(parts),
    );
    let edits = prop::collection::vec(edit, 0..4);
    (prop::sample::select(sound), edits).prop_map(|(sound, edits)| {
        let mut body = sound.to_owned();
        for (at, without, part) in edits {
            let chars: Vec<char> = body.chars().collect();
            let at = at.index(chars.len() + 1);
            let rest = chars.iter().skip((at + without).min(chars.len()));
            let before = chars[..at].iter();
            body = before
                .copied()
                .chain(part.chars())
                .chain(rest.copied())
                .collect();
        }
        body
    })
}

const LISTS: &[&str] = &[
    r#"{"in":[1,"a"],"model":"m"}"#,
    r#"{"model":"m","in":[{"id":1},{"x":[2]}]}"#,
    r#"{"d":{"in":["a]","\"},"]},"e":{"in":[3]}}"#,
    r#"{ "in" : [ 1 ] , "d" : { "in" : [ 2 ] } }"#,
];

const ITEMS: &[&str] = &[
    r#"{"id":1,"a":"b"}"#,
    r#"{"a":{"id":5},"id":"x"}"#,
    "{\n\"id\":\"]},{\"}",
    r#"{"id":1,"stream":false}"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    #[test]
    fn a_frame_can_not_be_broken_out_of(
        bodies in prop::collection::vec(hostile(LISTS), 1..4),
        deep in any::<bool>(),
    ) {
        let (call, path): (_, &[&str]) = match deep {
            true => ("/d/in", &["d", "in"]),
            false => ("/in", &["in"]),
        };
        let table = format!("call = '{call}'\nid = ''\nmatch = 'position'\nlone = 'batch'\nreply = '[$results]'");
        let shape = shape(&table);
        let read: Vec<Call> = bodies.iter().filter_map(|it| read(&shape, it).ok()).collect();
        // Those whose frame is the first one's, and another of its own making.
        let mine: Vec<Call> = read.iter().filter(|it| it.frame() == read[0].frame()).cloned().collect();
        let Some(first) = mine.first() else {
            return Ok(());
        };
        let calls = [mine.clone(), vec![first.clone()]].concat();
        let batch = batch(&shape, &calls);
        for taken in [Taken::First, Taken::Last, Taken::AnyCase] {
            let alone = |call: &Call| {
                let body = str::from_utf8(call.body()).unwrap();
                list(&find(body, path, taken).unwrap()).unwrap()
            };
            let expected: Vec<String> = calls.iter().flat_map(alone).collect();
            let found = list(&find(&batch, path, taken).unwrap());
            prop_assert_eq!(found, Some(expected), "{}", &batch);
        }
        for call in &calls {
            let body = str::from_utf8(call.body()).unwrap();
            prop_assert_eq!(frame(&batch, path), frame(body, path));
        }
    }

    #[test]
    fn an_item_stays_one_item(
        bodies in prop::collection::vec(hostile(ITEMS), 1..4),
        lines in any::<bool>(),
        rewrite in any::<bool>(),
    ) {
        let (join, around) = match lines {
            true => ("\\n", "batch = \"$items\\n\"\ncontent_type = 'application/x-ndjson'"),
            false => (",", ""),
        };
        let ids = if rewrite { "rewrite" } else { "keep" };
        let table = format!("call = 'item'\njoin = \"{join}\"\nids = '{ids}'\n{around}");
        let shape = shape(&table);
        let calls: Vec<Call> = bodies.iter().filter_map(|it| read(&shape, it).ok()).collect();
        if calls.is_empty() {
            return Ok(());
        }
        let batch = batch(&shape, &calls);
        let found = match lines {
            true => {
                let found: Vec<String> = batch.strip_suffix('\n').unwrap().split(['\n', '\r']).map(str::to_owned).collect();
                for line in &found {
                    prop_assert!(serde_json::from_str::<Members>(line).is_ok(), "{line}");
                }
                found
            }
            false => list(&batch).unwrap(),
        };
        prop_assert_eq!(found.len(), calls.len());
        for (n, (found, call)) in found.iter().zip(&calls).enumerate() {
            let body = str::from_utf8(call.body()).unwrap();
            let sent: Members = serde_json::from_str(body).unwrap();
            let found: Members = serde_json::from_str(found).unwrap();
            prop_assert_eq!(sent.0.len(), found.0.len());
            for ((name, value), (found_name, found_value)) in sent.0.iter().zip(&found.0) {
                prop_assert_eq!(name, found_name);
                let expected = match rewrite && name == "id" {
                    true => (FIRST + n as u64).to_string(),
                    false if lines => value.get().replace(['\n', '\r'], " "),
                    false => value.get().to_owned(),
                };
                prop_assert_eq!(&expected, found_value.get());
            }
            let ids = sent.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case("id"));
            prop_assert_eq!(ids.count(), 1);
        }
    }
}

#[test]
fn an_item_is_no_deeper_in_a_batch_than_an_upstream_may_read() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (table, deepest) in [
        ("call = 'item'\nmatch = 'position'", 127),
        (
            "call = 'item'\nmatch = 'position'\nbatch = '{\"a\":{\"b]\":[$items]}}'",
            125,
        ),
        (
            "call = 'item'\nmatch = 'position'\nitem = '{\"a\":$item}'",
            126,
        ),
        (
            "call = 'item'\nresults = 'none'\nbatch = \"$items\\n\"\njoin = \"\\n\"\ncontent_type = 'application/x-ndjson'",
            128,
        ),
    ] {
        let shape = shape(table);
        assert!(read(&shape, &nested(deepest)).is_ok(), "{table}");
        let deeper = read(&shape, &nested(deepest + 1));
        assert_eq!(deeper.unwrap_err(), NotMerged::Alone(Why::Form), "{table}");
    }
}

#[test]
fn an_item_makes_no_line_of_its_own_where_lines_count() {
    let table = "call = 'item'\nresults = 'none'\ncontent_type = 'application/x-ndjson'\n\
        batch = \"{\\\"items\\\":[$items]}\\n\"";
    let shape = shape(table);
    let calls = calls(&shape, &["[\n{\"evil\":1}\n]", "2"]);
    let sent = batch(&shape, &calls);
    assert_eq!(sent, "{\"items\":[[ {\"evil\":1} ],2]}\n");
}

#[test]
fn a_job_spoils_no_batch_of_what_is_taken_out_of_it() {
    let shape = shape("item = '$body'\nmatch = 'position'\nid = ''");
    for body in [r#"{"id":1,"body":"\ud800"}"#, r#"{"id":1,"body":1e999}"#] {
        let refused = read(&shape, body).unwrap_err();
        assert!(
            matches!(refused, NotMerged::NoJob(JobError::Malformed(_))),
            "{refused:?}"
        );
        assert!(read(Shape::jobs(), body).is_ok());
    }
}
