//! Which servers are taken, and what is said of the others.

use std::path::Path;
use std::process::Command;

use super::server::{Server, free_port};
use super::*;
use crate::later::redis::OpenError;

/// What is said of it.
async fn refused(options: Options) -> String {
    match Redis::connect(options, &SETTINGS).await {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    }
}

fn lasting(url: &str) -> Options {
    Options {
        allow_volatile: false,
        ..options(url)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_would_lose_jobs_is_refused() {
    if !are_there() {
        return;
    }
    let server = Server::start(&[]);
    let volatile = refused(lasting(&server.url)).await;
    assert!(volatile.contains("set appendonly yes"), "{volatile}");
    server.say(&["config", "set", "appendonly", "yes"]);
    server.say(&["config", "set", "maxmemory-policy", "allkeys-lru"]);
    let evicts = refused(lasting(&server.url)).await;
    assert!(evicts.contains("maxmemory-policy allkeys-lru"), "{evicts}");
    connect(&options(&server.url)).await;
    server.say(&["config", "set", "maxmemory-policy", "noeviction"]);
    connect(&lasting(&server.url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_told_how() {
    if !are_there() {
        return;
    }
    let server = Server::start(&["--requirepass", "secret"]);
    let with = |login: &str| options(&server.url.replace("//", &format!("//{login}@")));
    for url in [
        options(&server.url),
        with(":wrong-one"),
        with("nobody:wrong-one"),
    ] {
        let said = refused(url).await;
        assert!(said.contains("refuses the password"), "{said}");
        assert!(said.contains(&server.port.to_string()), "{said}");
        assert!(!said.contains("wrong-one"), "{said}");
    }
    connect(&with(":secret")).await;
    // A user who may do too little.
    let cli = |words: &[&str]| server.say(&[&["-a", "secret"], words].concat());
    let may = "acl setuser job on >pw ~{of-job}:* &{of-job}:* +@all -@dangerous +info -zincrby";
    cli(&may.split(' ').collect::<Vec<_>>());
    let of_job = Options {
        prefix: "of-job".to_owned(),
        ..with("job:pw")
    };
    let said = refused(of_job.clone()).await;
    assert!(
        said.contains("ZINCRBY") && said.contains("{of-job}:*"),
        "{said}"
    );
    cli(&["acl", "setuser", "job", "+zincrby", "resetchannels"]);
    let said = refused(of_job.clone()).await;
    assert!(said.contains("SUBSCRIBE"), "{said}");
    cli(&["acl", "setuser", "job", "&{of-job}:*"]);
    let store = connect(&of_job).await;
    accept(&store, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_server_is_told() {
    if !are_there() {
        return;
    }
    let port = free_port();
    let said = refused(options(&format!("redis://me:secret@127.0.0.1:{port}/3"))).await;
    assert!(
        said.contains(&format!("redis://127.0.0.1:{port}/3")),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
    for url in [
        "redis:",
        "http://localhost",
        "redis://localhost/x",
        "rubbish",
    ] {
        let said = refused(options(url)).await;
        assert!(said.contains("is no URL of a Redis"), "{url}: {said}");
    }
    // One that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options {
        timeout: Duration::from_millis(200),
        ..options(&format!("redis://{}", silent.local_addr().unwrap()))
    };
    assert!(refused(options).await.contains("has not answered"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_refused() {
    if !are_there() {
        return;
    }
    let port = shared().port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]);
    let said = refused(options(&replica.url)).await;
    assert!(said.contains("is a replica"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_and_a_database_of_its_own() {
    if !are_there() {
        return;
    }
    let server = Server::start(&["--unixsocket", "redis.sock"]);
    let path = server.files.path().join("redis.sock");
    for scheme in ["unix", "redis+unix"] {
        let options = options(&format!("{scheme}://{}?db=5", path.display()));
        let store = connect(&options).await;
        accept(&store, 1).await;
        let said = server.say(&["-n", "5", "keys", &format!("{{{}}}:c:*", options.prefix)]);
        assert!(said.contains(":c:jobs"), "{said}");
    }
    assert_eq!(server.say(&["keys", "*"]), "");
    let nowhere = options(&format!("unix://{}x", path.display()));
    let said = refused(nowhere).await;
    assert!(said.contains("redis.sockx"), "{said}");
}

/// A key and a certificate of it.
fn certificate(files: &Path, name: &str) {
    let subject = "/CN=localhost";
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt"]);
    command.args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    command.args(["-subj", subject, "-addext", "subjectAltName=DNS:localhost"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    command.args([
        "-keyout",
        &format!("{name}.key"),
        "-out",
        &format!("{name}.pem"),
    ]);
    let made = command.current_dir(files).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_the_same_as_elsewhere() {
    if !are_there() {
        return;
    }
    let files = tempfile::tempdir().unwrap();
    certificate(files.path(), "own");
    certificate(files.path(), "other");
    let path = |name: &str| files.path().join(name).display().to_string();
    let port = free_port();
    let (certificate, key) = (path("own.pem"), path("own.key"));
    let tls_port = port.to_string();
    let arguments = ["--tls-port", &tls_port, "--tls-auth-clients", "no"];
    let files_of_it = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    let server = Server::start(&[&arguments[..], &files_of_it].concat());
    let url = format!("rediss://localhost:{port}");
    let trusting = |name: &str| Options {
        ca: Some(files.path().join(name)),
        ..options(&url)
    };
    let store = connect(&trusting("own.pem")).await;
    accept(&store, 1).await;
    for untrusted in [trusting("other.pem"), options(&url)] {
        let said = refused(untrusted).await;
        assert!(
            said.contains("no TLS with") && said.contains("later.ca"),
            "{said}"
        );
    }
    // Its name is not that of the certificate.
    let by_number = Options {
        url: format!("rediss://127.0.0.1:{port}"),
        ..trusting("own.pem")
    };
    assert!(refused(by_number).await.contains("no TLS with"));
    for (name, expected) in [("none.pem", "none.pem"), ("own.key", "no certificate")] {
        let said = refused(trusting(name)).await;
        assert!(
            said.contains("later.ca") && said.contains(expected),
            "{said}"
        );
    }
    // Each for the other.
    let plain = Options {
        url: format!("rediss://localhost:{}", server.port),
        timeout: Duration::from_secs(1),
        ..trusting("own.pem")
    };
    assert!(refused(plain).await.contains("neither (redis://)"));
    let error = Redis::connect(options(&format!("redis://localhost:{port}")), &SETTINGS).await;
    assert!(matches!(error, Err(OpenError::Lost { .. })), "{error:?}");
}
