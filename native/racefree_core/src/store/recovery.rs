//! Recovery: from the files of a folder to the one state that they agree on.
//!
//! [`Image::read`] only reads; it is also what a second, read-only instance opens. It replays the write-ahead logs over the manifest and the packs:
//! - the first entry that is not valid is corruption if and only if something durable says that its place was durable: a later batch header, the header of the next
//!   file, the file's own length at birth, or a clean mark. Otherwise it is a torn tail, and the log ends there;
//! - transactions count up to the last COMMIT; what follows it is dropped.
//!
//! What stands below the highest such claim is known durable and stays where it is. What stands above may exist in the page cache alone; it is copied into the next
//! write-ahead log (`adopt`), never truncated and never synced where it stands.

use super::block::BlockWriter;
use super::directory::{CLEAN, FileHeader, MANIFEST, Named, read_file, wal_name};
use super::failure::{Defect, During, Failure, OpenError, Operation};
use super::flush::Summary;
use super::frame::{Cursor, FileKind, Frame, FrameHeader};
use super::manifest::{Change, Manifest, PackInfo, State};
use super::options::Options;
use super::pack::Pack;
use super::planted::{self, Planted};
use super::position::{LogId, Lsn, Offset};
use super::stage::Memory;
use super::vfs::{Vfs, VfsFile};
use super::view::{BlockRef, Extent, Life, Meta, View};
use super::wal::{BATCH_HEADER_BYTES, EntryRef, FIRST_BATCH, Kind, Previous, born_length, previous};
use super::window::Window;
use crate::sync::{Arc, PlainArc};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;

/// What an open found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether there was no store before.
    pub new: bool,
    /// Whether the last stop was a drain.
    pub clean: bool,
    /// All logs and metas stand at this transaction.
    pub lsn: Lsn,
    /// Records and bytes replayed from the write-ahead log.
    pub records: u64,
    pub bytes: u64,
    /// Records behind the last commit.
    pub dropped_records: u64,
    pub dropped_bytes: u64,
    pub torn: Option<TornTail>,
    /// Keys whose removal was begun and not finished.
    pub pending_removals: Vec<Box<[u8]>>,
    /// Files that a crash had left over.
    pub orphans: u64,
}

/// Where the write-ahead log ended within what was being written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TornTail {
    pub file: String,
    pub offset: u64,
}

/// One log as recovered.
pub(super) struct RecoveredLog<F> {
    pub(super) key: PlainArc<[u8]>,
    pub(super) view: View<F>,
    pub(super) last: Offset,
    pub(super) writer: Option<BlockWriter>,
    /// The transaction that wrote to it last, and `last` before that one did.
    touched_by: Lsn,
    before: Offset,
    /// Whether the summary has it among the logs with committed records.
    in_summary: bool,
}

impl<F> RecoveredLog<F> {
    fn new(key: PlainArc<[u8]>, view: View<F>) -> Self {
        Self { key, view, last: Offset::START, writer: None, touched_by: 0, before: Offset::START, in_summary: false }
    }
}

/// What stands behind all claims of the last write-ahead log, to be copied.
pub(super) struct Tail {
    pub(super) previous: Previous,
    entries: Vec<(Kind, u64, Vec<u8>)>,
    /// The transaction that was open at the end.
    pub(super) open: Option<Lsn>,
}

impl Tail {
    pub(super) fn entries(&self) -> impl Iterator<Item = (Kind, u64, &[u8])> + '_ {
        self.entries.iter().map(|(kind, subject, body)| (*kind, *subject, body.as_slice()))
    }
}

/// A folder's content.
pub(super) struct Image<F> {
    pub(super) identity: u128,
    pub(super) incarnation: u64,
    /// What the manifest says, without what was replayed.
    pub(super) state: State,
    pub(super) packs: BTreeMap<Lsn, Arc<Pack<F>>>,
    pub(super) logs: BTreeMap<LogId, RecoveredLog<F>>,
    pub(super) memory: Memory,
    pub(super) summary: Summary,
    pub(super) next_log: u64,
    pub(super) next_wal: u64,
    pub(super) wal_bytes: u64,
    pub(super) wal_files: usize,
    pub(super) tail: Option<Tail>,
    /// The last transaction below the highest claim: what is durable without being copied.
    pub(super) known_lsn: Lsn,
    /// Names that nothing refers to.
    pub(super) orphans: Vec<String>,
    pub(super) report: RecoveryReport,
}

