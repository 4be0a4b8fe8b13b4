//! Certificates that end soon, or have.

use std::time::SystemTime;

use super::sentence::{Advice, Kind, say};
use crate::observe::certificate::{Certificate, Trouble};

/// What is to be said of those in force.
pub(super) fn ending(
    certificates: &[Certificate],
    now: SystemTime,
) -> impl Iterator<Item = Advice> {
    certificates.iter().filter_map(move |certificate| {
        let told = certificate.told(now)?;
        let (kind, way_out) = match certificate.trouble(now)? {
            Trouble::NotYet(_) => (
                Kind::Problem,
                "whoever checks it refuses the connection until then. Look at the clocks, or put \
                 the one before it back.",
            ),
            Trouble::Ending(_) => (
                Kind::Hint,
                "renew it: the file is read again when its contents change.",
            ),
            Trouble::Ended(_) => (
                Kind::Problem,
                "whoever checks it refuses the connection. Renew it: the file is read again when \
                 its contents change.",
            ),
        };
        let text = format!(
            "The certificate in `{}` {told}: {way_out}",
            certificate.file
        );
        Some(say(kind, None, text))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_certificate_is_named_with_the_days_that_it_has_left() {
        let certificate = |file: &str, until| Certificate {
            file: file.to_owned(),
            from: 0,
            until,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100 * 86_400);
        let certificates = [
            certificate("long.pem", 200 * 86_400),
            certificate("soon.pem", 103 * 86_400),
            certificate("over.pem", 98 * 86_400),
        ];
        let said: Vec<_> = ending(&certificates, now).collect();
        let [soon, over] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!((soon.kind, over.kind), (Kind::Hint, Kind::Problem));
        assert!(
            soon.text.contains("`soon.pem` ends in 3 days: "),
            "{soon:?}"
        );
        assert!(
            over.text.contains("`over.pem` has ended 2 days ago: "),
            "{over:?}"
        );
    }
}
