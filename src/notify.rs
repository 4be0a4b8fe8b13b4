//! What a service manager is told of this process (sd_notify(3)): ready, reloading, stopping,
//! alive.
//!
//! `app` has a [`Notifier`] from its start to its end. Without `NOTIFY_SOCKET` in the environment
//! nothing happens. What is told is sent by a thread of its own, in order, so that a manager that
//! hangs holds up nobody who is served; of what it does not take, no more is kept than
//! `UNTOLD`, and the rest is lost.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

/// The environment variable that names the manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Messages that wait for a manager that takes none.
const UNTOLD: usize = 16;

/// The longest that the end waits for the manager to have heard of it.
const HEARD: Duration = Duration::from_millis(500);

/// Tells the service manager, if there is one. Clones tell the same one.
#[derive(Clone, Debug, Default)]
pub struct Notifier(Option<SyncSender<Message>>);

#[derive(Debug)]
enum Message {
    Ready(String),
    Reloading,
    Alive,
    Stopping {
        longest: Duration,
        sent: oneshot::Sender<()>,
    },
}

impl Notifier {
    /// The one that has started this process.
    pub fn of_environment() -> Self {
        if std::env::var_os(SOCKET).is_none() {
            return Self(None);
        }
        let (messages, told) = sync_channel(UNTOLD);
        let thread = thread::Builder::new().name("notify".to_owned());
        match thread.spawn(move || send_all(&told)) {
            Ok(_) => Self(Some(messages)),
            Err(error) => {
                warn!(%error, "no thread to tell the service manager from");
                Self(None)
            }
        }
    }

    /// The listeners answer, or do so by other settings since [`Notifier::reloading`]. `status` is
    /// shown to people.
    pub fn ready(&self, status: impl Into<String>) {
        self.tell(Message::Ready(status.into()));
    }

    /// The settings are read again. [`Notifier::ready`] says that this is over, however it ended.
    pub fn reloading(&self) {
        self.tell(Message::Reloading);
    }

    /// The end has begun, and takes no more than `longest`. Returns when the manager has heard, or
    /// half a second later.
    pub async fn stopping(&self, longest: Duration) {
        if self.0.is_some() {
            let (sent, heard) = oneshot::channel();
            self.tell(Message::Stopping { longest, sent });
            let _ = timeout(HEARD, heard).await;
        }
    }

    /// Has proved to be alive. To be told more often than [`watchdog`] says.
    pub fn alive(&self) {
        self.tell(Message::Alive);
    }

    fn tell(&self, message: Message) {
        if let Some(messages) = &self.0 {
            // A manager that is behind hears of this when it asks for it again, or never.
            let _ = messages.try_send(message);
        }
    }
}

/// The longest time without [`Notifier::alive`] after which the manager restarts this process; none
/// where it does not.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|time| !time.is_zero())
}

fn send_all(told: &Receiver<Message>) {
    let mut has_failed = false;
    for message in told {
        if let Err(error) = send(message)
            && !std::mem::replace(&mut has_failed, true)
        {
            warn!(%error, "the service manager can't be told ({SOCKET})");
        }
    }
}

fn send(message: Message) -> std::io::Result<()> {
    match message {
        Message::Ready(status) => {
            sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)])
        }
        Message::Reloading => sd_notify::notify(&[
            NotifyState::Reloading,
            NotifyState::monotonic_usec_now()?,
            NotifyState::Status("reloading"),
        ]),
        Message::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        Message::Stopping { longest, sent } => {
            // More than the 32 bits that the library has for it.
            let longest = format!("EXTEND_TIMEOUT_USEC={}", longest.as_micros());
            let told = sd_notify::notify(&[
                NotifyState::Stopping,
                NotifyState::Custom(&longest),
                NotifyState::Status("draining"),
            ]);
            let _ = sent.send(());
            told
        }
    }
}
