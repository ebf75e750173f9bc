//! The keeper: turns sealed write-ahead logs into pack files, merges packs, gives space back. The only one to write packs and the manifest.
//!
//! Order, for a seal: the pack is durable, then the manifest names it, then views are swapped to it, then the write-ahead logs go. A crash between any two of them leaves
//! a state that the next open understands: a pack that no manifest names is an orphan, a log older than the manifest's first is of no use.
//! Order: what a pack leaves out because of a trim or a purge is said in the manifest, and the manifest says so only once that trim or purge is durable in the write-ahead
//! log: else it would survive a crash that takes transactions before it.
//! Commits do not wait for any of this, unless memory is full.

use super::directory::wal_name;
use super::engine::Engine;
use super::failure::{Failure, Operation};
use super::flush::{Progress, Sealed};
use super::frame::Frame;
use super::manifest::{Change, ManifestWriter, PackInfo, Position, State};
use super::merge::{Merge, MergeStep};
use super::pack::{Pack, PackWriter};
use super::planted::{self, Planted};
use super::position::{LogId, Lsn, Offset};
use super::vfs::Vfs;
use super::view::{Extent, Life, View};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, PoisonError};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub struct Keeper<V: Vfs> {
    pub(super) shared: Arc<Engine<V>>,
    _lock: Arc<V::Lock>,
    state: State,
    manifest: ManifestWriter<V::File>,
    /// By the highest transaction.
    packs: BTreeMap<Lsn, Arc<Pack<V::File>>>,
    merge: Option<Merge<V::File>>,
    /// A pack that is written and not in the manifest yet.
    prepared: Option<Prepared<V::File>>,
    /// A merge met a damaged pack: its files are left as they are.
    merging_stopped: bool,
    /// Names of files that nothing needs.
    useless: VecDeque<String>,
}

/// A seal up to its manifest edit.
struct Prepared<F> {
    touched: BTreeSet<LogId>,
    changes: Vec<Change>,
    pack: Option<Pack<F>>,
    high: Lsn,
    wal_first: u64,
    next_log: u64,
    /// The newest trim or purge that the views had.
    cut_sequence: u64,
}

impl<V: Vfs> Keeper<V> {
    pub(super) fn new(
        shared: Arc<Engine<V>>,
        lock: Arc<V::Lock>,
        state: State,
        manifest: ManifestWriter<V::File>,
        packs: BTreeMap<Lsn, Arc<Pack<V::File>>>,
        useless: VecDeque<String>,
    ) -> Self {
        let keeper = Self { shared, _lock: lock, state, manifest, packs, merge: None, prepared: None, merging_stopped: false, useless };
        keeper.publish_figures();
        keeper
    }

    /// Does one seal, one part of a merge, or one removal of a file.
    pub fn step(&mut self) -> Progress {
        if self.shared.stopped() {
            return Progress::Closed;
        }
        if self.shared.stage().failure.is_some() {
            return Progress::Failed;
        }
        let (freed, sealed, drained) = {
            let mut inbox = self.shared.inbox();
            let sealed = if self.prepared.is_none() { inbox.sealed.pop_front() } else { None };
            inbox.sealing = self.prepared.is_some() || sealed.is_some();
            (std::mem::take(&mut inbox.freed), sealed, inbox.drained)
        };
        for extent in freed {
            extent.pack.bury(extent.row);
        }
        match self.advance(sealed, drained) {
            Ok(progress) => {
                self.publish_figures();
                progress
            }
            Err(failure) => {
                self.shared.fail(failure);
                Progress::Failed
            }
        }
    }

    /// Steps on a thread of its own until the store is closed or failed.
    pub fn run(mut self) {
        loop {
            match self.step() {
                Progress::Worked => {}
                Progress::Idle | Progress::DueIn(_) => self.rest(),
                Progress::Failed | Progress::Closed => return,
            }
        }
    }

