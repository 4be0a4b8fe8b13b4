//! The shape of the route `jobs` reads answers by the contract's table, whatever they are.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::fault::{NotResults, Unmatched};

/// The answer to jobs with these ids.
fn run(ids: &[impl AsRef<str>], answer: &[u8]) -> Result<Answer, NotResults> {
    let shape = Shape::jobs();
    let body = |id: &str| format!(r#"{{"id":{id}}}"#);
    let calls = ids
        .iter()
        .map(|id| read(shape, &body(id.as_ref())).unwrap());
    let calls: Vec<Call> = calls.collect();
    let answer = Bytes::copy_from_slice(answer);
    let answer = shape.read_answer(calls.iter(), FIRST, &answer);
    answer.map_err(|why| match why {
        NoResults::NotResults(why) => why,
        other => panic!("of no batch of jobs: {other}"),
    })
}

/// What the only job, of id 1, gets from an array of these elements.
fn one(elements: &str) -> Outcome {
    let answer = format!("[{elements}]");
    run(&["1"], answer.as_bytes()).unwrap().outcomes.remove(0)
}

fn found(raw: &str, error: Option<Option<u16>>) -> Outcome {
    Outcome::Reply(Reply {
        status: error.map_or(200, |status| status.unwrap_or(422)),
        is_error: error.is_some(),
        body: Spliced::One(Bytes::copy_from_slice(raw.as_bytes())),
    })
}

#[test]
fn an_element_is_its_jobs_result_or_error() {
    for (element, error) in [
        (r#"{"id":1}"#, None),
        (r#"{ "id" : 1, "n": 1.00, "n":[ ] }"#, None),
        (r#"{"id":1,"error":null}"#, None),
        (r#"{"id":1,"error":""}"#, None),
        (r#"{"id":1,"status":500}"#, None),
        (r#"{"id":1,"error":"no"}"#, Some(None)),
        (r#"{"id":1,"error":false}"#, Some(None)),
        (r#"{"id":1,"error":{}}"#, Some(None)),
        (r#"{"id":1,"error":0,"status":400}"#, Some(Some(400))),
        (r#"{"id":1,"error":0,"status":599}"#, Some(Some(599))),
        (r#"{"id":1,"error":0,"status":399}"#, Some(None)),
        (r#"{"id":1,"error":0,"status":600}"#, Some(None)),
        (r#"{"id":1,"error":0,"status":"404"}"#, Some(None)),
        (r#"{"id":1,"error":0,"status":404.0}"#, Some(None)),
    ] {
        assert_eq!(one(element), found(element, error), "{element}");
    }
}

#[test]
fn several_elements_with_one_id() {
    let same = r#"{"id":1,"x":1}"#;
    assert_eq!(one(&format!("{same},{same},{same}")), found(same, None));
    let other = r#"{"id":1, "x":1}"#;
    assert_eq!(one(&format!("{same},{other}")), Outcome::Ambiguous);
    assert_eq!(one(&format!("{same},{other},{same}")), Outcome::Ambiguous);
}

const MISSING: Outcome = Outcome::Missing { other_type: false };

fn malformed(raw: &str) -> Outcome {
    Outcome::Malformed(Bytes::copy_from_slice(raw.as_bytes()))
}

#[test]
fn an_element_that_is_not_json_is_its_own_jobs_alone() {
    let deep = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        format!(r#"{{"id":1,"x":{open}{close}}}"#)
    };
    for odd in [
        r#"{"id":1,"x":NaN}"#,
        r#"{"x":-Infinity,"id":1}"#,
        r#"{"id":1,"x":Infinity}"#,
        "{\"id\":1,\"x\":\"\n\"}",
        r#"{"id":1,"x":01}"#,
        r#"{"id":1,"x":'a'}"#,
        r#"{"\u0069d":1,"x":"\x"}"#,
        &deep(129),
        &deep(100_000),
    ] {
        assert_eq!(one(odd), malformed(odd), "{odd:.100}");
        let answer = format!(r#"[{{"id":2}},{odd},{{"id":3}}]"#);
        let outcomes = run(&["2", "1", "3"], answer.as_bytes()).unwrap().outcomes;
        let mates = [
            found(r#"{"id":2}"#, None),
            malformed(odd),
            found(r#"{"id":3}"#, None),
        ];
        assert_eq!(outcomes, mates, "{odd:.100}");
    }
    assert_eq!(one(&deep(128)), found(&deep(128), None));
    let cut = b"[{\"id\":1,\"x\":\"\xe2\x82\"},{\"id\":2}]";
    let outcomes = run(&["1", "2"], cut).unwrap().outcomes;
    let expected = [
        Outcome::Malformed(Bytes::copy_from_slice(&cut[1..18])),
        found(r#"{"id":2}"#, None),
    ];
    assert_eq!(outcomes, expected);
}

#[test]
fn an_odd_element_whose_id_can_not_be_read_is_no_jobs() {
    for odd in [
        r#"{"id":1,"id":1,"x":NaN}"#,
        r#"{"id":NaN}"#,
        r#"{"id":01}"#,
        r#"{"id":"1,"x":1,"y":"}"#,
        r#"{"x":NaN}"#,
        r#"{id:1}"#,
        r#"{"id":1,}"#,
        r#"{"id":1 "x":2}"#,
        "NaN",
        "[NaN]",
    ] {
        let all = run(&["1"], format!("[{odd}]").as_bytes()).unwrap();
        assert_eq!(all.outcomes, [MISSING], "{odd}");
        assert_eq!(all.unmatched.malformed, 1, "{odd}");
        assert!(all.is_for_nobody());
    }
    // One that can be read, but is nobody's.
    let stranger = run(&["1"], br#"[{"id":9,"x":NaN}]"#).unwrap();
    assert_eq!(stranger.unmatched.unknown_id, 1);
}

#[test]
fn an_odd_element_beside_others_of_its_id() {
    let (sound, odd) = (r#"{"id":1}"#, r#"{"id":1,"x":NaN}"#);
    for (elements, outcome) in [
        ([sound, odd, ""], Outcome::Ambiguous),
        ([odd, sound, ""], Outcome::Ambiguous),
        ([odd, sound, odd], Outcome::Ambiguous),
        ([odd, odd, ""], malformed(odd)),
        ([odd, r#"{"id":1,"x": NaN}"#, ""], Outcome::Ambiguous),
    ] {
        let elements: Vec<_> = elements.into_iter().filter(|it| !it.is_empty()).collect();
        assert_eq!(one(&elements.join(",")), outcome, "{elements:?}");
    }
}

#[test]
fn an_id_that_changed_its_type_is_told_to_its_job() {
    for (id, element, other_type) in [
        ("7", r#"{"id":"7"}"#, true),
        (r#""7""#, r#"{"id":7}"#, true),
        ("7", r#"{"id":"07"}"#, false),
        ("7", r#"{"id":"8"}"#, false),
        (r#""a""#, r#"{"id":"b"}"#, false),
    ] {
        let outcomes = run(&[id, "0"], format!("[{element},{{\"id\":0}}]").as_bytes())
            .unwrap()
            .outcomes;
        assert_eq!(outcomes[0], Outcome::Missing { other_type }, "{element}");
    }
    // A result of its own is one, whatever else there is.
    let elements = r#"{"id":"1"},{"id":1},{"id":"1"}"#;
    assert_eq!(one(elements), found(r#"{"id":1}"#, None));
}

#[test]
fn any_order_finds_each_job() {
    let ids = ["1", "2", "3", "4"];
    let element = |id: &&str| format!(r#"{{"id":{id}}}"#);
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 3, 0], [0, 2, 1, 3]] {
        let elements: Vec<_> = order.iter().map(|&at| element(&ids[at])).collect();
        let outcomes = run(&ids, format!("[{}]", elements.join(",")).as_bytes())
            .unwrap()
            .outcomes;
        let expected: Vec<_> = ids.iter().map(|id| found(&element(id), None)).collect();
        assert_eq!(outcomes, expected, "{order:?}");
    }
}

#[test]
fn elements_that_belong_to_no_job_are_counted_by_kind() {
    let answer = r#"[
        {"id":2}, {"id":"1"}, {"id":1.0}, {"id":null}, {"id":"\ud800"},
        {}, {"ID":1},
        {"id":1,"id":1}, {"id":1,"\u0069d":2},
        1, "1", null, [{"id":1}],
        NaN, {"x":01}
    ]"#;
    let all = run(&["1"], answer.as_bytes()).unwrap();
    assert_eq!(all.outcomes, [Outcome::Missing { other_type: true }]);
    let unmatched = Unmatched {
        unknown_id: 5,
        no_id: 2,
        two_ids: 2,
        not_an_object: 4,
        malformed: 2,
    };
    assert_eq!(all.unmatched, unmatched);
    assert_eq!(unmatched.total(), 15);
}

#[test]
fn ids_match_by_type_and_unescaped_text() {
    let answer = r#"[{"id":"\u0061"},{"id":-9223372036854775808},{"id":"7"}]"#;
    let ids = [r#""a""#, "-9223372036854775808", "7"];
    let outcomes = run(&ids, answer.as_bytes()).unwrap().outcomes;
    assert!(matches!(
        outcomes[..2],
        [Outcome::Reply(_), Outcome::Reply(_)]
    ));
    assert_eq!(outcomes[2], Outcome::Missing { other_type: true });
}

#[test]
fn what_is_no_array_holds_no_results() {
    use crate::fault::Instead::*;
    let gzip: &[u8] = b"\x1f\x8b\x08\x00";
    for (answer, instead) in [
        (&b""[..], Nothing),
        (b" \n", Nothing),
        (b"<html>", Markup),
        (gzip, Gzip),
        (br#"{"id":1}"#, Object),
        (b"{}", Object),
        (br#"{"n":1,"results":[{"id":1}]}"#, Wrapped),
        (b"{\"id\":1}\n{\"id\":2}\n", Several),
        (br#"{"id":1"#, Other),
        (br#""ok""#, Value),
        (b"null", Value),
        (b"1", Value),
        (b"OK", Other),
        (b"\xff\xfe[\0]\0", Other),
    ] {
        let found = run(&["1"], answer);
        assert_eq!(found, Err(NotResults::NotAnArray(instead)), "{answer:?}");
    }
}

#[test]
fn an_array_that_can_not_be_followed_holds_no_results() {
    for answer in [
        r#"[{"id":1}"#,
        r#"[{"id":1},"#,
        r#"[{"id":1},]"#,
        r#"[{"id":1}] x"#,
        r#"[{"id":1}][]"#,
        r#"[{"id":1} {"id":2}]"#,
        r#"[{"id":1,"x":[}]"#,
        r#"[{"id":1,"x":"]"#,
        "[[[[",
    ] {
        let found = run(&["1"], answer.as_bytes());
        assert!(matches!(found, Err(NotResults::Unreadable(_))), "{answer}");
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let answer = "\u{feff}[{\"id\":1}]";
    let outcomes = run(&["1"], answer.as_bytes()).unwrap().outcomes;
    assert_eq!(outcomes, [found(r#"{"id":1}"#, None)]);
}

/// One element of a made-up answer: for which of the jobs, which of its results.
#[derive(Clone, Debug)]
enum Made {
    Result { job: usize, version: u8 },
    Foreign(u32),
    Junk(&'static str),
}

fn made(jobs: usize) -> impl Strategy<Value = Made> {
    prop_oneof![
        8 => (0..jobs, 0..2_u8).prop_map(|(job, version)| Made::Result { job, version }),
        1 => (1_000..2_000_u32).prop_map(Made::Foreign),
        1 => prop::sample::select(vec!["{}", "1", "null", r#"{"id":0,"id":0}"#, "[]"])
            .prop_map(Made::Junk),
    ]
}

/// Job 3 has the id `3`, job 4 the id `"4"`.
fn written_id(job: usize) -> String {
    if job.is_multiple_of(2) {
        format!("\"{job}\"")
    } else {
        job.to_string()
    }
}

fn written(made: &Made) -> String {
    match made {
        Made::Result { job, version } => {
            format!(r#"{{"v":{version},"of":{job},"id":{}}}"#, written_id(*job))
        }
        Made::Foreign(id) => format!(r#"{{"id":{id}}}"#),
        Made::Junk(junk) => (*junk).to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn each_job_gets_its_own_result_or_none(
        (jobs, answer) in (1..12_usize)
            .prop_flat_map(|jobs| (Just(jobs), prop::collection::vec(made(jobs), 0..30))),
    ) {
        let ids: Vec<String> = (0..jobs).map(written_id).collect();
        let elements: Vec<String> = answer.iter().map(written).collect();
        let body = format!("[{}]", elements.join(" , "));
        let all = run(&ids, body.as_bytes()).unwrap();
        let mut matched = 0;
        for (job, outcome) in all.outcomes.iter().enumerate() {
            let mine: Vec<&String> = answer
                .iter()
                .zip(&elements)
                .filter(|(made, _)| matches!(made, Made::Result { job: of, .. } if *of == job))
                .map(|(_, element)| element)
                .collect();
            matched += mine.len();
            let expected = match mine.split_first() {
                None => MISSING,
                Some((first, rest)) if rest.iter().all(|it| it == first) => found(first, None),
                Some(_) => Outcome::Ambiguous,
            };
            prop_assert_eq!(outcome, &expected);
        }
        prop_assert_eq!(all.unmatched.total(), elements.len() - matched);
    }

    #[test]
    fn order_and_omissions_do_not_matter(
        results in subsequence((0..20_usize).collect::<Vec<_>>(), 0..20).prop_shuffle(),
    ) {
        let ids: Vec<String> = (0..20).map(written_id).collect();
        let elements: Vec<String> = results
            .iter()
            .map(|&job| written(&Made::Result { job, version: 0 }))
            .collect();
        let body = format!("[{}]", elements.join(","));
        let outcomes = run(&ids, body.as_bytes()).unwrap().outcomes;
        for (job, outcome) in outcomes.iter().enumerate() {
            let expected = match results.contains(&job) {
                true => found(&written(&Made::Result { job, version: 0 }), None),
                false => MISSING,
            };
            prop_assert_eq!(outcome, &expected);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(answer in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = run(&["1"], &answer);
    }
}
