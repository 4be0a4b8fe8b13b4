//! The order of the end: not ready, delay, no new jobs, no new connections, drain,
//! give up, done.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::info;

use super::observers::{All, Sums};
use super::process::Process;
use super::proxy::Proxy;
use crate::batcher::Batcher;
use crate::config::settings::Shutdown;
use crate::engine::Phase;
use crate::forward::Forwarder;
use crate::later::Later;
use crate::observe::RecordCounts;
use crate::server::connections::Connections;

/// The time for what was accepted for later to be where it stays, before the queues close:
/// callers wait beside it, and a store that is away is not to cost them the time they have.
const QUEUEING: Duration = Duration::from_secs(1);

/// The time for answers to be written once the last job is answered, and for
/// members to be answered once they are given up.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The time after that for callers to have read what they were told.
const LAST_READS: Duration = Duration::from_millis(400);

/// The longest that the end takes by these settings, and a little more for the process itself.
pub(super) fn longest(shutdown: &Shutdown) -> Duration {
    const PROCESS: Duration = Duration::from_secs(2);
    let last = LAST_WORDS + LAST_WORDS + LAST_READS + LAST_WORDS;
    shutdown.delay + QUEUEING + shutdown.timeout + last + PROCESS
}

/// The listeners at work.
pub(super) struct Listeners {
    pub callers: Arc<Connections>,
    pub operators: Arc<Connections>,
    /// What takes callers in, and ends once it is stopped and has taken those who were
    /// connected by then.
    pub accepting: JoinHandle<()>,
    pub stop_accepting: watch::Sender<bool>,
}

/// Ends in order: after the delay of the settings within their time, and a little more for
/// last words.
pub(super) async fn drain(proxy: &Proxy, listeners: Listeners) -> Report {
    let Listeners {
        callers,
        operators,
        accepting,
        stop_accepting,
    } = listeners;
    let Process {
        later,
        phase,
        ready,
        ..
    } = &proxy.process;
    proxy.end();
    let Shutdown {
        delay,
        timeout: time,
    } = proxy.shutdown();
    ready.store(false, Ordering::Relaxed);
    // Callers go elsewhere, answer by answer, before this is closed to them.
    callers.close();
    operators.close();
    info!(delay = %humantime::format_duration(delay), "draining");
    sleep(delay).await;
    let deadline = Instant::now() + time;
    // First of the two, so that a client that sees the listener closed sees no more
    // jobs accepted either.
    let busy = proxy.busy();
    let batchers = || busy.iter().filter_map(|it| it.batcher.as_ref());
    let forwarders = || busy.iter().filter_map(|it| it.forwarder.as_ref());
    let vacated = async || {
        for it in &busy {
            it.vacated().await;
        }
    };
    close(batchers(), later.as_ref(), deadline).await;
    forwarders().for_each(Forwarder::close);
    phase.send_replace(Phase::Draining);
    stop_accepting.send_replace(true);
    let answered = async {
        if timeout_at(deadline, vacated()).await.is_err() {
            batchers().for_each(Batcher::abandon);
            forwarders().for_each(Forwarder::cut);
            phase.send_replace(Phase::GivingUp);
            // Everybody has an answer as soon as its task runs.
            let _ = timeout_at(deadline + LAST_WORDS, vacated()).await;
        }
        // Whoever waits for a record or listens has its answer then.
        if let Some(later) = later {
            let _ = timeout_at(deadline + LAST_WORDS, later.end()).await;
        }
        // A request that is still coming in is refused when it is there. A caller
        // that neither sends nor reads by then does not hold up the end, nor does one
        // that waits for a place.
        callers.end();
    };
    // The end of `accepting` is the listener's: what was in its backlog has been
    // taken.
    let taken = accepting.abort_handle();
    let _ = tokio::join!(answered, timeout_at(deadline, accepting));
    taken.abort();
    let last_words = Instant::now() + LAST_WORDS;
    let _ = timeout_at(deadline.max(last_words), callers.vacated()).await;
    let _ = timeout(LAST_READS, callers.closed()).await;
    if let Some(later) = later {
        // What was committed is there, however this ends.
        let _ = timeout(LAST_WORDS, later.let_go()).await;
    }
    Report {
        routes: proxy.process.observers.all(),
        later: later.clone(),
    }
}

/// Nothing is accepted any more. What was accepted for later is queued before the queue
/// is closed, so that it is drained as all are: a job that was told a handle is not
/// answered that the process ends. Where it outlives the process it goes back into its
/// store instead, unless it was sent.
async fn close<J: Send + 'static, R: Send + 'static>(
    batchers: impl Iterator<Item = &Batcher<J, R>>,
    later: Option<&Later>,
    deadline: Instant,
) {
    if let Some(later) = later {
        later.close();
        // A store that hangs does not hold up the end. What is left then goes back at the
        // end of all.
        let until = deadline.min(Instant::now() + QUEUEING);
        let _ = timeout_at(until, later.all_queued()).await;
    }
    batchers.for_each(Batcher::close);
}

/// How many jobs were answered, by outcome: what a proxy says last.
#[derive(Debug)]
#[must_use = "its line is to be the log's last"]
pub struct Report {
    routes: All,
    later: Option<Later>,
}

