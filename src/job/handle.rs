//! A record's address: unguessable, and in the order of time.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

/// Milliseconds since the epoch, big end first: 48 bits are enough until the year 10889.
const TIME_BYTES: usize = 6;

/// What nobody can guess: 128 bits.
const RANDOM_BYTES: usize = 16;

/// How many characters the time takes, in hexadecimal: so texts are in order too.
const TIME_CHARS: usize = 2 * TIME_BYTES;

/// How many characters the rest takes, in base64url (RFC 4648, section 5).
const RANDOM_CHARS: usize = 22;

/// Where a record is: the time it was made, then 128 random bits, 34 characters of
/// `[A-Za-z0-9_-]`. Handles compare as their texts do in time; among those of one
/// millisecond the order is by chance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle([u8; TIME_BYTES + RANDOM_BYTES]);

/// The text is no handle.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("no handle")]
pub struct NotAHandle;

/// The system gives no random bits.
#[derive(Debug, Error)]
#[error("the system gives no random bits: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

impl Handle {
    /// How many bytes it is.
    pub const BYTES: usize = TIME_BYTES + RANDOM_BYTES;

    /// A new one, made at this time in milliseconds since the epoch.
    ///
    /// # Errors
    /// Where the system gives no random bits.
    pub fn new(millis: u64) -> Result<Self, NoRandomness> {
        let mut bytes = [0; TIME_BYTES + RANDOM_BYTES];
        let (time, random) = bytes.split_at_mut(TIME_BYTES);
        time.copy_from_slice(&millis.to_be_bytes()[8 - TIME_BYTES..]);
        getrandom::fill(random)?;
        Ok(Self(bytes))
    }

    /// As bytes, in the same order.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// The handle that has these bytes.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The same with other random bits: those of this pad over its own. Done twice it is the
    /// first.
    #[must_use]
    pub fn masked(mut self, pad: &[u8; 32]) -> Self {
        let random = self.0[TIME_BYTES..].iter_mut();
        random.zip(pad).for_each(|(byte, pad)| *byte ^= pad);
        self
    }

    /// When it was made, in milliseconds since the epoch.
    pub fn millis(&self) -> u64 {
        let time = &self.0[..TIME_BYTES];
        time.iter()
            .fold(0, |millis, &byte| millis << 8 | u64::from(byte))
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, random) = self.0.split_at(TIME_BYTES);
        time.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        let mut text = [0; RANDOM_CHARS];
        let written = URL_SAFE_NO_PAD.encode_slice(random, &mut text);
        let text = written
            .ok()
            .and_then(|it| std::str::from_utf8(&text[..it]).ok());
        f.write_str(text.unwrap_or_default())
    }
}

impl fmt::Debug for Handle {
    /// Whoever knows a handle may read its answer: logs show its time alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle(")?;
        let time = &self.0[..TIME_BYTES];
        time.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…)")
    }
}

impl FromStr for Handle {
    type Err = NotAHandle;

    fn from_str(text: &str) -> Result<Self, NotAHandle> {
        let (time, random) = text.split_at_checked(TIME_CHARS).ok_or(NotAHandle)?;
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if random.len() != RANDOM_CHARS || !time.as_bytes().iter().all(is_digit) {
            return Err(NotAHandle);
        }
        let time = u64::from_str_radix(time, 16).map_err(|_| NotAHandle)?;
        let mut bytes = [0; TIME_BYTES + RANDOM_BYTES];
        bytes[..TIME_BYTES].copy_from_slice(&time.to_be_bytes()[8 - TIME_BYTES..]);
        let decoded = URL_SAFE_NO_PAD.decode_slice(random, &mut bytes[TIME_BYTES..]);
        match decoded {
            Ok(RANDOM_BYTES) => Ok(Self(bytes)),
            _ => Err(NotAHandle),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_handle_reads_as_it_was_written() {
        for millis in [0, 1, 1_796_000_000_000, (1 << 48) - 1] {
            let handle = Handle::new(millis).unwrap();
            let text = handle.to_string();
            assert_eq!(text.len(), 34);
            assert_eq!(text.parse(), Ok(handle));
        }
    }

    #[test]
    fn whatever_is_no_handle_is_refused() {
        let good = Handle::new(7).unwrap().to_string();
        for text in [
            "",
            "x",
            &good[1..],
            &format!("{good}A"),
            &good.replacen('0', "A", 1),
            &format!("{}!", &good[..33]),
            &format!("é{}", &good[2..]),
            // The last character has four bits that are not of the handle.
            &format!("{}_", &good[..33]),
        ] {
            assert_eq!(text.parse::<Handle>(), Err(NotAHandle), "{text}");
        }
    }

    /// Of each bit, of neighbours, and of all: a fair coin, to six deviations.
    #[test]
    fn handles_are_random() {
        const HANDLES: usize = 100_000;
        const BITS: f64 = 8.0 * RANDOM_BYTES as f64;
        let random = |handle: Handle| {
            let bytes = handle.0[TIME_BYTES..].try_into().unwrap();
            u128::from_be_bytes(bytes)
        };
        let made: Vec<_> = (0..HANDLES)
            .map(|_| random(Handle::new(7).unwrap()))
            .collect();
        let different: HashSet<_> = made.iter().collect();
        assert_eq!(different.len(), HANDLES);
        let (n, fair) = (HANDLES as f64, |tosses: f64| {
            (tosses / 2.0, tosses.sqrt() / 2.0)
        });
        let (mean, deviation) = fair(n);
        for bit in 0..128 {
            let set = made.iter().filter(|it| *it >> bit & 1 == 1).count() as f64;
            assert!((set - mean).abs() < 6.0 * deviation, "bit {bit}: {set}");
        }
        // How many bits differ from one to the next: each pair, and all together.
        let differ = made
            .windows(2)
            .map(|it| f64::from((it[0] ^ it[1]).count_ones()));
        let (mean, deviation) = fair(BITS);
        assert!(differ.clone().all(|it| (it - mean).abs() < 8.0 * deviation));
        let sum: f64 = differ.sum();
        let (mean, deviation) = fair(BITS * (n - 1.0));
        assert!((sum - mean).abs() < 6.0 * deviation, "{sum}");
        // No bit tells another one.
        for (one, other) in (0..127).map(|bit| (bit, bit + 1)) {
            let equal = |it: &&u128| (*it >> one ^ *it >> other) & 1 == 0;
            let equal = made.iter().filter(equal).count() as f64;
            let (mean, deviation) = fair(n);
            assert!((equal - mean).abs() < 6.0 * deviation, "{one}, {other}");
        }
    }

    #[test]
    fn handles_are_in_the_order_of_time_as_values_and_as_texts() {
        let handles = [1, 2, 255, 256, 1 << 40].map(|millis| Handle::new(millis).unwrap());
        let texts = handles.map(|it| it.to_string());
        assert!(handles.is_sorted() && texts.is_sorted());
    }
}
