//! How many instructions a job takes in user space, beside the floor's.
//!
//! Each server runs in callgrind, whose counting is switched on for one run of a load, and is
//! divided by the requests of that run. As many callers as the largest batch has jobs, 64 at
//! least, and one thread; the proxy's batches are full whenever they leave, so that nothing
//! depends on how fast the machine is. Over ports, over a unix socket, and by one connection
//! of HTTP/2.
//!
//! What was counted stays in `target/instructions`; `callgrind_annotate` tells where
//! they went, with names where the profile keeps them:
//!
//! ```sh
//! cargo bench --profile profiling --bench end_to_end -- --instructions
//! callgrind_annotate target/instructions/batches-of-64.* | less
//! ```

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::counter::Counter;
use crate::direct::{self, Connections, Way};
use crate::process::Server;
use crate::wrk::{self, Load};

const CALLERS: usize = 64;

/// The sizes of batches, each with its own figure.
const SIZES: [usize; 3] = [64, 8, 4_096];

/// By which way callers come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Port,
    Socket,
    Http2,
}

impl By {
    const ALL: [(Self, &str); 3] = [
        (Self::Port, "ports"),
        (Self::Socket, "unix-sockets"),
        (Self::Http2, "http2"),
    ];

    /// Has so many callers send jobs there; how many were answered.
    fn drive(self, address: &str, callers: usize, seconds: u32) -> Result<f64> {
        match self {
            Self::Port => Ok(wrk::drive(address, Load::of(callers, seconds))?.requests),
            Self::Socket => direct::drive(&Way::to(address), callers, seconds, Connections::Kept),
            Self::Http2 => direct::drive_http2(address, callers, seconds),
        }
    }
}

/// Counts and prints.
pub fn measure(seconds: u32) -> Result<()> {
    let folder = Path::new("target/instructions");
    // What an earlier run has left is not to be added up.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;

    let upstream = Server::of_ours("upstream")?;
    for (by, name) in By::ALL {
        let sockets = tempfile::tempdir()?;
        let at = |name: &str| match by {
            By::Socket => Some(format!("unix:{}", sockets.path().join(name).display())),
            _ => None,
        };
        // Who connects does so once in each run, which is not to count.
        let drive = |callers: usize| {
            let seconds = seconds * (callers / 512).max(1) as u32;
            move |server: &Server| by.drive(&server.address, callers, seconds)
        };
        let counter = Counter::new(folder, &format!("{name}-floor"));
        let floor = Server::counted_floor(&counter, at("floor").as_deref())?;
        let floor = count(&counter, &floor, drive(CALLERS))?;
        println!(
            "{:<32}{floor:>8.0} instructions a request",
            format!("{name}: floor")
        );
        let mut first = None;
        for size in SIZES {
            // A connection of HTTP/2 has a hundred streams by default.
            if by != By::Port && size > CALLERS {
                continue;
            }
            let counter = Counter::new(folder, &format!("{name}-batches-of-{size}"));
            let mut flags = format!("--threads 1 --max-size {size} --max-wait 500ms");
            if let Some(socket) = at(&size.to_string()) {
                flags += &format!(" --listen {socket}");
            }
            let proxy = Server::counted_proxy(&upstream.address, &flags, &counter)?;
            let job = count(&counter, &proxy, drive(CALLERS.max(size)))?;
            let what = format!("{name}: batches of {size}");
            let beside = job / *first.get_or_insert(job);
            let floors = job / floor;
            println!(
                "{what:<32}{job:>8.0} a job, {floors:.2} × the floor, {beside:.2} × those of {}",
                SIZES[0]
            );
        }
    }
    Ok(())
}

/// The same of a run of wrk with that load.
pub fn count_load(counter: &Counter, server: &Server, load: Load) -> Result<f64> {
    count(counter, server, |it| {
        Ok(wrk::drive(&it.address, load)?.requests)
    })
}

/// Instructions for each request of one run, which tells how many there were.
fn count(counter: &Counter, server: &Server, run: impl Fn(&Server) -> Result<f64>) -> Result<f64> {
    // Whatever is done once is done before.
    run(server)?;
    control(server, &["-i", "on"])?;
    let requests = run(server)?;
    control(server, &["-i", "off"])?;
    control(server, &["-d"])?;
    let folder = counter.out.parent().context("no folder")?;
    let name = counter.out.file_name().and_then(|it| it.to_str());
    let name = format!("{}.{}", name.context("no name")?, server.pid());
    let mut total = 0.0;
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with(&name) {
            total += instructions(&fs::read_to_string(file.path())?);
        }
    }
    ensure!(total > 0.0, "callgrind has counted nothing");
    Ok(total / requests)
}

/// The sum that a dump of callgrind tells.
fn instructions(dump: &str) -> f64 {
    let sums = dump.lines().filter_map(|it| it.strip_prefix("totals: "));
    sums.filter_map(|it| it.trim().parse::<f64>().ok()).sum()
}

fn control(server: &Server, arguments: &[&str]) -> Result<()> {
    let status = Command::new("callgrind_control")
        .args(arguments)
        .arg(server.pid().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("callgrind_control can't be run; Debian has it in the package valgrind")?;
    ensure!(status.success(), "callgrind_control has failed");
    Ok(())
}
