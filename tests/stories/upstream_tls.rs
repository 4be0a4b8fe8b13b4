//! Section 12 of the contract: an `https` upstream, what it is verified by, and what it is shown.

use std::fs;
use std::path::PathBuf;

use rcgen::date_time_ymd;
use tempfile::TempDir;
use tokio_rustls::rustls::ServerConfig;

use crate::harness::issued::{Authority, Pair};
use crate::harness::{
    Caller, Play, Proxy, RawUpstream, Request, ScriptedUpstream, Signal, Starting, command,
};

const JOB: &str = r#"{"id":"a"}"#;

const CA: &str = "MICROBATCH_UPSTREAM__TLS__CA";
const CERT: &str = "MICROBATCH_UPSTREAM__TLS__CERT";
const KEY: &str = "MICROBATCH_UPSTREAM__TLS__KEY";
const NAME: &str = "MICROBATCH_UPSTREAM__TLS__SERVER_NAME";

const AT_ONCE: [&str; 2] = ["--max-wait", "0"];

/// Files that the proxy reads.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

/// A proxy whose route trusts this authority, with more environment.
async fn trusting(authority: &Authority, url: &str, env: &[(&str, &str)]) -> (Proxy, Files) {
    let files = Files::new();
    let ca = files.write("ca.pem", &authority.pem);
    let env = [&[(CA, &*ca)], env].concat();
    (Proxy::start(url, &AT_ONCE, &env).await, files)
}

/// What is logged of a job that finds nobody whom it could be sent to.
async fn refused(proxy: &Proxy) -> String {
    let answer = proxy.post(JOB).await;
    // Nothing of it is the caller's business.
    answer.problem(502, "upstream-unreachable", "no");
    assert!(!answer.text().contains("TLS"), "{answer:?}");
    let line = proxy.log.nth("batch failed", 1).await;
    line.text("cause").to_owned()
}

/// A job reaches the upstream; the certificate that it was shown.
async fn reaches(proxy: &Proxy, upstream: &mut ScriptedUpstream) -> Option<Vec<u8>> {
    let caller = Caller::spawn(proxy.jobs_addr, Request::job(JOB));
    let call = upstream.next().await;
    let shown = call.certificate.clone();
    call.echo();
    assert_eq!(caller.answer().await.status, 200);
    shown
}

#[tokio::test]
async fn a_private_authority_is_trusted_by_name() {
    let authority = Authority::new("Private CA");
    let pair = authority.issue(&["127.0.0.1", "other.internal"]);
    let mut one = pair.server(None);
    one.alpn_protocols = vec![b"http/1.1".to_vec()];
    for (config, is_http2) in [(pair.server(None), true), (one, false)] {
        let mut upstream = ScriptedUpstream::over_tls(config);
        let (proxy, _files) = trusting(&authority, &upstream.url(), &[]).await;
        let caller = Caller::spawn(proxy.jobs_addr, Request::job(JOB));
        let call = upstream.next().await;
        assert_eq!((call.is_http2, &call.certificate), (is_http2, &None));
        call.echo();
        assert_eq!(caller.answer().await.status, 200);
    }
}

