//! Section 12 of the contract: certificates that change, that don't do, and that end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::certificates::{Authority, Like, Pair, env, s_client, shown};
use crate::harness::{Line, Proxy, Scrape, ScriptedUpstream, Signal, command, eventually, within};
use crate::tls_listeners::Served;

/// The common name that a new connection is shown.
async fn name(authority: &Authority, proxy: &Proxy) -> Option<String> {
    let said = s_client(authority, proxy.jobs_addr, &[]).await?;
    let subject = said
        .stdout
        .lines()
        .find(|line| line.starts_with("subject="));
    let subject = subject.unwrap_or_else(|| panic!("no subject in {said:?}"));
    let (_, name) = subject.split_once("CN").expect("a common name");
    Some(name.trim_start_matches([' ', '=']).to_owned())
}

async fn reloads(proxy: &Proxy, result: &str) -> f64 {
    let sample = format!("tls_reloads_total{{result=\"{result}\"}}");
    Scrape::of(proxy).await.get(&sample)
}

/// A pair in a directory of its own, as Kubernetes lays down a version of a secret.
fn lay_down(authority: &Authority, version: &str, like: Like) {
    let folder = authority.folder().join(version);
    fs::create_dir(&folder).unwrap();
    let pair = authority.pair(version, like);
    fs::rename(&pair.cert, folder.join("tls.crt")).unwrap();
    fs::rename(&pair.key, folder.join("tls.key")).unwrap();
}

/// Swaps the link to the version that is in force.
fn swap(authority: &Authority, version: &str) {
    let at = |name: &str| authority.folder().join(name);
    symlink(version, at("..tmp")).unwrap();
    fs::rename(at("..tmp"), at("..data")).unwrap();
}

fn secret(authority: &Authority) -> Pair {
    let at = |name: &str| authority.folder().join(name);
    lay_down(authority, "first", Like::Good);
    swap(authority, "first");
    for file in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(file), at(file)).unwrap();
    }
    Pair {
        cert: at("tls.crt"),
        key: at("tls.key"),
    }
}

#[tokio::test]
async fn a_secret_that_kubernetes_swaps_is_in_force_for_new_connections() {
    let authority = Authority::new();
    let given = secret(&authority).of_jobs();
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[], &env(&given)).await;
    let Some(first) = name(&authority, &proxy).await else {
        return;
    };
    assert_eq!(first, "first");
    // One that is open goes on.
    let mut open = tokio::process::Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-connect",
            &proxy.jobs_addr.to_string(),
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut write = open.stdin.take().unwrap();
    let mut read = open.stdout.take().unwrap();
    let mut ask = async || {
        let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
        write.write_all(request).await.unwrap();
        let mut said = [0; 15];
        within("an answer", read.read_exact(&mut said))
            .await
            .unwrap();
        let mut rest = Vec::new();
        while !rest.ends_with(b"\r\n\r\nok\n") && !rest.ends_with(b"\r\n\r\nalive\n") {
            rest.push(within("the rest", read.read_u8()).await.unwrap());
        }
        String::from_utf8_lossy(&said).into_owned()
    };
    assert_eq!(ask().await, "HTTP/1.1 200 OK");
    lay_down(&authority, "second", Like::Good);
    swap(&authority, "second");
    proxy.signal(Signal::HUP);
    eventually("the second", || async {
        (name(&authority, &proxy).await? == "second").then_some(())
    })
    .await;
    assert_eq!(ask().await, "HTTP/1.1 200 OK");
    assert_eq!(reloads(&proxy, "ok").await, 1.0);
    // Without being told so too, if ten seconds later.
    lay_down(&authority, "third", Like::Good);
    swap(&authority, "third");
    eventually("the third", || async {
        (name(&authority, &proxy).await? == "third").then_some(())
    })
    .await;
    assert_eq!(reloads(&proxy, "ok").await, 2.0);
    assert_eq!(reloads(&proxy, "failed").await, 0.0);
}

