//! The sample upstream over a real socket.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

/// A running sample upstream. Dropping it shuts it down.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    url: String,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

pub(super) async fn start(args: Args) -> Running {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = listen.to_string();
    let upstream = bind(Args { listen, ..args }).await.unwrap();
    let address = upstream.local_addr();
    let url = format!("http://{address}/batch");
    let (shutdown, stopped) = oneshot::channel();
    let task = tokio::spawn(upstream.run(async move { drop(stopped.await) }));
    Running {
        address,
        url,
        shutdown,
        task,
    }
}

impl Running {
    async fn post(&self, batch: impl Into<reqwest::Body>) -> (StatusCode, String) {
        let request = reqwest::Client::new().post(&self.url).body(batch);
        let response = request.send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }
}

fn batch(n: usize) -> String {
    let jobs: Vec<_> = (0..n)
        .map(|id| format!(r#"{{"id":{id},"body":"job {id}"}}"#))
        .collect();
    format!("[{}]", jobs.join(","))
}

#[tokio::test]
async fn a_batch_is_echoed_byte_for_byte() {
    let upstream = start(Args::default()).await;
    let batch = r#"[{"id":"\u0061","body":{"n": 1.50, "n":12345678901234567890}}, {"id":7}]"#;
    let (status, answer) = upstream.post(batch).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        answer,
        r#"[{"id":"\u0061","result":{"n": 1.50, "n":12345678901234567890}},{"id":7,"result":null}]"#,
    );
}

#[tokio::test]
async fn shuffled_results_are_the_same_set_in_another_order() {
    let in_order = start(Args::default()).await.post(batch(100)).await.1;
    let args = Args {
        shuffle: true,
        seed: Some(1),
        ..Args::default()
    };
    let shuffled = start(args).await.post(batch(100)).await.1;
    assert_ne!(shuffled, in_order);
    let set = |answer: &str| -> BTreeSet<String> {
        let elements: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(answer).unwrap();
        elements
            .iter()
            .map(|element| element.get().to_owned())
            .collect()
    };
    assert_eq!(set(&shuffled).len(), 100);
    assert_eq!(set(&shuffled), set(&in_order));
}

#[tokio::test]
async fn a_seed_repeats_the_faults_of_the_same_batches() {
    let rehearse = async || {
        let args = Args {
            drop_rate: 0.5,
            shuffle: true,
            seed: Some(9),
            ..Args::default()
        };
        let upstream = start(args).await;
        [
            upstream.post(batch(20)).await,
            upstream.post(batch(20)).await,
        ]
    };
    let first = rehearse().await;
    assert_eq!(first, rehearse().await);
    assert_ne!(first[0], first[1]);
}

#[tokio::test]
async fn faults_at_rate_one_reach_every_job() {
    let dropping = start(Args {
        drop_rate: 1.0,
        ..Args::default()
    })
    .await;
    assert_eq!(
        dropping.post(batch(10)).await,
        (StatusCode::OK, "[]".to_owned())
    );

    let erring = start(Args {
        job_error_rate: 1.0,
        ..Args::default()
    })
    .await;
    let expected = r#"[{"id":0,"error":"sample error"},{"id":1,"error":"sample error"}]"#;
    assert_eq!(
        erring.post(batch(2)).await,
        (StatusCode::OK, expected.to_owned())
    );

    let failing = start(Args {
        fail_rate: 1.0,
        ..Args::default()
    })
    .await;
    assert_eq!(
        failing.post(batch(10)).await.0,
        StatusCode::INTERNAL_SERVER_ERROR
    );

    let status = StatusCode::SERVICE_UNAVAILABLE;
    let busy = start(Args {
        fail_rate: 1.0,
        status,
        ..Args::default()
    })
    .await;
    assert_eq!(busy.post(batch(10)).await.0, status);
}

#[tokio::test]
async fn a_batch_over_max_batch_is_answered_413() {
    let upstream = start(Args {
        max_batch: NonZeroUsize::new(3),
        ..Args::default()
    })
    .await;
    assert_eq!(upstream.post(batch(3)).await.0, StatusCode::OK);
    let (status, sentence) = upstream.post(batch(4)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(sentence, "A batch of 4 jobs is over --max-batch 3.\n");
}

#[tokio::test]
async fn what_is_no_batch_is_answered_400() {
    let upstream = start(Args::default()).await;
    for body in ["", "{}", "[1]", "[{\"body\":1}]", "[{\"id\":1}] x"] {
        let (status, sentence) = upstream.post(body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(
            sentence.starts_with("A batch is a JSON array of"),
            "{sentence}"
        );
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_405_and_404() {
    let upstream = start(Args::default()).await;
    let get = reqwest::get(&upstream.url).await.unwrap();
    assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
    let elsewhere = reqwest::get(format!("{}es", upstream.url)).await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_batch_of_many_megabytes_is_taken() {
    let upstream = start(Args::default()).await;
    let text = "x".repeat(8 * 1024 * 1024);
    let (status, answer) = upstream
        .post(format!(r#"[{{"id":1,"body":"{text}"}}]"#))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer == format!(r#"[{{"id":1,"result":"{text}"}}]"#));
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let listen = taken.local_addr().unwrap();
    let error = bind(Args {
        listen: listen.to_string(),
        ..Args::default()
    })
    .await
    .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(
        error
            .to_string()
            .contains(&format!("cannot listen on {listen}")),
        "{error}"
    );
}

#[tokio::test]
async fn a_batch_under_way_is_answered_after_shutdown() {
    let Running {
        address,
        shutdown,
        task,
        ..
    } = start(Args::default()).await;
    // Given a request whose body is awaited: that is what `100 Continue` says.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        "POST /batch HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut interim).await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100 "));

    // When told to shut down, it takes notice and still waits for the body.
    shutdown.send(()).unwrap();
    tokio::task::yield_now().await;
    assert!(!task.is_finished());

    // When that arrives, the batch is answered, the connection closed and the server done.
    stream.write_all(br#"[{"id":1}]"#).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(r#"[{"id":1,"result":null}]"#), "{answer}");
    task.await.unwrap().unwrap();
}
