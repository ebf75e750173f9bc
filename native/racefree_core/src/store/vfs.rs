//! The seam between the store and the disk.
//!
//! Production uses the operating system's files; tests use a simulated disk that loses, tears and refuses what a real one may. The traits promise as little as POSIX does:
//! a write is lost unless a later [`VfsFile::sync_data`] of that file returned ok, a created, renamed or removed name unless a later [`Vfs::sync_dir`] of its
//! folder did, and after a failed sync nothing is known about any earlier write (the page cache may have dropped it and say "ok" the next time).
//! Left out on purpose: append mode and seek positions (every access names its offset), memory maps (a truncated map is a signal, not an error).

use std::io;
use std::path::Path;

/// A disk. Paths are those given by the store; the implementation decides where they live.
pub trait Vfs: Send + Sync + 'static {
    type File: VfsFile;
    /// Released when dropped, or when the process dies.
    type Lock: Send + Sync + 'static;

    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    /// Creates a file for reading and writing; [`io::ErrorKind::AlreadyExists`] if there is one.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Replaces `to` if it exists.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Readers that hold the file open keep reading it.
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// The names in a folder, sorted. Names that are no UTF-8 are none of ours and left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock file at `path`; [`io::ErrorKind::WouldBlock`] while another holds it.
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;
}

/// An open file. Offsets and lengths are bytes.
pub trait VfsFile: Send + Sync + 'static {
    /// Reads at `offset`; may be short, 0 is the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at `offset`; may be short.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Reserves space up to `length`, so that later writes below it do not fail for want of room. The new bytes read as anything.
    fn preallocate(&self, length: u64) -> io::Result<()>;
    /// Makes the file's bytes and length durable.
    fn sync_data(&self) -> io::Result<()>;
    fn length(&self) -> io::Result<u64>;
    /// Reads at `offset` what needs no wait for the disk; may be short. `None` if that is not to be had.
    fn read_cached_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<Option<usize>> {
        Ok(None)
    }
    /// Says that the bytes from `offset` on will be read soon. Changes nothing but how fast.
    fn read_ahead(&self, _offset: u64, _length: usize) {}
}