#[tokio::test]
async fn a_broken_pair_is_told_once_and_the_last_good_one_stays() {
    let served = Served::start(Like::Good).await;
    let Served {
        authority,
        pair,
        proxy,
    } = &served;
    let other = authority.pair("other", Like::Good);
    fs::copy(&other.cert, &pair.cert).unwrap();
    proxy.signal(Signal::HUP);
    let failed = |line: &Line| line.message().starts_with("changed files do not do");
    let line = proxy.log.wait_for_nth("a failure", 1, failed).await;
    assert_eq!(line.text("files"), "server.tls");
    let what = line.text("error");
    assert!(
        what.contains("is not the key of the first certificate in"),
        "{what}"
    );
    assert!(what.starts_with(&shown(&pair.key)), "{what}");
    if let Some(name) = name(authority, proxy).await {
        assert_eq!(name, "proxy");
    }
    assert_eq!(reloads(proxy, "failed").await, 1.0);
    // The rest of it: what has come in between is told once.
    fs::write(&pair.key, "").unwrap();
    proxy.signal(Signal::HUP);
    let line = proxy.log.wait_for_nth("another failure", 2, failed).await;
    assert!(line.text("error").ends_with("is empty"), "{line:?}");
    fs::copy(&other.key, &pair.key).unwrap();
    proxy.signal(Signal::HUP);
    proxy.log.nth("changed files are in force", 1).await;
    assert_eq!(proxy.log.count(failed), 2);
    if let Some(name) = name(authority, proxy).await {
        assert_eq!(name, "other");
    }
    assert_eq!(
        (reloads(proxy, "ok").await, reloads(proxy, "failed").await),
        (1.0, 2.0)
    );
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_told_everywhere() {
    for (like, state, least, most) in [
        (Like::EndsIn(3), "ends in 3 days", 3.0, 3.05),
        (Like::Expired, "has ended", -1.01, -1.0),
        (Like::NotYetValid, "is not valid for another", 89.9, 90.0),
    ] {
        let served = Served::start(like).await;
        let file = shown(&served.pair.cert);
        let proxy = &served.proxy;
        let line = proxy
            .log
            .nth("a certificate is not valid for long", 1)
            .await;
        assert_eq!(line.text("file"), file);
        assert!(line.text("state").starts_with(state), "{line:?}");
        let sample = format!("tls_certificate_expiry_seconds{{file=\"{file}\"}}");
        let days = Scrape::of(proxy).await.get(&sample) / 86_400.0;
        assert!(least <= days && days <= most, "{like:?}: {days}");
        let advice = proxy.admin("GET", "/advice").await.json();
        let said = advice.as_array().unwrap().iter();
        let said: Vec<_> = said.filter_map(|it| it["text"].as_str()).collect();
        let about = format!("`{file}` {state}");
        assert!(said.iter().any(|it| it.contains(&about)), "{said:?}");
    }
    let served = Served::start(Like::Good).await;
    let advice = served.proxy.admin("GET", "/advice").await.text().to_owned();
    assert!(!advice.contains("certificate"), "{advice}");
}

/// What `microbatch` says of these settings, and its exit code.
async fn told(by: &str, given: &[(&'static str, String)]) -> (Option<i32>, String) {
    let mut command = command();
    command.args([
        by,
        "--upstream",
        "http://127.0.0.1:9/",
        "--listen",
        "127.0.0.1:0",
    ]);
    command.args(["--admin-listen", "127.0.0.1:0"]);
    command.envs(env(given));
    let output = within("its end", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[tokio::test]
async fn check_and_serve_tell_all_that_is_wrong_with_the_files() {
    let authority = Authority::new();
    let [one, other] = ["one", "other"].map(|name| authority.pair(name, Like::Good));
    let mixed = Pair {
        cert: one.cert.clone(),
        key: other.key.clone(),
    };
    let gone = Pair {
        cert: authority.folder().join("gone.crt"),
        key: one.key.clone(),
    };
    let given = [mixed.of_jobs(), gone.of_admin()].concat();
    for by in ["check", "serve"] {
        let (code, said) = told(by, &given).await;
        assert_eq!(code, Some(78), "{by}: {said}");
        let jobs = format!("server.tls: {}: is not the key", shown(&mixed.key));
        let admin = format!("admin.tls: {}: can't be read", shown(&gone.cert));
        assert!(
            said.contains(&jobs) && said.contains(&admin),
            "{by}: {said}"
        );
    }
    let (code, said) = told("check", &one.of_jobs()).await;
    assert_eq!(code, Some(0), "{said}");
    let over = authority.pair("over", Like::Expired);
    let (code, said) = told("check", &over.of_jobs()).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("warning: the certificate in ") && said.contains("has ended"),
        "{said}"
    );
}

#[tokio::test]
async fn half_of_a_pair_is_a_mistake() {
    let authority = Authority::new();
    let pair = authority.pair("one", Like::Good);
    let client_ca = shown(&authority.root());
    for (given, said) in [
        (
            vec![pair.of_jobs()[0].clone()],
            "has no key; name its private key with server.tls.key",
        ),
        (
            vec![pair.of_jobs()[1].clone()],
            "has no certificate; name it with server.tls.cert",
        ),
        (
            vec![pair.of_admin()[0].clone()],
            "has no key; name its private key with admin.tls.key",
        ),
        (
            vec![pair.of_admin()[1].clone()],
            "has no certificate; name it with admin.tls.cert",
        ),
        (
            vec![("MICROBATCH_SERVER__TLS__CLIENT_CA", client_ca.clone())],
            "asks for nothing without TLS; name a certificate with server.tls.cert",
        ),
        (
            vec![("MICROBATCH_ADMIN__TLS__CLIENT_CA", client_ca)],
            "asks for nothing without TLS; name a certificate with admin.tls.cert",
        ),
    ] {
        let (code, told) = told("check", &given).await;
        assert_eq!(code, Some(78), "{told}");
        assert!(told.contains(said), "{told}");
    }
}
