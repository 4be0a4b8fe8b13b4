//! What the grammar of JSON has and strict parsers refuse, and with it all that stands
//! around it: half of a surrogate pair in a string (RFC 8259, section 8.2), and a number
//! that is larger than any of IEEE 754's binary64 (section 6).

use memchr::memchr2;

/// Whether strict parsers take this valid JSON. Only what is
/// [suspect](super::Checked::is_suspect) has to be asked about.
pub fn takes(json: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        let rest = &json[at..];
        let length = match byte {
            b'"' => string(rest),
            b'-' | b'0'..=b'9' => number(rest),
            _ => Some(1),
        };
        match length {
            Some(length) => at += length,
            None => return false,
        }
    }
    true
}

/// The length of the string at the beginning of a text, if it is taken.
fn string(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += match unit(text, at) {
            Some(0xD800..=0xDBFF) => match unit(text, at + 6) {
                Some(0xDC00..=0xDFFF) => 12,
                _ => return None,
            },
            Some(0xDC00..=0xDFFF) => return None,
            _ => 2,
        };
    }
}

/// The unit of UTF-16 that is written out there, if one is.
fn unit(text: &[u8], at: usize) -> Option<u16> {
    let escape = text.get(at..at + 6)?;
    let hex = str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
    u16::from_str_radix(hex, 16).ok()
}

/// The length of the number at the beginning of a text, if it is taken.
fn number(text: &[u8]) -> Option<usize> {
    let part = |it: &&u8| matches!(it, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let length = text.iter().take_while(part).count();
    let number: f64 = str::from_utf8(&text[..length]).ok()?.parse().ok()?;
    number.is_finite().then_some(length)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_a_strict_parser_takes_is_taken_and_nothing_else() {
        let numeral = |digits: usize, more: &str| format!("{}{more}", "7".repeat(digits));
        for (json, taken) in [
            (r#""\ud83d\ude00""#, true),
            (r#"{"a":["\uD83D\uDE00\n\u00e4\ud7ff\ue000"]}"#, true),
            (r#""\ud800""#, false),
            (r#""\udc00""#, false),
            (r#""\uDFFF\ud800""#, false),
            (r#""\ud800\ud800\udc00""#, false),
            (r#""\ud800\n""#, false),
            (r#""\ud800x\udc00""#, false),
            (r#"{"\uDbFf":1}"#, false),
            (r#"[1,"a","\\","\"\ud800"]"#, false),
            // A backslash, and what follows it.
            (r#""\\ud800""#, true),
            (r#""\\\\udc00\"""#, true),
            (r#""\\\ud800""#, false),
            (r#""ud800""#, true),
            ("1e308", true),
            ("1e309", false),
            ("[-1.5E+0999]", false),
            ("[1,0.1e310,1e-999, 0e999]", false),
            ("[1e-999,0.01e310,12e-0000]", true),
            (r#"["1e999",true,false,null,"e9","\"1e999"]"#, true),
            (r#"{"0e1234":-1e999}"#, false),
            (&numeral(308, ""), true),
            (&numeral(400, ""), false),
            (&numeral(99, "e99"), true),
            (&numeral(220, "e99"), false),
            (&numeral(400, "e-200"), true),
            (&format!("[0.{}]", numeral(400, "")), true),
            (&format!("[\"{}\"]", numeral(400, "")), true),
        ] {
            assert_eq!(takes(json.as_bytes()), taken, "{json}");
            // The parser of this proxy takes each where it is not read.
            let parsed = serde_json::from_str::<Value>(json);
            let skipped = serde_json::from_str::<serde::de::IgnoredAny>(json);
            assert_eq!((parsed.is_ok(), skipped.is_ok()), (taken, true), "{json}");
        }
    }
}
