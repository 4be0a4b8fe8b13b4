//! W3C Trace Context, section 3.2: which `traceparent` headers are valid.

use microbatch::trace_context::TraceContext;

/// Checks that `TraceContext::parse` takes valid headers alone, and that what it prints is the
/// header in version 00 and reads back.
///
/// # Panics
/// Where that does not hold.
pub fn check(header: &[u8]) {
    let Ok(header) = std::str::from_utf8(header) else {
        return;
    };
    let parsed = TraceContext::parse(header);
    let printed = parsed.as_ref().map(ToString::to_string);
    assert_eq!(printed, expect(header.as_bytes()), "for {header:?}");
    if let Some(printed) = printed {
        assert_eq!(TraceContext::parse(&printed), parsed);
    }
}

/// The oracle: by position, where the product goes by hyphens.
fn expect(header: &[u8]) -> Option<String> {
    let (fields, rest) = header.split_at_checked(55)?;
    for (at, byte) in fields.iter().enumerate() {
        match (at, byte) {
            (2 | 35 | 52, b'-') => {}
            (2 | 35 | 52, _) => return None,
            (_, b'0'..=b'9' | b'a'..=b'f') => {}
            _ => return None,
        }
    }
    let fields = std::str::from_utf8(fields).ok()?;
    let (version, ids, flag) = (&fields[..2], &fields[3..52], &fields[54..]);
    let (trace, span) = (&ids[..32], &ids[33..]);
    let all_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
    let more_is_allowed = version != "00" && rest.starts_with(b"-");
    if version == "ff" || all_zero(trace) || all_zero(span) || !(rest.is_empty() || more_is_allowed)
    {
        return None;
    }
    let sampled = u8::from("13579bdf".contains(flag));
    Some(format!("00-{ids}-0{sampled}"))
}
