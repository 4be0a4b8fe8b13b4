//! Section 12 of the contract: both listeners on unix sockets.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;
use tokio::task::JoinSet;

use crate::harness::sockets::{Sockets, connect, curl, h2c, send};
use crate::harness::*;

const JOB: &str = r#"{"id":1}"#;
const ECHO: &str = r#"{"id":1,"result":null}"#;
const NOW: [&str; 2] = ["--max-wait", "0"];
const NOWHERE: &str = "http://127.0.0.1:9/";

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket())
}

#[tokio::test]
async fn curl_speaks_to_both() {
    let (sockets, mut upstream) = (Sockets::new(), ScriptedUpstream::start().await);
    let proxy = sockets.start(&upstream.url(), &NOW, &[]).await;
    let listening = proxy.process.log.nth("listening", 1).await;
    assert_eq!(listening.text("listen"), sockets.address("jobs.sock"));
    assert_eq!(listening.text("admin"), sockets.address("admin.sock"));
    // No web page gets here: whatever it says of a host and an origin, it is none.
    let (host, origin) = ("Host: rebound.example", "Origin: http://evil.example");
    let post = ["-H", host, "-H", origin, "-d"];
    // A form of another origin would be none.
    let json = ["-H", "Content-Type: application/json"];
    let job = [&json[..], &post, &[JOB, "http://localhost/jobs"]].concat();
    let posting = curl(&proxy.jobs, &job);
    let (answer, ()) = tokio::join!(posting, async { upstream.next().await.echo() });
    let answer = String::from_utf8(answer.stdout).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(ECHO), "{answer}");
    let flush = [&post[..], &["", "http://localhost/flush"]].concat();
    for asked in [&flush[..], &["http://rebound.example/readyz"]] {
        let answer = String::from_utf8(curl(&proxy.admin, asked).await.stdout).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    // What HTTP itself asks for holds.
    let none = curl(&proxy.admin, &["-H", "Host:", "http://localhost/readyz"]).await;
    assert!(none.stdout.starts_with(b"HTTP/1.1 400 "), "{none:?}");
}

