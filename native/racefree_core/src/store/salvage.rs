//! Salvage: what is provably good of a damaged store, copied into a new one. For people who would rather have most of it than none.
//!
//! Nothing is changed in the damaged folder. Good is a record whose checksum fits its bytes and place, in a pack that a good edit of the manifest names, or before the
//! first damage of the write-ahead log. The new store stands at the last transaction before that damage. A log may lack records in its middle: the report says where, and
//! nothing else will.

use super::directory::{MANIFEST, Named};
use super::failure::{During, Failure, OpenError, Operation};
use super::frame::{Frame, FrameHeader};
use super::keep::memory_records;
use super::manifest::{LogRow, Manifest, ManifestWriter, PackInfo, Position, State};
use super::options::Options;
use super::pack::{Pack, PackWriter, Row};
use super::position::{LogId, Lsn, Offset};
use super::read::{ReadError, check_frame, read_frames};
use super::recovery::{Image, RecoveredLog, read_clean, read_named};
use super::vfs::{Vfs, VfsFile};
use super::view::Life;
use crate::sync::PlainArc;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Records that could not be copied: those of the log above `after` and below `before`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss {
    pub key: Box<[u8]>,
    pub after: Offset,
    pub before: Offset,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The new store stands at this transaction.
    pub lsn: Lsn,
    pub logs: usize,
    pub records: u64,
    pub lost: Vec<Loss>,
    /// Transactions of packs that could not be opened at all: above the first, up to the second.
    pub lost_packs: Vec<(Lsn, Lsn)>,
    /// What is wrong, each with its file: the manifest, packs, the write-ahead log.
    pub damage: Vec<OpenError>,
}

const READ_BYTES: usize = 1024 * 1024;

/// Copies what is good in `from` into a new store in `to`, a folder without one. `options.identity` becomes the new store's.
pub fn salvage<V: Vfs>(vfs: &V, from: &Path, to: &Path, options: &Options) -> Result<SalvageReport, OpenError> {
    options.check().map_err(OpenError::Option)?;
    vfs.create_dir_all(to).during(Operation::Create)?;
    if vfs.list(to).during(Operation::List)?.iter().any(|name| Named::of(name) == Named::Manifest) {
        return Err(OpenError::Foreign { file: MANIFEST.to_owned() });
    }
    let mut report = SalvageReport::default();
    let image = read_good(vfs, from, options, &mut report)?;
    let info = PackInfo { number: 1, above: 0, high: image.summary.lsn, length: 0 };
    let mut copy = Copy { writer: PackWriter::create(vfs, to, options.identity, 1, info)?, report };
    let mut rows = BTreeMap::new();
    for (id, log) in &image.logs {
        copy.log(*id, log, image.summary.lsn)?;
        let meta = log.view.metas.last().map(|meta| (meta.lsn, PlainArc::clone(&meta.bytes)));
        let removing = log.view.life == Life::Removing;
        rows.insert(*id, LogRow { key: PlainArc::clone(&log.key), removing, trimmed: log.view.trimmed, meta });
    }
    let Copy { writer, mut report } = copy;
    let mut packs = BTreeMap::new();
    if writer.is_empty() {
        writer.discard(vfs, to)?;
    } else {
        let pack = writer.finish(vfs, to)?;
        packs.insert(pack.info.high, pack.info);
    }
    let position = Position {
        packed: image.summary.lsn,
        wal_first: 1,
        wal_known: 0,
        next_log: image.next_log,
        next_pack: 2,
        durable: image.summary.lsn,
    };
    report.logs = rows.len();
    report.lsn = image.summary.lsn;
    // Order: last, so that a salvage that was cut short leaves no store.
    ManifestWriter::create(vfs, to, options.identity, 1, 0, &State { position, logs: rows, packs })?;
    Ok(report)
}

