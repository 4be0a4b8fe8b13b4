//! Which waiting items have the same key: one leads, the others follow it in the
//! order of their numbers.

use std::collections::{BTreeMap, HashMap, HashSet, hash_map};
use std::hash::{BuildHasherDefault, Hasher};

/// How many items came before.
pub(crate) type Number = u64;

/// Whether an item waits for another of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// It is the oldest of its key.
    Leader,
    /// An older one of its key waits.
    Follower,
}

/// An item's place in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub number: Number,
    /// Where it is kept.
    pub at: usize,
}

/// Some keys.
pub(crate) type KeySet = HashSet<u64, BuildHasherDefault<KeyHasher>>;

/// The keys of all that wait, each with those that follow its leader.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<u64, Followers, BuildHasherDefault<KeyHasher>>);

#[derive(Debug)]
struct Followers {
    /// Where the leader is kept.
    leader: usize,
    /// The place of each.
    places: BTreeMap<Number, usize>,
    /// Those with a number below this were counted as passed over.
    passed_below: Number,
}

impl Followers {
    /// None yet.
    fn of(leader: usize) -> Self {
        Self {
            leader,
            places: BTreeMap::new(),
            passed_below: 0,
        }
    }
}

/// How an item has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejoined {
    /// It is the oldest of its key, in the place of what is kept there.
    Leads { instead_of: Option<usize> },
    /// An older one of its key waits.
    Follows,
}

impl Keys {
    /// Whether any item of the key waits.
    pub fn contains(&self, key: u64) -> bool {
        self.0.contains_key(&key)
    }

    /// An item comes that is younger than all others.
    pub fn join(&mut self, key: u64, number: Number, at: usize) -> Rank {
        match self.0.entry(key) {
            hash_map::Entry::Occupied(mut followers) => {
                followers.get_mut().places.insert(number, at);
                Rank::Follower
            }
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Followers::of(at));
                Rank::Leader
            }
        }
    }

    /// An item comes back that may be older than those of its key. `number_of` tells the
    /// number of what is kept somewhere.
    pub fn rejoin(
        &mut self,
        key: u64,
        Ticket { number, at }: Ticket,
        number_of: impl Fn(usize) -> Number,
    ) -> Rejoined {
        match self.0.entry(key) {
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Followers::of(at));
                Rejoined::Leads { instead_of: None }
            }
            hash_map::Entry::Occupied(mut followers) => {
                let followers = followers.get_mut();
                let leader = (number_of(followers.leader), followers.leader);
                if leader.0 < number {
                    followers.places.insert(number, at);
                    return Rejoined::Follows;
                }
                followers.leader = at;
                followers.places.insert(leader.0, leader.1);
                Rejoined::Leads {
                    instead_of: Some(leader.1),
                }
            }
        }
    }

    /// A follower leaves.
    pub fn leave(&mut self, key: u64, number: Number) {
        if let Some(followers) = self.0.get_mut(&key) {
            followers.places.remove(&number);
        }
    }

    /// The leader has left; the one that leads in its place.
    pub fn succeed(&mut self, key: u64) -> Option<(Number, usize)> {
        let hash_map::Entry::Occupied(mut followers) = self.0.entry(key) else {
            return None;
        };
        let next = followers.get_mut().places.pop_first();
        match next {
            Some((_, at)) => followers.get_mut().leader = at,
            None => drop(followers.remove()),
        }
        next
    }

    /// Followers with a number below `below` are passed over; how many of them
    /// are so for the first time.
    pub fn pass(&mut self, key: u64, below: Number) -> u64 {
        let Some(followers) = self.0.get_mut(&key) else {
            return 0;
        };
        let from = followers.passed_below;
        if from >= below {
            return 0;
        }
        followers.passed_below = below;
        followers.places.range(from..below).count() as u64
    }

    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

/// Spreads keys, which are hashes or numbers already, over all bits: a multiply
/// by 2⁶⁴ over the golden ratio (Knuth, The Art of Computer Programming, 6.4).
/// Against keys that somebody chose to collide, the keys must be keyed hashes.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        // The product's upper half is the mixed one, and a table goes by the lower.
        self.0.rotate_left(32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