impl<F: VfsFile> Image<F> {
    /// `None`: there is no store in this folder.
    pub(super) fn read<V: Vfs<File = F>>(vfs: &V, dir: &Path, options: &Options) -> Result<Option<Self>, OpenError> {
        let names = vfs.list(dir).during(Operation::List)?;
        let named: Vec<(Named, String)> = names.into_iter().map(|name| (Named::of(&name), name)).collect();
        if !named.iter().any(|(kind, _)| *kind == Named::Manifest) {
            let lost = named.iter().any(|(kind, _)| matches!(kind, Named::Wal(_) | Named::Pack(_)));
            return if lost { Err(OpenError::Missing { file: MANIFEST.to_owned() }) } else { Ok(None) };
        }
        let manifest = Manifest::decode(&read_named(vfs, dir, MANIFEST)?)?;
        let mut image = Self::of_manifest(vfs, dir, manifest, |_, error| Err(error))?;
        image.orphans = image.find_orphans(&named);
        let clean = read_clean(vfs, dir, &named, image.identity);
        let wals = named.iter().filter_map(|(kind, _)| if let Named::Wal(number) = kind { Some(*number) } else { None });
        let wals: BTreeSet<u64> = wals.filter(|number| *number >= image.state.position.wal_first).collect();
        image.replay(vfs, dir, &wals, clean, options)?;
        image.reaches_what_was_durable()?;
        image.report.orphans = image.orphans.len() as u64;
        image.report.lsn = image.summary.lsn;
        let removing = image.logs.values().filter(|log| log.view.life == Life::Removing);
        image.report.pending_removals = removing.map(|log| Box::from(&*log.key)).collect();
        image.report.pending_removals.sort_unstable();
        Ok(Some(image))
    }

    /// What the manifest saw durable is here. Where the write-ahead log alone cannot tell damage in its last batches from a torn tail, the manifest can.
    pub(super) fn reaches_what_was_durable(&self) -> Result<(), OpenError> {
        if self.summary.lsn >= self.state.position.durable {
            return Ok(());
        }
        let end = self.report.torn.as_ref().map(|torn| (torn.file.clone(), torn.offset));
        let (file, offset) = end.unwrap_or_else(|| (wal_name(self.next_wal.saturating_sub(1)), 0));
        Err(corrupt(&file, offset, Defect::Truncated))
    }

    /// The manifest's logs and packs.
    pub(super) fn of_manifest<V: Vfs<File = F>>(
        vfs: &V,
        dir: &Path,
        manifest: Manifest,
        mut unreadable: impl FnMut(&PackInfo, OpenError) -> Result<(), OpenError>,
    ) -> Result<Self, OpenError> {
        let Manifest { header, state } = manifest;
        let mut logs = BTreeMap::new();
        for (id, row) in &state.logs {
            let mut view = View::empty();
            view.packed = state.position.packed;
            view.trimmed = row.trimmed;
            view.life = if row.removing { Life::Removing } else { Life::Live };
            view.metas = row.meta.iter().map(|(lsn, bytes)| Meta { lsn: *lsn, bytes: PlainArc::clone(bytes) }).collect();
            // A trim may be in the manifest before records below it are replayed: it says nothing about the last offset.
            logs.insert(*id, RecoveredLog::new(PlainArc::clone(&row.key), view));
        }
        let mut packs = BTreeMap::new();
        for info in state.packs.values() {
            let pack = match Pack::open(vfs, dir, *info, header.identity) {
                Ok(pack) => Arc::new(pack),
                Err(error) => {
                    unreadable(info, error)?;
                    continue;
                }
            };
            for (row, content) in pack.rows().iter().enumerate() {
                let log = logs.get_mut(&content.log).filter(|log| log.view.trimmed < content.last);
                match log {
                    Some(log) => {
                        log.last = log.last.max(content.last);
                        log.view.extents.push(Extent { pack: Arc::clone(&pack), row });
                    }
                    None => pack.bury(row),
                }
            }
            packs.insert(info.high, pack);
        }
        let summary = Summary { lsn: state.position.packed, ..Summary::default() };
        Ok(Self {
            identity: header.identity,
            incarnation: header.incarnation,
            next_log: state.position.next_log,
            next_wal: state.position.wal_first,
            state,
            packs,
            logs,
            memory: Memory::default(),
            summary,
            wal_bytes: 0,
            wal_files: 0,
            tail: None,
            known_lsn: 0,
            orphans: Vec::new(),
            report: RecoveryReport::default(),
        })
    }

