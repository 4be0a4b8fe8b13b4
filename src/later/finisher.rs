//! Answers on their way into the store, and those who wait for them: a task commits what
//! has come meanwhile, many at once, and then wakes those.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use super::answer::Answer;
use super::outbox::{Outbox, Pauses};
use super::record::StreamName;
use super::reported::Reported;
use super::step::StoreError;
use super::watchers::{Told, Watchers};
use crate::job::Handle;

/// After so many commits that came to nothing each answer is tried by itself: one that can't
/// be written, whatever the reason, is not to hold up the others.
const TOGETHER: u32 = 3;

/// After so many in a row that can't be written by themselves it is the store.
const MOST_IN_A_ROW: u32 = 3;

/// Who waits for answers.
pub(super) struct Waiting {
    pub records: Watchers<Handle, Told>,
    pub streams: Watchers<StreamName>,
    /// There may be a first record to expire.
    pub expiry: Arc<Notify>,
}

/// Answers that are being committed.
pub(super) type Taken = VecDeque<(Handle, Answer)>;

/// Commits answers, for ever, and wakes who waits for them; they are as many as there are
/// records, at most, and dropped by the end of the process alone. Those that it has taken
/// are in `taken` until then, and are the first where it is run again.
pub(super) async fn run(
    taken: &mut Taken,
    answers: &Outbox<(Handle, Answer)>,
    store: &Reported,
    waiting: &Waiting,
) {
    loop {
        if taken.is_empty() {
            taken.extend(answers.take().await);
        }
        // One that was committed though nobody said so is not committed again.
        let (mut pauses, mut failures) = (Pauses::new(), 0);
        while !taken.is_empty() {
            let each = taken.iter().cloned().collect();
            let error = match store.finish(each).await {
                Ok(told) => {
                    waiting.tell(taken.iter(), &told);
                    answers.committed(taken.len());
                    taken.clear();
                    break;
                }
                Err(error) => error,
            };
            failures += u32::from(error == StoreError::NotCommitted);
            if failures >= TOGETHER && taken.len() > 1 {
                one_by_one(taken, answers, store, waiting).await;
            }
            pauses.next().await;
            // What has come meanwhile goes along.
            taken.extend(answers.take_some());
        }
    }
}

/// Tries each by itself, once; those that fail come last from then on.
async fn one_by_one(
    taken: &mut Taken,
    answers: &Outbox<(Handle, Answer)>,
    store: &Reported,
    waiting: &Waiting,
) {
    let mut in_a_row = 0;
    for _ in 0..taken.len() {
        let Some(one) = taken.front().cloned() else {
            return;
        };
        match store.finish(vec![one]).await {
            Ok(told) => {
                in_a_row = 0;
                waiting.tell(taken.iter().take(1), &told);
                taken.pop_front();
                answers.committed(1);
            }
            Err(_) => {
                taken.rotate_left(1);
                in_a_row += 1;
                if in_a_row == MOST_IN_A_ROW {
                    return;
                }
            }
        }
    }
}

impl Waiting {
    /// These are committed.
    fn tell<'a>(
        &self,
        committed: impl IntoIterator<Item = &'a (Handle, Answer)>,
        streams: &[StreamName],
    ) {
        let each = committed.into_iter();
        let each = each.map(|(handle, answer)| (handle, Told::Answered(answer.clone())));
        self.records.tell(each);
        self.streams.wake(streams);
        self.expiry.notify_one();
    }
}
