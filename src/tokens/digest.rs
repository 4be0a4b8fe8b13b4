//! What stands for a token wherever it is kept: its SHA-256.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 of a token. A token has 256 random bits, so that nothing slower and nothing
/// salted is needed to keep its digest from telling it.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// That of these bytes.
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ConstantTimeEq for Digest {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// 64 hexadecimal digits, in either case.
impl FromStr for Digest {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.is_ascii() {
            return Err(());
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[2 * at..2 * at + 2];
            if !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
                return Err(());
            }
            *byte = u8::from_str_radix(digits, 16).map_err(drop)?;
        }
        Ok(Self(bytes))
    }
}

/// As it is written in the file, after `sha256:`.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a token is guessed against is not for logs.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_sha256sum_does() {
        // FIPS 180-4, the example "abc".
        const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), ABC);
        for written in [ABC, &ABC.to_uppercase()] {
            let read: Digest = written.parse().unwrap();
            assert!(bool::from(read.ct_eq(&Digest::of(b"abc"))));
            assert!(!bool::from(read.ct_eq(&Digest::of(b"abd"))));
        }
        for wrong in [
            "",
            &ABC[1..],
            &format!("{ABC}0"),
            &ABC.replace('b', "g"),
            &ABC.replace("ba", "+a"),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }
}
