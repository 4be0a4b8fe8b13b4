//! Changes of protocols, and the tunnels that follow.

use super::*;

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: k\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\nSec-WebSocket-Accept: s\r\n\r\n";

/// Both ends of a tunnel.
async fn tunnel(scene: &Scene) -> (Peer, Peer) {
    let mut caller = scene.caller().await;
    caller.write(UPGRADE).await;
    let mut upstream = scene.accept().await;
    let head = upstream.head().await.to_lowercase();
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(head.contains("sec-websocket-key: k\r\n"), "{head}");
    // The first words come with the head.
    upstream.write(format!("{SWITCHED}hello")).await;
    let head = caller.head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(head.contains("sec-websocket-accept: s\r\n"), "{head}");
    caller.until("hello").await;
    (caller, upstream)
}

#[tokio::test]
async fn bytes_pass_both_ways_until_an_end_closes() {
    for caller_closes in [true, false] {
        let scene = Scene::usual().await;
        let (mut caller, mut upstream) = tunnel(&scene).await;
        for n in 0..5 {
            caller.write(format!("\0up{n}")).await;
            upstream.until(&format!("\0up{n}")).await;
            upstream.write(format!("\0down{n}")).await;
            caller.until(&format!("\0down{n}")).await;
        }
        let (closing, mut other) = match caller_closes {
            true => (caller, upstream),
            false => (upstream, caller),
        };
        other.write("last").await;
        drop(closing);
        other.end().await;
        scene.forwarder.vacated().await;
    }
}

#[tokio::test]
async fn an_answer_that_changes_nothing_passes() {
    let scene = Scene::usual().await;
    let mut caller = scene.caller().await;
    caller.write(UPGRADE).await;
    let mut upstream = scene.accept().await;
    upstream.head().await;
    upstream
        .write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        .await;
    let answer = caller.until("no").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    // And the connection goes on.
    caller.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut upstream = scene.accept().await;
    upstream.head().await;
    upstream
        .write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await;
    caller.until("ok").await;
}

#[tokio::test]
async fn nobody_tunnels_http_past_the_proxy_or_changes_unasked() {
    let scene = Scene::usual().await;
    let mut caller = scene.caller().await;
    caller
        .write(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        )
        .await;
    let mut upstream = scene.accept().await;
    let head = upstream.head().await.to_lowercase();
    assert!(
        !head.contains("upgrade") && !head.contains("http2"),
        "{head}"
    );
    upstream
        .write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        .await;
    let answer = caller.until("Unasked").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    upstream.end().await;
}

#[tokio::test]
async fn a_tunnel_has_a_place() {
    let scene = Scene::new(|it| {
        it.max_alone = 1;
        it.request_timeout = Duration::from_millis(20);
    })
    .await;
    let in_tunnel = tunnel(&scene).await;
    let mut another = scene.caller().await;
    another.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = another.until("NoPlace").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    drop(in_tunnel);
    scene.forwarder.vacated().await;
    another.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    scene.accept().await.head().await;
}

#[tokio::test]
async fn a_tunnel_ends_with_the_process() {
    let scene = Scene::usual().await;
    let (caller, upstream) = tunnel(&scene).await;
    scene.forwarder.close();
    let mut refused = scene.caller().await;
    refused.write(UPGRADE).await;
    refused.until("Closed").await;
    scene.forwarder.cut();
    scene.forwarder.vacated().await;
    caller.end().await;
    upstream.end().await;
}
