//! The queue against a naive model: one list, searched from the front.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const JOBS: usize = 6;
const BYTES: usize = 60;
const OVERHEAD: usize = 2;
const MAX_WAIT: Duration = Duration::from_millis(12);
/// What followers may take up: one full batch, which is more than a tenth.
const FOLLOWERS: Load = Load { jobs: 3, bytes: 40 };

fn settings() -> Settings {
    Settings {
        queue_jobs: JOBS,
        queue_bytes: BYTES,
        item_overhead: OVERHEAD,
        max_wait: MAX_WAIT,
        max_size: FOLLOWERS.jobs,
        max_bytes: FOLLOWERS.bytes,
        ..Settings::default()
    }
}

/// An item is its own number; the rest the model must know.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waits {
    number: Number,
    key: Option<u64>,
    bytes: usize,
    arrived: Instant,
    deadline: Option<Instant>,
    /// A batch has left without it on account of its key.
    kept_apart: bool,
}

impl Waits {
    /// Half of its time, where that is less than `max_wait`.
    fn hurried(&self) -> Option<Instant> {
        let half = (self.deadline? - self.arrived) / 2;
        (half < MAX_WAIT).then(|| self.arrived + half)
    }

    fn shares_key(&self, other: &Self) -> bool {
        self.key.is_some() && self.key == other.key
    }

    fn is_due(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|it| it <= now)
    }
}

#[derive(Default)]
struct Model {
    queue: Vec<Waits>,
    lobby: Vec<Waits>,
    /// The bytes of each item of a batch that rests.
    resting: Vec<usize>,
    entered: u64,
    kept_apart: u64,
}

impl Model {
    fn load(&self) -> Load {
        let waiting = self.queue.iter().map(|it| it.bytes);
        waiting
            .chain(self.resting.iter().copied())
            .map(Load::one)
            .sum()
    }

    fn fits(&self, bytes: usize) -> bool {
        let load = self.load();
        load.jobs < JOBS && load.bytes + bytes <= BYTES
    }

    fn admit(&mut self) {
        while let Some(first) = self.lobby.first()
            && self.fits(first.bytes)
        {
            self.queue.push(self.lobby.remove(0));
            self.entered += 1;
        }
    }

    /// The oldest of each key.
    fn ready(&self) -> Vec<Waits> {
        let mut ready: Vec<Waits> = Vec::new();
        for it in &self.queue {
            if !ready.iter().any(|other| other.shares_key(it)) {
                ready.push(it.clone());
            }
        }
        ready
    }

    fn all(&self) -> impl Iterator<Item = &Waits> {
        self.queue.iter().chain(&self.lobby)
    }

    /// All but the oldest of each key.
    fn may_follow(&self, key: Option<u64>, bytes: usize) -> bool {
        let (mut keys, mut load) = (Vec::new(), Load::one(bytes));
        for it in self.all().filter(|it| it.key.is_some()) {
            match keys.contains(&it.key) {
                true => load += Load::one(it.bytes),
                false => keys.push(it.key),
            }
        }
        !keys.contains(&key) || load.jobs <= FOLLOWERS.jobs && load.bytes <= FOLLOWERS.bytes
    }

    fn take(&mut self, max_size: usize, max_bytes: usize) -> Vec<Waits> {
        let mut taken: Vec<Waits> = Vec::new();
        for it in self.ready() {
            let bytes: usize = taken.iter().map(|it| it.bytes + OVERHEAD).sum();
            if taken.len() == max_size || bytes + it.bytes + OVERHEAD > max_bytes {
                break;
            }
            taken.push(it);
        }
        self.queue.retain(|it| !taken.contains(it));
        let full = self.was_full(&taken, max_size, max_bytes);
        for it in &mut self.queue {
            let passed = taken.last().is_some_and(|last| it.number < last.number) || !full;
            let mate = taken.iter().any(|other| other.shares_key(it));
            if mate && passed && !it.kept_apart {
                it.kept_apart = true;
                self.kept_apart += 1;
            }
        }
        self.admit();
        taken
    }

    /// Whether a batch had room for no more, as far as one can tell by what would
    /// have been the next.
    fn was_full(&self, taken: &[Waits], max_size: usize, max_bytes: usize) -> bool {
        let apart = |it: &Waits| taken.iter().any(|other| other.shares_key(it));
        let next = self.queue.iter().find(|it| !apart(it));
        let bytes: usize = taken.iter().map(|it| it.bytes + OVERHEAD).sum();
        taken.len() == max_size || next.is_some_and(|it| bytes + it.bytes + OVERHEAD > max_bytes)
    }

