//! What a script tells of what it did: to all replicas by `PUBLISH`, and to whoever asked in
//! its reply.

use std::collections::HashMap;

use serde::Deserialize;

use crate::code::Code;
use crate::job::{Handle, RouteName, State};
use crate::later::answer_bytes::code;
use crate::later::backlog::Waiting;
use crate::later::record::{Millis, StreamName};
use crate::observe::RecordCounts;

/// As it is written, in JSON. Numbers are texts, since Lua would round them.
#[derive(Deserialize)]
struct Wire {
    by: String,
    now: String,
    seq: String,
    #[serde(default)]
    views: Vec<HashMap<String, String>>,
    #[serde(default)]
    finished: Vec<String>,
    #[serde(default)]
    streams: Vec<String>,
    #[serde(default)]
    deleted: Vec<String>,
}

/// What is told.
#[derive(Debug, PartialEq)]
pub(super) struct Message {
    /// Whose script it was.
    pub by: String,
    /// The time by Redis' clock.
    pub now: Millis,
    /// Which moment it tells of: later ones have larger numbers.
    pub seq: u64,
    /// What there is of each route that it has changed.
    pub views: Vec<(RouteName, View)>,
    /// Records that were finished.
    pub finished: Vec<Handle>,
    /// The streams that they were told on.
    pub streams: Vec<StreamName>,
    /// Records that were deleted.
    pub deleted: Vec<Handle>,
}

/// A route at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct View {
    /// What is counted, but for the age of the oldest.
    pub counts: RecordCounts,
    /// When the oldest job was handed in of those that are queued, whether or not it is
    /// claimed.
    pub oldest_queued: Option<Millis>,
    /// What waits; leases and deadlines by Redis' clock.
    pub waiting: Waiting,
    /// Whose the oldest job is that waits.
    pub owner: String,
}

impl Message {
    /// Reads one. `None` where it is none: another version's.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(bytes).ok()?;
        let handles = |texts: Vec<String>| {
            let handles = texts.iter().filter_map(|it| it.parse().ok());
            handles.collect()
        };
        let views = wire.views.into_iter().filter_map(|fields| {
            let route = fields.get("route")?.parse().ok()?;
            Some((route, View::read(&fields)))
        });
        let streams = wire.streams.iter();
        Some(Self {
            by: wire.by,
            now: wire.now.parse().ok()?,
            seq: wire.seq.parse().ok()?,
            views: views.collect(),
            finished: handles(wire.finished),
            streams: streams.filter_map(|it| StreamName::new(it).ok()).collect(),
            deleted: handles(wire.deleted),
        })
    }
}

impl View {
    fn read(fields: &HashMap<String, String>) -> Self {
        let time = |name: &str| fields.get(name).and_then(|it| it.parse::<u64>().ok());
        let number = |name: &str| time(name).unwrap_or_default();
        let by_state = |letter: char| State::ALL.map(|it| number(&format!("{letter}{}", it as u8)));
        let mut finished: Vec<_> = fields
            .iter()
            .filter_map(|(name, count)| {
                let name = name.strip_prefix("f:")?;
                // One of a version to come is counted all the same.
                let code = code(name).unwrap_or(Code::Internal);
                Some((code, count.parse().ok()?))
            })
            .collect();
        finished.sort_unstable();
        Self {
            counts: RecordCounts {
                present: by_state('p'),
                bytes: number("bytes"),
                oldest_queued: None,
                accepted: number("accepted"),
                finished,
                deleted: by_state('d'),
                expired_read: number("read"),
                expired_unread: number("unread"),
            },
            oldest_queued: time("oldest").into_iter().chain(time("paused")).min(),
            waiting: Waiting {
                jobs: number("jobs"),
                items: number("most_items"),
                bytes: number("most_bytes"),
                oldest: time("oldest"),
                deadline: time("deadline"),
                lapses: time("lapses"),
            },
            owner: fields.get("owner").cloned().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_as_the_scripts_write_it() {
        let handle = Handle::new(1_796_000_000_000).unwrap();
        let text = format!(
            r#"{{"by":"me","now":"1796000000007","seq":"1796000000000001","deleted":["{handle}"],
            "views":[{{"route":"jobs","p0":"3","p1":"2","p2":"1","d1":"4","accepted":"10",
            "bytes":"70","f:ok":"1","f:of-a-later-version":"2","read":"5","unread":"6",
            "jobs":"2","most_items":"9","most_bytes":"60","oldest":"12","paused":"11",
            "owner":"you","deadline":"40","lapses":"50"}}]}}"#
        );
        let message = Message::read(text.as_bytes()).unwrap();
        let view = View {
            counts: RecordCounts {
                present: [3, 2, 1, 0],
                bytes: 70,
                oldest_queued: None,
                accepted: 10,
                finished: vec![(Code::Ok, 1), (Code::Internal, 2)],
                deleted: [0, 4, 0, 0],
                expired_read: 5,
                expired_unread: 6,
            },
            oldest_queued: Some(11),
            waiting: Waiting {
                jobs: 2,
                items: 9,
                bytes: 60,
                oldest: Some(12),
                deadline: Some(40),
                lapses: Some(50),
            },
            owner: "you".to_owned(),
        };
        let expected = Message {
            by: "me".to_owned(),
            now: 1_796_000_000_007,
            seq: 1_796_000_000_000_001,
            views: vec![(RouteName::jobs(), view)],
            finished: Vec::new(),
            streams: Vec::new(),
            deleted: vec![handle],
        };
        assert_eq!(message, expected);
        assert_eq!(Message::read(b"{}"), None);
        assert_eq!(Message::read(b"\xff"), None);
    }
}
