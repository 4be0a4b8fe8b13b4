//! W3C Trace Context: what of a caller's trace goes on to the upstream.
//!
//! Source: W3C Recommendation "Trace Context", 23 November 2021, sections
//! 3.2 (traceparent) and 3.3 (tracestate).

use std::fmt;
use std::num::NonZeroU64;

/// The `sampled` bit of the trace flags, the only one version 00 defines.
const SAMPLED: u8 = 1;

/// The longest `tracestate` that is carried along, in bytes: as much as every vendor
/// is to bear (section 3.3.1.5).
const MAX_STATE: usize = 512;

/// The most members of a `tracestate` (section 3.3.1.1).
const MAX_STATE_MEMBERS: usize = 32;

/// A trace, a place in it, and what its vendors wish to carry along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    /// The place above, where this one is the proxy's own.
    parent: Option<NonZeroU64>,
    sampled: bool,
    state: Option<Box<str>>,
}

impl TraceContext {
    /// Reads a `traceparent` header. `None` for what the specification calls
    /// invalid; a higher version is read as far as version 00 goes.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let version = hex(parts.next()?, 2)?;
        let trace_id = hex(parts.next()?, 32)?;
        let span_id = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let valid = version != 0xff
            && (version != 0 || parts.next().is_none())
            && trace_id != 0
            && span_id != 0;
        valid.then_some(Self {
            trace_id,
            span_id,
            parent: None,
            sampled: flags & SAMPLED != 0,
            state: None,
        })
    }

    /// The same context with its `tracestate`, carried as it came; one that is not
    /// valid, or too long, is left behind.
    #[must_use]
    pub fn with_state(mut self, tracestate: &str) -> Self {
        self.state = is_state(tracestate).then(|| tracestate.into());
        self
    }

    /// The `tracestate` to send along, if the caller sent one.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// A new trace that is sampled, and its first place.
    pub fn begin() -> Self {
        Self {
            trace_id: random_trace(),
            span_id: random_nonzero(),
            parent: None,
            sampled: true,
            state: None,
        }
    }

    /// A new place below this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            parent: NonZeroU64::new(self.span_id),
            ..self.next_span()
        }
    }

    /// The same, of a trace that is sampled, or is not.
    #[must_use]
    pub fn with_sampled(mut self, sampled: bool) -> Self {
        self.sampled = sampled;
        self
    }

    /// The trace.
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The place in it.
    pub fn span_id(&self) -> u64 {
        self.span_id
    }

    /// The place above this one, where this one is the proxy's own and has one.
    pub fn parent(&self) -> Option<u64> {
        self.parent.map(NonZeroU64::get)
    }

    /// Whether somebody keeps it.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The same trace in a new place: for another attempt at the same call.
    #[must_use]
    pub fn next_span(&self) -> Self {
        Self {
            span_id: random_nonzero(),
            ..self.clone()
        }
    }

    /// The context of a batch with these members' contexts; none where no member has
    /// one, since a trace that nobody follows is none.
    ///
    /// A batch of one goes on in its member's trace, as a new span. Any other
    /// batch belongs to no one member and starts a trace; it is sampled if a
    /// member's is.
    pub fn for_batch<'a>(members: impl ExactSizeIterator<Item = Option<&'a Self>>) -> Option<Self> {
        let is_alone = members.len() == 1;
        let mut traced = members.flatten();
        let first = traced.next()?;
        if is_alone {
            return Some(first.child());
        }
        Some(Self {
            trace_id: random_trace(),
            span_id: random_nonzero(),
            parent: None,
            sampled: first.sampled || traced.any(|member| member.sampled),
            state: None,
        })
    }
}

/// The `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.sampled { SAMPLED } else { 0 };
        write!(
            f,
            "00-{:032x}-{:016x}-{flags:02x}",
            self.trace_id, self.span_id
        )
    }
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(lower_hex))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// Whether this is a list of distinct keys with values (section 3.3.1) that may be
/// carried along.
fn is_state(text: &str) -> bool {
    let members = text.split(',').map(|it| it.trim_matches([' ', '\t']));
    // An empty one is allowed, and says nothing.
    let members: Vec<_> = members.filter(|it| !it.is_empty()).collect();
    let mut keys = Vec::with_capacity(members.len().min(MAX_STATE_MEMBERS));
    !members.is_empty()
        && members.len() <= MAX_STATE_MEMBERS
        && text.len() <= MAX_STATE
        && members.iter().all(|member| {
            let Some((key, value)) = member.split_once('=') else {
                return false;
            };
            let is_new = !keys.contains(&key);
            keys.push(key);
            is_new && is_state_key(key) && is_state_value(value)
        })
}

