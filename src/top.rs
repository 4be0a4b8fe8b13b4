//! The live page's figures in a terminal, and the advice as text.
//!
//! `main` calls [`advice`], [`once`] and [`watch`] for the commands `advice` and
//! `top`. All ask the admin listener of a running proxy and promise to change
//! nothing there.
//!
//! ```text
//! GET /live ──▶ wire ──▶ history (what is known) ──▶ view (what is shown) ──▶ draw (cells)
//!               └──────────────── pure ─────────────────────────────────────────────┘
//! ```
//!
//! `draw` places what `panels` makes. `screen` alone knows the terminal, the keys and the clock.

mod draw;
mod history;
mod panels;
mod screen;
mod shares;
mod view;
mod wire;
mod words;

#[cfg(test)]
mod scenarios;

use std::fmt::Write as _;
use std::io;

use ratatui::layout::Rect;

use crate::ask::{AskError, Asker};
use draw::{Look, draw, plain};
use history::History;
use view::View;
use wire::{Advice, Live};

pub use screen::watch;

/// The path of the advice.
pub const ADVICE: &str = "/advice";

/// Columns of a frame that is printed as text, and more rows than any frame has.
const PRINTED: Rect = Rect::new(0, 0, 100, 120);

/// Why watching has ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The proxy could not be asked even once.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The terminal cannot be drawn on, or its keys cannot be read.
    #[error("can't use the terminal; `microbatch top --once` needs none")]
    Terminal(#[source] io::Error),
}

/// What limits the proxy, a sentence a line, each after its kind.
///
/// # Errors
///
/// The proxy cannot be asked.
pub async fn advice(asker: &Asker) -> Result<String, AskError> {
    let advice: Vec<Advice> = asker.json(ADVICE).await?;
    Ok(lines(&advice))
}

/// One frame as plain text.
///
/// # Errors
///
/// The proxy cannot be asked.
pub async fn once(asker: &Asker) -> Result<String, AskError> {
    let history = History::new(live(asker, None).await?);
    let mut cells = ratatui::buffer::Buffer::empty(PRINTED);
    draw(&View::of(&history), Look::printed(), PRINTED, &mut cells);
    Ok(plain(&cells))
}

/// Asks for everything, or for the seconds after one.
async fn live(asker: &Asker, since: Option<u64>) -> Result<Live, AskError> {
    match since {
        None => asker.json("/live").await,
        Some(since) => asker.json(&format!("/live?since={since}")).await,
    }
}

fn lines(advice: &[Advice]) -> String {
    advice.iter().fold(String::new(), |mut lines, one| {
        let _ = writeln!(lines, "{}: {}", one.kind.as_str(), one.text);
        lines
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_a_line_and_no_more() {
        let advice = r#"[{"kind":"hint","text":"a\nb\u001b[2J\u202e","setting":null,"new":1},
            {"kind":"grave","text":"c"}]"#;
        let advice: Vec<Advice> = serde_json::from_str(advice).unwrap();
        assert_eq!(lines(&advice), "hint: a\\nb\\u{1b}[2J\\u{202e}\nnote: c\n");
    }
}
