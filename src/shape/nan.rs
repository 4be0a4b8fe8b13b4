//! Bare `NaN`, `Infinity` and `-Infinity`, which JSON has not and Python writes.

/// What a parser may be shown in place of `text`: the same but for these words, where
/// numbers stand instead, so that everything else stands where it stood. Nothing where
/// there are none.
pub(super) fn covered(text: &str) -> Option<String> {
    const WORDS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];
    let bytes = text.as_bytes();
    let mut covered: Option<Vec<u8>> = None;
    let (mut at, mut in_string) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'N' | b'I' | b'-' if !in_string && begins_a_value(&bytes[..at]) => {
                let rest = &bytes[at..];
                let mut words = WORDS.iter().map(|it| it.as_bytes());
                let word = words.find(|it| rest.starts_with(it) && ends_a_value(&rest[it.len()..]));
                if let Some(word) = word {
                    let copy = covered.get_or_insert_with(|| bytes.to_vec());
                    copy[at..at + word.len()].fill(b' ');
                    copy[at] = b'0';
                    at += word.len() - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    String::from_utf8(covered?).ok()
}

fn begins_a_value(before: &[u8]) -> bool {
    matches!(before.last(), None | Some(b'[' | b',' | b':')) || ends_in_space(before)
}

fn ends_in_space(before: &[u8]) -> bool {
    before.last().is_some_and(|it| b" \t\n\r".contains(it))
}

fn ends_a_value(after: &[u8]) -> bool {
    matches!(
        after.first(),
        None | Some(b']' | b'}' | b',' | b' ' | b'\t' | b'\n' | b'\r')
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_covered_where_numbers_could_stand_and_nowhere_else() {
        for (text, expected) in [
            ("NaN", Some("0  ")),
            (
                "[NaN,-Infinity, Infinity]",
                Some("[0  ,0        , 0       ]"),
            ),
            (r#"{"a":NaN,"b":"NaN"}"#, Some(r#"{"a":0  ,"b":"NaN"}"#)),
            (r#"["\"",NaN]"#, Some(r#"["\"",0  ]"#)),
            (r#"["é",NaN]"#, Some(r#"["é",0  ]"#)),
            ("[1NaN]", None),
            ("[NaN1]", None),
            ("[-NaN]", None),
            ("[nan]", None),
            ("[--Infinity]", None),
            (r#"["NaN"]"#, None),
            (r#"["\",NaN,\""]"#, None),
            ("[-1]", None),
            ("", None),
        ] {
            assert_eq!(covered(text).as_deref(), expected, "{text}");
        }
    }
}