    fn full(&self, max_size: usize, max_bytes: usize) -> Option<Full> {
        let mut bytes = 0;
        for (at, it) in self.ready().iter().enumerate() {
            bytes += it.bytes + OVERHEAD;
            if bytes > max_bytes {
                return Some(Full::Bytes);
            }
            if at + 1 == max_size {
                return Some(Full::Size);
            }
        }
        None
    }

    fn remove(&mut self, gone: impl Fn(&Waits) -> bool) -> Vec<(Number, Room)> {
        let mut removed = Vec::new();
        for (waits, room) in [
            (&mut self.queue, Room::Queue),
            (&mut self.lobby, Room::Lobby),
        ] {
            removed.extend(
                waits
                    .extract_if(.., |it| gone(it))
                    .map(|it| (it.number, room)),
            );
        }
        self.admit();
        removed
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push {
        key: Option<u64>,
        bytes: usize,
        lives: Option<u64>,
    },
    Remove {
        one_in: usize,
    },
    Take {
        max_size: usize,
        max_bytes: usize,
    },
    Pass {
        ms: u64,
    },
    Rest {
        jobs: usize,
        bytes: usize,
    },
    EndRest {
        jobs: usize,
    },
    Clear,
}

/// None in one of five cases.
fn sometimes<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.8, of)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (sometimes(0..4_u64), 1..30_usize, sometimes(0..40_u64))
            .prop_map(|(key, bytes, lives)| Step::Push { key, bytes, lives }),
        2 => (0..8_usize).prop_map(|one_in| Step::Remove { one_in }),
        2 => (1..5_usize, 32..60_usize)
            .prop_map(|(max_size, max_bytes)| Step::Take { max_size, max_bytes }),
        1 => (0..30_u64).prop_map(|ms| Step::Pass { ms }),
        1 => (1..4_usize, 1..30_usize).prop_map(|(jobs, bytes)| Step::Rest { jobs, bytes }),
        2 => (1..4_usize).prop_map(|jobs| Step::EndRest { jobs }),
        1 => Just(Step::Clear),
    ]
}

