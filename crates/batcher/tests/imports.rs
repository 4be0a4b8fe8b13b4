//! No two files of the crate need each other, be it by way of others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, iter};

/// A module by its path from the root, which is empty.
type Module = Vec<String>;

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let imports = imports(&sources);
    assert!(imports.len() > 30, "{} files", imports.len());
    assert_eq!(circle(&imports), None);
}

#[test]
fn a_circle_is_found() {
    let [root, a, b, c] = ["", "a", "b", "b::c"].map(module);
    let text =
        "mod tests;\nuse crate::{b::{self, c::X}, d};\n// use crate::a;\nlet x = super::b::f();";
    let known = BTreeSet::from([root.clone(), a.clone(), b.clone(), c.clone()]);
    let used: BTreeSet<_> = imports_of(text, &a, &known);
    assert_eq!(used, BTreeSet::from([b.clone(), c.clone(), root.clone()]));
    let graph = BTreeMap::from([
        (a.clone(), used),
        (b.clone(), BTreeSet::from([c.clone()])),
        (c.clone(), BTreeSet::from([a.clone()])),
        (root, BTreeSet::new()),
    ]);
    let found = circle(&graph).unwrap();
    assert!(found.contains(&a) && found.contains(&c), "{found:?}");
}

fn module(path: &str) -> Module {
    let names = path.split("::").filter(|name| !name.is_empty());
    names.map(String::from).collect()
}

/// What each file that is no test imports of the others.
fn imports(sources: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let files: BTreeMap<Module, PathBuf> = files(sources)
        .map(|file| (module_of(sources, &file), file))
        .collect();
    let known: BTreeSet<Module> = files.keys().cloned().collect();
    let read = |(module, file): (&Module, &PathBuf)| {
        let text = fs::read_to_string(file).unwrap();
        (module.clone(), imports_of(&text, module, &known))
    };
    files.iter().map(read).collect()
}

/// All files but tests and what only tests use.
fn files(folder: &Path) -> Box<dyn Iterator<Item = PathBuf>> {
    let paths = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let paths: Vec<_> = paths.collect();
    Box::new(paths.into_iter().flat_map(|path| {
        if path.is_dir() {
            return files(&path);
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let test = stem == "tests" || stem == "model" || stem.ends_with("_tests");
        let source = path.extension().is_some_and(|it| it == "rs") && !test;
        let file: Box<dyn Iterator<Item = PathBuf>> = match source {
            true => Box::new(iter::once(path)),
            false => Box::new(iter::empty()),
        };
        file
    }))
}

fn module_of(sources: &Path, file: &Path) -> Module {
    let path = file.strip_prefix(sources).unwrap().with_extension("");
    let names = path.iter().map(|name| name.to_string_lossy().into_owned());
    names
        .filter(|name| !["lib", "main", "mod"].contains(&name.as_str()))
        .collect()
}

/// The modules of `known` that the text of one names: by `mod`, and by each path that
/// begins at the crate, the parent or itself. A name that is no module stands for
/// something in the file of the module before it.
fn imports_of(text: &str, module: &Module, known: &BTreeSet<Module>) -> BTreeSet<Module> {
    let mut used = BTreeSet::new();
    let mut code = String::new();
    for line in text.lines().map(str::trim_start) {
        // They are at the end of a file.
        if line.starts_with("mod tests {") {
            break;
        }
        if !line.starts_with("//") {
            code.push_str(line.split(" //").next().unwrap_or_default());
            code.push('\n');
        }
    }
    for declared in code.lines().filter_map(|line| {
        let (before, name) = line.split_once("mod ")?;
        let visibility = before.is_empty() || before.starts_with("pub");
        name.strip_suffix(';').filter(|_| visibility)
    }) {
        used.insert([module.as_slice(), &[declared.to_string()]].concat());
    }
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let whole_word =
                !code[..at].ends_with(|it: char| it.is_alphanumeric() || "_:".contains(it));
            if whole_word {
                for path in expand(&code[at..]) {
                    used.extend(resolve(&path, module));
                }
            }
        }
    }
    let mut files: BTreeSet<Module> = used
        .into_iter()
        .filter_map(|path| {
            (0..=path.len())
                .rev()
                .map(|n| path[..n].to_vec())
                .find(|it| known.contains(it))
        })
        .collect();
    files.remove(module);
    files
}

/// The paths that begin here: one, or one for each name in braces.
fn expand(code: &str) -> Vec<String> {
    let end = code.find(|it: char| !(it.is_alphanumeric() || "_:".contains(it)));
    let (path, rest) = code.split_at(end.unwrap_or(code.len()));
    if !path.ends_with("::") || !rest.starts_with('{') {
        return vec![path.to_string()];
    }
    let (mut depth, mut names, mut name) = (0, Vec::new(), String::new());
    for it in rest.chars() {
        match it {
            '{' if depth == 0 => depth = 1,
            '}' if depth == 1 => break,
            ',' if depth == 1 => names.push(std::mem::take(&mut name)),
            _ => {
                depth += i32::from(it == '{') - i32::from(it == '}');
                name.push(it);
            }
        }
    }
    names.push(name);
    let names = names.iter().map(|it| it.trim()).filter(|it| !it.is_empty());
    names
        .flat_map(|name| expand(&format!("{path}{name}")))
        .collect()
}

/// The path from the root, of one that stands in `module`.
fn resolve(path: &str, module: &Module) -> Option<Module> {
    let mut base = module.clone();
    let mut names = path.split("::").filter(|it| !it.is_empty()).peekable();
    while let Some(name) = names.next_if(|it| ["crate", "super", "self"].contains(it)) {
        match name {
            "crate" => base.clear(),
            "super" => drop(base.pop()?),
            _ => {}
        }
    }
    base.extend(names.filter(|it| *it != "self").map(String::from));
    Some(base)
}

/// Modules each of which imports the next, and the last the first; none where there are
/// no such.
fn circle(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    let mut left = imports.clone();
    // What imports nothing that is left is in no circle.
    while let Some(leaf) = left
        .iter()
        .find(|(_, used)| !used.iter().any(|it| left.contains_key(it)))
        .map(|(module, _)| module.clone())
    {
        left.remove(&leaf);
    }
    let mut way = vec![left.keys().next()?.clone()];
    loop {
        let used = &left[way.last()?];
        let next = used.iter().find(|it| left.contains_key(*it))?.clone();
        if let Some(start) = way.iter().position(|it| *it == next) {
            return Some(way.split_off(start));
        }
        way.push(next);
    }
}
