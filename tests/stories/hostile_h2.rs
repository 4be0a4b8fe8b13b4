//! Callers that abuse HTTP/2 (RFC 9113), frame by frame, and the others who
//! are served meanwhile.

use crate::harness::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
    hello, post,
};
use crate::harness::{RawClient, Siege, eventually};

/// The streams that a caller opens, in order.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|n| 2 * n + 1)
}

/// Opens HTTP/2 and writes all of this while it reads what comes, until all is
/// written or the proxy has closed.
async fn assault(siege: &Siege, frames: Vec<u8>) -> (RawClient, RawClient) {
    let (mut writer, mut reader) = RawClient::two_handed(siege.addr()).await;
    writer.write(hello()).await;
    tokio::select! {
        () = writer.write(frames) => {}
        _ = reader.until_closed() => {}
    }
    (writer, reader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_streams() {
    let siege = Siege::impatient("h2 stream flood").await;
    // Five times as many as may be open, and none ever gets its body.
    let opened: Vec<u8> = streams(5_000)
        .flat_map(|stream| post(stream, END_HEADERS))
        .collect();
    let attack = async {
        for _ in 0..4 {
            let held = assault(&siege, opened.clone()).await;
            siege.goes_on().await;
            drop(held);
        }
    };
    siege.within_memory(96 * 1024, attack).await;
    siege.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_jobs_on_one_connection() {
    const MANY: u32 = 500;
    let siege = Siege::of("h2 job flood", &[], &[]).await;
    let jobs: Vec<u8> = streams(MANY)
        .flat_map(|stream| {
            let job = format!(r#"{{"id":"flood {stream}"}}"#);
            let data = frame(DATA, END_STREAM, stream, job.as_bytes());
            [post(stream, END_HEADERS), data].concat()
        })
        .collect();
    let attack = assault(&siege, jobs);
    let held = siege.within_memory(96 * 1024, siege.during(attack)).await;
    // Those that may be open at once are served, the others refused.
    eventually("the jobs at the upstream", || async {
        let served = streams(MANY).filter(|stream| siege.seen(&format!("flood {stream}")) == 1);
        (served.count() >= 100).then_some(())
    })
    .await;
    drop(held);
    for stream in streams(MANY) {
        assert!(siege.seen(&format!("flood {stream}")) <= 1);
    }
    siege.ends().await;
}

/// CVE-2023-44487.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_opened_and_reset_at_once() {
    let siege = Siege::of("h2 rapid reset", &[], &[]).await;
    let cancel = 8_u32.to_be_bytes();
    let resets: Vec<u8> = streams(10_000)
        .flat_map(|stream| {
            let job = format!(r#"{{"id":"reset {stream}"}}"#);
            let data = frame(DATA, END_STREAM, stream, job.as_bytes());
            let reset = frame(RST_STREAM, 0, stream, &cancel);
            [post(stream, END_HEADERS), data, reset].concat()
        })
        .collect();
    let attack = async {
        for _ in 0..5 {
            drop(assault(&siege, resets.clone()).await);
        }
    };
    siege.within_memory(96 * 1024, siege.during(attack)).await;
    siege.ends().await;
}

/// A window overrun makes the proxy reset the streams itself (CVE-2025-8671).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_make_the_proxy_reset_them() {
    let siege = Siege::of("h2 made-you-reset", &[], &[]).await;
    let frames: Vec<u8> = streams(10_000)
        .flat_map(|stream| {
            let none = frame(WINDOW_UPDATE, 0, stream, &[0; 4]);
            [post(stream, END_HEADERS), none].concat()
        })
        .collect();
    let attack = async {
        for _ in 0..5 {
            drop(assault(&siege, frames.clone()).await);
        }
    };
    siege.within_memory(96 * 1024, siege.during(attack)).await;
    siege.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preface_and_then_silence() {
    let siege = Siege::impatient("h2 silence").await;
    let attack = async {
        let mut silent = Vec::new();
        for n in 0..100 {
            let mut client = siege.raw().await;
            client.write(&hello()[..24 + 9 * (n % 2)]).await;
            silent.push(client);
        }
        for client in &mut silent {
            client.until_closed().await;
        }
    };
    siege.during(attack).await;
    siege.ends().await;
}

/// CVE-2024-27316 and its kin: a head that never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_in_endless_continuations() {
    let siege = Siege::of("h2 continuations", &[], &[]).await;
    // A literal header, never indexed: `a` and 1,000 bytes.
    let header = [&b"\x10\x01a\x7f\xe9\x06"[..], &[b'x'; 1_000]].concat();
    let more = frame(CONTINUATION, 0, 1, &header).repeat(20_000);
    let attack = async {
        for more in [more, frame(CONTINUATION, 0, 1, &[]).repeat(200_000)] {
            drop(assault(&siege, [post(1, 0), more].concat()).await);
        }
    };
    siege.within_memory(64 * 1024, siege.during(attack)).await;
    siege.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_and_settings_with_unread_answers() {
    let siege = Siege::of("h2 ping flood", &[], &[]).await;
    let attack = async {
        let mut held = Vec::new();
        for question in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[])] {
            let mut client = siege.raw().await;
            client.write(hello()).await;
            // Until the proxy takes no more for want of room for its answers,
            // or has taken this many.
            let flood = question.repeat(400_000);
            let mut flooding = Box::pin(async move {
                client.write(flood).await;
                client
            });
            tokio::select! {
                client = &mut flooding => held.push(client),
                () = siege.goes_on() => {}
            }
        }
        held
    };
    let held = siege.within_memory(64 * 1024, attack).await;
    drop(held);
    siege.ends().await;
}
