//! Pack files: the records of a range of transactions, each log's together, with an index.
//!
//! ```text
//! file     header (see `directory`; fields: above, high), frames, rows, marks, trailer
//! frames   see `frame`, with checksums (place: the frame's position); logs by ascending id, records by offset
//! row      log u64 · first tx, op · last tx, op · start u64 · end u64 · count u64 · first mark u32 · marks u32                    (72 bytes)
//! mark     tx u64 · op u64 · position u64: a frame starts here; the first of a row and one about every 16 KiB                        (24 bytes)
//! trailer  rows start u64 · rows u64 · marks u64 · records u64 · index crc u32 · 4 zeros · magic u32 "RFP1" · crc u32 over the 44 before (48 bytes)
//! ```
//! A pack never changes. Its length stands in the manifest, so bytes reserved beyond its trailer do no harm.

use super::directory::{FileHeader, HEADER_BYTES, Unfinished, pack_name, read_up_to, write_all};
use super::failure::{Defect, During, Failure, OpenError, Operation};
use super::frame::{Cursor, FileKind, FrameHeader, Seed};
use super::manifest::PackInfo;
use super::planted::{self, Planted};
use super::position::{LogId, Offset};
use super::vfs::{Vfs, VfsFile};
use crate::sync::atomic::{AtomicU64, Ordering};
use std::path::Path;

/// One log's run in a pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) log: LogId,
    pub(super) first: Offset,
    pub(super) last: Offset,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) count: u64,
    mark_first: u32,
    mark_count: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    offset: Offset,
    position: u64,
}

/// Where a search in a row begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// At or below the record sought, as near as the index knows.
    pub(super) position: u64,
    /// About so many bytes follow before the record.
    pub(super) skipped: u64,
}

/// An open pack file.
pub(super) struct Pack<F> {
    pub(super) info: PackInfo,
    pub(super) file: F,
    pub(super) seed: Seed,
    rows: Vec<Row>,
    marks: Vec<Mark>,
    /// Bytes of rows that no log refers to any more.
    dead: AtomicU64,
}

const ROW_BYTES: usize = 72;
const MARK_BYTES: usize = 24;
const TRAILER_BYTES: usize = 48;
const TRAILER_MAGIC: u32 = u32::from_le_bytes(*b"RFP1");
const MARK_DISTANCE: u64 = 16 * 1024;
const WRITE_BYTES: usize = 1024 * 1024;

impl<F: VfsFile> Pack<F> {
    pub(super) fn open<V: Vfs<File = F>>(vfs: &V, dir: &Path, info: PackInfo, identity: u128) -> Result<Self, OpenError> {
        let name = pack_name(info.number);
        let file = vfs.open(&dir.join(&name)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => OpenError::Missing { file: name.clone() },
            _ => OpenError::Io(Failure::new(Operation::Open, &error)),
        })?;
        let corrupt = |offset, defect| OpenError::Corrupt { file: name.clone(), offset, defect };
        let header = FileHeader::decode(&read_part(&file, 0, HEADER_BYTES as u64)?, &name, FileKind::Pack, Some(info.number))?;
        if header.identity != identity {
            return Err(OpenError::Foreign { file: name });
        }
        let seed = header.seed();
        let trailer_start = info.length.checked_sub(TRAILER_BYTES as u64).ok_or_else(|| corrupt(0, Defect::Truncated))?;
        let trailer = read_part(&file, trailer_start, TRAILER_BYTES as u64)?;
        let trailer = Trailer::decode(&trailer, seed, trailer_start).map_err(|defect| corrupt(trailer_start, defect))?;
        if trailer.rows_start > trailer_start {
            return Err(corrupt(trailer_start, Defect::Meaning));
        }
        let index = read_part(&file, trailer.rows_start, trailer_start - trailer.rows_start)?;
        if index.len() as u64 != trailer_start - trailer.rows_start {
            return Err(corrupt(trailer.rows_start, Defect::Truncated));
        }
        if seed.checksum(trailer.rows_start, &[&index]) != trailer.index_crc && !planted::has(Planted::SkipIndexChecksum) {
            return Err(corrupt(trailer.rows_start, Defect::Checksum));
        }
        let (rows, marks) = decode_index(&index, &trailer).ok_or_else(|| corrupt(trailer.rows_start, Defect::Meaning))?;
        Ok(Self { info, file, seed, rows, marks, dead: AtomicU64::new(0) })
    }
}

impl<F> Pack<F> {
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn row(&self, row: usize) -> Option<&Row> {
        self.rows.get(row)
    }

    pub(super) fn name(&self) -> String {
        pack_name(self.info.number)
    }

