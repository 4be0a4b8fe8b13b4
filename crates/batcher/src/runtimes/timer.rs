//! What a clock sleeps by: tokio's timers, and beside them one of the system's where a wait
//! is to end when its time has come. Tokio's tick in milliseconds and round up, so that 5 ms
//! end after 6 or 7.
//!
//! Tokio's is set in any case: its time may be a test's, which the system knows nothing of.

use std::pin::pin;

use futures_util::future::select;
use tokio::time::{Instant, sleep_until};

#[cfg(all(feature = "precise", target_os = "linux", not(shuttle)))]
use super::system_timer::SystemTimer;
#[cfg(all(feature = "precise", target_os = "linux", not(shuttle)))]
use crate::contain::contain;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Timer {
    #[cfg(all(feature = "precise", target_os = "linux", not(shuttle)))]
    system: Option<Option<SystemTimer>>,
}

impl Timer {
    /// Sleeps until then; where that is to be `precise` and can be, not much longer. It may
    /// end sooner.
    pub async fn sleep_until(&mut self, time: Instant, precise: bool) {
        let by_tokio = sleep_until(time);
        match self.system(time, precise) {
            Some(by_system) => {
                select(pin!(by_tokio), pin!(by_system)).await;
            }
            None => by_tokio.await,
        }
    }

    #[cfg(all(feature = "precise", target_os = "linux", not(shuttle)))]
    fn system(&mut self, time: Instant, precise: bool) -> Option<impl Future<Output = ()>> {
        if !precise {
            return None;
        }
        // Where there is none to be had, tokio's do: a runtime without I/O panics.
        let made = || contain(SystemTimer::new).and_then(Result::ok);
        let timer = self.system.get_or_insert_with(made).as_mut()?;
        timer.set(time).ok()?;
        Some(timer.goes_off())
    }

    #[cfg(not(all(feature = "precise", target_os = "linux", not(shuttle))))]
    fn system(&mut self, _: Instant, _: bool) -> Option<std::future::Pending<()>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_millis(3);
    const LATE: Duration = Duration::from_secs(24 * 60 * 60);

    #[tokio::test(start_paused = true)]
    async fn a_time_that_is_no_systems_is_waited_for_all_the_same() {
        let mut timer = Timer::default();
        let until = Instant::now() + LATE;
        timer.sleep_until(until, true).await;
        assert!(Instant::now() >= until);
    }

    #[test]
    fn a_runtime_without_io_has_its_own_timers() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            for precise in [false, true, true] {
                let start = Instant::now();
                Timer::default().sleep_until(start + SOON, precise).await;
                assert!(start.elapsed() >= SOON);
            }
        });
    }
}
