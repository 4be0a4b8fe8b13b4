//! Manual pages: one for each command, and microbatch.toml(5) for the settings.
//!
//! `microbatch man DIR` writes them. All of it is made from what the commands and the table of
//! settings say of themselves.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::Cli;
use crate::config::{Options, keys};
use crate::shape::Keys;

/// The page of the settings.
const SETTINGS: &str = "microbatch.toml.5";

/// Writes every page into a directory, which is made where it is not there.
///
/// # Errors
/// The system's, where it takes no file.
pub fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)?;
    fs::write(directory.join(SETTINGS), settings())
}

/// microbatch.toml(5).
fn settings() -> String {
    let mut page = Roff::new();
    let version = concat!("microbatch ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["microbatch.toml", "5", "", version]);
    let heading = |page: &mut Roff, text: &str| {
        page.control("SH", [text]);
    };
    heading(&mut page, "NAME");
    page.text([roman("microbatch.toml - settings of microbatch")]);
    heading(&mut page, "DESCRIPTION");
    page.text([
        roman("A TOML file that "),
        bold("--config"),
        roman(" or the environment variable "),
        bold("MICROBATCH_CONFIG"),
        roman(
            " names. Flags override environment variables, those the file, and that the defaults. \
             Durations are \"5ms\", \"1m 30s\" or 0; sizes are \"256KiB\" or a number of bytes. In the \
             environment sections and keys are in capitals, with two underscores between them.",
        ),
    ]);
    let mut section = None;
    for key in keys() {
        if section.replace(key.section()) != Some(key.section()) {
            match key.section() {
                "" => heading(&mut page, "BEFORE ALL SECTIONS"),
                name => heading(&mut page, &format!("[{name}]")),
            }
        }
        page.control("TP", []);
        page.text([bold(key.name())]);
        let mut words = vec![format!("{}. {}.", key.help, key.allowed())];
        words.extend(key.default.map(|it| format!("Default: {it}.")));
        words.extend(key.flag.map(|it| format!("Flag: {it}.")));
        words.push(format!("Environment: {}.", key.env()));
        if key.of_routes {
            words.push(
                match Options::inherits(key) {
                    true => "A route has the top level's where it has none of its own.",
                    false => "No route inherits it.",
                }
                .to_owned(),
            );
        }
        page.text([roman(words.join(" "))]);
    }
    heading(&mut page, "[routes.NAME]");
    page.text([roman(
        "A route of its own: path and upstream.url, and of the settings above those of routes. Up to \
         64, by names of small letters, digits and underscores.",
    )]);
    heading(&mut page, "[shape]");
    page.text([roman(
        "How calls become a batch, and its answer replies. Or shape = \"NAME\" before all sections, the \
         name of a preset: microbatch-shapes(1) has them. Of a route: [routes.NAME.shape].",
    )]);
    for (key, meaning) in Keys::names().zip(Keys::meanings()) {
        page.control("TP", []);
        page.text([bold(key)]);
        page.text([roman(meaning)]);
    }
    heading(&mut page, "SEE ALSO");
    page.text([roman(
        "microbatch(1), microbatch-check(1), microbatch-schema(1)",
    )]);
    page.render()
}
