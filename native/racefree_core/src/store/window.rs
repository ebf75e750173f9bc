//! A window that slides over a write-ahead log: what recovery and verification read it through, in pieces that stay in the processor's cache.

use super::directory::{FileHeader, HEADER_BYTES, read_up_to, wal_name};
use super::failure::{During, Failure, OpenError, Operation};
use super::frame::{FileKind, Seed};
use super::vfs::{Vfs, VfsFile};
use super::wal::{BATCH_HEADER_BYTES, BatchHeader, ENTRY_HEADER_BYTES, EntryRef, entry_lengths};
use std::io;
use std::path::Path;

pub(super) struct Window<F> {
    pub(super) header: FileHeader,
    pub(super) name: String,
    seed: Seed,
    file: F,
    length: u64,
    buffer: Vec<u8>,
    /// How much of the buffer is read.
    filled: usize,
    /// Where the buffer starts in the file.
    start: u64,
}

const WINDOW_BYTES: usize = 256 * 1024;
/// How far ahead the disk is asked to read: enough for it to be busy while what came before is taken apart.
const AHEAD_BYTES: usize = 8 * 1024 * 1024;
/// Reads begin here: the system copies a page of its cache much faster to where it lies alike.
const PAGE_BYTES: u64 = 4096;

impl<F: VfsFile> Window<F> {
    /// `None`: there is no such file.
    pub(super) fn open<V: Vfs<File = F>>(vfs: &V, dir: &Path, number: u64) -> Result<Option<Self>, OpenError> {
        let name = wal_name(number);
        let file = match vfs.open(&dir.join(&name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::new(Operation::Open, &error).into()),
        };
        let length = file.length().during(Operation::Read)?;
        let mut bytes = vec![0; HEADER_BYTES];
        let filled = read_up_to(&file, &mut bytes, 0)?;
        let header = FileHeader::decode(bytes.get(..filled).unwrap_or_default(), &name, FileKind::Wal, Some(number))?;
        file.read_ahead(0, AHEAD_BYTES);
        Ok(Some(Self { seed: header.seed(), header, name, file, length, buffer: Vec::new(), filled: 0, start: 0 }))
    }

    /// The bytes from `position` on: `length`, or fewer if the file ends.
    pub(super) fn bytes(&mut self, position: u64, length: usize) -> Result<&[u8], Failure> {
        let available = usize::try_from(self.length.saturating_sub(position)).unwrap_or(usize::MAX);
        let length = length.min(available);
        let inside =
            position.checked_sub(self.start).and_then(|from| usize::try_from(from).ok()).filter(|from| from + length <= self.filled);
        let from = match inside {
            Some(from) => from,
            None => {
                let start = position - position % PAGE_BYTES;
                // Below a page, so it is no number that a `usize` cannot hold.
                let before = (position - start) as usize;
                let want = (before + length).next_multiple_of(PAGE_BYTES as usize).max(WINDOW_BYTES);
                self.slide(start, want.min(before + available))?;
                before
            }
        };
        Ok(self.buffer.get(from..self.filled.min(from + length)).unwrap_or_default())
    }

    /// Makes the buffer hold `want` bytes from `start` on, keeping what it has of them.
    fn slide(&mut self, start: u64, want: usize) -> Result<(), Failure> {
        let kept = start.checked_sub(self.start).and_then(|from| usize::try_from(from).ok()).filter(|from| *from < self.filled);
        let kept = match kept {
            Some(from) => {
                self.buffer.copy_within(from..self.filled, 0);
                self.filled - from
            }
            None => 0,
        };
        if self.buffer.len() < want {
            let more = want - self.buffer.len();
            if self.buffer.try_reserve(more).is_err() {
                return Err(Failure { operation: Operation::Read, kind: io::ErrorKind::OutOfMemory, os_code: None });
            }
            self.buffer.resize(want, 0);
        }
        let rest = self.buffer.get_mut(kept..).unwrap_or_default();
        let read = read_up_to(&self.file, rest, start + kept as u64)?;
        self.start = start;
        self.filled = kept + read;
        self.file.read_ahead(start.saturating_add(AHEAD_BYTES as u64), self.filled);
        Ok(())
    }

    pub(super) fn batch(&mut self, position: u64) -> Result<Option<BatchHeader>, Failure> {
        let seed = self.seed;
        Ok(BatchHeader::decode(self.bytes(position, BATCH_HEADER_BYTES)?, seed, position))
    }

    /// The valid entry at `position` and where the next one stands, if it ends within the batch.
    pub(super) fn entry(&mut self, position: u64, batch_end: u64) -> Result<Option<(EntryRef<'_>, u64)>, Failure> {
        let seed = self.seed;
        let Some((body, whole)) = entry_lengths(self.bytes(position, ENTRY_HEADER_BYTES)?) else { return Ok(None) };
        let Some(end) = position.checked_add(whole).filter(|end| *end <= batch_end) else { return Ok(None) };
        let bytes = self.bytes(position, ENTRY_HEADER_BYTES + body)?;
        Ok(EntryRef::decode(bytes, seed, position).map(|entry| (entry, end)))
    }

    /// The highest position that a valid batch header at or after `from` says was durable; `floor` if none says more.
    pub(super) fn highest_claim(&mut self, from: u64, floor: u64) -> Result<u64, Failure> {
        let seed = self.seed;
        let mut highest = floor;
        let mut at = from.next_multiple_of(8);
        while at < self.length {
            let bytes = self.bytes(at, WINDOW_BYTES)?;
            let last = bytes.len() <= BATCH_HEADER_BYTES;
            let mut inside = 0;
            while inside + BATCH_HEADER_BYTES <= bytes.len() {
                let rest = bytes.get(inside..).unwrap_or_default();
                if let Some(header) = BatchHeader::decode(rest, seed, at + inside as u64) {
                    highest = highest.max(header.durable);
                }
                inside += 8;
            }
            if last {
                break;
            }
            at += inside.max(8) as u64;
        }
        Ok(highest)
    }

    pub(super) fn is_written_at(&mut self, position: u64) -> Result<bool, Failure> {
        Ok(self.bytes(position, BATCH_HEADER_BYTES)?.iter().any(|byte| *byte != 0))
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }
}
