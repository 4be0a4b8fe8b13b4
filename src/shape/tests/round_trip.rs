//! Whatever goes in comes out byte for byte, in the right caller's hands: for any items,
//! frames and templates, and an upstream that answers in any order.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

/// Where the items of a call stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum In {
    Job,
    Item,
    Member,
    Deep,
    Whole,
}

/// What a batch looks like around its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    Default,
    Object,
    Lines,
}

#[derive(Clone, Debug)]
struct Case {
    calls: In,
    wrapped: bool,
    around: Around,
    results: &'static str,
    matching: &'static str,
    rewrite: bool,
    part: &'static str,
    /// The items of each call.
    items: Vec<Vec<Item>>,
    /// In which order results come, where that is free.
    order: Vec<usize>,
    style: u8,
}

#[derive(Clone, Debug)]
struct Item {
    value: String,
    space: &'static str,
    text_id: bool,
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "1",
        "-0.10e+5",
        "null",
        "true",
        "\"\"",
        "\"a\\\"b\"",
        "\"]},\"",
        "\"\\\\\"",
        "\"$item\"",
        "\"é\\ud83d\\ude00\"",
        "12345678901234567890123",
        "{\"id\":5,\"id\":6}",
        "[ ]",
        "{\n}",
        "\"index\"",
    ]);
    let leaf = leaf.prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4)
            .prop_map(|it| format!("[{}]", it.join(", ")));
        let name = prop::sample::select(vec!["a", "id", "in", "error", "\\u0069d", "p"]);
        let member = (name, inner).prop_map(|(name, value)| format!("\"{name}\":\n{value}"));
        let object =
            prop::collection::vec(member, 0..4).prop_map(|it| format!("{{{}}}", it.join(",")));
        prop_oneof![list, object]
    })
}

