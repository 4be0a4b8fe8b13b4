//! The steps of records: made, finished, read and removed.

use redis::Cmd;

use super::core::Core;
use super::reply;
use super::script::Script;
use crate::job::{Handle, State};
use crate::later::answer::Answer;
use crate::later::answer_bytes;
use crate::later::clock::between;
use crate::later::kept::Kept;
use crate::later::record::{Idempotency, Millis, NewRecord, Record, StreamName};
use crate::later::step::StoreError;
use crate::later::store::{Accepted, Expired, Look, Page, Position, Refused};

/// Most records, and most bytes unless the first has more, that one script is given: it
/// holds up all others that long.
const MOST_RECORDS: usize = 256;
const MOST_BYTES: usize = 4 << 20;

/// When the next record may expire at the earliest after some have, in milliseconds: where
/// one expires every moment, Redis is asked now and then.
const COARSE: Millis = 1000;

/// How many of these go in one step, of so many bytes each.
fn portion<T>(items: &[T], bytes: impl Fn(&T) -> usize) -> usize {
    let mut sum = 0;
    let fits = items.iter().take(MOST_RECORDS).take_while(|it| {
        let is_first = sum == 0;
        sum += bytes(it).max(1);
        is_first || sum <= MOST_BYTES
    });
    fits.count()
}

impl Core {
    /// Each portion is committed by itself: after one that was not, none is tried.
    pub async fn accept(
        &self,
        records: Vec<NewRecord>,
        now: Millis,
    ) -> Vec<Result<Accepted, Refused>> {
        let mut accepted = Vec::with_capacity(records.len());
        let mut left = &records[..];
        while !left.is_empty() {
            let (these, others) = left.split_at(portion(left, |it| it.job.bytes()));
            left = others;
            match self.accept_portion(these, now).await {
                Ok(mut these) => accepted.append(&mut these),
                Err(error) => {
                    accepted.extend(these.iter().map(|_| Err(Refused::Store(error))));
                    let untried = left.iter().map(|_| Err(StoreError::NotCommitted.into()));
                    accepted.extend(untried);
                    break;
                }
            }
        }
        accepted
    }

    async fn accept_portion(
        &self,
        records: &[NewRecord],
        now: Millis,
    ) -> Result<Vec<Result<Accepted, Refused>>, StoreError> {
        let bounds = self.bounds();
        let answer = self.call(Script::Accept, now, |command| {
            command.arg(bounds.max_jobs).arg(bounds.max_bytes);
            command.arg(bounds.keep);
            records.iter().for_each(|it| write(it, now, command));
        });
        let became = reply::list(answer.await?).ok_or(StoreError::Unanswered)?;
        if became.len() != records.len() {
            return Err(StoreError::Unanswered);
        }
        let accepted = became.into_iter().zip(records).map(|(became, new)| {
            let made = |expires_at| Record {
                handle: new.handle,
                route: new.route.clone(),
                id: new.job.id().cloned(),
                state: State::Queued,
                expires_at,
                answer: None,
            };
            let here = |time| self.views.here(time);
            let accepted = reply::accepted(became, made, here);
            accepted.unwrap_or(Err(Refused::Store(StoreError::Unanswered)))
        });
        Ok(accepted.collect())
    }

    pub async fn finish(
        &self,
        answers: Vec<(Handle, Answer)>,
        now: Millis,
    ) -> Result<Vec<StreamName>, StoreError> {
        let mut streams = Vec::new();
        let mut left = &answers[..];
        while !left.is_empty() {
            let (these, others) = left.split_at(portion(left, |it| it.1.bytes()));
            left = others;
            streams.append(&mut self.finish_portion(these, now).await?);
        }
        streams.sort_unstable();
        streams.dedup();
        Ok(streams)
    }

