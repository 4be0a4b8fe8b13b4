//! How many requests are passed on at once, and how they end with the process.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::error::ForwardError;

/// The places, at first all of them free.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// Its receivers are those that have a place, or wait for one.
    ending: watch::Sender<Ending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    NotBegun,
    /// Nobody new is let in.
    Closed,
    /// Nobody may stay.
    Cut,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    ending: watch::Receiver<Ending>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub fn new(most: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            ending: watch::Sender::new(Ending::NotBegun),
        }
    }

    /// A place; where there is none, the first that comes free within `wait`, in the order
    /// of asking.
    pub async fn take(&self, wait: Duration) -> Result<Place, ForwardError> {
        let ending = self.ending.subscribe();
        if *ending.borrow() >= Ending::Closed {
            return Err(ForwardError::Closed);
        }
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => tokio::select! {
                permit = timeout(wait, Arc::clone(&self.free).acquire_owned()) => {
                    permit.ok().and_then(Result::ok).ok_or(ForwardError::NoPlace)?
                }
                () = cut(ending.clone()) => return Err(ForwardError::Closed),
            },
        };
        Ok(Place {
            ending,
            _permit: permit,
        })
    }

    /// Nobody new is let in; who waits for a place still waits.
    pub fn close(&self) {
        self.turn(Ending::Closed);
    }

    /// Everybody is given up.
    pub fn cut(&self) {
        self.turn(Ending::Cut);
    }

    fn turn(&self, to: Ending) {
        self.ending.send_modify(|ending| *ending = to.max(*ending));
    }

    /// Resolves when nobody has a place, or waits for one.
    pub async fn vacated(&self) {
        self.ending.closed().await;
    }
}

impl Place {
    /// Resolves when it is to be given up.
    pub fn cut(&self) -> impl Future<Output = ()> + Send + 'static {
        cut(self.ending.clone())
    }
}

async fn cut(mut ending: watch::Receiver<Ending>) {
    let nobody_says_so = ending.wait_for(|&it| it == Ending::Cut).await.is_err();
    if nobody_says_so {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const WAIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn one_more_waits_for_so_long_and_no_longer() {
        let places = Places::new(1);
        let start = Instant::now();
        let first = places.take(WAIT).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        let error = places.take(WAIT).await.unwrap_err();
        assert!(matches!(error, ForwardError::NoPlace), "{error}");
        assert_eq!(start.elapsed(), WAIT);
        let leaving = async {
            tokio::time::sleep(WAIT / 2).await;
            drop(first);
        };
        let (second, ()) = tokio::join!(places.take(WAIT), leaving);
        assert!(second.is_ok());
        assert_eq!(start.elapsed(), WAIT * 3 / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_those_who_are_in_and_then_does_not() {
        let places = Places::new(1);
        let place = places.take(WAIT).await.unwrap();
        places.close();
        let refused = places.take(WAIT).await.unwrap_err();
        assert!(matches!(refused, ForwardError::Closed));
        assert!(timeout(WAIT, places.vacated()).await.is_err());
        assert!(timeout(WAIT, place.cut()).await.is_err());
        places.cut();
        place.cut().await;
        // That it was closed before does not take it back.
        places.close();
        place.cut().await;
        drop(place);
        places.vacated().await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_place_is_let_in_at_the_end_or_told_of_it() {
        let places = Places::new(1);
        let place = places.take(WAIT).await.unwrap();
        let waiting = places.take(WAIT);
        let ending = async {
            places.close();
            assert!(timeout(WAIT / 2, places.vacated()).await.is_err());
            places.cut();
        };
        let (waited, ()) = tokio::join!(waiting, ending);
        assert!(matches!(waited, Err(ForwardError::Closed)));
        drop(place);
        places.vacated().await;
    }
}
