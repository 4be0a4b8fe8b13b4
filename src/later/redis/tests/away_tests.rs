//! A Redis that is gone, full, slow, or has forgotten something.

use tokio::time::timeout;

use super::server::Server;
use super::*;
use crate::later::step::StoreError;
use crate::later::store::{Look, Refused};

const AOF: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Until it works.
async fn again<T>(mut step: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let tried = async {
        loop {
            match step().await {
                Ok(done) => return done,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(LONG, tried).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_there_after_a_crash_of_the_server() {
    if !are_there() {
        return;
    }
    let mut server = Server::start(&AOF);
    let options = Options {
        allow_volatile: false,
        ..options(&server.url)
    };
    let store = connect(&options).await;
    let accepted = accept(&store, 3).await;
    let claimed = claim(&store, Which::Any).await;
    store
        .finish(vec![(accepted[0], answer(200))])
        .await
        .unwrap();
    let counts = store.counts();
    while !store.news().await.missed {}
    server.crash();
    // Nobody waits for it.
    again(
        async || match store.fetch(accepted[0], Look::ForState).await {
            Err(StoreError::NotCommitted) => Ok(()),
            _ => Err(StoreError::Unanswered),
        },
    )
    .await;
    let refused = store.accept(vec![new(9)]).await;
    let away = Refused::Store(StoreError::NotCommitted);
    assert!(
        matches!(&refused[..], [Err(it)] if *it == away),
        "{refused:?}"
    );
    server.start_again();
    again(async || store.fetch(accepted[0], Look::ForState).await).await;
    // Who waited for something looks for itself.
    while !timeout(LONG, store.news()).await.unwrap().missed {}
    assert_eq!(store.counts(), counts);
    // What was claimed is still this process's.
    let answers = claimed.iter().map(|it| (it.handle, answer(200)));
    store.finish(answers.collect()).await.unwrap();
    for handle in accepted {
        assert_eq!(status(&store, handle).await, Some(200));
    }
    assert_eq!(store.fenced(), []);
    // What others tell is heard again.
    let other = connect(&options).await;
    let one_more = accept(&other, 1).await;
    while store.waiting(&RouteName::jobs()).jobs == 0 {
        timeout(LONG, store.news()).await.unwrap();
    }
    assert_eq!(handles(&claim(&store, Which::Any).await), one_more);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_takes_answers_and_no_jobs() {
    if !are_there() {
        return;
    }
    let server = Server::start(&[]);
    let store = connect(&options(&server.url)).await;
    let accepted = accept(&store, 3).await;
    server.say(&["config", "set", "maxmemory", "1"]);
    let refused = store.accept(vec![new(9)]).await;
    let full = Refused::Store(StoreError::NotCommitted);
    assert!(
        matches!(&refused[..], [Err(it)] if *it == full),
        "{refused:?}"
    );
    let claimed = claim(&store, Which::Any).await;
    assert_eq!(claimed.len(), 3);
    store.queued_again(vec![accepted[0]]).await.unwrap();
    store.release(vec![accepted[0]]).await.unwrap();
    store
        .finish(vec![(accepted[1], answer(200))])
        .await
        .unwrap();
    let read = store.fetch(accepted[1], Look::ForAnswer).await.unwrap();
    assert!(read.unwrap().answer.is_some());
    store.delete(accepted[2]).await.unwrap();
    assert_eq!(store.counts().total().present, [1, 0, 1, 0]);
    server.say(&["config", "set", "maxmemory", "0"]);
    accept(&store, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_loaded_again() {
    if !are_there() {
        return;
    }
    let server = Server::start(&[]);
    let store = connect(&options(&server.url)).await;
    let accepted = accept(&store, 1).await;
    server.say(&["script", "flush"]);
    assert_eq!(handles(&claim(&store, Which::Any).await), accepted);
}

/// As after a failover to a replica that had not heard of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_has_lost_is_gone_and_nothing_else_is_wrong() {
    if !are_there() {
        return;
    }
    let server = Server::start(&[]);
    let options = options(&server.url);
    let store = connect(&options).await;
    let stream = StreamName::new("s").unwrap();
    let on_stream = |id| NewRecord {
        stream: Some(stream.clone()),
        ..new(id)
    };
    let records: Vec<_> = (0..3).map(on_stream).collect();
    let accepted: Vec<_> = records.iter().map(|it| it.handle).collect();
    store.accept(records).await;
    claim(&store, Which::Any).await;
    store
        .finish(vec![(accepted[0], answer(200))])
        .await
        .unwrap();
    let before = store.read_stream(&stream, None, 10).await.unwrap();
    server.say(&["flushall"]);
    assert_eq!(store.sent(vec![accepted[1]]).await, Ok(Vec::new()));
    assert_eq!(store.sent(vec![accepted[1]]).await, Ok(vec![accepted[1]]));
    store
        .finish(vec![(accepted[1], answer(200))])
        .await
        .unwrap();
    store.release(vec![accepted[2]]).await.unwrap();
    for handle in accepted {
        assert!(
            store
                .fetch(handle, Look::ForAnswer)
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(store.delete(handle).await, Ok(None));
    }
    let page = store
        .read_stream(&stream, Some(before.next), 10)
        .await
        .unwrap();
    assert!(page.gap && page.answers.is_empty(), "{page:?}");
    // From here on all is as in the beginning; positions go on.
    let one = on_stream(7);
    let handle = one.handle;
    store.accept(vec![one]).await;
    claim(&store, Which::Any).await;
    store.finish(vec![(handle, answer(200))]).await.unwrap();
    let page = store
        .read_stream(&stream, Some(before.next), 10)
        .await
        .unwrap();
    assert_eq!(
        page.answers.iter().map(|it| it.1).collect::<Vec<_>>(),
        [handle]
    );
    let counts = store.counts().total();
    assert_eq!((counts.accepted, counts.present), (1, [0, 0, 1, 0]));
}

/// A server with `allow_volatile` that evicts.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_evicted_stops_nothing() {
    if !are_there() {
        return;
    }
    let server = Server::start(&[]);
    let options = options(&server.url);
    let store = connect(&options).await;
    let accepted = accept(&store, 4).await;
    let evict = |handle: &Handle| {
        let key = format!("{{{}}}:r:{handle}", options.prefix);
        assert_eq!(server.say(&["del", &key]), "1");
    };
    evict(&accepted[1]);
    let claimed = handles(&claim(&store, Which::Any).await);
    assert_eq!(claimed.len(), 3);
    evict(&accepted[0]);
    let answers = accepted.iter().map(|it| (*it, answer(200)));
    store.finish(answers.collect()).await.unwrap();
    evict(&accepted[2]);
    store.expire(clock::now()).await.unwrap();
    let total = store.counts().total();
    assert_eq!(total.accepted, 4);
    assert_eq!(total.finished, [(Code::Ok, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_holds_nobody_up_for_longer_than_is_set() {
    if !are_there() {
        return;
    }
    let server = Server::start(&[]);
    let options = Options {
        timeout: Duration::from_millis(300),
        ..options(&server.url)
    };
    let store = connect(&options).await;
    let handle = accept(&store, 1).await[0];
    server.say(&["client", "pause", "3000", "all"]);
    let slow = store.accept(vec![new(2)]).await;
    let unanswered = Refused::Store(StoreError::Unanswered);
    assert!(
        matches!(&slow[..], [Err(it)] if *it == unanswered),
        "{slow:?}"
    );
    // Whatever is asked meanwhile was not done, or nobody knows.
    assert!(store.fetch(handle, Look::ForState).await.is_err());
    again(async || store.fetch(handle, Look::ForState).await).await;
}
