//! The token that a request bears (RFC 6750, section 2.1), and whether it lets the request
//! in.
//!
//! One for each connection. Most say the same for as long as they last: what was let in
//! last is let in again for a comparison, until the file of tokens changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use subtle::ConstantTimeEq as _;

use super::problem::Problem;
use crate::tokens::{Admitted, Guard};

/// See the module.
#[derive(Debug)]
pub(super) struct Bearer {
    guard: Guard,
    last: Mutex<Option<Last>>,
}

/// What was let in last; a copy, since the header holds the buffer that its connection read
/// into.
struct Last {
    generation: u64,
    value: Box<[u8]>,
    admitted: Arc<Admitted>,
}

impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.admitted.name().fmt(f)
    }
}

impl Bearer {
    /// That of somebody who has connected where these tokens let in.
    pub fn new(guard: Guard) -> Self {
        let last = Mutex::default();
        Self { guard, last }
    }

    /// Whom the token of these headers lets in, who is counted.
    ///
    /// # Errors
    /// That there is none, or one that lets nobody in.
    pub fn check(&self, headers: &HeaderMap) -> Result<Arc<Admitted>, Problem> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let admitted = match (values.next(), values.next()) {
            (Some(value), None) => match self.again(value) {
                Some(admitted) => admitted,
                None => self.first(value)?,
            },
            (None, _) => {
                return Err(Problem::unauthorized(
                    "the request bears no token; send one that its file names as Authorization: \
                     Bearer TOKEN",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(Problem::unauthorized(
                    "the request has more than one Authorization; send one",
                ));
            }
        };
        admitted.count();
        Ok(admitted)
    }

    /// Whom the same header was let in for last.
    fn again(&self, value: &HeaderValue) -> Option<Arc<Admitted>> {
        let last = self.last();
        let last = last.as_ref()?;
        let same = bool::from(last.value.ct_eq(value.as_bytes()));
        (same && self.guard.is_newest(last.generation)).then(|| Arc::clone(&last.admitted))
    }

    fn first(&self, value: &HeaderValue) -> Result<Arc<Admitted>, Problem> {
        let Some(token) = token(value.as_bytes()) else {
            return Err(Problem::unauthorized(
                "the Authorization of the request bears no token; send Authorization: Bearer \
                 TOKEN",
            ));
        };
        let tokens = self.guard.current();
        let Some(admitted) = tokens.find(token) else {
            return Err(Problem::unauthorized(
                "the token of the request is none that is let in here; ask for one whoever runs \
                 this proxy",
            ));
        };
        *self.last() = Some(Last {
            generation: tokens.generation(),
            value: value.as_bytes().into(),
            admitted: Arc::clone(admitted),
        });
        Ok(Arc::clone(admitted))
    }

    fn last(&self) -> MutexGuard<'_, Option<Last>> {
        // Nothing panics while it is held.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What follows the scheme, which is told in either case (RFC 9110, section 11.1).
fn token(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    let token = rest.trim_ascii();
    let is_bearer = scheme.eq_ignore_ascii_case(SCHEME) && rest.starts_with(b" ");
    (is_bearer && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_credentials() {
        for (value, expected) in [
            ("Bearer t", Some("t")),
            ("bearer t", Some("t")),
            ("BEARER   t ", Some("t")),
            ("Bearer a b", Some("a b")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearert", None),
            ("Bearer\tt", None),
            ("Basic t", None),
            ("t", None),
            ("", None),
        ] {
            let expected = expected.map(str::as_bytes);
            assert_eq!(token(value.as_bytes()), expected, "{value:?}");
        }
    }
}
