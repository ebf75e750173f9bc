//! Merging: neighbouring packs become one, without what was trimmed and purged.
//!
//! Size-tiered: a pack's tier is how often its size can be divided by the fan-in; as many neighbours of one tier as the fan-in are merged, so their number grows with the
//! logarithm of the data. A pack half of which is dead is rewritten alone. Only neighbours are merged, so packs stay ordered by transaction.
//! A merge advances in parts of a few MiB: a seal never waits for more than one.

use super::engine::Engine;
use super::failure::Failure;
use super::frame::Frame;
use super::manifest::{Change, PackInfo};
use super::pack::{Pack, PackWriter};
use super::position::{LogId, Offset};
use super::read::{ReadError, check_frame, read_frames};
use super::vfs::{Vfs, VfsFile};
use super::view::Life;
use crate::sync::Arc;

/// How far a step got.
pub(super) enum MergeStep {
    More,
    Done,
    /// An input cannot be read: the merge cannot go on.
    Damaged,
}

pub(super) struct Merge<F> {
    inputs: Vec<Arc<Pack<F>>>,
    info: PackInfo,
    writer: Option<PackWriter<F>>,
    /// The logs of all inputs, ascending.
    logs: Vec<LogId>,
    changes: Vec<Change>,
    at: At,
    /// The newest trim or purge that a look at a log may have seen.
    cut_sequence: u64,
}

/// Where a merge stands: log, input, position in the input's row.
#[derive(Default)]
struct At {
    log: usize,
    input: usize,
    position: Option<u64>,
    /// Records of the current log up to here are left out; asked for once per log.
    trimmed: Option<Trimmed>,
}

#[derive(Clone, Copy)]
enum Trimmed {
    Upto(Offset),
    All,
}

const STEP_BYTES: u64 = 8 * 1024 * 1024;
const READ_BYTES: usize = 1024 * 1024;
const SMALLEST_TIER_BYTES: u64 = 1024 * 1024;
/// So many packs are merged whatever their sizes.
const PACKS_MAX: usize = 64;

/// The neighbours to merge next, if any.
pub(super) fn choose<F: VfsFile>(packs: &[Arc<Pack<F>>], fan_in: usize) -> Option<Vec<Arc<Pack<F>>>> {
    let half_dead = packs.iter().find(|pack| pack.dead_bytes() > 0 && pack.dead_bytes() * 2 >= pack.frame_bytes());
    if let Some(pack) = half_dead {
        return Some(vec![Arc::clone(pack)]);
    }
    let tiers: Vec<u32> = packs.iter().map(|pack| tier(pack.info.length, fan_in)).collect();
    let same = tiers.windows(fan_in).position(|window| window.iter().all(|tier| Some(tier) == window.first()));
    let start = same.or_else(|| {
        let sum = |start: &usize| packs.iter().skip(*start).take(fan_in).map(|pack| pack.info.length).sum::<u64>();
        (packs.len() > PACKS_MAX).then(|| (0..=packs.len() - fan_in).min_by_key(sum)).flatten()
    })?;
    Some(packs.iter().skip(start).take(fan_in).map(Arc::clone).collect())
}

fn tier(length: u64, fan_in: usize) -> u32 {
    (length / SMALLEST_TIER_BYTES).max(1).ilog(fan_in.max(2) as u64)
}

impl<F: VfsFile> Merge<F> {
    /// `inputs` are neighbours, in order.
    pub(super) fn new(inputs: Vec<Arc<Pack<F>>>, number: u64) -> Self {
        let mut logs: Vec<LogId> = inputs.iter().flat_map(|input| input.rows().iter().map(|row| row.log)).collect();
        logs.sort_unstable();
        logs.dedup();
        let above = inputs.first().map_or(0, |input| input.info.above);
        let high = inputs.last().map_or(0, |input| input.info.high);
        Self {
            inputs,
            info: PackInfo { number, above, high, length: 0 },
            writer: None,
            logs,
            changes: Vec::new(),
            at: At::default(),
            cut_sequence: 0,
        }
    }

    /// The trim or purge that must be durable before the manifest may speak of this merge, once all is copied.
    pub(super) fn cut_awaited(&self) -> Option<u64> {
        (self.at.log >= self.logs.len()).then_some(self.cut_sequence)
    }