/// The folder's content up to the first damage of each kind of file.
fn read_good<V: Vfs>(vfs: &V, dir: &Path, options: &Options, report: &mut SalvageReport) -> Result<Image<V::File>, OpenError> {
    let (manifest, damage) = Manifest::decode_good(&read_named(vfs, dir, MANIFEST)?)?;
    report.damage.extend(damage);
    let mut image = Image::of_manifest(vfs, dir, manifest, |info, error| {
        report.lost_packs.push((info.above, info.high));
        report.damage.push(error);
        Ok(())
    })?;
    let names = vfs.list(dir).during(Operation::List)?;
    let named: Vec<(Named, String)> = names.into_iter().map(|name| (Named::of(&name), name)).collect();
    let numbers: BTreeSet<u64> =
        named.iter().filter_map(|(name, _)| if let Named::Wal(number) = name { Some(*number) } else { None }).collect();
    // Where a drain ended says that what is missing before it is damage and no torn tail.
    let clean = read_clean(vfs, dir, &named, image.identity);
    let first = image.state.position.wal_first;
    let wals: BTreeSet<u64> = (first..).take_while(|number| numbers.contains(number)).collect();
    let known = image.state.position.wal_known;
    if let Some(missing) = (first..=known).find(|number| !wals.contains(number)) {
        report.damage.push(OpenError::Missing { file: super::directory::wal_name(missing) });
        image.state.position.wal_known = missing - 1;
    }
    if let Err(error) = image.replay(vfs, dir, &wals, clean, options) {
        match error {
            OpenError::Io(failure) => return Err(failure.into()),
            damage => report.damage.push(damage),
        }
    } else if let Err(damage) = image.reaches_what_was_durable() {
        report.damage.push(damage);
    }
    Ok(image)
}

struct Copy<F> {
    writer: PackWriter<F>,
    report: SalvageReport,
}

impl<F: VfsFile> Copy<F> {
    fn log(&mut self, id: LogId, log: &RecoveredLog<F>, upto: Lsn) -> Result<(), Failure> {
        let mut last = log.view.trimmed;
        for extent in &log.view.extents {
            if let Some(row) = extent.pack.row(extent.row) {
                self.row(id, log, &extent.pack, row, &mut last)?;
            }
        }
        for (offset, payload) in memory_records(&log.view, upto) {
            self.writer.push(id, offset, payload)?;
            self.report.records += 1;
        }
        Ok(())
    }

    /// Copies the good records of a row. After a bad one it goes on where the index says that a record starts.
    fn row(&mut self, id: LogId, log: &RecoveredLog<F>, pack: &Pack<F>, row: &Row, last: &mut Offset) -> Result<(), Failure> {
        let mut position = row.start;
        let mut lost_after = None;
        while position < row.end {
            match self.part(id, pack, row, position, last, &mut lost_after, log)? {
                Some(end) => position = end,
                None => {
                    lost_after.get_or_insert(*last);
                    position = pack.next_mark(row, position).unwrap_or(row.end);
                }
            }
        }
        if let Some(after) = lost_after {
            self.report.lost.push(Loss {
                key: Box::from(&*log.key),
                after,
                before: Offset { op: row.last.op.saturating_add(1), ..row.last },
            });
        }
        Ok(())
    }

    /// Copies the record at `position` and those read with it; where the next one starts, or `None` if this one is bad.
    #[expect(clippy::too_many_arguments, reason = "one step of a walk over a row")]
    fn part(
        &mut self,
        id: LogId,
        pack: &Pack<F>,
        row: &Row,
        position: u64,
        last: &mut Offset,
        lost_after: &mut Option<Offset>,
        log: &RecoveredLog<F>,
    ) -> Result<Option<u64>, Failure> {
        let Some(buffer) = good(read_whole_frame(pack, row, position))? else { return Ok(None) };
        let mut at = 0;
        while let Some(frame) = Frame::at(&buffer, at) {
            let place = position + at as u64;
            if good(check_frame(pack, place, &buffer, at, &frame))?.is_none() {
                break;
            }
            if frame.offset > *last {
                if let Some(after) = lost_after.take() {
                    self.report.lost.push(Loss { key: Box::from(&*log.key), after, before: frame.offset });
                }
                self.writer.push(id, frame.offset, frame.payload)?;
                self.report.records += 1;
                *last = frame.offset;
            }
            at = frame.end;
        }
        Ok((at > 0).then_some(position + at as u64))
    }
}

fn read_whole_frame<F: VfsFile>(pack: &Pack<F>, row: &Row, position: u64) -> Result<Vec<u8>, ReadError> {
    let buffer = read_frames(pack, row, position, READ_BYTES)?;
    match FrameHeader::decode(&buffer, 0) {
        Some(header) if header.frame_bytes() > buffer.len() => read_frames(pack, row, position, header.frame_bytes()),
        _ => Ok(buffer),
    }
}

/// `None` for what is damaged; an error of the disk stays one.
fn good<T>(result: Result<T, ReadError>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ReadError::Io(failure)) => Err(failure),
        Err(_) => Ok(None),
    }
}
