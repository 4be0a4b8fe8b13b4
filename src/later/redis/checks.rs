//! Whether a server may be the store: what it says of itself, and what it would lose.

use std::collections::HashMap;

use super::error::OpenError;

/// The oldest version that has what the scripts need.
const OLDEST: (u32, u32) = (6, 2);

/// What `INFO` tells.
pub(super) struct Info<'a>(HashMap<&'a str, &'a str>);

impl<'a> Info<'a> {
    pub fn read(text: &'a str) -> Self {
        let fields = text.lines().filter_map(|it| it.split_once(':'));
        Self(fields.map(|(name, value)| (name, value.trim())).collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Whether it can be used at all.
    pub fn is_usable(&self, at: &str) -> Result<(), OpenError> {
        let at = at.to_owned();
        let version = self.get("redis_version");
        let mut numbers = version.split('.').map_while(|it| it.parse::<u32>().ok());
        let version_is = (
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        );
        if version_is < OLDEST {
            let version = format!("{} {version}", self.get("server_name"));
            let version = match version.trim() {
                "" => "of a version that it does not tell".to_owned(),
                version => format!("version {version}"),
            };
            return Err(OpenError::TooOld { at, version });
        }
        match (self.get("role"), self.get("loading")) {
            ("slave" | "replica", _) => Err(OpenError::Replica { at }),
            (_, "1") => Err(OpenError::Loading { at }),
            _ => Ok(()),
        }
    }

    /// Whether it keeps what it has taken.
    pub fn lasts(&self, at: &str) -> Result<(), OpenError> {
        let at = at.to_owned();
        if self.get("aof_enabled") != "1" {
            return Err(OpenError::Volatile { at });
        }
        match self.get("maxmemory_policy") {
            "noeviction" => Ok(()),
            policy => Err(OpenError::Evicts {
                at,
                policy: policy.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\nloading:0\r\n\
                        aof_enabled:1\r\nmaxmemory_policy:noeviction\r\n";

    fn said(text: &str) -> String {
        let info = Info::read(text);
        let said = info.is_usable("here").and_then(|()| info.lasts("here"));
        said.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_server_is_taken_or_told_why_not() {
        for (from, to, expected) in [
            ("", "", ""),
            ("7.0.15", "6.2.0", ""),
            ("7.0.15", "255.255.255", ""),
            ("7.0.15", "6.0.20", "here is version 6.0.20"),
            ("7.0.15", "5", "here is version 5"),
            ("redis_version", "other", "does not tell"),
            ("role:master", "role:slave", "here is a replica"),
            ("loading:0", "loading:1", "here is loading"),
            ("aof_enabled:1", "aof_enabled:0", "set appendonly yes"),
            ("noeviction", "allkeys-lru", "maxmemory-policy allkeys-lru"),
        ] {
            let said = said(&GOOD.replace(from, to));
            assert!(said.contains(expected), "{from} {to}: {said}");
            assert_eq!(said.is_empty(), expected.is_empty(), "{from} {to}: {said}");
        }
    }
}
