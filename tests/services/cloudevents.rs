//! A sink of CloudEvents that reads batches by the SDK, and emitters of the same.

use crate::install::Peers;
use crate::service::Service;
use crate::turns::{PATIENT, Turns};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudevents() {
    let Some(peers) = Peers::of("cloudevents").await else {
        return;
    };
    let service = Service::start(&peers, "/", |port| peers.serve("serve.mjs", port)).await;
    let (peers, service) = (&peers, &service);
    let stored = Turns {
        peers,
        service,
        set_up: "cloudevents",
        settings: PATIENT,
    }
    .of("client.mjs")
    .await;
    assert_eq!(stored.as_array().map(Vec::len), Some(36), "{stored}");
}
