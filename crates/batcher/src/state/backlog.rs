//! What waits in a lane, and the batch of which frame is next: what the queue holds, seen
//! with the policy's eyes.

use tokio::time::Instant;

use super::moment::Moment;
use super::turns::Turns;
use crate::cap::Cap;
use crate::extent::Extent;
use crate::frame::Frame;
use crate::policy::{Action, Company, FlushReason, View, decide};
use crate::queue::{Entry, Full, Number, Queue};
use crate::settings::{Settings, Wait};

#[derive(Debug)]
pub(crate) struct Backlog<T> {
    settings: Settings,
    pub queue: Queue<T>,
    turns: Turns,
    /// Below the configured bounds.
    cap: Cap,
    /// Items with a number below this are to leave without waiting.
    flush_below: Number,
    closing: bool,
}

/// A batch that leaves.
#[derive(Debug)]
pub(crate) struct Departure<T> {
    pub entries: Vec<Entry<T>>,
    /// Detached items that have taken its free places.
    pub riders: Vec<Entry<T>>,
    pub frame: Option<Frame>,
    pub reason: FlushReason,
}

impl<T> Backlog<T> {
    /// That of items that callers wait for.
    pub fn of_callers(settings: &Settings, now: Instant) -> Self {
        Self::new(Queue::new(settings), settings.clone(), now)
    }

    /// That of detached items, which whoever submits them keeps within bounds.
    pub fn of_detached(settings: &Settings, now: Instant) -> Self {
        let settings = Settings {
            max_wait: settings.detached_max_wait,
            wait: Wait::Fixed,
            ..settings.clone()
        };
        Self::new(Queue::unbounded(&settings), settings, now)
    }

    fn new(queue: Queue<T>, settings: Settings, now: Instant) -> Self {
        Self {
            queue,
            turns: Turns::new(now),
            cap: Cap::default(),
            flush_below: 0,
            closing: false,
            settings,
        }
    }

