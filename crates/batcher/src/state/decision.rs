//! What is to be done next, and about which frame of which lane.

use tokio::time::Instant;

use super::State;
use super::lanes::{Choices, Lane, Next};
use super::moment::Moment;
use crate::frame::Frame;
use crate::policy::{Action, Gate};

impl<T, P> State<T, P> {
    /// What that is.
    pub(super) fn next_action(&mut self, moment: Moment) -> Next {
        self.callers.set_turns(moment.now);
        self.detached.set_turns(moment.now);
        if !self.slots.any_free() {
            return Next::of_callers(None, Action::Nothing);
        }
        let (frame, action) = self.next_of_callers(moment);
        match self.detached.is_empty() && self.parked.no_detached() {
            true => Next::of_callers(frame, action),
            false => self.next_of_both(frame, action, moment.now),
        }
    }

    pub(super) fn next_of_callers(&mut self, moment: Moment) -> (Option<Frame>, Action) {
        let halves_may = self.slots.halves_may();
        let gate = Gate {
            ready_to_resume: self.parked.callers_may(halves_may),
            not_before: self.not_before(),
        };
        let (frame, action) = self.callers.next(moment);
        (frame, gate.pass(action, moment.now))
    }

    fn not_before(&self) -> Option<Instant> {
        let last_left = self.slots.last_left();
        last_left.map(|left| left + self.min_interval)
    }

    /// Out of line, for what has nothing detached beside it.
    #[inline(never)]
    fn next_of_both(&mut self, frame: Option<Frame>, callers: Action, now: Instant) -> Next {
        let (detached_frame, choices) = self.choices(callers, now);
        let lane = self.lanes.next(&choices, now);
        let (frame, action) = match lane {
            Lane::Callers => (frame, callers),
            Lane::Detached => (detached_frame, choices.detached),
        };
        Next {
            lane,
            frame,
            action,
            callers_full: callers == Action::LeaveFull,
            old_waits: self.lanes.old_waits(&choices, now),
        }
    }

    /// What each lane would do, this being the choice of the other, and about which frame
    /// of detached items.
    pub(super) fn choices(&mut self, callers: Action, now: Instant) -> (Option<Frame>, Choices) {
        let resuming = self.parked.first_detached(self.slots.halves_may());
        let (frame, action) = match self.detached_are_overdue(now) {
            // They expire first.
            true => (None, Action::Nothing),
            // Whoever submits detached items waits for nothing.
            false => self.detached.next(Moment {
                now,
                anybody_left: true,
            }),
        };
        let oldest = resuming.or_else(|| self.detached.oldest_of(frame.as_ref()));
        let gathers = matches!(callers, Action::Until(_));
        let kept_for_callers = oldest.filter(|_| gathers && self.slots.is_last_free());
        let kept_until = kept_for_callers.map(|arrived| self.lanes.old_from(arrived));
        let gate = Gate {
            ready_to_resume: resuming.is_some(),
            not_before: self.not_before().max(self.held(now)).max(kept_until),
        };
        let choices = Choices {
            callers,
            detached: gate.pass(action, now),
            detached_oldest: oldest,
        };
        (frame, choices)
    }

    /// Whether detached items are there whose deadline has come.
    pub(super) fn detached_are_overdue(&self, now: Instant) -> bool {
        let earliest = self.detached.queue.earliest_deadline();
        earliest.is_some_and(|deadline| deadline <= now)
    }
}
