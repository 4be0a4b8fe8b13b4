//! Section 8 of the contract: "why isn't it batching?", answered rightly. Each
//! situation that an operator may find, and what the live page, `top`, `advice` and the
//! log say in it. What they say stands in `docs/situations.md`, row by row.

use std::pin::Pin;

use serde_json::Value;

use crate::harness::{
    Call, Caller, KeepAlive, Line, Proxy, Request, Reserved, Scrape, ScriptedUpstream, command,
    eventually, within,
};

const DOCUMENT: &str = include_str!("../../docs/situations.md");

/// What the upstream answers to every batch.
type Deed = fn(Call);

/// What happens before somebody looks: given the proxy and its upstream, to the answers
/// of all who asked.
type Play = for<'a> fn(
    &'a Proxy,
    &'a mut ScriptedUpstream,
    Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>>;

/// What must stay as it is while somebody looks.
#[derive(Default)]
struct Held {
    _calls: Vec<Call>,
    _callers: Vec<Caller>,
    _connections: Vec<KeepAlive>,
}

struct Situation {
    name: &'static str,
    flags: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    play: Play,
    deed: Deed,
    /// The message of the log's line that tells of it, if one does.
    logged: Option<&'static str>,
    /// What the advice says, and where something fails the table and the log.
    names: &'static str,
}

const FAILED: Option<&str> = Some("batch failed");

/// Batches of four, and none that leaves by the clock.
const FLAGS: [&str; 4] = ["--max-size", "4", "--max-wait", "50s"];

const ONCE: (&str, &str) = ("MICROBATCH_RETRY__MAX_ATTEMPTS", "1");

const DEFAULT: Situation = Situation {
    name: "",
    flags: &[],
    env: &[],
    play: one_batch,
    deed: Call::echo,
    logged: FAILED,
    names: "",
};

fn ok_with(call: Call, body: &'static str) {
    call.ok(body);
}

