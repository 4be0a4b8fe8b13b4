//! The life of the process: flags, settings, log, run, exit code.

use std::io::{self, IsTerminal as _, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use microbatch::address::Address;
use microbatch::app::{
    App, Report, StartError, Trial, check_files, reload_at, reload_when_changed, try_out,
};
use microbatch::ask::{AskError, Asker, Listener, Question, advice};
use microbatch::cli::{self, Ask, Cli, Command, Serve, Submit, Top, Try};
use microbatch::config::{self, Flags, Loaded, Mistakes, NeedUpstream, Options, Source};
use microbatch::printable::printable_json;
use microbatch::shape::presets;
use microbatch::submit::{self, submit};
use microbatch::tokens::Token;
use microbatch::{man, sample_upstream, telemetry, tokens};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// What a job allocates others of its batch do as well, and free together: the system's
/// allocators take several times as long for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// EX_CONFIG of sysexits.h: something is wrong with the configuration.
const EX_CONFIG: u8 = 78;

/// What a shell reports of a process that SIGINT has ended.
const EX_INTERRUPTED: u8 = 130;

/// What a shell reports of a process that SIGPIPE has ended.
const EX_BROKEN_PIPE: u8 = 141;

/// The time for the last tasks to notice that the runtime ends.
const LAST_TASKS: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(given) => given.into_command(),
        Err(error) => cli::bounded(error).exit(),
    };
    let ended = in_runtime(command);
    telemetry::flush();
    match ended {
        Ok(code) => code,
        Err(error) => {
            if let Some(mistakes) = mistakes(&error) {
                eprintln!("microbatch: the configuration has mistakes:\n{mistakes}");
                return ExitCode::from(EX_CONFIG);
            }
            eprintln!("microbatch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Those of the configuration, if it is that.
fn mistakes(error: &anyhow::Error) -> Option<&Mistakes> {
    match error.downcast_ref::<StartError>() {
        Some(StartError::Files(mistakes)) => Some(mistakes),
        Some(_) => None,
        None => error.downcast_ref::<Mistakes>(),
    }
}

/// How a command ended that did not fail.
enum End {
    Code(ExitCode),
    Served(Box<Report>),
}

fn in_runtime(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = runtime(&command).context("can't start the runtime")?;
    let end = runtime.block_on(run(command));
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_timeout(LAST_TASKS);
    Ok(match end? {
        End::Code(code) => code,
        End::Served(report) => {
            // Room for the last line, if somebody reads at all.
            telemetry::flush();
            report.log();
            ExitCode::SUCCESS
        }
    })
}

/// What serves callers has threads of its own, see [`microbatch::server::runtimes`].
fn runtime(command: &Command) -> io::Result<Runtime> {
    match command {
        Command::Upstream(_) => Runtime::new(),
        _ => Builder::new_current_thread().enable_all().build(),
    }
}

async fn run(command: Command) -> anyhow::Result<End> {
    match command {
        Command::Serve(given) => return serve(given).await,
        Command::Demo(flags) => return demo(&flags).await,
        Command::Upstream(args) => upstream(args).await?,
        Command::Check(flags) => check(&load(&flags, NeedUpstream::Yes)?)?,
        Command::Schema => print_schema()?,
        Command::Man { directory } => {
            let at = directory.display();
            man::write(&directory)
                .with_context(|| format!("can't write manual pages into {at}"))?;
        }
        Command::Shapes { name } => {
            let text = match name.as_deref().and_then(presets::text) {
                Some(table) => format!("{table}\n"),
                None => list_of_presets(),
            };
            io::stdout().write_all(text.as_bytes())?;
        }
        Command::Try(given) => return try_calls(*given).await.map(End::Code),
        Command::Submit(given) => return hand_in(given).await.map(End::Code),
        Command::Healthcheck(ask) => return ask_ready(&asker(&ask)?).await.map(End::Code),
        Command::Advice(given) => {
            let asker = asker(&given.ask)?;
            let said = if given.json {
                let question = Question::of(advice::ADVICE, given.route.as_deref());
                printable_json(&asker.body(&question).await?)
            } else {
                advice::advice(&asker, given.route.as_deref()).await?
            };
            io::stdout().write_all(said.as_bytes())?;
        }
        Command::Top(given) => top(&given).await?,
        Command::Token { name } => make_token(&name)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "microbatch", &mut script);
            io::stdout().write_all(&script)?;
        }
    }
    Ok(End::Code(ExitCode::SUCCESS))
}

#[cfg(feature = "top")]
async fn top(given: &Top) -> anyhow::Result<()> {
    use microbatch::top::{once, watch};

    let asker = asker(&given.ask)?;
    if given.once || !io::stdout().is_terminal() {
        let frame = once(&asker, given.route.as_deref()).await?;
        io::stdout().write_all(frame.as_bytes())?;
    } else {
        watch(&asker, given.route.clone()).await?;
    }
    Ok(())
}

#[cfg(not(feature = "top"))]
async fn top(_: &Top) -> anyhow::Result<()> {
    anyhow::bail!("this build has no `top`: the feature of that name was left out")
}

/// Hands files in.
async fn hand_in(given: Submit) -> anyhow::Result<ExitCode> {
    let loaded = load(&Flags::from(given.proxy), NeedUpstream::No)?;
    let stop = twice()?;
    let settings = submit::Settings {
        files: given.files,
        ordered: given.ordered,
        resume: given.resume,
        output: given.output,
        in_flight: given.in_flight,
        requests: given.requests,
        quiet: given.quiet,
    };
    let server = &loaded.settings;
    let listener = Listener {
        listen: &server.listen,
        cert: server.tls.as_ref().map(|it| it.cert.as_path()),
    };
    let end = submit(listener, &given.pass, settings, stop).await?;
    Ok(match end {
        submit::End::Done => ExitCode::SUCCESS,
        submit::End::Failed => ExitCode::FAILURE,
        submit::End::Stopped => ExitCode::from(EX_INTERRUPTED),
        submit::End::ReaderGone => ExitCode::from(EX_BROKEN_PIPE),
    })
}

/// Tries calls on a route.
async fn try_calls(given: Try) -> anyhow::Result<ExitCode> {
    let loaded = load(&given.flags, NeedUpstream::Yes)?;
    telemetry::init(&loaded.settings.log)?;
    let trial = Trial {
        files: given.files,
        lines: given.lines,
        route: given.route,
        path: given.path,
        headers: given.headers,
        send: given.send,
    };
    Ok(match try_out(loaded.settings, trial).await? {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn load(flags: &Flags, need: NeedUpstream) -> Result<Loaded, Mistakes> {
    config::load(flags, std::env::vars_os(), need)
}

async fn serve(given: Serve) -> anyhow::Result<End> {
    // Before the settings are read: it would end the process.
    let hang_up = hang_up()?;
    let source = Source {
        flags: given.flags,
        need: NeedUpstream::Yes,
    };
    let loaded = source.load()?;
    telemetry::init(&loaded.settings.log)?;
    let mut stop = pin!(twice()?);
    let app = tokio::select! {
        biased;
        () = &mut stop => {
            // A large store takes a while to open.
            info!("told to stop before it was ready");
            return Ok(End::Code(ExitCode::SUCCESS));
        }
        app = start(loaded, &source, Options::summary) => app?,
    };
    tokio::spawn(reload_at(hang_up, app.reloads()));
    if let Some(file) = source.file().filter(|_| given.watch) {
        tokio::spawn(reload_when_changed(file, app.reloads()));
    }
    Ok(End::Served(Box::new(app.run(stop).await)))
}

/// The proxy in front of a sample upstream in the same process.
async fn demo(flags: &Flags) -> anyhow::Result<End> {
    let hang_up = hang_up()?;
    // The settings before any socket: with a mistake in them nothing is bound.
    let somewhere = "http://127.0.0.1/batch".parse()?;
    let mut loaded = load(flags, NeedUpstream::Supplied(somewhere))?;
    telemetry::init(&loaded.settings.log)?;
    let stop = twice()?;
    let sample = sample_upstream::bind(sample_upstream::Args {
        listen: "127.0.0.1:0".to_owned(),
        ..Default::default()
    })
    .await?;
    let url = format!("http://{}/batch", sample.local_addr());
    loaded.supply(url.parse()?);
    let source = Source {
        flags: flags.clone(),
        need: NeedUpstream::Supplied(url.parse()?),
    };
    // The screen of somebody who tries it out: what is not the default is enough.
    let app = start(loaded, &source, Options::summary_of_changes).await?;
    tokio::spawn(reload_at(hang_up, app.reloads()));
    let jobs = app.jobs_address()?.connectable();
    let admin = app.admin_address()?.map(|it| it.connectable());
    print(welcome(&jobs, admin.as_ref()))?;
    tokio::spawn(sample.run(std::future::pending()));
    Ok(End::Served(Box::new(app.run(stop).await)))
}

/// What the demo says of itself.
fn welcome(jobs: &Address, admin: Option<&Address>) -> String {
    let url = |address: &Address, path| match address {
        Address::Tcp(address) => format!("http://{address}{path}"),
        // A socket's host may be any.
        Address::Unix(socket) => {
            let socket = socket.display().to_string().replace('\'', r"'\''");
            format!("--unix-socket '{socket}' http://localhost{path}")
        }
    };
    let (jobs, page) = (url(jobs, "/jobs"), admin.map(|it| (it, url(it, "/"))));
    let page = page.map(|(address, url)| match address {
        Address::Tcp(_) => format!("Watch: {url}\n"),
        Address::Unix(_) => format!("Watch: curl {url}live\n"),
    });
    format!(
        "\n\
         microbatch {} in front of a sample upstream that echoes each job's body.\n\
         \n\
         Send a job:\n  \
         curl -i -X POST {jobs} -d '{{\"id\":\"1\",\"body\":\"hello\"}}'\n\
         {}End:   Ctrl-C\n\
         \n",
        env!("CARGO_PKG_VERSION"),
        page.unwrap_or_default()
    )
}

/// Prints while others are served: on a thread of its own, since the
/// reader of stdout may have stopped.
fn print(text: String) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("stdout".to_owned());
    // Who closed its output does not want to know.
    let printed = thread.spawn(move || io::stdout().write_all(text.as_bytes()))?;
    drop(printed);
    Ok(())
}

/// Binds, and says so with the settings in force, or as much of them as `summary` has.
async fn start(
    loaded: Loaded,
    source: &Source,
    summary: fn(&Options) -> String,
) -> anyhow::Result<App> {
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let settings = summary(&loaded.options);
    let app = App::bind(loaded, source.clone()).await?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %app.jobs_address()?,
        admin = app.admin_address()?.map(tracing::field::display),
        settings,
        "listening"
    );
    Ok(app)
}

async fn upstream(args: sample_upstream::Args) -> anyhow::Result<()> {
    // Its log has no flags, but listens to MICROBATCH_LOG__LEVEL like the proxy's.
    let loaded = load(&Flags::default(), NeedUpstream::No)?;
    telemetry::init(&loaded.settings.log)?;
    let (stop, mut hang_up) = (twice()?, hang_up()?);
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            info!("SIGHUP: there is nothing to reload");
        }
    });
    let sample = sample_upstream::bind(args).await?;
    info!(listen = %sample.local_addr(), "sample upstream listening");
    sample.run(stop).await?;
    Ok(())
}

