//! The manifest: which logs and pack files there are, and from which write-ahead log on to replay.
//!
//! ```text
//! file    header (see `directory`), then edits; the first holds the whole state
//! edit, at a multiple of 8
//!   0  magic     u32   0x31454652 ("RFE1")
//!   4  crc       u32   over bytes 8..24 and the body, place: the edit's position
//!   8  length    u64   of the body
//!  16  serial    u64   counts the edits of this file from 0
//!  24  body: changes one after another, zeros to a multiple of 8
//! change  kind u8, then
//!   1 CREATE     log u64, key length u32, key           5 META       log u64, tx u64, length u32, bytes
//!   2 TOMBSTONE  log u64                                6 ADD PACK   number u64, above u64, high u64, length u64
//!   3 PURGE      log u64                                7 DROP PACK  high u64
//!   4 TRIM       log u64, tx u64, op u64                8 POSITION   packed u64, first wal u64, known wal u64, next log u64, next pack u64, durable u64
//! ```
//! Each edit is synced before anything relies on it and before the next is written, so a bad edit with a good one after it is corruption, and a bad last one was
//! never relied on. The number in the header counts the manifests of one incarnation. Every open writes a new file with the whole state and renames it into place: a torn end is never written over.
//! Invariant: an edit that leaves out a record because of a trim or a purge contains that trim or purge.

use super::directory::{FileHeader, HEADER_BYTES, MANIFEST, Unfinished, write_all};
use super::failure::{Defect, During, Failure, OpenError, Operation};
use super::frame::{Cursor, FileKind, Seed};
use super::planted::{self, Planted};
use super::position::{LogId, Lsn, Offset};
use super::vfs::{Vfs, VfsFile};
use crate::sync::PlainArc;
use std::collections::BTreeMap;
use std::path::Path;

/// One step from a state to the next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Create { log: LogId, key: PlainArc<[u8]> },
    Tombstone { log: LogId },
    Purge { log: LogId },
    Trim { log: LogId, upto: Offset },
    Meta { log: LogId, lsn: Lsn, bytes: PlainArc<[u8]> },
    AddPack(PackInfo),
    DropPack { high: Lsn },
    Position(Position),
}

/// A pack file and the transactions it covers: those above `above`, up to `high`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PackInfo {
    pub(super) number: u64,
    pub(super) above: Lsn,
    pub(super) high: Lsn,
    pub(super) length: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Position {
    /// Transactions up to here are in pack files.
    pub(super) packed: Lsn,
    /// Replay starts with this write-ahead log; older ones are of no use.
    pub(super) wal_first: u64,
    /// Write-ahead logs up to this one exist.
    pub(super) wal_known: u64,
    pub(super) next_log: u64,
    pub(super) next_pack: u64,
    /// The last durable transaction when this was written: a recovery that ends before it has met damage, and no torn tail.
    pub(super) durable: Lsn,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LogRow {
    pub(super) key: PlainArc<[u8]>,
    pub(super) removing: bool,
    pub(super) trimmed: Offset,
    pub(super) meta: Option<(Lsn, PlainArc<[u8]>)>,
}

/// What the manifest says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct State {
    pub(super) position: Position,
    pub(super) logs: BTreeMap<LogId, LogRow>,
    /// By `high`.
    pub(super) packs: BTreeMap<Lsn, PackInfo>,
}

impl State {
    /// Changes of a log that is not there are void: a purge may stand before what it outlives.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Create { log, key } => {
                self.position.next_log = self.position.next_log.max(log.0 + 1);
                self.logs.insert(log, LogRow { key, removing: false, trimmed: Offset::START, meta: None });
            }
            Change::Tombstone { log } => {
                if let Some(row) = self.logs.get_mut(&log) {
                    row.removing = true;
                }
            }
            Change::Purge { log } => {
                self.logs.remove(&log);
            }
            Change::Trim { log, upto } => {
                if let Some(row) = self.logs.get_mut(&log) {
                    row.trimmed = row.trimmed.max(upto);
                }
            }
            Change::Meta { log, lsn, bytes } => {
                if let Some(row) = self.logs.get_mut(&log) {
                    row.meta = Some((lsn, bytes));
                }
            }
            Change::AddPack(pack) => {
                self.position.next_pack = self.position.next_pack.max(pack.number + 1);
                self.packs.insert(pack.high, pack);
            }
            Change::DropPack { high } => {
                self.packs.remove(&high);
            }
            Change::Position(position) => self.position = position,
        }
    }

    /// Changes that make this state out of an empty one.
    fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        let logs = self.logs.iter().flat_map(|(log, row)| {
            let log = *log;
            let create = Change::Create { log, key: PlainArc::clone(&row.key) };
            let tombstone = row.removing.then_some(Change::Tombstone { log });
            let trim = (row.trimmed > Offset::START).then_some(Change::Trim { log, upto: row.trimmed });
            let meta = row.meta.as_ref().map(|(lsn, bytes)| Change::Meta { log, lsn: *lsn, bytes: PlainArc::clone(bytes) });
            [Some(create), tombstone, trim, meta].into_iter().flatten()
        });
        let packs = self.packs.values().map(|pack| Change::AddPack(*pack));
        logs.chain(packs).chain([Change::Position(self.position)])
    }
}

