//! What the proxy costs beside the least that a server can cost, and beside nginx.
//!
//! ```sh
//! cargo bench --bench end_to_end
//! cargo bench --bench end_to_end -- --rounds 1 --seconds 1 --plot docs/performance.svg
//! ```
//!
//! Everything that is measured runs as a process of its own: the *floor* (a bare
//! axum server that reads the same request, finds the same id and echoes the job),
//! nginx where it is installed, a fast upstream, and the release binary, each
//! driven by wrk in turn. A figure is the median of its rounds; CPU is what the
//! operating system has counted. It takes Linux and wrk.
//!
//! ```sh
//! cargo bench --bench end_to_end -- --instructions
//! ```
//!
//! counts instructions instead of time, which repeats to a percent on any machine:
//! see [`instructions`]. It takes valgrind too.
//!
//! ```sh
//! cargo bench --bench end_to_end -- --shape kserve-v1 --shape openai-embeddings
//! ```
//!
//! measures routes of these shapes beside nginx: see [`shapes`].
//!
//! ```sh
//! cargo bench --bench end_to_end -- --store sqlite --store redis
//! ```
//!
//! measures stores that last: see [`stores`]. It takes strace and redis-server too.
//!
//! ```sh
//! cargo bench --bench end_to_end -- --sockets
//! cargo bench --bench end_to_end -- --tls
//! ```
//!
//! measures unix sockets beside ports, and TLS beside the floor's: see [`doors`]. It takes no wrk.

mod callers;
mod contender;
mod costs;
mod counter;
mod direct;
mod doors;
mod goals;
mod instructions;
mod later;
mod plot;
mod process;
mod servers;
mod service;
mod shapes;
mod stores;
mod wrk;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Measures the proxy end to end.
#[derive(Debug, Parser)]
struct Options {
    /// How many rounds each comparison has.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each run of a comparison takes.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Where the plot of costs goes.
    #[arg(long, default_value = "target/performance.svg")]
    plot: PathBuf,
    /// Leaves out how costs grow.
    #[arg(long)]
    goals_only: bool,
    /// Counts instructions for each job, and measures nothing else.
    #[arg(long)]
    instructions: bool,
    /// Measures answers fetched later, and nothing else.
    #[arg(long)]
    later: bool,
    /// How many jobs wait then.
    #[arg(long, default_value_t = 1_000_000)]
    backlog: usize,
    /// Measures a route of this shape beside nginx, and nothing else; any number of times.
    #[arg(long, value_name = "NAME")]
    shape: Vec<service::Service>,
    /// Measures answers fetched later in this store, and nothing else; any number of times.
    #[arg(long, value_name = "STORE")]
    store: Vec<stores::Store>,
    /// Measures unix sockets beside ports, and nothing else.
    #[arg(long)]
    sockets: bool,
    /// Measures TLS beside the floor's, and nothing else.
    #[arg(long)]
    tls: bool,
    /// Said by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("floor") => match servers::floor()? {},
        Some("encrypted-floor") => match servers::encrypted_floor()? {},
        Some("upstream") => match servers::upstream()? {},
        Some("service") => match service::serve()? {},
        _ => {}
    }
    let options = Options::parse();
    if options.instructions {
        return instructions::measure(options.seconds);
    }
    callers::allow_many_files()?;
    if options.sockets || options.tls {
        if options.sockets {
            doors::sockets(options.rounds, options.seconds)?;
        }
        if options.tls {
            doors::tls(options.rounds, options.seconds)?;
        }
        return Ok(());
    }
    if options.later {
        return later::measure(options.backlog, options.seconds);
    }
    if !options.store.is_empty() {
        return stores::measure(
            &options.store,
            options.backlog,
            options.rounds,
            options.seconds,
        );
    }
    if !options.shape.is_empty() {
        return shapes::measure(&options.shape, options.rounds, options.seconds);
    }
    goals::measure(options.rounds, options.seconds)?;
    if !options.goals_only {
        let curves = costs::measure(options.seconds)?;
        plot::draw(&curves, &options.plot)?;
        println!("\nPlot: {}", options.plot.display());
    }
    Ok(())
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => f64::NAN,
        1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}
