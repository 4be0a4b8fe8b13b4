//! Whose a job for later is: with tokens, that of the token that has handed it in, and of
//! nobody else.
//!
//! Stores know nothing of tokens. A handle, a key and a stream's name stand in them under
//! another one that only the same token leads to: whoever comes with another token comes
//! to another place, where nothing is. Where everybody may come in there is one place for
//! all.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::job::Handle;
use crate::later::record::{IdempotencyKey, InvalidName, Record, StreamName};
use crate::tokens::Admitted;

/// Of whom a request is.
#[derive(Clone, Copy, Default)]
pub(in super::super) struct Owner(Option<[u8; 32]>);

impl Owner {
    /// Whom a token has let in; without one, everybody.
    pub fn of(admitted: Option<&Admitted>) -> Self {
        // Of the digest of a token nobody but its bearer and the file knows.
        Self(admitted.map(|it| *it.digest().as_bytes()))
    }

    /// The handle in the store of one that is shown, and the other way around.
    pub(super) fn handle(self, handle: Handle) -> Handle {
        let Some(owner) = self.0 else {
            return handle;
        };
        let pad = derived(owner, b"handle", &handle.millis().to_be_bytes());
        handle.masked(&pad)
    }

    /// A record as it is shown.
    pub(super) fn shown(self, mut record: Record) -> Record {
        record.handle = self.handle(record.handle);
        record
    }

    /// The stream in the store of one that is named.
    pub(super) fn stream(self, name: StreamName) -> Result<StreamName, InvalidName> {
        match self.0 {
            None => Ok(name),
            Some(owner) => StreamName::new(&text(owner, b"stream", name.as_str())),
        }
    }

    /// The key in the store of one that is given.
    pub(super) fn key(self, key: IdempotencyKey) -> Result<IdempotencyKey, InvalidName> {
        match self.0 {
            None => Ok(key),
            Some(owner) => IdempotencyKey::stored(&text(owner, b"key", key.as_str())),
        }
    }
}

fn text(owner: [u8; 32], what: &[u8], given: &str) -> String {
    URL_SAFE_NO_PAD.encode(derived(owner, what, given.as_bytes()))
}

fn derived(owner: [u8; 32], what: &[u8], given: &[u8]) -> [u8; 32] {
    let digest = Sha256::new().chain_update(owner).chain_update(what);
    digest
        .chain_update([0])
        .chain_update(given)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_has_a_place_of_its_own() {
        let owners = [None, Some([1; 32]), Some([2; 32])].map(Owner);
        let handle = Handle::new(7).unwrap();
        let stream = StreamName::new("s").unwrap();
        let key = IdempotencyKey::new("k").unwrap();
        for (at, owner) in owners.into_iter().enumerate() {
            let kept = owner.handle(handle);
            // What is shown of it leads there again, in the order of time.
            assert_eq!(owner.handle(kept), handle);
            assert_eq!(kept.millis(), 7);
            for other in &owners[at + 1..] {
                assert_ne!(other.handle(kept), handle);
                assert_ne!(other.handle(handle), kept);
                assert_ne!(other.stream(stream.clone()), owner.stream(stream.clone()));
                assert_ne!(other.key(key.clone()), owner.key(key.clone()));
            }
        }
        assert_eq!(owners[0].handle(handle), handle);
        assert_eq!(owners[0].stream(stream.clone()), Ok(stream));
        assert_eq!(owners[0].key(key.clone()), Ok(key));
    }
}
