//! Section 12 of the contract: the commands that ask a proxy, over TLS, with a token, by a socket.

use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::issued::{Authority, Pair};
use crate::harness::{Proxy, ScriptedUpstream, command, jobs, results, within};

const ADMIN: [&str; 3] = [
    "MICROBATCH_ADMIN__TLS__CERT",
    "MICROBATCH_ADMIN__TLS__KEY",
    "MICROBATCH_ADMIN__TLS__CLIENT_CA",
];
const SERVER: [&str; 3] = [
    "MICROBATCH_SERVER__TLS__CERT",
    "MICROBATCH_SERVER__TLS__KEY",
    "MICROBATCH_SERVER__TLS__CLIENT_CA",
];

/// What a command has said, and its exit code.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Said {
    #[track_caller]
    fn is_good(&self, expected: &str) {
        assert_eq!(self.code, Some(0), "{}", self.text);
        assert!(self.text.contains(expected), "{}", self.text);
    }

    #[track_caller]
    fn is_refused(&self, expected: &str) {
        assert_eq!(self.code, Some(1), "{}", self.text);
        assert!(self.text.contains(expected), "{expected}: {}", self.text);
    }
}

async fn said(mut command: Command) -> Said {
    let output = within("the command's end", command.output()).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    Said {
        code: output.status.code(),
        text: String::from_utf8(text).unwrap(),
    }
}

/// Asks the admin listener at this address.
async fn ask(admin: &str, words: &[&str], env: &[(&str, &str)]) -> Said {
    let mut command = command();
    command.args(words).args(["--admin-listen", admin]);
    command.envs(env.iter().copied());
    said(command).await
}

/// Files of a story.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn pair(&self, name: &str, pair: &Pair) -> (String, String) {
        let cert = self.write(&format!("{name}.crt"), &pair.chain);
        (cert, self.write(&format!("{name}.key"), &pair.key))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn admin_of(proxy: &Proxy) -> String {
    proxy.admin_addr.expect("an admin listener").to_string()
}

#[tokio::test]
async fn a_proxys_own_settings_are_enough_whatever_name_its_certificate_has() {
    let authority = Authority::new("Private CA");
    let files = Files::new();
    let (cert, key) = files.pair("tls", &authority.issue(&["myservice"]));
    let env = [(ADMIN[0], &*cert), (ADMIN[1], &*key)];
    let proxy = Proxy::start("http://127.0.0.1:1/", &[], &env).await;
    let admin = admin_of(&proxy);
    let healthy = ask(&admin, &["healthcheck"], &env).await;
    healthy.is_good(&format!("https://{admin}/readyz: 200 OK"));
    ask(&admin, &["advice"], &env).await.is_good("jobs");
    ask(&admin, &["top", "--once"], &env).await.is_good("");
    // A certificate of the same authority for the same name is another's.
    let (cert, _) = files.pair("other", &authority.issue(&["myservice"]));
    let other = [(ADMIN[0], &*cert), (ADMIN[1], &*key)];
    let refused = ask(&admin, &["healthcheck"], &other).await;
    refused.is_refused("TLS: the certificate of the proxy is not the one that its settings name");
}

#[tokio::test]
async fn whoever_has_signed_is_trusted_for_the_name_that_is_given() {
    let authority = Authority::new("Private CA");
    let files = Files::new();
    let (cert, key) = files.pair("tls", &authority.issue(&["myservice"]));
    let env = [(ADMIN[0], &*cert), (ADMIN[1], &*key)];
    let proxy = Proxy::start("http://127.0.0.1:1/", &[], &env).await;
    let admin = admin_of(&proxy);
    let ca = files.write("ca.pem", &authority.pem);
    let other = files.write("other.pem", &Authority::new("Private CA").pem);
    let named = ["healthcheck", "--ca", &ca, "--server-name", "myservice"];
    ask(&admin, &named, &[]).await.is_good("200 OK");
    // Also where what the settings name is amid its renewal.
    let none = files.path().join("none.crt").display().to_string();
    let renewed = [(ADMIN[0], &*none), (ADMIN[1], &*key)];
    ask(&admin, &named, &renewed).await.is_good("200 OK");
    for (words, expected) in [
        (
            &["--ca", &*ca][..],
            "is for myservice, and not for 127.0.0.1; give one that it has in --server-name",
        ),
        (
            &["--ca", &other, "--server-name", "myservice"],
            "is signed by nobody who is trusted here; name the certificate of its authority in \
             --ca",
        ),
        (&["--ca", &none], "--ca: "),
        (&["--ca", &key], "holds a private key and no certificate"),
        (
            &["--ca", &ca, "--server-name", "a b"],
            "--server-name: \"a b\" is neither",
        ),
        (
            &[],
            "the proxy speaks TLS there: give the --config that it has, or --ca",
        ),
    ] {
        let words = [&["healthcheck"], words].concat();
        ask(&admin, &words, &[]).await.is_refused(expected);
    }
}

#[tokio::test]
async fn tls_is_asked_of_nobody_who_speaks_none() {
    let files = Files::new();
    let ca = files.write("ca.pem", &Authority::new("Private CA").pem);
    let proxy = Proxy::start("http://127.0.0.1:1/", &[], &[]).await;
    let refused = ask(&admin_of(&proxy), &["healthcheck", "--ca", &ca], &[]).await;
    refused.is_refused("the proxy answers in something else than TLS; leave --ca");
}

