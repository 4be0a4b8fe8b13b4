//! Numbers for people, as the live page writes them.

/// What stands where there is no number.
pub(super) const NONE: &str = "–";

/// Three digits at most.
fn digits(n: f64) -> String {
    if n >= 99.95 || n.fract() == 0.0 {
        format!("{n:.0}")
    } else if n >= 0.095 {
        format!("{n:.1}")
    } else {
        format!("{n:.2}")
    }
}

/// A number of things.
pub(super) fn count(n: f64) -> String {
    let mut n = n;
    for unit in ["", " k", " M", " G"] {
        // What would round up to the next unit belongs to it.
        if n < 999.5 {
            return format!("{}{unit}", digits(n));
        }
        n /= 1000.0;
    }
    format!("{} T", digits(n))
}

/// A number of things, if there is one.
pub(super) fn maybe(n: Option<f64>) -> String {
    n.map_or_else(|| NONE.to_owned(), count)
}

/// A time.
pub(super) fn ms(ms: Option<f64>) -> String {
    match ms {
        None => NONE.to_owned(),
        Some(ms) if ms >= 599_500.0 => format!("{} min", digits(ms / 60e3)),
        Some(ms) if ms >= 999.5 => format!("{} s", digits(ms / 1e3)),
        Some(ms) => format!("{} ms", digits(ms)),
    }
}

/// A part of a whole. "100 %" is kept for all of it, "0 %" for nothing.
pub(super) fn percent(part: f64, whole: f64) -> String {
    if whole <= 0.0 {
        return NONE.to_owned();
    }
    match part / whole * 100.0 {
        little if little > 0.0 && little < 1.0 => "<1 %".to_owned(),
        most if most > 99.0 && most < 100.0 => ">99 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

/// How long something has lasted.
pub(super) fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    for (large, name, small, rest) in [
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ] {
        if seconds >= large {
            let (many, left) = (seconds / large, seconds % large / small);
            return format!("{many} {name} {left} {rest}");
        }
    }
    format!("{seconds} s")
}

/// How long ago something was.
pub(super) fn ago(seconds: f64) -> String {
    format!("{} ago", span(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (n, expected) in [
            (0.0, "0"),
            (0.04, "0.04"),
            (0.4, "0.4"),
            (12.34, "12.3"),
            (999.4, "999"),
            (999.6, "1.0 k"),
            (10_000.0, "10 k"),
            (2.5e6, "2.5 M"),
        ] {
            assert_eq!(count(n), expected);
        }
        assert_eq!(maybe(None), "–");
    }

    #[test]
    fn times_have_their_unit() {
        for (n, expected) in [
            (0.52, "0.5 ms"),
            (9.8, "9.8 ms"),
            (10_001.2, "10.0 s"),
            (1.8e6, "30 min"),
        ] {
            assert_eq!(ms(Some(n)), expected);
        }
        assert_eq!(span(59.9), "59 s");
        assert_eq!(span(3_700.0), "1 h 1 min");
        assert_eq!(span(-1.0), "0 s");
    }

    #[test]
    fn all_and_nothing_are_exact() {
        for (part, expected) in [
            (0.0, "0 %"),
            (1.0, "<1 %"),
            (999.0, ">99 %"),
            (1e3, "100 %"),
        ] {
            assert_eq!(percent(part, 1000.0), expected);
        }
        assert_eq!(percent(0.0, 0.0), "–");
    }
}
