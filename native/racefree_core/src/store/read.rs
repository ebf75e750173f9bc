//! Reading: pages of records out of one view, cut at one position.
//!
//! Invariant: the position is loaded before the view (see [`View`]); a reader keeps both, so it sees one state of the log however long it takes.
//! What is read from a file is checked frame by frame, also what is only skipped: a flipped offset would otherwise hide records. An error is an error, never a short page.

use super::block::{Block, Gauge};
use super::failure::{Defect, Failure};
use super::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader};
use super::options::RECORD_BYTES_LIMIT;
use super::pack::{Pack, Place, Row};
use super::planted::{self, Planted};
use super::position::{Lsn, Offset};
use super::vfs::VfsFile;
use super::view::{Extent, View};
use crate::sync::Arc;
use std::ops::Range;

/// Which records a reader may see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// What is committed.
    Visible,
    /// What a crash now would preserve: the level for replies that leave the system.
    Durable,
}

/// From where records may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Any,
    /// Memory, and small pieces of files that the system has in its own: never waits for the disk, [`ReadError::Cold`] where that would be needed.
    Cached,
    /// Only memory: no I/O, [`ReadError::Cold`] where a file would be needed.
    Memory,
}

/// How much one page may hold. The first record is given whatever its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadLimit {
    pub records: usize,
    /// Of payloads.
    pub bytes: usize,
}

impl ReadLimit {
    pub const NONE: Self = Self { records: usize::MAX, bytes: usize::MAX };
}

/// What to read: the records above `after`, up to and with `upto`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadRange {
    pub after: Offset,
    pub upto: Offset,
    pub limit: ReadLimit,
    pub source: Source,
}

/// Whether the range holds more than the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// All committed records of the range were given.
    Done,
    /// At least one more follows; go on after this offset.
    More(Offset),
}

/// The answer to a read.
#[derive(Clone, Debug)]
pub struct Page {
    pub records: Records,
    pub next: Next,
    /// The position at which the log was read.
    pub lsn: Lsn,
}

/// Why nothing was read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    #[error("the range begins before what is kept")]
    Trimmed {
        /// The lowest `after` that can be read.
        after: Offset,
    },
    #[error("the log is removed or being removed")]
    Removed,
    #[error("a log is of another store, or of an earlier opening of this one")]
    Foreign,
    #[error("the records are in a file")]
    Cold,
    #[error(transparent)]
    Io(#[from] Failure),
    #[error("{file} is damaged at byte {offset}: {defect:?}")]
    Corrupt { file: String, offset: u64, defect: Defect },
}

/// Records that stay readable as long as this is held, whatever becomes of the log. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Records {
    chunks: Vec<Chunk>,
    count: usize,
    payload_bytes: usize,
}

#[derive(Clone)]
struct Chunk {
    backing: Backing,
    start: usize,
    end: usize,
}

#[derive(Clone)]
enum Backing {
    Block(Arc<Block>),
    Buffer(Arc<Buffer>),
}

/// What was read out of a file, counted until its last holder lets go.
struct Buffer {
    bytes: Vec<u8>,
    gauge: Arc<Gauge>,
}

impl Buffer {
    fn new(bytes: Vec<u8>, gauge: &Arc<Gauge>) -> Self {
        gauge.add(bytes.len());
        Self { bytes, gauge: Arc::clone(gauge) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.gauge.subtract(self.bytes.len());
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}..{}", self.start, self.end)
    }
}

impl Chunk {
    fn frames(&self) -> &[u8] {
        let bytes = match &self.backing {
            Backing::Block(block) => block.published(),
            Backing::Buffer(buffer) => &buffer.bytes,
        };
        bytes.get(self.start..self.end).unwrap_or_default()
    }
}