impl Report {
    /// Logs it. To be called when nothing else is left that might log.
    pub fn log(&self) {
        let All { routes, others } = &self.routes;
        routes.iter().for_each(|it| it.tell_rest());
        let all = routes.iter().fold(*others, |sums, it| sums.with(it));
        let Sums {
            accepted,
            cancelled,
            outcomes,
            refusals,
        } = all;
        let records = self.later.as_ref().map(|it| it.counts().total());
        let records = records.filter(|records| records.accepted > 0);
        let several = routes.len() > 1;
        info!(
            accepted,
            answered = outcomes.sum(),
            %outcomes,
            refused = refusals.sum(),
            %refusals,
            cancelled,
            later = records.map(|it| tracing::field::display(InWords(it))),
            routes = several.then(|| tracing::field::display(Each(&self.routes))),
            "done"
        );
    }
}

/// What became of the jobs of each route.
struct Each<'a>(&'a All);

impl fmt::Display for Each<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let All { routes, others } = self.0;
        let each = routes.iter();
        let each = each.map(|it| (it.route(), Sums::default().with(it)));
        let others = (*others != Sums::default()).then_some(("others", *others));
        for (i, (route, sums)) in each.chain(others).enumerate() {
            let between = if i == 0 { "" } else { "; " };
            write!(f, "{between}{route}: accepted={}", sums.accepted)?;
            if sums.outcomes.sum() > 0 {
                write!(f, " {}", sums.outcomes)?;
            }
        }
        Ok(())
    }
}

/// What became of the jobs for later.
struct InWords(RecordCounts);

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RecordCounts {
            accepted,
            finished,
            deleted,
            present,
            ..
        } = &self.0;
        let [deleted_queued, deleted_sent, ..] = deleted;
        let [queued, sent, ..] = present;
        write!(f, "accepted={accepted}")?;
        for (code, count) in finished {
            write!(f, " {code}={count}")?;
        }
        let unfinished = [
            ("deleted", deleted_queued + deleted_sent),
            ("queued", *queued),
            ("sent", *sent),
        ];
        let mut some = unfinished.iter().filter(|it| it.1 > 0);
        some.try_for_each(|(what, count)| write!(f, " {what}={count}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use bytes::Bytes;

    use super::*;
    use crate::batcher;
    use crate::job::{Job, RouteName};
    use crate::json::MAX_DEPTH;
    use crate::later::faulty_tests::{Fault, Faulty};
    use crate::later::{HandIn, HandInError, Lane, Settings, Withdraw};
    use crate::observe::{Bounds, Observer, StoreStep};

    type Queue = Batcher<(), ()>;

    /// Whether a job came to a queue that was open.
    struct Seen(Queue, Arc<AtomicBool>);

    struct Nowhere;

    impl Lane for Seen {
        fn submit(&self, _: &RouteName, _: Job, _: Instant) -> Box<dyn Withdraw> {
            self.1.store(!self.0.is_closed(), Ordering::Relaxed);
            Box::new(Nowhere)
        }
    }

    impl Withdraw for Nowhere {
        fn withdraw(&self) {}
    }

    fn job() -> HandIn {
        let job = Job::parse(Bytes::from_static(b"{\"id\":1}"), MAX_DEPTH).unwrap();
        let (stream, key) = (None, None);
        HandIn {
            lane: None,
            route: RouteName::jobs(),
            job,
            stream,
            key,
            frame: crate::later::backlog::NO_FRAME,
        }
    }

    /// How long closing takes with a store like this, and whether the job that was on its
    /// way into it was queued in time.
    async fn closes(fault: Fault) -> (Duration, bool) {
        let settings = Settings {
            max_jobs: 10,
            max_bytes: 1_000,
            keep: Duration::from_secs(60),
            job_timeout: Duration::from_secs(60),
            max_wait: Duration::ZERO,
            max_attempts: 3,
        };
        let store = Arc::new(Faulty::new(&settings));
        store.set(StoreStep::Accept, Some(fault));
        let bounds = Bounds {
            max_size: 1,
            max_bytes: 1,
        };
        let later = Later::new(store, settings, [Arc::new(Observer::new(bounds))]);
        let queue = Queue::with_batches(batcher::Settings::default(), async |_| ());
        let open = Arc::new(AtomicBool::new(false));
        later.start(Arc::new(Seen(queue.clone(), Arc::clone(&open))));
        let accepted = tokio::spawn({
            let later = later.clone();
            async move { later.hand_in(job()).await }
        });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        close(
            [&queue].into_iter(),
            Some(&later),
            begun + Duration::from_secs(5),
        )
        .await;
        let took = begun.elapsed();
        assert!(queue.is_closed());
        let refused = later.hand_in(job()).await.unwrap_err();
        assert!(matches!(refused, HandInError::Closed));
        if fault != Fault::Hangs {
            accepted.await.unwrap().unwrap();
        }
        (took, open.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_accepted_is_queued_before_the_queue_closes() {
        let moment = Duration::from_millis(500);
        assert_eq!(closes(Fault::Takes(moment)).await, (moment, true));
        // Most of the five seconds are for callers.
        assert_eq!(closes(Fault::Hangs).await, (QUEUEING, false));
    }
}
