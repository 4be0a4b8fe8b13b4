//! Frames of several sizes, drawn by ratatui on a terminal that is none.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::top::history::History;
use crate::top::scenarios::{failing, fixed_waits, no_jobs_yet, saturated};

const SIZES: [(u16, u16); 4] = [(60, 20), (80, 24), (120, 40), (200, 60)];

fn cells(history: &History, look: Look, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let view = View::of(history);
    let frame = terminal.draw(|frame| draw(&view, look, frame.area(), frame.buffer_mut()));
    frame.unwrap();
    terminal.backend().buffer().clone()
}

fn text(history: &History, size: (u16, u16)) -> String {
    plain(&cells(history, Look::terminal(true), size))
}

#[track_caller]
fn has(frame: &str, words: &[&str]) {
    for word in words {
        assert!(frame.contains(word), "no {word:?} in\n{frame}");
    }
}

#[test]
fn the_most_important_is_on_every_frame() {
    for size in SIZES {
        let frame = text(&fixed_waits(), size);
        has(
            &frame,
            &[
                "microbatch 0.1.0",
                "up 16 min 30 s",
                "ready, circuit closed, connected",
            ],
        );
        has(
            &frame,
            &["jobs in", "mean size    10 of 100", "fill         10 %"],
        );
        has(&frame, &["queue        0 of 10000", "slots        0 of 10"]);
        has(
            &frame,
            &["p50 4.8 ms", "p99 5.2 ms", "p50 9.8 ms", "p99 20.5 ms"],
        );
        has(
            &frame,
            &[
                "hint     100 % of batches leave on `wait`",
                "Why batches left",
                "q quits",
            ],
        );
        for reason in ["size", "bytes", "wait", "idle", "flush", "drain"] {
            assert!(
                frame.lines().any(|line| line.starts_with(reason)),
                "{reason}:\n{frame}"
            );
        }
    }
}

#[test]
fn larger_frames_show_more() {
    let panels = [
        ("How jobs ended", 80),
        ("jobs/s, last 5 min", 80),
        ("mean size, last 5 min", 80),
        ("Batches by size", 120),
    ];
    for size in SIZES {
        let frame = text(&fixed_waits(), size);
        for (panel, from) in panels {
            assert_eq!(
                frame.contains(panel),
                size.0 >= from,
                "{panel}, {size:?}:\n{frame}"
            );
        }
    }
}

#[test]
fn before_the_first_job_there_are_no_numbers_where_there_are_none() {
    for size in SIZES {
        let frame = text(&no_jobs_yet(), size);
        has(
            &frame,
            &["jobs in      0/s", "mean size    – of 100", "No job came"],
        );
        assert!(!frame.contains("NaN") && !frame.contains("inf"), "{frame}");
    }
    has(&text(&no_jobs_yet(), (80, 24)), &["no job was answered"]);
}

#[test]
fn a_full_house_is_seen() {
    for size in SIZES {
        let frame = text(&saturated(), size);
        has(&frame, &["10000 of 10000", "10 of 10, adapt"]);
        has(&frame, &["678/s", "12.3 k/s", "problem  10000 jobs waited"]);
        let cut = frame.contains("… (microbatch advice has it all)");
        assert_eq!(cut, size.0 < 120, "{frame}");
    }
    let frame = text(&saturated(), (120, 40));
    has(&frame, &["10 of 10, adaptive, all 100 %", "queue-timeout"]);
}

#[test]
fn failures_are_named_and_those_that_fit_are_listed() {
    for size in SIZES {
        let frame = text(&failing(), size);
        has(&frame, &["draining, circuit open", "Why batches left"]);
        assert_eq!(frame.contains("unheard-of"), size.1 > 20, "{frame}");
    }
    for (size, listed) in [((60, 20), 0), ((120, 40), 3), ((200, 60), 20)] {
        let frame = text(&failing(), size);
        assert!(
            frame.matches("01a1fc49-34f1").count() >= listed,
            "{size:?}:\n{frame}"
        );
    }
    let frame = text(&failing(), (120, 40));
    has(
        &frame,
        &[
            "others",
            "0 s ago",
            "64 jobs   10.0 s   01a1fc49-34f1-74a1-8e29-811633df5a82",
        ],
    );
}

#[test]
fn a_proxy_that_is_gone_is_named_and_what_was_known_stays() {
    let mut history = fixed_waits();
    history.lose("Connection refused".to_owned());
    for size in SIZES {
        let frame = text(&history, size);
        has(
            &frame,
            &["no answer, trying again: Connection refused", "10 of 100"],
        );
        assert!(!frame.contains("ready"), "{frame}");
    }
}

#[test]
fn panels_keep_their_places_while_figures_change() {
    for size in SIZES {
        let places = |history: &History| {
            let frame = text(history, size);
            let row = |title| frame.lines().position(|line| line.contains(title));
            ["Why batches left", "How jobs ended", "Batches by size"].map(row)
        };
        assert_eq!(places(&no_jobs_yet()), places(&fixed_waits()), "{size:?}");
    }
}

#[test]
fn no_size_is_too_small_or_odd() {
    for history in [no_jobs_yet(), fixed_waits(), saturated(), failing()] {
        for width in [0, 1, 2, 9, 13, 14, 22, 30, 59, 75, 76, 131, 132, 300] {
            for height in (0..40).step_by(3).chain([1, 2, 100]) {
                let mut cells = Buffer::empty(Rect::new(0, 0, width, height));
                let area = Rect::new(0, 0, width, height);
                draw(&View::of(&history), Look::terminal(true), area, &mut cells);
                // An area that is larger than there are cells, after a resize.
                let area = Rect::new(0, 0, width + 7, height + 7);
                draw(&View::of(&history), Look::terminal(true), area, &mut cells);
            }
        }
    }
}

#[test]
fn colours_are_the_terminals_own_or_none() {
    use Color::{Cyan, Green, Red, Reset, Yellow};
    let mut seen = Vec::new();
    for history in [fixed_waits(), saturated(), failing()] {
        for cell in &cells(&history, Look::terminal(true), (120, 40)).content {
            assert!(
                [Reset, Cyan, Green, Red, Yellow].contains(&cell.fg),
                "{cell:?}"
            );
            assert_eq!(cell.bg, Reset);
            seen.push(cell.fg);
        }
        for cell in &cells(&history, Look::terminal(false), (120, 40)).content {
            assert_eq!((cell.fg, cell.bg), (Reset, Reset), "{cell:?}");
        }
    }
    assert!(seen.contains(&Red) && seen.contains(&Green));
}

#[test]
fn on_paper_there_are_no_keys_and_no_blanks_at_the_end() {
    let frame = plain(&cells(&fixed_waits(), Look::printed(), (100, 120)));
    assert!(!frame.contains("q quits"), "{frame}");
    assert!(frame.lines().all(|line| line.trim_end() == line));
    assert!(frame.ends_with('\n') && !frame.ends_with("\n\n"));
}
