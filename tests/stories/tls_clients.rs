//! Section 12 of the contract: who must show a certificate, and which.

use crate::harness::certificates::{Authority, Like, Pair, curl, shown};
use crate::tls_listeners::Served;

/// A listener that asks for certificates of this authority.
async fn asking(authority: &Authority) -> Served {
    let client_ca = shown(&authority.root());
    Served::with(
        Like::Good,
        &[("MICROBATCH_SERVER__TLS__CLIENT_CA", client_ca)],
    )
    .await
}

/// The status that a client gets who shows this, or none where there is no connection.
async fn status(served: &Served, pair: Option<&Pair>, version: &str) -> Option<String> {
    let (tls, most) = (format!("--tlsv{version}"), version);
    let files = pair.map(|it| [shown(&it.cert), shown(&it.key)]);
    let mut asked = vec![
        &*tls,
        "--tls-max",
        most,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
    ];
    if let Some([cert, key]) = &files {
        asked.extend(["--cert", cert.as_str(), "--key", key.as_str()]);
    }
    let said = curl(
        &served.authority,
        served.proxy.jobs_addr,
        "/healthz",
        &asked,
    )
    .await?;
    Some(match said.code {
        Some(0) => said.stdout,
        _ => "none".to_owned(),
    })
}

#[tokio::test]
async fn a_client_is_served_with_a_certificate_that_the_authority_has_signed() {
    let [clients, strangers] = [(); 2].map(|()| Authority::new());
    let served = asking(&clients).await;
    let good = clients.pair("good", Like::Client);
    let expired = clients.pair("expired", Like::Expired);
    let stranger = strangers.pair("stranger", Like::Client);
    let mut of_bad = 0.0;
    for (round, version) in ["1.2", "1.3"].into_iter().enumerate() {
        let Some(without) = status(&served, None, version).await else {
            return;
        };
        assert_eq!(without, "none", "{version}");
        served
            .have_failed("no-certificate", round as f64 + 1.0)
            .await;
        for bad in [&stranger, &expired] {
            of_bad += 1.0;
            let found = status(&served, Some(bad), version).await;
            assert_eq!(found.as_deref(), Some("none"), "{bad:?} {version}");
            served.have_failed("bad-certificate", of_bad).await;
        }
        let found = status(&served, Some(&good), version).await;
        assert_eq!(found.as_deref(), Some("200"), "{version}");
    }
}
