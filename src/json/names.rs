//! The names of an object's members, and which of them is wanted.

/// What a member's name may have to be, unescaped.
pub trait Wanted {
    /// Whether it is.
    fn is(&self, name: &str) -> bool;
}

impl Wanted for &str {
    fn is(&self, name: &str) -> bool {
        *self == name
    }
}

impl Wanted for String {
    fn is(&self, name: &str) -> bool {
        self == name
    }
}

/// A name in capital or small letters: some parsers take them for the same.
#[derive(Clone, Copy, Debug)]
pub struct AnyCase<'a>(pub &'a str);

impl Wanted for AnyCase<'_> {
    fn is(&self, name: &str) -> bool {
        // By way of capitals, since two small letters may have one.
        let folded = |it: char| it.to_uppercase().flat_map(char::to_lowercase);
        let fold = |text: &str| text.chars().flat_map(folded).collect::<String>();
        match name.is_ascii() && self.0.is_ascii() {
            true => name.eq_ignore_ascii_case(self.0),
            false => fold(name) == fold(self.0),
        }
    }
}

/// Which of the wanted names a member's name is, given as it is written. One
/// with a lone surrogate is valid JSON, though none of them.
pub fn position(written: &str, names: &[impl Wanted]) -> Option<usize> {
    let unescaped: String;
    let name = if written.contains('\\') {
        unescaped = serde_json::from_str(written).ok()?;
        &unescaped
    } else {
        written.strip_prefix('"')?.strip_suffix('"')?
    };
    names.iter().position(|wanted| wanted.is(name))
}
