//! What ships for Grafana and Prometheus in `config/` uses what there is: names
//! and labels of the table that every scrape is written from, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use microbatch::batcher::FlushReason;
use microbatch::code::Code;
use microbatch::observe::metrics::{FAMILIES, Kind};
use microbatch::observe::{RecordCounts, Reloaded, StoreStep};
use serde_json::Value;

use crate::metrics::promtool;

const DASHBOARD: &str = "config/grafana-dashboard.json";
const ALERTS: &str = "config/alerts.yml";

/// What Prometheus adds to every series.
const ADDED: [&str; 2] = ["instance", "job"];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).expect("a dashboard is JSON")
}

/// Every string in the dashboard, a line each.
fn strings(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text}\n"),
        Value::Array(items) => items.iter().map(strings).collect(),
        Value::Object(members) => members.values().map(strings).collect(),
        _ => String::new(),
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Every `microbatch_…` with the selector that follows it, if any.
fn selectors(text: &str) -> Vec<(&str, &str)> {
    let starts = text.match_indices("microbatch_").map(|(at, _)| at);
    starts
        .map(|at| {
            let text = &text[at..];
            let (name, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
            let selector = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            (name, selector.map_or("", |(selector, _)| selector))
        })
        .collect()
}

/// Each label of a selector with the words of its value.
fn matchers(selector: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let pairs = selector.split(',').filter(|pair| !pair.trim().is_empty());
    pairs.map(|pair| {
        let (label, value) = pair.split_once(['=', '!']).expect("a matcher");
        let value = value.trim_start_matches(['=', '~']).trim_matches('"');
        (label.trim(), value.split('|').collect())
    })
}

/// The labels that an expression groups by or that a text quotes.
fn mentioned(text: &str) -> BTreeSet<&str> {
    let between = |open: &'static str, close: char| {
        let parts = text.split(open).skip(1);
        parts.filter_map(move |part| part.split(close).next())
    };
    let lists = between("by (", ')').chain(between("without (", ')'));
    let lists = lists.flat_map(|list| list.split(',')).map(str::trim);
    let legends = between("{{", '}').map(str::trim);
    let legends = legends.filter(|name| name.chars().all(is_name));
    let quoted = between("$labels.", ' ').map(|part| part.split(|c| !is_name(c)).next().unwrap());
    lists.chain(legends).chain(quoted).collect()
}

/// The values that a label can have at all.
fn domain(label: &str) -> Option<BTreeSet<&'static str>> {
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let reasons = FlushReason::ALL.iter().map(|reason| reason.as_str());
    match label {
        "outcome" => Some(codes.chain(["abandoned"]).collect()),
        "code" => Some(codes.collect()),
        "reason" => Some(reasons.collect()),
        "state" => Some(RecordCounts::STATES.into()),
        "op" => Some(StoreStep::ALL.map(StoreStep::as_str).into()),
        "read" => Some(["true", "false"].into()),
        "result" => Some(Reloaded::ALL.map(Reloaded::as_str).into()),
        _ => None,
    }
}

#[test]
fn dashboard_and_alerts_use_families_that_exist() {
    let all: BTreeSet<_> = FAMILIES.iter().flat_map(|it| it.labels).collect();
    for (file, text) in [(DASHBOARD, strings(&dashboard())), (ALERTS, read(ALERTS))] {
        let uses = selectors(&text);
        assert!(uses.len() > 10, "{file}: {uses:?}");
        for (name, selector) in uses {
            let family = FAMILIES.iter().find(|family| {
                let suffix = name.strip_prefix(family.name);
                match family.kind {
                    Kind::Histogram => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
                    _ => suffix == Some(""),
                }
            });
            let family = family.unwrap_or_else(|| panic!("{file}: no {name}"));
            for (label, words) in matchers(selector) {
                let known = family.labels.contains(&label) || ADDED.contains(&label);
                assert!(known, "{file}: {name} has no label {label}");
                let Some(domain) = domain(label) else {
                    continue;
                };
                for word in words {
                    assert!(domain.contains(word), "{file}: {label} is never {word}");
                }
            }
        }
        for label in mentioned(&text) {
            let known = all.contains(&label) || ADDED.contains(&label);
            assert!(
                known || label == "le",
                "{file}: nothing has a label {label}"
            );
        }
    }
}

#[test]
fn the_dashboard_shows_all_that_is_counted() {
    let text = strings(&dashboard());
    let shown: BTreeSet<_> = selectors(&text).into_iter().map(|(name, _)| name).collect();
    for family in FAMILIES {
        let shown = ["", "_bucket", "_sum"].iter().any(|suffix| {
            let name = format!("{}{suffix}", family.name);
            shown.contains(name.as_str())
        });
        assert!(shown, "{} is on no panel", family.name);
    }
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard = dashboard();
    // No id: Grafana gives one. The data source is chosen at the import, or later.
    assert_eq!(dashboard.get("id"), None);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(variables[0]["type"], "datasource");
    assert_eq!(variables[0]["query"], "prometheus");
    let mut places = BTreeMap::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert_eq!(
            places.insert(panel["id"].to_string(), title),
            None,
            "{title}"
        );
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            panel["description"].as_str().unwrap().ends_with('.'),
            "{title}"
        );
        let targets = panel["targets"].as_array().unwrap();
        for it in targets.iter().chain([panel]) {
            assert_eq!(it["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}

#[test]
fn every_alert_says_what_to_do() {
    let text = read(ALERTS);
    let alerts: Vec<_> = text.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 5);
    for alert in alerts {
        for member in ["expr:", "for:", "severity:", "summary:", "description:"] {
            assert_eq!(alert.matches(member).count(), 1, "{member} in {alert}");
        }
    }
}

#[tokio::test]
async fn promtool_accepts_the_alerts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (words, file) in [
        (["check", "rules"], ALERTS),
        (["test", "rules"], "tests/stories/alerts.test.yml"),
    ] {
        let file = root.join(file);
        let words = [&words[..], &[file.to_str().expect("UTF-8")]].concat();
        let Some(said) = promtool(&words, "").await else {
            return;
        };
        assert!(said.contains("SUCCESS"), "{said}");
    }
}
