//! The terminal: draws, reads keys, asks once a second, and leaves as it came.
//!
//! One task owns it all: the terminal, what is known, and the one question that is
//! under way. The keys come from a thread, since reading them blocks.

use std::io;
use std::pin::pin;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::draw::draw;
use super::error::TopError;
use super::history::History;
use super::look::Look;
use super::view::View;
use super::wire::Live;
use crate::ask::{AskError, Asker};

/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_secs(1);

/// More keys than anybody presses between two frames.
const KEYS: usize = 16;

/// Shows the proxy, all of its routes or one, until somebody has seen enough: q, Esc,
/// Ctrl-C, or a signal. r goes on to the next route.
///
/// An answer that fails to come is asked for again and again, but for the first:
/// then the address is likely to be wrong.
///
/// # Errors
///
/// There was no first answer, or the terminal cannot be used. It is restored in
/// every case, a panic too.
pub async fn watch(asker: &Asker, mut route: Option<String>) -> Result<(), TopError> {
    let first = Live::ask(asker, route.as_deref(), None).await?;
    let mut history = History::new(first);
    let look = Look::terminal(!no_color(std::env::var_os("NO_COLOR").as_deref()));
    let mut ends = Ends::new().map_err(TopError::Terminal)?;
    let mut screen = Screen::open().map_err(TopError::Terminal)?;
    let mut keys = keys();
    let mut answer = pin!(next(asker, PAUSE, route.clone(), history.since()));
    loop {
        screen.show(&View::of(&history), look)?;
        tokio::select! {
            key = keys.recv() => match key {
                Some(Ok(event)) if is_end(&event) => return Ok(()),
                Some(Ok(event)) if is_turn(&event) && history.live.routes.len() > 1 => {
                    route = after(route.as_deref(), &history.live.routes);
                    answer.set(next(asker, Duration::ZERO, route.clone(), None));
                }
                // A resize: the next frame has the new size.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(TopError::Terminal(error)),
                None => return Ok(()),
            },
            () = ends.next() => return Ok(()),
            answered = &mut answer => {
                match answered {
                    Ok(live) => history.take(live),
                    Err(AskError::Unreachable { cause, .. } | AskError::Unknown { cause, .. }) => {
                        history.lose(cause);
                    }
                    Err(error) => history.lose(error.to_string()),
                }
                // What is not known yet of another route is asked for whole.
                let is_known = history.live.routes.len() < 2 || history.live.route == route;
                let since = history.since().filter(|_| is_known);
                answer.set(next(asker, PAUSE, route.clone(), since));
            }
        }
    }
}

async fn next(
    asker: &Asker,
    pause: Duration,
    route: Option<String>,
    since: Option<u64>,
) -> Result<Live, AskError> {
    sleep(pause).await;
    Live::ask(asker, route.as_deref(), since).await
}

/// The route to show after this one: first all of them together, then each by itself.
fn after(route: Option<&str>, routes: &[String]) -> Option<String> {
    let at = route.and_then(|route| routes.iter().position(|it| it == route));
    match (route, at) {
        (None, _) => routes.first().cloned(),
        (Some(_), Some(at)) => routes.get(at + 1).cloned(),
        // It is gone.
        (Some(_), None) => None,
    }
}

/// The terminal, restored when this is dropped; `ratatui` does so on a panic.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> io::Result<Self> {
        // The terminal may be half prepared.
        ratatui::try_init()
            .map(Self)
            .inspect_err(|_| ratatui::restore())
    }

    fn show(&mut self, view: &View, look: Look) -> Result<(), TopError> {
        let frame = self
            .0
            .draw(|frame| draw(view, look, frame.area(), frame.buffer_mut()));
        frame.map(|_| ()).map_err(TopError::Terminal)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A second time would put the cursor onto the panic's message.
        if !std::thread::panicking() {
            ratatui::restore();
        }
    }
}

/// Keys and resizes. The thread ends with the process, or when reading fails.
fn keys() -> mpsc::Receiver<io::Result<Event>> {
    let (sender, keys) = mpsc::channel(KEYS);
    std::thread::spawn(move || {
        loop {
            let event = event::read();
            let last = event.is_err();
            if sender.blocking_send(event).is_err() || last {
                return;
            }
        }
    });
    keys
}

/// Whether somebody wants to see the next route.
fn is_turn(event: &Event) -> bool {
    let Event::Key(KeyEvent {
        code: KeyCode::Char('r' | 'R'),
        modifiers,
        kind: KeyEventKind::Press,
        ..
    }) = event
    else {
        return false;
    };
    !modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
}

fn is_end(event: &Event) -> bool {
    let Event::Key(KeyEvent {
        code,
        modifiers,
        kind: KeyEventKind::Press,
        ..
    }) = event
    else {
        return false;
    };
    match code {
        KeyCode::Esc | KeyCode::Char('q' | 'Q') => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

/// The signals that end a process, so that the terminal is restored before.
struct Ends([Signal; 3]);

impl Ends {
    fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Whether the environment asks for no colour (<https://no-color.org>).
fn no_color(value: Option<&std::ffi::OsStr>) -> bool {
    value.is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> bool {
        is_end(&Event::Key(KeyEvent::new(code, modifiers)))
    }

    #[test]
    fn q_escape_and_control_c_end_it() {
        let (none, control) = (KeyModifiers::NONE, KeyModifiers::CONTROL);
        assert!(key(KeyCode::Esc, none) && key(KeyCode::Char('q'), none));
        assert!(key(KeyCode::Char('c'), control));
        assert!(!key(KeyCode::Char('c'), none) && !key(KeyCode::Enter, none));
        assert!(!is_end(&Event::Resize(80, 24)));
    }

    #[test]
    fn r_goes_from_all_routes_to_each_and_back() {
        let turns = |modifiers| is_turn(&Event::Key(KeyEvent::new(KeyCode::Char('r'), modifiers)));
        assert!(turns(KeyModifiers::NONE) && !turns(KeyModifiers::CONTROL));
        assert!(!is_turn(&Event::Resize(80, 24)));
        let routes = ["jobs".to_owned(), "predict".to_owned()];
        let mut shown = vec![None];
        for _ in 0..3 {
            let next = after(shown.last().unwrap().as_deref(), &routes);
            shown.push(next);
        }
        let names: Vec<_> = shown.iter().map(Option::as_deref).collect();
        assert_eq!(names, [None, Some("jobs"), Some("predict"), None]);
        assert_eq!(after(Some("gone"), &routes), None);
    }

    #[test]
    fn an_empty_no_color_asks_for_nothing() {
        assert!(no_color(Some("1".as_ref())));
        assert!(!no_color(Some("".as_ref())) && !no_color(None));
    }
}
