//! Correlation: the contract's table, and any answer at all.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

fn parse_id(written: &str) -> JobId {
    JobId::parse(written).unwrap()
}

fn run(ids: &[&str], answer: &str) -> Result<Correlation, NotResults> {
    let ids: Vec<JobId> = ids.iter().map(|written| parse_id(written)).collect();
    correlate(ids.iter(), &Bytes::copy_from_slice(answer.as_bytes()))
}

/// What the only job, of id 1, gets from an array of these elements.
fn one(elements: &str) -> Outcome {
    let answer = format!("[{elements}]");
    run(&["1"], &answer).unwrap().outcomes.remove(0)
}

fn found(raw: &str, error: Option<Option<u16>>) -> Outcome {
    Outcome::Found(Element {
        raw: Bytes::copy_from_slice(raw.as_bytes()),
        error: error.map(|status| ElementError { status }),
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

#[test]
fn elements_that_belong_to_nobody_are_counted_by_kind() {
    let answer = r#"[
        {"id":2}, {"id":"1"}, {"id":1.0}, {"id":null}, {"id":"\ud800"},
        {}, {"ID":1},
        {"id":1,"id":1}, {"id":1,"\u0069d":2},
        1, "1", null, [{"id":1}]
    ]"#;
    let correlation = run(&["1"], answer).unwrap();
    assert_eq!(correlation.outcomes, [Outcome::Missing]);
    let unmatched = Unmatched {
        unknown_id: 5,
        no_id: 2,
        two_ids: 2,
        not_an_object: 4,
    };
    assert_eq!(correlation.unmatched, unmatched);
    assert_eq!(unmatched.total(), 13);
}

#[test]
fn ids_match_by_type_and_unescaped_text() {
    let answer = r#"[{"id":"\u0061"},{"id":-9223372036854775808},{"id":"7"}]"#;
    let ids = [r#""a""#, "-9223372036854775808", "7"];
    let outcomes = run(&ids, answer).unwrap().outcomes;
    assert!(matches!(
        outcomes[..2],
        [Outcome::Found(_), Outcome::Found(_)]
    ));
    assert_eq!(outcomes[2], Outcome::Missing);
}

#[test]
fn what_is_no_array_holds_no_results() {
    let not_json = |answer| matches!(run(&["1"], answer), Err(NotResults::NotJson(_)));
    for answer in ["", "<html>", r#"[{"id":1}"#, r#"[{"id":1}] x"#, "[1,]"] {
        assert!(not_json(answer), "{answer}");
    }
    for answer in [r#"{"id":1}"#, r#""ok""#, "null", "1"] {
        assert_eq!(run(&["1"], answer), Err(NotResults::NotAnArray), "{answer}");
    }
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(run(&["1"], &deep(129)).is_ok());
    assert_eq!(run(&["1"], &deep(130)), Err(NotResults::TooDeep));
    let ids = [parse_id("1")];
    let not_utf8 = Bytes::from_static(b"[{\"id\":1,\"x\":\"\xff\"}]");
    assert_eq!(correlate(ids.iter(), &not_utf8), Err(NotResults::NotUtf8));
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
        let ids: Vec<JobId> = (0..jobs).map(|job| parse_id(&written_id(job))).collect();
        let elements: Vec<String> = answer.iter().map(written).collect();
        let body = Bytes::from(format!("[{}]", elements.join(" , ")));
        let correlation = correlate(ids.iter(), &body).unwrap();
        let mut matched = 0;
        for (job, outcome) in correlation.outcomes.iter().enumerate() {
            let mine: Vec<&String> = answer
                .iter()
                .zip(&elements)
                .filter(|(made, _)| matches!(made, Made::Result { job: of, .. } if *of == job))
                .map(|(_, element)| element)
                .collect();
            matched += mine.len();
            let expected = match mine.split_first() {
                None => Outcome::Missing,
                Some((first, rest)) if rest.iter().all(|it| it == first) => found(first, None),
                Some(_) => Outcome::Ambiguous,
            };
            prop_assert_eq!(outcome, &expected);
        }
        prop_assert_eq!(correlation.unmatched.total(), elements.len() - matched);
    }

    #[test]
    fn order_and_omissions_do_not_matter(
        results in subsequence((0..20_usize).collect::<Vec<_>>(), 0..20).prop_shuffle(),
    ) {
        let ids: Vec<JobId> = (0..20).map(|job| parse_id(&written_id(job))).collect();
        let elements: Vec<String> = results
            .iter()
            .map(|&job| written(&Made::Result { job, version: 0 }))
            .collect();
        let body = Bytes::from(format!("[{}]", elements.join(",")));
        let outcomes = correlate(ids.iter(), &body).unwrap().outcomes;
        for (job, outcome) in outcomes.iter().enumerate() {
            let expected = match results.contains(&job) {
                true => found(&written(&Made::Result { job, version: 0 }), None),
                false => Outcome::Missing,
            };
            prop_assert_eq!(outcome, &expected);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(answer in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = correlate([parse_id("1")].iter(), &Bytes::from(answer));
    }
}
