//! The command line: which commands there are and what they take.
//!
//! `main` parses a [`Cli`] and acts on its [`Command`]. The flags of the settings come from the
//! table of settings, see [`crate::config::Flags`]; `--help` has one line for each.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use http::{HeaderName, HeaderValue};

use crate::ask::Pass;
use crate::config::{Flags, JOBS, Locator, parse_duration};
use crate::printable::{SHOWN, cut, printable};
use crate::sample_upstream;
use crate::shape::presets;
use crate::tokens;

const SETTINGS: &str = "\
All settings: config/microbatch.toml, or `microbatch check`. Flags override environment variables
(MICROBATCH_BATCH__MAX_SIZE=64 for batch.max_size), those the file, and that the defaults.";

const EXIT_CODES: &str = "\
Exit code: 0 if every job was done, 1 if any failed or the run could not go on, 2 for wrong flags,
78 for a wrong configuration, 130 if stopped before the end, 141 if nobody reads the results.";

const TOKEN: &str = "\
    microbatch token ci >> tokens          # shows the token, this once
    token=$(microbatch token ci 2>&1 >> tokens)

The file is what server.auth.tokens or admin.auth.tokens names. It has digests alone, and is read
again when it changes. Whoever bears the token sends it as `Authorization: Bearer TOKEN`.";

const TRY: &str = "\
Bodies go to standard output, byte for byte, and what is said of them to standard error.
Exit code: 0 if every call was merged or goes alone, and with --send answered 2xx; else 1.";

/// HTTP micro-batching proxy: single jobs in, one JSON array upstream, each caller its own answer
#[derive(Debug, Parser)]
#[command(name = "microbatch", version, args_conflicts_with_subcommands = true)]
#[command(after_help = SETTINGS, term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

/// What a proxy is run with.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// The settings.
    #[command(flatten)]
    pub flags: Flags,
    /// Reload the settings when their file changes
    #[arg(long)]
    pub watch: bool,
}

impl Cli {
    /// The command that was given; without one, `serve` with the flags that were.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// The error with no more of an argument that is not ours than a few characters: it may be a
/// secret that a shell put in the wrong place.
pub fn bounded(mut error: clap::Error) -> clap::Error {
    let mut odd = vec![ContextKind::InvalidValue, ContextKind::InvalidSubcommand];
    if error.kind() == ErrorKind::UnknownArgument {
        odd.push(ContextKind::InvalidArg);
    }
    for kind in odd {
        let Some(ContextValue::String(text)) = error.get(kind) else {
            continue;
        };
        if let Some(part) = cut(text, SHOWN) {
            let part = format!("{}…", printable(part));
            error.insert(kind, ContextValue::String(part));
            // The tip has all of it again.
            error.insert(ContextKind::Suggested, ContextValue::None);
        }
    }
    error
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the proxy (default)
    #[command(after_help = SETTINGS)]
    Serve(Serve),
    /// Run the proxy in front of a built-in sample upstream
    #[command(after_help = SETTINGS)]
    Demo(Flags),
    /// Run the sample upstream alone
    Upstream(sample_upstream::Args),
    /// Load the configuration and print it whole as TOML, secrets redacted
    #[command(after_help = SETTINGS)]
    Check(Flags),
    /// Print the JSON Schema of configuration files
    Schema,
    /// Write manual pages into a directory
    Man {
        /// The directory, made if it is not there
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// List the presets of shapes, or print one as TOML
    Shapes {
        /// The preset to print
        #[arg(hide_possible_values = true)]
        #[arg(value_parser = PossibleValuesParser::new(presets::all().keys().map(String::as_str)))]
        name: Option<String>,
    },
    /// Show what a route makes of calls, or send them, without a listener
    #[command(after_help = TRY)]
    Try(Box<Try>),
    /// Hand the lines of files in to a running proxy as jobs, and write their results
    #[command(after_help = EXIT_CODES)]
    Submit(Submit),
    /// Ask a running proxy whether it is ready
    Healthcheck(Ask),
    /// Ask a running proxy what limits it now, in words
    Advice(Advice),
    /// Watch a running proxy in the terminal
    #[cfg_attr(not(feature = "top"), command(hide = true))]
    Top(Top),
    /// Make a token: the line for its file to stdout, the token itself to stderr
    #[command(after_help = TOKEN)]
    Token {
        /// What to call it: 1 to 64 letters, digits, '.', '_' and '-'
        name: tokens::Name,
    },
    /// Print completions for a shell
    Completions {
        /// The shell to print them for
        shell: Shell,
    },
}

/// What the commands take that ask a running proxy: what it takes to find `admin.listen` as the proxy
/// did.
#[derive(Debug, Args)]
pub struct Ask {
    /// Longest the answer may take, 2s by default
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "2s",
        hide_default_value = true
    )]
    #[arg(value_parser = parse_duration)]
    pub timeout: Duration,
    /// How it lets in.
    #[command(flatten)]
    pub pass: Pass,
    /// Where it is.
    #[command(flatten)]
    pub proxy: Locator,
}