    /// How many wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.len() == 0
    }

    /// Everything that waits now is to leave; tells how many that is.
    pub fn flush(&mut self) -> usize {
        self.flush_below = self.queue.next_number();
        self.queue.frames.change_all();
        self.len()
    }

    pub fn close(&mut self) {
        self.closing = true;
        self.queue.frames.change_all();
    }

    pub fn is_closed(&self) -> bool {
        self.closing
    }

    pub fn cap(&mut self, cap: Cap) {
        if cap != self.cap {
            self.cap = cap;
            self.queue.frames.change_all();
        }
    }

    /// When the oldest item arrived of those whose turn is next.
    pub fn oldest(&self) -> Option<Instant> {
        let framed = self
            .turns
            .first()
            .and_then(|(_, it)| self.oldest_of(Some(it)));
        [self.oldest_of(None), framed].into_iter().flatten().min()
    }

    /// When the oldest item of a frame arrived.
    pub fn oldest_of(&self, frame: Option<&Frame>) -> Option<Instant> {
        Some(self.queue.front(frame, Extent::default())?.oldest?.1)
    }

    /// Which frame's turn it is, and what is to be done about it.
    pub fn next(&mut self, moment: Moment) -> (Option<Frame>, Action) {
        let now = moment.now;
        let unframed = self.decide(None, moment);
        while let Some((turn, frame)) = self.turns.first() {
            // What nobody is left to wait for need not wait for its time.
            let framed = match moment.anybody_left && now < turn.0 {
                true => Action::Until(turn.0),
                false => self.decide(Some(frame), moment),
            };
            let frame = frame.clone();
            // There is none, or it has not come: a bound that made its batch full is over.
            if framed.due(now).is_none_or(|due| turn.0 <= now && now < due) {
                self.set_turn(&frame, now);
                continue;
            }
            let framed_is_first = match (unframed, framed) {
                (Action::Nothing, _) => true,
                (Action::Until(time), Action::Until(other)) => other < time,
                (Action::Until(_), _) => true,
                (_, Action::Until(_)) => false,
                _ => !self.turns.unframed_is_first(turn),
            };
            return match framed_is_first {
                true => (Some(frame), framed),
                false => (None, unframed),
            };
        }
        (None, unframed)
    }

    /// Takes the batch that [`next`](Self::next) has said is to leave; the frame goes
    /// behind all that are ready.
    pub fn take(
        &mut self,
        frame: Option<Frame>,
        reason: Option<FlushReason>,
        now: Instant,
    ) -> Departure<T> {
        let bounds = self.bounds(frame.as_ref(), now);
        let (entries, full) = self.queue.take(frame.as_ref(), bounds);
        match &frame {
            None => self.turns.unframed_leaves(now),
            Some(frame) => {
                let turn = self.queue.frames.set_turn(frame, None);
                turn.into_iter().for_each(|it| self.turns.give_up(it));
                self.set_turn(frame, now);
            }
        }
        let reason = reason.unwrap_or(match full {
            Some(Full::Size) => FlushReason::Size,
            // None where the first alone is over a cap.
            Some(Full::Bytes) | None => FlushReason::Bytes,
        });
        Departure {
            entries,
            riders: Vec::new(),
            frame,
            reason,
        }
    }

    /// Takes those that fit into the free places of another lane's batch.
    pub fn take_riders(&mut self, batch: &Departure<T>, now: Instant) -> Vec<Entry<T>> {
        let frame = batch.frame.as_ref();
        let bounds = self.bounds(frame, now);
        self.queue.take_riders(frame, &batch.entries, bounds)
    }

    /// Lines up the frames anew that have changed. To be called before anything is asked.
    #[inline]
    pub fn set_turns(&mut self, now: Instant) {
        if !self.queue.frames.are_unchanged() {
            self.set_changed_turns(now);
        }
    }

    #[inline(never)]
    fn set_changed_turns(&mut self, now: Instant) {
        let (changed, given_up) = self.queue.frames.take_changes();
        given_up.into_iter().for_each(|it| self.turns.give_up(it));
        changed.iter().for_each(|frame| self.set_turn(frame, now));
    }

    /// The time of a turn is that at which the batch may leave while callers may still
    /// come. It is never too late; found too early, it is set anew.
    fn set_turn(&mut self, frame: &Frame, now: Instant) {
        let moment = Moment {
            now,
            anybody_left: true,
        };
        let due = self.decide(Some(frame), moment).due(now);
        let turn = self.queue.frames.get(Some(frame)).and_then(|it| it.turn);
        // A frame whose turn has come keeps its place.
        let stays = turn
            .is_some_and(|(since, _)| due.is_some_and(|due| since == due || since.max(due) <= now));
        let new = match stays {
            true => turn,
            false => due.map(|due| self.turns.line_up(frame, due)),
        };
        let before = self.queue.frames.set_turn(frame, new);
        if !stays {
            before.into_iter().for_each(|it| self.turns.give_up(it));
        }
    }

    /// What the policy says about a frame.
    fn decide(&self, frame: Option<&Frame>, moment: Moment) -> Action {
        let bounds = self.bounds(frame, moment.now);
        let Some(front) = self.queue.front(frame, bounds) else {
            return Action::Nothing;
        };
        let flush_below = self.flush_below;
        let view = View {
            oldest: front.oldest.map(|(_, arrived)| arrived),
            hurried: front.hurried,
            full: front.full,
            flushing: front.oldest.is_some_and(|(it, _)| it < flush_below),
            closing: self.closing,
            max_wait: self.settings.max_wait,
            wait: self.settings.wait,
            company: Company {
                anybody_left: moment.anybody_left,
                gap: front.gap,
                last_arrival: front.last_arrival.unwrap_or(moment.now),
            },
        };
        decide(&view, moment.now)
    }

    /// The most that the items of a batch may take up.
    pub fn bounds(&self, frame: Option<&Frame>, now: Instant) -> Extent {
        let Settings {
            max_size,
            max_bytes,
            ..
        } = self.settings;
        let (weight, bytes) = self.cap.bounds(max_size, max_bytes, now);
        Extent {
            weight,
            bytes: bytes.saturating_sub(self.settings.overhead_of(frame)),
        }
    }

    /// How many frames are lined up.
    #[cfg(test)]
    pub fn turns(&self) -> usize {
        self.turns.len()
    }

    #[cfg(test)]
    pub fn frames(&self) -> FrameCounts {
        let (frames, room) = self.queue.frames.sizes();
        FrameCounts {
            frames,
            turns: self.turns(),
            room,
        }
    }
}

/// How many frames something waits of, how many are lined up, and for how many there is
/// room.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameCounts {
    pub frames: usize,
    pub turns: usize,
    pub room: usize,
}