    async fn finish_portion(
        &self,
        answers: &[(Handle, Answer)],
        now: Millis,
    ) -> Result<Vec<StreamName>, StoreError> {
        let handles: Vec<_> = answers.iter().map(|it| it.0).collect();
        let tokens = self.held.tokens(&handles);
        let answer = self.call(Script::Finish, now, |command| {
            command.arg(self.bounds().keep);
            for ((handle, answer), token) in answers.iter().zip(&tokens) {
                command.arg(handle.to_string()).arg(&**token);
                command
                    .arg(answer.state() as u8)
                    .arg(answer.code().as_str());
                command
                    .arg(answer.bytes())
                    .arg(answer_bytes::to_bytes(answer));
            }
        });
        let both = reply::parts(answer.await?).map(|it: [_; 2]| it.map(reply::list));
        let Some([Some(streams), Some(late)]) = both else {
            return Err(StoreError::Unanswered);
        };
        self.held.done(handles.into_iter());
        self.late.add(late.into_iter().filter_map(reply::parsed));
        let name = |it| StreamName::new(&reply::read::<String>(it)?).ok();
        Ok(streams.into_iter().filter_map(name).collect())
    }

    pub async fn fetch(
        &self,
        handle: Handle,
        look: Look,
        now: Millis,
    ) -> Result<Option<Record>, StoreError> {
        let answer = self.call(Script::Fetch, now, |command| {
            command.arg(handle.to_string());
            command.arg(u8::from(look == Look::ForAnswer));
        });
        match reply::list(answer.await?) {
            None => Ok(None),
            Some(record) => reply::record(record)
                .map(Some)
                .ok_or(StoreError::Unanswered),
        }
    }

    pub async fn delete(&self, handle: Handle, now: Millis) -> Result<Option<State>, StoreError> {
        let answer = self.call(Script::Delete, now, |command| {
            command.arg(handle.to_string());
        });
        let answer = answer.await?;
        self.held.gone(&[handle]);
        let state = reply::parsed::<usize>(answer);
        Ok(state.and_then(|it| State::ALL.get(it).copied()))
    }

    pub async fn expire(&self, now: Millis) -> Result<Expired, StoreError> {
        let answer = self.call(Script::Expire, now, |command| {
            command.arg(MOST_RECORDS);
        });
        let parts = reply::parts(answer.await?).ok_or(StoreError::Unanswered)?;
        let [records, next] = parts;
        let records = reply::read(records).ok_or(StoreError::Unanswered)?;
        let next = reply::time(next).map(|it| self.views.here(it));
        let coarse = match (self.time.compared)(now) {
            Some(now) if records < MOST_RECORDS => now.saturating_add(COARSE),
            _ => 0,
        };
        let next = next.map(|it| it.max(coarse));
        Ok(Expired { records, next })
    }

    pub async fn read_stream(
        &self,
        stream: StreamName,
        after: Option<Position>,
        limit: usize,
        now: Millis,
    ) -> Result<Page, StoreError> {
        let answer = self.call(Script::Stream, now, |command| {
            let after = after.map(|it| it.to_string()).unwrap_or_default();
            command.arg(stream.as_str()).arg(after).arg(limit);
        });
        page(answer.await?).ok_or(StoreError::Unanswered)
    }
}

fn page(answer: redis::Value) -> Option<Page> {
    let [gap, next, answers] = reply::parts(answer)?;
    let answers = reply::list(answers)?.into_iter().map(|answer| {
        let [position, handle] = reply::parts(answer)?;
        Some((reply::parsed(position)?, reply::parsed(handle)?))
    });
    Some(Page {
        gap: reply::read(gap)?,
        answers: answers.collect::<Option<_>>()?,
        next: reply::parsed(next)?,
    })
}

/// A record, as `accept.lua` reads it at this time here.
fn write(new: &NewRecord, now: Millis, command: &mut Cmd) {
    command.arg(new.handle.to_string());
    command.arg(new.route.as_str());
    command.arg(new.job.id().map(ToString::to_string).unwrap_or_default());
    let frame: String = new.frame.iter().map(|it| format!("{it:02x}")).collect();
    command.arg(frame);
    command.arg(new.stream.as_ref().map_or("", |it| it.as_str()));
    match &new.idempotency {
        Some(Idempotency { key, digest }) => command.arg(key.as_str()).arg(&digest[..]),
        None => command.arg("").arg(""),
    };
    command.arg(between(now, new.deadline));
    command.arg(new.job.bytes());
    command.arg(new.job.call().count().max(1));
    command.arg(Kept::of(&new.job).to_bytes());
}
