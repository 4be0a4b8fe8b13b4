//! The live page's figures in a terminal; with the feature `top`.
//!
//! `main` calls [`once`] and [`watch`] for the command `top`. Both ask the admin
//! listener of a running proxy and promise to change nothing there.
//!
//! ```text
//! GET /live ──▶ wire ──▶ history (what is known) ──▶ view (what is shown) ──▶ draw (cells)
//!               └──────────────── pure ─────────────────────────────────────────────┘
//! ```
//!
//! `draw` places what `panels`, `later` and `failures` make. `screen` alone knows the terminal,
//! the keys and the clock.

mod draw;
mod error;
mod failures;
mod history;
mod later;
mod look;
mod panels;
mod screen;
mod shares;
mod text;
mod view;
mod wire;
mod words;

#[cfg(test)]
mod scenarios;

use ratatui::layout::Rect;

use crate::ask::{AskError, Asker};
use draw::{draw, plain};
use history::History;
use look::Look;
use view::View;
use wire::Live;

pub use error::TopError;
pub use screen::watch;

/// Columns of a frame that is printed as text, and more rows than any frame has.
const PRINTED: Rect = Rect::new(0, 0, 100, 120);

/// One frame as plain text, of all routes or of one.
///
/// # Errors
///
/// The proxy cannot be asked.
pub async fn once(asker: &Asker, route: Option<&str>) -> Result<String, AskError> {
    let history = History::new(Live::ask(asker, route, None).await?);
    let mut cells = ratatui::buffer::Buffer::empty(PRINTED);
    draw(&View::of(&history), Look::printed(), PRINTED, &mut cells);
    Ok(plain(&cells))
}