    /// Copies a few MiB.
    pub(super) fn step<V: Vfs<File = F>>(&mut self, shared: &Engine<V>) -> Result<MergeStep, Failure> {
        let mut left = STEP_BYTES;
        while let Some(id) = self.logs.get(self.at.log).copied() {
            let trimmed = match self.at.trimmed {
                Some(trimmed) => trimmed,
                None => {
                    let trimmed = self.look_up(id, shared);
                    // Order: after the look, so that it covers what was seen.
                    self.cut_sequence = shared.stage().cut_sequence;
                    self.at.trimmed = Some(trimmed);
                    trimmed
                }
            };
            let copied = match trimmed {
                Trimmed::All => None,
                Trimmed::Upto(upto) => match self.copy_part(id, upto, shared) {
                    Ok(copied) => copied,
                    Err(CopyError::Storage(failure)) => return Err(failure),
                    Err(CopyError::Input) => return Ok(MergeStep::Damaged),
                },
            };
            match copied {
                Some(bytes) => left = left.saturating_sub(bytes),
                None => self.at = At { log: self.at.log + 1, ..At::default() },
            }
            if left == 0 {
                return Ok(MergeStep::More);
            }
        }
        Ok(MergeStep::Done)
    }

    /// The inputs, the new pack unless it would be empty, and what has to be said about what was left out.
    #[expect(clippy::type_complexity, reason = "three results of one end")]
    pub(super) fn finish<V: Vfs<File = F>>(self, shared: &Engine<V>) -> Result<(Vec<Arc<Pack<F>>>, Option<Pack<F>>, Vec<Change>), Failure> {
        let pack = self.writer.map(|writer| writer.finish(&shared.vfs, &shared.dir)).transpose()?;
        Ok((self.inputs, pack, self.changes))
    }

    pub(super) fn discard<V: Vfs<File = F>>(self, shared: &Engine<V>) -> Result<(), Failure> {
        self.writer.map_or(Ok(()), |writer| writer.discard(&shared.vfs, &shared.dir))
    }

    /// From where on the log's records are kept. What is left out is said in the manifest together with the merge.
    fn look_up<V: Vfs<File = F>>(&mut self, id: LogId, shared: &Engine<V>) -> Trimmed {
        let view = shared.catalog().by_id(id).map(|log| log.view()).filter(|view| view.life != Life::Purged);
        match view {
            None => {
                self.changes.push(Change::Purge { log: id });
                Trimmed::All
            }
            Some(view) => {
                if view.trimmed > Offset::START {
                    self.changes.push(Change::Trim { log: id, upto: view.trimmed });
                }
                Trimmed::Upto(view.trimmed)
            }
        }
    }

    /// Copies one read's worth of the log's records; `None` once they are all copied.
    fn copy_part<V: Vfs<File = F>>(&mut self, id: LogId, trimmed: Offset, shared: &Engine<V>) -> Result<Option<u64>, CopyError> {
        let Some(input) = self.inputs.get(self.at.input).map(Arc::clone) else { return Ok(None) };
        let row = input.rows().binary_search_by_key(&id, |row| row.log).ok().and_then(|row| input.row(row));
        let Some(row) = row.filter(|row| row.last > trimmed) else {
            self.next_input();
            return Ok(Some(0));
        };
        let position = self.at.position.unwrap_or_else(|| input.seek(row, trimmed).position);
        if position >= row.end {
            self.next_input();
            return Ok(Some(0));
        }
        let mut buffer = read_frames(&input, row, position, READ_BYTES)?;
        if let Some(header) = super::frame::FrameHeader::decode(&buffer, 0)
            && header.frame_bytes() > buffer.len()
        {
            buffer = read_frames(&input, row, position, header.frame_bytes())?;
        }
        let mut at = 0;
        while let Some(frame) = Frame::at(&buffer, at) {
            check_frame(&input, position + at as u64, &buffer, at, &frame)?;
            if frame.offset > trimmed {
                self.writer(shared)?.push(id, frame.offset, frame.payload)?;
            }
            at = frame.end;
        }
        if at == 0 {
            return Err(CopyError::Input);
        }
        self.at.position = Some(position + at as u64);
        Ok(Some(at as u64))
    }

    fn next_input(&mut self) {
        self.at.input += 1;
        self.at.position = None;
    }

    fn writer<V: Vfs<File = F>>(&mut self, shared: &Engine<V>) -> Result<&mut PackWriter<F>, Failure> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => PackWriter::create(&shared.vfs, &shared.dir, shared.identity, shared.incarnation, self.info)?,
        };
        Ok(self.writer.insert(writer))
    }
}

enum CopyError {
    Storage(Failure),
    Input,
}

impl From<Failure> for CopyError {
    fn from(failure: Failure) -> Self {
        Self::Storage(failure)
    }
}

impl From<ReadError> for CopyError {
    fn from(_: ReadError) -> Self {
        Self::Input
    }
}
