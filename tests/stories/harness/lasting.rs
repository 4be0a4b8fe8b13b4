//! A proxy whose jobs for later outlive it, in a file of SQLite.

use std::io::Write;

use tempfile::{NamedTempFile, TempDir};

use super::{Proxy, ScriptedUpstream, Signal};

/// A machine with such a file, on which one proxy after another is started.
pub struct Machine {
    pub upstream: ScriptedUpstream,
    files: TempDir,
    flags: Vec<String>,
    env: Vec<(String, String)>,
}

impl Machine {
    /// With these flags, and these of `later`, without `MICROBATCH_`.
    pub async fn new(flags: &[&str], env: &[(&str, &str)]) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let file = files.path().join("jobs.db");
        let store = format!("sqlite:{}", file.display());
        let mut env: Vec<_> = env
            .iter()
            .map(|(key, value)| (format!("MICROBATCH_{key}"), (*value).to_owned()))
            .collect();
        env.push(("MICROBATCH_LATER__STORE".to_owned(), store));
        Self {
            upstream: ScriptedUpstream::start().await,
            files,
            flags: flags.iter().map(|&it| it.to_owned()).collect(),
            env,
        }
    }

    /// Starts a proxy.
    pub async fn start(&self) -> Proxy {
        self.start_at(&self.upstream.url(), &[]).await
    }

    /// Starts one by these settings, where `URL` stands for the upstream's
    /// `scheme://host:port`.
    pub async fn start_with(&self, settings: &str) -> Proxy {
        let origin = format!("http://{}", self.upstream.addr());
        let mut file = NamedTempFile::new_in(self.files.path()).expect("a file");
        let settings = settings.replace("URL", &origin);
        file.write_all(settings.as_bytes()).expect("the settings");
        let path = file.path().to_str().expect("a path in UTF-8");
        self.start_at(&self.upstream.url(), &["--config", path])
            .await
    }

    async fn start_at(&self, upstream: &str, more: &[&str]) -> Proxy {
        let flags = self.flags.iter().map(String::as_str);
        let flags: Vec<_> = flags.chain(more.iter().copied()).collect();
        let env = self.env.iter();
        let env: Vec<_> = env.map(|(key, value)| (&**key, &**value)).collect();
        Proxy::start(upstream, &flags, &env).await
    }
}

impl Proxy {
    /// Kills it at once, as a crash does.
    pub async fn crash(mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.exit_code().await, None);
    }
}
