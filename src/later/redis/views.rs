//! What is known here without asking: of each route what is counted and what waits, and what
//! is new. It follows the scripts' messages, own and others', of which each tells of a route
//! at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::message::{Message, View};
use crate::job::RouteName;
use crate::later::backlog::{News, Waiting};
use crate::later::clock;
use crate::later::record::Millis;
use crate::observe::CountsByRoute;

/// Most that is remembered of what others have done until somebody asks; after that it
/// counts as missed.
const MOST_NEWS: usize = 16_384;

/// How much later than the replica that accepted jobs others look for them, in
/// milliseconds: by then it has claimed them, and said so.
const OTHERS_LATER: std::ops::Range<u64> = 4..20;

/// What is known of all routes.
#[derive(Debug)]
pub(super) struct Views {
    me: String,
    shared: bool,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    routes: BTreeMap<RouteName, Known>,
    /// Those of which a claim was not answered: what it has got is to be asked for again.
    unanswered: BTreeSet<RouteName>,
    news: News,
    /// Whether there is news, and of the backlog from when on.
    is_new: bool,
    backlog_from: Option<Instant>,
    /// How far Redis' clock is ahead of this one, in milliseconds.
    ahead: i64,
}

/// A route.
#[derive(Debug, Default)]
struct Known {
    /// Of which moment this is.
    seq: u64,
    view: View,
    /// What waits as far as this process may claim it: without what others have accepted
    /// until it is their turn no more.
    shown: Waiting,
    shown_from: Option<Instant>,
}

impl Known {
    fn is(&mut self, seq: u64, view: View, held_back: Option<Instant>) {
        let waiting = view.waiting;
        let is_more = waiting.jobs > self.shown.jobs;
        (self.seq, self.view) = (seq, view);
        match held_back.filter(|_| is_more) {
            None => (self.shown, self.shown_from) = (waiting, None),
            Some(from) => {
                let before = self.shown;
                let is_some = before.jobs > 0;
                self.shown = Waiting {
                    jobs: before.jobs,
                    items: before.items.min(waiting.items),
                    bytes: before.bytes.min(waiting.bytes),
                    oldest: waiting.oldest.filter(|_| is_some),
                    deadline: waiting.deadline.filter(|_| is_some),
                    lapses: waiting.lapses,
                };
                self.shown_from.get_or_insert(from);
            }
        }
    }

    fn waiting(&mut self) -> Waiting {
        if self.shown_from.is_some_and(|it| it <= Instant::now()) {
            (self.shown, self.shown_from) = (self.view.waiting, None);
        }
        self.shown
    }
}

impl Inner {
    fn apply(&mut self, message: &mut Message, held_back: Option<Instant>) {
        for (route, view) in message.views.drain(..) {
            let known = self.routes.entry(route).or_default();
            if message.seq >= known.seq {
                known.is(message.seq, view, held_back);
            }
        }
    }

    fn is_too_much(&self) -> bool {
        let news = &self.news;
        news.finished.len() + news.deleted.len() + news.streams.len() > MOST_NEWS
    }
}

