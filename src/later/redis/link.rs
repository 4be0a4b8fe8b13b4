//! The way to Redis: a session that is opened again when it has ended, and a bounded number
//! of commands on it, each of which has its time.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, RedisError, Value};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use super::error::{OpenError, failed, is_no_primary, is_unknown_script};
use super::message::Message;
use super::script::Script;
use super::session::{Opening, Session};
use crate::later::step::StoreError;
use crate::throttle::LogThrottle;

/// Most commands that are under way at once; others wait for these.
const MOST_AT_ONCE: usize = 64;

/// The pause after a connection could not be made, and the longest after several.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The way.
pub(super) struct Link {
    opening: Opening,
    state: watch::Sender<State>,
    permits: Semaphore,
    failures: LogThrottle,
}

/// How far it leads.
#[derive(Clone)]
enum State {
    /// There is a session.
    Live(Live),
    /// It has ended, and another one is being opened.
    Opening,
    /// That has failed, and is tried again.
    Away,
}

#[derive(Clone)]
struct Live {
    commands: redis::aio::MultiplexedConnection,
    broken: Arc<Notify>,
}

impl Live {
    fn of(session: &Session) -> State {
        State::Live(Self {
            commands: session.commands.clone(),
            broken: Arc::clone(&session.broken),
        })
    }

    /// Asks, and again where Redis has forgotten the script.
    async fn ask(&mut self, script: Script, command: &Cmd) -> Result<Value, RedisError> {
        match command.query_async(&mut self.commands).await {
            Err(error) if is_unknown_script(&error) => {
                script.source().load_async(&mut self.commands).await?;
                command.query_async(&mut self.commands).await
            }
            other => other,
        }
    }
}

impl Link {
    /// By this session.
    pub fn new(opening: Opening, session: &Session) -> Self {
        Self {
            opening,
            state: watch::Sender::new(Live::of(session)),
            permits: Semaphore::new(MOST_AT_ONCE),
            failures: LogThrottle::default(),
        }
    }

    /// Asks for a script; what it answers.
    pub async fn call(
        &self,
        script: Script,
        fill: impl FnOnce(&mut Cmd),
    ) -> Result<Value, StoreError> {
        let until = Instant::now() + self.opening.timeout;
        let permit = timeout_at(until, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(StoreError::NotCommitted);
        };
        let mut live = self.live(until).await?;
        let mut command = script.command(&self.opening.keys());
        fill(&mut command);
        match timeout_at(until, live.ask(script, &command)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if is_no_primary(&error) {
                    live.broken.notify_one();
                }
                self.tell(script, &error);
                Err(failed(&error))
            }
            Err(_) => {
                // What comes on it from here on comes late.
                live.broken.notify_one();
                Err(StoreError::Unanswered)
            }
        }
    }

    /// A session, if one is there or comes at once.
    async fn live(&self, until: Instant) -> Result<Live, StoreError> {
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|it| !matches!(it, State::Opening));
        let settled = timeout_at(until, settled).await;
        let Ok(Ok(state)) = settled else {
            return Err(StoreError::NotCommitted);
        };
        match &*state {
            State::Live(live) => Ok(live.clone()),
            State::Opening | State::Away => Err(StoreError::NotCommitted),
        }
    }

    /// Opens another session whenever one has ended, tells before each that is tried, and what
    /// there is then. Runs for ever.
    pub async fn keep(
        &self,
        mut session: Session,
        time: impl Fn() -> String,
        begins: impl Fn(),
        began: impl Fn(Message),
    ) {
        loop {
            session.ended().await;
            self.state.send_replace(State::Opening);
            let at = &self.opening.target.at;
            warn!(redis = %at, "the connection to the Redis of jobs for later is lost");
            // Its connections are closed before others are opened.
            drop(session);
            let (opened, message) = self.reopen(time(), &begins).await;
            session = opened;
            began(message);
            self.state.send_replace(Live::of(&session));
            info!(redis = %at, "the Redis of jobs for later is connected again");
        }
    }

    async fn reopen(&self, time: String, begins: impl Fn()) -> (Session, Message) {
        let mut pause = PAUSE;
        let mut told = None;
        loop {
            begins();
            // Who loses data is not noticed any more: it was checked when this began.
            match self.opening.open(&time, false).await {
                Ok(opened) => return opened,
                Err(error) => self.is_away(&error, &mut told),
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    fn is_away(&self, error: &OpenError, told: &mut Option<String>) {
        self.state.send_replace(State::Away);
        let error = error.to_string();
        if told.as_ref() != Some(&error) {
            warn!(error, "the Redis of jobs for later is away");
            *told = Some(error);
        }
    }

    fn tell(&self, script: Script, error: &RedisError) {
        if let Some(untold) = self.failures.admit() {
            let redis = &self.opening.target.at;
            warn!(%redis, ?script, %error, failures_not_warned_of = untold, "Redis refused a step");
        }
    }
}
