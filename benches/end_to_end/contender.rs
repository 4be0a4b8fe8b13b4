//! Servers that are compared: driven in turn, round by round.

use anyhow::Result;

use crate::median;
use crate::process::Server;
use crate::wrk::{Load, drive};

/// One of those that are compared: µs of CPU per request, and requests per second.
pub struct Contender {
    pub name: &'static str,
    pub server: Server,
    pub cpu: Vec<f64>,
    pub rate: Vec<f64>,
}

impl Contender {
    pub fn new(name: &'static str, server: Server) -> Self {
        let (cpu, rate) = (Vec::new(), Vec::new());
        Self {
            name,
            server,
            cpu,
            rate,
        }
    }

    pub fn round(&mut self, load: Load) -> Result<()> {
        let before = self.server.cpu()?;
        let run = drive(&self.server.address, load)?;
        let took = self.server.cpu()? - before;
        self.cpu.push(took.as_secs_f64() * 1e6 / run.requests);
        self.rate.push(run.rate());
        Ok(())
    }
}

/// How many times a figure of `to` that of `of` is: of each round, so that what slows the
/// machine for a while slows both.
pub fn over(of: &Contender, to: &Contender, figure: fn(&Contender) -> &[f64]) -> f64 {
    let pairs = figure(of).iter().zip(figure(to));
    median(pairs.map(|(a, b)| a / b).collect())
}
