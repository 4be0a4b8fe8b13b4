//! Sections 3 and 4 of the contract on one connection to the upstream, batch
//! after batch: what an upstream says too much after one batch is nobody's
//! answer, and least of all the next batch's.

use crate::harness::{Caller, Proxy, Request, Wire, WireUpstream};

const JOB: &str = r#"{"id":"a"}"#;
const BATCH: &str = r#"[{"id":"a"}]"#;

/// What an upstream says after a whole answer. The id is that of every job
/// here, so that nothing but the connection tells whose answer it is.
fn too_much() -> Vec<String> {
    let stray = r#"[{"id":"a","stray":true}]"#;
    let chunks = format!("{:x}\r\n{stray}\r\n0\r\n\r\n", stray.len());
    vec![
        Wire::answer(stray),
        Wire::answer(stray).repeat(100),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
        format!("HTTP/1.1 200 OK\r\n\r\n{stray}"),
        format!("HTTP/1.1 100 Continue\r\n\r\n{}", Wire::answer(stray)),
        "HTTP/1.1 200 OK\r\n".to_owned(),
        "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n".to_owned(),
        stray.to_owned(),
        " ".to_owned(),
        "\r\n".to_owned(),
        "]".repeat(100_000),
    ]
}

/// A proxy that sends each job at once, one at a time.
struct Setup {
    proxy: Proxy,
    upstream: WireUpstream,
    /// How many batches were answered, so that no two answers are the same.
    answers: usize,
}

impl Setup {
    async fn open() -> Self {
        let upstream = WireUpstream::start().await;
        let flags = ["--max-wait", "0", "--max-in-flight", "1"];
        let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
        Self {
            proxy,
            upstream,
            answers: 0,
        }
    }

    fn ask(&self) -> Caller {
        Caller::spawn(self.proxy.jobs_addr, Request::job(JOB))
    }

    /// The connection that the next batch takes. Fails the story when the
    /// caller is answered without one.
    async fn call(&mut self, caller: &mut Caller) -> Wire {
        let mut wire = tokio::select! {
            wire = self.upstream.call() => wire,
            answer = caller.answered() => panic!("without a batch: {answer:?}"),
        };
        assert_eq!(wire.batch().await, BATCH);
        wire
    }

    /// One job through the upstream, which answers like that: its connection.
    async fn job(&mut self, answer: impl FnOnce(&str) -> String) -> Wire {
        let caller = self.ask();
        self.serve(caller, answer).await
    }

