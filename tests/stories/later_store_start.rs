//! Sections 7 and 11 of the contract: a store that can't be had is refused at start, with what is
//! wrong, where, and what to do.

use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::{Proxy, Redis, Starting, command, within};

const UPSTREAM: &str = "http://127.0.0.1:9/";

/// How a proxy ends that is not to start by this: its exit code, and what it says.
async fn ended(store: &str, env: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", ""]);
    command.args(["--upstream", UPSTREAM]);
    command.env("MICROBATCH_LATER__STORE", store);
    command.envs(env.iter().copied());
    let output = within("the end of the process", command.output()).await;
    let output = output.expect("the binary starts");
    let said = String::from_utf8(output.stderr).expect("text");
    (output.status.code(), said)
}

/// It is refused, and not as a mistake in the settings; what it says of it.
async fn refused(store: &str, env: &[(&str, &str)]) -> String {
    let (code, said) = ended(store, env).await;
    assert_eq!(code, Some(1), "{said}");
    let said = said.strip_prefix("microbatch: ");
    let said = said.and_then(|it| it.strip_suffix('\n'));
    said.expect("one line").to_owned()
}

/// A proxy that starts by this.
async fn start(store: &str, env: &[(&str, &str)]) -> Proxy {
    let store = [("MICROBATCH_LATER__STORE", store)];
    let lease = [("MICROBATCH_LATER__LEASE", "90s")];
    let env = [&store[..], &lease, env].concat();
    Proxy::start(UPSTREAM, &[], &env).await
}

fn unix(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_refused() {
    let folder = TempDir::new().unwrap();
    let url = unix(&folder.path().join("redis.sock"));
    let said = refused(&url, &[]).await;
    let expected = format!("no Redis can be reached at {url}?db=0 (");
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.ends_with("start it, or mend later.store"), "{said}");
}

#[tokio::test]
async fn a_proxy_whose_store_takes_long_to_open_can_be_stopped() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let env = [
        ("MICROBATCH_LATER__STORE", &*url),
        ("MICROBATCH_LATER__LEASE", "90s"),
    ];
    let mut starting = Starting::by(command(), UPSTREAM, &[], &env);
    let _held = within("somebody who connects", silent.accept())
        .await
        .unwrap();
    starting.signal(Signal::TERM);
    assert_eq!(starting.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_redis_that_may_lose_jobs_is_refused_unless_that_is_allowed() {
    for (settings, what, instead) in [
        (
            ["--appendonly", "no", "--maxmemory-policy", "noeviction"],
            "has appendonly off",
            "set appendonly yes there",
        ),
        (
            ["--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"],
            "has maxmemory-policy allkeys-lru",
            "set noeviction there",
        ),
    ] {
        let Some(redis) = Redis::start(&settings).await else {
            return;
        };
        let said = refused(&redis.url(), &[]).await;
        assert!(said.contains(what) && said.contains(instead), "{said}");
        let way_out = "or later.allow_volatile = true here";
        assert!(said.ends_with(way_out), "{said}");
        let allowed = [("MICROBATCH_LATER__ALLOW_VOLATILE", "true")];
        start(&redis.url(), &allowed).await;
    }
}

#[tokio::test]
async fn a_lease_that_a_call_may_outlast_is_a_mistake() {
    let lease = [("MICROBATCH_LATER__LEASE", "10s")];
    let (code, said) = ended("redis://127.0.0.1:1", &lease).await;
    assert_eq!(code, Some(78), "{said}");
    let expected = "later.lease = 10s (MICROBATCH_LATER__LEASE) is not more than \
                    upstream.timeout = 10s (default): ";
    assert!(said.contains(expected), "{said}");
}

/// What the log's first line says of the settings has the store, and no password.
#[tokio::test]
async fn the_first_line_says_where_records_are_without_a_password() {
    let password = [&Redis::LASTING[..], &["--requirepass", "s3cret"]].concat();
    let Some(redis) = Redis::start(&password).await else {
        return;
    };
    let proxy = start(&format!("{}?pass=s3cret", redis.url()), &[]).await;
    let line = proxy.log.nth("listening", 1).await;
    let expected = format!("later.store=\"{}?pass=***\"", redis.url());
    assert!(line.text("settings").contains(&expected), "{line:?}");
    let config = proxy.admin("GET", "/config").await.text().to_owned();
    assert!(config.contains("?pass=***"), "{config}");
    assert!(!config.contains("s3cret"), "{config}");

    let said = refused(&format!("{}?pass=wr0ng", redis.url()), &[]).await;
    assert!(said.contains("refuses the password"), "{said}");
    assert!(!said.contains("wr0ng"), "{said}");
}

fn sqlite(file: &Path) -> String {
    format!("sqlite:{}", file.display())
}

#[tokio::test]
async fn a_second_process_on_a_file_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = sqlite(&folder.path().join("later.db"));
    let first = start(&store, &[]).await;
    let said = refused(&store, &[]).await;
    assert!(said.starts_with("later.store: "), "{said}");
    assert!(
        said.contains("later.db: another process has it; "),
        "{said}"
    );
    drop(first);
}

#[tokio::test]
async fn a_file_that_can_t_be_made_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str| sqlite(&folder.path().join(name));
    std::fs::create_dir(folder.path().join("directory")).unwrap();
    for (store, what) in [
        (file("none/later.db"), "there is no such directory; make it"),
        (file("directory"), "it is no file; "),
        // Read-only for everybody, root included.
        (sqlite(Path::new("/proc/later.db")), "it can't be written ("),
    ] {
        let said = refused(&store, &[]).await;
        assert!(said.starts_with("later.store: "), "{said}");
        assert!(said.contains(what), "{said}");
    }
}
