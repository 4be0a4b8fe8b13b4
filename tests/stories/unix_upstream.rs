//! Section 12 of the contract: upstreams on unix sockets.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};

use crate::harness::sockets::Sockets;
use crate::harness::*;

const JOB: &str = r#"{"id":1}"#;
const ECHO: &str = r#"{"id":1,"result":null}"#;
const NOW: [&str; 2] = ["--max-wait", "0"];

/// What listens on the socket, and one connection of it.
struct Upstream {
    listener: UnixListener,
}

struct Wired {
    stream: UnixStream,
    read: Vec<u8>,
}

impl Upstream {
    fn listen(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        Self { listener }
    }

    async fn accept(&self) -> Wired {
        let (stream, _) = within("a connection", self.listener.accept())
            .await
            .unwrap();
        let read = Vec::new();
        Wired { stream, read }
    }
}

impl Wired {
    /// What comes up to this text, and the text.
    async fn until(&mut self, wanted: &str) -> String {
        within(wanted, async {
            loop {
                let text = String::from_utf8_lossy(&self.read).into_owned();
                if let Some(at) = text.find(wanted) {
                    let end = at + wanted.len();
                    self.read.drain(..end);
                    return text[..end].to_owned();
                }
                let read = self.stream.read_buf(&mut self.read).await.unwrap();
                assert!(read > 0, "no {wanted:?} in {text:?}");
            }
        })
        .await
    }

    async fn write(&mut self, text: &str) {
        let written = within("room to write", self.stream.write_all(text.as_bytes()));
        written.await.unwrap();
    }

    async fn answer(&mut self, body: &str) {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
        self.write(&format!("{head}: {}\r\n\r\n{body}", body.len()))
            .await;
    }
}

#[tokio::test]
async fn batches_go_over_one_connection_for_localhost() {
    let sockets = Sockets::new();
    let upstream = Upstream::listen(&sockets.path("model.sock"));
    // Each thread keeps connections of its own.
    let flags = ["--max-wait", "0", "--threads", "1"];
    for (path, asked) in [("", "/"), (":/v1/batch?a=b:c", "/v1/batch?a=b:c")] {
        let url = format!("{}{path}", sockets.address("model.sock"));
        let proxy = Proxy::start(&url, &flags, &[]).await;
        let mut kept = None;
        for _ in 0..3 {
            let posting = proxy.post(JOB);
            let answering = async {
                let wire = match &mut kept {
                    Some(wire) => wire,
                    none => none.insert(upstream.accept().await),
                };
                let head = wire.until("\r\n\r\n").await.to_lowercase();
                let first = format!("post {asked} http/1.1\r\n");
                assert!(head.starts_with(&first), "{head}");
                assert!(head.contains("\r\nhost: localhost\r\n"), "{head}");
                wire.until(&format!("[{JOB}]")).await;
                wire.answer(&format!("[{ECHO}]")).await;
            };
            let (answer, ()) = tokio::join!(posting, answering);
            answer.is_result(ECHO);
        }
        let shown = proxy.admin("GET", "/config").await;
        assert!(
            shown.text().contains(&url.replace("b:c", "***")),
            "{shown:?}"
        );
    }
}

#[tokio::test]
async fn what_a_path_captures_is_asked_for() {
    let sockets = Sockets::new();
    let upstream = Upstream::listen(&sockets.path("model.sock"));
    let settings = format!(
        "[routes.models]\npath = \"/models/{{model}}\"\n[routes.models.upstream]\n\
         url = \"{}:/v1/{{model}}?m={{model}}\"\n[routes.models.batch]\nmax_wait = \"0s\"\n",
        sockets.address("model.sock")
    );
    let file = sockets.path("microbatch.toml");
    std::fs::write(&file, settings).unwrap();
    let proxy = Proxy::start("", &["--config", file.to_str().unwrap()], &[]).await;
    let posting = proxy.send(Request::job(JOB).to("POST", "/models/a%20b"));
    let answering = async {
        let mut wire = upstream.accept().await;
        let head = wire.until("\r\n\r\n").await;
        assert!(
            head.starts_with("POST /v1/a%20b?m=a%20b HTTP/1.1\r\n"),
            "{head}"
        );
        wire.answer(&format!("[{ECHO}]")).await;
    };
    let (answer, ()) = tokio::join!(posting, answering);
    answer.is_result(ECHO);
}

#[tokio::test]
async fn what_is_wrong_is_told_in_words_to_operators_alone() {
    let sockets = Sockets::new();
    drop(Upstream::listen(&sockets.path("left.sock")));
    for (name, why) in [
        ("none.sock", "there is no socket"),
        ("left.sock", "nobody listens on"),
    ] {
        let path = sockets.path(name);
        let once = [("MICROBATCH_RETRY__MAX_ATTEMPTS", "1")];
        let proxy = Proxy::start(&sockets.address(name), &NOW, &once).await;
        let answer = proxy.post(JOB).await;
        answer.problem(502, "upstream-unreachable", "no");
        assert!(!answer.text().contains(".sock"), "{answer:?}");
        let expected = format!("no connection: {why} {}", path.display());
        let told = |line: &Line| format!("{line:?}").contains(&expected);
        proxy.log.wait_for(&expected, told).await;
    }
}

