//! Frames of several sizes, drawn by ratatui on a terminal that is none.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::*;
use crate::top::history::History;
use crate::top::scenarios::{
    backlog, failing, fixed_waits, no_jobs_yet, recovered, saturated, two_routes,
};

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
            &["microbatch 0.1.0", "up 16 min 30 s", "ready, connected"],
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
        has(&frame, &["success      100 %", "failed       0/s"]);
        has(&frame, &["end to end   p50 14.9 ms   p99 25.7 ms"]);
        has(
            &frame,
            &[
                "hint     100 % of batches leave on `wait`",
                "hint     64 connections can never",
                "What limits you, last minute",
                "Why batches left, last 5 min",
                "q quits",
            ],
        );
        let reasons = ["size", "bytes", "wait", "idle", "flush", "drain"];
        for reason in reasons.into_iter().take(if size.1 > 20 { 6 } else { 3 }) {
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
        ("jobs/s, last 5 min", 120),
        ("mean size, last 5 min", 120),
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
fn a_backlog_is_seen_and_nothing_of_it_where_there_is_none() {
    for size in SIZES {
        let frame = text(&backlog(), size);
        has(
            &frame,
            &["for later    4 k wait, 64 s", "oldest waits 42 s"],
        );
        has(
            &frame,
            &["finished     53/s, 3/s failed", "free places  12/s"],
        );
        has(
            &frame,
            &["kept         80.0 k, 12 f", "store        84 %, 21"],
        );
        // Callers' figures leave it out.
        has(&frame, &["success      100 %", "failed       0/s"]);
        let frame = text(&fixed_waits(), size);
        assert!(!frame.contains("later"), "{frame}");
    }
    has(&text(&backlog(), (120, 40)), &["84 %, 21 expired unread"]);
    for size in SIZES {
        assert!(!text(&backlog(), size).contains("recovered"));
        let panel = ["recovered    3 interrupted", "fenced       2 results"];
        has(&text(&recovered(), size), &panel);
    }
    let all = ["3 interrupted, 12 queued again"];
    has(&text(&recovered(), (120, 40)), &all);
}

#[test]
fn a_saturated_proxy_is_seen() {
    for size in SIZES {
        let frame = text(&saturated(), size);
        has(&frame, &["10000 of 10000", "10 of 10, adapt"]);
        has(&frame, &["678/s", "12.3 k/s", "problem  10000 jobs waited"]);
        has(
            &frame,
            &["5 % of jobs fail or are refused", "problem  All 10 slots"],
        );
        let cut = frame.contains("(all of it: microbatch advice)");
        assert_eq!(cut, size.0 < 120, "{frame}");
        assert_eq!(frame.contains('…'), cut, "{frame}");
    }
    let frame = text(&saturated(), (120, 40));
    has(&frame, &["10 of 10, adaptive, all 100 %", "queue-timeout"]);
}

#[test]
fn failures_are_named_and_those_that_fit_are_listed() {
    for size in SIZES {
        let frame = text(&failing(), size);
        has(&frame, &["circuit open, jobs are refused, draining"]);
        has(&frame, &["success      0 %", "failed       40/s"]);
        has(
            &frame,
            &["upstream-malformed  9 batches, 500 jobs  last 0 s ago"],
        );
        has(&frame, &["  an object with an array in it, status 200, "]);
    }
    for (size, listed) in [((60, 20), 1), ((80, 24), 1), ((120, 40), 3), ((200, 60), 6)] {
        let frame = text(&failing(), size);
        assert!(
            frame.matches("an object with an array").count() >= listed,
            "{size:?}:\n{frame}"
        );
    }
    let frame = text(&failing(), (120, 40));
    has(
        &frame,
        &[
            "others",
            "application/json   batch 01a1fc49-34f1-74a1-8e29-811633df5a82, 12.2 ms",
            "  {\"results 0",
        ],
    );
}

#[test]
fn of_several_routes_it_is_told_which_are_shown() {
    for size in SIZES {
        let frame = text(&two_routes(None), size);
        has(
            &frame,
            &["microbatch 0.1.0  all 2 routes", "r next route  q quits"],
        );
        has(
            &frame,
            &["10 of up to 100", "predict: upstream-malformed  9 b"],
        );
        // One of them has a circuit.
        has(&frame, &["circuit closed"]);
        let frame = text(&two_routes(Some("predict")), size);
        has(
            &frame,
            &["microbatch 0.1.0  route predict", "r next route  q quits"],
        );
        has(&frame, &["10 of 100", "circuit closed"]);
        assert!(!frame.contains("predict:"), "{frame}");
        let frame = text(&two_routes(Some("jobs")), size);
        has(&frame, &["microbatch 0.1.0  route jobs"]);
        assert!(!frame.contains("circuit"), "{frame}");
        // Of a proxy with one route nothing of it is seen.
        let mut one = two_routes(None);
        one.live.routes.truncate(1);
        let frame = text(&one, size);
        assert!(!frame.contains("route"), "{frame}");
    }
    // The name goes before the time, and that before the keys.
    let frame = text(&two_routes(Some("predict")), (60, 20));
    assert!(!frame.contains("up 16 min"), "{frame}");
    let frame = text(&two_routes(Some("predict")), (40, 20));
    has(&frame, &["route predict"]);
    let frame = plain(&cells(&two_routes(None), Look::printed(), (100, 120)));
    has(&frame, &["all 2 routes  up 16 min"]);
    assert!(!frame.contains("next"), "{frame}");
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
            [
                "What limits",
                "Why batches left",
                "How jobs ended",
                "Batches by size",
            ]
            .map(row)
        };
        assert_eq!(places(&no_jobs_yet()), places(&fixed_waits()), "{size:?}");
    }
}

#[test]
fn two_things_are_never_one_word() {
    let mut history = saturated();
    history.live.limits.queue_jobs = 100_000;
    history.live.current.queue_jobs = 100_000;
    history.live.current.waiting_for_room = 12_345;
    for width in 60..220 {
        let frame = text(&history, (width, 50));
        for words in ["success ", " failed ", " p99 1.5 s ", " slots ", " 100 % "] {
            assert!(frame.contains(words), "{words:?} at {width}:\n{frame}");
        }
        has(&frame, &["100000 of 10000"]);
    }
    let frame = text(&failing(), (160, 50));
    has(&frame, &["12.2 ms", "open, jobs", "unhear… █"]);
}

#[test]
fn jobs_that_wait_for_room_and_those_kept_apart_are_shown() {
    let mut history = saturated();
    history.live.current.waiting_for_room = 321;
    has(
        &text(&history, (120, 40)),
        &["10000 of 10000, 321 wait for room"],
    );
    let mut second = crate::top::scenarios::second(999, 100);
    second.kept_apart = 8300;
    let history = History::new(crate::top::scenarios::live(1000, vec![second]));
    has(&text(&history, (80, 24)), &["10 %, 830/s kept apart"]);
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
