//! A connection to a server that may be the store, and one that hears what other replicas
//! tell. Both are there, or the session has ended.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, ProtocolVersion, PushInfo, PushKind, Value};
use redis::{RedisConnectionInfo, RedisError, ServerErrorKind};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::info;

use super::checks::Info;
use super::error::OpenError;
use super::message::Message;
use super::script::Script;
use super::target::Target;

/// Who is told what other replicas tell.
pub(super) type Listener = Arc<dyn Fn(Message) + Send + Sync>;

/// What a session is opened by.
pub(super) struct Opening {
    pub target: Target,
    /// `later.prefix`.
    pub prefix: String,
    /// `later.timeout`.
    pub timeout: Duration,
    /// By which name own messages are known.
    pub me: String,
    pub listener: Listener,
}

/// A session.
pub(super) struct Session {
    /// Where commands go.
    pub commands: MultiplexedConnection,
    /// Ends it.
    pub broken: Arc<Notify>,
    /// The connections' own; they end with this.
    drivers: JoinSet<()>,
    _subscriber: MultiplexedConnection,
}

impl Session {
    /// Waits until it has ended.
    pub async fn ended(&mut self) {
        tokio::select! {
            _ = self.drivers.join_next() => {}
            () = self.broken.notified() => {}
        }
    }
}

impl Opening {
    /// What all keys begin with. In a cluster all are where the prefix is.
    pub fn keys(&self) -> String {
        format!("{{{}}}:", self.prefix)
    }

    /// A session, and what there is; `time` is what scripts are told. A server that keeps
    /// nothing is refused where `lasting`.
    pub async fn open(&self, time: &str, lasting: bool) -> Result<(Session, Message), OpenError> {
        let opening = self.open_in_time(time, lasting);
        let opened = tokio::time::timeout(self.timeout, opening).await;
        opened.unwrap_or_else(|_| {
            let (at, timeout) = (self.target.at.clone(), self.timeout);
            Err(OpenError::NoAnswer { at, timeout })
        })
    }

    async fn open_in_time(
        &self,
        time: &str,
        lasting: bool,
    ) -> Result<(Session, Message), OpenError> {
        let mut drivers = JoinSet::new();
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let login = self.target.login.clone();
        let login = login.set_protocol(ProtocolVersion::RESP2);
        let mut commands = self
            .connect(&mut drivers, login.clone(), config.clone())
            .await?;
        self.check(&mut commands, lasting).await?;
        for source in Script::sources() {
            let loaded = source.load_async(&mut commands).await;
            loaded.map_err(|error| self.refused("SCRIPT LOAD", &error))?;
        }
        let listener = Arc::clone(&self.listener);
        let config = config.set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Message
                && let [_, Value::BulkString(text)] = &push.data[..]
                && let Some(message) = Message::read(text)
            {
                listener(message);
            }
            Ok::<_, std::convert::Infallible>(())
        });
        let login = login.set_protocol(ProtocolVersion::RESP3);
        let mut subscriber = self.connect(&mut drivers, login, config).await?;
        let subscribed = subscriber.subscribe(format!("{}news", self.keys())).await;
        subscribed.map_err(|error| self.refused("SUBSCRIBE", &error))?;
        // What is told from here on is heard, and comes on top of what there is.
        let mut init = Script::Init.command(&self.keys());
        init.arg(time).arg(&self.me);
        let all: (Vec<u8>, Value) = init
            .query_async(&mut commands)
            .await
            .map_err(|error| self.refused("EVALSHA", &error))?;
        let message = Message::read(&all.0).ok_or_else(|| OpenError::Lost {
            at: self.target.at.clone(),
            why: "its answer is none".to_owned(),
        })?;
        let session = Session {
            commands,
            broken: Arc::default(),
            drivers,
            _subscriber: subscriber,
        };
        Ok((session, message))
    }

    async fn connect(
        &self,
        drivers: &mut JoinSet<()>,
        login: RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, OpenError> {
        let stream = self.target.connect().await?;
        let made = MultiplexedConnection::new_with_config(&login, stream, config).await;
        let (connection, driver) = made.map_err(|error| self.refused("AUTH", &error))?;
        drivers.spawn(driver);
        Ok(connection)
    }

    async fn check(
        &self,
        commands: &mut MultiplexedConnection,
        lasting: bool,
    ) -> Result<(), OpenError> {
        let text: String = redis::cmd("INFO")
            .query_async(commands)
            .await
            .map_err(|error| self.refused("INFO", &error))?;
        let (info, at) = (Info::read(&text), &self.target.at);
        info.is_usable(at)?;
        if lasting {
            info.lasts(at)?;
            self.tell_of_power_failures(commands).await;
        }
        Ok(())
    }

    /// Says what a power failure may cost, where the server tells: not everybody may ask.
    async fn tell_of_power_failures(&self, commands: &mut MultiplexedConnection) {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg("appendfsync");
        let found: Result<Vec<String>, _> = get.query_async(commands).await;
        if let Ok([_, appendfsync]) = found.as_deref()
            && appendfsync != "always"
        {
            info!(
                redis = %self.target.at,
                appendfsync,
                "a power failure of the Redis costs what it was told in the last moments: jobs \
                 that it accepted are lost, and what was claimed then is queued again and sent \
                 twice, idempotent or not; appendfsync always costs nothing"
            );
        }
    }

    /// What an error means, while a session is opened.
    fn refused(&self, what: &'static str, error: &RedisError) -> OpenError {
        let (at, why) = (self.target.at.clone(), error.to_string());
        let prefix = self.prefix.clone();
        match (error.kind(), error.code()) {
            (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH")) => {
                OpenError::Password { at, why }
            }
            (ErrorKind::Server(ServerErrorKind::BusyLoading), _) => OpenError::Loading { at },
            (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => OpenError::Replica { at },
            (ErrorKind::Server(ServerErrorKind::Moved), _) => {
                OpenError::Elsewhere { at, why, prefix }
            }
            (ErrorKind::Server(_) | ErrorKind::Extension, _) => OpenError::Refused {
                at,
                what,
                why,
                prefix,
            },
            _ => OpenError::Lost { at, why },
        }
    }
}
