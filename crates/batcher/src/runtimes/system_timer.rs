//! A timer of the system's, which goes off when it is set for.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::read;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// It goes off no sooner than this after it has: what is due within that is done together,
/// and a thread is not woken for each.
const REST: Duration = Duration::from_micros(200);

/// A timer of the system's that tells the runtime's I/O driver.
#[derive(Debug)]
pub(super) struct SystemTimer {
    descriptor: AsyncFd<OwnedFd>,
    rests_until: Instant,
}

impl SystemTimer {
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "the other is unsafe for what may name another descriptor one day, \
                      which an owned one can't"
        )]
        let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
        Ok(Self {
            descriptor,
            rests_until: Instant::now(),
        })
    }

    /// It is to go off then, and then alone.
    pub fn set(&mut self, time: Instant) -> io::Result<()> {
        let now = Instant::now();
        let left = time.max(self.rests_until).saturating_duration_since(now);
        // Nothing would stop it.
        let left = left.max(Duration::from_nanos(1));
        let value = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(left).map_err(io::Error::other)?,
        };
        timerfd_settime(
            self.descriptor.get_ref(),
            TimerfdTimerFlags::empty(),
            &value,
        )?;
        Ok(())
    }

    /// Resolves when it has gone off since it was set; where that can't be told, never.
    pub async fn goes_off(&mut self) {
        let Self {
            descriptor,
            rests_until,
        } = self;
        loop {
            let Ok(mut ready) = descriptor.readable().await else {
                return pending().await;
            };
            let mut times = [0; 8];
            let told = ready.try_io(|it| Ok(read(it.get_ref(), &mut times)?));
            match told {
                Ok(Ok(_)) => {
                    *rests_until = Instant::now() + REST;
                    return;
                }
                Ok(Err(_)) => return pending().await,
                // It was set anew meanwhile.
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep_until;

    use super::*;

    const SOON: Duration = Duration::from_millis(3);
    const LATE: Duration = Duration::from_secs(24 * 60 * 60);

    #[tokio::test]
    async fn the_systems_timer_goes_off_when_it_is_set_for_and_no_sooner() {
        let mut timer = SystemTimer::new().unwrap();
        let start = Instant::now();
        timer.set(start + SOON).unwrap();
        timer.goes_off().await;
        assert!(start.elapsed() >= SOON);
        // What it was set for before counts no more, be that later or sooner.
        let start = Instant::now();
        for wait in [LATE, Duration::ZERO, SOON] {
            timer.set(start + wait).unwrap();
        }
        timer.goes_off().await;
        assert!(start.elapsed() >= SOON);
    }

    #[tokio::test]
    async fn what_was_told_before_it_is_set_anew_is_not_told_then() {
        let mut timer = SystemTimer::new().unwrap();
        let start = Instant::now();
        timer.set(start).unwrap();
        // By when it has gone off, which nobody has asked.
        sleep_until(start + SOON).await;
        timer.set(start + 2 * SOON).unwrap();
        timer.goes_off().await;
        assert!(start.elapsed() >= 2 * SOON);
    }

    #[tokio::test]
    async fn it_rests_after_it_has_gone_off() {
        let mut timer = SystemTimer::new().unwrap();
        timer.set(Instant::now()).unwrap();
        timer.goes_off().await;
        let start = Instant::now();
        for _ in 0..10 {
            timer.set(start).unwrap();
            timer.goes_off().await;
        }
        // What the first has begun, and nine whole ones.
        assert!(start.elapsed() >= 9 * REST);
    }
}
