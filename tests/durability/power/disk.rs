//! A disk that loses power: what was synced is on it, and of the rest whatever it likes.
//!
//! Of a file's name no less than of its bytes: it is there for certain when its folder was
//! synced after it was made. A sector is written as a whole or not at all, and of writes that
//! were not synced any may have come, in any order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::rngs::StdRng;

use super::trace::Deed;

/// What a disk writes as a whole, in bytes.
const SECTOR: usize = 512;

/// What is lost of all that was not synced.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    Everything,
    Nothing,
    /// By chance.
    Something,
}

impl Loss {
    pub const ALL: [Self; 3] = [Self::Everything, Self::Nothing, Self::Something];
}

/// The files of one folder.
pub struct Disk {
    folder: PathBuf,
    files: Vec<File>,
    /// Which file has which name.
    names: BTreeMap<PathBuf, usize>,
    /// The same, as it was when the folder was synced.
    synced_names: BTreeMap<PathBuf, usize>,
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    since: Vec<Change>,
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Cut(usize),
}

impl Disk {
    /// One on which is all that there is in a folder.
    pub fn of(folder: &Path) -> Self {
        let mut disk = Self {
            folder: folder.to_owned(),
            files: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
        };
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("a file").path();
            let synced = fs::read(&path).expect("a file");
            disk.names.insert(path, disk.files.len());
            disk.files.push(File {
                synced,
                since: Vec::new(),
            });
        }
        disk.synced_names = disk.names.clone();
        disk
    }

    /// Something is done to it.
    pub fn does(&mut self, deed: &Deed) {
        match deed {
            Deed::Opened(path) => {
                if !self.names.contains_key(path) {
                    self.names.insert(path.clone(), self.files.len());
                    self.files.push(File::default());
                }
            }
            Deed::Wrote { file, at, bytes } => {
                let (at, bytes) = (*at, bytes.clone());
                self.file(file).since.push(Change::Write { at, bytes });
            }
            Deed::Cut { file, length } => self.file(file).since.push(Change::Cut(*length)),
            Deed::Synced(path) if *path == self.folder => self.synced_names = self.names.clone(),
            Deed::Synced(path) => {
                let file = self.file(path);
                for change in std::mem::take(&mut file.since) {
                    change.is_done_to(&mut file.synced, |_| true);
                }
            }
            Deed::Removed(path) => drop(self.names.remove(path)),
            Deed::Renamed { from, to } => {
                let file = self.names.remove(from).expect("a file");
                self.names.insert(to.clone(), file);
            }
            Deed::Said { .. } => {}
        }
    }

    fn file(&mut self, path: &Path) -> &mut File {
        let number = self.names.get(path);
        &mut self.files[*number.unwrap_or_else(|| panic!("no {path:?}"))]
    }

    /// Writes to another folder what is there when power is back.
    pub fn lose_power(&self, loss: Loss, rng: &mut StdRng, into: &Path) {
        let mut comes = || match loss {
            Loss::Everything => false,
            Loss::Nothing => true,
            Loss::Something => rng.random_ratio(1, 2),
        };
        let mut names = self.synced_names.clone();
        for name in self.synced_names.keys().chain(self.names.keys()) {
            if self.names.get(name) != self.synced_names.get(name) && comes() {
                match self.names.get(name) {
                    Some(file) => names.insert(name.clone(), *file),
                    None => names.remove(name),
                };
            }
        }
        for (name, file) in names {
            let file = &self.files[file];
            let mut bytes = file.synced.clone();
            for change in &file.since {
                let (is_torn, whole) = (comes(), comes());
                change.is_done_to(&mut bytes, |_| if is_torn { comes() } else { whole });
            }
            let name = name.strip_prefix(&self.folder).expect("in the folder");
            fs::write(into.join(name), bytes).expect("room");
        }
    }
}

impl Change {
    /// The sectors of it that come.
    fn is_done_to(&self, file: &mut Vec<u8>, mut comes: impl FnMut(usize) -> bool) {
        match self {
            Self::Cut(length) => {
                if comes(0) {
                    file.resize(*length, 0);
                }
            }
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                let mut from = *at;
                while from < end {
                    let to = end.min((from / SECTOR + 1) * SECTOR);
                    if comes(from / SECTOR) {
                        if file.len() < to {
                            file.resize(to, 0);
                        }
                        file[from..to].copy_from_slice(&bytes[from - at..to - at]);
                    }
                    from = to;
                }
            }
        }
    }
}
