//! The scripts: everything that decides is one, so that it is decided in one place and at
//! one moment for all replicas.

use std::sync::LazyLock;

use redis::{Cmd, Script as Source};

/// A script, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Init,
    Accept,
    Claim,
    Hold,
    Release,
    Finish,
    Fetch,
    Delete,
    Expire,
    Stream,
}

/// In the order of the names above.
static SOURCES: LazyLock<[Source; 10]> = LazyLock::new(|| {
    [
        include_str!("scripts/init.lua"),
        include_str!("scripts/accept.lua"),
        include_str!("scripts/claim.lua"),
        include_str!("scripts/hold.lua"),
        include_str!("scripts/release.lua"),
        include_str!("scripts/finish.lua"),
        include_str!("scripts/fetch.lua"),
        include_str!("scripts/delete.lua"),
        include_str!("scripts/expire.lua"),
        include_str!("scripts/stream.lua"),
    ]
    .map(|own| Source::new(&format!("{}{own}", include_str!("scripts/prelude.lua"))))
});

impl Script {
    /// All of them, as they are loaded.
    pub fn sources() -> impl Iterator<Item = &'static Source> {
        SOURCES.iter()
    }

    /// Its text.
    pub fn source(self) -> &'static Source {
        &SOURCES[self as usize]
    }

    /// Asks for it, on the keys that begin so; its arguments come after this.
    pub fn command(self, keys: &str) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.source().get_hash()).arg(1).arg(keys);
        command
    }
}
