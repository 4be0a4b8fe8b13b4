//! Answers on their way into the store, and those who wait for them: a task commits what
//! has come meanwhile, many at once, and then wakes those.

use std::sync::Arc;

use tokio::sync::Notify;

use super::answer::Answer;
use super::outbox::{Outbox, Pauses};
use super::record::StreamName;
use super::reported::Reported;
use super::watchers::{Told, Watchers};
use crate::job::Handle;

/// Who waits for answers.
pub(super) struct Waiting {
    pub records: Watchers<Handle, Told>,
    pub streams: Watchers<StreamName>,
    /// There may be a first record to expire.
    pub expiry: Arc<Notify>,
}

/// Commits answers, for ever, and wakes who waits for them; they are as many as there are
/// records, at most, and dropped by the end of the process alone. Those that it has taken
/// are in `taken` until then, and are the first where it is run again.
pub(super) async fn run(
    taken: &mut Vec<(Handle, Answer)>,
    answers: &Outbox<(Handle, Answer)>,
    store: &Reported,
    waiting: &Waiting,
) {
    loop {
        if taken.is_empty() {
            *taken = answers.take().await;
        }
        // One that was committed though nobody said so is not committed again.
        let mut pauses = Pauses::new();
        let told = loop {
            match store.finish(taken.clone()).await {
                Ok(told) => break told,
                Err(error) => pauses.after(error).await,
            }
        };
        let each = taken.iter();
        let each = each.map(|(handle, answer)| (handle, Told::Answered(answer.clone())));
        waiting.records.tell(each);
        waiting.streams.wake(&told);
        waiting.expiry.notify_one();
        answers.committed(taken.len());
        taken.clear();
    }
}