#[tokio::test]
async fn jobs_of_both_versions_share_a_batch() {
    let (sockets, mut upstream) = (Sockets::new(), ScriptedUpstream::start().await);
    let flags = ["--max-size", "2", "--max-wait", "50s"];
    let proxy = sockets.start(&upstream.url(), &flags, &[]).await;
    let one = h2c(&proxy.jobs).await.send(Request::job(JOB));
    let other = proxy.send(Request::job(r#"{"id":2}"#));
    let answering = async {
        let call = upstream.next().await;
        assert_eq!(call.ids().len(), 2);
        call.echo();
    };
    let (one, other, ()) = tokio::join!(one, other, answering);
    one.is_result(ECHO);
    other.is_result(r#"{"id":2,"result":null}"#);
}

#[tokio::test]
async fn a_leftover_is_replaced_and_the_file_goes_at_the_end() {
    let sockets = Sockets::new();
    let mut killed = sockets.start(NOWHERE, &[], &[]).await;
    killed.signal(Signal::KILL);
    assert_eq!(killed.exit_code().await, None);
    assert!(is_socket(&killed.jobs) && is_socket(&killed.admin));
    let mut proxy = sockets.start(NOWHERE, &[], &[]).await;
    assert_eq!(proxy.admin("GET", "/readyz").await.status, 200);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    assert_eq!(fs::read_dir(sockets.dir.path()).unwrap().count(), 0);
}

/// What a process says that can't listen on `jobs.sock`, and ends with.
async fn refused(sockets: &Sockets) -> String {
    let mut command = command();
    let address = sockets.address("jobs.sock");
    command.args(["serve", "--upstream", NOWHERE, "--admin-listen", ""]);
    let output = command.args(["--listen", &address]).output();
    let output = within("the end of the process", output).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!("microbatch: server.listen: can't listen on {address}: ");
    let (_, why) = said
        .split_once(&expected)
        .unwrap_or_else(|| panic!("{said}"));
    why.trim_end().to_owned()
}

const OTHERWISE: &str = "give another address with --listen or server.listen";

#[tokio::test]
async fn a_socket_that_somebody_listens_on_is_left_alone() {
    let sockets = Sockets::new();
    let proxy = sockets.start(NOWHERE, &[], &[]).await;
    let said = refused(&sockets).await;
    let expected = format!("somebody listens there; stop what listens there, or {OTHERWISE}");
    assert_eq!(said, expected);
    assert_eq!(
        proxy.send(Request::new("GET", "/healthz")).await.status,
        200
    );
    // Busy as it may be: nobody is let in, and the backlog holds no more.
    let other = Sockets::new();
    let deaf = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let path = other.path("jobs.sock");
    deaf.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    deaf.listen(0).unwrap();
    let _fills = std::os::unix::net::UnixStream::connect(&path).unwrap();
    assert_eq!(refused(&other).await, expected);
    assert!(is_socket(&path));
}

#[tokio::test]
async fn what_is_no_socket_is_never_replaced() {
    let sockets = Sockets::new();
    let path = sockets.path("jobs.sock");
    let elsewhere = sockets.path("elsewhere.sock");
    drop(UnixListener::bind(&elsewhere).unwrap());
    let in_the_way = format!(
        "there is a file that is no socket; move it away if nobody needs it, or {OTHERWISE}"
    );
    fs::write(&path, "precious").unwrap();
    assert_eq!(refused(&sockets).await, in_the_way);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(refused(&sockets).await, in_the_way);
    fs::remove_dir(&path).unwrap();
    // Not even a link to a leftover.
    symlink(&elsewhere, &path).unwrap();
    assert_eq!(refused(&sockets).await, in_the_way);
    assert!(path.is_symlink() && is_socket(&elsewhere));
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_told() {
    let sockets = Sockets::new();
    fs::remove_dir(sockets.dir.path()).unwrap();
    let expected = format!("its directory is not there; make the directory, or {OTHERWISE}");
    assert_eq!(refused(&sockets).await, expected);
    fs::write(sockets.dir.path(), "").unwrap();
    assert_eq!(refused(&sockets).await, expected);
    fs::remove_file(sockets.dir.path()).unwrap();
    fs::create_dir(sockets.dir.path()).unwrap();
}

#[tokio::test]
async fn a_socket_has_its_permissions_whatever_the_umask() {
    for umask in ["000", "077", "777"] {
        let sockets = Sockets::new();
        let mut by = Command::new("sh");
        by.env_clear().stdin(Stdio::null()).kill_on_drop(true);
        by.args(["-c", &format!("umask {umask} && exec \"$0\" \"$@\"")]);
        by.arg(command().as_std().get_program());
        let env = [("MICROBATCH_ADMIN__SOCKET_MODE", "0600")];
        let process = sockets.starting_by(by, NOWHERE, &[], &env);
        let proxy = sockets.ready(process).await;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&proxy.jobs), mode(&proxy.admin)), (0o660, 0o600));
    }
}

#[tokio::test]
async fn a_file_that_is_anothers_stays() {
    let sockets = Sockets::new();
    let mut first = sockets.start(NOWHERE, &[], &[]).await;
    for path in [&first.jobs, &first.admin] {
        fs::remove_file(path).unwrap();
    }
    let second = sockets.start(NOWHERE, &[], &[]).await;
    first.signal(Signal::TERM);
    assert_eq!(first.exit_code().await, Some(0));
    assert_eq!(
        second.send(Request::new("GET", "/healthz")).await.status,
        200
    );
    assert_eq!(second.admin("GET", "/readyz").await.status, 200);
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_file() {
    let sockets = Sockets::new();
    fs::write(sockets.path("admin.sock"), "").unwrap();
    let mut process = sockets.starting(NOWHERE, &[], &[]);
    assert_eq!(process.exit_code().await, Some(1));
    assert!(!sockets.path("jobs.sock").exists());
}

/// Each finds the leftover of the one that was killed; whoever takes its place is not taken
/// for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_start_at_once_one_listens() {
    let sockets = Sockets::new();
    for _ in 0..3 {
        let many = (0..6).map(|_| sockets.starting(NOWHERE, &[], &[]));
        let (mut ready, mut ended) = (JoinSet::new(), 0);
        for mut process in many.collect::<Vec<_>>() {
            ready.spawn(async move {
                match process.ready_or_ended().await {
                    None => Some(process),
                    Some(code) => {
                        assert_eq!(code, 1);
                        None
                    }
                }
            });
        }
        let mut listens = Vec::new();
        while let Some(one) = within("all of them", ready.join_next()).await {
            match one.unwrap() {
                Some(process) => listens.push(process),
                None => ended += 1,
            }
        }
        assert_eq!((listens.len(), ended), (1, 5));
        let healthz = Request::new("GET", "/healthz");
        assert_eq!(send(&sockets.path("jobs.sock"), healthz).await.status, 200);
        listens[0].signal(Signal::KILL);
        assert_eq!(listens[0].exit_code().await, None);
    }
}

#[tokio::test]
async fn who_is_connected_when_it_closes_is_answered() {
    let (sockets, mut upstream) = (Sockets::new(), ScriptedUpstream::start().await);
    let mut proxy = sockets
        .start(&upstream.url(), &["--max-size", "1"], &[])
        .await;
    let (jobs, file) = (proxy.jobs.clone(), proxy.jobs.clone());
    let caller = tokio::spawn(async move { send(&jobs, Request::job(JOB)).await });
    let call = upstream.next().await;
    proxy.signal(Signal::STOP);
    // The system has taken it in, and the proxy has not.
    let mut late = KeepAlive::on(connect(&proxy.jobs).await).await;
    let late = tokio::spawn(async move { late.post(r#"{"id":"late"}"#).await });
    proxy.signal(Signal::TERM);
    proxy.signal(Signal::CONT);
    proxy.process.log.nth("draining", 1).await;
    // There is nothing left to connect to, while one is still being served.
    eventually("the file to go", || async {
        (!file.exists()).then_some(())
    })
    .await;
    assert_eq!(proxy.admin("GET", "/readyz").await.status, 503);
    call.echo();
    caller.await.unwrap().is_result(ECHO);
    let answering = async {
        tokio::select! {
            call = upstream.next() => call.echo(),
            code = proxy.exit_code() => assert_eq!(code, Some(0)),
        }
    };
    let (answer, ()) = tokio::join!(late, answering);
    let answer = answer.unwrap();
    if answer.status != 200 {
        answer.problem(503, "shutting-down", "no").has("id", "late");
    }
    assert_eq!(proxy.exit_code().await, Some(0));
    assert_eq!(fs::read_dir(sockets.dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn permissions_of_a_port_are_not_used() {
    let env = [("MICROBATCH_SERVER__SOCKET_MODE", "0600")];
    let proxy = Proxy::start(NOWHERE, &[], &env).await;
    let warned = |line: &Line| {
        line.message().contains("server.socket_mode = 0600")
            && line.message().contains("is not used with server.listen = ")
    };
    proxy.log.wait_for("a warning", warned).await;
}