/// The manifest as it was read.
pub(super) struct Manifest {
    pub(super) header: FileHeader,
    pub(super) state: State,
}

impl Manifest {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let (manifest, damage) = Self::decode_good(bytes)?;
        damage.map_or(Ok(manifest), Err)
    }

    /// What the good edits before the first damage say, and the damage.
    pub(super) fn decode_good(bytes: &[u8]) -> Result<(Self, Option<OpenError>), OpenError> {
        let header = FileHeader::decode(bytes, MANIFEST, FileKind::Manifest, None)?;
        let seed = header.seed();
        let corrupt = |at: usize, defect| OpenError::Corrupt { file: MANIFEST.to_owned(), offset: at as u64, defect };
        let mut state = State::default();
        let mut at = HEADER_BYTES;
        let mut serial = 0;
        while let Some((body, end)) = edit_at(bytes, seed, at, serial) {
            decode_changes(body, |change| state.apply(change)).ok_or_else(|| corrupt(at, Defect::Meaning))?;
            at = end;
            serial += 1;
        }
        if serial == 0 {
            return Err(corrupt(at, Defect::Checksum));
        }
        let followed =
            (at..bytes.len()).step_by(8).any(|later| (serial..serial + 3).any(|serial| edit_at(bytes, seed, later, serial).is_some()));
        Ok((Self { header, state }, followed.then(|| corrupt(at, Defect::Checksum))))
    }
}

/// The open end of the manifest.
pub(super) struct ManifestWriter<F> {
    file: F,
    seed: Seed,
    position: u64,
    serial: u64,
    number: u64,
    /// How long the file was when it held nothing but the state.
    whole: u64,
}

impl<F: VfsFile> ManifestWriter<F> {
    /// Writes a new manifest that says `state`, in place of the one before.
    pub(super) fn create<V: Vfs<File = F>>(
        vfs: &V,
        dir: &Path,
        identity: u128,
        incarnation: u64,
        number: u64,
        state: &State,
    ) -> Result<Self, Failure> {
        let header = FileHeader { kind: FileKind::Manifest, identity, number, incarnation, fields: [0; 9] };
        let unfinished = Unfinished::create(vfs, dir, MANIFEST)?;
        let seed = header.seed();
        let mut bytes = header.encode();
        let edit = encode_edit(state.changes(), seed, bytes.len() as u64, 0);
        bytes.extend_from_slice(&edit);
        unfinished.file.preallocate(bytes.len() as u64).during(Operation::Preallocate)?;
        write_all(&unfinished.file, &bytes, 0)?;
        let file = unfinished.publish(vfs, dir)?;
        let whole = bytes.len() as u64;
        Ok(Self { file, seed, position: whole, serial: 1, number, whole })
    }

    /// Adds an edit; it is durable when this returns.
    pub(super) fn append(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let edit = encode_edit(changes.iter().cloned(), self.seed, self.position, self.serial);
        let end = self.position + edit.len() as u64;
        self.file.preallocate(end).during(Operation::Preallocate)?;
        write_all(&self.file, &edit, self.position)?;
        self.file.sync_data().during(Operation::Sync)?;
        self.position = end;
        self.serial += 1;
        Ok(())
    }

    /// Starts a new file once the edits outweigh the state.
    pub(super) fn renew<V: Vfs<File = F>>(
        &mut self,
        vfs: &V,
        dir: &Path,
        identity: u128,
        incarnation: u64,
        state: &State,
    ) -> Result<bool, Failure> {
        let due = self.position > RENEW_BYTES.max(self.whole.saturating_mul(3));
        if due {
            *self = Self::create(vfs, dir, identity, incarnation, self.number + 1, state)?;
        }
        Ok(due)
    }
}

const EDIT_MAGIC: u32 = u32::from_le_bytes(*b"RFE1");
const RENEW_BYTES: u64 = 1024 * 1024;
const EDIT_HEADER_BYTES: usize = 24;

