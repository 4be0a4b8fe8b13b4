//! A node that speaks JSON-RPC (ganache), by ethers and web3.py.

use serde_json::Value;

use crate::install::Peers;
use crate::service::Service;
use crate::turns::{PATIENT, Turns};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ethereum() {
    let Some(peers) = Peers::of("ethereum").await else {
        return;
    };
    let service = Service::start(&peers, "/", |port| peers.serve("serve.mjs", port)).await;
    let (peers, service) = (&peers, &service);
    let turns = Turns {
        peers,
        service,
        set_up: "json-rpc",
        settings: PATIENT,
    };

    let ethers = turns.of("ethers.mjs").await;
    for callers in ethers.as_array().expect("one for each way of ethers") {
        for (number, caller) in (0..).zip(callers.as_array().expect("callers")) {
            // What the node refuses is an error of the protocol, and its own words.
            assert_is_error(&caller[3]);
            assert_is_error(&caller[4]);
            assert_eq!(
                caller[5],
                Value::from((1000 + number).to_string()),
                "{caller}"
            );
        }
    }

    let web3 = turns.of("web3_py.py").await;
    for (number, caller) in (0..).zip(web3.as_array().expect("callers")) {
        assert_is_error(&caller[3]);
        assert_is_error(&caller[4]);
        assert_eq!(caller[5], Value::from(1000 + number), "{caller}");
    }
}

fn assert_is_error(answer: &Value) {
    assert!(answer["code"].is_i64(), "{answer}");
    assert!(answer["message"].is_string(), "{answer}");
}
