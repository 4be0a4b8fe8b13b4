//! When the clock of each runtime will look by itself.

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Armed(Vec<Option<Instant>>);

impl Armed {
    /// A clock is to look at this time: the time, if that is earlier than it would by
    /// itself.
    pub fn set_earlier(&mut self, runtime: usize, due: Option<Instant>) -> Option<Instant> {
        let due = due?;
        let armed = self.at(runtime);
        let earlier = armed.is_none_or(|armed| due < armed);
        earlier.then(|| *armed.insert(due))
    }

    /// A clock looks then, or not by itself.
    pub fn set(&mut self, runtime: usize, due: Option<Instant>) {
        *self.at(runtime) = due;
    }

    fn at(&mut self, runtime: usize) -> &mut Option<Instant> {
        if self.0.len() <= runtime {
            self.0.resize(runtime + 1, None);
        }
        &mut self.0[runtime]
    }

    /// When a runtime's clock will look by itself.
    #[cfg(test)]
    pub fn get(&self, runtime: usize) -> Option<Instant> {
        self.0.get(runtime).copied().flatten()
    }
}
