//! How a frame looks: what is coloured, and what a colour means.

use ratatui::style::{Color, Modifier, Style};

/// How a frame looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    colour: bool,
    /// Whether to tell the keys.
    pub(super) keys: bool,
}

/// What a colour means. None means anything that a word does not say too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Title,
    Muted,
    Accent,
    Good,
    Hint,
    Problem,
}

impl Look {
    /// Of a terminal, in its own 16 colours or in none.
    pub(super) fn terminal(colour: bool) -> Self {
        let keys = true;
        Self { colour, keys }
    }

    /// On paper.
    pub(super) fn printed() -> Self {
        Self {
            colour: false,
            keys: false,
        }
    }

    pub(super) fn style(self, tone: Tone) -> Style {
        let style = Style::new();
        let coloured = |colour| match self.colour {
            true => style.fg(colour),
            false => style,
        };
        match tone {
            Tone::Plain => style,
            Tone::Title => style.add_modifier(Modifier::BOLD),
            Tone::Muted => style.add_modifier(Modifier::DIM),
            Tone::Accent => coloured(Color::Cyan),
            Tone::Good => coloured(Color::Green),
            Tone::Hint => coloured(Color::Yellow),
            Tone::Problem => coloured(Color::Red).add_modifier(Modifier::BOLD),
        }
    }
}
