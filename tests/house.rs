//! The laws of the house, as `src/lib.rs` tells them, held against the imports.
//!
//! Each file is a module. It knows another where a path of it, written or imported,
//! ends there; names that a module only passes on are followed to where they are
//! made. Tests are left out, as is what comes from other crates.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails by it says why"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// A module's path in its crate; the crate's root has none.
type Module = Vec<String>;

/// What a file says of itself.
#[derive(Default)]
struct File {
    /// Names that are made in it.
    made: BTreeSet<String>,
    /// Names that it takes from elsewhere, and the paths they stand for.
    taken: BTreeMap<String, Vec<String>>,
    /// Everything that it takes without saying the names.
    globs: Vec<Vec<String>>,
    /// All paths that are written in it.
    paths: BTreeSet<Vec<String>>,
}

impl File {
    fn read(path: &Path, text: &str) -> Self {
        let mut file = Self::default();
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        parsed.items.iter().for_each(|item| file.visit_item(item));
        file
    }

    fn take(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.take(&path.tree, &with(&path.ident)),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.take(tree, before));
            }
            syn::UseTree::Glob(_) => self.globs.push(before.to_vec()),
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.taken
                    .extend(before.last().map(|it| (it.clone(), before.to_vec())));
            }
            syn::UseTree::Name(name) => {
                self.taken.insert(name.ident.to_string(), with(&name.ident));
            }
            syn::UseTree::Rename(name) => {
                self.taken
                    .insert(name.rename.to_string(), with(&name.ident));
            }
        }
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|it| {
        let is_cfg = it.path().is_ident("cfg");
        is_cfg && it.parse_args::<syn::Ident>().is_ok_and(|it| it == "test")
    })
}

impl<'a> Visit<'a> for File {
    fn visit_item(&mut self, item: &'a syn::Item) {
        use syn::Item::{Const, Enum, Fn, Macro, Mod, Static, Struct, Trait, Type, Use};
        let (attributes, name) = match item {
            Const(it) => (&it.attrs, Some(&it.ident)),
            Enum(it) => (&it.attrs, Some(&it.ident)),
            Fn(it) => (&it.attrs, Some(&it.sig.ident)),
            Macro(it) => (&it.attrs, it.ident.as_ref()),
            Mod(it) => (&it.attrs, None),
            Static(it) => (&it.attrs, Some(&it.ident)),
            Struct(it) => (&it.attrs, Some(&it.ident)),
            Trait(it) => (&it.attrs, Some(&it.ident)),
            Type(it) => (&it.attrs, Some(&it.ident)),
            Use(it) => (&it.attrs, None),
            syn::Item::Impl(it) => (&it.attrs, None),
            _ => return,
        };
        if is_for_tests(attributes) {
            return;
        }
        self.made.extend(name.map(ToString::to_string));
        match item {
            Use(it) => self.take(&it.tree, &[]),
            item => visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments = path.segments.iter().map(|it| it.ident.to_string());
        self.paths.insert(segments.collect());
        visit::visit_path(self, path);
    }

    /// Whom a name is open to is no import.
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}

    /// What is written in a macro's brackets is not parsed: its paths are found by
    /// their form.
    fn visit_macro(&mut self, it: &'a syn::Macro) {
        let text = it.tokens.to_string().replace(" :: ", "::");
        let words = text.split(|it: char| !it.is_alphanumeric() && it != '_' && it != ':');
        for word in words.filter(|it| it.contains("::")) {
            self.paths
                .insert(word.split("::").map(str::to_owned).collect());
        }
    }
}

/// One crate's files.
struct House(BTreeMap<Module, File>);

impl House {
    fn read(source: &Path) -> Self {
        let files = files(source).into_iter().filter_map(|(path, text)| {
            let file = File::read(&path, &text);
            module(&path).map(|module| (module, file))
        });
        let files: BTreeMap<_, _> = files.collect();
        assert!(files.len() > 10, "there is next to nothing in {source:?}");
        Self(files)
    }

