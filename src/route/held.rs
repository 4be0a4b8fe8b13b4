//! That something is still in somebody's hands who may use it.

use std::sync::Arc;

use tokio::sync::watch;

/// A part of what it tells of: gone when that is dropped.
#[derive(Debug)]
pub struct Held {
    here: watch::Receiver<()>,
    told: Arc<watch::Sender<()>>,
}

impl Default for Held {
    fn default() -> Self {
        let (told, here) = watch::channel(());
        let told = Arc::new(told);
        Self { here, told }
    }
}

impl Held {
    /// Resolves when nobody has it any more.
    pub fn released(&self) -> impl Future<Output = ()> + Send + 'static {
        debug_assert!(self.here.has_changed().is_ok());
        let told = Arc::clone(&self.told);
        async move { told.closed().await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_told_when_the_last_has_let_go() {
        let (one, released) = {
            let held = Arc::new(Held::default());
            (Arc::clone(&held), held.released())
        };
        let mut released = std::pin::pin!(released);
        tokio::select! {
            biased;
            () = &mut released => panic!("somebody has it"),
            () = std::future::ready(()) => {}
        }
        drop(one);
        released.await;
    }
}
