//! The shape of the route `jobs` reads answers as the engine does.

use proptest::prelude::*;

use super::*;
use crate::engine::correlate;

fn element() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "1",
        "2",
        "\"1\"",
        "\"a\"",
        "\"\\u0061\"",
        "null",
        "\"\"",
        "400",
        "599",
        "600",
        "[]",
        "{}",
        "NaN",
        "1.0",
        "false",
        "{\"id\":1}",
    ]);
    let name = prop::sample::select(vec![
        "id",
        "\\u0069d",
        "error",
        "status",
        "err\\u006fr",
        "x",
        "index",
    ]);
    let member = (name, value.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    let object = prop::collection::vec(member, 0..4).prop_map(|it| format!("{{{}}}", it.join(",")));
    prop_oneof![
        6 => object,
        1 => value.prop_map(str::to_owned),
        1 => prop::sample::select(vec!["{\"id\":1", "{id:1}", "[", "\"a", "{\"id\":1,}"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn an_answer_is_read_the_same_way(
        elements in prop::collection::vec(element(), 0..7),
        wrong in prop::option::weighted(0.1, prop::sample::select(vec!["", "{}", "<", "[[]", "1"])),
    ) {
        let shape = shape("like = 'jobs'");
        let calls = calls(&shape, &[r#"{"id":1}"#, r#"{"id":"a"}"#, r#"{"id":"1"}"#, r#"{"id":400}"#]);
        let with = wrong.map_or_else(|| format!("[{}]", elements.join(",")), str::to_owned);
        let bytes = Bytes::from(with.clone());
        let ids = calls.iter().map(|call| call.id().unwrap());
        let expected = correlate::correlate(ids, &bytes);
        let found = answer(&shape, &calls, &with);
        match (expected, found) {
            (Err(expected), Err(NoResults::NotResults(found))) => prop_assert_eq!(expected, found),
            (Ok(expected), Ok(found)) => {
                prop_assert_eq!(expected.unmatched, found.unmatched);
                prop_assert_eq!(expected.is_for_no_job(), found.is_for_nobody());
                for (expected, found) in expected.outcomes.into_iter().zip(found.outcomes) {
                    let expected = match expected {
                        correlate::Outcome::Found(element) => {
                            let error = element.error;
                            let own = error.and_then(|it| it.status);
                            Outcome::Reply(Reply {
                                status: own.unwrap_or(if error.is_some() { 422 } else { 200 }),
                                is_error: error.is_some(),
                                body: Spliced::One(element.raw),
                            })
                        }
                        correlate::Outcome::Missing { other_type } => Outcome::Missing { other_type },
                        correlate::Outcome::Ambiguous => Outcome::Ambiguous,
                        correlate::Outcome::Malformed(raw) => Outcome::Malformed(raw),
                    };
                    prop_assert_eq!(expected, found, "{}", &with);
                }
            }
            (expected, found) => prop_assert!(false, "{expected:?} {found:?}"),
        }
    }
}