    /// The file in which a path of `module` ends, if it is one of these.
    fn resolve(&self, module: &[String], path: &[String], steps: usize) -> Option<Module> {
        // What is passed on in a ring ends nowhere.
        let steps = steps.checked_sub(1)?;
        let (first, rest) = path.split_first()?;
        let (mut at, rest) = match first.as_str() {
            "crate" | "microbatch" => (Vec::new(), rest),
            "self" => (module.to_vec(), rest),
            "super" => (module.split_last()?.1.to_vec(), rest),
            name => {
                let file = self.0.get(module)?;
                let child = [module, std::slice::from_ref(first)].concat();
                if let Some(taken) = file.taken.get(name).filter(|it| it[0] != *name) {
                    return self.resolve(module, &[taken, rest].concat(), steps);
                }
                (self.0.contains_key(&child).then_some(child)?, rest)
            }
        };
        let mut rest = rest;
        while let Some((name, after)) = rest.split_first() {
            if name == "super" {
                at.pop();
            } else if self
                .0
                .contains_key(&[&at[..], std::slice::from_ref(name)].concat())
            {
                at.push(name.clone());
            } else {
                let file = self.0.get(&at)?;
                if let Some(taken) = file.taken.get(name).filter(|_| !file.made.contains(name)) {
                    return self.resolve(&at, &[taken, after].concat(), steps);
                }
                break;
            }
            rest = after;
        }
        self.0.contains_key(&at).then_some(at)
    }

    /// Whom each file knows.
    fn imports(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let known = |module: &Module, file: &File| -> BTreeSet<Module> {
            let paths = file.paths.iter();
            let paths = paths.chain(file.taken.values()).chain(&file.globs);
            let files = paths.filter_map(|path| self.resolve(module, path, 20));
            let others = files.filter(|it| it != module);
            others.collect()
        };
        let files = self.0.iter();
        files
            .map(|(module, file)| (module, known(module, file)))
            .collect()
    }
}

/// The module that a file is; none for tests.
fn module(relative: &Path) -> Option<Module> {
    let names = relative.iter().map(|it| it.to_str().unwrap().to_owned());
    let names: Module = names.collect();
    let is_of_tests = names.iter().any(|it| it.ends_with("tests"));
    let is_root = names == ["lib"];
    (!is_of_tests).then_some(if is_root { Vec::new() } else { names })
}

/// All who can be reached by imports.
fn reached<'a>(
    from: &'a Module,
    imports: &'a BTreeMap<&Module, BTreeSet<Module>>,
) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for other in imports.get(module).into_iter().flatten() {
            if reached.insert(other) {
                next.push(other);
            }
        }
    }
    reached
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn no_file_knows_itself_by_way_of_others() {
    let mut circles = BTreeSet::new();
    for source in ["src", "crates/batcher/src"] {
        let house = House::read(&root().join(source));
        let imports = house.imports();
        for (&module, others) in &imports {
            for other in others {
                if reached(other, &imports).contains(module) {
                    circles.insert(format!(
                        "{source}: {} → {}",
                        module.join("::"),
                        other.join("::")
                    ));
                }
            }
        }
    }
    let circles: Vec<_> = circles.into_iter().collect();
    assert!(circles.is_empty(), "\n{}", circles.join("\n"));
}

/// The table under "Laws" in `src/lib.rs`: each room, and whom it may know.
fn laws() -> BTreeMap<String, BTreeSet<String>> {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let (_, section) = map.split_once("//! # Laws").expect("a section of laws");
    let section = section.split("//! # ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("//! | `"));
    let names = |cell: &str| -> BTreeSet<String> {
        let names = cell.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    };
    let mut laws = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.split('|').collect();
        for room in names(cells[1]) {
            laws.insert(room, names(cells[2]));
        }
    }
    assert!(laws.len() > 10, "the table of laws was not found");
    laws
}

