//! The README's upstreams and callers in Python and Node, and those of docs/later.md, started and
//! used.
//!
//! Where there is no `python3` or no `node`, their tests say so and are skipped, but for where `CI`
//! is set: there that is a failure.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::page::{Page, readme};
use crate::process::Running;

/// A language of the examples.
#[derive(Clone, Copy)]
pub struct Language {
    program: &'static str,
    /// Of its fences.
    fence: &'static str,
    /// What stands in an upstream alone.
    upstream: &'static str,
    /// What stands in a caller that waits alone.
    caller: &'static str,
    /// Has a program, its first argument, print the port that it listens on.
    told: &'static str,
}

pub const PYTHON: Language = Language {
    program: "python3",
    fence: "python",
    upstream: "serve_forever",
    caller: "ThreadPoolExecutor",
    told: "
import socketserver, sys
serve = socketserver.BaseServer.serve_forever
def told(self):
    print(self.server_address[1], flush=True)
    serve(self)
socketserver.BaseServer.serve_forever = told
exec(compile(sys.argv[1], 'upstream', 'exec'), {'__name__': '__main__'})
",
};

pub const NODE: Language = Language {
    program: "node",
    fence: "js",
    upstream: "createServer",
    caller: "Promise.all",
    told: "
const { listen } = require('node:net').Server.prototype;
require('node:net').Server.prototype.listen = function (...where) {
  this.once('listening', () => console.log(this.address().port));
  return listen.apply(this, where);
};
const [program] = process.argv.slice(-1);
new Function('require', program)(require);
",
};

/// An upstream that runs until it is dropped.
struct Upstream {
    child: Child,
    port: u16,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Language {
    pub fn is_there(self) -> bool {
        let found = Command::new(self.program)
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !found {
            let missing = self.program;
            assert!(
                std::env::var_os("CI").is_none(),
                "there is no {missing}, and CI is set"
            );
            eprintln!("SKIPPED: there is no {missing} to run the examples with");
        }
        found
    }

    /// The one example of a page that holds this.
    pub fn example(self, page: &Page, part: &str) -> String {
        let mut fences = page.fences_in(self.fence);
        fences.retain(|text| text.contains(part));
        assert_eq!(fences.len(), 1, "{}: {part}", self.fence);
        fences.remove(0)
    }

    /// With this as its program, and without the settings of whoever runs the test.
    pub fn command(self, program: &str) -> Command {
        let mut command = Command::new(self.program);
        command.args([if self.program == "node" { "-e" } else { "-c" }, program]);
        for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn upstream(self) -> Upstream {
        let example = self.example(&readme(), self.upstream);
        assert!(example.contains("9000"), "{example}");
        let mut command = self.command(self.told);
        command.arg(example.replace("9000", "0"));
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut port).unwrap();
        Upstream {
            port: port.trim().parse().unwrap(),
            child,
        }
    }

    /// What the caller prints.
    fn call(self, address: &str) -> String {
        self.run(&self.example(&readme(), self.caller), address)
    }

    /// What an example prints that speaks to the proxy at this address.
    pub fn run(self, example: &str, address: &str) -> String {
        assert!(example.contains("127.0.0.1:8080"), "{example}");
        let program = example.replace("127.0.0.1:8080", address);
        let output = self.command(&program).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn documents(lines: &str) -> Vec<Value> {
    let lines = lines.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The three jobs leave together, and each caller prints what is shown.
fn together(upstream: Language, caller: Language) {
    if !upstream.is_there() || !caller.is_there() {
        return;
    }
    let listening = upstream.upstream();
    let url = format!("http://127.0.0.1:{}/batch", listening.port);
    let flags = ["--upstream", &url, "--max-size", "3", "--max-wait", "10s"];
    let mut proxy = Running::proxy(&flags);
    let address = proxy.address();
    let printed = caller.call(&address);
    let fences = readme().fences_in("text");
    let shown = fences.iter().find(|text| text.contains("HELLO 1")).unwrap();
    assert_eq!(documents(&printed), documents(shown));
    let left = proxy.logs("batch left");
    assert_eq!(left["size"], 3, "{left}");
}

#[test]
fn python_serves_python() {
    together(PYTHON, PYTHON);
}

#[test]
fn node_serves_node() {
    together(NODE, NODE);
}

#[test]
fn python_serves_node_and_node_python() {
    together(PYTHON, NODE);
    together(NODE, PYTHON);
}
