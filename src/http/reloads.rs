//! Where whoever asks for a reload of the settings meets `app`, which does it.

use tokio::sync::{mpsc, oneshot};

/// Who asks for a reload, and waits for what comes of it.
pub type AsksForReload = oneshot::Sender<Result<String, NotReloaded>>;

/// Where a reload is asked for. Clones are the same.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<AsksForReload>);

/// Why nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReloaded {
    /// Of these mistakes in the settings.
    Mistakes(Vec<String>),
    /// The process ends.
    Ending,
}

/// How many may wait for a reload; one more waits to be one of them.
const WAITING: usize = 16;

impl Reloads {
    /// Both ends: where it is asked for, and who does it.
    pub fn new() -> (Self, mpsc::Receiver<AsksForReload>) {
        let (asks, asked) = mpsc::channel(WAITING);
        (Self(asks), asked)
    }

    /// Has the settings loaded again, and returns when what differs is in force: that as JSON.
    ///
    /// # Errors
    /// [`NotReloaded`]; nothing has changed then.
    pub async fn reload(&self) -> Result<String, NotReloaded> {
        let (asks, answer) = oneshot::channel();
        if self.0.send(asks).await.is_err() {
            return Err(NotReloaded::Ending);
        }
        answer.await.unwrap_or(Err(NotReloaded::Ending))
    }
}
