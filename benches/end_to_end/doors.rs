//! What other doors cost than ports in clear: unix sockets on either side, and TLS.
//!
//! ```sh
//! cargo bench --bench end_to_end -- --sockets
//! cargo bench --bench end_to_end -- --tls
//! ```
//!
//! Sockets are compared with ports, of the same binary under the same load. TLS is compared
//! with the *floor* behind the same rustls with the same certificate: what a job costs on a
//! connection that is kept, and what a connection costs that is made for one.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::direct::{Connections, Way, drive};
use crate::median;
use crate::process::Server;

/// Jobs in a batch.
const BATCH: &str = "--max-size 64";

/// One of those that are compared.
struct Door {
    name: &'static str,
    server: Server,
    way: Way,
    /// µs for each job of each round.
    cpu: Vec<f64>,
}

impl Door {
    fn new(name: &'static str, server: Server, way: Way) -> Self {
        let cpu = Vec::new();
        Self {
            name,
            server,
            way,
            cpu,
        }
    }

    fn plain(name: &'static str, server: Server) -> Self {
        let way = Way::to(&server.address);
        Self::new(name, server, way)
    }

    fn round(&mut self, callers: usize, seconds: u32, connections: Connections) -> Result<()> {
        let before = self.server.cpu()?;
        let jobs = drive(&self.way, callers, seconds, connections)?;
        let took = self.server.cpu()? - before;
        self.cpu.push(took.as_secs_f64() * 1e6 / jobs);
        Ok(())
    }
}

/// Drives them in turn, and tells each one's cost beside the first's.
fn compare(
    mut doors: Vec<Door>,
    rounds: usize,
    (callers, seconds): (usize, u32),
    connections: Connections,
) -> Result<()> {
    for _ in 0..rounds {
        for door in &mut doors {
            door.round(callers, seconds, connections)?;
        }
    }
    let (first, _) = doors.split_first().context("nothing to compare")?;
    for door in &doors {
        // Of each round, so that what slows the machine for a while slows both.
        let ratios = door.cpu.iter().zip(&first.cpu).map(|(a, b)| a / b);
        let (cpu, ratio) = (median(door.cpu.clone()), median(ratios.collect()));
        println!(
            "| {}, {callers} callers | {cpu:.2} | {ratio:.2} |",
            door.name
        );
    }
    Ok(())
}

/// Sockets beside ports.
pub fn sockets(rounds: usize, seconds: u32) -> Result<()> {
    println!("| callers → proxy → upstream | µs of CPU per job | ÷ ports |");
    println!("|---|---|---|");
    for callers in [64, 256] {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| format!("unix:{}", folder.path().join(name).display());
        let port = Server::of_ours("upstream")?;
        let socket = Server::that_listens("upstream", &at("upstream.sock"))?;
        let proxy = |upstream: &Server, listen: Option<&str>| {
            let listen = listen.map(|name| format!("--listen {}", at(name)));
            let flags = format!("{BATCH} {}", listen.unwrap_or_default());
            Server::proxy(&upstream.address, &flags)
        };
        let doors = vec![
            Door::plain("port → port", proxy(&port, None)?),
            Door::plain("socket → port", proxy(&port, Some("a.sock"))?),
            Door::plain("port → socket", proxy(&socket, None)?),
            Door::plain("socket → socket", proxy(&socket, Some("b.sock"))?),
        ];
        compare(doors, rounds, (callers, seconds), Connections::Kept)?;
    }
    Ok(())
}

/// TLS beside the floor's.
pub fn tls(rounds: usize, seconds: u32) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (cert, key) = certificate(folder.path())?;
    let client = client(&cert)?;
    let upstream = Server::of_ours("upstream")?;
    println!("| server | µs of CPU | ÷ the floor's |");
    println!("|---|---|---|");
    for (connections, callers) in [
        (Connections::Kept, 64),
        (Connections::Kept, 256),
        (Connections::New, 16),
    ] {
        let each = |floor: &'static str, proxy: &'static str| -> Result<Vec<Door>> {
            let way = |server: &Server| Way::Tls(server.address.clone(), Arc::clone(&client));
            let bare = Server::encrypted_floor(&cert, &key)?;
            let env = [
                ("MICROBATCH_SERVER__TLS__CERT", cert.as_str()),
                ("MICROBATCH_SERVER__TLS__KEY", &key),
            ];
            // Who comes for one job is not to wait for company.
            let flags = match connections {
                Connections::Kept => BATCH.to_owned(),
                Connections::New => format!("{BATCH} --max-wait 0"),
            };
            let ours = Server::proxy_with(&upstream.address, &flags, &env)?;
            let ways = (way(&bare), way(&ours));
            Ok(vec![
                Door::new(floor, bare, ways.0),
                Door::new(proxy, ours, ways.1),
            ])
        };
        let doors = match connections {
            Connections::Kept => each("floor, a job over TLS", "proxy, a job over TLS"),
            Connections::New => each(
                "floor, a handshake and a job",
                "proxy, a handshake and a job",
            ),
        };
        compare(doors?, rounds, (callers, seconds), connections)?;
    }
    Ok(())
}

/// A certificate for `localhost` and its key, in PEM: their files.
fn certificate(folder: &Path) -> Result<(String, String)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&cert, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((cert.display().to_string(), key.display().to_string()))
}

/// Who trusts that certificate, speaks HTTP/1.1, and never goes on with an earlier session.
fn client(cert: &str) -> Result<Arc<ClientConfig>> {
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert)?)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
