//! The names in a store's folder, the header that opens every file, and transfers that are whole or an error.
//!
//! ```text
//! LOCK                    held while a store is open for writing
//! MANIFEST                what there is, see `manifest`
//! CLEAN                   the last stop was a drain: a header and no more; fields: number of the last write-ahead log, its end, the last lsn.
//!                         One that is damaged, or of a version not known, is as good as none: it saves work, and nothing depends on it
//! 0000000000000001.wal    write-ahead log, see `wal`
//! 0000000000000001.pack   records by log, see `pack`
//! *.new                   being written; deleted by the next open
//!
//! header, 128 bytes, little endian
//!   0  magic        8 bytes   b"racefree"
//!   8  version      u32       format of this kind of file
//!  12  crc          u32       CRC32C over the other 124 bytes, seeded with what they say, place 0
//!  16  identity     u128      of the store
//!  32  number       u64       of the file
//!  40  incarnation  u64       of the store when it created the file: how often it had been opened
//!  48  kind         u8, zeros to 56
//!  56  fields       9 x u64   of the kind
//! ```
//! Names that are none of these are left alone.

use super::failure::{Defect, During, Failure, OpenError, Operation};
use super::frame::{Cursor, FileKind, Seed};
use super::planted::{self, Planted};
use super::vfs::{Vfs, VfsFile};
use std::io;
use std::path::{Path, PathBuf};

pub(super) const HEADER_BYTES: usize = 128;
const MAGIC: &[u8; 8] = b"racefree";
const FIELDS: usize = 9;

/// What the names of a folder stand for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Named {
    Manifest,
    Clean,
    Wal(u64),
    Pack(u64),
    /// Never finished; of no use.
    Unfinished,
    Other,
}

pub(super) fn wal_name(number: u64) -> String {
    format!("{number:016x}.wal")
}

pub(super) fn pack_name(number: u64) -> String {
    format!("{number:016x}.pack")
}

pub(super) const MANIFEST: &str = "MANIFEST";
pub(super) const CLEAN: &str = "CLEAN";
pub(super) const LOCK: &str = "LOCK";

impl Named {
    pub(super) fn of(name: &str) -> Self {
        match name {
            MANIFEST => Self::Manifest,
            CLEAN => Self::Clean,
            _ if name.ends_with(".new") => match Self::of(name.trim_end_matches(".new")) {
                Self::Other => Self::Other,
                _ => Self::Unfinished,
            },
            _ => Self::numbered(name).unwrap_or(Self::Other),
        }
    }

    fn numbered(name: &str) -> Option<Self> {
        let (stem, extension) = name.split_once('.')?;
        let number = u64::from_str_radix(stem, 16).ok().filter(|number| format!("{number:016x}") == stem)?;
        match extension {
            "wal" => Some(Self::Wal(number)),
            "pack" => Some(Self::Pack(number)),
            _ => None,
        }
    }
}

/// What the first bytes of a file say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileHeader {
    pub(super) kind: FileKind,
    pub(super) identity: u128,
    pub(super) number: u64,
    pub(super) incarnation: u64,
    pub(super) fields: [u64; FIELDS],
}

