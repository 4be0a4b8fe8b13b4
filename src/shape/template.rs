//! Templates: literal text and names that stand for what is spliced in.
//!
//! They are compiled once. An unknown name, or one that has no meaning where it stands,
//! is told with those that are allowed there.

use bytes::Bytes;

use crate::json::pointer::Pointer;

/// What stands in place of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// An item, raw.
    Item,
    /// The body of a job, raw.
    Body,
    /// An id, raw.
    Id,
    /// The number of an item in its batch, from 0.
    N,
    /// All items, joined.
    Items,
    /// How many items the batch has.
    Count,
    /// What the path captured there, as a JSON string.
    Path(usize),
    /// A call's only result.
    Result,
    /// A call's results, joined by commas.
    Results,
    /// What stands at that one of the template's pointers in the answer.
    At(usize),
    /// A call's share of the number that stands there.
    Share(usize),
    /// What went wrong, as a JSON string.
    Detail,
    /// Its code, as a JSON string.
    Code,
    /// Its status.
    Status,
    /// The whole problem document.
    Problem,
}

/// Where a template stands, which decides what its names may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Key `item`.
    Item,
    /// Key `batch`.
    Batch,
    /// Key `reply`.
    Reply,
    /// Key `problem`.
    Problem,
}

impl Place {
    fn names(self) -> &'static [(&'static str, Name)] {
        use Name::*;
        match self {
            Self::Item => &[
                ("item", Item),
                ("body", Body),
                ("id", Id),
                ("n", N),
                ("count", Count),
            ],
            Self::Batch => &[("items", Items), ("count", Count)],
            Self::Reply => &[("result", Result), ("results", Results), ("id", Id)],
            Self::Problem => &[
                ("detail", Detail),
                ("code", Code),
                ("status", Status),
                ("id", Id),
                ("problem", Problem),
            ],
        }
    }

    fn has_path(self) -> bool {
        self != Self::Problem
    }

    fn allowed(self) -> String {
        let names = self.names().iter().map(|(name, _)| format!("${name}"));
        let path = self.has_path().then(|| "$path.NAME".to_owned());
        let outer = ["$/pointer", "$share/pointer"].map(str::to_owned);
        let outer = (self == Self::Reply).then_some(outer);
        let all = names.chain(path).chain(outer.into_iter().flatten());
        let all: Vec<String> = all.chain(["$$".to_owned()]).collect();
        format!("allowed here are {}", all.join(" "))
    }
}

/// One part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Bytes),
    Name(Name),
}

/// A template, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Template {
    pub pieces: Vec<Piece>,
    /// Those of [`Name::At`] and [`Name::Share`].
    pub pointers: Vec<Pointer>,
}

impl Template {
    /// Compiles `text`, where a path captures these.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(text: &str, place: Place, captures: &[&str]) -> Result<Self, Vec<String>> {
        let mut compiler = Compiler {
            place,
            captures,
            literal: String::new(),
            template: Self::default(),
            wrong: Vec::new(),
        };
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('$') {
            compiler.literal.push_str(literal);
            rest = compiler.name(after);
        }
        compiler.literal.push_str(rest);
        compiler.end_literal();
        match compiler.wrong.is_empty() {
            true => Ok(compiler.template),
            false => Err(compiler.wrong),
        }
    }

    /// The names in it, in order.
    pub fn names(&self) -> impl Iterator<Item = Name> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(*name),
            Piece::Text(_) => None,
        })
    }

    /// Whether it has that name.
    pub fn has(&self, name: Name) -> bool {
        self.names().any(|it| it == name)
    }

    /// Whether it is that name and nothing else.
    pub fn is(&self, name: Name) -> bool {
        self.pieces == [Piece::Name(name)]
    }

    /// How many brackets are open where that name stands first.
    pub fn levels_around(&self, name: Name) -> usize {
        let before = self.pieces.iter();
        let before = before.take_while(|it| **it != Piece::Name(name));
        let texts = before.filter_map(|it| match it {
            Piece::Text(text) => Some(&text[..]),
            Piece::Name(_) => None,
        });
        crate::json::open_brackets(texts.flatten().copied())
    }

    /// Whether it has what the path captured.
    pub fn has_path(&self) -> bool {
        self.names().any(|it| matches!(it, Name::Path(_)))
    }

    /// How long it is without what its names stand for, in bytes.
    pub fn literal_len(&self) -> usize {
        let lengths = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Name(_) => 0,
        });
        lengths.sum()
    }

    /// Whether its text has a line break.
    pub fn has_line_break(&self) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.any(|it| matches!(it, Piece::Text(text) if has_line_break(text)))
    }

    /// Its text, with something for each name.
    pub fn filled(&self, mut value: impl FnMut(Name) -> String) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Piece::Name(name) => value(*name),
        });
        pieces.collect()
    }
}

/// Whether `text` has a line break.
pub(super) fn has_line_break(text: &[u8]) -> bool {
    memchr::memchr2(b'\n', b'\r', text).is_some()
}

