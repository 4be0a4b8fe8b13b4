//! Finds the few parts of a result that mean something to the proxy.

use crate::json::pointer::{Pointer, walk};
use crate::json::{self, Checked, Shape};

/// What is looked for in a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Id,
    Index,
    /// The caller's part.
    Part,
    Error,
    Status,
}

/// Where it stands.
///
/// Results are checked to be JSON in any case, and what stands at their top is seen then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Probe {
    /// The first names on all ways, each once.
    names: Vec<String>,
    /// What each name leads to, and by which way from there.
    ways: Vec<Vec<(What, Vec<String>)>>,
}

impl Probe {
    /// A probe for these.
    pub fn new<'a>(wanted: impl IntoIterator<Item = (What, Option<&'a Pointer>)>) -> Self {
        let mut probe = Self::default();
        for (what, pointer) in wanted {
            let Some((name, rest)) = pointer.and_then(|it| it.tokens().split_first()) else {
                continue;
            };
            let known = probe.names.iter().position(|it| it == name);
            let at = known.unwrap_or_else(|| {
                probe.names.push(name.clone());
                probe.ways.push(Vec::new());
                probe.names.len() - 1
            });
            probe.ways[at].push((what, rest.to_vec()));
        }
        probe
    }

    /// Checks that `text` begins with a JSON value, and shows what that has of what is wanted,
    /// each as often as it stands there. Tells what is known of the value, and where it ends.
    pub fn check<'a>(
        &self,
        text: &'a str,
        mut found: impl FnMut(What, &'a [u8]),
    ) -> Option<(Checked, usize)> {
        let (checked, end) = json::visit_beginning(text, &self.names, |name, value| {
            for (what, rest) in &self.ways[name] {
                match rest.is_empty() {
                    true => found(*what, value.as_bytes()),
                    false => further(*what, rest, value.as_bytes(), &mut found),
                }
            }
        })?;
        if checked.shape == Shape::Other {
            // Perhaps a list, whose places have numbers.
            for (name, ways) in self.names.iter().zip(&self.ways) {
                for (what, rest) in ways {
                    let way = [std::slice::from_ref(name), rest].concat();
                    further(*what, &way, &text.as_bytes()[..end], &mut found);
                }
            }
        }
        Some((checked, end))
    }

    /// The same, of what is known to be JSON.
    pub fn look<'a>(&self, text: &'a [u8], mut found: impl FnMut(What, &'a [u8])) {
        for (name, ways) in self.names.iter().zip(&self.ways) {
            for (what, rest) in ways {
                let way = [std::slice::from_ref(name), rest].concat();
                further(*what, &way, text, &mut found);
            }
        }
    }
}

fn further<'a>(what: What, way: &[String], value: &'a [u8], found: &mut dyn FnMut(What, &'a [u8])) {
    // It is JSON, so its parts can be told apart.
    let _ = walk(&[(0, way)], value, &mut |_, value| found(what, value));
}
