//! The write-ahead log: one sequence of entries over all logs of a store. Any prefix of it is a consistent cut.
//!
//! ```text
//! file     header (see `directory`; fields: number of the file before, or 0; where that one ends; how
//!          long this file was when it got its name: all of that was durable), then batches
//! batch, at a multiple of 8
//!   0  magic     u32   0x31424652 ("RFB1")
//!   4  crc       u32   over bytes 8..40, place: the batch's position
//!   8  length    u64   of the entries, with their padding
//!  16  durable   u64   position in this file below which all was known durable when this header was written
//!  24  lsn       u64   durable transaction at that moment
//!  32  entries   u32, zeros to 40
//!  40  entries, each at a multiple of 8
//! entry
//!   0  crc       u32   over bytes 4..24 and the body, place: the entry's position
//!   4  kind      u8, zeros to 8
//!   8  length    u32   of the body, zeros to 16
//!  16  subject   u64   the log; the transaction for COMMIT and ABORT
//!  24  body, zeros to a multiple of 8
//! body   1 RUN: record frames · 2 META: tx u64, bytes · 3 COMMIT · 4 ABORT · 5 CREATE: key · 6 TOMBSTONE · 7 PURGE · 8 TRIM: tx u64, op u64
//! ```
//! RUN and META count once a COMMIT follows without an ABORT between; the other kinds count where they stand.
//! A file continues the one it names from exactly the position it names: what stands there after that position counts for nothing.

use super::directory::{FileHeader, HEADER_BYTES, Unfinished, wal_name, write_all};
use super::failure::{During, Failure, Operation};
use super::frame::{Cursor, FileKind, Seed};
use super::planted::{self, Planted};
use super::position::Lsn;
use super::vfs::{Vfs, VfsFile};
use std::path::Path;

pub(super) const BATCH_HEADER_BYTES: usize = 40;
pub(super) const ENTRY_HEADER_BYTES: usize = 24;
const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"RFB1");

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    Run = 1,
    Meta = 2,
    Commit = 3,
    Abort = 4,
    Create = 5,
    Tombstone = 6,
    Purge = 7,
    Trim = 8,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Run, Self::Meta, Self::Commit, Self::Abort, Self::Create, Self::Tombstone, Self::Purge, Self::Trim]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A batch being put together for one place of one file.
pub(super) struct Batch {
    bytes: Vec<u8>,
    position: u64,
    seed: Seed,
    entries: u32,
}

impl Batch {
    /// Uses `bytes`, emptied, as its memory.
    pub(super) fn new(mut bytes: Vec<u8>, position: u64, seed: Seed) -> Self {
        bytes.clear();
        bytes.resize(BATCH_HEADER_BYTES, 0);
        Self { bytes, position, seed, entries: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(super) fn push(&mut self, kind: Kind, subject: u64, parts: &[&[u8]]) {
        let place = self.position + self.bytes.len() as u64;
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut header = [0; ENTRY_HEADER_BYTES];
        let (head, subject_field) = header.split_at_mut(16);
        subject_field.copy_from_slice(&subject.to_le_bytes());
        // A body is one block's run, a key or a meta: all limited far below 4 GiB.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        for (at, byte) in [(4, kind as u8)].into_iter().chain((8..).zip(length.to_le_bytes())) {
            if let Some(field) = head.get_mut(at) {
                *field = byte;
            }
        }
        let covered = header.get(4..).unwrap_or_default();
        let mut crc = self.seed.checksum(place, &[covered]);
        for part in parts {
            crc = crc32c::crc32c_append(crc, part);
        }
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        self.bytes.extend_from_slice(covered);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.entries += 1;
    }

    /// The bytes to write, with the claim that all below `durable` is durable.
    pub(super) fn finish(mut self, durable: u64, lsn: Lsn) -> Vec<u8> {
        let mut covered = Vec::with_capacity(BATCH_HEADER_BYTES);
        covered.extend_from_slice(&((self.bytes.len() - BATCH_HEADER_BYTES) as u64).to_le_bytes());
        covered.extend_from_slice(&durable.to_le_bytes());
        covered.extend_from_slice(&lsn.to_le_bytes());
        covered.extend_from_slice(&u64::from(self.entries).to_le_bytes());
        let crc = self.seed.checksum(self.position, &[&covered]);
        let header = BATCH_MAGIC.to_le_bytes().into_iter().chain(crc.to_le_bytes()).chain(covered);
        for (byte, value) in self.bytes.iter_mut().zip(header) {
            *byte = value;
        }
        self.bytes
    }
}

/// What a batch header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BatchHeader {
    pub(super) durable: u64,
    /// Where the batch ends in the file, if all of it was written.
    pub(super) end: u64,
}

impl BatchHeader {
    /// The header that `bytes`, read at `position`, begin with; `None` if that is no valid one.
    pub(super) fn decode(bytes: &[u8], seed: Seed, position: u64) -> Option<Self> {
        let header = bytes.get(..BATCH_HEADER_BYTES)?;
        let mut cursor = Cursor::new(header);
        if cursor.u32()? != BATCH_MAGIC {
            return None;
        }
        let crc = cursor.u32()?;
        if seed.checksum(position, &[header.get(8..)?]) != crc && !planted::has(Planted::SkipBatchChecksum) {
            return None;
        }
        let length = cursor.u64()?;
        let durable = cursor.u64()?;
        Some(Self { durable, end: position.checked_add(BATCH_HEADER_BYTES as u64)?.checked_add(length)? })
    }
}

