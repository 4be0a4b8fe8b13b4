//! How long a certificate lasts, and what to say of one that does not for long.

use std::time::{Duration, SystemTime};

/// A certificate is spoken of from this long before its end on: time to see why it was not
/// renewed.
const SOON: Duration = Duration::from_secs(7 * DAY);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A file of certificates that is in force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Certificate {
    /// The file.
    pub file: String,
    /// The first second of Unix time in which all of it is valid.
    pub from: i64,
    /// The last.
    pub until: i64,
}

/// What is wrong with a certificate, or soon will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is not valid for so long.
    NotYet(Duration),
    /// It ends in so long.
    Ending(Duration),
    /// It has ended so long ago.
    Ended(Duration),
}

impl Certificate {
    /// For how many seconds it is valid; negative once it is no more.
    pub fn seconds_left(&self, now: SystemTime) -> f64 {
        self.until as f64 - unix(now)
    }

    /// What is to be said of it.
    pub fn trouble(&self, now: SystemTime) -> Option<Trouble> {
        let time = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let (left, before) = (self.seconds_left(now), self.from as f64 - unix(now));
        if left <= 0.0 {
            Some(Trouble::Ended(time(-left)))
        } else if before > 0.0 {
            Some(Trouble::NotYet(time(before)))
        } else {
            (left <= SOON.as_secs_f64()).then(|| Trouble::Ending(time(left)))
        }
    }

    /// The same in words, as the rest of a sentence about the file.
    pub fn told(&self, now: SystemTime) -> Option<String> {
        Some(match self.trouble(now)? {
            Trouble::NotYet(time) => format!("is not valid for another {}", long(time)),
            Trouble::Ending(time) => format!("ends in {}", long(time)),
            Trouble::Ended(time) => format!("has ended {} ago", long(time)),
        })
    }
}

fn unix(now: SystemTime) -> f64 {
    match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// In the largest unit of which there are two.
fn long(time: Duration) -> String {
    let seconds = time.as_secs();
    let (number, unit) = match seconds {
        days if days >= 2 * DAY => (days / DAY, "days"),
        hours if hours >= 2 * HOUR => (hours / HOUR, "hours"),
        minutes if minutes >= 2 * MINUTE => (minutes / MINUTE, "minutes"),
        seconds => (seconds, "seconds"),
    };
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_spoken_of_before_it_begins_at_its_end_and_after() {
        let days = |days: f64| (days * DAY as f64) as i64;
        let certificate = Certificate {
            file: "c.pem".to_owned(),
            from: days(10.0),
            until: days(30.0),
        };
        for (at, told) in [
            (8.5, Some("is not valid for another 36 hours")),
            (10.0, None),
            (22.9, None),
            (23.0, Some("ends in 7 days")),
            (29.5, Some("ends in 12 hours")),
            (30.0 - 0.001, Some("ends in 86 seconds")),
            (30.0, Some("has ended 0 seconds ago")),
            (33.0, Some("has ended 3 days ago")),
        ] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(at * DAY as f64);
            assert_eq!(certificate.told(now).as_deref(), told, "{at}");
        }
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(31 * DAY);
        assert_eq!(certificate.seconds_left(later), -(DAY as f64));
    }
}
