//! W3C Trace Context: what of a caller's trace goes on to the upstream.
//!
//! Source: W3C Recommendation "Trace Context", 23 November 2021, sections
//! 3.2 (traceparent) and 3.3 (tracestate).

use std::fmt;

/// The `sampled` bit of the trace flags, the only one version 00 defines.
const SAMPLED: u8 = 1;

/// A trace, a place in it, and what its vendors wish to carry along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
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
            sampled: flags & SAMPLED != 0,
            state: None,
        })
    }

    /// The same context with its `tracestate`, carried as it came.
    #[must_use]
    pub fn with_state(mut self, tracestate: &str) -> Self {
        self.state = Some(tracestate.into());
        self
    }

    /// The `tracestate` to send along, if the caller sent one.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The same trace in a new place: for another attempt at the same call.
    #[must_use]
    pub fn next_span(&self) -> Self {
        Self {
            span_id: random_nonzero(),
            ..self.clone()
        }
    }

    /// The context of a batch with these members' contexts.
    ///
    /// A batch of one goes on in its member's trace, as a new span. Any other
    /// batch belongs to no one member and starts a trace; it is sampled if a
    /// member's is, or if no member says anything of sampling.
    pub fn for_batch<'a>(mut members: impl ExactSizeIterator<Item = Option<&'a Self>>) -> Self {
        if members.len() == 1
            && let Some(Some(only)) = members.next()
        {
            return only.next_span();
        }
        let (mut told, mut sampled) = (false, false);
        for member in members.flatten() {
            told = true;
            sampled |= member.sampled;
        }
        Self {
            trace_id: u128::from(random_nonzero()) << 64 | u128::from(random_nonzero()),
            span_id: random_nonzero(),
            sampled: sampled || !told,
            state: None,
        }
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
        let batch = TraceContext::for_batch([Some(&caller)].into_iter());
        assert_eq!(batch.trace_id, caller.trace_id);
        assert_ne!(batch.span_id, caller.span_id);
        assert_eq!((batch.sampled, batch.state()), (true, Some("a=1")));
    }

    #[test]
    fn a_batch_of_several_starts_a_trace_that_is_sampled_as_its_members_are() {
        let sampled = TraceContext::parse(VALID).unwrap().with_state("a=1");
        let not = TraceContext::parse(&VALID.replace("-01", "-00")).unwrap();
        for (members, is_sampled) in [
            (vec![Some(&sampled), Some(&not)], true),
            (vec![Some(&not), None], false),
            (vec![None, None], true),
            (vec![None], true),
        ] {
            let batch = TraceContext::for_batch(members.into_iter());
            assert_ne!(batch.trace_id, sampled.trace_id);
            assert_eq!((batch.sampled, batch.state()), (is_sampled, None));
        }
    }
}
