//! Section 1 of the contract: what one caller can hold of connections, and for
//! how long.

use tokio::task::JoinSet;

use crate::harness::h2::{self, DATA, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, frame};
use crate::harness::{
    Caller, KeepAlive, LONG_WAIT, Proxy, RawClient, Request, ScriptedUpstream, Siege, Signal,
    eventually,
};

const JOB: &str = r#"{"id":1}"#;
const ECHO: &str = r#"{"id":1,"result":null}"#;

/// A proxy that sends each job at once, before an upstream that the story answers.
async fn start(env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], env).await;
    (proxy, upstream)
}

/// The same before one that echoes.
async fn echoing(env: &[(&str, &str)]) -> (Proxy, JoinSet<()>) {
    let (proxy, upstream) = start(env).await;
    (proxy, echo_all(upstream))
}

fn echo_all(mut upstream: ScriptedUpstream) -> JoinSet<()> {
    let mut echoing = JoinSet::new();
    echoing.spawn(async move {
        loop {
            upstream.next_ever().await.echo();
        }
    });
    echoing
}

#[tokio::test]
async fn an_idle_connection_ends_in_time() {
    let (proxy, _upstream) = echoing(&[("MICROBATCH_SERVER__IDLE_TIMEOUT", "300ms")]).await;
    let mut client = RawClient::connect(proxy.jobs_addr).await;
    for _ in 0..3 {
        client.post("Content-Length: 8\r\n", JOB).await;
        client.answer().await.is_result(ECHO);
    }
    assert_eq!(client.until_closed().await, b"");

    let mut client = RawClient::connect(proxy.jobs_addr).await;
    client.write([h2::hello(), h2::job(1, JOB)].concat()).await;
    assert_eq!(client.frame_of(DATA).await.1, ECHO.as_bytes());
    client.frame_of(GOAWAY).await;
    while client.frame().await.is_some() {}
}

#[tokio::test]
async fn a_connection_whose_job_takes_long_is_not_idle() {
    let env = [("MICROBATCH_SERVER__IDLE_TIMEOUT", "50ms")];
    let (proxy, mut upstream) = start(&env).await;
    let mut http1 = RawClient::connect(proxy.jobs_addr).await;
    http1.post("Content-Length: 8\r\n", JOB).await;
    let first = upstream.next().await;
    let mut http2 = RawClient::connect(proxy.jobs_addr).await;
    http2.write([h2::hello(), h2::job(1, JOB)].concat()).await;
    let second = upstream.next().await;
    // One that is idle for longer than theirs would be allowed to ends meanwhile.
    let mut idle = RawClient::connect(proxy.jobs_addr).await;
    idle.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(!idle.until_closed().await.is_empty());
    first.echo();
    second.echo();
    http1.answer().await.is_result(ECHO);
    assert_eq!(http2.frame_of(DATA).await.1, ECHO.as_bytes());
}