    fn find_orphans(&self, named: &[(Named, String)]) -> Vec<String> {
        let packs: BTreeSet<u64> = self.packs.values().map(|pack| pack.info.number).collect();
        let orphan = |kind: &Named| match kind {
            Named::Unfinished => true,
            Named::Wal(number) => *number < self.state.position.wal_first,
            Named::Pack(number) => !packs.contains(number),
            Named::Manifest | Named::Clean | Named::Other => false,
        };
        named.iter().filter(|(kind, _)| orphan(kind)).map(|(_, name)| name.clone()).collect()
    }

    /// Replays the write-ahead logs, which have to follow one another without a gap.
    pub(super) fn replay<V: Vfs<File = F>>(
        &mut self,
        vfs: &V,
        dir: &Path,
        wals: &BTreeSet<u64>,
        clean: Option<Clean>,
        options: &Options,
    ) -> Result<(), OpenError> {
        let first = self.state.position.wal_first;
        let last = wals.last().copied().unwrap_or(0).max(self.state.position.wal_known);
        let missing = |number| OpenError::Missing { file: wal_name(number) };
        if let Some(gap) = (first..=last).find(|number| !wals.contains(number)) {
            return Err(missing(gap));
        }
        let mut replay = Replay { image: self, options, open: None };
        let replayed = replay.files(vfs, dir, wals, last, clean);
        // Also if a file is damaged: what stands then is the state at the last commit before the damage.
        if planted::has(Planted::KeepUncommitted)
            && let Some(lsn) = replay.open.as_ref().map(|open| open.lsn)
        {
            replay.commit(lsn).ok();
        }
        let open = replay.drop_open();
        if let Some(tail) = &mut self.tail {
            tail.open = open;
        }
        self.next_wal = if wals.is_empty() { first } else { last + 1 };
        replayed
    }
}

fn open_wal<V: Vfs>(vfs: &V, dir: &Path, number: u64, identity: u128) -> Result<Window<V::File>, OpenError> {
    let window = Window::open(vfs, dir, number)?.ok_or_else(|| OpenError::Missing { file: wal_name(number) })?;
    if window.header.identity == identity { Ok(window) } else { Err(OpenError::Foreign { file: window.name }) }
}

/// What the transaction that no COMMIT has ended yet wrote so far. Its records are in the views already, above the last committed transaction.
struct Open {
    lsn: Lsn,
    /// Each once: a log remembers who touched it last.
    touched: Vec<LogId>,
    metas: Vec<(LogId, Meta)>,
    records: u64,
    bytes: u64,
}

struct Replay<'a, F> {
    image: &'a mut Image<F>,
    options: &'a Options,
    open: Option<Open>,
}