/// What `advice` takes.
#[derive(Debug, Args)]
pub struct Advice {
    /// Print the JSON as it came
    #[arg(long)]
    pub json: bool,
    /// Route to tell of; all of them by default
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Whom to ask.
    #[command(flatten)]
    pub ask: Ask,
}

/// What `top` takes.
#[derive(Debug, Args)]
pub struct Top {
    /// Print one frame as text, as where the output is no terminal
    #[arg(long)]
    pub once: bool,
    /// Route to show first; all of them together by default
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Whom to ask.
    #[command(flatten)]
    pub ask: Ask,
}

/// What `submit` takes.
#[derive(Debug, Args)]
pub struct Submit {
    /// Files with a job on each line (NDJSON); - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write results in the order of the input, not of finishing
    #[arg(long)]
    pub ordered: bool,
    /// State file: a run that was stopped or killed goes on from it
    #[arg(long, value_name = "STATE")]
    pub resume: Option<PathBuf>,
    /// Append results to this file, not to standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Most jobs handed in whose results are not written, 1000 by default
    #[arg(
        long,
        value_name = "N",
        default_value = "1000",
        hide_default_value = true
    )]
    #[arg(value_parser = in_flight)]
    pub in_flight: usize,
    /// Most requests that hand jobs in at once, 32 by default
    #[arg(
        long,
        value_name = "N",
        default_value = "32",
        hide_default_value = true
    )]
    #[arg(value_parser = requests)]
    pub requests: usize,
    /// Say nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
    /// How it lets in.
    #[command(flatten)]
    pub pass: Pass,
    /// Where the proxy is.
    #[command(flatten)]
    pub proxy: Locator<JOBS>,
}

/// What `try` takes.
#[derive(Debug, Args)]
pub struct Try {
    /// Files with a call each, as clients send it; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Take each line of the files for a call (NDJSON)
    #[arg(long)]
    pub lines: bool,
    /// Route to try, where there are several
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Path that clients call, where the route's has placeholders
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Header of each call; of JSON, unless Content-Type is given
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Send the calls, and print what each is answered
    #[arg(long)]
    pub send: bool,
    /// The settings, as `serve` takes them.
    #[command(flatten)]
    pub flags: Flags,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = "a header is written 'Name: value'";
    let (name, value) = text.split_once(':').ok_or(wrong)?;
    let name = name.trim().parse().map_err(|_| wrong)?;
    Ok((
        name,
        HeaderValue::from_str(value.trim()).map_err(|_| wrong)?,
    ))
}

fn in_flight(text: &str) -> Result<usize, String> {
    count(text, 1_000_000)
}

fn requests(text: &str) -> Result<usize, String> {
    count(text, 1_000)
}

