//! The oracle's way to tell the parts of a list apart, whatever is in them.
//!
//! `microbatch::json::scan` walks through the text once, with a stack of brackets. Here strings are
//! blotted out first, then pairs of brackets from the innermost on, and what is left is split.

/// What a byte is once all strings and brackets are blotted out.
#[derive(Clone, Copy, PartialEq)]
enum Blot {
    /// As it is written.
    Byte(u8),
    /// The first of a string, or of a pair of brackets with what they enclose.
    First(u8),
    /// Any other of it.
    Rest,
}

/// The elements of an array; `None` where they can't be told apart.
pub(crate) fn elements(text: &[u8]) -> Option<Vec<&[u8]>> {
    let (inner, blots) = inside(text, b'[', b']')?;
    let parts = split(&blots)?;
    let values = parts.into_iter().map(|part| value(inner, &blots, part));
    values.collect()
}

/// The members of an object, each with its name in quotes; `None` where they can't be told apart.
pub(crate) fn members(text: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let (inner, blots) = inside(text, b'{', b'}')?;
    let parts = split(&blots)?.into_iter();
    let members = parts.map(|(start, end)| {
        let colon = (start..end).find(|&at| blots[at] == Blot::Byte(b':'))?;
        let name = value(inner, &blots, (start, colon))?;
        let value = value(inner, &blots, (colon + 1, end))?;
        name.starts_with(b"\"").then_some((name, value))
    });
    members.collect()
}

/// What the outermost brackets enclose, as it is written and blotted out.
fn inside(text: &[u8], open: u8, close: u8) -> Option<(&[u8], Vec<Blot>)> {
    let text = trimmed(text);
    let mut blots = strings(text)?;
    let ends = [blots.first()?, blots.last()?];
    if text.len() < 2 || ends != [&Blot::Byte(open), &Blot::Byte(close)] {
        return None;
    }
    let inner = &text[1..text.len() - 1];
    let mut blots = blots.split_off(1);
    blots.pop();
    brackets(&mut blots)?;
    Some((inner, blots))
}

fn strings(text: &[u8]) -> Option<Vec<Blot>> {
    let mut blots = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'"' {
            blots.push(Blot::Byte(byte));
            rest = after;
            continue;
        }
        let end = (0..after.len()).find(|&at| {
            let escapes = after[..at].iter().rev().take_while(|&&it| it == b'\\');
            after[at] == b'"' && escapes.count() % 2 == 0
        })?;
        blots.push(Blot::First(b'"'));
        blots.extend(vec![Blot::Rest; end + 1]);
        rest = &after[end + 1..];
    }
    Some(blots)
}

fn brackets(blots: &mut [Blot]) -> Option<()> {
    let is_open = |blot: &Blot| matches!(blot, Blot::Byte(b'[' | b'{'));
    let is_close = |blot: &Blot| matches!(blot, Blot::Byte(b']' | b'}'));
    let mut from = 0;
    while let Some(close) = blots[from..].iter().position(is_close).map(|at| from + at) {
        let open = blots[..close].iter().rposition(is_open)?;
        let pair = (blots[open], blots[close]);
        let (Blot::Byte(b'[') | Blot::Byte(b'{'), Blot::Byte(ends)) = pair else {
            return None;
        };
        let begins = if ends == b']' { b'[' } else { b'{' };
        if pair.0 != Blot::Byte(begins) {
            return None;
        }
        blots[open] = Blot::First(begins);
        blots[open + 1..=close].fill(Blot::Rest);
        from = close;
    }
    (!blots.iter().any(is_open)).then_some(())
}

/// Where the parts between commas begin and end; none in a list that is empty.
fn split(blots: &[Blot]) -> Option<Vec<(usize, usize)>> {
    let is_space = |blot: &Blot| matches!(blot, Blot::Byte(b' ' | b'\t' | b'\n' | b'\r'));
    if blots.iter().all(is_space) {
        return Some(Vec::new());
    }
    let commas = (0..blots.len()).filter(|&at| blots[at] == Blot::Byte(b','));
    let ends: Vec<_> = commas.chain([blots.len()]).collect();
    let starts = std::iter::once(0).chain(ends.iter().map(|end| end + 1));
    Some(starts.zip(ends.iter().copied()).collect())
}

/// The one value in this part.
fn value<'a>(text: &'a [u8], blots: &[Blot], (start, end): (usize, usize)) -> Option<&'a [u8]> {
    let raw = trimmed(&text[start..end]);
    let skipped = text[start..end]
        .iter()
        .take_while(|byte| is_space(byte))
        .count();
    let blots = blots.get(start + skipped..start + skipped + raw.len())?;
    let (first, rest) = blots.split_first()?;
    let whole = match first {
        Blot::First(_) => rest.iter().all(|blot| *blot == Blot::Rest),
        _ => rest.iter().all(|blot| matches!(blot, Blot::Byte(_))),
    };
    whole.then_some(raw)
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(last)
    {
        text = rest;
    }
    text
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
