//! docs/routes.md, and the settings that other pages show of routes, against the program.

use std::fs;

use microbatch::shape::Why;

use crate::check;
use crate::page::{Page, code, readme};

fn page() -> Page {
    Page::of("docs/routes.md")
}

#[test]
fn the_settings_that_are_shown_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shown.toml");
    let mut fences = page().fences_in("toml");
    fences.extend(Page::of("docs/settings.md").fences_in("toml"));
    fences.extend(readme().fences_in("toml"));
    assert_eq!(fences.len(), 4);
    for settings in fences {
        fs::write(&file, settings).unwrap();
        check(&file);
    }
}

#[test]
fn the_reasons_to_go_alone_are_the_program_s() {
    let rows = page().table("| `why` | the call |");
    let shown: Vec<_> = rows.iter().map(|row| code(&row[0])[0]).collect();
    assert_eq!(shown, Why::ALL.map(Why::as_str));
}
