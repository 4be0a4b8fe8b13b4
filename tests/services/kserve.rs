//! KServe's Python model server, by its own client.

use crate::install::Peers;
use crate::service::Service;
use crate::turns::{PATIENT, Turns};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kserve() {
    let Some(peers) = Peers::of("kserve").await else {
        return;
    };
    let ready = "/v2/health/ready";
    let service = Service::start(&peers, ready, |port| peers.serve("serve.py", port)).await;
    let (peers, service) = (&peers, &service);
    let all = Turns {
        peers,
        service,
        set_up: "kserve",
        settings: PATIENT,
    }
    .of("client.py")
    .await;
    assert_eq!(all[23]["predictions"][0][0], 46, "{all}");
    assert_eq!(all[36]["status"], 404, "{all}");
    assert_eq!(all[37]["status"], 400, "{all}");
    assert_eq!(all[39]["status"], 500, "{all}");
}
