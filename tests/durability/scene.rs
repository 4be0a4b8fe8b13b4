//! What every row of bad weather begins with: an upstream that answers, callers who wait,
//! and proxies on a store.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::harness::{
    Answer, Handed, Proxy, Request, ScriptedUpstream, Starting, command, eventually,
};

/// Settings of the environment.
pub type Env<'a> = [(&'a str, &'a str)];

/// An upstream that answers every job with its body. Dropping it ends it.
pub struct Scene {
    url: String,
    seen: Arc<Mutex<HashMap<Value, u32>>>,
    _task: JoinSet<()>,
}

impl Scene {
    pub async fn new() -> Self {
        let mut upstream = ScriptedUpstream::start().await;
        let url = upstream.url();
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let book = Arc::clone(&seen);
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let call = upstream.next_ever().await;
                let mut seen = book.lock().unwrap_or_else(PoisonError::into_inner);
                for id in call.ids() {
                    *seen.entry(id).or_default() += 1;
                }
                drop(seen);
                call.echo();
            }
        });
        Self {
            url,
            seen,
            _task: task,
        }
    }

    /// How often a job reached the upstream.
    pub fn seen(&self, id: u64) -> u32 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&Value::from(id)).copied().unwrap_or_default()
    }

    /// A process with this store, which may become ready or not.
    pub fn starting(&self, store: &str, env: &Env<'_>) -> Starting {
        self.starting_by(command(), store, env)
    }

    /// The same by this command, which is the binary's or ends in it.
    pub fn starting_by(&self, command: Command, store: &str, env: &Env<'_>) -> Starting {
        let own = [
            ("MICROBATCH_LATER__STORE", store),
            ("MICROBATCH_LATER__MAX_WAIT", "5ms"),
        ];
        let flags = [
            ["--max-wait", "1ms"],
            ["--upstream-timeout", "1s"],
            ["--log-level", "info"],
        ];
        let flags = flags.concat();
        Starting::by(command, &self.url, &flags, &[&own, env].concat())
    }

    pub async fn start(&self, store: &str, env: &Env<'_>) -> Proxy {
        self.starting(store, env).ready().await
    }

    /// A process that is told of files over its limit, and not ended by the signal that says so.
    pub async fn start_limited(&self, store: &str) -> Proxy {
        let binary = command();
        let mut limited = Command::new("sh");
        limited.env_clear().stdin(Stdio::null()).kill_on_drop(true);
        limited.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        limited.arg(binary.as_std().get_program());
        self.starting_by(limited, store, &[]).ready().await
    }

    /// What a process that must not become ready said as it ended: all of its log.
    pub async fn refused(&self, store: &str, env: &Env<'_>) -> String {
        let mut starting = self.starting(store, env);
        let code = starting.exit_code().await;
        let _end = starting.log.last().await;
        let log = starting.log.to_string();
        assert!(code.is_some_and(|it| it != 0), "{code:?}: {log}");
        log
    }
}

/// A job, with a body of so many bytes.
pub fn job(id: u64, bytes: usize) -> String {
    format!(r#"{{"id":{id},"body":"{}"}}"#, "b".repeat(bytes))
}

fn result(id: u64, bytes: usize) -> String {
    format!(r#"{{"id":{id},"result":"{}"}}"#, "b".repeat(bytes))
}

/// Hands a job in, and sees it finished.
pub async fn done(proxy: &Proxy, id: u64, bytes: usize) -> Handed {
    let handed = proxy.hand_in(&job(id, bytes)).await;
    is_done(proxy, &handed, id, bytes).await;
    handed
}

/// It is, or will be.
pub async fn is_done(proxy: &Proxy, handed: &Handed, id: u64, bytes: usize) {
    proxy.finished(handed).await.is_result(&result(id, bytes));
}

/// A caller who waits gets its answer, whatever the store is like.
pub async fn callers_notice_nothing(proxy: &Proxy, id: u64) {
    proxy.post(job(id, 3)).await.is_result(&result(id, 3));
}

/// The store is away: for whoever hands in, and for whoever comes back.
pub async fn is_away(proxy: &Proxy, handed: &Handed, id: u64) {
    let refused = proxy.send(Request::later(job(id, 3))).await;
    unavailable(&refused);
    unavailable(&proxy.fetch(handed).await);
    unavailable(&proxy.delete(handed).await);
    callers_notice_nothing(proxy, id + 1).await;
}

/// 503 `store-unavailable`, in whichever of its two kinds.
#[track_caller]
pub fn unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["code"], "store-unavailable", "{answer:?}");
    assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
}

/// It works again after a while, by itself; a job that was handed in and is done.
pub async fn heals(proxy: &Proxy, id: u64) -> Handed {
    let handed = eventually("the store to be back", || async {
        let answer = proxy.send(Request::later(job(id, 3))).await;
        (answer.status == 202).then(|| Handed::of(&answer))
    })
    .await;
    is_done(proxy, &handed, id, 3).await;
    handed
}
