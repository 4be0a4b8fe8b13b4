//! A client in turn: straight to its service, and through microbatch.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Proxy, SetUp};
use crate::install::Peers;
use crate::relay::Relay;
use crate::service::Service;

/// How long a client may take: a bound for a hang.
const LONGEST: Duration = Duration::from_secs(120);

/// The last line in a client's output is its answers, as JSON.
pub struct Turns<'a> {
    pub peers: &'a Peers,
    pub service: &'a Service,
    /// The file of `config/` that it is set up by, without its ending.
    pub set_up: &'static str,
    /// What its route has in place of the file's own.
    pub settings: &'a [(&'static str, &'static str)],
}

/// A wait in which all of a client's callers at once come together on a busy machine.
pub const PATIENT: &[(&str, &str)] = &[("BATCH__MAX_WAIT", "250ms"), ("BATCH__WAIT", "fixed")];

impl Turns<'_> {
    /// Gives `client` both turns, and asserts that its answers are the same and the calls at most
    /// half as many. Returns the answers.
    pub async fn of(&self, client: &str) -> Value {
        let relay = Relay::before(self.service.addr).await;
        let straight = self.run(client, &relay.url(), "straight").await;
        let calls = relay.calls();

        let relay = Relay::before(self.service.addr).await;
        let proxy = self.proxy(&relay).await;
        let url = format!("http://{}", proxy.jobs_addr);
        let through = self.run(client, &url, "through").await;
        let fewer = relay.calls();

        let what = format!("{client}: {calls} calls straight, {fewer} through microbatch");
        assert_eq!(straight, through, "{what}");
        assert!(fewer * 2 <= calls, "{what}");
        self.peers.say(&what);
        through
    }

    async fn proxy(&self, relay: &Relay) -> Proxy {
        let set_up = SetUp::before(&relay.url(), self.set_up);
        set_up.start(self.settings).await
    }

    async fn run(&self, client: &str, url: &str, turn: &str) -> Value {
        let mut command = self.peers.command(client);
        command.args([url, turn]).env("NO_PROXY", "127.0.0.1");
        let done = tokio::time::timeout(LONGEST, command.output()).await;
        let done = done.unwrap_or_else(|_| panic!("{client} {turn} hangs"));
        let done = done.expect("it was installed");
        let said = String::from_utf8_lossy(&done.stdout);
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{client} {turn}: {said}{errors}");
        let answers = said.lines().last().unwrap_or_default();
        serde_json::from_str(answers).unwrap_or_else(|error| panic!("{error}: {said}{errors}"))
    }
}