fn item() -> impl Strategy<Value = Item> {
    let space = prop::sample::select(vec!["", " ", "\n", "\r\n\t"]);
    let large = prop_oneof![20 => Just(0), 1 => Just(3_000_usize)];
    (value(), space, any::<bool>(), large).prop_map(|(value, space, text_id, large)| Item {
        value: match large {
            0 => value,
            _ => format!("[{value},\"{}\"]", "x".repeat(large)),
        },
        space,
        text_id,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let forms = (
        prop::sample::select(vec![In::Job, In::Item, In::Member, In::Deep, In::Whole]),
        any::<bool>(),
        prop::sample::select(vec![Around::Default, Around::Object, Around::Lines]),
        prop::sample::select(vec!["", "/r/data", "lines"]),
        prop::sample::select(vec!["id", "index", "position"]),
        any::<bool>(),
        prop::sample::select(vec!["", "/p", "/*"]),
    );
    let items = prop::collection::vec(prop::collection::vec(item(), 1..4), 1..6);
    (forms, items, any::<u8>())
        .prop_flat_map(|(forms, mut items, style)| {
            let (calls, wrapped, around, results, matching, rewrite, part) = forms;
            if matches!(calls, In::Job | In::Item) {
                items.iter_mut().for_each(|it| it.truncate(1));
            }
            let count: usize = items.iter().map(Vec::len).sum();
            let order: Vec<usize> = (0..count).collect();
            let case = Case {
                calls,
                wrapped,
                around,
                results,
                // A result of one member has no place for anything to match by.
                matching: if part == "/*" { "position" } else { matching },
                rewrite,
                part,
                items,
                order: Vec::new(),
                style,
            };
            (Just(case), Just(order).prop_shuffle())
        })
        .prop_map(|(case, order)| Case { order, ..case })
}

impl Case {
    fn shape(&self) -> Shape {
        let some = |text: &str| Some(text.to_owned());
        let keys = Keys {
            call: some(match self.calls {
                In::Job => "job",
                In::Item => "item",
                In::Member => "/in",
                In::Deep => "/d~1/1/in",
                In::Whole => "",
            }),
            item: self.wrapped.then(|| "{\"w\":$item,\"n\":$n}".to_owned()),
            batch: match self.around {
                Around::Default => None,
                Around::Object => some("{\"c\":$count,\"x\":[$items],\"y\":\"$$items\"}"),
                Around::Lines => some("$items\n"),
            },
            join: (self.around == Around::Lines).then(|| "\n".to_owned()),
            content_type: (self.around == Around::Lines).then(|| "application/x-ndjson".to_owned()),
            lone: some("batch"),
            results: some(self.results),
            r#match: some(self.matching),
            ids: some(if self.rewrite { "rewrite" } else { "keep" }),
            result: some(self.part),
            error: some(""),
            status: some(""),
            reply: some(match (self.is_list(), self.results) {
                (true, "/r/data") => "{\"m\":$/m,\"own\":[$results]}",
                (true, _) => "[$results]",
                (false, "/r/data") => "{\"own\":$result,\"m\":$/m}",
                (false, _) => "$result",
            }),
            ..Keys::default()
        };
        Shape::compile(&keys, &[]).unwrap()
    }

    fn is_list(&self) -> bool {
        !matches!(self.calls, In::Job | In::Item)
    }

    /// Each item's id as its caller writes it. Those that are rewritten are few.
    fn id(&self, n: usize) -> String {
        let item = self.items.iter().flatten().nth(n).unwrap();
        let number = if self.rewrite { n % 2 } else { n };
        match item.text_id {
            true => format!("\"\\u0061{number}\""),
            false => number.to_string(),
        }
    }

    fn wire_id(&self, n: usize) -> String {
        match self.rewrite {
            true => (FIRST + n as u64).to_string(),
            false => self.id(n),
        }
    }

    /// An item with that id.
    fn item(item: &Item, id: &str) -> String {
        let Item { value, space, .. } = item;
        format!("{{{space}\"v\"{space}:{value},{space}\"id\":{space}{id}{space}}}")
    }

    fn bodies(&self) -> Vec<String> {
        let mut n = 0;
        let bodies = self.items.iter().map(|items| {
            let each = items.iter().map(|item| {
                n += 1;
                Self::item(item, &self.id(n - 1)) + item.space
            });
            let list = each.collect::<Vec<_>>().join(",");
            match self.calls {
                In::Job | In::Item => list,
                In::Member => format!("{{\"a\":[{{\"in\":1}}],\"in\" :[ {list}],\"z\":\"]\"}}"),
                In::Deep => format!("{{\"d/\":[0,{{\"b\":[],\"in\":[{list}]}}],\"in\":[7]}}"),
                In::Whole => format!(" [{list} ] "),
            }
        });
        bodies.collect()
    }

    /// What an upstream makes of a batch: its items, as they are written.
    fn unpack(&self, batch: &str) -> Vec<String> {
        let list: Vec<&RawValue> = match (self.around, self.calls) {
            (Around::Lines, _) => {
                let lines = batch.strip_suffix('\n').unwrap().split('\n');
                lines.map(|it| serde_json::from_str(it).unwrap()).collect()
            }
            (Around::Object, _) => member(batch, "/x"),
            (_, In::Member) => member(batch, "/in"),
            (_, In::Deep) => member(batch, "/d~1/1/in"),
            _ => serde_json::from_str(batch).unwrap(),
        };
        let items = list
            .into_iter()
            .enumerate()
            .map(|(n, raw)| match self.wrapped {
                true => {
                    let start = "{\"w\":".len();
                    let after = format!(",\"n\":{n}}}");
                    assert!(raw.get().ends_with(&after), "{raw}");
                    let end = raw.get().len() - after.len();
                    raw.get()[start..end].to_owned()
                }
                false => raw.get().to_owned(),
            });
        items.collect()
    }

    /// A result for that item: all of it, and the caller's part.
    fn result(&self, item: &str, id: &str, index: usize) -> (String, String) {
        let echo = format!("{{\"echo\": {item}}}");
        match (self.part, self.style % 3) {
            ("/p", 0) => (
                format!("{{\"id\":{id},\"p\":{echo},\"index\":{index}}}"),
                echo,
            ),
            ("/p", _) => (
                format!("{{\"index\": {index},\"x\":{item},\"p\":{echo},\"id\" :{id} }}"),
                echo,
            ),
            ("/*", _) => (format!("{{ \"index\":{echo}}}"), echo),
            (_, 0) => both(format!("{{\"echo\":{item},\"id\":{id},\"index\":{index}}}")),
            (_, 1) => both(format!(
                "{{\"index\" : {index} , \"\\u0069d\" : {id},\"e\":{item}}}"
            )),
            _ => both(format!("{{\"id\":{id},\"e\":{item},\"index\":{index}}}")),
        }
    }

    fn pack(&self, results: &[String]) -> String {
        match self.results {
            "lines" => {
                let line = |it: &String| it.replace(['\n', '\r'], " ");
                let lines: Vec<String> = results.iter().map(line).collect();
                lines.join(if self.style.is_multiple_of(2) {
                    "\n"
                } else {
                    "\r\n\r\n"
                })
            }
            "" => format!(" [{}]\n", results.join(" , ")),
            _ => format!(
                "{{\"r\":{{\"n\":1,\"data\":[{}]}},\"m\":[ 1]}}",
                results.join(",")
            ),
        }
    }
}

fn both(text: String) -> (String, String) {
    (text.clone(), text)
}

fn member<'a>(text: &'a str, pointer: &str) -> Vec<&'a RawValue> {
    let pointer = crate::json::pointer::Pointer::parse(pointer).unwrap();
    let mut found = Vec::new();
    pointer
        .visit(text.as_bytes(), &mut |it| found.push(it))
        .unwrap();
    assert_eq!(found.len(), 1);
    serde_json::from_slice(found[0]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn what_goes_in_comes_out(case in case()) {
        let shape = case.shape();
        let bodies = case.bodies();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let calls = calls(&shape, &bodies);
        for call in &calls {
            prop_assert_eq!(call.frame(), calls[0].frame());
        }
        let outgoing = shape.write(calls.iter(), FIRST);
        let most = calls.iter().map(|it| shape.call_bytes(it)).sum::<usize>();
        prop_assert!(outgoing.body.len() <= most + shape.batch_bytes(&calls[0]));
        // What was sent is what the callers sent.
        let sent = case.unpack(&text(&outgoing.body));
        let all: Vec<&Item> = case.items.iter().flatten().collect();
        prop_assert_eq!(sent.len(), all.len());
        for (n, (sent, item)) in sent.iter().zip(&all).enumerate() {
            let item = Case::item(item, &case.wire_id(n));
            let item = match case.around {
                Around::Lines => item.replace(['\n', '\r'], " "),
                _ => item,
            };
            prop_assert_eq!(sent, &item);
        }
        // What is answered is what each caller gets, and nothing of another's.
        let results = sent.iter().enumerate().map(|(n, it)| case.result(it, &case.wire_id(n), n).0);
        let results: Vec<String> = results.collect();
        let ordered: Vec<String> = match case.matching {
            "position" => results,
            _ => case.order.iter().map(|&n| results[n].clone()).collect(),
        };
        let answer = case.pack(&ordered);
        let replies = super::bodies(&shape, &calls, &answer);
        let mut n = 0;
        for (reply, items) in replies.iter().zip(&case.items) {
            let mine = items.iter().enumerate().map(|(own, _)| {
                let index = if case.matching == "index" { own } else { n };
                let part = case.result(&sent[n], &case.id(n), index).1;
                n += 1;
                match case.results {
                    "lines" => part.replace(['\n', '\r'], " "),
                    _ => part,
                }
            });
            let mine = mine.collect::<Vec<_>>().join(",");
            let expected = match (case.is_list(), case.results) {
                (true, "/r/data") => format!("{{\"m\":[ 1],\"own\":[{mine}]}}"),
                (true, _) => format!("[{mine}]"),
                (false, "/r/data") => format!("{{\"own\":{mine},\"m\":[ 1]}}"),
                (false, _) => mine,
            };
            prop_assert_eq!(reply, &expected);
        }
    }

    #[test]
    fn no_answer_makes_it_panic_or_mixes_callers_up(
        case in case(),
        cut in any::<prop::sample::Index>(),
        junk in prop::sample::select(vec!["", ",", "]", "}", "\"", "NaN", "[", "{\"id\":7}", "\\"]),
        over in 0..8_usize,
    ) {
        let shape = case.shape();
        let bodies = case.bodies();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let calls = calls(&shape, &bodies);
        let sent = case.unpack(&batch(&shape, &calls));
        let results = sent.iter().enumerate().map(|(n, it)| case.result(it, &case.wire_id(n), n).0);
        let whole = case.pack(&results.collect::<Vec<_>>());
        let mut at = cut.index(whole.len());
        while !whole.is_char_boundary(at) {
            at -= 1;
        }
        let rest: String = whole[at..].chars().skip(over).collect();
        let spoiled = format!("{}{junk}{rest}", &whole[..at]);
        if let Ok(found) = answer(&shape, &calls, &spoiled) {
            prop_assert_eq!(found.outcomes.len(), calls.len());
            for outcome in &found.outcomes {
                if let Outcome::Reply(reply) = outcome {
                    let body = text(&reply.body);
                    prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok());
                }
            }
        }
    }
}
