//! Certificates that a story makes for itself, and what they are shown to.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tempfile::TempDir;
use tokio::process::Command;

use super::within;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An authority that signs certificates, and the folder that all of it is in.
pub struct Authority {
    folder: TempDir,
    root: Issuer,
    intermediate: Issuer,
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// What a certificate is like that is not as it should be in every way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Like {
    /// It is.
    Good,
    /// It has ended a day ago.
    Expired,
    /// It begins in a day.
    NotYetValid,
    /// It ends in so many days.
    EndsIn(u32),
    /// It is of another name.
    OfAnotherName,
    /// It is a client's.
    Client,
}

/// A certificate with its chain, and its key: two files.
#[derive(Clone, Debug)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

fn issuer(name: &str, by: Option<&Issuer>) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let made = match by {
        None => Issuer::self_signed(params, key),
        Some(by) => Issuer::signed_by(params, key, by),
    };
    made.expect("an authority")
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Each has a name of its own: of two with one name, one looks like a forgery.
        let own = folder.path().display();
        let root = issuer(&format!("root of {own}"), None);
        Self {
            intermediate: issuer(&format!("intermediate of {own}"), Some(&root)),
            folder,
            root,
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file of its root.
    pub fn root(&self) -> PathBuf {
        self.write("root.pem", &self.root.pem())
    }

    pub fn write(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.folder().join(name);
        fs::write(&path, contents).expect("a file is written");
        path
    }

    /// A certificate for 127.0.0.1 and `localhost` by the intermediate, whose certificate is in
    /// the chain.
    pub fn pair(&self, name: &str, like: Like) -> Pair {
        let names = match like {
            Like::OfAnotherName => vec!["elsewhere.example".to_owned()],
            Like::Client => vec!["client.example".to_owned()],
            _ => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        };
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        let now = SystemTime::now();
        let (from, until) = match like {
            Like::Expired => (now - 2 * DAY, now - DAY),
            Like::NotYetValid => (now + DAY, now + 90 * DAY),
            // An hour more, so that whole days are left.
            Like::EndsIn(days) => (now - DAY, now + DAY * days + DAY / 24),
            _ => (now - DAY, now + 90 * DAY),
        };
        (params.not_before, params.not_after) = (from.into(), until.into());
        params.extended_key_usages = match like {
            Like::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            _ => vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        };
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.intermediate);
        let chain = [leaf.expect("a certificate").pem(), self.intermediate.pem()].concat();
        Pair {
            cert: self.write(&format!("{name}.crt"), &chain),
            key: self.write(&format!("{name}.key"), &key.serialize_pem()),
        }
    }
}

impl Pair {
    /// The environment of a proxy whose jobs listener has it.
    pub fn of_jobs(&self) -> Vec<(&'static str, String)> {
        vec![
            ("MICROBATCH_SERVER__TLS__CERT", shown(&self.cert)),
            ("MICROBATCH_SERVER__TLS__KEY", shown(&self.key)),
        ]
    }

    /// The same of the admin listener.
    pub fn of_admin(&self) -> Vec<(&'static str, String)> {
        vec![
            ("MICROBATCH_ADMIN__TLS__CERT", shown(&self.cert)),
            ("MICROBATCH_ADMIN__TLS__KEY", shown(&self.key)),
        ]
    }
}

/// A path as text.
pub fn shown(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// What a program has said, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    #[allow(dead_code, reason = "told where a story fails")]
    pub stderr: String,
}

/// Runs a program with nothing to read until it ends; none where this machine has none and need
/// not have one.
pub async fn run(program: &str, arguments: &[&str]) -> Option<Said> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match within(program, command.output()).await {
        Ok(output) => Some(Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
        Err(error) => {
            let required = std::env::var_os("CI").is_some();
            assert!(!required, "{program}: {error}");
            None
        }
    }
}

/// What `curl` gets at a path of a listener with TLS, with more arguments; none where there is no
/// `curl`.
pub async fn curl(
    authority: &Authority,
    to: SocketAddr,
    path: &str,
    arguments: &[&str],
) -> Option<Said> {
    let (port, root) = (to.port(), shown(&authority.root()));
    let url = format!("https://localhost:{port}{path}");
    let resolve = format!("localhost:{port}:{}", to.ip());
    let always = ["-sS", "--cacert", &root, "--resolve", &resolve, &url];
    run("curl", &[&always[..], arguments].concat()).await
}

/// What `openssl s_client` says of a listener with TLS; none where there is no `openssl`.
pub async fn s_client(authority: &Authority, to: SocketAddr, arguments: &[&str]) -> Option<Said> {
    let (to, root) = (to.to_string(), shown(&authority.root()));
    let always = ["s_client", "-connect", &to, "-CAfile", &root];
    run("openssl", &[&always[..], arguments].concat()).await
}

/// As the environment of a proxy.
pub fn env<'a>(given: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    given.iter().map(|(key, value)| (*key, &**value)).collect()
}