impl FileHeader {
    pub(super) fn seed(&self) -> Seed {
        Seed::new(self.identity, self.kind, self.number, self.incarnation)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(HEADER_BYTES);
        rest.extend_from_slice(&self.identity.to_le_bytes());
        rest.extend_from_slice(&self.number.to_le_bytes());
        rest.extend_from_slice(&self.incarnation.to_le_bytes());
        rest.extend_from_slice(&[self.kind as u8, 0, 0, 0, 0, 0, 0, 0]);
        for field in self.fields {
            rest.extend_from_slice(&field.to_le_bytes());
        }
        let version = version(self.kind).to_le_bytes();
        let crc = self.seed().checksum(0, &[MAGIC, &version, &rest]);
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&version);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.append(&mut rest);
        bytes
    }

    /// The header of file `name`, which must be of this kind and, if given, of this number.
    pub(super) fn decode(bytes: &[u8], name: &str, kind: FileKind, number: Option<u64>) -> Result<Self, OpenError> {
        let corrupt = |defect| OpenError::Corrupt { file: name.to_owned(), offset: 0, defect };
        let whole = bytes.get(..HEADER_BYTES).ok_or_else(|| corrupt(Defect::Truncated))?;
        let header = || {
            let mut cursor = Cursor::new(whole);
            let magic = cursor.bytes(8)?;
            let version = cursor.u32()?;
            let crc = cursor.u32()?;
            let rest = whole.get(16..)?;
            let (identity, number, incarnation) = (cursor.u128()?, cursor.u64()?, cursor.u64()?);
            let found = cursor.u64()?;
            let mut fields = [0; FIELDS];
            for field in &mut fields {
                *field = cursor.u64()?;
            }
            Some((magic, version, crc, rest, found, Self { kind, identity, number, incarnation, fields }))
        };
        let (magic, found_version, crc, rest, found_kind, header) = header().ok_or_else(|| corrupt(Defect::Truncated))?;
        if magic != MAGIC {
            return Err(corrupt(Defect::Header));
        }
        if found_version != version(kind) {
            return Err(OpenError::UnknownVersion { file: name.to_owned(), version: found_version });
        }
        if header.seed().checksum(0, &[MAGIC, &found_version.to_le_bytes(), rest]) != crc && !planted::has(Planted::SkipHeaderChecksum) {
            return Err(corrupt(Defect::Checksum));
        }
        if found_kind != u64::from(kind as u8) || number.is_some_and(|number| header.number != number) {
            return Err(corrupt(Defect::Header));
        }
        Ok(header)
    }
}

/// The format that this build reads and writes.
const fn version(kind: FileKind) -> u32 {
    match kind {
        FileKind::Wal | FileKind::Pack | FileKind::Manifest | FileKind::Clean => 1,
    }
}

/// Writes all of `bytes` at `offset`.
pub(super) fn write_all(file: &impl VfsFile, mut bytes: &[u8], mut offset: u64) -> Result<(), Failure> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(Failure { operation: Operation::Write, kind: io::ErrorKind::WriteZero, os_code: None }),
            Ok(_) if planted::has(Planted::BelieveShortWrite) => return Ok(()),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::new(Operation::Write, &error)),
        }
    }
    Ok(())
}

/// Fills `buffer` from `offset` on, as far as the file goes; returns how far.
pub(super) fn read_up_to(file: &impl VfsFile, buffer: &mut [u8], offset: u64) -> Result<usize, Failure> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) if planted::has(Planted::BelieveShortRead) => return Ok(read),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::new(Operation::Read, &error)),
        }
    }
    Ok(filled)
}

/// The whole file.
pub(super) fn read_file(file: &impl VfsFile) -> Result<Vec<u8>, Failure> {
    let length = usize::try_from(file.length().during(Operation::Read)?).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(length).is_err() {
        return Err(Failure { operation: Operation::Read, kind: io::ErrorKind::OutOfMemory, os_code: None });
    }
    bytes.resize(length, 0);
    let filled = read_up_to(file, &mut bytes, 0)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// A file under a name that the next open deletes, until [`Unfinished::publish`].
pub(super) struct Unfinished<F> {
    pub(super) file: F,
    path: PathBuf,
    name: String,
}

impl<F: VfsFile> Unfinished<F> {
    /// Creates `name` with the suffix of unfinished files, in place of any left from before.
    pub(super) fn create<V: Vfs<File = F>>(vfs: &V, dir: &Path, name: &str) -> Result<Self, Failure> {
        let path = dir.join(format!("{name}.new"));
        let created = match vfs.create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                vfs.remove(&path).during(Operation::Remove)?;
                vfs.create(&path)
            }
            other => other,
        };
        Ok(Self { file: created.during(Operation::Create)?, path, name: name.to_owned() })
    }

    /// Order: the bytes are durable before the name is, so a file with a final name is a whole one.
    pub(super) fn publish<V: Vfs<File = F>>(self, vfs: &V, dir: &Path) -> Result<F, Failure> {
        self.file.sync_data().during(Operation::Sync)?;
        vfs.rename(&self.path, &dir.join(&self.name)).during(Operation::Rename)?;
        vfs.sync_dir(dir).during(Operation::SyncDir)?;
        Ok(self.file)
    }
}