fn encode_edit(changes: impl Iterator<Item = Change>, seed: Seed, position: u64, serial: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for change in changes {
        encode_change(&change, &mut body);
    }
    let length = (body.len() as u64).to_le_bytes();
    let serial = serial.to_le_bytes();
    let crc = seed.checksum(position, &[&length, &serial, &body]);
    let mut edit = Vec::with_capacity(EDIT_HEADER_BYTES + body.len() + 8);
    edit.extend_from_slice(&EDIT_MAGIC.to_le_bytes());
    edit.extend_from_slice(&crc.to_le_bytes());
    edit.extend_from_slice(&length);
    edit.extend_from_slice(&serial);
    edit.extend_from_slice(&body);
    edit.resize(edit.len().next_multiple_of(8), 0);
    edit
}

/// The body of the valid edit `serial` at `at`, and where it ends.
fn edit_at(bytes: &[u8], seed: Seed, at: usize, serial: u64) -> Option<(&[u8], usize)> {
    let header = bytes.get(at..at.checked_add(EDIT_HEADER_BYTES)?)?;
    let mut cursor = Cursor::new(header);
    if cursor.u32()? != EDIT_MAGIC {
        return None;
    }
    let crc = cursor.u32()?;
    let length = usize::try_from(cursor.u64()?).ok()?;
    let start = at + EDIT_HEADER_BYTES;
    let end = start.checked_add(length)?;
    let body = bytes.get(start..end)?;
    let valid =
        cursor.u64()? == serial && (seed.checksum(at as u64, &[header.get(8..)?, body]) == crc || planted::has(Planted::SkipEditChecksum));
    valid.then(|| (body, end.next_multiple_of(8)))
}

fn encode_change(change: &Change, out: &mut Vec<u8>) {
    let mut numbers = |kind: u8, numbers: &[u64]| {
        out.push(kind);
        for number in numbers {
            out.extend_from_slice(&number.to_le_bytes());
        }
    };
    match change {
        Change::Create { log, key } => {
            numbers(1, &[log.0]);
            encode_bytes(key, out);
        }
        Change::Tombstone { log } => numbers(2, &[log.0]),
        Change::Purge { log } => numbers(3, &[log.0]),
        Change::Trim { log, upto } => numbers(4, &[log.0, upto.tx, upto.op]),
        Change::Meta { log, lsn, bytes } => {
            numbers(5, &[log.0, *lsn]);
            encode_bytes(bytes, out);
        }
        Change::AddPack(pack) => numbers(6, &[pack.number, pack.above, pack.high, pack.length]),
        Change::DropPack { high } => numbers(7, &[*high]),
        Change::Position(at) => numbers(8, &[at.packed, at.wal_first, at.wal_known, at.next_log, at.next_pack, at.durable]),
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    // Keys and metas are limited far below 4 GiB.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// `None` if the body is no sequence of changes.
fn decode_changes(body: &[u8], mut apply: impl FnMut(Change)) -> Option<()> {
    let mut cursor = Cursor::new(body);
    while !cursor.is_empty() {
        apply(decode_change(&mut cursor)?);
    }
    Some(())
}

fn decode_change(cursor: &mut Cursor<'_>) -> Option<Change> {
    Some(match cursor.u8()? {
        1 => Change::Create { log: LogId(cursor.u64()?), key: decode_bytes(cursor)? },
        2 => Change::Tombstone { log: LogId(cursor.u64()?) },
        3 => Change::Purge { log: LogId(cursor.u64()?) },
        4 => Change::Trim { log: LogId(cursor.u64()?), upto: cursor.offset()? },
        5 => Change::Meta { log: LogId(cursor.u64()?), lsn: cursor.u64()?, bytes: decode_bytes(cursor)? },
        6 => Change::AddPack(PackInfo { number: cursor.u64()?, above: cursor.u64()?, high: cursor.u64()?, length: cursor.u64()? }),
        7 => Change::DropPack { high: cursor.u64()? },
        8 => Change::Position(Position {
            packed: cursor.u64()?,
            wal_first: cursor.u64()?,
            wal_known: cursor.u64()?,
            next_log: cursor.u64()?,
            next_pack: cursor.u64()?,
            durable: cursor.u64()?,
        }),
        _ => return None,
    })
}

fn decode_bytes(cursor: &mut Cursor<'_>) -> Option<PlainArc<[u8]>> {
    let length = cursor.u32()? as usize;
    cursor.bytes(length).map(PlainArc::from)
}