fn numbers(entries: &[(Entry<Number>, Room)]) -> Vec<(Number, Room)> {
    entries.iter().map(|(it, room)| (it.item, *room)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_queue_does_as_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let mut now = Instant::now();
        let mut queue = Queue::new(&settings());
        let mut model = Model::default();
        let mut tickets = Vec::new();
        for step in steps {
            match step {
                Step::Push { key, bytes, lives } => {
                    let number = queue.next_number();
                    let deadline = lives.map(|ms| now + Duration::from_millis(ms));
                    prop_assert_eq!(queue.may_follow(key, bytes), model.may_follow(key, bytes));
                    if !model.may_follow(key, bytes) {
                        continue;
                    }
                    let arrived = now;
                    let waits = Waits { number, key, bytes, arrived, deadline, kept_apart: false };
                    let room = model.lobby.is_empty() && model.fits(bytes);
                    prop_assert_eq!(queue.has_room(bytes), room);
                    model.lobby.push(waits);
                    model.admit();
                    let entry = Entry { item: number, key, bytes, arrived, deadline };
                    let at = if room { Room::Queue } else { Room::Lobby };
                    let (ticket, entered) = queue.push(entry);
                    prop_assert_eq!((ticket.number, entered), (number, at));
                    tickets.push(ticket);
                }
                Step::Remove { one_in } => {
                    let all = model.queue.iter().chain(&model.lobby);
                    // Or one whose place may be another's by then.
                    let number = all.map(|it| it.number).nth(one_in).unwrap_or_default();
                    let ticket = tickets.get(number as usize);
                    let removed: Vec<_> = ticket.and_then(|&it| queue.remove(it)).into_iter().collect();
                    prop_assert_eq!(numbers(&removed), model.remove(|it| it.number == number));
                }
                Step::Take { max_size, max_bytes } => {
                    let full = model.full(max_size, max_bytes);
                    prop_assert_eq!(queue.is_full(max_size, max_bytes), full.is_some());
                    let (taken, found) = queue.take(max_size, max_bytes);
                    prop_assert_eq!(found, full);
                    let taken: Vec<_> = taken.iter().map(|it| it.item).collect();
                    let expected = model.take(max_size, max_bytes);
                    let expected: Vec<_> = expected.iter().map(|it| it.number).collect();
                    prop_assert_eq!(taken, expected);
                }
                Step::Pass { ms } => {
                    now += Duration::from_millis(ms);
                    let mut expired = numbers(&queue.expire(now));
                    expired.sort_by_key(|&(number, _)| number);
                    prop_assert_eq!(expired, model.remove(|it| it.is_due(now)));
                }
                Step::Rest { jobs, bytes } => {
                    queue.rest(Load { jobs, bytes: jobs * bytes });
                    model.resting.extend(std::iter::repeat_n(bytes, jobs));
                }
                Step::EndRest { jobs } => {
                    let last = model.resting.len().saturating_sub(jobs);
                    queue.end_rest(model.resting.drain(last..).map(Load::one).sum());
                    model.admit();
                }
                Step::Clear => {
                    // As when closing: nobody is let in any more.
                    let cleared = numbers(&queue.clear());
                    let queued = model.queue.drain(..).map(|it| (it.number, Room::Queue));
                    let lobby = model.lobby.drain(..).map(|it| (it.number, Room::Lobby));
                    prop_assert_eq!(cleared, queued.chain(lobby).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(queue.jobs(), model.queue.len());
            prop_assert_eq!(queue.load(), model.load());
            prop_assert_eq!(queue.lobby(), model.lobby.len());
            prop_assert_eq!(queue.entered(), model.entered);
            prop_assert_eq!(
                queue.oldest().map(|(number, _)| number),
                model.queue.first().map(|it| it.number)
            );
            let deadlines = model.all().filter_map(|it| it.deadline);
            prop_assert_eq!(queue.earliest_deadline(), deadlines.min());
            prop_assert_eq!(queue.hurried(), model.all().filter_map(Waits::hurried).min());
            prop_assert_eq!(queue.kept_apart(), model.kept_apart);
        }
    }
}

#[test]
fn the_lobby_is_bounded_too() {
    let mut queue = Queue::new(&Settings {
        queue_jobs: 1,
        queue_bytes: 10,
        ..Settings::default()
    });
    let now = Instant::now();
    let entry = |item: u64| Entry {
        item,
        key: Some(item),
        bytes: 10,
        arrived: now,
        deadline: Some(now),
    };
    let mut tickets = Vec::new();
    for item in 0..=LOBBY_JOBS as u64 {
        assert!(queue.lobby_has_room(10));
        tickets.push(queue.push(entry(item)).0);
    }
    assert!(!queue.lobby_has_room(10));
    queue.remove(tickets[5]);
    assert!(queue.lobby_has_room(LOBBY_BYTES - 10 * (LOBBY_JOBS - 1)));
    assert!(!queue.lobby_has_room(LOBBY_BYTES - 10 * (LOBBY_JOBS - 1) + 1));
    // Who enters the queue is no longer in the lobby.
    queue.take(1, 10);
    assert!(queue.lobby_has_room(LOBBY_BYTES - 10 * (LOBBY_JOBS - 2)));
}

/// So that submitting costs no more while a full batch waits for its time.
#[test]
fn whether_a_batch_is_full_is_known_without_looking_at_what_waits() {
    const MANY: u64 = 50_000;
    let mut queue = Queue::new(&Settings {
        queue_jobs: MANY as usize,
        ..Settings::default()
    });
    let now = Instant::now();
    for item in 0..MANY {
        queue.push(Entry {
            item,
            key: Some(item),
            bytes: 10,
            arrived: now,
            deadline: Some(now + MAX_WAIT),
        });
    }
    let visits = queue.visits();
    for (max_size, max_bytes, full) in [
        (MANY as usize, usize::MAX, true),
        (MANY as usize + 1, usize::MAX, false),
        (MANY as usize, 10 * MANY as usize - 1, true),
        (MANY as usize + 1, 10 * MANY as usize, false),
    ] {
        assert_eq!(queue.is_full(max_size, max_bytes), full);
    }
    assert_eq!(queue.visits(), visits);
    assert!(visits <= MANY, "each looked at once when it came, at most");
}
