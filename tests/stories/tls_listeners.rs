//! Section 12 of the contract: the listeners speak TLS, every version and protocol of it.

use crate::harness::certificates::{Authority, Like, Pair, curl, env, s_client};
use crate::harness::{Proxy, Scrape, ScriptedUpstream, eventually};

/// A proxy whose jobs listener has such a certificate, before an upstream that echoes.
pub struct Served {
    pub authority: Authority,
    pub pair: Pair,
    pub proxy: Proxy,
}

impl Served {
    pub async fn start(like: Like) -> Self {
        Self::with(like, &[]).await
    }

    /// The same with more settings.
    pub async fn with(like: Like, more: &[(&'static str, String)]) -> Self {
        let authority = Authority::new();
        let pair = authority.pair("proxy", like);
        let given = [&pair.of_jobs()[..], more].concat();
        let mut upstream = ScriptedUpstream::start().await;
        let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &env(&given)).await;
        tokio::spawn(async move {
            loop {
                upstream.next_ever().await.echo();
            }
        });
        Self {
            authority,
            pair,
            proxy,
        }
    }

    /// How many handshakes have failed for this reason.
    pub async fn failed(&self, reason: &str) -> f64 {
        let sample = format!("tls_handshakes_failed_total{{reason=\"{reason}\"}}");
        Scrape::of(&self.proxy).await.get(&sample)
    }

    /// Waits until so many have.
    pub async fn have_failed(&self, reason: &str, times: f64) {
        eventually(reason, || async {
            (self.failed(reason).await >= times).then_some(())
        })
        .await;
        assert_eq!(self.failed(reason).await, times, "{reason}");
    }
}

#[tokio::test]
async fn jobs_are_answered_over_every_version_and_protocol() {
    let served = Served::start(Like::Good).await;
    for (tls, most) in [("--tlsv1.2", "1.2"), ("--tlsv1.3", "1.3")] {
        for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
            let asked = [
                tls,
                "--tls-max",
                most,
                flag,
                "-H",
                "content-type: application/json",
                "-d",
                r#"{"id":1,"body":"hello"}"#,
                "-w",
                " %{http_code} %{http_version}",
            ];
            let to = served.proxy.jobs_addr;
            let Some(said) = curl(&served.authority, to, "/jobs", &asked).await else {
                return;
            };
            let expected = format!(" 200 {version}");
            assert!(said.stdout.ends_with(&expected), "{tls} {flag}: {said:?}");
            assert!(said.stdout.contains("hello"), "{said:?}");
        }
    }
}

#[tokio::test]
async fn openssl_verifies_the_chain_whatever_name_it_asks_for() {
    let served = Served::start(Like::Good).await;
    for (version, shown) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        for alpn in ["h2", "http/1.1"] {
            for name in ["localhost", "elsewhere.example"] {
                let asked = [version, "-alpn", alpn, "-servername", name];
                let said = s_client(&served.authority, served.proxy.jobs_addr, &asked).await;
                let Some(said) = said else {
                    return;
                };
                assert!(said.stdout.contains(shown), "{said:?}");
                let protocol = format!("ALPN protocol: {alpn}");
                assert!(said.stdout.contains(&protocol), "{said:?}");
                let verified = "Verify return code: 0 (ok)";
                assert!(said.stdout.contains(verified), "{said:?}");
            }
        }
    }
}

/// What is older is refused, and so is who speaks nothing that we do.
#[tokio::test]
async fn a_client_with_nothing_in_common_is_refused_and_counted() {
    let served = Served::start(Like::Good).await;
    let asked = ["-tls1_3", "-alpn", "spdy/1"];
    let to = served.proxy.jobs_addr;
    let Some(said) = s_client(&served.authority, to, &asked).await else {
        return;
    };
    assert_ne!(said.code, Some(0), "{said:?}");
    served.have_failed("unsupported", 1.0).await;
}

#[tokio::test]
async fn a_client_refuses_a_certificate_that_does_not_do() {
    for like in [Like::Expired, Like::NotYetValid, Like::OfAnotherName] {
        let served = Served::start(like).await;
        let to = served.proxy.jobs_addr;
        let Some(said) = curl(&served.authority, to, "/healthz", &[]).await else {
            return;
        };
        assert_eq!(said.code, Some(60), "{like:?}: {said:?}");
        // Who does not look is served all the same.
        let said = curl(&served.authority, to, "/healthz", &["-k"]).await;
        assert_eq!(said.and_then(|it| it.code), Some(0), "{like:?}");
    }
    // Another authority's.
    let served = Served::start(Like::Good).await;
    let to = served.proxy.jobs_addr;
    let said = curl(&Authority::new(), to, "/healthz", &[]).await;
    assert_eq!(said.and_then(|it| it.code), Some(60));
    served.have_failed("refused", 1.0).await;
    let line = served.proxy.log.nth("TLS handshake failed", 1).await;
    assert_eq!(
        (line.text("listener"), line.text("reason")),
        ("server", "refused")
    );
}

#[tokio::test]
async fn the_admin_listener_has_a_certificate_of_its_own() {
    let authority = Authority::new();
    let given = authority.pair("admin", Like::Good).of_admin();
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[], &env(&given)).await;
    // The other speaks as before.
    proxy.keep_alive().await;
    let admin = proxy.admin_addr.expect("an admin listener");
    for version in ["--http1.1", "--http2"] {
        let Some(said) = curl(&authority, admin, "/metrics", &[version]).await else {
            return;
        };
        let expiry = "microbatch_tls_certificate_expiry_seconds{file=\"";
        assert!(said.stdout.contains(expiry), "{said:?}");
    }
}
