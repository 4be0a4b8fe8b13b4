//! A new token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

use super::digest::Digest;

/// What every token of ours begins with, so that people and scanners for secrets see what
/// it is.
pub(super) const PREFIX: &str = "mbt_";

/// How many random bytes a token has.
const RANDOM: usize = 32;

/// A token, which nobody has seen yet. It has no `Debug` and no `Display`.
pub struct Token(String);

/// The system gives no random bytes.
#[derive(Debug, Error)]
#[error("the system gives no random bytes for a token: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

impl Token {
    /// One of 256 random bits of the system's.
    ///
    /// # Errors
    /// The system gives none.
    pub fn new() -> Result<Self, NoRandomness> {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))))
    }

    /// Itself, to be given to whom it is for.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What stands for it in the file.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tokens_are_random_and_may_stand_in_a_header() {
        let tokens: Vec<_> = (0..1_000).map(|_| Token::new().unwrap()).collect();
        let different: HashSet<_> = tokens.iter().map(Token::reveal).collect();
        assert_eq!(different.len(), tokens.len());
        for token in &tokens {
            let random = token.reveal().strip_prefix(PREFIX).unwrap();
            assert_eq!(URL_SAFE_NO_PAD.decode(random).unwrap().len(), RANDOM);
            assert_eq!(
                token.digest().to_string(),
                Digest::of(token.reveal().as_bytes()).to_string()
            );
        }
        // Each bit is there about as often as not: 500 of 1000, give or take 8 times 16.
        let bytes = |it: &Token| {
            URL_SAFE_NO_PAD
                .decode(&it.reveal()[PREFIX.len()..])
                .unwrap()
        };
        for bit in 0..8 * RANDOM {
            let ones = tokens
                .iter()
                .filter(|it| bytes(it)[bit / 8] >> (bit % 8) & 1 == 1);
            let ones = ones.count();
            assert!((372..=628).contains(&ones), "bit {bit}: {ones}");
        }
    }
}