fn situations() -> Vec<Situation> {
    vec![
        Situation {
            name: "every job has the same id",
            flags: &["--max-in-flight", "1"],
            play: equal_ids,
            logged: None,
            names: "Give each job an `id` of its own",
            ..DEFAULT
        },
        Situation {
            name: "`upstream.url` has the wrong path",
            deed: |call| call.answer(404, &[], r#"{"detail":"Not Found"}"#),
            names: "404",
            ..DEFAULT
        },
        Situation {
            name: "the upstream wants something else than an array",
            deed: |call| call.answer(422, &[], "want an object"),
            names: "422",
            ..DEFAULT
        },
        Situation {
            name: "one odd job among good ones",
            play: one_odd_job,
            deed: |call| call.answer(400, &[], "item 3: no such field"),
            names: "400",
            ..DEFAULT
        },
        Situation {
            name: "total outage",
            deed: |call| call.answer(500, &[], "out of disk"),
            names: "500",
            ..DEFAULT
        },
        Situation {
            name: "total outage, circuit open",
            env: &[("MICROBATCH_CIRCUIT__FAILURES", "1")],
            deed: |call| call.answer(500, &[], "out of disk"),
            names: "500",
            ..DEFAULT
        },
        Situation {
            name: "nobody answers at `upstream.url`",
            env: &[ONCE],
            play: nothing_listening,
            names: "Connection refused",
            ..DEFAULT
        },
        Situation {
            name: "a redirect",
            deed: |call| {
                call.answer(308, &[("location", "https://new.example/v2?key=1")], "");
            },
            names: "https://new.example/v2?…",
            ..DEFAULT
        },
        Situation {
            name: "compressed answers",
            deed: |call| call.answer(200, &[("content-encoding", "gzip")], &b"\x1f\x8b\x08"[..]),
            names: "gzip",
            ..DEFAULT
        },
        Situation {
            name: "a wrapped array",
            deed: |call| ok_with(call, r#"{"results":[]}"#),
            names: "an object with an array in it",
            ..DEFAULT
        },
        Situation {
            name: "an object in place of results",
            deed: |call| ok_with(call, r#"{"ok":true}"#),
            names: "not an array but an object",
            ..DEFAULT
        },
        Situation {
            name: "a page in place of results",
            deed: |call| call.answer(200, &[("content-type", "text/html")], "<h1>Welcome</h1>"),
            names: "HTML",
            ..DEFAULT
        },
        Situation {
            name: "ids come back as another type",
            deed: |call| {
                let ids = call.ids().into_iter();
                let results: Vec<_> = ids.map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
                call.ok(format!("[{}]", results.join(",")));
            },
            logged: Some("unmatched results"),
            names: "another JSON type",
            ..DEFAULT
        },
        Situation {
            name: "results under other ids",
            deed: |call| ok_with(call, r#"[{"id":"other"}]"#),
            logged: Some("unmatched results"),
            names: "no result",
            ..DEFAULT
        },
        Situation {
            name: "results that are no JSON",
            deed: |call| {
                let ids = call.ids().into_iter();
                let results: Vec<_> = ids.map(|id| format!(r#"{{"id":{id},"p":NaN}}"#)).collect();
                call.ok(format!("[{}]", results.join(",")));
            },
            logged: Some("unmatched results"),
            names: "not JSON",
            ..DEFAULT
        },
        Situation {
            name: "wrong credentials",
            deed: |call| call.answer(401, &[], "no token"),
            names: "401",
            ..DEFAULT
        },
        Situation {
            name: "batches are too large for the upstream",
            deed: |call| match call.jobs().len() {
                1 | 2 => call.echo(),
                _ => call.answer(413, &[], ""),
            },
            logged: Some(
                "the upstream answered 413 to a batch, which goes on in halves; lower batch.max_size \
                 or batch.max_bytes",
            ),
            names: "413",
            ..DEFAULT
        },
        Situation {
            name: "the upstream is overloaded",
            deed: |call| call.answer(429, &[], "slow down"),
            names: "429",
            ..DEFAULT
        },
        Situation {
            name: "a slow upstream",
            flags: &["--upstream-timeout", "200ms"],
            play: no_answer,
            names: "in time",
            ..DEFAULT
        },
        Situation {
            name: "too few callers",
            play: few_callers,
            logged: None,
            names: "More callers",
            ..DEFAULT
        },
        Situation {
            name: "a full queue",
            flags: &["--queue-max-jobs", "4", "--max-in-flight", "1"],
            play: full_queue,
            logged: None,
            names: "`queue-full`",
            ..DEFAULT
        },
        Situation {
            name: "a full queue, `queue.on_full = \"wait\"`",
            flags: &["--queue-max-jobs", "4", "--max-in-flight", "1"],
            env: &[("MICROBATCH_QUEUE__ON_FULL", "wait")],
            play: waiting_for_room,
            logged: None,
            names: "waited for room",
            ..DEFAULT
        },
        Situation {
            name: "more jobs for later than there is room for",
            env: &[
                ("MICROBATCH_LATER__MAX_JOBS", "2"),
                ("MICROBATCH_LATER__MAX_WAIT", "30m"),
            ],
            play: full_store,
            logged: None,
            names: "1 job for later was refused with `store-full`",
            ..DEFAULT
        },
        Situation {
            name: "answers of jobs for later that nobody deletes",
            env: &[("MICROBATCH_LATER__MAX_JOBS", "4")],
            play: answers_left_behind,
            logged: None,
            names: "4 of them are finished",
            ..DEFAULT
        },
        Situation {
            name: "answers of jobs for later that nobody fetches in time",
            env: &[("MICROBATCH_LATER__KEEP", "1ms")],
            play: unread,
            logged: None,
            names: "4 results",
            ..DEFAULT
        },
        Situation {
            name: "a backlog longer than `later.job_timeout`",
            flags: &["--max-in-flight", "1"],
            env: &[
                ("MICROBATCH_LATER__JOB_TIMEOUT", "200ms"),
                ("MICROBATCH_LATER__MAX_WAIT", "0"),
            ],
            play: overdue,
            logged: None,
            names: "2 jobs for later were not finished",
            ..DEFAULT
        },
    ]
}

fn job(id: usize) -> String {
    format!(r#"{{"id":{id}}}"#)
}

async fn enqueue(proxy: &Proxy, ids: std::ops::Range<usize>) -> Vec<Caller> {
    let mut callers = Vec::new();
    for id in ids {
        callers.push(proxy.enqueue(&job(id)).await);
    }
    callers
}

async fn answered(callers: Vec<Caller>) -> Held {
    for caller in callers {
        caller.answer().await;
    }
    Held::default()
}

/// Four jobs in one batch, or in what becomes of it.
fn one_batch<'a>(
    proxy: &'a Proxy,
    upstream: &'a mut ScriptedUpstream,
    deed: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        let callers = enqueue(proxy, 0..4).await;
        let all = answered(callers);
        tokio::pin!(all);
        loop {
            tokio::select! {
                held = &mut all => return held,
                call = upstream.next_ever() => deed(call),
            }
        }
    })
}

fn one_odd_job<'a>(
    proxy: &'a Proxy,
    upstream: &'a mut ScriptedUpstream,
    deed: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        for deed in [Call::echo, deed] {
            one_batch(proxy, upstream, deed).await;
        }
        Held::default()
    })
}

fn nothing_listening<'a>(
    proxy: &'a Proxy,
    upstream: &'a mut ScriptedUpstream,
    _: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        upstream.kill().await;
        answered(enqueue(proxy, 0..4).await).await
    })
}

