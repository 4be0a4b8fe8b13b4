//! Section 1 of the contract: what is a job, and what is not.
//!
//! An accepted job is seen at the upstream, byte for byte; a refused one is a
//! problem and never gets there.

use crate::harness::{Answer, Problem, Proxy, ScriptedUpstream};

/// A proxy that sends each job at once, and its upstream.
pub struct Setup {
    proxy: Proxy,
    upstream: ScriptedUpstream,
}

impl Setup {
    pub async fn start() -> Self {
        let upstream = ScriptedUpstream::start().await;
        let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &[]).await;
        Self { proxy, upstream }
    }

    /// Posts a job that must be accepted: it reaches the upstream alone as
    /// `sent`, and the caller gets the result for `id`, as JSON text.
    pub async fn accepts(&mut self, job: impl Into<Vec<u8>>, sent: &str, id: &str) {
        let job = job.into();
        let shown = String::from_utf8_lossy(&job).into_owned();
        let element = format!(r#"{{"id":{id}}}"#);
        let upstream = async {
            let call = self.upstream.next().await;
            assert_eq!(call.body, format!("[{sent}]"), "for {shown}");
            call.ok(format!("[{element}]"));
        };
        let answer = async {
            let answer = self.proxy.post(job).await;
            assert_eq!(answer.status, 200, "{shown} is a job: {answer:?}");
            answer
        };
        let (answer, ()) = tokio::join!(answer, upstream);
        answer.is_result(&element);
    }

    async fn accepts_id(&mut self, id: &str) {
        let job = format!(r#"{{"id":{id}}}"#);
        self.accepts(job.clone(), &job, id).await;
    }

    pub async fn refuses(&self, job: impl Into<Vec<u8>>, status: u16, code: &str) -> Problem {
        let job = job.into();
        let answer: Answer = self.proxy.post(job.clone()).await;
        let shown = String::from_utf8_lossy(&job[..job.len().min(300)]).into_owned();
        assert_eq!(answer.status, status, "for {shown}: {answer:?}");
        let problem = answer.problem(status, code, "no");
        problem
            .lacks("batch_id")
            .lacks("upstream_status")
            .lacks("id");
        problem
    }

    /// Nothing that was refused went upstream.
    pub fn nothing_was_sent(mut self) {
        assert!(self.upstream.arrived().is_none());
    }
}

#[tokio::test]
async fn ids_are_strings_or_whole_numbers() {
    let mut setup = Setup::start().await;
    for id in [
        r#""a""#,
        r#""1""#,
        "1",
        "0",
        "-1",
        "-9223372036854775808",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        r#"" ""#,
        r#""\u0000""#,
        r#""a\nb\"c\\d\/e""#,
        r#""\ud83d\ude00""#,
        r#""😀 é 漢""#,
    ] {
        setup.accepts_id(id).await;
    }
}

#[tokio::test]
async fn an_id_has_up_to_256_code_points() {
    let mut setup = Setup::start().await;
    for unit in ["a", "é", "漢", "😀", r"\u0061", r"\ud83d\ude00"] {
        setup
            .accepts_id(&format!(r#""{}""#, unit.repeat(256)))
            .await;
        let long = format!(r#"{{"id":"{}"}}"#, unit.repeat(257));
        setup
            .refuses(long, 422, "invalid-job")
            .await
            .has("pointer", "/id");
    }
}

#[tokio::test]
async fn other_ids_are_refused() {
    let setup = Setup::start().await;
    for id in [
        r#""""#,
        "1.0",
        "1.5",
        "1e0",
        "1E2",
        "-0",
        "-0.0",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999999999",
        "1e999",
        "true",
        "false",
        "null",
        "[]",
        r#"["a"]"#,
        "{}",
        r#"{"id":1}"#,
        r#""\ud800""#,
        r#""\ude00""#,
        r#""a\ud83dz""#,
        r#""\ude00\ud83d""#,
    ] {
        let job = format!(r#"{{"id":{id},"body":1}}"#);
        setup
            .refuses(job, 422, "invalid-job")
            .await
            .has("pointer", "/id");
    }
    setup.nothing_was_sent();
}

#[tokio::test]
async fn a_job_without_an_id_is_refused() {
    let setup = Setup::start().await;
    for job in [
        "{}",
        r#"{"body":1}"#,
        r#"{"ID":1}"#,
        r#"{"id ":1}"#,
        r#"{"body":{"id":1}}"#,
    ] {
        setup.refuses(job, 422, "invalid-job").await;
    }
    setup.nothing_was_sent();
}

#[tokio::test]
async fn two_ids_in_one_job_are_refused() {
    let setup = Setup::start().await;
    for job in [
        r#"{"id":1,"id":1}"#,
        r#"{"id":1,"body":{},"id":2}"#,
        r#"{"id":"a","\u0069d":"a"}"#,
        r#"{"\u0069\u0064":1,"i\u0064":2}"#,
        r#"{"id":1,"id":null}"#,
    ] {
        setup
            .refuses(job, 422, "invalid-job")
            .await
            .has("pointer", "/id");
    }
    setup.nothing_was_sent();
}

#[tokio::test]
async fn the_member_name_compares_after_unescaping() {
    let mut setup = Setup::start().await;
    for job in [
        r#"{"\u0069d":1}"#,
        r#"{"\u0069\u0064" : 1}"#,
        r#"{"body":2,"i\u0064":1}"#,
    ] {
        setup.accepts(job, job, "1").await;
    }
}

#[tokio::test]
async fn string_ids_compare_after_unescaping() {
    let mut setup = Setup::start().await;
    let job = r#"{"id":"\u0061\/b"}"#;
    // The upstream spells the id in its own way.
    setup.accepts(job, job, r#""a/b""#).await;
}

#[tokio::test]
async fn the_same_digits_as_text_and_as_a_number_are_two_jobs() {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = [&crate::harness::LONG_WAIT[..], &["--max-size", "2"]].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let text = proxy.enqueue(r#"{"id":"1"}"#).await;
    let number = proxy.enqueue(r#"{"id":1}"#).await;

    let call = upstream.next().await;
    assert_eq!(call.body, r#"[{"id":"1"},{"id":1}]"#);
    call.ok(r#"[{"id":1,"is":"number"},{"id":"1","is":"text"}]"#);

    text.answer().await.is_result(r#"{"id":"1","is":"text"}"#);
    number.answer().await.is_result(r#"{"id":1,"is":"number"}"#);
}