impl Records {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// The pieces of memory that hold the records, in their order: for who hands out parts of them instead of copies.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = Run<'_>> + '_ {
        self.chunks.iter().map(|chunk| Run { bytes: chunk.frames() })
    }

    /// Offsets and payloads, by ascending offset.
    pub fn iter(&self) -> impl Iterator<Item = (Offset, &[u8])> + '_ {
        self.chunks.iter().flat_map(|chunk| {
            let mut rest = chunk.frames();
            std::iter::from_fn(move || {
                let frame = Frame::at(rest, 0)?;
                rest = rest.get(frame.end..).unwrap_or_default();
                Some((frame.offset, frame.payload))
            })
        })
    }
}

/// Records that lie one behind another in memory.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Payloads, and what stands between them.
    pub bytes: &'a [u8],
}

impl<'a> Run<'a> {
    /// Offsets, and where in the bytes each payload lies.
    pub fn payloads(self) -> impl Iterator<Item = (Offset, Range<usize>)> + 'a {
        let mut at = 0;
        std::iter::from_fn(move || {
            let frame = Frame::at(self.bytes, at)?;
            let payload = frame.end - frame.payload.len()..frame.end;
            at = frame.end;
            Some((frame.offset, payload))
        })
    }
}

/// Why the walk over some frames stopped.
enum Stop {
    /// All of them were taken.
    Exhausted,
    /// A record above `upto` was met: nothing that follows belongs to the range.
    Beyond,
    /// A record of the range was met that the limits do not let in.
    Full,
}

struct Collector<'a> {
    gauge: &'a Arc<Gauge>,
    records: Records,
    after: Offset,
    upto: Offset,
    limit: ReadLimit,
    last: Offset,
    /// Read out of files without waiting.
    cached_bytes: usize,
}

