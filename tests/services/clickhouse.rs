//! ClickHouse, rows by `INSERT … FORMAT JSONEachRow`, counted by SELECT.

use std::process::{Command, Stdio};

use crate::install::{Peers, skip};
use crate::service::Service;
use crate::turns::{PATIENT, Turns};

const SERVER: &str = "clickhouse-server";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clickhouse() {
    let there = Command::new(SERVER)
        .arg("--help")
        .stdin(Stdio::null())
        .output();
    let there = there.is_ok().then_some(());
    let Some(()) = there.or_else(|| skip("clickhouse", "there is no clickhouse-server")) else {
        return;
    };
    let Some(peers) = Peers::of("clickhouse").await else {
        return;
    };
    let data = peers.folder().join("data");
    if data.exists() {
        std::fs::remove_dir_all(&data).expect("what an earlier server left");
    }
    let config = std::fs::read_to_string(peers.folder().join("config.xml")).expect("a file");
    let service = Service::start(&peers, "/ping", |port| {
        let own = peers.folder().join("own.xml");
        std::fs::write(own, config.replace("PORT", &port.to_string())).expect("its own folder");
        let mut server = tokio::process::Command::new(SERVER);
        server.arg("--config-file=own.xml");
        server.current_dir(peers.folder());
        server
    })
    .await;
    // The version in Debian says 500 to a row that it can't read, newer ones 400.
    let settings = [PATIENT, &[("UPSTREAM__SPLIT_ON", "400,500")]].concat();
    let (peers, service) = (&peers, &service);
    let all = Turns {
        peers,
        service,
        set_up: "clickhouse",
        settings: &settings,
    }
    .of("client.mjs")
    .await;
    let rows = all["rows"].as_str().expect("a line");
    let (count, others) = rows.split_once('\t').expect("three columns");
    assert_eq!(count, "66", "{all}");
    let sum = (0..64).sum::<u64>() + 100 + 101;
    assert!(others.starts_with(&format!("{sum}\t")), "{all}");
    assert_eq!(all["odd"], false, "{all}");
}
