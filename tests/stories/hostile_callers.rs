//! Callers who are slow, many, half gone or greedy, and the others who are
//! served meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::harness::{
    LONG_WAIT, Proxy, RawClient, Request, ScriptedUpstream, Siege, Signal, eventually, within,
};

/// Writes `start`, then one more byte every so often until the proxy closes:
/// what the proxy said.
async fn drip(proxy: SocketAddr, start: String) -> String {
    let mut socket = TcpStream::connect(proxy).await.expect("a connection");
    let (mut reader, mut writer) = socket.split();
    let mut said = Vec::new();
    let dripping = async {
        let mut next = writer.write_all(start.as_bytes()).await;
        while next.is_ok() {
            sleep(Duration::from_millis(20)).await;
            next = writer.write_all(b"x").await;
        }
        std::future::pending().await
    };
    tokio::select! {
        _ = within("the proxy to cut a drip off", reader.read_to_end(&mut said)) => {}
        () = dripping => {}
    }
    String::from_utf8(said).expect("an answer in UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_are_cut_off() {
    let siege = Siege::impatient("slow heads").await;
    let mut slow = JoinSet::new();
    for n in 0..200 {
        let start = ["", "POST /jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: "][n % 2];
        slow.spawn(drip(siege.addr(), start.to_owned()));
    }
    for said in siege.during(slow.join_all()).await {
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    siege.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_are_cut_off() {
    let siege = Siege::impatient("slow bodies").await;
    let mut slow = JoinSet::new();
    for _ in 0..200 {
        let start = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{";
        slow.spawn(drip(siege.addr(), start.to_owned()));
    }
    for said in siege.during(slow.join_all()).await {
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        assert!(said.contains("\"read-timeout\""), "{said}");
    }
    let done = siege.ends().await;
    assert_eq!(done.number("refused"), 200, "{done:?}");
}

/// Raises the limit of open files as far as it goes, for the proxy too, which
/// inherits it: how many connections a story may open.
fn room_for_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("the soft limit may be raised");
    // What other stories in this process need.
    let spare = 1_000;
    let room = limit.maximum.unwrap_or(u64::MAX).saturating_sub(spare);
    usize::try_from(room).unwrap_or(usize::MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections() {
    let count = room_for_connections().min(10_000);
    eprintln!("{count} idle connections");
    let env = [("MICROBATCH_SERVER__READ_TIMEOUT", "60s")];
    let siege = Siege::of("idle connections", &[], &env).await;
    let bound = 32 * count as u64;
    let idle = siege
        .within_memory(bound, async {
            let mut idle = Vec::new();
            for n in 1..=count {
                let mut client = siege.raw().await;
                // Some have asked something before they fell silent. The
                // proxy takes connections in order, so that the backlog is
                // never longer than a hundred.
                if n % 100 == 0 {
                    client
                        .write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        .await;
                    assert_eq!(client.answer().await.status, 200);
                }
                idle.push(client);
            }
            siege.goes_on().await;
            idle
        })
        .await;
    assert!(siege.proxy.open_files() > count);
    drop(idle);
    eventually("the connections to be forgotten", || async {
        (siege.proxy.open_files() < 100).then_some(())
    })
    .await;
    siege.ends().await;
}

#[tokio::test]
async fn a_caller_that_closes_its_sending_side_frees_its_place() {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = [&LONG_WAIT[..], &["--queue-max-jobs", "50"]].concat();
    let mut proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let mut leavers = Vec::new();
    for n in 1..=50 {
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        client.post("Content-Length: 8\r\n", r#"{"id":1}"#).await;
        proxy.log.nth("job queued", n).await;
        leavers.push(client);
    }
    let over = proxy.post(r#"{"id":2}"#).await;
    over.problem(503, "queue-full", "no");
    for client in &mut leavers {
        client.half_close().await;
    }
    for client in &mut leavers {
        assert_eq!(client.until_closed().await, b"");
    }
    proxy.log.nth("caller left", 50).await;
    // Every place is free, and no leaver's job goes out.
    let mut callers = Vec::new();
    for id in 10..60 {
        callers.push(proxy.enqueue(&format!(r#"{{"id":{id}}}"#)).await);
    }
    assert_eq!(proxy.flush().await, 50);
    let call = upstream.next().await;
    assert_eq!(call.ids(), (10..60).collect::<Vec<_>>());
    call.echo();
    for caller in callers {
        assert_eq!(caller.answer().await.status, 200);
    }
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = proxy.log.last().await;
    let counts = ["accepted", "answered", "cancelled"].map(|field| done.number(field));
    assert_eq!(counts, [100, 50, 50], "{done:?}");
}

#[tokio::test]
async fn a_caller_that_closes_its_sending_side_frees_its_slot() {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = [&LONG_WAIT[..], &["--max-size", "3", "--max-in-flight", "1"]].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    for _ in 0..5 {
        let mut leavers = Vec::new();
        for id in 1..=3 {
            let mut client = RawClient::connect(proxy.jobs_addr).await;
            let job = format!(r#"{{"id":{id}}}"#);
            client.post("Content-Length: 8\r\n", job).await;
            leavers.push(client);
        }
        let mut call = upstream.next().await;
        for client in &mut leavers {
            client.half_close().await;
        }
        call.caller_gone().await;
        let mut callers = Vec::new();
        for id in ["4", "5", "6"] {
            callers.push(proxy.enqueue(&format!(r#"{{"id":{id}}}"#)).await);
        }
        upstream.next().await.echo();
        for caller in callers {
            assert_eq!(caller.answer().await.status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipelined_flood_is_answered_in_order() {
    const FLOOD: usize = 600;
    let siege = Siege::of("pipelined flood", &[], &[]).await;
    let one = |id: &str, n: usize| {
        let job = format!(r#"{{"id":"{id} {n}","body":{n}}}"#);
        let length = job.len();
        format!("POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{job}")
    };
    let attack = async |id: &str| {
        let (mut writer, mut reader) = RawClient::two_handed(siege.addr()).await;
        let flood: String = (0..FLOOD).map(|n| one(id, n)).collect();
        let writing = tokio::spawn(async move {
            writer.write(flood).await;
        });
        // Nothing is read until the proxy is in the middle of it.
        eventually("the flood to be under way", || async {
            (siege.seen(&format!("{id} {}", FLOOD / 4)) > 0).then_some(())
        })
        .await;
        for n in 0..FLOOD {
            let result = format!(r#"{{"id":"{id} {n}","result":{n}}}"#);
            reader.answer().await.is_result(&result);
            assert_eq!(siege.seen(&format!("{id} {n}")), 1);
        }
        writing.await.expect("all was written");
    };
    let floods = async {
        tokio::join!(
            attack("one"),
            attack("two"),
            attack("three"),
            attack("four")
        )
    };
    siege.within_memory(64 * 1024, siege.during(floods)).await;
    siege.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_never_read_their_answers() {
    const GREEDY: u64 = 12;
    let siege = Siege::of("never read", &["--shutdown-timeout", "300ms"], &[]).await;
    let job = format!(r#"{{"id":"greedy","body":"{}"}}"#, "x".repeat(20_000));
    let mut greedy = JoinSet::new();
    let attack = async {
        for _ in 0..GREEDY {
            let (mut client, job) = (siege.raw().await, job.clone());
            greedy.spawn(async move {
                loop {
                    let length = format!("Content-Length: {}\r\n", job.len());
                    client.post(&length, &job).await;
                }
            });
        }
        // The system's buffers take megabytes of answers; what counts is that
        // the proxy itself holds only the next one of each.
        eventually("each to have a few answers", || async {
            (u64::from(siege.seen("greedy")) > 5 * GREEDY).then_some(())
        })
        .await;
        siege.goes_on().await;
    };
    siege.within_memory(GREEDY * 3 * 1024, attack).await;
    // They don't hold up the end either, still there and still not reading.
    siege.ends().await;
    greedy.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_come_and_go() {
    let siege = Siege::of("come and go", &[], &[]).await;
    let attack = async {
        for n in 0..500 {
            let mut client = siege.raw().await;
            let job = format!(r#"{{"id":"brief {n:03}"}}"#);
            let length = format!("Content-Length: {}\r\n", job.len());
            client.post(&length, job).await;
        }
    };
    siege.during(attack).await;
    let answer = siege.proxy.send(Request::new("GET", "/healthz")).await;
    assert_eq!(answer.status, 200);
    for n in 0..500 {
        assert!(siege.seen(&format!("brief {n:03}")) <= 1);
    }
    siege.ends().await;
}
