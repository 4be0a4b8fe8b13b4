//! Section 1 of the contract: a job is a JSON object, checked, and left as it is.

use crate::http_rules;
use crate::intake::Setup;

#[tokio::test]
async fn only_an_object_is_a_job() {
    let setup = Setup::start().await;
    for job in [
        "[]",
        r#"[{"id":1}]"#,
        "1",
        r#""id""#,
        "null",
        "true",
        " 12 ",
        "1e999",
    ] {
        setup.refuses(job, 422, "invalid-job").await;
    }
    setup.nothing_was_sent();
}

#[tokio::test]
async fn a_job_goes_upstream_byte_for_byte() {
    let mut setup = Setup::start().await;
    for job in [
        r#"{"id":1,"body":{"any":["json"]}}"#,
        r#"{"body":null,"id":1}"#,
        r#"{"id":1,"body":123456789012345678901234567890.12345678901234567890}"#,
        r#"{"id":1,"body":[1e999,-1e-999,1E+5,0.10,-0,-0.0]}"#,
        r#"{"id":1,"body":{"a":1,"a":2,"id":3,"id":4}}"#,
        r#"{"z":1,"id":1,"a":2,"z":3,"body":{},"body":[]}"#,
        "{ \"id\"\t:\r\n 1 ,\n \"body\" : [ 1 , 2 ] }",
        r#"{"id":1,"body":"\u00e9 é \/ / \ud83d\ude00 😀 \ud800 \u0000"}"#,
        "{\"id\":1,\"body\":\"\u{7f}\u{2028}\u{feff}\u{10ffff}\"}",
        r#"{"":1,"id":1,"\\":2,"i\\d":3}"#,
        r#"{"id":1,"body":"]},[{\"id\":2}"}"#,
    ] {
        setup.accepts(job, job, "1").await;
    }
}

#[tokio::test]
async fn only_whitespace_around_a_job_is_trimmed() {
    let mut setup = Setup::start().await;
    let job = "{ \"id\" : 1 }";
    setup
        .accepts(format!(" \t\r\n{job}\n\r\t "), job, "1")
        .await;
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let setup = Setup::start().await;
    let texts = [
        "",
        " ",
        "{",
        "}",
        "id",
        r#"{"id":1"#,
        r#"{"id":1}}"#,
        r#"{"id":1} x"#,
        r#"{"id":1}{"id":2}"#,
        r#"{"id":1},"#,
        r#"{"id":1,}"#,
        r#"{"id" 1}"#,
        r#"{id:1}"#,
        r#"{'id':1}"#,
        r#"{"id":1,"body":01}"#,
        r#"{"id":01}"#,
        r#"{"id":+1}"#,
        r#"{"id":1.}"#,
        r#"{"id":-}"#,
        r#"{"id":1,"body":1e}"#,
        r#"{"id":1,"body":.5}"#,
        r#"{"id":1,"body":NaN}"#,
        r#"{"id":1,"body":tru}"#,
        r#"{"id":1,"body":[1,]}"#,
        r#"{"id":1,"body":[1 2]}"#,
        r#"{"id":1,"body":"\x"}"#,
        r#"{"id":1,"body":"\u12g4"}"#,
        "{\"id\":1,\"body\":\"a\nb\"}",
        "{\"id\":1,\"body\":\"\u{0}\"}",
        r#"{"id":1,"body":"a}"#,
        r#"{"id":1 /* no */}"#,
        // Malformed comes before invalid.
        r#"{"id":true,"body":"#,
        r#"[1,"#,
        "\u{feff}{\"id\":1}",
        "{\"id\":1}\u{a0}",
        "{\"id\":1}\0",
    ];
    for text in texts {
        setup.refuses(text, 400, "malformed-json").await;
    }
    setup.nothing_was_sent();
}

#[tokio::test]
async fn what_is_not_utf8_is_malformed() {
    let setup = Setup::start().await;
    let inside = |bytes: &[u8], before: &str, after: &str| -> Vec<u8> {
        [before.as_bytes(), bytes, after.as_bytes()].concat()
    };
    // A lone continuation, a cut sequence, an overlong slash, a surrogate, a
    // code point past the last, and bytes that UTF-8 has no use for.
    let bad: [&[u8]; 7] = [
        b"\x80",
        b"\xe2\x82",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xff",
        b"\xfe",
    ];
    for bytes in bad {
        for (before, after) in [
            (r#"{"id":""#, r#""}"#),
            (r#"{"id":1,"body":""#, r#""}"#),
            (r#"{"id":1,""#, r#"":2}"#),
            (r#"{"id":1}"#, ""),
        ] {
            setup
                .refuses(inside(bytes, before, after), 400, "malformed-json")
                .await;
        }
    }
    let utf16: Vec<u8> = "{\"id\":1}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    setup.refuses(utf16, 400, "malformed-json").await;
    setup.nothing_was_sent();
}

#[tokio::test]
async fn a_job_nests_128_levels_and_no_more() {
    let mut setup = Setup::start().await;
    // The job is the first level.
    let arrays = |n: usize| format!(r#"{{"id":1,"body":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    let objects = |n: usize| {
        let (open, close) = (r#"{"a":"#.repeat(n - 1), "}".repeat(n - 1));
        format!(r#"{{"other":{open}{{}}{close},"id":1}}"#)
    };
    for job in [arrays(127), objects(127)] {
        setup.accepts(job.clone(), &job, "1").await;
    }
    // Far too deep is the same as too deep: no stack is spent on it.
    for job in [arrays(128), objects(128), arrays(100_000)] {
        setup.refuses(job, 400, "malformed-json").await;
    }
    setup.nothing_was_sent();
}

#[tokio::test]
async fn a_job_nests_as_deep_as_it_may() {
    let env = [("MICROBATCH_SERVER__MAX_DEPTH", "3")];
    let setup = http_rules::Setup::start(&[], &env).await;
    for (body, status) in [("[[]]", 200), ("[[[]]]", 400), ("\"[[[[\"", 200)] {
        let job = format!(r#"{{"id":1,"body":{body}}}"#);
        let answer = setup.proxy.post(job).await;
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 400 {
            let problem = answer.problem(400, "malformed-json", "no");
            let detail = problem.get("detail").as_str().unwrap();
            assert!(detail.contains("3 levels"), "{detail}");
        }
    }
}