    async fn serve(&mut self, mut caller: Caller, answer: impl FnOnce(&str) -> String) -> Wire {
        let mut wire = self.call(&mut caller).await;
        self.answers += 1;
        let element = format!(r#"{{"id":"a","n":{}}}"#, self.answers);
        wire.write(answer(&format!("[{element}]"))).await;
        caller.answer().await.is_result(&element);
        wire
    }
}

#[tokio::test]
async fn connections_serve_batch_after_batch() {
    let mut setup = Setup::open().await;
    for _ in 0..20 {
        let wire = setup.job(Wire::answer).await;
        setup.upstream.keep(wire);
    }
}

#[tokio::test]
async fn an_answer_to_nothing_is_never_the_next_batchs() {
    let mut setup = Setup::open().await;
    for stray in too_much() {
        let mut wire = setup.job(Wire::answer).await;
        // The connection is idle: its answer has reached the caller.
        wire.write(&stray).await;
        assert_eq!(wire.closed().await, 0, "a batch after {stray:?}");
        let wire = setup.job(Wire::answer).await;
        setup.upstream.keep(wire);
    }
}

#[tokio::test]
async fn two_answers_in_one_write_are_one() {
    let mut setup = Setup::open().await;
    for stray in too_much() {
        let mut wire = setup.job(|body| Wire::answer(body) + &stray).await;
        assert_eq!(wire.closed().await, 0, "a batch after {stray:?}");
        let wire = setup.job(Wire::answer).await;
        setup.upstream.keep(wire);
    }
}

#[tokio::test]
async fn an_answer_without_a_body_leaves_none_behind() {
    let mut setup = Setup::open().await;
    for stray in too_much() {
        for (head, code) in [
            ("204 No Content", "upstream-malformed"),
            ("304 Not Modified", "upstream-error"),
        ] {
            let mut caller = setup.ask();
            let mut wire = setup.call(&mut caller).await;
            let lie = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n", stray.len());
            wire.write(format!("{lie}\r\n{stray}")).await;
            caller.answer().await.problem(502, code, "yes");
            assert_eq!(wire.closed().await, 0, "a batch after {stray:?}");
        }
        let wire = setup.job(Wire::answer).await;
        setup.upstream.keep(wire);
    }
}

#[tokio::test]
async fn an_upstream_that_closes_after_each_answer_fails_no_job() {
    let mut setup = Setup::open().await;
    for n in 0..60 {
        let mut caller = setup.ask();
        let mut wire = setup.call(&mut caller).await;
        let body = format!(r#"[{{"id":"a","n":{n}}}]"#);
        wire.write(match n % 3 {
            // Unannounced.
            0 => Wire::answer(&body),
            1 => Wire::answer(&body).replacen("\r\n", "\r\nConnection: close\r\n", 1),
            _ => Wire::answer(&body).replacen("HTTP/1.1", "HTTP/1.0", 1),
        })
        .await;
        wire.end().await;
        caller.answer().await.is_result(&body[1..body.len() - 1]);
        // The next batch comes when the proxy has seen the end; where it comes
        // before an unannounced one, nothing can tell.
        assert_eq!(wire.closed().await, 0);
    }
}

#[tokio::test]
async fn a_connection_that_is_not_to_be_kept_is_closed() {
    let mut setup = Setup::open().await;
    for (version, header) in [
        ("HTTP/1.1", "Connection: close"),
        ("HTTP/1.1", "connection: Close"),
        ("HTTP/1.0", "X-Old: 1"),
        ("HTTP/1.0", "Connection: close"),
    ] {
        let answer = |body: &str| {
            let more = format!("{version} 200 OK\r\n{header}");
            Wire::answer(body).replacen("HTTP/1.1 200 OK", &more, 1)
        };
        // The upstream leaves its end open.
        let mut wire = setup.job(answer).await;
        assert_eq!(wire.closed().await, 0, "a batch after {version} {header}");
    }
}

#[tokio::test]
async fn trailers_end_the_answer_and_say_nothing() {
    let mut setup = Setup::open().await;
    let trailed = |body: &str| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n";
        let trailers = "X-T: 1\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n";
        let chunk = format!("{:x};ext=\"1\"\r\n{body}\r\n", body.len());
        format!("{head}\r\n{chunk}0\r\n{trailers}\r\n")
    };
    for _ in 0..10 {
        let wire = setup.job(trailed).await;
        setup.upstream.keep(wire);
        let wire = setup.job(Wire::answer).await;
        setup.upstream.keep(wire);
    }
}

/// The moment in which the next batch already waits for the slot.
#[tokio::test]
async fn the_batch_that_waits_meanwhile_gets_its_own_answer() {
    let mut setup = Setup::open().await;
    let stray = Wire::answer(r#"[{"id":"a","stray":true}]"#);
    let long = format!("X-Long: {}", "x".repeat(8_000));
    for n in 0..60 {
        let mut first = setup.ask();
        let mut wire = setup.call(&mut first).await;
        let second = setup.proxy.enqueue(JOB).await;
        let body = format!(r#"[{{"id":"a","n":{n}}}]"#);
        let header =
            |line: &str| Wire::answer(&body).replacen("\r\n", &format!("\r\n{line}\r\n"), 1);
        wire.write(match n % 4 {
            0 => Wire::answer(&body) + &stray,
            1 => header(&long) + &stray,
            2 => header("Connection: close"),
            _ => Wire::answer(&body).replacen("HTTP/1.1", "HTTP/1.0", 1),
        })
        .await;
        if n % 4 >= 2 {
            wire.end().await;
        }
        first.answer().await.is_result(&body[1..body.len() - 1]);
        let mut wire = setup.serve(second, Wire::answer).await;
        wire.write(&stray).await;
        assert_eq!(wire.closed().await, 0);
    }
}