/// A number from 1 on.
fn count(text: &str, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|it| (1..=most).contains(it));
    number.ok_or_else(|| format!("not a number from 1 to {most}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;
    use crate::config::{NeedUpstream, keys, load};

    fn parse(words: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("microbatch").chain(words.split_whitespace());
        Cli::try_parse_from(words).map(Cli::into_command)
    }

    fn max_size(flags: &Flags) -> usize {
        let loaded = load(flags, std::iter::empty(), NeedUpstream::No).unwrap();
        loaded.options.route.batch.max_size.get().unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_settings_are_taken_by_every_command_that_loads_them() {
        for words in ["", "serve", "demo", "check"] {
            let given = parse(&format!("{words} --max-size 7 --upstream http://h/")).unwrap();
            let flags = match given {
                Command::Serve(serve) if ["", "serve"].contains(&words) => serve.flags,
                Command::Demo(flags) if words == "demo" => flags,
                Command::Check(flags) if words == "check" => flags,
                other => panic!("{words}: {other:?}"),
            };
            assert_eq!(max_size(&flags), 7, "{words}");
        }
        for words in [
            "upstream",
            "completions bash",
            "healthcheck",
            "advice",
            "top",
        ] {
            let error = parse(&format!("{words} --max-size 7")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownArgument, "{words}");
        }
    }

    #[test]
    fn commands_that_ask_a_proxy_take_its_address_and_no_more() {
        for words in ["healthcheck", "advice", "top"] {
            let ask = match parse(&format!("{words} --admin-listen h:1")).unwrap() {
                Command::Healthcheck(ask) => ask,
                Command::Advice(given) => given.ask,
                Command::Top(given) => given.ask,
                other => panic!("{words}: {other:?}"),
            };
            let flags = Flags::from(ask.proxy);
            let loaded = load(&flags, std::iter::empty(), NeedUpstream::No).unwrap();
            assert_eq!(
                loaded.settings.admin.unwrap().listen.to_string(),
                "h:1",
                "{words}"
            );
            let mut command = Cli::command();
            let command = command.find_subcommand_mut(words).unwrap();
            let flags: Vec<_> = command
                .get_arguments()
                .filter_map(clap::Arg::get_long)
                .collect();
            let own = |flag: &&str| !["json", "once", "route"].contains(flag);
            let flags: Vec<_> = flags.into_iter().filter(own).collect();
            let pass = ["ca", "server-name", "cert", "key", "token-file"];
            let expected = [&["timeout"][..], &pass, &["config", "admin-listen"]].concat();
            assert_eq!(flags, expected, "{words}");
        }
    }

    #[test]
    fn help_is_a_command_too() {
        for words in ["help", "help top"] {
            let error = parse(words).unwrap_err();
            assert_eq!(
                (error.kind(), error.exit_code()),
                (ErrorKind::DisplayHelp, 0)
            );
        }
    }

    #[test]
    fn an_argument_that_is_not_ours_is_not_shown_whole() {
        for words in [
            "sk-live-0123456789abcdef",
            "--sk-live-0123456789abcdef",
            "serve sk-live-0123456789abcdef",
            "completions sk-live-0123456789abcdef",
            "shapes sk-live-0123456789abcdef",
            "completions --sk-live-0123456789abcdef",
            "top --timeout sk-live-0123456789abcdef",
            "upstream --delay sk-live-0123456789abcdef",
            "--max-size sk-live-0123456789abcdef",
            "--log-level sk-live-0123456789abcdef",
            "--wait sk-live-0123456789abcdef",
        ] {
            let error = bounded(parse(words).unwrap_err()).to_string();
            assert!(!error.contains("89abcdef"), "{error}");
            assert!(error.contains("sk-live-"), "{error}");
        }
        // What is ours stands.
        let error = bounded(parse("--queue-max-job 7").unwrap_err()).to_string();
        assert!(error.contains("--queue-max-job"), "{error}");
        let error = bounded(parse("--shutdown-timeout").unwrap_err()).to_string();
        assert!(error.contains("--shutdown-timeout"), "{error}");
    }

    #[test]
    fn flags_before_a_command_are_not_silently_lost() {
        let error = parse("--max-size 7 serve").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let error = parse("serve --max-size 7 --max-size 8").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn submit_takes_files_and_the_address_of_the_listener_for_jobs() {
        match parse("submit a - --listen h:1 --in-flight 5").unwrap() {
            Command::Submit(given) => {
                let flags = Flags::from(given.proxy);
                let loaded = load(&flags, std::iter::empty(), NeedUpstream::No).unwrap();
                assert_eq!(loaded.settings.listen.to_string(), "h:1");
                assert_eq!(given.files, [PathBuf::from("a"), PathBuf::from("-")]);
                assert_eq!((given.in_flight, given.requests), (5, 32));
            }
            other => panic!("{other:?}"),
        }
        for words in [
            "submit",
            "submit a --admin-listen h:1",
            "submit a --in-flight 0",
            "submit a --requests 1001",
        ] {
            assert_eq!(parse(words).unwrap_err().exit_code(), 2, "{words}");
        }
    }

    #[test]
    fn healthcheck_has_a_timeout_of_its_own() {
        for (words, seconds) in [("healthcheck", 2), ("healthcheck --timeout 5s", 5)] {
            match parse(words).unwrap() {
                Command::Healthcheck(given) => {
                    assert_eq!(given.timeout, Duration::from_secs(seconds));
                }
                other => panic!("{other:?}"),
            }
        }
        let error = parse("healthcheck --timeout 5").unwrap_err();
        assert!(
            error.to_string().contains("write \"5ms\" or \"5s\""),
            "{error}"
        );
    }

    #[test]
    fn the_flags_are_these() {
        let command = Cli::command();
        let flags = command.get_arguments().filter_map(clap::Arg::get_long);
        let expected = [
            "config",
            "listen",
            "threads",
            "max-body",
            "request-timeout",
            "admin-listen",
            "max-size",
            "max-bytes",
            "max-wait",
            "wait",
            "queue-max-jobs",
            "upstream",
            "max-in-flight",
            "upstream-timeout",
            "upstream-header",
            "shutdown-timeout",
            "log-level",
            "log-format",
            "watch",
        ];
        assert_eq!(flags.collect::<Vec<_>>(), expected);
        let of_keys = keys().iter().filter_map(|key| key.flag?.strip_prefix("--"));
        let others = ["config", "watch"];
        assert!(of_keys.eq(expected.into_iter().filter(|it| !others.contains(it))));
    }

    #[test]
    fn the_help_fits_a_screen() {
        for words in [
            "-h",
            "--help",
            "serve --help",
            "healthcheck -h",
            "advice -h",
            "top -h",
            "submit -h",
            "submit --help",
            "shapes --help",
            "try -h",
            "try --help",
            "upstream --help",
        ] {
            let help = parse(words).unwrap_err().to_string();
            assert!(help.lines().count() <= 48, "{help}");
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }
}