    fn rest(&self) {
        let mut inbox = self.shared.inbox();
        // While a seal waits for a sync, the next one has to wait too.
        let waits = |inbox: &super::engine::Inbox<V::File>| match self.cut_awaited() {
            Some(cut_sequence) => !self.shared.has_durable(cut_sequence),
            None => inbox.sealed.is_empty() && inbox.freed.is_empty(),
        };
        while waits(&inbox) && !inbox.drained && !self.shared.stopped() && !self.shared.has_failed() {
            inbox = self.shared.keeper_work.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn advance(&mut self, sealed: Option<Sealed>, drained: bool) -> Result<Progress, Failure> {
        if let Some(sealed) = sealed {
            self.prepared = Some(self.prepare(sealed)?);
        }
        if let Some(prepared) = self.prepared.take_if(|prepared| self.shared.has_durable(prepared.cut_sequence)) {
            self.seal(prepared)?;
            self.shared.inbox().sealing = false;
            // The flusher may have waited for the memory that this freed.
            self.shared.room.advance(self.shared.room.load() + 1);
            return Ok(Progress::Worked);
        }
        if drained {
            return Ok(Progress::Closed);
        }
        if self.prepared.is_some() {
            return Ok(Progress::Idle);
        }
        if let Some(name) = self.useless.pop_front() {
            match self.shared.vfs.remove(&self.shared.dir.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Failure::new(Operation::Remove, &error)),
                _ => return Ok(Progress::Worked),
            }
        }
        if self.manifest.renew(&self.shared.vfs, &self.shared.dir, self.shared.identity, self.shared.incarnation, &self.state)? {
            return Ok(Progress::Worked);
        }
        self.advance_merge()
    }

    /// What a waiting edit of the manifest needs durable.
    fn cut_awaited(&self) -> Option<u64> {
        let merge = self.merge.as_ref().and_then(Merge::cut_awaited);
        self.prepared.as_ref().map(|prepared| prepared.cut_sequence).or(merge)
    }

    /// Makes a pack of all that the sealed logs committed.
    fn prepare(&mut self, sealed: Sealed) -> Result<Prepared<V::File>, Failure> {
        let Sealed { summary, wal_first, next_log } = sealed;
        let mut changes = summary.changes;
        let high = summary.lsn;
        let pack = self.write_pack(&summary.touched, high, &mut changes)?;
        // Order: after the views were read, so that it covers what they left out.
        let cut_sequence = self.shared.stage().cut_sequence;
        changes.extend(summary.metas.into_iter().map(|(log, meta)| Change::Meta { log, lsn: meta.lsn, bytes: meta.bytes }));
        Ok(Prepared { touched: summary.touched, changes, pack, high, wal_first, next_log, cut_sequence })
    }

    /// Makes the manifest say all that the sealed logs changed, and the pack part of the logs.
    fn seal(&mut self, prepared: Prepared<V::File>) -> Result<(), Failure> {
        let Prepared { touched, mut changes, pack, high, mut wal_first, next_log, .. } = prepared;
        if planted::has(Planted::LowerMarkEarly) {
            wal_first += 1;
        }
        changes.extend(pack.iter().map(|pack| Change::AddPack(pack.info)));
        let before = self.state.position;
        changes.push(Change::Position(Position {
            packed: high,
            wal_first,
            wal_known: wal_first,
            next_log: before.next_log.max(next_log),
            next_pack: before.next_pack + 1,
            durable: self.shared.durable.load(),
        }));
        if planted::has(Planted::RemoveLogEarly) {
            for number in before.wal_first..wal_first {
                self.shared.vfs.remove(&self.shared.dir.join(wal_name(number))).ok();
            }
            self.shared.vfs.sync_dir(&self.shared.dir).ok();
        }
        self.manifest.append(&changes)?;
        for change in changes {
            self.state.apply(change);
        }
        let pack = pack.map(Arc::new);
        if let Some(pack) = &pack {
            self.packs.insert(high, Arc::clone(pack));
        }
        self.swap_to_pack(&touched, pack.as_ref(), high);
        self.useless.extend((before.wal_first..wal_first).map(wal_name));
        Ok(())
    }

    /// The pack of the touched logs' records up to `high`; none if all of them were trimmed or purged by now. What is left out for that reason goes into `changes`.
    fn write_pack(&self, touched: &BTreeSet<LogId>, high: Lsn, changes: &mut Vec<Change>) -> Result<Option<Pack<V::File>>, Failure> {
        let shared = &self.shared;
        if touched.is_empty() {
            return Ok(None);
        }
        let info = PackInfo { number: self.state.position.next_pack, above: self.state.position.packed, high, length: 0 };
        let mut writer = PackWriter::create(&shared.vfs, &shared.dir, shared.identity, shared.incarnation, info)?;
        for id in touched {
            let log = shared.catalog().by_id(*id).map(Arc::clone);
            let Some(log) = log else {
                changes.push(Change::Purge { log: *id });
                continue;
            };
            let view = log.view();
            if view.life == Life::Purged {
                changes.push(Change::Purge { log: *id });
                continue;
            }
            if view.trimmed > Offset::START {
                changes.push(Change::Trim { log: *id, upto: view.trimmed });
            }
            for (offset, payload) in memory_records(&view, high) {
                writer.push(*id, offset, payload)?;
            }
        }
        if writer.is_empty() {
            writer.discard(&shared.vfs, &shared.dir)?;
            return Ok(None);
        }
        writer.finish(&shared.vfs, &shared.dir).map(Some)
    }

    /// Lets the touched logs read from the pack what they had in memory up to `high`.
    fn swap_to_pack(&self, touched: &BTreeSet<LogId>, pack: Option<&Arc<Pack<V::File>>>, high: Lsn) {
        let mut rows = pack.map(|pack| pack.rows().iter().enumerate().peekable());
        for id in touched {
            let row = rows.as_mut().and_then(|rows| rows.next_if(|(_, row)| row.log == *id));
            let extent = pack.zip(row).map(|(pack, (row, _))| Extent { pack: Arc::clone(pack), row });
            self.swap_log(*id, extent, Offset::end_of(high));
        }
    }

    fn swap_log(&self, id: LogId, extent: Option<Extent<V::File>>, border: Offset) {
        let log = self.shared.catalog().by_id(id).map(Arc::clone);
        let Some(log) = log else {
            extent.iter().for_each(|extent| extent.pack.bury(extent.row));
            return;
        };
        // Order: under the staging lock, so that no writer extends a block that is being let go.
        let mut stage = self.shared.stage();
        let Some(appender) = stage.appender(&log) else { return };
        let last = appender.last;
        if last <= border {
            appender.writer = None;
        }
        if planted::has(Planted::SwapInTwoSteps) {
            self.shared.memory.leave(log.update(|view| {
                view.packed = view.packed.max(border.tx);
                view.drop_blocks(border, last)
            }));
        }
        let freed = log.update(|view| {
            if let Some(extent) = extent {
                if view.life == Life::Purged || extent.last() <= view.trimmed {
                    extent.pack.bury(extent.row);
                } else {
                    view.extents.push(extent);
                }
            }
            view.packed = view.packed.max(border.tx);
            view.drop_blocks(border, last)
        });
        self.shared.memory.leave(freed);
    }

    fn advance_merge(&mut self) -> Result<Progress, Failure> {
        if self.merge.is_none() && !self.merging_stopped {
            self.merge = self.choose_merge();
        }
        let Some(merge) = &mut self.merge else { return Ok(Progress::Idle) };
        match merge.step(&self.shared)? {
            MergeStep::More => Ok(Progress::Worked),
            MergeStep::Damaged => {
                self.merging_stopped = true;
                self.shared.figures.merging_stopped.store(1, Ordering::Relaxed);
                if let Some(merge) = self.merge.take() {
                    merge.discard(&self.shared)?;
                }
                Ok(Progress::Worked)
            }
            MergeStep::Done => {
                if let Some(cut_sequence) = merge.cut_awaited()
                    && !self.shared.has_durable(cut_sequence)
                {
                    return Ok(Progress::Idle);
                }
                if let Some(merge) = self.merge.take() {
                    self.finish_merge(merge)?;
                }
                Ok(Progress::Worked)
            }
        }
    }

    fn choose_merge(&mut self) -> Option<Merge<V::File>> {
        let packs: Vec<_> = self.packs.values().map(Arc::clone).collect();
        let inputs = super::merge::choose(&packs, self.shared.options.merge_fan_in)?;
        let number = self.state.position.next_pack;
        self.state.position.next_pack += 1;
        Some(Merge::new(inputs, number))
    }

    fn finish_merge(&mut self, merge: Merge<V::File>) -> Result<(), Failure> {
        let (inputs, pack, mut changes) = merge.finish(&self.shared)?;
        changes.extend(inputs.iter().map(|input| Change::DropPack { high: input.info.high }));
        changes.extend(pack.iter().map(|pack| Change::AddPack(pack.info)));
        changes.push(Change::Position(Position { durable: self.shared.durable.load(), ..self.state.position }));
        self.manifest.append(&changes)?;
        for change in changes {
            self.state.apply(change);
        }
        for input in &inputs {
            self.packs.remove(&input.info.high);
            self.useless.push_back(input.name());
        }
        if let Some(pack) = pack.map(Arc::new) {
            self.packs.insert(pack.info.high, Arc::clone(&pack));
            self.swap_to_merged(&inputs, &pack);
        }
        Ok(())
    }

    fn swap_to_merged(&self, inputs: &[Arc<Pack<V::File>>], pack: &Arc<Pack<V::File>>) {
        for (row, content) in pack.rows().iter().enumerate() {
            let log = self.shared.catalog().by_id(content.log).map(Arc::clone);
            let used = log.is_some_and(|log| {
                let is_input = |extent: &Extent<V::File>| inputs.iter().any(|input| Arc::ptr_eq(input, &extent.pack));
                let take_inputs = |view: &mut View<V::File>| {
                    let at = view.extents.iter().position(is_input)?;
                    view.extents.retain(|extent| !is_input(extent));
                    Some(at)
                };
                let early = planted::has(Planted::MergeInTwoSteps).then(|| log.update(take_inputs));
                log.update(|view| {
                    let Some(at) = early.unwrap_or_else(|| take_inputs(view)) else { return false };
                    let used = content.last > view.trimmed;
                    if used {
                        view.extents.insert(at, Extent { pack: Arc::clone(pack), row });
                    }
                    used
                })
            });
            if !used {
                pack.bury(row);
            }
        }
    }

    fn publish_figures(&self) {
        let figures = &self.shared.figures;
        figures.pack_files.store(self.packs.len() as u64, Ordering::Relaxed);
        figures.pack_bytes.store(self.packs.values().map(|pack| pack.info.length).sum(), Ordering::Relaxed);
        figures.dead_bytes.store(self.packs.values().map(|pack| pack.dead_bytes()).sum(), Ordering::Relaxed);
    }
}

/// The records that the view has in memory and that belong into a pack up to `high`.
pub(super) fn memory_records<F>(view: &View<F>, high: Lsn) -> impl Iterator<Item = (Offset, &[u8])> + '_ {
    let after = view.trimmed.max(Offset::end_of(view.packed));
    let upto = Offset::end_of(high);
    view.blocks.iter().flat_map(move |block| {
        let bytes = block.bytes();
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let frame = Frame::at(bytes, at).filter(|frame| frame.offset <= upto)?;
                at = frame.end;
                if frame.offset > after {
                    return Some((frame.offset, frame.payload));
                }
            }
        })
    })
}