fn no_answer<'a>(
    proxy: &'a Proxy,
    upstream: &'a mut ScriptedUpstream,
    _: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        let callers = enqueue(proxy, 0..4).await;
        let _thinking = upstream.next().await;
        answered(callers).await
    })
}

/// Eight jobs of one id, and room for four of them in a batch.
fn equal_ids<'a>(
    proxy: &'a Proxy,
    upstream: &'a mut ScriptedUpstream,
    deed: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        let mut callers = Vec::new();
        for _ in 0..8 {
            callers.push(proxy.enqueue(r#"{"id":"job"}"#).await);
        }
        proxy.flush().await;
        for _ in 0..8 {
            deed(upstream.next().await);
        }
        answered(callers).await
    })
}

/// Two callers who stay.
fn few_callers<'a>(
    proxy: &'a Proxy,
    upstream: &'a mut ScriptedUpstream,
    deed: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        let [mut one, mut other] = [proxy.keep_alive().await, proxy.keep_alive().await];
        let answers = async { tokio::join!(one.post(job(1)), other.post(job(2))) };
        let batch = async {
            proxy.log.nth("job queued", 2).await;
            proxy.flush().await;
            deed(upstream.next().await);
        };
        tokio::join!(answers, batch);
        Held {
            _connections: vec![one, other],
            ..Held::default()
        }
    })
}

/// Four jobs at the upstream, four in the queue, and two that are refused.
fn full_queue<'a>(
    proxy: &'a Proxy,
    upstream: &'a mut ScriptedUpstream,
    _: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        let mut callers = enqueue(proxy, 0..4).await;
        let call = upstream.next().await;
        callers.extend(enqueue(proxy, 4..8).await);
        for id in 8..10 {
            proxy.post(job(id)).await.problem(503, "queue-full", "no");
        }
        Held {
            _calls: vec![call],
            _callers: callers,
            ..Held::default()
        }
    })
}

/// The same, and two that wait for room.
fn waiting_for_room<'a>(
    proxy: &'a Proxy,
    upstream: &'a mut ScriptedUpstream,
    _: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        let mut callers = enqueue(proxy, 0..4).await;
        let call = upstream.next().await;
        callers.extend(enqueue(proxy, 4..8).await);
        for id in 8..10 {
            callers.push(proxy.overflow(Request::job(job(id))).await);
        }
        let live = proxy.admin("GET", "/live").await.json();
        let scrape = Scrape::of(proxy).await;
        assert_eq!(live["current"]["waiting_for_room"], 2, "{live:#}");
        assert_eq!(scrape.get("queue_waiting_for_room_jobs"), 2.0);
        Held {
            _calls: vec![call],
            _callers: callers,
            ..Held::default()
        }
    })
}

/// Room for two, and three come.
fn full_store<'a>(
    proxy: &'a Proxy,
    _: &'a mut ScriptedUpstream,
    _: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        for id in 0..2 {
            proxy.hand_in(&job(id)).await;
        }
        let answer = proxy.send(Request::later(job(2))).await;
        answer.problem(503, "store-full", "no");
        Held::default()
    })
}

/// Four jobs for later are done.
fn unread<'a>(
    proxy: &'a Proxy,
    upstream: &'a mut ScriptedUpstream,
    deed: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        for id in 0..4 {
            proxy.hand_in(&job(id)).await;
        }
        deed(upstream.next().await);
        Held::default()
    })
}

/// The same, and another comes.
fn answers_left_behind<'a>(
    proxy: &'a Proxy,
    upstream: &'a mut ScriptedUpstream,
    deed: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        let held = unread(proxy, upstream, deed).await;
        let answer = proxy.send(Request::later(job(4))).await;
        answer.problem(503, "store-full", "no");
        held
    })
}

