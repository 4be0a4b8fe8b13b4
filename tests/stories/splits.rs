//! Section 5 of the contract: a batch that is too large, or that one job
//! spoils, is sent again in halves.

use std::time::{Duration, Instant};

use crate::harness::{Call, Caller, Proxy, ScriptedUpstream, Signal};

const SPLIT_ON: (&str, &str) = ("MICROBATCH_UPSTREAM__SPLIT_ON", "400,422");

struct Setup {
    proxy: Proxy,
    upstream: ScriptedUpstream,
    callers: Vec<Caller>,
}

impl Setup {
    /// A proxy for batches of this many, with that many jobs in one.
    async fn full(size: usize, flags: &[&str], env: &[(&str, &str)]) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let max_size = size.to_string();
        let flags = [flags, &["--max-wait", "50s", "--max-size", &max_size]].concat();
        let proxy = Proxy::start(&upstream.url(), &flags, env).await;
        let mut callers = Vec::new();
        for id in 0..size {
            callers.push(proxy.enqueue(&format!(r#"{{"id":{id}}}"#)).await);
        }
        Self {
            proxy,
            upstream,
            callers,
        }
    }

    /// Lets the upstream answer until every caller has its answer; the number of
    /// calls that took.
    async fn answered(&mut self, mut answer: impl FnMut(Call)) -> (usize, Vec<u16>) {
        let callers = std::mem::take(&mut self.callers);
        let answers = async {
            let mut statuses = Vec::new();
            for (id, caller) in callers.into_iter().enumerate() {
                let answer = caller.answer().await;
                if answer.status == 200 {
                    answer.is_result(&format!(r#"{{"id":{id},"result":null}}"#));
                }
                statuses.push(answer.status);
            }
            statuses
        };
        let mut answers = std::pin::pin!(answers);
        let mut calls = 0;
        loop {
            tokio::select! {
                // Every call is in before the last answer is out.
                biased;
                call = self.upstream.next_ever() => {
                    calls += 1;
                    answer(call);
                }
                statuses = &mut answers => return (calls, statuses),
            }
        }
    }
}

/// Takes batches of at most this many.
fn at_most(max: usize) -> impl FnMut(Call) {
    move |call| match call.ids().len() {
        size if size > max => call.answer(413, &[], "too large"),
        _ => call.echo(),
    }
}

/// Refuses every batch that one of these is in.
fn spoiled_by(bad: Vec<u64>, status: u16) -> impl FnMut(Call) {
    move |call| {
        let is_bad = |id: &serde_json::Value| bad.contains(&id.as_u64().unwrap());
        match call.ids().iter().any(is_bad) {
            true => call.answer(status, &[("content-type", "text/plain")], "bad"),
            false => call.echo(),
        }
    }
}

#[tokio::test]
async fn answered_413_it_is_halved_until_it_fits() {
    for (size, max, calls) in [(2, 1, 3), (4, 2, 3), (8, 2, 7), (5, 2, 5), (7, 1, 13)] {
        let mut setup = Setup::full(size, &[], &[]).await;
        let (made, statuses) = setup.answered(at_most(max)).await;
        assert_eq!(statuses, vec![200; size], "{size} by {max}");
        // Less where one half was refused before the other left.
        assert!(made <= calls, "{size} by {max}: {made}");
    }
}

#[tokio::test]
async fn a_job_too_large_by_itself_is_told_so_and_alone() {
    let mut setup = Setup::full(4, &[], &[]).await;
    let (_, statuses) = setup.answered(spoiled_by(vec![2], 413)).await;
    assert_eq!(statuses, [200, 200, 413, 200]);
}

#[tokio::test]
async fn one_bad_job_costs_two_calls_a_halving_and_spoils_no_other() {
    for size in [2_usize, 3, 5, 8, 16, 33] {
        let all = 0..size as u64;
        let tried: Vec<u64> = match size {
            0..=8 => all.collect(),
            _ => vec![0, size as u64 / 2, size as u64 - 1],
        };
        for bad in tried {
            let mut setup = Setup::full(size, &[], &[SPLIT_ON]).await;
            let (calls, statuses) = setup.answered(spoiled_by(vec![bad], 422)).await;
            let halvings = size.next_power_of_two().trailing_zeros() as usize;
            assert!(
                calls - 1 <= 2 * halvings,
                "{calls} calls for {bad} of {size}"
            );
            let mut expected = vec![200; size];
            expected[bad as usize] = 422;
            assert_eq!(statuses, expected, "{bad} of {size}");
        }
    }
}

#[tokio::test]
async fn several_bad_jobs_are_all_found() {
    let mut setup = Setup::full(8, &[], &[SPLIT_ON]).await;
    let (_, statuses) = setup.answered(spoiled_by(vec![0, 3, 7], 400)).await;
    assert_eq!(statuses, [400, 200, 200, 400, 200, 200, 200, 400]);
}

#[tokio::test]
async fn the_bad_job_gets_the_upstreams_own_words() {
    let mut setup = Setup::full(2, &[], &[SPLIT_ON]).await;
    let mut answer = spoiled_by(vec![1], 422);
    // The whole and its halves.
    for _ in 0..3 {
        answer(setup.upstream.next().await);
    }
    let answer = setup.callers.remove(1).answer().await;
    assert_eq!((answer.status, answer.text()), (422, "bad"));
    assert_eq!(answer.header("x-batch-size"), "1");
}

#[tokio::test]
async fn only_the_statuses_of_split_on_split() {
    for (status, env) in [(404, &[SPLIT_ON][..]), (400, &[])] {
        let mut setup = Setup::full(2, &[], env).await;
        let callers = std::mem::take(&mut setup.callers);
        setup.upstream.next().await.answer(status, &[], "");
        for caller in callers {
            let answer = caller.answer().await;
            let problem = answer.problem(502, "upstream-rejected-batch", "yes");
            problem.has("upstream_status", status);
        }
        assert!(setup.upstream.arrived().is_none());
    }
}

#[tokio::test]
async fn the_halves_are_batches_of_their_own_side_by_side() {
    let mut setup = Setup::full(5, &[], &[]).await;
    let whole = setup.upstream.next().await;
    let whole_id = whole.header("x-batch-id").to_owned();
    whole.answer(413, &[], "");
    // Neither waits for the other.
    let one = setup.upstream.next().await;
    let other = setup.upstream.next().await;
    let mut sizes = [&one, &other].map(|call| call.header("x-batch-size").to_owned());
    sizes.sort();
    assert_eq!(sizes, ["2", "3"]);
    let ids = [&one, &other].map(|call| call.header("x-batch-id").to_owned());
    assert!(!ids.contains(&whole_id) && ids[0] != ids[1]);
    // One fails, and only its own members with it.
    let failing: Vec<_> = one.ids();
    one.answer(500, &[], "");
    other.echo();
    for (id, caller) in setup.callers.into_iter().enumerate() {
        let answer = caller.answer().await;
        let failed = failing.contains(&id.into());
        assert_eq!(answer.status, if failed { 502 } else { 200 }, "{answer:?}");
    }
}

#[tokio::test]
async fn the_halves_leave_before_anything_younger() {
    let mut setup = Setup::full(2, &["--max-in-flight", "1"], &[]).await;
    let whole = setup.upstream.next().await;
    for id in [7, 8] {
        let job = format!(r#"{{"id":{id}}}"#);
        setup.callers.push(setup.proxy.enqueue(&job).await);
    }
    whole.answer(413, &[], "");
    let mut order = Vec::new();
    for _ in 0..4 {
        let call = setup.upstream.next().await;
        order.push(call.ids());
        call.echo();
    }
    order[..2].sort_by_key(|ids| ids[0].as_u64());
    // Batches of two were refused.
    assert_eq!(order, [vec![0], vec![1], vec![7], vec![8]]);
}

#[tokio::test]
async fn the_halves_keep_their_distance() {
    let distance = Duration::from_millis(300);
    let env = [("MICROBATCH_UPSTREAM__MIN_INTERVAL", "300ms")];
    let mut setup = Setup::full(2, &[], &env).await;
    let mut times = Vec::new();
    let (calls, _) = setup
        .answered(|call| {
            times.push(Instant::now());
            at_most(1)(call);
        })
        .await;
    assert_eq!(calls, 3);
    // A call may be seen late, but none leaves early.
    assert!(times[2] - times[0] >= distance, "{times:?}");
}

#[tokio::test]
async fn a_departed_callers_job_is_in_no_half() {
    let mut setup = Setup::full(4, &["--max-in-flight", "1"], &[]).await;
    let whole = setup.upstream.next().await;
    setup.callers.remove(2).leave();
    setup.proxy.log.nth("caller left", 1).await;
    whole.answer(413, &[], "");
    let mut sent = Vec::new();
    for _ in 0..2 {
        let call = setup.upstream.next().await;
        sent.extend(call.ids());
        call.echo();
    }
    sent.sort_by_key(|id| id.as_u64());
    assert_eq!(sent, [0, 1, 3]);
}

#[tokio::test]
async fn a_drain_waits_for_the_halves() {
    let mut setup = Setup::full(4, &[], &[SPLIT_ON]).await;
    let whole = setup.upstream.next().await;
    setup.proxy.signal(Signal::TERM);
    setup.proxy.log.nth("draining", 1).await;
    let again: Vec<_> = whole.ids();
    assert_eq!(again.len(), 4);
    whole.answer(422, &[], "");
    let (_, statuses) = setup.answered(spoiled_by(vec![3], 422)).await;
    assert_eq!(statuses, [200, 200, 200, 422]);
    assert_eq!(setup.proxy.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_refusal_teaches_how_large_a_batch_may_be() {
    for (most, learned) in [(1, 1), (5, 4)] {
        let mut setup = Setup::full(16, &[], &[]).await;
        let (calls, statuses) = setup.answered(at_most(most)).await;
        assert_eq!(statuses, [200; 16]);
        assert!(calls < 2 * 16, "{calls}");
        // From then on no batch leaves that large.
        for id in 0..16 {
            let job = format!(r#"{{"id":{id}}}"#);
            setup.callers.push(setup.proxy.enqueue(&job).await);
        }
        let mut sizes = Vec::new();
        let (calls, statuses) = setup
            .answered(|call| {
                sizes.push(call.ids().len());
                at_most(most)(call);
            })
            .await;
        assert_eq!(statuses, [200; 16]);
        assert_eq!(calls, 16 / learned, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size == learned), "{sizes:?}");
    }
}

#[tokio::test]
async fn the_halves_leave_a_slot_to_new_batches() {
    let mut setup = Setup::full(4, &["--max-in-flight", "2"], &[SPLIT_ON]).await;
    let whole = setup.upstream.next().await;
    whole.answer(422, &[], "");
    let half = setup.upstream.next().await;
    assert_eq!(half.ids(), [0, 1]);
    for id in 4..8 {
        let job = format!(r#"{{"id":{id}}}"#);
        setup.callers.push(setup.proxy.enqueue(&job).await);
    }
    // Though the other half has waited for longer.
    let new = setup.upstream.next().await;
    assert_eq!(new.ids(), [4, 5, 6, 7]);
    new.echo();
    half.echo();
    let (calls, statuses) = setup.answered(Call::echo).await;
    assert_eq!((calls, statuses), (1, vec![200; 8]));
}
