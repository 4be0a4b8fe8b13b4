//! Apollo Server with array batching, by graphql-request.

use crate::install::Peers;
use crate::service::Service;
use crate::turns::{PATIENT, Turns};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graphql() {
    let Some(peers) = Peers::of("graphql").await else {
        return;
    };
    let ready = "/?query=%7B__typename%7D";
    let service = Service::start(&peers, ready, |port| peers.serve("serve.mjs", port)).await;
    let (peers, service) = (&peers, &service);
    let all = Turns {
        peers,
        service,
        set_up: "graphql",
        settings: PATIENT,
    }
    .of("client.mjs")
    .await;
    let together = all["together"].as_array().expect("a list");
    assert_eq!(
        together[23]["data"]["greeting"], "Hello, caller 23",
        "{all}"
    );
    // Each mutation was made once.
    assert!(
        together[24..32].iter().all(|it| it["data"]["add"] == 1),
        "{all}"
    );
    // Whose query is at fault is told so, and nobody else.
    let codes = together[32..]
        .iter()
        .map(|it| &it["errors"][0]["extensions"]["code"]);
    assert_eq!(
        codes.collect::<Vec<_>>(),
        [
            "BROKEN",
            "FORBIDDEN",
            "GRAPHQL_VALIDATION_FAILED",
            "GRAPHQL_PARSE_FAILED",
            "BAD_USER_INPUT"
        ]
    );
    let refused = all["refused"].as_array().expect("a list");
    assert!(refused.iter().all(|it| it["status"] == 400), "{all}");
    let alone = all["alone"].as_array().expect("a list");
    let statuses = alone.iter().map(|it| &it["status"]);
    assert_eq!(statuses.collect::<Vec<_>>(), [400, 403, 200]);
}