/// Callers' jobs have the one slot for longer than jobs for later may take.
fn overdue<'a>(
    proxy: &'a Proxy,
    upstream: &'a mut ScriptedUpstream,
    _: Deed,
) -> Pin<Box<dyn Future<Output = Held> + Send + 'a>> {
    Box::pin(async move {
        let callers = enqueue(proxy, 0..4).await;
        let call = upstream.next().await;
        for id in 4..6 {
            proxy.hand_in(&job(id)).await;
        }
        Held {
            _calls: vec![call],
            _callers: callers,
            ..Held::default()
        }
    })
}

/// The text that a command prints about the proxy.
async fn said(proxy: &Proxy, words: &[&str]) -> String {
    let admin = proxy.admin_addr.expect("an admin listener").to_string();
    let mut command = command();
    command.args(words).args(["--admin-listen", &admin]);
    let output = within("the end of the process", command.output()).await;
    String::from_utf8(output.expect("the binary starts").stdout).expect("text in UTF-8")
}

/// What fails as the table's first row has it, and what of it the log has.
fn cause(of: &Value) -> String {
    let parts = [
        "outcome",
        "upstream_status",
        "location",
        "content_encoding",
        "cause",
    ];
    let parts = parts.iter().filter_map(|part| match &of[part] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    parts.collect::<Vec<_>>().join(" · ")
}

/// What everything says of a situation, as a row of the document.
async fn row(of: &Situation) -> String {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = [&FLAGS[..], of.flags].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, of.env).await;
    let _held = (of.play)(&proxy, &mut upstream, of.deed).await;
    let has = |what: &str, text: &str| {
        assert!(text.contains(of.names), "{}: {what}: {text}", of.name);
    };

    let log = match of.logged {
        Some(message) => {
            let line: Line = proxy.log.nth(message, 1).await;
            has("the log", &line.0.to_string());
            match cause(&line.0) {
                cause if cause.is_empty() => message.to_owned(),
                cause => format!("{message}: {cause}"),
            }
        }
        None => "–".to_owned(),
    };
    // What the upstream said is read in the wake of the answers.
    let fails = matches!(of.logged, Some("batch failed" | "unmatched results"));
    let live = eventually(of.name, async || {
        let live = proxy.admin("GET", "/live").await.json();
        let advice = live["advice"][0]["text"].as_str().expect("a sentence");
        let told = advice.contains(of.names) || (fails && advice.contains("gets through"));
        let rows = live["failures"].as_array().expect("failures").len();
        (told && (rows > 0) == fails).then_some(live)
    })
    .await;
    let advice = live["advice"][0]["text"].as_str().expect("a sentence");
    let table = match fails {
        true => {
            let first = &live["failures"][0];
            has("the table", &first.to_string());
            cause(first)
        }
        false => "–".to_owned(),
    };

    let printed = said(&proxy, &["advice"]).await;
    let kind = live["advice"][0]["kind"].as_str().expect("a kind");
    let first = format!("{kind}: {advice}");
    assert_eq!(printed.lines().next(), Some(&*first), "{}", of.name);
    // The terminal breaks lines where they end.
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let (top, words) = (said(&proxy, &["top", "--once"]).await, squeezed(advice));
    let start: String = words.replace('`', "").chars().take(20).collect();
    let shown = squeezed(&top).replace('`', "");
    assert!(shown.contains(&start), "{}: no {start} in\n{top}", of.name);
    format!("| {} | {table} | {advice} | {log} |", of.name)
}

#[tokio::test]
async fn each_situation_is_told_as_the_document_says() {
    let mut rows = Vec::new();
    for situation in situations() {
        rows.push(row(&situation).await);
    }
    let written = DOCUMENT.lines().filter(|line| line.starts_with("| "));
    let written: Vec<_> = written.skip(1).collect();
    assert!(
        written == rows,
        "docs/situations.md is to say:\n{}",
        rows.join("\n")
    );
}

