//! The operating system's files behind [`Vfs`].
//!
//! Positioned reads and writes of `std`; `fallocate`, so that a full disk is found before anything is half written; `flock` on the lock file, which the system releases
//! when the process dies. Where a file system cannot reserve space, writing finds out.

use super::options::Clock;
use super::vfs::{Vfs, VfsFile};
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
use rustix::fs::{Advice, fadvise};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
#[cfg(target_os = "linux")]
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::fs::{self, File, OpenOptions};
use std::io;
#[cfg(target_os = "linux")]
use std::io::IoSliceMut;
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// A file of this machine.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
}

/// Holds a lock file's lock until dropped.
#[derive(Debug)]
pub struct DiskLock {
    _file: File,
}

impl Vfs for Disk {
    type File = DiskFile;
    type Lock = DiskLock;

    fn open(&self, path: &Path) -> io::Result<DiskFile> {
        File::open(path).map(|file| DiskFile { file })
    }

    fn create(&self, path: &Path) -> io::Result<DiskFile> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path).map(|file| DiskFile { file })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = fs::read_dir(dir)?
            .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
            .collect::<io::Result<Vec<String>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DiskLock { _file: file }),
            Err(error) => Err(error.into()),
        }
    }
}

impl VfsFile for DiskFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, length) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            other => other.map_err(io::Error::from),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    #[cfg(target_os = "linux")]
    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        match preadv2(&self.file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(Some(read)),
            // Not in memory; or a file system or kernel that cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn read_ahead(&self, offset: u64, length: usize) {
        // A file system that takes no advice reads when it is asked to.
        let _ = fadvise(&self.file, offset, NonZeroU64::new(length as u64), Advice::WillNeed);
    }
}

/// The machine's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    start: Instant,
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A number that no other store has, for [`super::Options::identity`].
pub fn fresh_identity() -> io::Result<u128> {
    let mut bytes = [0; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if filled == bytes.len() { Ok(u128::from_le_bytes(bytes)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
