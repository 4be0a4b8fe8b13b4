//! Whether this thread is just handing batches to a runtime.

use std::cell::Cell;

use crate::sync::thread_local;

/// Says that this thread is handing batches to the runtime.
pub(crate) struct Spawning(bool);

thread_local! {
    static SPAWNING: Cell<bool> = const { Cell::new(false) };
}

impl Spawning {
    pub fn enter() -> Self {
        Self(SPAWNING.with(|spawning| spawning.replace(true)))
    }

    pub fn is_on() -> bool {
        SPAWNING.with(Cell::get)
    }
}

impl Drop for Spawning {
    fn drop(&mut self) {
        SPAWNING.with(|spawning| spawning.set(self.0));
    }
}