impl<F: VfsFile> Replay<'_, F> {
    fn files<V: Vfs<File = F>>(
        &mut self,
        vfs: &V,
        dir: &Path,
        wals: &BTreeSet<u64>,
        last: u64,
        clean: Option<Clean>,
    ) -> Result<(), OpenError> {
        let mut file = match wals.first() {
            Some(number) => Some(open_wal(vfs, dir, *number, self.image.identity)?),
            None => None,
        };
        while let Some(mut current) = file {
            let number = current.header.number;
            let next = if number < last { Some(open_wal(vfs, dir, number + 1, self.image.identity)?) } else { None };
            let continued = match &next {
                Some(next) => {
                    let previous = previous(&next.header).filter(|previous| previous.number == number);
                    Some(previous.ok_or_else(|| corrupt(&next.name, 0, Defect::Meaning))?.end)
                }
                None => None,
            };
            // A file that continues this one was begun after the drain. Then the mark was taken away, and may be back if the power went before the folder was synced;
            // where this file ends is what the next one says.
            let clean = clean.filter(|clean| clean.wal == number && continued.is_none()).map(|clean| clean.end);
            self.file(&mut current, continued, clean)?;
            file = next;
        }
        Ok(())
    }

    /// Applies one file. `continued`: where the next file says that this one ends; `clean`: where a drain says so.
    fn file(&mut self, file: &mut Window<F>, continued: Option<u64>, clean: Option<u64>) -> Result<(), OpenError> {
        let mut known = born_length(&file.header).max(continued.unwrap_or(0)).max(clean.unwrap_or(0));
        // The transaction before each batch that no claim covers so far.
        let mut unclaimed = VecDeque::new();
        let mut at = FIRST_BATCH as u64;
        let mut torn = false;
        while !torn && continued.is_none_or(|end| at < end) {
            let Some(batch) = file.batch(at)? else { break };
            known = known.max(batch.durable);
            unclaimed.push_back((at, self.image.summary.lsn));
            while unclaimed.front().is_some_and(|(start, _)| *start < known) {
                unclaimed.pop_front();
            }
            at += BATCH_HEADER_BYTES as u64;
            while at < batch.end {
                let Some((entry, end)) = file.entry(at, batch.end)? else {
                    torn = true;
                    break;
                };
                if let Err(defect) = self.entry(&entry) {
                    return Err(corrupt(&file.name, at, defect));
                }
                at = end;
            }
        }
        let known = file.highest_claim(at, known)?;
        if planted::has(Planted::TornIsCorrupt) && torn {
            return Err(corrupt(&file.name, at, Defect::Checksum));
        }
        if at < known && !planted::has(Planted::CorruptIsTorn) {
            return Err(corrupt(&file.name, at, if at >= file.length() { Defect::Truncated } else { Defect::Checksum }));
        }
        self.image.wal_bytes += at;
        self.image.wal_files += 1;
        self.image.known_lsn = unclaimed.iter().find(|(start, _)| *start >= known).map_or(self.image.summary.lsn, |(_, lsn)| *lsn);
        if continued.is_none() {
            self.image.report.clean = clean == Some(at);
            let torn = clean.is_none() && (torn || file.is_written_at(at)?);
            self.image.report.torn = torn.then(|| TornTail { file: file.name.clone(), offset: at });
            let previous = Previous { number: file.header.number, end: known };
            self.image.tail = Some(Tail { previous, entries: read_tail(file, known, at)?, open: None });
        }
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), Defect> {
        let log = LogId(entry.subject);
        match entry.kind {
            Kind::Run => self.run(log, entry.body)?,
            Kind::Meta => {
                let lsn = Cursor::new(entry.body).u64().ok_or(Defect::Meaning)?;
                let bytes = PlainArc::from(entry.body.get(8..).ok_or(Defect::Meaning)?);
                if planted::has(Planted::MetaWithoutCommit)
                    && let Some(found) = self.image.logs.get_mut(&log)
                {
                    found.view.metas = vec![Meta { lsn, bytes: PlainArc::clone(&bytes) }];
                }
                self.check_created(log)?;
                if self.image.logs.contains_key(&log) {
                    self.transaction(lsn)?.metas.push((log, Meta { lsn, bytes }));
                }
            }
            Kind::Commit => self.commit(entry.subject)?,
            Kind::Abort => {
                self.drop_open();
            }
            Kind::Create => {
                if log.0 < self.image.next_log {
                    return Err(Defect::Meaning);
                }
                let key: PlainArc<[u8]> = PlainArc::from(entry.body);
                self.image.next_log = log.0 + 1;
                self.image.logs.insert(log, RecoveredLog::new(PlainArc::clone(&key), View::empty()));
                self.image.summary.changes.push(Change::Create { log, key });
            }
            Kind::Tombstone => {
                if let Some(found) = self.image.logs.get_mut(&log) {
                    found.view.life = Life::Removing;
                    self.image.summary.changes.push(Change::Tombstone { log });
                }
            }
            Kind::Purge => {
                if let Some(purged) = self.image.logs.remove(&log) {
                    self.image.memory.leave(purged.view.block_bytes());
                    purged.view.extents.iter().for_each(|extent| extent.pack.bury(extent.row));
                    self.image.summary.changes.push(Change::Purge { log });
                }
            }
            Kind::Trim => {
                let mut cursor = Cursor::new(entry.body);
                let upto = cursor.offset().ok_or(Defect::Meaning)?;
                self.trim(log, upto);
            }
        }
        Ok(())
    }

    fn trim(&mut self, log: LogId, upto: Offset) {
        let Some(found) = self.image.logs.get_mut(&log) else { return };
        found.view.trimmed = found.view.trimmed.max(upto);
        found.view.drop_extents(upto).iter().for_each(|extent| extent.pack.bury(extent.row));
        if found.last <= upto {
            found.writer = None;
        }
        let freed = found.view.drop_blocks(upto, found.last);
        self.image.memory.leave(freed);
        self.image.summary.changes.push(Change::Trim { log, upto });
    }

    /// The open transaction, which has to be `lsn`.
    fn transaction(&mut self, lsn: Lsn) -> Result<&mut Open, Defect> {
        if lsn <= self.image.summary.lsn {
            return Err(Defect::Meaning);
        }
        let open = self.open.get_or_insert_with(|| Open { lsn, touched: Vec::new(), metas: Vec::new(), records: 0, bytes: 0 });
        if open.lsn == lsn { Ok(open) } else { Err(Defect::Meaning) }
    }

    fn commit(&mut self, lsn: Lsn) -> Result<(), Defect> {
        if lsn <= self.image.summary.lsn || self.open.as_ref().is_some_and(|open| open.lsn != lsn) {
            return Err(Defect::Meaning);
        }
        if let Some(open) = self.open.take() {
            self.image.report.records += open.records;
            self.image.report.bytes += open.bytes;
            for log in open.touched {
                // One that was purged in between is in the summary all the same: what is written from it looks again.
                if self.image.logs.get_mut(&log).is_none_or(|found| !std::mem::replace(&mut found.in_summary, true)) {
                    self.image.summary.run(log);
                }
            }
            for (log, meta) in open.metas {
                if let Some(found) = self.image.logs.get_mut(&log) {
                    found.view.metas = vec![meta.clone()];
                    self.image.summary.meta(log, meta);
                }
            }
        }
        self.image.summary.commit(lsn);
        Ok(())
    }

    /// One that was purged may still be written to by older entries; one that never was may not.
    fn check_created(&self, log: LogId) -> Result<(), Defect> {
        if log.0 < self.image.next_log { Ok(()) } else { Err(Defect::Meaning) }
    }

    /// Takes a run's records into the log's view, as a writer would: they are of no effect before the COMMIT.
    fn run(&mut self, log: LogId, frames: &[u8]) -> Result<(), Defect> {
        let lsn = FrameHeader::decode(frames, 0).ok_or(Defect::Meaning)?.offset.tx;
        self.transaction(lsn)?;
        self.check_created(log)?;
        let (Some(found), Some(open)) = (self.image.logs.get_mut(&log), &mut self.open) else { return Ok(()) };
        if found.touched_by != lsn {
            found.touched_by = lsn;
            found.before = found.last;
            open.touched.push(log);
        }
        open.bytes += frames.len() as u64;
        open.records += append(found, lsn, frames, &self.image.memory, self.options)?;
        Ok(())
    }

    /// Drops what no COMMIT followed; returns the transaction it belonged to.
    fn drop_open(&mut self) -> Option<Lsn> {
        let open = self.open.take()?;
        for log in open.touched {
            if let Some(found) = self.image.logs.get_mut(&log) {
                found.last = found.before;
                found.touched_by = 0;
                found.writer = None;
                let freed = found.view.undo(open.lsn);
                self.image.memory.leave(freed);
            }
        }
        self.image.report.dropped_records += open.records;
        self.image.report.dropped_bytes += open.bytes;
        Some(open.lsn)
    }
}

