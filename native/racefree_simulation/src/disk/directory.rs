//! The names of files and folders: what lookups see, what would survive, and the changes in between.
//!
//! A change is lost unless its folder was synced. Changes may survive in any subset: that is less than any journaling file system promises.

use fastrand::Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) type InodeIndex = usize;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    File(InodeIndex),
    Folder,
}

/// What one operation did: these survive together, or not at all.
#[derive(Clone)]
struct Change {
    folder: PathBuf,
    set: Vec<(PathBuf, Entry)>,
    removed: Vec<PathBuf>,
}

#[derive(Clone)]
pub(super) struct Directory {
    current: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    pending: Vec<Change>,
}

impl Directory {
    /// A tree with a root folder only.
    pub(super) fn new() -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Entry::Folder)]);
        Self { current: root.clone(), durable: root, pending: Vec::new() }
    }

    pub(super) fn entry(&self, path: &Path) -> Option<Entry> {
        self.current.get(path).copied()
    }

    pub(super) fn file(&self, path: &Path) -> Option<InodeIndex> {
        match self.entry(path)? {
            Entry::File(index) => Some(index),
            Entry::Folder => None,
        }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, InodeIndex)> {
        self.current.iter().filter_map(|(path, entry)| match entry {
            Entry::File(index) => Some((path.as_path(), *index)),
            Entry::Folder => None,
        })
    }

    pub(super) fn is_linked(&self, index: InodeIndex) -> bool {
        self.files().any(|(_, linked)| linked == index)
    }

    /// The names in `folder`, sorted.
    pub(super) fn names(&self, folder: &Path) -> Vec<String> {
        let children = self.current.keys().filter(|path| path.parent() == Some(folder));
        children.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
    }

    pub(super) fn set(&mut self, path: &Path, entry: Entry) {
        self.current.insert(path.to_owned(), entry);
        self.pending.push(Change { folder: parent(path), set: vec![(path.to_owned(), entry)], removed: Vec::new() });
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, entry: Entry) {
        self.current.remove(from);
        self.current.insert(to.to_owned(), entry);
        self.pending.push(Change { folder: parent(to), set: vec![(to.to_owned(), entry)], removed: vec![from.to_owned()] });
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.current.remove(path);
        self.pending.push(Change { folder: parent(path), set: Vec::new(), removed: vec![path.to_owned()] });
    }

    pub(super) fn sync(&mut self, folder: &Path) {
        let (synced, pending) = std::mem::take(&mut self.pending).into_iter().partition(|change| change.folder == folder);
        self.pending = pending;
        for change in synced {
            self.apply(change);
        }
    }

    /// A sync of a folder that fails: some changes reach the medium, the others stay pending.
    pub(super) fn fail_sync(&mut self, folder: &Path, rng: &mut Rng) {
        let (reached, pending) = std::mem::take(&mut self.pending).into_iter().partition(|change| change.folder == folder && rng.bool());
        self.pending = pending;
        for change in reached {
            self.apply(change);
        }
    }

    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        let (survives_all, survives_none) = (rng.u8(0..4) == 0, rng.u8(0..4) == 0);
        for change in std::mem::take(&mut self.pending) {
            if survives_all || (!survives_none && rng.bool()) {
                self.apply(change);
            }
        }
        let all = self.durable.clone();
        let has_folders = |path: &Path| path.ancestors().skip(1).all(|folder| all.get(folder) == Some(&Entry::Folder));
        self.durable.retain(|path, _| has_folders(path));
        self.current.clone_from(&self.durable);
    }

    /// Makes everything as it is durable.
    pub(super) fn settle(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            self.apply(change);
        }
        self.current.clone_from(&self.durable);
    }

    fn apply(&mut self, change: Change) {
        for path in &change.removed {
            self.durable.remove(path);
        }
        self.durable.extend(change.set);
    }
}

pub(super) fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_owned()
}