    /// Where to look in the row for the first record above `after`.
    pub(super) fn seek(&self, row: &Row, after: Offset) -> Place {
        let marks = self.marks_of(row);
        let following = marks.partition_point(|mark| mark.offset <= after);
        let Some(mark) = following.checked_sub(1).and_then(|at| marks.get(at)) else { return Place { position: row.start, skipped: 0 } };
        let (end, end_position) = marks.get(following).map_or((row.last, row.end), |next| (next.offset, next.position));
        let span = end_position - mark.position;
        // Interpolated, as if numbers without gaps stood for records of one length.
        let numbers = |offset: Offset| if mark.offset.tx == end.tx { offset.op } else { offset.tx };
        let (first, last, sought) = (numbers(mark.offset), numbers(end), numbers(after));
        let passed = u128::from(sought.saturating_sub(first)) + 1;
        let all = u128::from(last.saturating_sub(first)).max(1);
        let skipped = u64::try_from(u128::from(span) * passed / all).unwrap_or(span).min(span);
        Place { position: mark.position, skipped }
    }

    /// The first place of the row above `position` at which a frame is known to start.
    pub(super) fn next_mark(&self, row: &Row, position: u64) -> Option<u64> {
        self.marks_of(row).iter().map(|mark| mark.position).find(|mark| *mark > position)
    }

    fn marks_of(&self, row: &Row) -> &[Mark] {
        let first = row.mark_first as usize;
        self.marks.get(first..first + row.mark_count as usize).unwrap_or_default()
    }

    pub(super) fn frame_bytes(&self) -> u64 {
        self.rows.iter().map(|row| row.end - row.start).sum()
    }

    pub(super) fn dead_bytes(&self) -> u64 {
        self.dead.load(Ordering::Relaxed)
    }

    /// Notes that no log refers to `row` any more.
    pub(super) fn bury(&self, row: usize) {
        if let Some(row) = self.rows.get(row) {
            self.dead.fetch_add(row.end - row.start, Ordering::Relaxed);
        }
    }
}

impl<F> super::view::Extent<F> {
    /// Invariant: an extent names a row of its pack; it is made from one.
    fn row(&self) -> Option<&Row> {
        self.pack.row(self.row)
    }

    pub(super) fn last(&self) -> Offset {
        self.row().map_or(Offset::START, |row| row.last)
    }
}

/// A pack being written.
pub(super) struct PackWriter<F> {
    unfinished: Unfinished<F>,
    info: PackInfo,
    seed: Seed,
    buffer: Vec<u8>,
    written: u64,
    records: u64,
    rows: Vec<Row>,
    marks: Vec<Mark>,
}

impl<F: VfsFile> PackWriter<F> {
    /// `info.length` is not known yet and ignored.
    pub(super) fn create<V: Vfs<File = F>>(vfs: &V, dir: &Path, identity: u128, incarnation: u64, info: PackInfo) -> Result<Self, Failure> {
        let header = FileHeader {
            kind: FileKind::Pack,
            identity,
            number: info.number,
            incarnation,
            fields: [info.above, info.high, 0, 0, 0, 0, 0, 0, 0],
        };
        Ok(Self {
            unfinished: Unfinished::create(vfs, dir, &pack_name(info.number))?,
            info,
            seed: header.seed(),
            buffer: header.encode(),
            written: 0,
            records: 0,
            rows: Vec::new(),
            marks: Vec::new(),
        })
    }

    /// Adds a record. Logs come by ascending id, their records by ascending offset.
    pub(super) fn push(&mut self, log: LogId, offset: Offset, payload: &[u8]) -> Result<(), Failure> {
        let position = self.position();
        let header = FrameHeader { offset, length: u32::try_from(payload.len()).unwrap_or(u32::MAX), crc: 0 };
        let mut head = header.encode();
        let crc = self.seed.checksum(position, &[head.get(..20).unwrap_or_default(), payload]);
        if let Some(field) = head.get_mut(20..) {
            field.copy_from_slice(&crc.to_le_bytes());
        }
        self.buffer.extend_from_slice(&head);
        self.buffer.extend_from_slice(payload);
        let end = self.position();
        self.records += 1;
        let marks = u32::try_from(self.marks.len()).unwrap_or(u32::MAX);
        match self.rows.last_mut().filter(|row| row.log == log) {
            Some(row) => {
                debug_assert!(row.last < offset);
                row.last = offset;
                row.end = end;
                row.count += 1;
                if self.marks.last().is_some_and(|mark| position - mark.position >= MARK_DISTANCE) {
                    self.marks.push(Mark { offset, position });
                    row.mark_count += 1;
                }
            }
            None => {
                debug_assert!(self.rows.last().is_none_or(|row| row.log < log));
                self.marks.push(Mark { offset, position });
                self.rows.push(Row { log, first: offset, last: offset, start: position, end, count: 1, mark_first: marks, mark_count: 1 });
            }
        }
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the index, makes the file durable under its name.
    pub(super) fn finish<V: Vfs<File = F>>(mut self, vfs: &V, dir: &Path) -> Result<Pack<F>, Failure> {
        let rows_start = self.position();
        let index = encode_index(&self.rows, &self.marks);
        let trailer = Trailer {
            rows_start,
            rows: self.rows.len() as u64,
            marks: self.marks.len() as u64,
            records: self.records,
            index_crc: self.seed.checksum(rows_start, &[&index]),
        };
        self.buffer.extend_from_slice(&index);
        let trailer = trailer.encode(self.seed, self.position());
        self.buffer.extend_from_slice(&trailer);
        self.flush()?;
        let info = PackInfo { length: self.written, ..self.info };
        let file = self.unfinished.publish(vfs, dir)?;
        Ok(Pack { info, file, seed: self.seed, rows: self.rows, marks: self.marks, dead: AtomicU64::new(0) })
    }

    /// Gives up a pack that would be empty.
    pub(super) fn discard<V: Vfs<File = F>>(self, vfs: &V, dir: &Path) -> Result<(), Failure> {
        let path = dir.join(format!("{}.new", pack_name(self.info.number)));
        drop(self.unfinished);
        vfs.remove(&path).during(Operation::Remove)
    }

    fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.unfinished.file.preallocate(self.position()).during(Operation::Preallocate)?;
        write_all(&self.unfinished.file, &self.buffer, self.written)?;
        self.written = self.position();
        self.buffer.clear();
        Ok(())
    }
}