/// Copies the frames, all of transaction `lsn`, to the end of the log; returns how many there are.
fn append<F>(found: &mut RecoveredLog<F>, lsn: Lsn, frames: &[u8], memory: &Memory, options: &Options) -> Result<u64, Defect> {
    let mut records = 0;
    let mut at = 0;
    // Frames that fit into one block are copied as one piece.
    let mut piece = 0;
    let mut room = found.writer.as_ref().map_or(0, BlockWriter::room);
    while at < frames.len() {
        let frame = Frame::at(frames, at).ok_or(Defect::Meaning)?;
        if frame.offset.tx != lsn || frame.offset <= found.last {
            return Err(Defect::Meaning);
        }
        if frame.end - piece > room {
            push_piece(&mut found.writer, frames.get(piece..at).unwrap_or_default());
            piece = at;
            let double = found.writer.as_ref().map_or(256, |writer| writer.block().capacity() * 2);
            let left = (frames.len() - at).min(options.block_bytes_max);
            let capacity = double.max(left).min(options.block_bytes_max).max(frame.end - at);
            let writer = BlockWriter::new(capacity, &memory.alive);
            memory.enter(capacity);
            found.view.blocks.push(BlockRef { block: Arc::clone(writer.block()), first: frame.offset, limit: usize::MAX });
            room = writer.room();
            found.writer = Some(writer);
        }
        found.last = frame.offset;
        records += 1;
        at = frame.end;
    }
    push_piece(&mut found.writer, frames.get(piece..).unwrap_or_default());
    Ok(records)
}