#[test]
fn each_room_knows_those_that_the_law_allows() {
    let house = House::read(&root().join("src"));
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, others) in house.imports() {
        let Some(room) = module.first() else {
            continue;
        };
        let others = others.iter().filter_map(|it| it.first());
        let others = others.filter(|it| *it != room).cloned();
        known.entry(room.clone()).or_default().extend(others);
        // The batcher is a crate of its own, under a name of this one.
        let paths = house.0[module].paths.iter();
        let paths = paths.chain(house.0[module].taken.values());
        if paths
            .into_iter()
            .any(|it| it.starts_with(&["crate".to_owned(), "batcher".to_owned()]))
        {
            known
                .entry(room.clone())
                .or_default()
                .insert("batcher".to_owned());
        }
    }
    let mut wrong = Vec::new();
    let laws = laws();
    for (room, others) in &known {
        let Some(allowed) = laws.get(room) else {
            wrong.push(format!("`{room}` has no law"));
            continue;
        };
        let told = |others: BTreeSet<&String>| format!("{others:?}");
        let more: BTreeSet<_> = others.difference(allowed).collect();
        if !more.is_empty() {
            wrong.push(format!("`{room}` knows {}, against its law", told(more)));
        }
        let fewer: BTreeSet<_> = allowed.difference(others).collect();
        if !fewer.is_empty() {
            wrong.push(format!("`{room}` may know {}, and does not", told(fewer)));
        }
    }
    wrong.extend(
        laws.keys()
            .filter(|it| !known.contains_key(*it))
            .map(|room| format!("there is no `{room}`")),
    );
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// All files of Rust in a folder, each by its path from there.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let relative = path.strip_prefix(folder).unwrap().with_extension("");
                files.push((relative, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}

/// The names that a file's tests may be told by: the modules that hold them, and each
/// test in them.
fn names_of(relative: &Path, text: &str) -> Vec<String> {
    let names = relative.iter().map(|it| it.to_str().unwrap());
    let names: Vec<_> = names.filter(|it| !["lib", "main"].contains(it)).collect();
    let module = names.join("::");
    let modules = match module.strip_suffix("_tests") {
        // Its parent may call it `tests`.
        Some(parent) => vec![format!("{parent}::tests"), module.clone()],
        None => vec![format!("{module}::tests"), module.clone()],
    };
    let lines = text.lines().map(str::trim_start);
    let attributes = |line: &&str| line.starts_with("#[") && line.contains("test");
    if !lines.clone().any(|line| attributes(&line)) {
        return Vec::new();
    }
    let functions = lines.map(|line| line.strip_prefix("async ").unwrap_or(line));
    let functions = functions.filter_map(|line| line.strip_prefix("fn ")?.split_once('('));
    let tests: Vec<_> = functions.map(|(name, _)| name).collect();
    let of = |module: &String| {
        tests
            .iter()
            .map(move |test| format!("{module}::{test}"))
            .collect()
    };
    let tests: Vec<Vec<_>> = modules.iter().map(of).collect();
    tests.into_iter().flatten().chain(modules).collect()
}

/// The tests that there are, by all names that they may be told by.
fn tests() -> BTreeSet<String> {
    let of = |(folder, prefix): (&str, &str)| -> Vec<String> {
        let files = files(&root().join(folder)).into_iter();
        let names = files.flat_map(|(relative, text)| names_of(&relative, &text));
        names.map(|name| format!("{prefix}{name}")).collect()
    };
    let folders = [
        ("src", ""),
        ("crates/batcher/src", "batcher::"),
        ("concurrency/tests", "concurrency::"),
        ("tests", ""),
    ];
    folders.into_iter().flat_map(of).collect()
}

#[test]
fn each_test_that_holds_a_promise_exists() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let reliability = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let (_, map) = map.split_once("| always | held by |").unwrap();
    let map = map
        .lines()
        .take_while(|it| it.starts_with("//! |") || it.is_empty());
    let promises = reliability.lines().filter(|it| it.starts_with("| "));
    let cells = map
        .chain(promises)
        .filter_map(|row| row.rsplit(" | ").next());
    let names: BTreeSet<_> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|it| it.contains("::"))
        .collect();
    assert!(names.len() > 40, "the tables were not found: {names:?}");
    let tests = tests();
    let missing: Vec<_> = names
        .into_iter()
        .filter(|it| !tests.contains(*it))
        .collect();
    assert!(missing.is_empty(), "there is none of these: {missing:#?}");
}
