//! How the cost of a job changes as batches, jobs and callers grow.

use anyhow::Result;

use crate::process::Server;
use crate::wrk::{Load, drive};

/// The cost of a job in µs of CPU, by what grows, for the proxy and the floor.
pub struct Curve {
    pub title: &'static str,
    pub points: Vec<Point>,
}

pub struct Point {
    pub at: f64,
    pub proxy: f64,
    pub floor: f64,
}

const ROOMY: &str = "--max-bytes 256MiB --max-body 1MiB";

pub fn measure(seconds: u32) -> Result<Vec<Curve>> {
    let cost = |flags: String, load: Load, at: usize| -> Result<Point> {
        let upstream = Server::of_ours("upstream")?;
        let flags = format!("{ROOMY} {flags}");
        let proxy = Server::proxy(&upstream.address, &flags)?;
        Ok(Point {
            at: at as f64,
            proxy: cpu_per_job(&proxy, load)?,
            floor: cpu_per_job(&Server::of_ours("floor")?, load)?,
        })
    };
    let by_size = [8, 64, 512, 4_096].map(|size| {
        // Twice as many callers, so that a batch fills while another is under way.
        let load = Load::of(size * 2, seconds);
        cost(format!("--max-size {size}"), load, size)
    });
    let by_bytes = [100, 1 << 10, 10 << 10, 100 << 10].map(|bytes| {
        let load = Load {
            bytes,
            ..Load::of(128, seconds)
        };
        cost("--max-size 64".to_owned(), load, bytes)
    });
    let by_callers = [1, 10, 100, 1_000, 10_000].map(|callers| {
        let flags = "--max-size 64 --wait adaptive".to_owned();
        cost(flags, Load::of(callers, seconds), callers)
    });
    let curves = vec![
        Curve {
            title: "jobs in a batch (twice as many callers)",
            points: by_size.into_iter().collect::<Result<_>>()?,
        },
        Curve {
            title: "bytes of a job's body (64 in a batch, 128 callers)",
            points: by_bytes.into_iter().collect::<Result<_>>()?,
        },
        Curve {
            title: "callers (up to 64 in a batch, adaptive wait)",
            points: by_callers.into_iter().collect::<Result<_>>()?,
        },
    ];
    for curve in &curves {
        println!(
            "\n| {} | proxy, µs per job | floor, µs per request |",
            curve.title
        );
        println!("|---|---|---|");
        for Point { at, proxy, floor } in &curve.points {
            println!("| {at} | {proxy:.2} | {floor:.2} |");
        }
    }
    Ok(curves)
}

fn cpu_per_job(server: &Server, load: Load) -> Result<f64> {
    let before = server.cpu()?;
    let run = drive(&server.address, load)?;
    let took = server.cpu()? - before;
    Ok(took.as_secs_f64() * 1e6 / run.requests)
}
