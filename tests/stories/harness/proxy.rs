//! The real binary as a child process.

use std::net::SocketAddr;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{Answer, Caller, KeepAlive, Log, Request, eventually, send, within};

/// A running proxy. Dropping it kills the process.
pub struct Proxy {
    pub log: Log,
    pub jobs_addr: SocketAddr,
    /// Absent with `--admin-listen ""`.
    pub admin_addr: Option<SocketAddr>,
    child: Child,
}

/// A process that was started, and may be ready some time.
pub struct Starting {
    pub log: Log,
    child: Child,
}

/// What a story gets where it says nothing else. The timeouts are longer than
/// any wait of the harness, so that nothing which a story waits for can come of
/// a timeout that it did not ask for.
const DEFAULTS: [(&str, &str); 6] = [
    ("--listen", "127.0.0.1:0"),
    ("--admin-listen", "127.0.0.1:0"),
    ("--request-timeout", "60s"),
    ("--upstream-timeout", "60s"),
    ("--shutdown-timeout", "60s"),
    ("--log-level", "trace"),
];

/// The binary with an empty environment, so that nothing of the machine that
/// runs the tests (`HTTP_PROXY`, `MICROBATCH_…`) decides about a story.
/// `MICROBATCH_BIN`, in the tests' own environment, names another binary.
pub fn command() -> Command {
    let binary = std::env::var_os("MICROBATCH_BIN")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_microbatch").into());
    let mut command = Command::new(binary);
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl Proxy {
    /// Starts the proxy before `upstream_url`, if that is any, with more flags and
    /// environment variables, on ports of its own, and waits until it is ready.
    pub async fn start(upstream_url: &str, flags: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_by(command(), upstream_url, flags, env).await
    }

    /// The same for a process whose number of open files `ulimit` bounds so.
    pub async fn start_with_files(limit: &str, upstream_url: &str, flags: &[&str]) -> Self {
        let binary = command();
        let binary = binary.as_std().get_program();
        let mut limited = Command::new("sh");
        limited.env_clear().stdin(Stdio::null()).kill_on_drop(true);
        limited.arg("-c");
        limited.arg(format!("ulimit {limit} && exec \"$0\" \"$@\""));
        limited.arg(binary);
        Self::start_by(limited, upstream_url, flags, &[]).await
    }

    async fn start_by(
        command: Command,
        upstream_url: &str,
        flags: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let starting = Starting::by(command, upstream_url, flags, env);
        starting.ready().await
    }

    /// One request on a new connection to the jobs listener.
    pub async fn send(&self, request: Request) -> Answer {
        send(self.jobs_addr, request).await
    }

    /// One job on a new connection, from question to answer.
    pub async fn post(&self, job: impl Into<bytes::Bytes>) -> Answer {
        self.send(Request::job(job)).await
    }

    /// One `GET` on a new connection to the admin listener.
    pub async fn admin(&self, method: &str, path: &str) -> Answer {
        let admin = self.admin_addr.expect("an admin listener");
        send(admin, Request::new(method, path)).await
    }

    /// `POST /flush`; how many jobs it says were waiting.
    pub async fn flush(&self) -> u64 {
        let answer = self.admin("POST", "/flush").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let jobs = answer.json()["jobs"].as_u64();
        jobs.unwrap_or_else(|| panic!("no jobs in {answer:?}"))
    }

    /// A caller on a connection of its own, whose job the proxy has queued.
    pub async fn enqueue(&self, job: &str) -> Caller {
        self.enqueue_request(Request::job(job.to_owned())).await
    }

    /// The same for a request that is more than a job, such as one with a
    /// header.
    pub async fn enqueue_request(&self, request: Request) -> Caller {
        self.spawn_until("job queued", request).await
    }

    /// A caller whose job waits for room in the queue (`on_full = "wait"`).
    pub async fn overflow(&self, request: Request) -> Caller {
        self.spawn_until("job waits for room", request).await
    }

    async fn spawn_until(&self, message: &str, request: Request) -> Caller {
        let id = request.job_id();
        let same = |line: &super::Line| {
            line.message() == message
                && serde_json::from_str(line.text("id")).ok() == Some(id.clone())
        };
        let before = self.log.count(same);
        let mut caller = Caller::spawn(self.jobs_addr, request);
        let what = format!("{message}: {id}");
        tokio::select! {
            _ = self.log.wait_for_nth(&what, before + 1, same) => caller,
            answer = caller.refused() => panic!("instead of {what}: {answer:?}"),
        }
    }

    /// An open connection that the proxy has certainly accepted.
    pub async fn keep_alive(&self) -> KeepAlive {
        let mut connection = KeepAlive::connect(self.jobs_addr).await;
        let answer = connection.send(Request::new("GET", "/healthz")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        connection
    }

    /// The process's number.
    pub fn process_id(&self) -> u32 {
        self.child.id().expect("a process that still runs")
    }

    /// The process's memory (its resident set) in KiB, at its peak so far.
    pub fn peak_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process_id());
        let status = std::fs::read_to_string(status).expect("the state of a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let size = line.and_then(|line| line.split_whitespace().next());
        size.expect("a size").parse().expect("a size in kB")
    }

    /// How many of the process's threads have a name that begins so.
    pub fn threads(&self, name: &str) -> usize {
        let tasks = format!("/proc/{}/task", self.process_id());
        let tasks = std::fs::read_dir(tasks).expect("the threads of a process");
        let names = tasks.map(|task| std::fs::read_to_string(task?.path().join("comm")));
        let names = names.map(|it| it.expect("a thread's name"));
        names.filter(|it| it.starts_with(name)).count()
    }

    /// How many files, pipes and sockets the process has open.
    pub fn open_files(&self) -> usize {
        let files = format!("/proc/{}/fd", self.process_id());
        std::fs::read_dir(files)
            .expect("the files of a process")
            .count()
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.process_id(), signal);
    }

    /// Waits until it drains: no job is accepted any more, and what was claimed from a store
    /// waits there again. It says `draining` a moment before that.
    #[allow(dead_code, reason = "for `tests/stories`")]
    pub async fn drains(&self) {
        eventually("the listener to close", || async {
            TcpStream::connect(self.jobs_addr).await.err()
        })
        .await;
    }

    /// Waits for the end of the process; its exit code, none when a signal
    /// killed it.
    pub async fn exit_code(&mut self) -> Option<i32> {
        exit_code(&mut self.child).await
    }
}

