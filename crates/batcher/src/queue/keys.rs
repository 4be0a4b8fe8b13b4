//! Which waiting items have the same key: one leads, the others follow it in the
//! order of their numbers. An item with several keys has a place at each of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// How many items came before.
pub(crate) type Number = u64;

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
#[derive(Debug)]
pub(crate) struct Keys(Index);

/// Found by its hash, a key is found fastest; but once in a while, as they grow in number,
/// all of them move at once, which nobody is to wait for where they are many.
#[derive(Debug)]
enum Index {
    Hashed(HashMap<u64, Followers, BuildHasherDefault<KeyHasher>>),
    Ordered(BTreeMap<u64, Followers>),
}

#[derive(Debug)]
struct Followers {
    /// Where the leader is kept.
    leader: usize,
    /// The place of each of the others.
    places: BTreeMap<Number, usize>,
    /// Those with a number below this were counted as passed over.
    passed_below: Number,
}

/// How an item has come back to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejoined {
    /// It is the oldest of it, in the place of what is kept there.
    Leads { instead_of: Option<usize> },
    /// An older one waits.
    Follows,
}

impl Keys {
    /// For some thousands at most.
    pub fn few() -> Self {
        Self(Index::Hashed(HashMap::default()))
    }

    /// For any number.
    pub fn many() -> Self {
        Self(Index::Ordered(BTreeMap::new()))
    }

    /// Whether any item of the key waits.
    pub fn contains(&self, key: u64) -> bool {
        match &self.0 {
            Index::Hashed(keys) => keys.contains_key(&key),
            Index::Ordered(keys) => keys.contains_key(&key),
        }
    }

    fn get_mut(&mut self, key: u64) -> Option<&mut Followers> {
        match &mut self.0 {
            Index::Hashed(keys) => keys.get_mut(&key),
            Index::Ordered(keys) => keys.get_mut(&key),
        }
    }

    /// One leads that waits alone.
    fn lead(&mut self, key: u64, at: usize) {
        let followers = Followers {
            leader: at,
            places: BTreeMap::new(),
            passed_below: 0,
        };
        match &mut self.0 {
            Index::Hashed(keys) => keys.insert(key, followers),
            Index::Ordered(keys) => keys.insert(key, followers),
        };
    }

    fn forget(&mut self, key: u64) {
        match &mut self.0 {
            Index::Hashed(keys) => keys.remove(&key),
            Index::Ordered(keys) => keys.remove(&key),
        };
    }

    /// An item comes that is younger than all others; whether it follows one.
    pub fn join(&mut self, key: u64, Ticket { number, at }: Ticket) -> bool {
        let Some(followers) = self.get_mut(key) else {
            self.lead(key, at);
            return false;
        };
        followers.places.insert(number, at);
        true
    }

    /// An item comes back that may be older than those of its key. `number_of` tells the
    /// number of what is kept somewhere.
    pub fn rejoin(
        &mut self,
        key: u64,
        Ticket { number, at }: Ticket,
        number_of: impl Fn(usize) -> Number,
    ) -> Rejoined {
        let Some(followers) = self.get_mut(key) else {
            self.lead(key, at);
            return Rejoined::Leads { instead_of: None };
        };
        let leader = number_of(followers.leader);
        if leader < number {
            followers.places.insert(number, at);
            return Rejoined::Follows;
        }
        let led = std::mem::replace(&mut followers.leader, at);
        followers.places.insert(leader, led);
        Rejoined::Leads {
            instead_of: Some(led),
        }
    }

    /// An item leaves that was its leader or a follower; the one that leads in its place,
    /// if it was that.
    pub fn leave(&mut self, key: u64, Ticket { number, at }: Ticket) -> Option<usize> {
        let followers = self.get_mut(key)?;
        if followers.leader == at {
            return self.succeed(key);
        }
        followers.places.remove(&number);
        None
    }

    /// The leader has left; the one that leads in its place.
    pub fn succeed(&mut self, key: u64) -> Option<usize> {
        let followers = self.get_mut(key)?;
        let next = followers.places.pop_first();
        match next {
            Some((_, at)) => followers.leader = at,
            None => self.forget(key),
        }
        next.map(|(_, at)| at)
    }

    /// Followers with a number below `below` are passed over: those of them that were not
    /// before.
    pub fn pass(&mut self, key: u64, below: Number) -> impl Iterator<Item = usize> {
        let passed = self.get_mut(key).and_then(|followers| {
            let from = followers.passed_below;
            followers.passed_below = from.max(below);
            (from < below).then(|| followers.places.range(from..below))
        });
        passed.into_iter().flatten().map(|(_, &at)| at)
    }

    /// Without the room that more of them had.
    pub fn shrink_empty(&mut self) {
        if let Index::Hashed(keys) = &mut self.0 {
            *keys = HashMap::default();
        }
    }

    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        match &self.0 {
            Index::Hashed(keys) => keys.capacity(),
            Index::Ordered(keys) => keys.len(),
        }
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