#[tokio::test]
async fn an_intermediate_is_sent_by_the_server() {
    let root = Authority::new("Root");
    let pair = root.below("Intermediate").issue(&["127.0.0.1"]);
    let mut upstream = ScriptedUpstream::over_tls(pair.server(None));
    let (proxy, _files) = trusting(&root, &upstream.url(), &[]).await;
    reaches(&proxy, &mut upstream).await;
    // Without it nobody knows who has signed.
    let (leaf, _) = pair
        .chain
        .split_at(pair.chain[1..].find("-----BEGIN").unwrap() + 1);
    let alone = Pair {
        chain: leaf.to_owned(),
        ..pair
    };
    let upstream = ScriptedUpstream::over_tls(alone.server(None));
    let (proxy, _files) = trusting(&root, &upstream.url(), &[]).await;
    let told = refused(&proxy).await;
    assert!(told.contains("trusted here"), "{told}");
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_told_with_what_to_do() {
    let (ours, other) = (Authority::new("Private CA"), Authority::new("Private CA"));
    let good = ["127.0.0.1"];
    let ended = ours.issue_with(&good, |it| it.not_after = date_time_ymd(2020, 2, 3));
    let early = ours.issue_with(&good, |it| it.not_before = date_time_ymd(2099, 2, 3));
    let client = ours.issue_with(&good, |it| {
        it.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    for (pair, expected) in [
        (
            other.issue(&good),
            "is signed by nobody who is trusted here; name the certificate of its authority in \
             upstream.tls.ca",
        ),
        (
            ours.issue(&["a.internal", "10.0.0.1"]),
            "is for a.internal and 10.0.0.1, and not for 127.0.0.1; give one that it has in \
             upstream.tls.server_name",
        ),
        (
            ended,
            "has expired on Mon, 03 Feb 2020 00:00:00 GMT, renew it",
        ),
        (
            early,
            "is not valid before Tue, 03 Feb 2099 00:00:00 GMT; are the clocks right on both \
             sides?",
        ),
        (client, "is not one of a server"),
    ] {
        let upstream = ScriptedUpstream::over_tls(pair.server(None));
        let (proxy, _files) = trusting(&ours, &upstream.url(), &[]).await;
        let told = refused(&proxy).await;
        let begin = "no connection: TLS: the certificate of the upstream ";
        let expected = format!("{begin}{expected}");
        assert!(told.starts_with(&expected), "{told}");
    }
}

#[tokio::test]
async fn without_an_authority_of_its_own_the_systems_are_trusted() {
    let authority = Authority::new("Private CA");
    let pair = authority.issue(&["127.0.0.1"]);
    let mut upstream = ScriptedUpstream::over_tls(pair.server(None));
    let files = Files::new();
    let (system, none) = (
        files.write("system.pem", &authority.pem),
        files.write("other.pem", &Authority::new("Other").pem),
    );
    let env = [("SSL_CERT_FILE", &*system)];
    let proxy = Proxy::start(&upstream.url(), &AT_ONCE, &env).await;
    reaches(&proxy, &mut upstream).await;
    // One that is named is in place of them.
    let env = [("SSL_CERT_FILE", &*system), (CA, &*none)];
    let proxy = Proxy::start(&upstream.url(), &AT_ONCE, &env).await;
    let told = refused(&proxy).await;
    assert!(told.contains("trusted here"), "{told}");
}

#[tokio::test]
async fn a_name_of_its_own_is_asked_for_and_verified() {
    let authority = Authority::new("Private CA");
    let pair = authority.issue(&["model.internal"]);
    let mut upstream = ScriptedUpstream::over_tls(pair.server(None));
    let env = [(NAME, "model.internal")];
    let (proxy, _files) = trusting(&authority, &upstream.url(), &env).await;
    reaches(&proxy, &mut upstream).await;
    let env = [(NAME, "other.internal")];
    let (proxy, _files) = trusting(&authority, &upstream.url(), &env).await;
    let told = refused(&proxy).await;
    let expected = "is for model.internal, and not for other.internal";
    assert!(told.contains(expected), "{told}");
}

/// Both versions tell it at another moment: TLS 1.3 when the client takes itself to be through.
fn versions(pair: &Pair, clients: &Authority) -> Vec<ServerConfig> {
    let mut only_12 = pair.server(Some(clients));
    only_12.alpn_protocols.clear();
    let mut http1 = pair.server(Some(clients));
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    vec![pair.server(Some(clients)), http1, only_12]
}

#[tokio::test]
async fn our_certificate_is_shown_to_who_asks_for_one() {
    let (servers, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    let (pair, ours) = (servers.issue(&["127.0.0.1"]), clients.issue(&["proxy"]));
    for config in versions(&pair, &clients) {
        let mut upstream = ScriptedUpstream::over_tls(config);
        let files = Files::new();
        let (cert, key) = (
            files.write("tls.crt", &ours.chain),
            files.write("tls.key", &ours.key),
        );
        let env = [(CERT, &*cert), (KEY, &*key)];
        let (proxy, _files) = trusting(&servers, &upstream.url(), &env).await;
        assert_eq!(reaches(&proxy, &mut upstream).await, Some(ours.der()));
    }
}

#[tokio::test]
async fn who_takes_none_of_our_certificates_has_processed_nothing() {
    let (servers, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    let pair = servers.issue(&["127.0.0.1"]);
    let files = Files::new();
    let stranger = Authority::new("Strangers").issue(&["proxy"]);
    let (cert, key) = (
        files.write("tls.crt", &stranger.chain),
        files.write("tls.key", &stranger.key),
    );
    let shown = [(CERT, &*cert), (KEY, &*key)];
    for (env, expected) in [
        (
            &[][..],
            "wants a certificate of its clients; give it one that it trusts by",
        ),
        (
            &shown,
            "refuses the certificate that it is shown, or that there is none",
        ),
    ] {
        for config in versions(&pair, &clients) {
            let mut upstream = ScriptedUpstream::over_tls(config);
            let (proxy, _files) = trusting(&servers, &upstream.url(), env).await;
            let told = refused(&proxy).await;
            assert!(told.contains(expected), "{told}");
            assert!(told.contains("upstream.tls.cert and upstream.tls.key"));
            assert!(upstream.arrived().is_none());
        }
    }
}

#[tokio::test]
async fn what_speaks_no_tls_is_told_as_that() {
    let authority = Authority::new("Private CA");
    let upstream = ScriptedUpstream::start().await;
    let url = upstream.url().replace("http:", "https:");
    let (proxy, _files) = trusting(&authority, &url, &[]).await;
    let told = refused(&proxy).await;
    let expected = "the upstream answers in something else than TLS; where it speaks no TLS, its \
                    URL begins with http://";
    assert!(told.contains(expected), "{told}");
}

#[tokio::test]
async fn calls_that_go_alone_go_by_the_routes_settings() {
    let (servers, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    let (pair, ours) = (servers.issue(&["model"]), clients.issue(&["proxy"]));
    let mut upstream = ScriptedUpstream::over_tls(pair.server(Some(&clients)));
    let files = Files::new();
    let at = |name: &str, text: &str| files.write(name, text);
    let file = files.write(
        "microbatch.toml",
        &format!(
            "[routes.a]\npath = \"/a\"\nshape = \"kserve-v1\"\n\
             [routes.a.upstream]\nurl = \"{}\"\n\
             [routes.a.upstream.tls]\nca = \"{}\"\ncert = \"{}\"\nkey = \"{}\"\n\
             server_name = \"model\"\n\
             [passthrough]\nurl = \"{}\"\n",
            upstream.url(),
            at("ca.pem", &servers.pem),
            at("tls.crt", &ours.chain),
            at("tls.key", &ours.key),
            upstream.url(),
        ),
    );
    let env = [(
        "SSL_CERT_FILE",
        &*at("system.pem", &Authority::new("System").pem),
    )];
    let proxy = Proxy::start("", &["--config", &file], &env).await;
    let request = Request::job("hi").to("PUT", "/a");
    let caller = Caller::spawn(proxy.jobs_addr, request);
    let call = upstream.next().await;
    assert_eq!(call.certificate, Some(ours.der()));
    call.ok("{}");
    assert_eq!(caller.answer().await.status, 200);
    // What is no route's has no part in them.
    let answer = proxy.send(Request::new("GET", "/other")).await;
    answer.problem(502, "upstream-unreachable", "no");
    let told = |line: &crate::harness::Line| line.message().contains("request not passed on");
    let line = proxy.log.wait_for("what was not passed on", told).await;
    assert!(line.message().contains("SSL_CERT_FILE"), "{line:?}");
}

#[tokio::test]
async fn files_that_will_not_do_are_told_at_the_start() {
    let authority = Authority::new("Private CA");
    let (one, two) = (authority.issue(&["a"]), authority.issue(&["b"]));
    let files = Files::new();
    let at = |name: &str, text: &str| files.write(name, text);
    let (cert, key) = (at("one.crt", &one.chain), at("one.key", &one.key));
    let other = at("two.key", &two.key);
    let none = files.path("none.pem").display().to_string();
    let empty = at("empty.pem", "");
    for (env, expected) in [
        (
            &[(CA, &*none)][..],
            vec![
                "upstream.tls: ",
                "none.pem: can't be read",
                "name a file that is there",
            ],
        ),
        (&[(CA, &empty)], vec!["empty.pem: is empty"]),
        (
            &[(CERT, &cert), (KEY, &other)],
            vec![
                "two.key: is not the key of the first certificate in ",
                "one.crt",
            ],
        ),
        (
            &[(CERT, &cert), (KEY, &cert)],
            vec!["one.crt: holds a certificate and no private key"],
        ),
        (
            &[(CERT, &key), (KEY, &key)],
            vec!["one.key: holds a private key and no certificate"],
        ),
        (
            &[(CERT, &cert)],
            vec![
                "upstream.tls.cert = ",
                "has no key: name its private key in upstream.tls.key",
            ],
        ),
    ] {
        let starting = Starting::by(command(), "https://127.0.0.1:1/", &AT_ONCE, env);
        let mut starting = starting;
        // What it logs is read to its end.
        let code = starting.ready_or_ended().await;
        assert!(code.is_some_and(|code| code != 0), "{code:?}");
        let told = starting.log.to_string();
        for expected in expected {
            assert!(told.contains(expected), "{expected}: {told}");
        }
    }
}

#[tokio::test]
async fn a_handshake_that_ends_early_is_told() {
    let upstream = RawUpstream::playing(vec![Play::Reset]).await;
    let url = upstream.url().replace("http:", "https:");
    let (proxy, _files) = trusting(&Authority::new("Private CA"), &url, &[]).await;
    let told = refused(&proxy).await;
    assert!(told.contains("no connection: "), "{told}");
}

#[tokio::test]
async fn renewed_files_are_for_new_connections_and_broken_ones_for_none() {
    const IN_FORCE: &str = "changed files are in force";
    const KEPT: &str = "changed files do not do: what was in force stays";
    let [old, new] = ["Old", "New"].map(Authority::new);
    let clients = Authority::new("Clients");
    let [first, second] = ["first", "second"].map(|name| clients.issue(&[name]));
    let files = Files::new();
    let write = |authority: &Authority, ours: &Pair| {
        let ca = files.write("ca.pem", &authority.pem);
        let cert = files.write("tls.crt", &ours.chain);
        [ca, cert, files.write("tls.key", &ours.key)]
    };
    let [ca, cert, key] = write(&old, &first);
    let server = |authority: &Authority| authority.issue(&["127.0.0.1"]).server(Some(&clients));
    let mut upstream = ScriptedUpstream::over_tls(server(&old));
    let env = [(CA, &*ca), (CERT, &*cert), (KEY, &*key)];
    let proxy = Proxy::start(&upstream.url(), &AT_ONCE, &env).await;
    assert_eq!(reaches(&proxy, &mut upstream).await, Some(first.der()));
    // What is connected stays so.
    write(&new, &second);
    proxy.signal(Signal::HUP);
    let line = proxy.log.nth(IN_FORCE, 1).await;
    assert_eq!(line.text("files"), "upstream.tls");
    assert_eq!(reaches(&proxy, &mut upstream).await, Some(first.der()));
    let again = async |upstream: &mut ScriptedUpstream, config| {
        upstream.kill().await;
        upstream.retrust(config);
        upstream.restart();
    };
    again(&mut upstream, server(&old)).await;
    let told = refused(&proxy).await;
    assert!(told.contains("trusted here"), "{told}");
    again(&mut upstream, server(&new)).await;
    assert_eq!(reaches(&proxy, &mut upstream).await, Some(second.der()));
    // A pair that does not match.
    files.write("tls.key", &first.key);
    proxy.signal(Signal::HUP);
    let line = proxy.log.nth(KEPT, 1).await;
    assert!(line.text("error").contains("is not the key of"), "{line:?}");
    again(&mut upstream, server(&new)).await;
    assert_eq!(reaches(&proxy, &mut upstream).await, Some(second.der()));
    let metrics = proxy.admin("GET", "/metrics").await;
    for file in [&ca, &cert] {
        let line = format!("microbatch_tls_certificate_expiry_seconds{{file=\"{file}\"}} ");
        assert!(metrics.text().contains(&line), "{line}: {}", metrics.text());
    }
    for result in ["ok", "failed"] {
        let line = format!("microbatch_tls_reloads_total{{result=\"{result}\"}} 1\n");
        assert!(metrics.text().contains(&line), "{line}: {}", metrics.text());
    }
}