#[tokio::test]
async fn a_proxy_that_wants_a_certificate_is_shown_one() {
    let authority = Authority::new("Private CA");
    let files = Files::new();
    let (cert, key) = files.pair("tls", &authority.issue(&["myservice"]));
    let (client, client_key) = files.pair("client", &authority.issue(&["operator"]));
    let ca = files.write("ca.pem", &authority.pem);
    let env = [(ADMIN[0], &*cert), (ADMIN[1], &*key), (ADMIN[2], &*ca)];
    let proxy = Proxy::start("http://127.0.0.1:1/", &[], &env).await;
    let admin = admin_of(&proxy);
    let shown = ["healthcheck", "--cert", &client, "--key", &client_key];
    ask(&admin, &shown, &env).await.is_good("200 OK");
    let refused = ask(&admin, &["healthcheck"], &env).await;
    refused.is_refused(
        "wants a certificate of its clients; give it one that it trusts by --cert and --key",
    );
    let mixed = ["healthcheck", "--cert", &client, "--key", &key];
    let refused = ask(&admin, &mixed, &env).await;
    refused.is_refused("--key: ");
}

#[tokio::test]
async fn a_token_is_shown_from_its_file() {
    let files = Files::new();
    let mut make = command();
    make.args(["token", "operator"]);
    let made = within("a token", make.output()).await.unwrap();
    let tokens = files.write("tokens", &String::from_utf8(made.stdout).unwrap());
    let shown = String::from_utf8(made.stderr).unwrap();
    let token = shown.lines().find(|it| it.starts_with("mbt_"));
    let token = files.write("token", &format!("{}\n", token.expect("a token")));
    let env = [
        ("MICROBATCH_ADMIN__AUTH__TOKENS", &*tokens),
        ("MICROBATCH_SERVER__AUTH__TOKENS", &*tokens),
    ];
    let mut upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &env).await;
    let admin = admin_of(&proxy);
    ask(&admin, &["healthcheck"], &[]).await.is_good("200 OK");
    ask(&admin, &["advice", "--token-file", &token], &[])
        .await
        .is_good("jobs");
    let wants = "401 Unauthorized: the proxy wants a token that it knows: give one by --token-file";
    ask(&admin, &["advice"], &[]).await.is_refused(wants);
    ask(&admin, &["top", "--once"], &[]).await.is_refused(wants);
    let listen = proxy.jobs_addr.to_string();
    let file = files.write("jobs", &jobs(3));
    let mut submit = command();
    submit.args(["submit", &file, "--listen", &listen]);
    said(submit).await.is_refused(wants);
    let mut submit = command();
    submit.args([
        "submit",
        &file,
        "-q",
        "--listen",
        &listen,
        "--token-file",
        &token,
    ]);
    let answers = async {
        loop {
            upstream.next_ever().await.echo();
        }
    };
    let done = tokio::select! { done = said(submit) => done, () = answers => return };
    assert_eq!((done.code, results(&done.text).len()), (Some(0), 3));
    for (text, expected) in [("", "is empty"), ("two words\n", "holds more than a token")] {
        let wrong = files.write("wrong", text);
        let words = ["advice", "--token-file", &wrong];
        ask(&admin, &words, &[]).await.is_refused(expected);
    }
}

#[tokio::test]
async fn jobs_are_handed_in_over_tls_and_by_a_socket() {
    let authority = Authority::new("Private CA");
    let files = Files::new();
    let (cert, key) = files.pair("tls", &authority.issue(&["myservice"]));
    let file = files.write("jobs", &jobs(3));
    let sockets = ["jobs", "admin"].map(|name| {
        format!(
            "unix:{}",
            files.path().join(format!("{name}.sock")).display()
        )
    });
    let tls = [(SERVER[0], &*cert), (SERVER[1], &*key)];
    for (listen, admin, env) in [
        ("127.0.0.1:0", "127.0.0.1:0", &tls[..]),
        (&*sockets[0], &*sockets[1], &[]),
        (&*sockets[0], &*sockets[1], &tls),
    ] {
        let mut upstream = ScriptedUpstream::start().await;
        let flags = [
            "--max-wait",
            "0",
            "--listen",
            listen,
            "--admin-listen",
            admin,
        ];
        let starting = crate::harness::Starting::by(command(), &upstream.url(), &flags, env);
        let log = starting.log.clone();
        let listening = log.nth("listening", 1).await;
        log.nth("ready", 1).await;
        let (listen, admin) = (listening.text("listen"), listening.text("admin"));
        ask(admin, &["healthcheck"], &[]).await.is_good("200 OK");
        ask(admin, &["advice"], &[]).await.is_good("jobs");
        let mut submit = command();
        submit.args(["submit", &file, "-q", "--listen", listen]);
        submit.envs(env.iter().copied());
        let answers = async {
            loop {
                upstream.next_ever().await.echo();
            }
        };
        let done = tokio::select! { done = said(submit) => done, () = answers => return };
        assert_eq!(done.code, Some(0), "{}", done.text);
        assert_eq!(results(&done.text).len(), 3);
        if !env.is_empty() {
            let mut plain = command();
            plain.args(["submit", &file, "--listen", listen]);
            said(plain).await.is_refused("the proxy speaks TLS there");
        }
    }
}