#[tokio::test]
async fn a_caller_that_takes_nothing_of_its_answers_is_dropped() {
    let env = [("MICROBATCH_SERVER__WRITE_TIMEOUT", "300ms")];
    let (proxy, _upstream) = echoing(&env).await;
    let (mut writer, reader) = RawClient::two_handed(proxy.jobs_addr).await;
    let body = "x".repeat(200_000);
    let job = format!(r#"{{"id":1,"body":"{body}"}}"#);
    let length = format!("Content-Length: {}\r\n", job.len());
    // Until the system takes no more of them; then the proxy closes, and no more
    // is taken of these either.
    for _ in 0..200 {
        writer.post(&length, &job).await;
    }
    drop(reader);
    let end = format!("{:?}", proxy.post(JOB).await);
    assert!(end.contains("200"), "{end}");
    let accepted = proxy.log.count(|line| line.message() == "job queued");
    assert!(accepted < 200, "{accepted} jobs were taken");
}

#[tokio::test]
async fn a_stream_whose_answer_is_not_taken_is_reset_alone() {
    let env = [("MICROBATCH_SERVER__WRITE_TIMEOUT", "300ms")];
    let (proxy, _upstream) = echoing(&env).await;
    for room in [0, 1, 9_999] {
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        let job = format!(r#"{{"id":1,"body":"{}"}}"#, "x".repeat(10_000));
        let hello = h2::hello_with(&h2::window(room));
        client.write([hello, h2::job(1, &job)].concat()).await;
        assert_eq!(client.frame_of(HEADERS).await.0, 1);
        assert_eq!(client.frame_of(RST_STREAM).await.0, 1, "window {room}");
        // The connection goes on, for a stream with more room.
        let settings = frame(SETTINGS, 0, 0, &h2::window(1 << 20));
        client.write([settings, h2::job(3, JOB)].concat()).await;
        let (stream, answer) = client.frame_of(DATA).await;
        assert_eq!((stream, answer.as_slice()), (3, ECHO.as_bytes()));
    }
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_arrives_whole() {
    let env = [("MICROBATCH_SERVER__WRITE_TIMEOUT", "2s")];
    let (proxy, _upstream) = echoing(&env).await;
    let mut client = RawClient::connect(proxy.jobs_addr).await;
    let body = "x".repeat(60_000);
    let job = format!(r#"{{"id":1,"body":"{body}"}}"#);
    client.greet(&h2::window(0)).await;
    let (last, first) = (job.as_bytes().chunks(16_000).len() - 1, h2::post(1, 4));
    let data = job.as_bytes().chunks(16_000).enumerate();
    let data = data.map(|(n, part)| frame(DATA, u8::from(n == last), 1, part));
    client
        .write([first, data.collect::<Vec<_>>().concat()].concat())
        .await;
    let (_, mut taken) = (client.frame_of(HEADERS).await, Vec::new());
    let whole = format!(r#"{{"id":1,"result":"{body}"}}"#);
    while taken.len() < whole.len() {
        let more = 9_000_u32.to_be_bytes();
        for stream in [0, 1] {
            client
                .write(frame(h2::WINDOW_UPDATE, 0, stream, &more))
                .await;
        }
        let mut part = 0;
        while part < 9_000 && taken.len() < whole.len() {
            let (_, data) = client.frame_of(DATA).await;
            part += data.len();
            taken.extend(data);
        }
    }
    assert_eq!(taken, whole.as_bytes());
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_a_new_one() {
    let env = [("MICROBATCH_SERVER__MAX_CONNECTIONS", "2")];
    let (proxy, _upstream) = echoing(&env).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        client.post("Content-Length: 8\r\n", JOB).await;
        client.answer().await.is_result(ECHO);
        clients.push(client);
    }
    // The oldest went first.
    for client in &mut clients[..4] {
        assert_eq!(client.until_closed().await, b"");
    }
    let last = &mut clients[5];
    last.post("Content-Length: 8\r\n", JOB).await;
    last.answer().await.is_result(ECHO);
}

/// As many operators as there are places for, all silent.
async fn operators(proxy: &Proxy, said: &str) -> Vec<RawClient> {
    let mut operators = Vec::new();
    for _ in 0..24 {
        let addr = proxy.admin_addr.expect("an admin listener");
        let mut operator = RawClient::connect(addr).await;
        operator.write(said).await;
        if said.ends_with("\r\n\r\n") {
            assert_eq!(operator.answer().await.status, 200);
        }
        operators.push(operator);
    }
    operators
}

#[tokio::test]
async fn one_connection_makes_room_for_one_and_not_all_of_them() {
    let (proxy, _upstream) = echoing(&[]).await;
    let said = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut operators = operators(&proxy, said).await;
    assert_eq!(proxy.admin("GET", "/livez").await.status, 200);
    // The oldest was told; all others can go on, one of them in its place.
    assert_eq!(operators[0].until_closed().await, b"");
    for operator in operators.iter_mut().skip(1) {
        operator.write(said).await;
        assert_eq!(operator.answer().await.status, 200);
    }
}

#[tokio::test]
async fn half_heads_do_not_lock_operators_out() {
    // A head may take long, as long as nobody needs its place.
    let env = [("MICROBATCH_SERVER__READ_TIMEOUT", "1h")];
    let (proxy, _upstream) = echoing(&env).await;
    let _operators = operators(&proxy, "GET /livez").await;
    assert_eq!(proxy.admin("GET", "/livez").await.status, 200);
}

#[tokio::test]
async fn an_http2_connection_is_told_how_many_streams_it_may_open() {
    let (proxy, _upstream) = echoing(&[]).await;
    let operators = proxy.admin_addr.expect("an admin listener");
    for (addr, streams) in [(proxy.jobs_addr, 100_u32), (operators, 10)] {
        let mut client = RawClient::connect(addr).await;
        client.write(h2::hello()).await;
        let (_, settings) = client.frame_of(SETTINGS).await;
        // SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113, 6.5.2).
        let told = [&[0, 3][..], &streams.to_be_bytes()].concat();
        assert!(settings.chunks(6).any(|it| it == told), "{settings:?}");
    }
}

/// The limit that a process is started with is raised to what it may have.
#[tokio::test]
async fn a_low_limit_of_open_files_is_raised() {
    let upstream = ScriptedUpstream::start().await;
    let flags = ["--max-wait", "0"];
    let proxy = Proxy::start_with_files("-S -n 100", &upstream.url(), &flags).await;
    let _upstream = echo_all(upstream);
    // More than fit below that limit, and none of them has to make room.
    let mut clients = Vec::new();
    for _ in 0..120 {
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        client.post("Content-Length: 8\r\n", JOB).await;
        client.answer().await.is_result(ECHO);
        clients.push(client);
    }
    for client in &mut clients {
        client.post("Content-Length: 8\r\n", JOB).await;
        client.answer().await.is_result(ECHO);
    }
}

#[tokio::test]
async fn a_busy_connection_keeps_its_place() {
    let env = [("MICROBATCH_SERVER__MAX_CONNECTIONS", "2")];
    let (proxy, mut upstream) = start(&env).await;
    let mut busy = Vec::new();
    for id in [1, 2] {
        let caller = proxy.enqueue(&format!(r#"{{"id":{id}}}"#)).await;
        busy.push((upstream.next().await, caller));
    }
    let waiting = Caller::spawn(proxy.jobs_addr, Request::job(r#"{"id":3}"#));
    // Operators have places of their own.
    assert_eq!(proxy.admin("GET", "/livez").await.status, 200);
    assert!(upstream.arrived().is_none());
    for (call, caller) in busy {
        call.echo();
        assert_eq!(caller.answer().await.status, 200);
    }
    upstream.next().await.echo();
    waiting
        .answer()
        .await
        .is_result(r#"{"id":3,"result":null}"#);
}

/// A process that may have few files open; callers that have done a job, or have
/// not even begun one, hold as many connections as they can.
#[tokio::test]
async fn idle_callers_leave_files_to_active_ones() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start_with_files("-n 100", &upstream.url(), &["--max-wait", "0"]).await;
    let _upstream = echo_all(upstream);
    let mut idle = Vec::new();
    for n in 0..85 {
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        if n % 2 == 0 {
            client.post("Content-Length: 8\r\n", JOB).await;
            client.answer().await.is_result(ECHO);
        }
        idle.push(client);
    }
    assert_eq!(proxy.admin("GET", "/livez").await.status, 200);
    proxy.post(JOB).await.is_result(ECHO);
    assert!(proxy.open_files() < 100);
    let failures = proxy.log.count(|line| line.message().contains("accept"));
    assert_eq!(failures, 0, "{}", proxy.log);
}

/// What comes behind a job must not hide that its caller leaves: a line break of
/// old clients, part of a request, a whole one, many.
#[tokio::test]
async fn a_caller_that_has_sent_more_and_closes_has_left() {
    let mut upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &LONG_WAIT, &[]).await;
    let next = format!("POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n{JOB}");
    let behind = ["\r\n", "P", &next[..40], &next, &next.repeat(150)];
    for (n, more) in behind.iter().enumerate() {
        for at_once in [true, false] {
            let mut client = RawClient::connect(proxy.jobs_addr).await;
            let nth = 2 * n + usize::from(!at_once) + 1;
            if at_once {
                client
                    .post("Content-Length: 8\r\n", format!("{JOB}{more}"))
                    .await;
                proxy.log.nth("job queued", nth).await;
            } else {
                client.post("Content-Length: 8\r\n", JOB).await;
                proxy.log.nth("job queued", nth).await;
                client.write(more).await;
            }
            client.half_close().await;
            assert_eq!(client.until_closed().await, b"", "after {more:.20?}");
            proxy.log.nth("caller left", nth).await;
        }
    }
    assert_eq!(proxy.flush().await, 0);
    assert!(upstream.arrived().is_none());
}

/// What is read ahead is not lost: a caller that stays gets all its answers.
#[tokio::test]
async fn a_caller_that_has_sent_more_and_stays_is_answered() {
    let (proxy, mut upstream) = start(&[]).await;
    let mut client = RawClient::connect(proxy.jobs_addr).await;
    let job = |id| {
        let job = format!(r#"{{"id":{id},"body":"{}"}}"#, "x".repeat(3_000));
        let length = job.len();
        format!("POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{job}")
    };
    client.write(job(1)).await;
    let first = upstream.next().await;
    let rest: Vec<String> = (2..=20).map(job).collect();
    client.write(format!("\r\n{}", rest.concat())).await;
    first.echo();
    for id in 2..=20 {
        assert_eq!(client.answer().await.json()["id"], id - 1);
        let call = upstream.next().await;
        assert_eq!(call.ids(), [id]);
        call.echo();
    }
    assert_eq!(client.answer().await.json()["id"], 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_settings_is_told_to_calm_down() {
    let siege = Siege::of("h2 settings flood", &["--threads", "1"], &[]).await;
    let toggle = |size| frame(SETTINGS, 0, 0, &h2::window(size));
    let toggles = [toggle(1), toggle(2)].concat().repeat(5_000);
    let attack = async {
        for _ in 0..20 {
            let mut client = siege.raw().await;
            let streams = (0..100).flat_map(|n| h2::post(2 * n + 1, 4));
            client
                .write([h2::hello(), streams.collect()].concat())
                .await;
            client.write(&toggles).await;
            let (_, why) = client.frame_of(GOAWAY).await;
            assert_eq!(why[4..8], [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
            while client.frame().await.is_some() {}
        }
    };
    siege.within_memory(32 * 1024, siege.during(attack)).await;
    siege.ends().await;
}

/// Within the bound, settings may change.
#[tokio::test]
async fn a_few_settings_are_taken() {
    let (proxy, _upstream) = echoing(&[]).await;
    let mut client = RawClient::connect(proxy.jobs_addr).await;
    let some = frame(SETTINGS, 0, 0, &h2::window(9_999)).repeat(19);
    client.write([h2::hello(), some].concat()).await;
    client.write(h2::job(1, JOB)).await;
    assert_eq!(client.frame_of(DATA).await.1, ECHO.as_bytes());
    client.write(frame(PING, 0, 0, &[7; 8])).await;
    assert_eq!(client.frame_of(PING).await.1, [7; 8]);
}

/// Callers with a window of 0, whose answers are large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn untaken_answers_are_let_go() {
    let env = [("MICROBATCH_SERVER__WRITE_TIMEOUT", "500ms")];
    let siege = Siege::of("h2 window of 0", &[], &env).await;
    // All of the jobs fit the window of a connection, and their results do not.
    let body = "x".repeat(2_000);
    let attack = async {
        let mut held = Vec::new();
        for n in 0..8 {
            let mut client = siege.raw().await;
            let jobs = (0..100).flat_map(|m| {
                h2::job(
                    2 * m + 1,
                    &format!(r#"{{"id":"zero {n} {m}","body":"{body}"}}"#),
                )
            });
            client.greet(&h2::window(0)).await;
            client.write(jobs.collect::<Vec<u8>>()).await;
            let mut reset = 0;
            while reset < 100 {
                reset += u32::from(client.frame().await.expect("open").0 == RST_STREAM);
            }
            held.push(client);
        }
        held
    };
    let held = siege.within_memory(64 * 1024, siege.during(attack)).await;
    drop(held);
    siege.ends().await;
}

#[tokio::test]
async fn a_hang_up_of_the_terminal_ends_nothing() {
    let (proxy, mut upstream) = start(&[]).await;
    let caller = proxy.enqueue(JOB).await;
    let call = upstream.next().await;
    for n in 1..=2 {
        proxy.signal(Signal::HUP);
        let hung_up = |line: &crate::harness::Line| line.message().starts_with("SIGHUP");
        proxy.log.wait_for_nth("SIGHUP", n, hung_up).await;
    }
    call.echo();
    caller.answer().await.is_result(ECHO);
    assert_eq!(proxy.admin("GET", "/readyz").await.status, 200);
}

/// However many come and go at the limit, none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_callers_than_places_are_all_served() {
    let env = [("MICROBATCH_SERVER__MAX_CONNECTIONS", "4")];
    let (proxy, _upstream) = echoing(&env).await;
    let mut callers = JoinSet::new();
    for n in 0..40 {
        let addr = proxy.jobs_addr;
        callers.spawn(async move {
            let mut connection = KeepAlive::connect(addr).await;
            let answer = connection.post(format!(r#"{{"id":{n}}}"#)).await;
            answer.is_result(&format!(r#"{{"id":{n},"result":null}}"#));
        });
    }
    callers.join_all().await;
    eventually("the places to be free", || async {
        proxy.post(JOB).await.is_result(ECHO);
        Some(())
    })
    .await;
}
