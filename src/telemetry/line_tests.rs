use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::field::Empty;
use tracing::{info, info_span, subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Kept {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What is logged, in a format.
fn logged(lines: Lines, log: impl FnOnce()) -> String {
    let kept = Kept::default();
    let layer = tracing_subscriber::fmt::layer()
        .event_format(lines)
        .fmt_fields(lines)
        .with_writer(kept.clone());
    subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    let bytes = std::mem::take(&mut *kept.0.lock().unwrap());
    String::from_utf8(bytes).unwrap()
}

const TEXT: Lines = Lines::Text { colours: false };

/// What a caller or an upstream might want to be logged.
const ODD: &str = "\u{1b}[31m \"red\"\r\nlevel=ERROR \\ \u{9b}\u{202e}\u{2066}\u{61c}\u{2028}";

#[test]
fn a_line_of_json_is_one_object() {
    let line = logged(Lines::Json, || {
        let outer = info_span!("outer", size = 3, links = Empty);
        let _outer = outer.enter();
        outer.record("links", "a,b");
        let _inner = info_span!("inner").entered();
        info!(n = -1_i64, half = 0.5, odd = f64::NAN, yes = true, text = "a \"b\"", shown = %"c", "said");
    });
    assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
    let mut value: Value = serde_json::from_str(&line).unwrap();
    let time = value["timestamp"].take();
    assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
    let outer = serde_json::json!({"name": "outer", "size": 3, "links": "a,b"});
    let expected = serde_json::json!({
        "timestamp": null, "level": "INFO", "message": "said", "n": -1, "half": 0.5, "odd": "NaN",
        "yes": true, "text": "a \"b\"", "shown": "c", "target": module_path!(),
        "span": {"name": "inner"}, "spans": [outer, {"name": "inner"}],
    });
    assert_eq!(value, expected);
}

#[test]
fn a_line_of_text_is_for_people() {
    let log = || {
        let _batch = info_span!("batch", size = 3).entered();
        info!(n = 1, text = "a \"b\"", shown = %"c d", "said");
    };
    let line = logged(TEXT, log);
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.ends_with('Z'), "{line}");
    let expected = " INFO batch{size=3}: said n=1 text=\"a \\\"b\\\"\" shown=c d\n";
    assert_eq!(rest, expected);
    let line = logged(Lines::Text { colours: true }, log);
    assert!(line.contains("\u{1b}[32m INFO\u{1b}[0m batch{"), "{line}");
}

#[test]
fn nothing_of_others_steers_a_reader() {
    let log = || {
        let _batch = info_span!("batch", shown = %ODD, text = ODD).entered();
        info!(shown = %ODD, text = ODD, "{ODD}");
    };
    let json = logged(Lines::Json, log);
    let value: Value = serde_json::from_str(&json).unwrap();
    for member in ["/message", "/shown", "/text", "/span/shown", "/span/text"] {
        assert_eq!(value.pointer(member).unwrap(), ODD, "{member}");
    }
    for line in [json, logged(TEXT, log)] {
        let line = line.strip_suffix('\n').unwrap();
        assert!(!line.contains(is_unprintable), "{line:?}");
    }
}

#[test]
fn no_field_is_longer_than_the_longest_but_for_the_settings() {
    for filler in ["x", "\u{1b}", "\"", "é", "🙂"] {
        let long = filler.repeat(4_000);
        let log = || {
            let _batch = info_span!("batch", text = long).entered();
            info!(shown = %long, debug = ?long, "{long}");
        };
        for lines in [Lines::Json, TEXT] {
            let line = logged(lines, log);
            // In text a value in no quotes could be a little longer.
            let most = 5 * LONGEST + 300;
            assert!(
                line.len() < most && line.len() > 4 * 400,
                "{} of {lines:?}",
                line.len()
            );
            assert_eq!(
                line.matches('…').count(),
                if lines == TEXT { 4 } else { 6 - 1 },
                "{line}"
            );
        }
        let line = logged(Lines::Json, log);
        let value: Value = serde_json::from_str(&line).unwrap();
        let shown = value["shown"].as_str().unwrap();
        assert!(
            long.starts_with(shown.strip_suffix('…').unwrap()),
            "{shown}"
        );
    }
    let long = "x".repeat(4_000);
    let line = logged(
        TEXT,
        || info!(target: "microbatch", settings = long, "listening"),
    );
    assert!(line.contains(&long), "{line}");
    let line = logged(TEXT, || info!(target: "h2", settings = long, "listening"));
    assert!(!line.contains(&long), "{line}");
}