impl Collector<'_> {
    /// Takes the frame into account; `false` if the walk ends before it.
    fn admit(&mut self, offset: Offset, payload_bytes: usize) -> Result<(), Stop> {
        if offset > self.upto {
            return Err(Stop::Beyond);
        }
        let records = &mut self.records;
        let full = records.count >= self.limit.records || records.payload_bytes.saturating_add(payload_bytes) > self.limit.bytes;
        if full && records.count > 0 {
            return Err(Stop::Full);
        }
        debug_assert!(offset > self.last);
        records.count += 1;
        records.payload_bytes += payload_bytes;
        self.last = offset;
        Ok(())
    }

    fn keep(&mut self, backing: Backing, start: usize, end: usize) {
        if start < end {
            self.records.chunks.push(Chunk { backing, start, end });
        }
    }

    fn keep_buffer(&mut self, buffer: Vec<u8>, start: usize, end: usize) {
        if start < end {
            self.keep(Backing::Buffer(Arc::new(Buffer::new(buffer, self.gauge))), start, end);
        }
    }

    /// Takes frames out of memory, from `start` on.
    fn memory(&mut self, block: &Arc<Block>, bytes: &[u8], start: usize) -> Stop {
        let mut at = start;
        let mut first = None;
        let stop = loop {
            let Some(header) = FrameHeader::decode(bytes, at) else { break Stop::Exhausted };
            if header.offset > self.after {
                if let Err(stop) = self.admit(header.offset, header.length as usize) {
                    break stop;
                }
                first.get_or_insert(at);
            }
            at += header.frame_bytes();
        };
        self.keep(Backing::Block(Arc::clone(block)), first.unwrap_or(at), at);
        stop
    }

    /// What the page is likely to need, so that a short one costs one short read.
    fn first_read_bytes(&self, row: &Row, skipped: u64) -> usize {
        let frame_bytes = usize::try_from((row.end - row.start) / row.count.max(1)).unwrap_or(usize::MAX);
        // Whether the range goes on may be said by the record after the last alone.
        let extra = usize::from(row.last > self.upto);
        let records = self.limit.records.saturating_sub(self.records.count).max(1).saturating_add(extra);
        let by_count = records.saturating_mul(frame_bytes);
        let left = self.limit.bytes.saturating_sub(self.records.payload_bytes);
        let by_bytes = left.saturating_add(left / frame_bytes.max(1) * FRAME_HEADER_BYTES).saturating_add(frame_bytes);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        by_count.min(by_bytes).saturating_add(skipped).clamp(READ_BYTES_MIN, FIRST_READ_BYTES_MAX)
    }

    /// Takes frames of one row of a pack.
    fn file<F: VfsFile>(&mut self, pack: &Pack<F>, row: &Row, source: Source) -> Result<Stop, ReadError> {
        let Place { mut position, skipped } = pack.seek(row, self.after);
        let mut want = self.first_read_bytes(row, skipped);
        while position < row.end {
            let buffer = match source {
                Source::Any => read_frames(pack, row, position, want)?,
                Source::Cached => self.cached_frames(pack, row, position, want)?,
                Source::Memory => return Err(ReadError::Cold),
            };
            let mut at = 0;
            let mut first = None;
            let stop = loop {
                let Some(frame) = Frame::at(&buffer, at) else { break Stop::Exhausted };
                check_frame(pack, position + at as u64, &buffer, at, &frame)?;
                if frame.offset > self.after {
                    if let Err(stop) = self.admit(frame.offset, frame.payload.len()) {
                        break stop;
                    }
                    first.get_or_insert(at);
                }
                at = frame.end;
            };
            want = match FrameHeader::decode(&buffer, at) {
                // The next frame is longer than what was asked for.
                Some(header) if at == 0 && buffer.len() < header.frame_bytes() => header.frame_bytes(),
                None if at == 0 && matches!(stop, Stop::Exhausted) => {
                    return Err(ReadError::Corrupt { file: pack.name(), offset: position, defect: Defect::Truncated });
                }
                _ => (want * 2).clamp(READ_BYTES_MIN, READ_BYTES_MAX),
            };
            self.keep_buffer(buffer, first.unwrap_or(at), at);
            if !matches!(stop, Stop::Exhausted) {
                return Ok(stop);
            }
            position += at as u64;
            if position < row.end && row.last <= self.upto && self.is_full() {
                return Ok(Stop::Full);
            }
        }
        Ok(Stop::Exhausted)
    }

    /// Whether the limits let in no record that has a payload.
    fn is_full(&self) -> bool {
        self.records.count > 0 && (self.records.count >= self.limit.records || self.records.payload_bytes >= self.limit.bytes)
    }

    /// Like [`read_frames`], without waiting: what the page has taken out of files so far, and this, is bounded, and the system has it in memory.
    fn cached_frames<F: VfsFile>(&mut self, pack: &Pack<F>, row: &Row, position: u64, want: usize) -> Result<Vec<u8>, ReadError> {
        let length = frames_length(row, position, want);
        self.cached_bytes = self.cached_bytes.saturating_add(length);
        if self.cached_bytes > CACHED_BYTES_MAX {
            return Err(ReadError::Cold);
        }
        let mut buffer = vec![0; length];
        // Short, interrupted or refused: a read that may wait finds out what it is.
        match pack.file.read_cached_at(&mut buffer, position) {
            Ok(Some(filled)) if filled == length => checked_fit(pack, row, position, buffer),
            _ => Err(ReadError::Cold),
        }
    }
}

/// What is read out of the system's memory in one page at most: checked and copied in some twenty microseconds.
const CACHED_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES_MIN: usize = 4 * 1024;
const FIRST_READ_BYTES_MAX: usize = 256 * 1024;
const READ_BYTES_MAX: usize = 1024 * 1024;