impl Starting {
    /// Starts `serve` by this command, which is the binary's or ends in it.
    pub fn by(
        mut command: Command,
        upstream_url: &str,
        flags: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        command.arg("serve");
        if !upstream_url.is_empty() {
            command.args(["--upstream", upstream_url]);
        }
        command.args(["--log-format", "json"]);
        for (flag, value) in DEFAULTS {
            if !flags.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.args(flags).envs(env.iter().copied());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let log = Log::read(child.stderr.take().expect("stderr is piped"));
        Self { log, child }
    }

    /// Waits until it is.
    pub async fn ready(self) -> Proxy {
        let listening = self.log.nth("listening", 1).await;
        let address = |field| listening.text(field).parse().ok();
        let jobs_addr = address("listen").unwrap_or_else(|| panic!("no address in {listening:?}"));
        let admin_addr = address("admin");
        self.log.nth("ready", 1).await;
        Proxy {
            log: self.log,
            jobs_addr,
            admin_addr,
            child: self.child,
        }
    }

    /// Waits for the end of a process that does not become ready; its exit code, none when
    /// a signal killed it.
    #[allow(dead_code, reason = "for `tests/durability`")]
    pub async fn exit_code(&mut self) -> Option<i32> {
        exit_code(&mut self.child).await
    }

    /// Waits until it is ready or has ended; its exit code then.
    #[allow(dead_code, reason = "for `tests/stories`")]
    pub async fn ready_or_ended(&mut self) -> Option<i32> {
        let ready = |line: &super::Line| line.message() == "ready";
        match self.log.find_nth(1, ready).await {
            Some(_) => None,
            None => exit_code(&mut self.child).await,
        }
    }

    /// Sends a signal to the process.
    #[allow(dead_code, reason = "for `tests/durability`")]
    pub fn signal(&self, signal: Signal) {
        // Where it has ended it has no number, and wants no signal.
        if let Some(id) = self.child.id() {
            send_signal(id, signal);
        }
    }
}

fn send_signal(id: u32, signal: Signal) {
    let pid = Pid::from_raw(id.try_into().expect("a process id")).expect("a process id");
    kill_process(pid, signal).expect("the signal is sent");
}

async fn exit_code(child: &mut Child) -> Option<i32> {
    let status = within("the proxy's end", child.wait()).await;
    status.expect("an exit status").code()
}