/// The system has nobody wait for a place in the backlog of a socket.
#[tokio::test]
async fn whoever_is_busy_is_waited_for() {
    let sockets = Sockets::new();
    let path = sockets.path("model.sock");
    let busy = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    busy.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    busy.listen(0).unwrap();
    let _fills = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let env = [
        ("MICROBATCH_UPSTREAM__CONNECT_TIMEOUT", "100ms"),
        ("MICROBATCH_RETRY__MAX_ATTEMPTS", "1"),
    ];
    let proxy = Proxy::start(&sockets.address("model.sock"), &NOW, &env).await;
    let answer = proxy.post(JOB).await;
    answer.problem(504, "upstream-connect-timeout", "no");
    let patient = Proxy::start(&sockets.address("model.sock"), &NOW, &[]).await;
    let caller = patient.enqueue(JOB).await;
    busy.set_nonblocking(true).unwrap();
    let listener = std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(busy));
    let upstream = Upstream {
        listener: UnixListener::from_std(listener).unwrap(),
    };
    // First those that were there before it.
    loop {
        let mut wire = upstream.accept().await;
        let mut head = [0; 4];
        let begun = tokio::select! {
            read = wire.stream.read(&mut head) => read.unwrap_or(0) > 0,
            next = upstream.accept() => {
                wire = next;
                wire.stream.read(&mut head).await.unwrap() > 0
            }
        };
        if begun {
            wire.until(&format!("[{JOB}]")).await;
            wire.answer(&format!("[{ECHO}]")).await;
            break;
        }
    }
    caller.answer().await.is_result(ECHO);
}

/// An upstream that has answered and reads no more would keep its connection, and what is
/// left of the batch, for ever.
#[tokio::test]
async fn whoever_reads_no_more_is_given_up() {
    let sockets = Sockets::new();
    let upstream = Upstream::listen(&sockets.path("model.sock"));
    let flags = [
        "--max-wait",
        "0",
        "--upstream-timeout",
        "1s",
        "--max-body",
        "8MiB",
    ];
    let env = [
        ("MICROBATCH_BATCH__MAX_BYTES", "16MiB"),
        ("MICROBATCH_QUEUE__MAX_BYTES", "16MiB"),
    ];
    let proxy = Proxy::start(&sockets.address("model.sock"), &flags, &env).await;
    let large = format!(r#"{{"id":1,"body":"{}"}}"#, "x".repeat(4 << 20));
    let posting = proxy.post(large);
    let answering = async {
        let mut wire = upstream.accept().await;
        wire.until("\r\n\r\n").await;
        wire.answer(&format!("[{ECHO}]")).await;
        wire
    };
    let (answer, wire) = tokio::join!(posting, answering);
    answer.is_result(ECHO);
    // Of what is left nothing is read, and the end is seen nevertheless.
    let is_given_up = || async {
        let ready = wire.stream.ready(Interest::READABLE).await.unwrap();
        ready.is_read_closed().then_some(())
    };
    eventually("the connection to be given up", is_given_up).await;
}

#[tokio::test]
async fn what_is_passed_through_goes_there_too_and_so_do_tunnels() {
    let sockets = Sockets::new();
    let upstream = Upstream::listen(&sockets.path("web.sock"));
    let jobs = ScriptedUpstream::start().await;
    let url = format!("{}:/base?k=v", sockets.address("web.sock"));
    let env = [("MICROBATCH_PASSTHROUGH__URL", url.as_str())];
    let proxy = Proxy::start(&jobs.url(), &[], &env).await;
    let mut caller = Peer::connect(proxy.jobs_addr).await;
    caller
        .write("GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let mut wire = upstream.accept().await;
    let head = wire.until("\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("get /base/a?k=v&b http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: localhost\r\n"), "{head}");
    wire.answer("ok").await;
    caller.until("\r\n\r\nok").await;
    let upgrade = "Connection: upgrade\r\nUpgrade: x\r\n\r\n";
    caller
        .write(format!("GET /t HTTP/1.1\r\nHost: localhost\r\n{upgrade}"))
        .await;
    let mut wire = upstream.accept().await;
    wire.until("\r\n\r\n").await;
    wire.write(&format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}"))
        .await;
    caller.until("\r\n\r\n").await;
    caller.write("ping").await;
    wire.until("ping").await;
    wire.write("pong").await;
    caller.until("pong").await;
}
