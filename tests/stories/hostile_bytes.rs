//! Callers whose bytes are cut, wrong, or far too many, and the others who are
//! served meanwhile.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::harness::{RawClient, Siege};

/// A job of its own in a whole request, by length or in chunks.
fn request(id: &str, chunked: bool) -> String {
    let head = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let job = format!(r#"{{"id":"{id}","body":[1,2]}}"#);
    let length = job.len();
    match chunked {
        false => format!("{head}Content-Length: {length}\r\n\r\n{job}"),
        true => {
            let (one, other) = job.split_at(9);
            let chunks = format!("9\r\n{one}\r\n{:x}\r\n{other}\r\n0\r\n\r\n", length - 9);
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}")
        }
    }
}

fn result(id: &str) -> String {
    format!(r#"{{"id":"{id}","result":[1,2]}}"#)
}

/// The proxy refused, or closed without a word.
fn refused(said: &[u8]) {
    let said = String::from_utf8_lossy(said);
    let refused = said.is_empty() || said.starts_with("HTTP/1.1 4");
    assert!(refused && !said.contains("HTTP/1.1 2"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_cut_at_every_byte() {
    let siege = Siege::of("cut at every byte", &[], &[]).await;
    let attack = async {
        for chunked in [false, true] {
            let length = request("cut at 000 half", chunked).len();
            for cut in 0..=length {
                let id = format!("cut at {cut:03} {}", if chunked { "chnk" } else { "whol" });
                let whole = request(&id, chunked);
                assert_eq!(whole.len(), length);
                // Closed.
                let mut client = siege.raw().await;
                client.write(&whole[..cut]).await;
                drop(client);
                // Half closed.
                let id = id.replace("cut", "end");
                let mut client = siege.raw().await;
                client.write(&request(&id, chunked)[..cut]).await;
                client.half_close().await;
                let said = client.until_closed().await;
                match cut == length && said.starts_with(b"HTTP/1.1 200 ") {
                    true => assert!(said.ends_with(result(&id).as_bytes()), "{said:?}"),
                    false => refused(&said),
                }
            }
        }
    };
    siege.during(attack).await;
    for chunked in ["whol", "chnk"] {
        let length = request("cut at 000 whol", chunked == "chnk").len();
        for cut in 0..=length {
            for kind in ["cut", "end"] {
                let seen = siege.seen(&format!("{kind} at {cut:03} {chunked}"));
                assert!(seen <= u32::from(cut == length), "{cut}: {seen}");
            }
        }
    }
    siege.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_tls_on_the_plain_port() {
    let siege = Siege::of("garbage", &[], &[]).await;
    let mut random = StdRng::seed_from_u64(7);
    // The start of a ClientHello: record, version, length, handshake.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let attack = async {
        for n in 0..300 {
            let mut noise: Vec<u8> = (0..n * 10).map(|_| random.random()).collect();
            if n % 3 == 0 {
                noise.splice(0..0, *hello);
            }
            let mut client = siege.raw().await;
            client.write(&noise).await;
            if n % 2 == 0 {
                drop(client);
                continue;
            }
            // As far as it goes, it could become a head.
            client.end().await;
            refused(&client.until_closed().await);
        }
    };
    siege.during(attack).await;
    siege.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_beyond_measure() {
    let siege = Siege::of("huge heads", &[], &[]).await;
    let million = "a".repeat(1 << 20);
    let start = "POST /jobs HTTP/1.1\r\nHost: localhost\r\n";
    let job = "Content-Length: 8\r\n\r\n{\"id\":1}";
    let heads = [
        format!("{start}X-Huge: {million}\r\n{job}"),
        format!("{start}{million}: 1\r\n{job}"),
        format!("{start}{}{job}", "X-Many: 1\r\n".repeat(10_000)),
        format!("POST /jobs?{million} HTTP/1.1\r\nHost: localhost\r\n{job}"),
        format!("{million} /jobs HTTP/1.1\r\nHost: localhost\r\n{job}"),
        format!("POST /jobs HTTP/1.1 {million}\r\nHost: localhost\r\n{job}"),
    ];
    let mut attack = JoinSet::new();
    for head in heads.iter().cycle().take(10 * heads.len()) {
        let (addr, head) = (siege.addr(), head.clone());
        attack.spawn(async move {
            let (mut writer, mut reader) = RawClient::two_handed(addr).await;
            let ((), said) = tokio::join!(writer.write(head), reader.until_closed());
            refused(&said);
        });
    }
    siege
        .within_memory(128 * 1024, siege.during(attack.join_all()))
        .await;
    siege.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_in_chunks_of_one_byte() {
    const MANY: usize = 4;
    let siege = Siege::of("tiny chunks", &[], &[]).await;
    let id = |n| format!("tiny {n:02}");
    let job = |n| format!(r#"{{"id":"{}","body":"{}"}}"#, id(n), "x".repeat(20_000));
    let attack = async {
        let mut clients = Vec::new();
        for n in 0..MANY {
            let mut client = siege.raw().await;
            let chunks: String = job(n).chars().map(|c| format!("1\r\n{c}\r\n")).collect();
            client.post("Transfer-Encoding: chunked\r\n", chunks).await;
            clients.push(client);
        }
        for (n, client) in clients.iter_mut().enumerate() {
            client.write("0\r\n\r\n").await;
            let answer = client.answer().await;
            let result = job(n).replace("\"body\"", "\"result\"");
            answer.is_result(&result);
        }
    };
    // Many times less than a piece of memory for each chunk would take.
    let bound = MANY as u64 * 400;
    siege.within_memory(bound, siege.during(attack)).await;
    siege.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunk_extensions_and_trailers_without_measure() {
    let siege = Siege::of("chunk extensions", &[], &[]).await;
    let long = "x".repeat(1 << 20);
    let bodies = [
        format!("8;{long}\r\n{{\"id\":1}}\r\n0\r\n\r\n"),
        format!("8;a=\"{long}"),
        "1;ext=some-extension\r\n \r\n".repeat(20_000) + "0\r\n\r\n",
        format!("8\r\n{{\"id\":1}}\r\n0\r\nX-T: {long}\r\n\r\n"),
        format!(
            "8\r\n{{\"id\":1}}\r\n0\r\n{}\r\n",
            "X-T: 1\r\n".repeat(10_000)
        ),
    ];
    let mut attack = JoinSet::new();
    for body in bodies.iter().cycle().take(5 * bodies.len()) {
        let (addr, body) = (siege.addr(), body.clone());
        attack.spawn(async move {
            let (mut writer, mut reader) = RawClient::two_handed(addr).await;
            let sent = writer.post("Connection: close\r\nTransfer-Encoding: chunked\r\n", body);
            let ((), said) = tokio::join!(sent, reader.until_closed());
            refused(&said);
        });
    }
    siege
        .within_memory(128 * 1024, siege.during(attack.join_all()))
        .await;
    siege.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_that_lie() {
    let siege = Siege::impatient("lying lengths").await;
    let job = r#"{"id":"liar"}"#;
    let attack = async {
        // Too long: nothing more comes, or the end does.
        let mut waiting = Vec::new();
        for _ in 0..20 {
            let mut client = siege.raw().await;
            client.post("Content-Length: 14\r\n", job).await;
            waiting.push(client);
            let mut ending = siege.raw().await;
            ending.post("Content-Length: 14\r\n", job).await;
            ending.half_close().await;
            refused(&ending.until_closed().await);
            // Too short: what is left is no request.
            let mut client = siege.raw().await;
            client.post("Content-Length: 12\r\n", job).await;
            let answer = client.answer().await;
            answer.problem(400, "malformed-json", "no");
            client.write("\r\n\r\n").await;
            refused(&client.until_closed().await);
            let mut client = siege.raw().await;
            let length = format!("Content-Length: {}\r\n", job.len());
            client.post(&length, format!("{job}{job}\r\n\r\n")).await;
            client
                .answer()
                .await
                .is_result(r#"{"id":"liar","result":null}"#);
            refused(&client.until_closed().await);
        }
        for client in &mut waiting {
            let answer = client.answer().await;
            answer.problem(408, "read-timeout", "no");
        }
    };
    siege.during(attack).await;
    assert_eq!(siege.seen("liar"), 20);
    siege.ends().await;
}
