//! Numbers and what others wrote, as a sentence has them.

/// `1 job`, `12 jobs`, `2 batches`.
pub(super) fn things(number: u64, thing: &str) -> String {
    let s = match number {
        1 => "",
        _ if thing.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{number} {thing}{s}")
}

/// `1 batch was`, `12 batches were`.
pub(super) fn things_were(number: u64, thing: &str) -> String {
    let were = if number == 1 { "was" } else { "were" };
    format!("{} {were}", things(number, thing))
}

/// `1 route is`, `12 routes are`.
pub(super) fn things_are(number: u64, thing: &str) -> String {
    let are = if number == 1 { "is" } else { "are" };
    format!("{} {are}", things(number, thing))
}

/// The part of a whole, 0 of nothing.
pub(super) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        little if little > 0.0 && little < 1.0 => "under 1 %".to_owned(),
        most if most > 99.0 && most < 100.0 => "over 99 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

pub(super) fn ms(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{} ms", (ms * 10.0).round() / 10.0),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms if ms < 10_000.0 => format!("{} s", (ms / 100.0).round() / 10.0),
        ms => format!("{:.0} s", ms / 1e3),
    }
}

/// The same of what may take hours.
pub(super) fn age(of_ms: f64) -> String {
    match of_ms / 60e3 {
        minutes if minutes < 2.0 => ms(of_ms),
        minutes if minutes < 120.0 && minutes % 60.0 > 0.0 => format!("{minutes:.0} min"),
        minutes => format!("{:.0} h", minutes / 60.0),
    }
}

pub(super) fn count(number: f64) -> String {
    match number {
        small if small < 10.0 => format!("{}", (small * 10.0).round() / 10.0),
        number => format!("{number:.0}"),
    }
}

/// A text of the upstream's, which is escaped already: no longer than a sentence bears,
/// and without the marks that names stand in.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 120;
    let mut chars = text.trim().chars();
    let mut quoted: String = chars.by_ref().take(MOST).collect();
    if chars.next().is_some() {
        quoted.push('…');
    }
    quoted.replace('`', "'")
}

/// The same beside what it explains, if it is not empty.
pub(super) fn in_brackets(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!(" ({})", quoted(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!(things(1, "job"), "1 job");
        assert_eq!(things(2, "job"), "2 jobs");
        assert_eq!(things(0, "batch"), "0 batches");
        assert_eq!(things_were(1, "batch"), "1 batch was");
        assert_eq!(things_were(3, "line"), "3 lines were");
        assert_eq!(things_are(1, "route"), "1 route is");
        assert_eq!(things_are(2, "route"), "2 routes are");
    }

    #[test]
    fn shares_and_times_read_well() {
        for (value, text) in [
            (0.0, "0 %"),
            (0.001, "under 1 %"),
            (0.5, "50 %"),
            (0.999, "over 99 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(value), text);
        }
        for (value, text) in [
            (0.04, "0 ms"),
            (1.26, "1.3 ms"),
            (40.4, "40 ms"),
            (2_540.0, "2.5 s"),
            (30_000.0, "30 s"),
        ] {
            assert_eq!(ms(value), text);
            assert_eq!(age(value), text);
        }
        for (value, text) in [
            (119_000.0, "119 s"),
            (600_000.0, "10 min"),
            (3_600_000.0, "1 h"),
            (5_400_000.0, "90 min"),
            (86_400_000.0, "24 h"),
        ] {
            assert_eq!(age(value), text);
        }
    }

    #[test]
    fn a_quotation_is_cut_and_marks_nothing() {
        assert_eq!(quoted(" a `b` "), "a 'b'");
        let cut = quoted(&"é".repeat(500));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (121, true));
    }
}
