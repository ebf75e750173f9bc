//! What a log consists of at one moment: an immutable list of file extents and memory blocks.
//!
//! Invariant: every view made after a position became visible still has all records at or below that position that no trim took away. Moving records from memory to a
//! file, or from file to file, only makes another view. So who first loads the position and then the view misses nothing.
//! Invariant: records of transactions up to `packed` are read from the extents, later ones from the blocks. A block may hold both; the border is this number.

use super::block::Block;
use super::frame::Frame;
use super::pack::Pack;
use super::position::{Lsn, Offset};
use crate::sync::{Arc, PlainArc};

/// Whether a log can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    Live,
    /// A tombstone: the key is taken, nothing can be read or written.
    Removing,
    Purged,
}

pub(super) struct View<F> {
    pub(super) life: Life,
    /// Nothing at or below can be read.
    pub(super) trimmed: Offset,
    pub(super) packed: Lsn,
    /// By offset, without overlap.
    pub(super) extents: Vec<Extent<F>>,
    /// By offset.
    pub(super) blocks: Vec<BlockRef>,
    /// By transaction; the last at or below a position is the one in force there.
    pub(super) metas: Vec<Meta>,
    /// Whether versions of the meta older than those here were forgotten.
    pub(super) metas_forgotten: bool,
}

/// One log's run of frames in one pack.
pub(super) struct Extent<F> {
    pub(super) pack: Arc<Pack<F>>,
    pub(super) row: usize,
}

#[derive(Clone)]
pub(super) struct BlockRef {
    pub(super) block: Arc<Block>,
    pub(super) first: Offset,
    /// Frames from here on are not part of the log (an aborted transaction wrote them).
    pub(super) limit: usize,
}

#[derive(Clone)]
pub(super) struct Meta {
    pub(super) lsn: Lsn,
    pub(super) bytes: PlainArc<[u8]>,
}

/// The version of the meta that a reader needs was forgotten between its two loads.
#[derive(Debug)]
pub(super) struct Forgotten;

impl<F> Clone for Extent<F> {
    fn clone(&self) -> Self {
        Self { pack: Arc::clone(&self.pack), row: self.row }
    }
}

impl<F> Clone for View<F> {
    fn clone(&self) -> Self {
        Self {
            life: self.life,
            trimmed: self.trimmed,
            packed: self.packed,
            extents: self.extents.clone(),
            blocks: self.blocks.clone(),
            metas: self.metas.clone(),
            metas_forgotten: self.metas_forgotten,
        }
    }
}

impl BlockRef {
    /// The bytes of this block that belong to the log and are published.
    pub(super) fn bytes(&self) -> &[u8] {
        let published = self.block.published();
        published.get(..self.limit).unwrap_or(published)
    }
}

impl<F> View<F> {
    pub(super) fn empty() -> Self {
        Self {
            life: Life::Live,
            trimmed: Offset::START,
            packed: 0,
            extents: Vec::new(),
            blocks: Vec::new(),
            metas: Vec::new(),
            metas_forgotten: false,
        }
    }

    /// The meta in force at `position`.
    pub(super) fn meta_at(&self, position: Lsn) -> Result<Option<&Meta>, Forgotten> {
        match self.metas.iter().rev().find(|meta| meta.lsn <= position) {
            Some(meta) => Ok(Some(meta)),
            None if self.metas_forgotten => Err(Forgotten),
            None => Ok(None),
        }
    }

    /// Adds a version; forgets those that no position from `floor` on needs.
    pub(super) fn put_meta(&mut self, meta: Meta, floor: Lsn) {
        self.metas.retain(|old| old.lsn < meta.lsn);
        let needed = self.metas.iter().rposition(|old| old.lsn <= floor).unwrap_or(0);
        self.metas_forgotten |= needed > 0;
        self.metas.drain(..needed);
        self.metas.push(meta);
    }

    /// Forgets all that transaction `lsn`, the latest, wrote. Returns the bytes of the blocks let go.
    pub(super) fn undo(&mut self, lsn: Lsn) -> usize {
        self.metas.retain(|meta| meta.lsn < lsn);
        let kept = self.blocks.partition_point(|block| block.first.tx < lsn);
        let freed = self.blocks.drain(kept..).map(|block| block.block.capacity()).sum();
        if let Some(last) = self.blocks.last_mut() {
            let limit = seek(last.bytes(), Offset::end_of(lsn - 1));
            last.limit = limit;
        }
        freed
    }

    /// Lets go of blocks that hold nothing above `border`. `last` is the log's highest offset. Returns the bytes let go.
    pub(super) fn drop_blocks(&mut self, border: Offset, last: Offset) -> usize {
        let all = last <= border;
        // All records of a block lie below the first of the next.
        let dropped = if all { self.blocks.len() } else { self.blocks.iter().skip(1).take_while(|next| next.first <= border).count() };
        self.blocks.drain(..dropped).map(|block| block.block.capacity()).sum()
    }

    /// Lets go of the extents that end at or below `border`, and returns them.
    pub(super) fn drop_extents(&mut self, border: Offset) -> Vec<Extent<F>> {
        let dropped = self.extents.partition_point(|extent| extent.last() <= border);
        self.extents.drain(..dropped).collect()
    }

    pub(super) fn block_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.block.capacity()).sum()
    }
}

/// Where in `bytes` the first frame above `after` starts; the end of the whole frames if there is none.
pub(super) fn seek(bytes: &[u8], after: Offset) -> usize {
    let mut at = 0;
    while let Some(frame) = Frame::at(bytes, at) {
        if frame.offset > after {
            break;
        }
        at = frame.end;
    }
    at
}
