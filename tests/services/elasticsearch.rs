//! Elasticsearch's official client, before what answers as Elasticsearch does.

use crate::install::Peers;
use crate::service::Service;
use crate::turns::{PATIENT, Turns};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elasticsearch() {
    let Some(peers) = Peers::of("elasticsearch").await else {
        return;
    };
    let ready = "/any/_mget";
    let service = Service::start(&peers, ready, |port| peers.serve("serve.mjs", port)).await;
    let (peers, service) = (&peers, &service);
    let all = Turns {
        peers,
        service,
        set_up: "elasticsearch",
        settings: PATIENT,
    }
    .of("client.mjs")
    .await;
    // Each has the id of its own document, and its own status.
    assert_eq!(all["documents"][23]["n"], 23, "{all}");
    assert_eq!(all["answers"][23]["statusCode"], 201, "{all}");
    assert_eq!(all["answers"][28]["statusCode"], 400, "{all}");
    assert_eq!(all["answers"][29]["statusCode"], 201, "{all}");
}