/// A valid entry.
#[derive(Clone, Copy)]
pub(super) struct EntryRef<'a> {
    pub(super) kind: Kind,
    pub(super) subject: u64,
    pub(super) body: &'a [u8],
}

/// How many bytes the body of an entry takes, by its header, which is not checked yet; and the whole entry with its padding.
pub(super) fn entry_lengths(header: &[u8]) -> Option<(usize, u64)> {
    let mut cursor = Cursor::new(header.get(8..)?);
    let body = cursor.u32()? as usize;
    Some((body, (ENTRY_HEADER_BYTES as u64 + body as u64).next_multiple_of(8)))
}

impl<'a> EntryRef<'a> {
    /// The entry that `bytes`, read at `position`, begin with; `None` if that is no valid one.
    pub(super) fn decode(bytes: &'a [u8], seed: Seed, position: u64) -> Option<Self> {
        let header = bytes.get(..ENTRY_HEADER_BYTES)?;
        let (length, _) = entry_lengths(header)?;
        let mut cursor = Cursor::new(header);
        let crc = cursor.u32()?;
        let kind = cursor.u32()?;
        let _ = cursor.u64()?;
        let subject = cursor.u64()?;
        let covered = bytes.get(4..ENTRY_HEADER_BYTES.checked_add(length)?)?;
        if seed.checksum(position, &[covered]) != crc && !planted::has(Planted::SkipEntryChecksum) {
            return None;
        }
        let body = covered.get(ENTRY_HEADER_BYTES - 4..)?;
        Some(Self { kind: Kind::of(u8::try_from(kind).ok()?)?, subject, body })
    }
}

/// The end of a write-ahead log that is being written.
pub(super) struct WalWriter<F> {
    pub(super) file: F,
    pub(super) number: u64,
    pub(super) seed: Seed,
    /// Where the next batch goes.
    pub(super) position: u64,
    /// All below is durable.
    pub(super) durable: u64,
    reserved: u64,
}

/// What a new write-ahead log continues.
#[derive(Clone, Copy, Debug)]
pub(super) struct Previous {
    pub(super) number: u64,
    pub(super) end: u64,
}

impl<F: VfsFile> WalWriter<F> {
    /// Creates file `number`; `first`, made for position [`HEADER_BYTES`] by the given function, is durable with it.
    pub(super) fn create<V: Vfs<File = F>>(
        vfs: &V,
        dir: &Path,
        header: FileHeader,
        room: u64,
        first: impl FnOnce(Seed) -> Vec<u8>,
    ) -> Result<Self, Failure> {
        let number = header.number;
        let seed = header.seed();
        let mut first = first(seed);
        let [before, end, ..] = header.fields;
        let length = (FIRST_BATCH + first.len()) as u64;
        let mut bytes = FileHeader { fields: [before, end, length, 0, 0, 0, 0, 0, 0], ..header }.encode();
        bytes.append(&mut first);
        let reserved = room.max(bytes.len() as u64);
        let unfinished = Unfinished::create(vfs, dir, &wal_name(number))?;
        unfinished.file.preallocate(reserved).during(Operation::Preallocate)?;
        write_all(&unfinished.file, &bytes, 0)?;
        let file = unfinished.publish(vfs, dir)?;
        let position = bytes.len() as u64;
        Ok(Self { file, number, seed, position, durable: position, reserved })
    }

    /// Writes a batch made for [`Self::position`]. It is durable after the next [`Self::sync`].
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let end = self.position + bytes.len() as u64;
        if end > self.reserved {
            // Where room is wanting, it is found out here, before anything half written.
            self.file.preallocate(end).during(Operation::Preallocate)?;
            self.reserved = end;
        }
        write_all(&self.file, bytes, self.position)?;
        self.position = end;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        if self.durable < self.position {
            let mut outcome = self.file.sync_data();
            if planted::has(Planted::RetryFailedSync) && outcome.is_err() {
                outcome = self.file.sync_data();
            }
            outcome.during(Operation::Sync)?;
            self.durable = self.position;
        }
        Ok(())
    }
}

/// The header of a write-ahead log.
pub(super) fn wal_header(identity: u128, number: u64, incarnation: u64, previous: Option<Previous>) -> FileHeader {
    let (before, end) = previous.map_or((0, 0), |previous| (previous.number, previous.end));
    FileHeader { kind: FileKind::Wal, identity, number, incarnation, fields: [before, end, 0, 0, 0, 0, 0, 0, 0] }
}

/// What the header says that its file continues.
pub(super) fn previous(header: &FileHeader) -> Option<Previous> {
    let [number, end, ..] = header.fields;
    (number > 0).then_some(Previous { number, end })
}

/// Up to where the file was durable when it got its name.
pub(super) fn born_length(header: &FileHeader) -> u64 {
    let [_, _, length, ..] = header.fields;
    length
}

/// Where the first batch of a file stands.
pub(super) const FIRST_BATCH: usize = HEADER_BYTES;
