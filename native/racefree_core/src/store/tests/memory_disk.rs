//! A disk in memory that never fails and never forgets. `crash` gives what a crash would leave if nothing was lost: the files without the lock.

use crate::store::vfs::{Vfs, VfsFile};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

type Bytes = Arc<Mutex<Vec<u8>>>;

#[derive(Clone, Default)]
pub(crate) struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<PathBuf, Bytes>>>,
    locked: Arc<Mutex<bool>>,
}

pub(crate) struct MemoryFile(Bytes);

pub(crate) struct MemoryLock(Arc<Mutex<bool>>);

impl Drop for MemoryLock {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = false;
    }
}

impl MemoryDisk {
    /// A copy of all files as they are now.
    pub(crate) fn crash(&self) -> Self {
        let files = self.files.lock().unwrap();
        let copy = files.iter().map(|(path, bytes)| (path.clone(), Arc::new(Mutex::new(bytes.lock().unwrap().clone()))));
        Self { files: Arc::new(Mutex::new(copy.collect())), locked: Arc::default() }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.list(super::dir()).unwrap()
    }

    /// Changes the bytes of a file behind the store's back.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let files = self.files.lock().unwrap();
        change(&mut files.get(&super::dir().join(name)).unwrap().lock().unwrap());
    }

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(super::dir().join(name), Arc::new(Mutex::new(bytes)));
    }
}

impl Vfs for MemoryDisk {
    type File = MemoryFile;
    type Lock = MemoryLock;

    fn open(&self, path: &Path) -> io::Result<MemoryFile> {
        self.files.lock().unwrap().get(path).map(|bytes| MemoryFile(Arc::clone(bytes))).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create(&self, path: &Path) -> io::Result<MemoryFile> {
        let mut files = self.files.lock().unwrap();
        if files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let bytes = Bytes::default();
        files.insert(path.to_path_buf(), Arc::clone(&bytes));
        Ok(MemoryFile(bytes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_path_buf(), bytes);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.lock().unwrap().remove(path).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let files = self.files.lock().unwrap();
        Ok(files.keys().filter(|path| path.parent() == Some(dir)).filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
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
        let bytes = self.0.lock().unwrap();
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut file = self.0.lock().unwrap();
        let end = offset as usize + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[offset as usize..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        let mut file = self.0.lock().unwrap();
        if (file.len() as u64) < length {
            file.resize(length as usize, 0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
}