/// The entries between two positions, which were read once before.
fn read_tail<F: VfsFile>(file: &mut Window<F>, from: u64, upto: u64) -> Result<Vec<(Kind, u64, Vec<u8>)>, Failure> {
    let mut entries = Vec::new();
    let mut at = from;
    while at < upto {
        let Some(batch) = file.batch(at)? else { break };
        at += BATCH_HEADER_BYTES as u64;
        while at < batch.end.min(upto) {
            let Some((entry, end)) = file.entry(at, batch.end)? else { return Ok(entries) };
            entries.push((entry.kind, entry.subject, entry.body.to_vec()));
            at = end;
        }
    }
    Ok(entries)
}

fn push_piece(writer: &mut Option<BlockWriter>, piece: &[u8]) {
    if let Some(writer) = writer {
        let fits = writer.push(piece, &[]);
        debug_assert!(fits);
    }
}

/// What a clean mark says.
#[derive(Clone, Copy)]
pub(super) struct Clean {
    wal: u64,
    end: u64,
}

/// The clean mark, if there is a good one. A bad one is as good as none.
pub(super) fn read_clean<V: Vfs>(vfs: &V, dir: &Path, named: &[(Named, String)], identity: u128) -> Option<Clean> {
    named.iter().find(|(kind, _)| *kind == Named::Clean)?;
    let bytes = read_named(vfs, dir, CLEAN).ok()?;
    let header = FileHeader::decode(&bytes, CLEAN, FileKind::Clean, Some(0)).ok().filter(|header| header.identity == identity)?;
    let [wal, end, ..] = header.fields;
    Some(Clean { wal, end })
}

pub(super) fn read_named<V: Vfs>(vfs: &V, dir: &Path, name: &str) -> Result<Vec<u8>, OpenError> {
    let file = vfs.open(&dir.join(name)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => OpenError::Missing { file: name.to_owned() },
        _ => OpenError::Io(Failure::new(Operation::Open, &error)),
    })?;
    Ok(read_file(&file)?)
}

fn corrupt(file: &str, offset: u64, defect: Defect) -> OpenError {
    OpenError::Corrupt { file: file.to_owned(), offset, defect }
}
