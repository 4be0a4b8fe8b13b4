//! CouchDB's `_bulk_docs`, as express-pouchdb serves it, by PouchDB.

use crate::install::Peers;
use crate::service::Service;
use crate::turns::{PATIENT, Turns};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn couchdb() {
    let Some(peers) = Peers::of("couchdb").await else {
        return;
    };
    let service = Service::start(&peers, "/", |port| peers.serve("serve.cjs", port)).await;
    let (peers, service) = (&peers, &service);
    let all = Turns {
        peers,
        service,
        set_up: "couchdb",
        settings: PATIENT,
    }
    .of("client.cjs")
    .await;
    assert_eq!(all["written"][16][1]["id"], "second 0", "{all}");
    assert_eq!(all["refused"][0]["name"], "conflict", "{all}");
    assert_eq!(all["refused"][16]["status"], 400, "{all}");
    assert_eq!(all["documents"].as_array().map(Vec::len), Some(40), "{all}");
}