/// The page of `view` at `position`. What it takes out of files is counted in `gauge`.
pub(super) fn read_page<F: VfsFile>(view: &View<F>, position: Lsn, range: &ReadRange, gauge: &Arc<Gauge>) -> Result<Page, ReadError> {
    let upto = range.upto.min(Offset::end_of(position));
    let done = |records, next| Page { records, next, lsn: position };
    if range.upto <= range.after {
        return Ok(done(Records::default(), Next::Done));
    }
    if range.after < view.trimmed && !planted::has(Planted::ReadBelowTrim) {
        return Err(ReadError::Trimmed { after: view.trimmed });
    }
    let mut collector =
        Collector { gauge, records: Records::default(), after: range.after, upto, limit: range.limit, last: range.after, cached_bytes: 0 };
    let stop = collect(view, range, &mut collector)?;
    let next = if matches!(stop, Stop::Full) { Next::More(collector.last) } else { Next::Done };
    Ok(done(collector.records, next))
}

fn collect<F: VfsFile>(view: &View<F>, range: &ReadRange, collector: &mut Collector<'_>) -> Result<Stop, ReadError> {
    let first = view.extents.partition_point(|extent| extent.last() <= range.after);
    for Extent { pack, row } in view.extents.iter().skip(first) {
        let Some(row) = pack.row(*row) else { continue };
        if row.first > collector.upto {
            return Ok(Stop::Beyond);
        }
        if matches!(range.source, Source::Memory) {
            return Err(ReadError::Cold);
        }
        if row.first > range.after && collector.is_full() {
            return Ok(Stop::Full);
        }
        match collector.file(pack, row, range.source)? {
            Stop::Exhausted => {}
            stop => return Ok(stop),
        }
    }
    // A block may still hold what a file holds by now: memory counts from the border on.
    if !planted::has(Planted::ReadTwice) {
        collector.after = collector.after.max(Offset::end_of(view.packed));
    }
    let first = view.blocks.partition_point(|block| block.first <= collector.after).saturating_sub(1);
    for block in view.blocks.iter().skip(first) {
        match collector.memory(&block.block, block.bytes(), 0) {
            Stop::Exhausted => {}
            stop => return Ok(stop),
        }
    }
    Ok(Stop::Exhausted)
}

fn frames_length(row: &Row, position: u64, want: usize) -> usize {
    usize::try_from(row.end - position).unwrap_or(usize::MAX).min(want)
}

/// Up to `want` bytes of the row from `position` on, a frame's start.
pub(super) fn read_frames<F: VfsFile>(pack: &Pack<F>, row: &Row, position: u64, want: usize) -> Result<Vec<u8>, ReadError> {
    let length = frames_length(row, position, want);
    let mut buffer = vec![0; length];
    let filled = super::directory::read_up_to(&pack.file, &mut buffer, position)?;
    if filled < length {
        return Err(ReadError::Corrupt { file: pack.name(), offset: position + filled as u64, defect: Defect::Truncated });
    }
    checked_fit(pack, row, position, buffer)
}

/// The buffer, whose first frame ends within the row.
fn checked_fit<F>(pack: &Pack<F>, row: &Row, position: u64, buffer: Vec<u8>) -> Result<Vec<u8>, ReadError> {
    let fits = |header: FrameHeader| position + header.frame_bytes() as u64 <= row.end && header.length as usize <= RECORD_BYTES_LIMIT;
    if FrameHeader::decode(&buffer, 0).is_some_and(|header| !fits(header)) {
        return Err(ReadError::Corrupt { file: pack.name(), offset: position, defect: Defect::Checksum });
    }
    Ok(buffer)
}

/// Refuses a frame whose checksum does not fit its bytes and place.
pub(super) fn check_frame<F>(pack: &Pack<F>, position: u64, buffer: &[u8], at: usize, frame: &Frame<'_>) -> Result<(), ReadError> {
    let head = buffer.get(at..at + 20).unwrap_or_default();
    if pack.seed.checksum(position, &[head, frame.payload]) == frame.crc || planted::has(Planted::SkipFrameChecksum) {
        Ok(())
    } else {
        Err(ReadError::Corrupt { file: pack.name(), offset: position, defect: Defect::Checksum })
    }
}
