//! The tables of settings against the program's.

use microbatch::config::keys;

use crate::page::{Page, code};

const HEAD: &str = "| key | flag | environment variable | default | allowed | meaning |";

#[test]
fn the_tables_of_settings_are_the_program_s() {
    let rows = Page::of("docs/settings.md").table(HEAD);
    let shown = rows.iter().map(|row| {
        let [key, flag, env, default, allowed, meaning] = &row[..] else {
            panic!("{row:?}");
        };
        assert!(!meaning.is_empty(), "{key}");
        let default = match &default[..] {
            "none" => None,
            default => Some(code(default)[0]),
        };
        let flag = code(flag).first().copied();
        let env = code(env)[0].to_owned();
        (code(key)[0], flag, env, default, allowed.clone())
    });
    let real = keys()
        .iter()
        .map(|key| (key.key, key.flag, key.env(), key.default, key.allowed()));
    assert_eq!(shown.collect::<Vec<_>>(), real.collect::<Vec<_>>());
}

/// What a page calls a setting is one, with `*` for all of a section.
#[test]
fn every_setting_that_a_page_names_exists() {
    let sections = ["server", "admin", "batch", "queue", "upstream", "retry"];
    let sections = [&sections[..], &["circuit", "shutdown", "log"]].concat();
    let mut named = 0;
    for page in crate::page::pages() {
        for line in page.text.lines() {
            for word in code(line) {
                let name = word.split([' ', '=']).next().unwrap_or_default();
                let Some((section, rest)) = name.split_once('.') else {
                    continue;
                };
                // What a span says of its upstream, by OpenTelemetry's names.
                if ["server.address", "server.port"].contains(&name) {
                    continue;
                }
                let a_key = rest.chars().all(|it| it.is_ascii_lowercase() || it == '_');
                if !sections.contains(&section) || !a_key {
                    continue;
                }
                let exists = keys().iter().any(|key| key.key == name);
                assert!(exists, "{}: {name}", page.path);
                named += 1;
            }
        }
    }
    assert!(named >= 100, "{named} names");
}