fn check(loaded: &Loaded) -> anyhow::Result<()> {
    let doubtful = check_files(&loaded.settings)?;
    for warning in loaded.warnings.iter().chain(&doubtful) {
        eprintln!("warning: {warning}");
    }
    io::stdout().write_all(loaded.options.to_toml().as_bytes())?;
    Ok(())
}

/// Makes a token. Where the line for its file is redirected to, the token can't end up: it
/// goes elsewhere, and stands there alone unless somebody reads it.
fn make_token(name: &tokens::Name) -> anyhow::Result<()> {
    let token = Token::new()?;
    writeln!(io::stdout(), "{name}: sha256:{}", token.digest())?;
    let mut shown = io::stderr();
    if shown.is_terminal() {
        writeln!(shown, "The token, which is shown this once:")?;
    }
    writeln!(shown, "{}", token.reveal())?;
    Ok(())
}

fn print_schema() -> anyhow::Result<()> {
    let schema = serde_json::to_string_pretty(&config::schema())?;
    io::stdout().write_all(format!("{schema}\n").as_bytes())?;
    Ok(())
}

/// Each preset with what it is for.
fn list_of_presets() -> String {
    let width = presets::all().keys().map(String::len).max();
    let width = width.unwrap_or_default();
    let lines = presets::summaries().map(|(name, what)| format!("{name:width$}  {what}\n"));
    lines.collect()
}