impl Views {
    /// Nothing yet; `me` is by whose name own messages are known, and `shared` whether there
    /// may be others.
    pub fn new(me: String, shared: bool) -> Self {
        Self {
            me,
            shared,
            inner: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// What an own script has told; `now` is the time here.
    pub fn told(&self, mut message: Message, now: Option<Millis>) {
        let mut inner = self.lock();
        inner.compare(message.now, now);
        inner.apply(&mut message, None);
        inner.is_new = true;
        drop(inner);
        self.changed.notify_one();
    }

    /// What somebody's script has told; own ones are known by their replies.
    pub fn heard(&self, mut message: Message) {
        if message.by == self.me {
            return;
        }
        let later = Duration::from_millis(fastrand::u64(OTHERS_LATER));
        let mut inner = self.lock();
        let from = *inner
            .backlog_from
            .get_or_insert_with(|| Instant::now() + later);
        inner.apply(&mut message, Some(from));
        let is_more = !(message.finished.is_empty() && message.deleted.is_empty());
        inner.is_new |= is_more;
        inner.news.finished.append(&mut message.finished);
        inner.news.deleted.append(&mut message.deleted);
        inner.news.streams.append(&mut message.streams);
        if inner.is_too_much() {
            inner.news = News {
                missed: true,
                ..News::default()
            };
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// A session is about to begin: what is known is of no moment of it, since a server may
    /// have lost what it told, and the next one's clock may be behind.
    pub fn begins(&self) {
        let mut inner = self.lock();
        inner.routes.values_mut().for_each(|it| it.seq = 0);
    }

    /// All that there is, as it was asked for: what was known before may not be so any more,
    /// but for what was heard since of a later moment.
    pub fn began(&self, mut message: Message, now: Option<Millis>) {
        let mut inner = self.lock();
        inner.routes.retain(|_, known| known.seq > message.seq);
        inner.apply(&mut message, None);
        inner.compare(message.now, now);
        (inner.is_new, inner.news.missed) = (true, true);
        drop(inner);
        self.changed.notify_one();
    }

    pub async fn news(&self) -> News {
        loop {
            let from = {
                let mut inner = self.lock();
                let from = inner.backlog_from;
                let is_time = from.is_some_and(|it| it <= Instant::now());
                if inner.is_new || is_time {
                    inner.is_new = false;
                    inner.backlog_from = from.filter(|_| !is_time);
                    let mut news = std::mem::take(&mut inner.news);
                    news.streams.sort_unstable();
                    news.streams.dedup();
                    return news;
                }
                from
            };
            match from {
                None => self.changed.notified().await,
                Some(from) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = sleep_until(from) => {}
                },
            }
        }
    }

    /// Whether the last claim of a route was answered. One that was not may have got jobs,
    /// which nobody else can claim until their leases run out.
    pub fn claimed(&self, route: &RouteName, is_answered: bool) {
        let mut inner = self.lock();
        match is_answered {
            true => drop(inner.unanswered.remove(route)),
            false => drop(inner.unanswered.insert(route.clone())),
        }
    }

    pub fn waiting(&self, route: &RouteName) -> Waiting {
        let mut waiting = self.known_of(route);
        if self.lock().unanswered.contains(route) {
            waiting.lapses = Some(0);
        }
        waiting
    }

    fn known_of(&self, route: &RouteName) -> Waiting {
        let mut inner = self.lock();
        let Some(known) = inner.routes.get_mut(route) else {
            return Waiting::default();
        };
        let mut waiting = known.waiting();
        // Who accepted the oldest claims it as soon as it is due, and others only if it
        // does not.
        let is_others = self.shared && known.view.owner != self.me;
        let waits_apart = waiting.lapses == Some(0);
        waiting.lapses = waiting.lapses.map(|it| inner.here(it));
        waiting.deadline = waiting.deadline.map(|it| inner.here(it));
        // What a process had that is gone waits once somebody claims, and may be overdue:
        // that is seen to whether or not anything of this route is ever sent here.
        let has_run_out = |it: &Millis| !waits_apart && *it <= clock::now();
        let run_out = waiting.lapses.filter(has_run_out);
        waiting.deadline = waiting.deadline.into_iter().chain(run_out).min();
        if is_others {
            let delay = self.delay(waiting.oldest);
            waiting.oldest = waiting.oldest.map(|it| it.saturating_add(delay));
        }
        waiting
    }

    pub fn routes(&self) -> Vec<RouteName> {
        let inner = self.lock();
        let waits = |it: &Waiting| it.jobs > 0 || it.lapses.is_some();
        let routes = inner.routes.iter().filter(|it| waits(&it.1.view.waiting));
        routes.map(|(route, _)| route.clone()).collect()
    }

    pub fn counts(&self, now: Millis) -> CountsByRoute {
        let inner = self.lock();
        let routes = inner.routes.iter();
        let counted = routes.filter(|it| it.1.view.counts.accepted > 0);
        let counts = counted.map(|(route, known)| {
            let mut counts = known.view.counts.clone();
            let age = |oldest| Duration::from_millis(now.saturating_sub(oldest));
            counts.oldest_queued = known.view.oldest_queued.map(age);
            (route.text(), counts)
        });
        counts.collect()
    }

    /// A time by Redis' clock, by this one.
    pub fn here(&self, time: Millis) -> Millis {
        self.lock().here(time)
    }

    /// Another one for each of the others, and for each batch.
    fn delay(&self, oldest: Option<Millis>) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.me, oldest).hash(&mut hasher);
        OTHERS_LATER.start + hasher.finish() % (OTHERS_LATER.end - OTHERS_LATER.start)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Redis' clock said so before this one did.
    fn compare(&mut self, there: Millis, here: Option<Millis>) {
        if let Some(here) = here {
            // Both are rounded: what is over here is to be over there too.
            let ahead = there.cast_signed().saturating_sub(here.cast_signed());
            self.ahead = ahead.saturating_sub(1);
        }
    }

    fn here(&self, time: Millis) -> Millis {
        time.saturating_add_signed(-self.ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::View;
    use super::*;

    fn told(by: &str, seq: u64, jobs: u64) -> Message {
        let waiting = Waiting {
            jobs,
            ..Waiting::default()
        };
        let view = View {
            waiting,
            ..View::default()
        };
        Message {
            by: by.to_owned(),
            now: 0,
            seq,
            views: vec![(RouteName::jobs(), view)],
            finished: Vec::new(),
            streams: Vec::new(),
            deleted: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_heard_while_a_session_begins_is_not_forgotten() {
        let (views, route) = (Views::new("me".to_owned(), true), RouteName::jobs());
        let jobs = async |views: &Views| {
            tokio::time::advance(Duration::from_secs(1)).await;
            views.waiting(&route).jobs
        };
        views.begins();
        views.heard(told("you", 8, 3));
        views.began(told("me", 7, 0), None);
        assert_eq!(jobs(&views).await, 3);
        // What was heard before says nothing of a server that has lost it.
        views.begins();
        views.began(told("me", 5, 1), None);
        assert_eq!(jobs(&views).await, 1);
        views.begins();
        let nothing = Message {
            views: Vec::new(),
            ..told("me", 4, 0)
        };
        views.began(nothing, None);
        assert_eq!(views.routes(), []);
    }
}