/// A vendor, or a vendor's tenant before an `@` (section 3.3.1.3.1).
fn is_state_key(key: &str) -> bool {
    let part = |text: &str, first: fn(u8) -> bool, longest: usize| {
        let mut bytes = text.bytes();
        text.len() <= longest
            && bytes.next().is_some_and(first)
            && bytes.all(|byte| lower(byte) || byte.is_ascii_digit() || b"_-*/".contains(&byte))
    };
    fn lower(byte: u8) -> bool {
        byte.is_ascii_lowercase()
    }
    fn lower_or_digit(byte: u8) -> bool {
        byte.is_ascii_lowercase() || byte.is_ascii_digit()
    }
    match key.split_once('@') {
        None => part(key, lower, 256),
        Some((tenant, system)) => part(tenant, lower_or_digit, 241) && part(system, lower, 14),
    }
}

/// Printable characters but for `,` and `=` (section 3.3.1.3.2); the blanks around
/// were trimmed.
fn is_state_value(value: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(allowed)
}

fn random_trace() -> u128 {
    u128::from(random_nonzero()) << 64 | u128::from(random_nonzero())
}

fn random_nonzero() -> u64 {
    fastrand::u64(1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_header_is_read_and_written() {
        let context = TraceContext::parse(VALID).unwrap();
        assert_eq!(context.to_string(), VALID);
        let later = VALID.replacen("00", "cc", 1) + "-what-the-future-brings";
        assert_eq!(TraceContext::parse(&later).unwrap().to_string(), VALID);
    }

    #[test]
    fn an_invalid_header_counts_as_none() {
        for header in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_batch_of_one_stays_in_its_trace_as_a_new_span() {
        let caller = TraceContext::parse(VALID).unwrap().with_state("a=1");
        let batch = TraceContext::for_batch([Some(&caller)].into_iter()).unwrap();
        assert_eq!(batch.trace_id, caller.trace_id);
        assert_ne!(batch.span_id, caller.span_id);
        assert_eq!((batch.sampled, batch.state()), (true, Some("a=1")));
        // Every attempt is below the same place.
        let again = batch.next_span();
        assert_ne!(again.span_id, batch.span_id);
        for place in [batch, again] {
            assert_eq!(place.parent(), Some(caller.span_id));
        }
    }

    #[test]
    fn a_batch_of_several_starts_a_trace_that_is_sampled_as_its_members_are() {
        let sampled = TraceContext::parse(VALID).unwrap().with_state("a=1");
        let not = TraceContext::parse(&VALID.replace("-01", "-00")).unwrap();
        for (members, is_sampled) in [
            (vec![Some(&sampled), Some(&not)], true),
            (vec![Some(&not), None], false),
            (vec![None, Some(&not), Some(&sampled)], true),
        ] {
            let batch = TraceContext::for_batch(members.into_iter()).unwrap();
            assert_ne!(batch.trace_id, sampled.trace_id);
            assert_eq!((batch.sampled, batch.state()), (is_sampled, None));
        }
    }

    #[test]
    fn a_batch_of_untraced_members_has_no_trace() {
        for members in [vec![], vec![None], vec![None, None]] {
            assert_eq!(TraceContext::for_batch(members.into_iter()), None);
        }
    }

    #[test]
    fn the_table_of_states() {
        let member =
            |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value));
        let many = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>();
        let long = |value| format!("a={},b={}", "v".repeat(256), "v".repeat(value));
        for (state, valid) in [
            ("a=1", true),
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true),
            ("a=1, b=2 ,\tc=3", true),
            ("a=1,,b=2,", true),
            ("a=x y", true),
            ("0tenant-_*/@sys-_*/1=x", true),
            (&member(256, 1), true),
            (&member(1, 256), true),
            (&many(32).join(","), true),
            (&long(251), true),
            ("", false),
            (",", false),
            ("a", false),
            ("a=", false),
            ("=1", false),
            ("a=1=2", false),
            ("A=1", false),
            ("1=1", false),
            ("a b=1", false),
            ("a@=1", false),
            ("@a=1", false),
            ("a@1=1", false),
            ("a@b@c=1", false),
            ("a=1,a=2", false),
            ("a=\u{7f}", false),
            ("a=é", false),
            (&member(257, 1), false),
            (&member(1, 257), false),
            (&many(33).join(","), false),
            (&long(252), false),
        ] {
            let context = TraceContext::parse(VALID).unwrap().with_state(state);
            let expected = valid.then_some(state);
            assert_eq!(context.state(), expected, "{} bytes: {state}", state.len());
        }
    }
}
