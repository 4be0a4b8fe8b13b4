//! Many callers that are connected and wait: for figures of memory, and of idleness.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many open files as the system allows, here and in what is started.
pub fn allow_many_files() -> Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limit)?;
    Ok(())
}

/// Callers with a connection each. They leave with this.
pub struct Callers(Vec<TcpStream>);

impl Callers {
    pub fn connect(address: &str, callers: usize) -> Result<Self> {
        let connect = |_| TcpStream::connect(address);
        let callers = (0..callers).map(connect).collect::<Result<_, _>>();
        Ok(Self(callers.context("too few connections")?))
    }

    /// Each sends a job, with a body of so many bytes.
    pub fn post(&mut self, bytes: usize) -> Result<()> {
        let body = "x".repeat(bytes);
        for (id, caller) in self.0.iter_mut().enumerate() {
            let job = format!(r#"{{"id":{id},"body":"{body}"}}"#);
            let head = format!(
                "POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n",
                job.len()
            );
            caller.write_all(head.as_bytes())?;
            caller.write_all(job.as_bytes())?;
        }
        Ok(())
    }

    /// Waits until each has the beginning of an answer.
    pub fn answered(&mut self) -> Result<()> {
        for caller in &mut self.0 {
            caller.read_exact(&mut [0; 12])?;
        }
        Ok(())
    }

    /// Reads so many bytes for each.
    pub fn read(&mut self, bytes: usize) -> Result<()> {
        let mut buffer = vec![0; bytes];
        for caller in &mut self.0 {
            caller.read_exact(&mut buffer)?;
        }
        Ok(())
    }
}
