//! What a call costs on a route with a shape, beside nginx passing each by itself to the same
//! service.

use anyhow::{Context, Result};

use crate::contender::{Contender, over};
use crate::median;
use crate::process::Server;
use crate::service::Service;
use crate::wrk::Load;

/// Bytes of an item, its quotes included.
const ITEM: usize = 100;

/// The numbers in a result: about 100 bytes of them, and a common embedding.
const NUMBERS: [usize; 2] = [9, 1_536];

/// Measures and prints.
pub fn measure(services: &[Service], rounds: usize, seconds: u32) -> Result<()> {
    println!(
        "| shape | numbers in a result | connections | calls in a batch | µs of CPU per call | nginx's | ratio |"
    );
    println!("|---|---|---|---|---|---|---|");
    for service in services {
        for numbers in NUMBERS {
            for callers in [64, 256] {
                compare(*service, numbers, callers, rounds, seconds)?;
            }
        }
    }
    Ok(())
}

fn compare(
    service: Service,
    numbers: usize,
    callers: usize,
    rounds: usize,
    seconds: u32,
) -> Result<()> {
    let upstream = Server::service(service, numbers)?;
    let folder = tempfile::tempdir()?;
    let nginx = Server::nginx(&upstream.address, folder.path()).context("nginx")?;
    let mut contenders = [
        Contender::new("proxy", proxy(service, &upstream)?),
        Contender::new("nginx", nginx),
    ];
    let load = Load {
        bytes: ITEM - 2,
        path: service.path(),
        call: service.call(),
        ..Load::of(callers, seconds)
    };
    for _ in 0..rounds {
        for contender in &mut contenders {
            contender.round(load)?;
        }
    }
    let [proxy, nginx] = &contenders;
    let label = r#"{route="measured"}"#;
    let count = |which| {
        let name = format!("microbatch_batch_size_jobs_{which}{label}");
        proxy.server.metric(&name)
    };
    let batch = count("sum")? / count("count")?;
    let [cost, theirs] = [proxy, nginx].map(|it| median(it.cpu.clone()));
    let ratio = over(proxy, nginx, |it| &it.cpu);
    println!(
        "| `{}` | {numbers} | {callers} | {batch:.0} | {cost:.1} | {theirs:.1} | {ratio:.2} |",
        service.name()
    );
    Ok(())
}

/// A proxy with one more route, which nothing but its shape distinguishes.
fn proxy(service: Service, upstream: &Server) -> Result<Server> {
    let url = format!("http://{}{}", upstream.address, service.path());
    let settings = [
        ("MICROBATCH_ROUTES__MEASURED__PATH", service.path()),
        ("MICROBATCH_ROUTES__MEASURED__SHAPE", service.name()),
        ("MICROBATCH_ROUTES__MEASURED__UPSTREAM__URL", &url),
    ];
    Server::proxy_with(&upstream.address, "--max-size 64", &settings)
}
