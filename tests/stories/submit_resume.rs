//! `microbatch submit --resume` goes on after whatever ended it, and neither loses nor repeats.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Stdio;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::{Resource, Signal, Submit, Unkind, eventually, jobs, results, word};

/// Kills runs at a moment of chance each, until one ends by itself; its exit code.
async fn killed_until_done(
    chance: &mut StdRng,
    state: &Path,
    mut start: impl FnMut() -> Submit,
) -> (u32, Option<i32>) {
    let mut kills = 0;
    let length = || fs::metadata(state).map_or(0, |it| it.len());
    loop {
        let until = length() + chance.random_range(0..3_000);
        let run = start();
        let mut ended = Box::pin(run.ended_or(|| length() > until));
        match ended.as_mut().await {
            Some(submitted) => return (kills, submitted.code),
            None => kills += 1,
        }
    }
}

#[tokio::test]
async fn a_run_that_is_killed_goes_on_and_its_file_has_each_result_once() {
    for seed in 0..4 {
        let unkind = Unkind {
            refuses: 5,
            loses_answers: 5,
            breaks_streams: 2,
            ..Unkind::default()
        };
        let resource = Resource::start(seed, unkind).await;
        let directory = tempfile::tempdir().unwrap();
        let [file, state, output] =
            ["jobs", "state", "out"].map(|name| directory.path().join(name));
        fs::write(&file, jobs(200)).unwrap();
        fs::write(&output, "mine\n").unwrap();
        let ordered = seed % 2 == 0;
        let mut chance = StdRng::seed_from_u64(seed);
        let (kills, code) = killed_until_done(&mut chance, &state, || {
            let mut words = vec![word(&file), "--resume", word(&state)];
            words.extend(["--in-flight", "30"]);
            words.extend(ordered.then_some("--ordered"));
            let stdout = OpenOptions::new().append(true).open(&output).unwrap();
            Submit::to(resource.addr, &words, Stdio::from(stdout))
        })
        .await;
        assert_eq!(code, Some(1));
        assert!(kills > 0);
        let text = fs::read_to_string(&output).unwrap();
        let mut found = results(text.strip_prefix("mine\n").unwrap());
        if !ordered {
            found.sort_unstable();
        }
        let ids = found.iter().map(|(id, _)| *id);
        assert!(ids.eq(1..=200), "seed {seed}, {kills} kills: {found:?}");
        let done = resource.done();
        assert!(done.values().all(|&times| times == 1), "{done:?}");
    }
}

#[tokio::test]
async fn a_run_that_is_done_has_nothing_left_to_do() {
    let resource = Resource::start(1, Unkind::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let [file, state, output] = ["jobs", "state", "out"].map(|name| directory.path().join(name));
    fs::write(&file, jobs(6)).unwrap();
    let words = [word(&file), "--resume", word(&state), "-o", word(&output)];
    let first = Submit::run(resource.addr, &words).await;
    assert_eq!((first.code, &*first.stdout), (Some(0), ""), "{first:?}");
    let again = Submit::run(resource.addr, &words).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stderr.contains("6 done, 0 failed"), "{again:?}");
    assert_eq!(results(&fs::read_to_string(&output).unwrap()).len(), 6);
    // It has grown: what is new is done, and a failure is one of the whole run for good.
    fs::write(&file, jobs(8)).unwrap();
    for _ in 0..2 {
        let grown = Submit::run(resource.addr, &words).await;
        assert_eq!(grown.code, Some(1), "{grown:?}");
        assert_eq!(results(&fs::read_to_string(&output).unwrap()).len(), 8);
    }
    let done = resource.done();
    assert!(
        done.len() == 8 && done.values().all(|&times| times == 1),
        "{done:?}"
    );
}

#[tokio::test]
async fn a_run_does_not_go_on_with_what_is_not_its_own() {
    let resource = Resource::start(1, Unkind::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let [file, state, output] = ["jobs", "state", "out"].map(|name| directory.path().join(name));
    fs::write(&file, jobs(5)).unwrap();
    let words = [
        word(&file),
        "--resume",
        word(&state),
        "--output",
        word(&output),
    ];
    Submit::run(resource.addr, &words).await;
    let refused = async |words: &[&str], why: &str| {
        let refused = Submit::run(resource.addr, words).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(why), "{why}: {refused:?}");
    };
    fs::write(&file, jobs(5).replace("of 3", "OF 3")).unwrap();
    refused(&words, "line 3 is not what it was").await;
    fs::write(&file, jobs(4)).unwrap();
    refused(&words, "has 4 lines").await;
    fs::write(&file, jobs(5)).unwrap();
    refused(
        &[&words[..], &["--ordered"]].concat(),
        "started without --ordered",
    )
    .await;
    // A shell's > has emptied it.
    File::create(&output).unwrap();
    refused(&words, "shorter than when the run stopped").await;
    assert_eq!(resource.done().len(), 5);
}

#[tokio::test]
async fn a_first_signal_stops_in_order_and_a_run_goes_on() {
    let resource = Resource::start(1, Unkind::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let [state, output] = ["state", "out"].map(|name| directory.path().join(name));
    let words = ["-", "--resume", word(&state), "--output", word(&output)];
    let mut submit = Submit::start(resource.addr, &words);
    let mut stdin = submit.stdin();
    let text = jobs(6);
    tokio::io::AsyncWriteExt::write_all(&mut stdin, text.as_bytes())
        .await
        .unwrap();
    let lines = || results(&fs::read_to_string(&output).unwrap_or_default()).len();
    eventually("results", async || (lines() > 0).then_some(())).await;
    submit.signal(Signal::INT);
    submit.says("stopping").await;
    let stopped = submit.ended().await;
    assert_eq!(stopped.code, Some(130), "{stopped:?}");
    drop(stdin);
    let mut submit = Submit::start(resource.addr, &words);
    let mut stdin = submit.stdin();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, text.as_bytes())
        .await
        .unwrap();
    drop(stdin);
    assert_eq!(submit.ended().await.code, Some(0));
    assert_eq!(lines(), 6);
}
