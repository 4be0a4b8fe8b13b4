//! What could not be committed is taken back, and nothing else is.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::later::answer::Answer;
use crate::later::backlog::{Claim, Which};
use crate::later::suite_tests::{answer, new, on_stream, to, with_key};

const KEEP: Millis = 1_000;

const SETTINGS: Settings = Settings {
    max_jobs: 10,
    max_bytes: 2_000,
    keep: Duration::from_millis(KEEP),
    job_timeout: Duration::from_secs(10),
    max_wait: Duration::ZERO,
    max_attempts: 3,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    Accept(u8, u8),
    Claim(u8, usize),
    Sent(usize),
    Pause(usize),
    Release(usize),
    Abandon(usize),
    Finish(usize, u16),
    Delete(usize),
    /// So much time passes, and what is due expires.
    Expire(Millis),
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..1000_usize;
    let status = prop_oneof![Just(200_u16), Just(503)];
    prop_oneof![
        5 => (0..4_u8, 0..3_u8).prop_map(|(kind, name)| Step::Accept(kind, name)),
        3 => (0..2_u8, 1..3_usize).prop_map(|(route, items)| Step::Claim(route, items)),
        1 => which().prop_map(Step::Sent),
        1 => which().prop_map(Step::Pause),
        1 => which().prop_map(Step::Release),
        1 => which().prop_map(Step::Abandon),
        4 => (which(), status).prop_map(|(which, status)| Step::Finish(which, status)),
        2 => which().prop_map(Step::Delete),
        2 => (0..700_u64).prop_map(Step::Expire),
    ]
}

struct World {
    records: Records<Claimable, Answer>,
    made: Vec<Handle>,
    now: Millis,
}

impl World {
    fn take(&mut self, step: Step) {
        let records = &mut self.records;
        let nth = |which: usize| {
            let index = which.checked_rem(self.made.len());
            index.map_or_else(|| new(0, 0).handle, |it| self.made[it])
        };
        match step {
            Step::Accept(kind, name) => {
                let id = self.made.len() as u64;
                let record = match kind {
                    0 => new(id, 100),
                    1 => on_stream(id, &format!("s{name}")),
                    2 => with_key(id, &format!("k{name}"), 1),
                    _ => to("other", new(id, 100)),
                };
                let claimable = Claimable::new([name; 16], 1);
                self.made.push(record.handle);
                let _made = records.accept(record, claimable);
            }
            Step::Claim(route, max_items) => {
                let route = if route == 0 { "jobs" } else { "other" };
                let claim = Claim {
                    route: route.parse().unwrap(),
                    max_items,
                    max_bytes: 150,
                    which: Which::Any,
                };
                records.claim(&claim);
            }
            Step::Sent(which) => drop(records.sent(vec![nth(which)])),
            Step::Pause(which) => records.queued_again(&nth(which)),
            Step::Release(which) => records.release(&nth(which)),
            Step::Abandon(which) => records.abandon(&nth(which)),
            Step::Finish(which, status) => {
                let answer = answer(status, 10);
                let outcome = Outcome::from(&answer);
                records.finish(&nth(which), outcome, answer, self.now);
            }
            Step::Delete(which) => drop(records.delete(&nth(which))),
            Step::Expire(passed) => {
                self.now += passed;
                records.expire(self.now);
            }
        }
    }

    /// Everything there is, but for the numbers of claims, which nobody has, and for who was
    /// told an answer, which is not taken back.
    fn state(&mut self) -> String {
        self.records.claims = 0;
        let state = format!("{:#?}", self.records);
        let lines = state
            .lines()
            .filter(|it| !it.trim_start().starts_with("read: "));
        lines.collect()
    }
}

proptest! {
    #[test]
    fn what_is_taken_back_was_never_done(
        committed in proptest::collection::vec(step(), 0..40),
        lost in proptest::collection::vec(proptest::collection::vec(step(), 1..12), 1..4),
    ) {
        let mut world = World {
            records: Records::new(&SETTINGS, 7),
            made: Vec::new(),
            now: clock::now(),
        };
        // A route is known from its first record on.
        let other = to("other", new(0, 10));
        for record in [new(0, 10), other] {
            world.made.push(record.handle);
            world.records.accept(record, Claimable::new([0; 16], 1)).unwrap();
        }
        committed.into_iter().for_each(|it| world.take(it));
        world.records.remember_changes();
        for steps in lost {
            let before = world.state();
            let (made, now) = (world.made.len(), world.now);
            steps.iter().for_each(|it| world.take(*it));
            world.records.roll_back();
            world.made.truncate(made);
            world.now = now;
            prop_assert_eq!(world.state(), before);
            // What is done again is committed, and stays.
            steps.iter().for_each(|it| world.take(*it));
            world.records.committed();
            let after = world.state();
            world.records.roll_back();
            prop_assert_eq!(world.state(), after);
        }
    }
}
