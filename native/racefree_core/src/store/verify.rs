//! Verification: reads every byte that counts and says what is wrong, without changing anything. Also for a store that is in use.

use super::directory::{Named, wal_name};
use super::failure::{Defect, During, Failure, OpenError, Operation};
use super::frame::{Frame, FrameHeader};
use super::handle::Store;
use super::pack::{Pack, Row};
use super::position::Offset;
use super::read::{ReadError, check_frame, read_frames};
use super::vfs::{Vfs, VfsFile};
use super::wal::{BATCH_HEADER_BYTES, FIRST_BATCH, born_length};
use super::window::Window;
use crate::sync::Arc;
use std::collections::BTreeMap;

/// A damaged place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub file: String,
    pub offset: u64,
    pub defect: Defect,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    pub files: usize,
    /// Of pack files.
    pub records: u64,
    pub bytes: u64,
    pub problems: Vec<Problem>,
}

const READ_BYTES: usize = 1024 * 1024;

impl<V: Vfs> Store<V> {
    /// Reads all packs that logs refer to, and the durable part of the write-ahead logs.
    pub fn verify(&self) -> Result<VerifyReport, Failure> {
        let mut report = VerifyReport::default();
        let mut packs = BTreeMap::new();
        let logs: Vec<_> = self.shared.catalog().logs().map(Arc::clone).collect();
        for log in logs {
            for extent in &log.view().extents {
                packs.entry(extent.pack.info.number).or_insert_with(|| Arc::clone(&extent.pack));
            }
        }
        for pack in packs.values() {
            report.files += 1;
            for row in pack.rows() {
                verify_row(pack, row, &mut report)?;
            }
        }
        let names = self.shared.vfs.list(&self.shared.dir).during(Operation::List)?;
        for name in names {
            if let Named::Wal(number) = Named::of(&name) {
                self.verify_wal(number, &mut report)?;
            }
        }
        Ok(report)
    }

    fn verify_wal(&self, number: u64, report: &mut VerifyReport) -> Result<(), Failure> {
        let mut file = match Window::open(&self.shared.vfs, &self.shared.dir, number) {
            Ok(Some(file)) => file,
            // The keeper was faster.
            Ok(None) => return Ok(()),
            Err(OpenError::Io(failure)) => return Err(failure),
            Err(_) => {
                report.problems.push(Problem { file: wal_name(number), offset: 0, defect: Defect::Header });
                return Ok(());
            }
        };
        report.files += 1;
        let mut at = FIRST_BATCH as u64;
        let mut known = born_length(&file.header);
        'batches: while let Some(batch) = file.batch(at)? {
            known = known.max(batch.durable);
            let mut entry_at = at + BATCH_HEADER_BYTES as u64;
            while entry_at < batch.end {
                let Some((_, end)) = file.entry(entry_at, batch.end)? else {
                    at = entry_at;
                    break 'batches;
                };
                entry_at = end;
            }
            at = entry_at;
        }
        report.bytes += at;
        if at < file.highest_claim(at, known)? {
            report.problems.push(Problem { file: file.name, offset: at, defect: Defect::Checksum });
        }
        Ok(())
    }
}

fn verify_row<F: VfsFile>(pack: &Pack<F>, row: &Row, report: &mut VerifyReport) -> Result<(), Failure> {
    let mut position = row.start;
    let mut last = Offset::START;
    let mut want = READ_BYTES;
    while position < row.end {
        match verify_part(pack, row, position, want, last) {
            Ok(Part { read: 0, longest, .. }) => want = longest,
            Ok(part) => {
                want = READ_BYTES;
                position += part.read as u64;
                last = part.last;
                report.records += part.records;
                report.bytes += part.read as u64;
            }
            Err(ReadError::Io(failure)) => return Err(failure),
            Err(ReadError::Corrupt { file, offset, defect }) => {
                report.problems.push(Problem { file, offset, defect });
                return Ok(());
            }
            Err(ReadError::Trimmed { .. } | ReadError::Removed | ReadError::Foreign | ReadError::Cold) => return Ok(()),
        }
    }
    if last != row.last {
        report.problems.push(Problem { file: pack.name(), offset: position, defect: Defect::Meaning });
    }
    Ok(())
}

struct Part {
    read: usize,
    records: u64,
    last: Offset,
    /// What the first frame needs, if it was longer than the part.
    longest: usize,
}

fn verify_part<F: VfsFile>(pack: &Pack<F>, row: &Row, position: u64, want: usize, last: Offset) -> Result<Part, ReadError> {
    let corrupt = |offset, defect| ReadError::Corrupt { file: pack.name(), offset, defect };
    let buffer = read_frames(pack, row, position, want)?;
    let mut part = Part { read: 0, records: 0, last, longest: 0 };
    while let Some(frame) = Frame::at(&buffer, part.read) {
        check_frame(pack, position + part.read as u64, &buffer, part.read, &frame)?;
        if frame.offset <= part.last {
            return Err(corrupt(position + part.read as u64, Defect::Meaning));
        }
        part.last = frame.offset;
        part.records += 1;
        part.read = frame.end;
    }
    if part.read == 0 {
        part.longest = FrameHeader::decode(&buffer, 0).map_or(0, |header| header.frame_bytes());
        if part.longest <= buffer.len() {
            return Err(corrupt(position, Defect::Truncated));
        }
    }
    Ok(part)
}
