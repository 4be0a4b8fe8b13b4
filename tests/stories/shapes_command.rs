//! `microbatch shapes` shows the presets.

use microbatch::shape::presets;

use crate::harness::{command, within};

async fn shapes(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command();
    command.arg("shapes").args(args);
    let output = within("the end of the process", command.output()).await;
    let output = output.expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn each_preset_is_listed_with_what_it_is_for() {
    let (code, list, said) = shapes(&[]).await;
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let listed = list.lines().filter_map(|line| line.split_once(' '));
    let listed: Vec<_> = listed.map(|(name, what)| (name, what.trim())).collect();
    assert_eq!(listed, presets::summaries().collect::<Vec<_>>());
    assert_eq!(listed.len(), presets::all().len());
    assert!(list.lines().all(|line| line.len() <= 100), "{list}");
}

#[tokio::test]
async fn a_preset_is_printed_as_it_is_written() {
    for name in presets::all().keys() {
        let (code, table, _) = shapes(&[name]).await;
        assert_eq!(code, Some(0));
        assert_eq!(table, format!("{}\n", presets::text(name).unwrap()));
        assert!(table.contains(&format!("\n[{name}]\n")), "{table}");
    }
}

#[tokio::test]
async fn what_is_no_preset_is_a_mistake_that_offers_one() {
    let (code, out, said) = shapes(&["kserv-v1"]).await;
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(said.contains("'kserve-v1'"), "{said}");
    let (_, _, said) = shapes(&["zebra"]).await;
    for name in presets::all().keys() {
        assert!(said.contains(name), "{said}");
    }
}
