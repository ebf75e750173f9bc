//! A disk in memory. It forgets what was not synced when the test says so, and fails when the test says so; the simulator of the crate's `tests` folder does the rest.

use crate::store::vfs::{Vfs, VfsFile};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Default, Clone)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
}

type Shared = Arc<Mutex<Content>>;
type Names = BTreeMap<PathBuf, Shared>;

#[derive(Clone, Default)]
pub(crate) struct MemoryDisk {
    names: Arc<Mutex<Names>>,
    synced_names: Arc<Mutex<Names>>,
    locked: Arc<Mutex<bool>>,
    failing: Arc<Failing>,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

/// What somebody else does before each file is opened.
type Meanwhile = Box<dyn FnMut(&Path) + Send>;

/// Which calls fail from now on.
#[derive(Default)]
pub(crate) struct Failing {
    pub(crate) syncs: AtomicBool,
    pub(crate) writes: AtomicBool,
    pub(crate) room: AtomicBool,
    pub(crate) renames: AtomicBool,
    pub(crate) reads: AtomicBool,
    /// Reads that may not wait.
    pub(crate) cached_reads: AtomicBool,
    /// How many bytes were read in how many calls: it does not fail, but is wanted at the same place.
    pub(crate) bytes_read: AtomicUsize,
    pub(crate) calls_to_read: AtomicUsize,
}

pub(crate) struct MemoryFile(Shared, Arc<Failing>);

pub(crate) struct MemoryLock(Arc<Mutex<bool>>);

impl Drop for MemoryLock {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = false;
    }
}

impl MemoryDisk {
    /// What the end of the process leaves: all that was written.
    pub(crate) fn process_end(&self) -> Self {
        self.copy(&self.names, |content| content.now.clone())
    }

    /// What a power loss leaves in the worst case: only what was synced.
    pub(crate) fn power_loss(&self) -> Self {
        self.copy(&self.synced_names, |content| content.synced.clone())
    }

    pub(crate) fn failing(&self) -> &Failing {
        &self.failing
    }

    /// Has `act` called before each file is opened, but not for what it opens itself.
    pub(crate) fn meanwhile(&self, act: impl FnMut(&Path) + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::new(act));
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.list(super::dir()).unwrap()
    }

    /// The name of the last file that ends so.
    pub(crate) fn last(&self, ending: &str) -> String {
        self.names().into_iter().rfind(|name| name.ends_with(ending)).unwrap()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.names.lock().unwrap()[&super::dir().join(name)].lock().unwrap().now.clone()
    }

    /// Changes the bytes of a file behind the store's back.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let names = self.names.lock().unwrap();
        let mut content = names[&super::dir().join(name)].lock().unwrap();
        change(&mut content.now);
        content.synced = content.now.clone();
    }

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let content = Arc::new(Mutex::new(Content { now: bytes.clone(), synced: bytes }));
        self.names.lock().unwrap().insert(super::dir().join(name), Arc::clone(&content));
        self.synced_names.lock().unwrap().insert(super::dir().join(name), content);
    }

    pub(crate) fn delete(&self, name: &str) {
        self.remove(&super::dir().join(name)).unwrap();
        self.sync_dir(super::dir()).unwrap();
    }

    fn copy(&self, names: &Mutex<Names>, bytes: impl Fn(&Content) -> Vec<u8>) -> Self {
        let copy = |content: &Shared| {
            let now = bytes(&content.lock().unwrap());
            Arc::new(Mutex::new(Content { synced: now.clone(), now }))
        };
        let names: Names = names.lock().unwrap().iter().map(|(path, content)| (path.clone(), copy(content))).collect();
        let synced_names = Arc::new(Mutex::new(names.clone()));
        Self {
            names: Arc::new(Mutex::new(names)),
            synced_names,
            locked: Arc::default(),
            failing: Arc::default(),
            meanwhile: Arc::default(),
        }
    }
}

fn unless(failing: &AtomicBool, kind: io::ErrorKind) -> io::Result<()> {
    if failing.load(Ordering::Relaxed) { Err(kind.into()) } else { Ok(()) }
}

impl Vfs for MemoryDisk {
    type File = MemoryFile;
    type Lock = MemoryLock;

    fn open(&self, path: &Path) -> io::Result<MemoryFile> {
        let act = self.meanwhile.lock().unwrap().take();
        if let Some(mut act) = act {
            act(path);
            *self.meanwhile.lock().unwrap() = Some(act);
        }
        let names = self.names.lock().unwrap();
        names.get(path).map(|content| MemoryFile(Arc::clone(content), Arc::clone(&self.failing))).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create(&self, path: &Path) -> io::Result<MemoryFile> {
        let mut names = self.names.lock().unwrap();
        if names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Shared::default();
        names.insert(path.to_path_buf(), Arc::clone(&content));
        Ok(MemoryFile(content, Arc::clone(&self.failing)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        unless(&self.failing.renames, io::ErrorKind::PermissionDenied)?;
        let mut names = self.names.lock().unwrap();
        let content = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.insert(to.to_path_buf(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.names.lock().unwrap().remove(path).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.names.lock().unwrap();
        Ok(names.keys().filter(|path| path.parent() == Some(dir)).filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        unless(&self.failing.syncs, io::ErrorKind::Other)?;
        let names = self.names.lock().unwrap().clone();
        *self.synced_names.lock().unwrap() = names;
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<MemoryLock> {
        let mut locked = self.locked.lock().unwrap();
        if std::mem::replace(&mut *locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(MemoryLock(Arc::clone(&self.locked)))
    }
}

impl VfsFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        unless(&self.1.reads, io::ErrorKind::Other)?;
        let content = self.0.lock().unwrap();
        let rest = content.now.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        self.1.bytes_read.fetch_add(length, Ordering::Relaxed);
        self.1.calls_to_read.fetch_add(1, Ordering::Relaxed);
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        unless(&self.1.writes, io::ErrorKind::Other)?;
        let mut content = self.0.lock().unwrap();
        let end = offset as usize + bytes.len();
        if content.now.len() < end {
            content.now.resize(end, 0);
        }
        content.now[offset as usize..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        unless(&self.1.room, io::ErrorKind::StorageFull)?;
        let mut content = self.0.lock().unwrap();
        if (content.now.len() as u64) < length {
            content.now.resize(length as usize, 0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        unless(&self.1.syncs, io::ErrorKind::Other)?;
        let mut content = self.0.lock().unwrap();
        content.synced = content.now.clone();
        Ok(())
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        if self.1.cached_reads.load(Ordering::Relaxed) { Ok(None) } else { self.read_at(buffer, offset).map(Some) }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }
}