struct Trailer {
    rows_start: u64,
    rows: u64,
    marks: u64,
    records: u64,
    index_crc: u32,
}

impl Trailer {
    fn encode(&self, seed: Seed, position: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TRAILER_BYTES);
        for number in [self.rows_start, self.rows, self.marks, self.records] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.index_crc, 0, TRAILER_MAGIC] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let crc = seed.checksum(position, &[&bytes]);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8], seed: Seed, position: u64) -> Result<Self, Defect> {
        let parse = || {
            let mut cursor = Cursor::new(bytes);
            let trailer = Self {
                rows_start: cursor.u64()?,
                rows: cursor.u64()?,
                marks: cursor.u64()?,
                records: cursor.u64()?,
                index_crc: cursor.u32()?,
            };
            let _ = cursor.u32()?;
            Some((trailer, cursor.u32()?, cursor.u32()?))
        };
        let (trailer, magic, crc) = parse().ok_or(Defect::Truncated)?;
        let covered = bytes.get(..TRAILER_BYTES - 4).unwrap_or_default();
        if magic != TRAILER_MAGIC || seed.checksum(position, &[covered]) != crc {
            return Err(Defect::Checksum);
        }
        Ok(trailer)
    }
}

fn encode_index(rows: &[Row], marks: &[Mark]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len() * ROW_BYTES + marks.len() * MARK_BYTES);
    for row in rows {
        for number in [row.log.0, row.first.tx, row.first.op, row.last.tx, row.last.op, row.start, row.end, row.count] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&row.mark_first.to_le_bytes());
        bytes.extend_from_slice(&row.mark_count.to_le_bytes());
    }
    for mark in marks {
        for number in [mark.offset.tx, mark.offset.op, mark.position] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
    bytes
}

/// `None` if the bytes are not the index that the trailer describes.
fn decode_index(bytes: &[u8], trailer: &Trailer) -> Option<(Vec<Row>, Vec<Mark>)> {
    let rows = usize::try_from(trailer.rows).ok()?;
    let marks = usize::try_from(trailer.marks).ok()?;
    if rows.checked_mul(ROW_BYTES)?.checked_add(marks.checked_mul(MARK_BYTES)?)? != bytes.len() {
        return None;
    }
    let mut cursor = Cursor::new(bytes);
    let rows = (0..rows)
        .map(|_| {
            let row = Row {
                log: LogId(cursor.u64()?),
                first: cursor.offset()?,
                last: cursor.offset()?,
                start: cursor.u64()?,
                end: cursor.u64()?,
                count: cursor.u64()?,
                mark_first: cursor.u32()?,
                mark_count: cursor.u32()?,
            };
            let whole = row.first <= row.last && row.start < row.end && row.end <= trailer.rows_start;
            (whole && (row.mark_first as usize).checked_add(row.mark_count as usize)? <= marks).then_some(row)
        })
        .collect::<Option<Vec<_>>>()?;
    let marks = (0..marks).map(|_| Some(Mark { offset: cursor.offset()?, position: cursor.u64()? })).collect::<Option<Vec<_>>>()?;
    Some((rows, marks))
}

/// The bytes at `start`, fewer if the file ends.
fn read_part(file: &impl VfsFile, start: u64, length: u64) -> Result<Vec<u8>, OpenError> {
    let available = file.length().during(Operation::Read)?.saturating_sub(start).min(length);
    let mut bytes = vec![0; usize::try_from(available).unwrap_or(0)];
    let filled = read_up_to(file, &mut bytes, start)?;
    bytes.truncate(filled);
    Ok(bytes)
}