struct Compiler<'a> {
    place: Place,
    captures: &'a [&'a str],
    literal: String,
    template: Template,
    wrong: Vec<String>,
}

impl Compiler<'_> {
    /// Reads what follows a dollar; the rest of it.
    fn name<'t>(&mut self, text: &'t str) -> &'t str {
        if let Some(rest) = text.strip_prefix('$') {
            self.literal.push('$');
            return rest;
        }
        let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_';
        let (word, rest) = split(text, is_word);
        let (pointer, after) = match rest.starts_with('/') && (word.is_empty() || word == "share") {
            true => split(rest, |it| is_word(it) || "~/.-".contains(it)),
            false => ("", rest),
        };
        if self.place == Place::Reply && !pointer.is_empty() {
            self.pointer(word, pointer);
            return after;
        }
        if word == "path" && self.place.has_path() && rest.starts_with('.') {
            let (capture, after) = split(&rest[1..], is_word);
            self.path(capture);
            return after;
        }
        let mut names = self.place.names().iter();
        match names.find(|(name, _)| *name == word) {
            Some((_, name)) => self.push(*name),
            None => self.wrong.push(format!(
                "${word}{pointer} means nothing here; {}",
                self.place.allowed()
            )),
        }
        after
    }

    fn pointer(&mut self, word: &str, written: &str) {
        match Pointer::parse(written) {
            Ok(pointer) => {
                let at = self.template.pointers.len();
                self.template.pointers.push(pointer);
                self.push(match word {
                    "" => Name::At(at),
                    _ => Name::Share(at),
                });
            }
            Err(error) => self.wrong.push(format!("${word}{written}: {error}")),
        }
    }

    fn path(&mut self, capture: &str) {
        match self.captures.iter().position(|it| *it == capture) {
            Some(at) => self.push(Name::Path(at)),
            None => self.wrong.push(format!(
                "the path captures no {{{capture}}}; it captures {}",
                match self.captures {
                    [] => "nothing".to_owned(),
                    some => some.join(", "),
                }
            )),
        }
    }

    fn push(&mut self, name: Name) {
        self.end_literal();
        self.template.pieces.push(Piece::Name(name));
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            let text = Bytes::from(std::mem::take(&mut self.literal));
            self.template.pieces.push(Piece::Text(text));
        }
    }
}

/// The longest start of `text` whose characters are all `wanted`, and the rest.
fn split(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|it| !wanted(it)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, place: Place) -> Result<Vec<Name>, Vec<String>> {
        let template = Template::compile(text, place, &["model", "index"])?;
        Ok(template.names().collect())
    }

    #[test]
    fn names_are_read_up_to_where_they_end() {
        use Name::*;
        for (text, place, expected) in [
            ("", Place::Item, vec![]),
            ("$item", Place::Item, vec![Item]),
            ("a$$b$$$item$$", Place::Item, vec![Item]),
            (r#"{"a":$body,"id":$id}"#, Place::Item, vec![Body, Id]),
            ("$n,$count", Place::Item, vec![N, Count]),
            (
                "$path.index$path.model",
                Place::Item,
                vec![Path(1), Path(0)],
            ),
            ("[$items]", Place::Batch, vec![Items]),
            ("$result.$results", Place::Reply, vec![Result, Results]),
            ("$/a/b,$share/c~1d}", Place::Reply, vec![At(0), Share(1)]),
            ("$status:$problem", Place::Problem, vec![Status, Problem]),
        ] {
            assert_eq!(names(text, place), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_pointer_ends_before_what_it_can_not_have() {
        let text = "$/usage/a-b.c_9~0}$/x é";
        let template = Template::compile(text, Place::Reply, &[]).unwrap();
        let written: Vec<String> = template.pointers.iter().map(Pointer::to_string).collect();
        assert_eq!(written, ["/usage/a-b.c_9~0", "/x"]);
        assert_eq!(template.filled(|_| "_".to_owned()), "_}_ é");
    }

    #[test]
    fn what_means_nothing_is_a_mistake_that_says_what_does() {
        for (text, place, names_it) in [
            ("$", Place::Item, "$ means nothing"),
            ("$items", Place::Item, "$items means nothing"),
            ("$idx", Place::Item, "$idx means nothing"),
            (
                "$item",
                Place::Batch,
                "allowed here are $items $count $path.NAME $$",
            ),
            ("$item", Place::Reply, "$/pointer"),
            ("$/a", Place::Item, "$/a means nothing"),
            ("$share", Place::Reply, "$share means nothing"),
            ("$path", Place::Item, "$path means nothing"),
            ("$path.model", Place::Problem, "$path means nothing"),
            (
                "$path.other",
                Place::Item,
                "captures no {other}; it captures model, index",
            ),
            ("$/a~2", Place::Reply, "$/a~2"),
        ] {
            let wrong = names(text, place).unwrap_err();
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            assert!(wrong[0].contains(names_it), "{wrong:?}");
        }
        assert_eq!(names("$a $b $item", Place::Item).unwrap_err().len(), 2);
    }
}