/// Who asks the proxy that these settings are of.
fn asker(ask: &Ask) -> anyhow::Result<Asker> {
    let loaded = load(&Flags::from(ask.proxy.clone()), NeedUpstream::No)?;
    let admin = loaded.settings.admin.as_ref();
    let listener = admin.map(|admin| Listener {
        listen: &admin.listen,
        cert: admin.tls.as_ref().map(|it| it.cert.as_path()),
    });
    Ok(Asker::new(listener, &ask.pass, ask.timeout)?)
}

/// Asks a running proxy's `/readyz`: 0 for ready, 1 for anything else.
async fn ask_ready(asker: &Asker) -> anyhow::Result<ExitCode> {
    const READY: &str = "/readyz";
    let status = match asker.ready(READY).await {
        Ok(status) => status,
        // Whoever runs it knows the address.
        Err(AskError::Unreachable { url, cause }) => {
            println!("{url}: {cause}");
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => {
            println!("{error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    println!("{}: {status}", asker.url(READY));
    Ok(if status.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// SIGHUP from here on, which ends the process no more.
fn hang_up() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("can't listen for SIGHUP")
}

/// Resolves at the first SIGTERM or SIGINT; the second ends the process.
fn twice() -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate()).context("can't listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can't listen for SIGINT")?;
    Ok(async move {
        either(&mut terminate, &mut interrupt).await;
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            std::process::exit(EX_INTERRUPTED.into());
        });
    })
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
