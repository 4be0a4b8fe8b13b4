//! Ends that nobody wished for.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEADS: [&str; 3] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
];

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Waits for what a caller is told where the upstream does this with its request.
async fn is_told<F: Future<Output = ()>>(
    expected: &str,
    change: impl FnOnce(&mut Settings),
    request: &str,
    upstream: impl FnOnce(Peer) -> F,
) {
    let scene = Scene::new(change).await;
    let mut caller = scene.caller().await;
    caller.write(request).await;
    let serving = async {
        upstream(scene.accept().await).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = caller.until(expected) => assert!(answer.starts_with("HTTP/1.1 502"), "{answer}"),
        () = serving => {}
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_its_caller() {
    for head in HEADS {
        let scene = Scene::usual().await;
        let mut caller = scene.caller().await;
        caller.write(GET).await;
        let mut upstream = scene.accept().await;
        upstream.head().await;
        upstream.write(format!("{head}abc")).await;
        caller.until("abc").await;
        drop(upstream);
        let rest = caller.end().await;
        assert!(!rest.contains("0\r\n\r\n"), "a clean end: {rest:?}");
        scene.forwarder.vacated().await;
    }
}

#[tokio::test]
async fn a_caller_that_leaves_ends_its_call() {
    for head in [None, Some(HEADS[0]), Some(HEADS[1])] {
        let scene = Scene::usual().await;
        let mut caller = scene.caller().await;
        caller.write(GET).await;
        let mut upstream = scene.accept().await;
        upstream.head().await;
        if let Some(head) = head {
            upstream.write(head).await;
            caller.head().await;
        }
        drop(caller);
        assert_eq!(upstream.end().await, "");
        scene.forwarder.vacated().await;
    }
    // Amid its body, too.
    let scene = Scene::usual().await;
    let mut caller = scene.caller().await;
    caller
        .write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    let mut upstream = scene.accept().await;
    upstream.until("abc").await;
    drop(caller);
    assert_eq!(upstream.end().await, "");
    scene.forwarder.vacated().await;
}

#[tokio::test]
async fn what_fails_before_an_answer_is_told_apart() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    let lost = async |mut peer: Peer| {
        peer.head().await;
    };
    let silent = async |mut peer: Peer| {
        peer.head().await;
        std::future::pending().await
    };
    let garbage = async |mut peer: Peer| {
        peer.head().await;
        peer.write("what?\r\n\r\n").await;
        std::future::pending().await
    };
    is_told("Disconnected(", |_| (), GET, lost).await;
    is_told("Disconnected(", |_| (), GET, garbage).await;
    is_told("Timeout", |it| it.timeout = millis(50), GET, silent).await;
    is_told(
        "CallerSilent",
        |it| it.read_timeout = millis(50),
        post,
        silent,
    )
    .await;
    is_told("Unreachable(", |it| it.to = elsewhere(), GET, lost).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    const SIZE: usize = 400;
    let scene = Scene::new(|it| it.read_timeout = millis(500)).await;
    let mut caller = scene.caller().await;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n");
    caller.write(head).await;
    let mut upstream = scene.accept().await;
    upstream.head().await;
    let trickling = async {
        for _ in 0..SIZE {
            caller.socket.write_all(b"x").await?;
            tokio::time::sleep(millis(10)).await;
        }
        Ok::<_, std::io::Error>(())
    };
    let (_, answer) = tokio::join!(trickling, upstream.end());
    assert!(answer.len() < SIZE, "all of it has come");
    caller.until("CallerSilent").await;
}

/// Where nobody listens.
fn elsewhere() -> Destination {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", bound.local_addr().unwrap());
    Destination::Below(url.parse().unwrap())
}

#[tokio::test]
async fn the_end_of_the_process_is_waited_for_and_then_not() {
    for head in [None, Some(HEADS[0])] {
        let scene = Scene::usual().await;
        let mut caller = scene.caller().await;
        caller.write(GET).await;
        let mut upstream = scene.accept().await;
        upstream.head().await;
        if let Some(head) = head {
            upstream.write(format!("{head}abc")).await;
            caller.until("abc").await;
        }
        scene.forwarder.close();
        assert!(
            timeout(millis(20), scene.forwarder.vacated())
                .await
                .is_err()
        );
        scene.forwarder.cut();
        scene.forwarder.vacated().await;
        upstream.end().await;
        match head {
            None => drop(caller.until("GivenUp { sent: true }").await),
            Some(_) => assert_eq!(caller.end().await, ""),
        }
    }
}

/// The upstream closes a connection that was kept, and says nothing of it before. The next
/// request meets that before the proxy has noticed, or after.
#[tokio::test]
async fn a_connection_that_ends_while_nobody_uses_it_fails_nobody() {
    const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let scene = Scene::usual().await;
    let mut caller = scene.caller().await;
    caller.write(POST).await;
    for n in 0..40 {
        let mut upstream = scene.accept().await;
        upstream.until("hi").await;
        upstream
            .write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        caller.until("ok").await;
        if n % 2 == 0 {
            upstream.socket.shutdown().await.unwrap();
            assert_eq!(upstream.end().await, "");
            caller.write(POST).await;
        } else {
            // On its way to a connection of which nobody has seen the end yet.
            caller.write(POST).await;
            upstream.socket.shutdown().await.unwrap();
            assert_eq!(upstream.end().await, "");
        }
    }
    // The last one comes, too, and each came once.
    let mut upstream = scene.accept().await;
    upstream.until("hi").await;
}
