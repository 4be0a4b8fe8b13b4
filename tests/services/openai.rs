//! LitServe's OpenAI-shaped embeddings, by the official SDKs for Python and Node.

use crate::install::Peers;
use crate::service::Service;
use crate::turns::{PATIENT, Turns};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai() {
    let Some(peers) = Peers::of("openai").await else {
        return;
    };
    let service = Service::start(&peers, "/health", |port| peers.serve("serve.py", port)).await;
    let (peers, service) = (&peers, &service);
    for client in ["client.py", "client.mjs"] {
        let all = Turns {
            peers,
            service,
            set_up: "openai-embeddings",
            settings: PATIENT,
        }
        .of(client)
        .await;
        let answers = all["answers"].as_array().expect("a list");
        assert_eq!(answers.len(), 37, "{all}");
        // Texts, one of them alone and two together, keep their places; a refusal is its own caller's.
        assert_eq!(answers[24]["vectors"][1][0], 1, "{all}");
        assert_eq!(answers[36]["status"], 422, "{all}");
        // All that the model counted is counted to somebody.
        assert!(all["tokens"].as_u64() > Some(0), "{all}");
    }
}
