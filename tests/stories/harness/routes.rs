//! A proxy whose routes stand in a file of settings.

use std::io::Write;

use super::{Answer, Call, Caller, Proxy, Request, ScriptedUpstream};

/// A proxy with routes of its own beside `jobs`, before one upstream.
pub struct Routes {
    pub proxy: Proxy,
    pub upstream: ScriptedUpstream,
}

impl Routes {
    /// Starts a proxy by these settings, where `URL` stands for the upstream's `scheme://host:port`.
    /// Nothing waits for less than the story's own flush, unless settings or flags say so.
    pub async fn start(settings: &str) -> Self {
        Self::start_with(settings, &[]).await
    }

    /// The same with more flags.
    pub async fn start_with(settings: &str, flags: &[&str]) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let jobs = upstream.url();
        Self::before(upstream, &jobs, settings, flags).await
    }

    /// The same without a route `jobs`.
    pub async fn without_jobs(settings: &str) -> Self {
        let upstream = ScriptedUpstream::start().await;
        Self::before(upstream, "", settings, &[]).await
    }

    async fn before(
        upstream: ScriptedUpstream,
        jobs: &str,
        settings: &str,
        flags: &[&str],
    ) -> Self {
        let origin = format!("http://{}", upstream.addr());
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let settings = settings.replace("URL", &origin);
        file.write_all(settings.as_bytes()).expect("the settings");
        let path = file.path().to_str().expect("a path in UTF-8");
        let mut flags = [&["--config", path], flags].concat();
        if !flags.contains(&"--max-wait") {
            flags.extend(["--max-wait", "50s"]);
        }
        let proxy = Proxy::start(jobs, &flags, &[]).await;
        Self { proxy, upstream }
    }

    /// A route named `a` at this path, of this shape, whose batches go to `target`.
    pub async fn of(path: &str, shape: &str, target: &str) -> Self {
        Self::start(&route("a", path, shape, target)).await
    }

    /// Posts these bodies to a path, each on a connection of its own, until all are queued.
    pub async fn queue(&self, path: &str, bodies: &[&str]) -> Vec<Caller> {
        let mut callers = Vec::new();
        for body in bodies {
            callers.push(self.queue_one(call(path, body)).await);
        }
        callers
    }

    /// The same with one request, whatever it says.
    pub async fn queue_one(&self, request: Request) -> Caller {
        let is_queued = |line: &super::Line| line.message() == "job queued";
        let before = self.proxy.log.count(is_queued);
        let mut caller = Caller::spawn(self.proxy.jobs_addr, request);
        let log = &self.proxy.log;
        tokio::select! {
            _ = log.wait_for_nth("a queued call", before + 1, is_queued) => caller,
            answer = caller.answered() => panic!("not queued: {answer:?}"),
        }
    }

    /// Has what waits sent, and gives the next batch.
    pub async fn flushed(&mut self) -> Call {
        self.proxy.flush().await;
        self.upstream.next().await
    }

    /// What the upstream gets for one request, with the caller who waits for its answer.
    pub async fn alone(&mut self, request: Request) -> (Call, Caller) {
        let mut caller = Caller::spawn(self.proxy.jobs_addr, request);
        tokio::select! {
            call = self.upstream.next() => (call, caller),
            answer = caller.answered() => panic!("not passed on: {answer:?}"),
        }
    }
}

/// Settings of a route.
pub fn route(name: &str, path: &str, shape: &str, target: &str) -> String {
    format!(
        "[routes.{name}]\npath = \"{path}\"\nshape = \"{shape}\"\n\
         [routes.{name}.upstream]\nurl = \"URL{target}\"\n"
    )
}

/// A call in JSON.
pub fn call(path: &str, body: &str) -> Request {
    Request::job(body.to_owned()).to("POST", path)
}

/// The answers of all of them.
pub async fn answers(callers: Vec<Caller>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.answer().await);
    }
    answers
}
