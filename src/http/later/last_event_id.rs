//! Where a listener was, by its `Last-Event-ID` (HTML Living Standard, section 9.2).

use axum::http::HeaderMap;
use axum::http::header::HeaderName;

use crate::later::store::Position;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Where a listener was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastEventId {
    /// It has heard nothing.
    None,
    /// It has heard up to this.
    After(Position),
    /// It says so in words that are none of ours.
    Unreadable,
}

impl LastEventId {
    /// What the request says.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut ids = headers.get_all(LAST_EVENT_ID).iter();
        let Some(id) = ids.next() else {
            return Self::None;
        };
        let digits = id.to_str().ok();
        let digits = digits.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|it| it.parse().ok()) {
            Some(position) if ids.next().is_none() => Self::After(position),
            _ => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn where_a_listener_was() {
        for (values, expected) in [
            (&[][..], LastEventId::None),
            (&["17"], LastEventId::After(17)),
            (&["0"], LastEventId::After(0)),
            (&[""], LastEventId::Unreadable),
            (&["+1"], LastEventId::Unreadable),
            (&["18446744073709551616"], LastEventId::Unreadable),
            (&["1", "1"], LastEventId::Unreadable),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(LAST_EVENT_ID, HeaderValue::from_static(value));
            }
            assert_eq!(LastEventId::of(&headers), expected, "{values:?}");
        }
    }
}