/// All slots are taken, and jobs wait for one.
#[tokio::test]
async fn a_slow_upstream_that_keeps_its_slots_is_what_limits_the_proxy() {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = ["--max-wait", "0", "--max-in-flight", "1"];
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let one = proxy.enqueue(&job(1)).await;
    let call = upstream.next().await;
    let others = [proxy.enqueue(&job(2)).await, proxy.enqueue(&job(3)).await];
    eventually("slots that were taken for long", async || {
        let live = proxy.admin("GET", "/live").await.json();
        let busy = live["seconds"].as_array()?.iter();
        let busy = busy.filter(|it| it["slots_busy"].as_f64() >= Some(0.99));
        (busy.count() >= 3).then_some(())
    })
    .await;
    call.echo();
    upstream.next().await.echo();
    for caller in others.into_iter().chain([one]) {
        assert_eq!(caller.answer().await.status, 200);
    }
    let advice = eventually("the batches' end in the advice", async || {
        let advice = proxy.admin("GET", "/advice").await.json();
        let text = advice[0]["text"].as_str()?.to_owned();
        text.starts_with("The only slot is taken").then_some(text)
    })
    .await;
    assert!(
        advice.contains("raise `upstream.max_in_flight`"),
        "{advice}"
    );
}

/// A port on which nobody ever listened is as good as one that is closed.
#[tokio::test]
async fn an_outage_is_one_row_however_many_batches_it_takes() {
    let nobody = Reserved::new();
    let env = [ONCE, ("MICROBATCH_CIRCUIT__FAILURES", "0")];
    let proxy = Proxy::start(&nobody.url(), &["--max-wait", "0"], &env).await;
    for id in 0..30 {
        let answer = proxy.post(job(id)).await;
        answer.problem(502, "upstream-unreachable", "no");
    }
    let failures = eventually("thirty failures", async || {
        let live = proxy.admin("GET", "/live").await.json();
        let failures = live["failures"].as_array().expect("failures").clone();
        (failures[0]["count"] == 30).then_some(failures)
    })
    .await;
    assert_eq!((failures.len(), &failures[0]["jobs"]), (1, &30.into()));
    let (first, last) = (failures[0]["first"].as_f64(), failures[0]["t"].as_f64());
    assert!(first <= last, "{failures:?}");
    // At debug each is told, though one by one only ten are at warn.
    let told = |message: &str| proxy.log.count(|line| line.message() == message);
    eventually("thirty lines", async || {
        let told = [told("batch failed"), told("one more batch failed")];
        (told == [10, 20]).then_some(())
    })
    .await;
}

/// The sentence about a backlog, once it is old.
async fn of_the_backlog(proxy: &Proxy, why: &str) -> String {
    eventually(why, async || {
        let advice = proxy.admin("GET", "/advice").await.json();
        let texts = advice
            .as_array()?
            .iter()
            .filter_map(|it| it["text"].as_str());
        let mut about = texts.filter(|it| it.contains("for later wait"));
        about.find(|it| it.contains(why)).map(str::to_owned)
    })
    .await
}

const SOON: (&str, &str) = ("MICROBATCH_LATER__MAX_WAIT", "10ms");

/// What holds them up most is said: here that callers go first, there the upstream.
#[tokio::test]
async fn a_backlog_that_grows_old_is_told_with_what_holds_it_up() {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = [&FLAGS[..], &["--max-in-flight", "1"]].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &[SOON]).await;
    let callers = enqueue(&proxy, 0..4).await;
    let call = upstream.next().await;
    let handed = [proxy.hand_in(&job(4)).await, proxy.hand_in(&job(5)).await];
    let text = of_the_backlog(&proxy, "batches of waiting callers go first").await;
    assert!(
        text.starts_with("2 jobs for later wait, the oldest for "),
        "{text}"
    );
    assert!(text.contains("raise `upstream.max_in_flight`"), "{text}");
    call.echo();
    answered(callers).await;
    upstream.next().await.echo();
    for handed in &handed {
        assert_eq!(proxy.finished(handed).await.status, 200);
    }
}

#[tokio::test]
async fn a_backlog_behind_an_open_circuit_says_so() {
    let mut upstream = ScriptedUpstream::start().await;
    let env = [
        SOON,
        ("MICROBATCH_CIRCUIT__FAILURES", "1"),
        ("MICROBATCH_CIRCUIT__OPEN_FOR", "1h"),
    ];
    let proxy = Proxy::start(&upstream.url(), &FLAGS, &env).await;
    one_batch(&proxy, &mut upstream, |call| call.answer(500, &[], "")).await;
    proxy.hand_in(&job(4)).await;
    proxy.hand_in(&job(5)).await;
    of_the_backlog(&proxy, "the circuit is open").await;
}
