//! The bytes of one file: what readers see, what would survive, and what lies between.
//!
//! A write is atomic by sector at most. The cache keeps the newest bytes; each sector on the medium may hold any older state of itself, so a loss
//! of power picks, for each sector, how many of the unsynced writes had reached it.

use fastrand::Rng;

/// The unit that a medium writes whole.
const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;

#[derive(Clone)]
struct Write {
    offset: usize,
    bytes: Vec<u8>,
}

impl Write {
    fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    /// What readers see: the page cache.
    current: Vec<u8>,
    /// What survives a loss of power for certain.
    durable: Vec<u8>,
    /// Since the last sync, oldest first.
    pending: Vec<Write>,
    /// A sync failed: some of `current` is on no medium, and no later sync brings it there.
    pub(super) is_doubtful: bool,
}

impl Inode {
    pub(super) fn with_bytes(bytes: &[u8]) -> Self {
        Self { current: bytes.to_vec(), durable: bytes.to_vec(), ..Self::default() }
    }

    pub(super) fn current(&self) -> &[u8] {
        &self.current
    }

    pub(super) fn length(&self) -> usize {
        self.current.len()
    }

    /// A loss of power would change nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty() && !self.is_doubtful
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        overlay(&mut self.current, bytes, offset);
        self.pending.push(Write { offset, bytes: bytes.to_vec() });
    }

    /// Grows the file by what the medium happened to hold.
    pub(super) fn extend(&mut self, stale: &[u8]) {
        let offset = self.current.len();
        self.write(stale, offset);
    }

    pub(super) fn sync(&mut self) {
        for write in self.pending.drain(..) {
            overlay(&mut self.durable, &write.bytes, write.offset);
        }
    }

    /// A sync that fails: part of what was pending reaches the medium, the rest is marked clean all the same. Readers still see it.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        let survivors = self.survivors(rng, &[]);
        self.durable = survivors;
        self.pending.clear();
        self.is_doubtful = true;
    }

    /// The process died, the machine did not: the cache stays, save for what a failed sync left in it, which may be evicted.
    pub(super) fn evict(&mut self, rng: &mut Rng) {
        if self.is_doubtful && rng.bool() {
            let mut current = self.durable.clone();
            for write in &self.pending {
                overlay(&mut current, &write.bytes, write.offset);
            }
            self.current = current;
        }
        self.is_doubtful = false;
    }

    /// Keeps of the unsynced what `rng` lets survive. `stale` is what the medium holds where it was never written.
    pub(super) fn lose_power(&mut self, rng: &mut Rng, stale: &[u8]) {
        self.durable = self.survivors(rng, stale);
        self.current.clone_from(&self.durable);
        self.pending.clear();
        self.is_doubtful = false;
    }

    fn survivors(&self, rng: &mut Rng, stale: &[u8]) -> Vec<u8> {
        let mut survivors = self.durable.clone();
        let count = self.pending.len();
        if count == 0 {
            return survivors;
        }
        let unit = if rng.bool() { SECTOR_BYTES } else { PAGE_BYTES };
        let pending_end = self.pending.iter().map(Write::end).max().unwrap_or(0);
        let cutoffs = cutoffs(rng, pending_end.div_ceil(unit), count);
        for (index, write) in self.pending.iter().enumerate() {
            for (sector, &cutoff) in
                cutoffs.iter().enumerate().skip(write.offset / unit).take_while(|(sector, _)| sector * unit < write.end())
            {
                if index < cutoff {
                    let from = write.offset.max(sector * unit);
                    let to = write.end().min((sector + 1) * unit);
                    overlay_with(&mut survivors, &write.bytes[from - write.offset..to - write.offset], from, stale);
                }
            }
        }
        // The length is metadata of its own: it may run ahead of the bytes, or lag behind them.
        match rng.u8(0..8) {
            0 | 1 if pending_end > survivors.len() => overlay_with(&mut survivors, &[], pending_end, stale),
            2 => survivors.truncate(self.durable.len().max(rng.usize(0..=survivors.len()))),
            _ => {}
        }
        survivors
    }

    pub(super) fn flip_bit(&mut self, offset: usize, bit: u32) {
        for bytes in [&mut self.current, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }
}

/// For each sector, how many of the `count` pending writes reached it.
fn cutoffs(rng: &mut Rng, sectors: usize, count: usize) -> Vec<usize> {
    match rng.u8(0..6) {
        0 => vec![0; sectors],
        1 => vec![count; sectors],
        // In the order written, with a tear at one moment.
        2 => vec![rng.usize(0..=count); sectors],
        // Each sector by itself.
        3 => (0..sectors).map(|_| if rng.bool() { count } else { rng.usize(0..=count) }).collect(),
        // One hole, or one island.
        4 => {
            let (from, to) = (rng.usize(0..=sectors), rng.usize(0..=sectors));
            let is_hole = rng.bool();
            (0..sectors).map(|sector| if (from.min(to)..from.max(to)).contains(&sector) == is_hole { 0 } else { count }).collect()
        }
        // Runs of sectors, some lost.
        _ => {
            let mut cutoffs = Vec::with_capacity(sectors);
            while cutoffs.len() < sectors {
                let cutoff = if rng.bool() { count } else { rng.usize(0..=count) };
                let run = rng.usize(1..=16).min(sectors - cutoffs.len());
                cutoffs.extend(std::iter::repeat_n(cutoff, run));
            }
            cutoffs
        }
    }
}

fn overlay(target: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    overlay_with(target, bytes, offset, &[]);
}

/// Puts `bytes` at `offset`; what lies between the old end and `offset` reads as `filler`, or zero where that ends.
fn overlay_with(target: &mut Vec<u8>, bytes: &[u8], offset: usize, filler: &[u8]) {
    let old_end = target.len();
    let end = offset + bytes.len();
    if end > old_end {
        target.resize(end, 0);
        let filled_to = offset.min(filler.len());
        if old_end < filled_to {
            target[old_end..filled_to].copy_from_slice(&filler[old_end..filled_to]);
        }
    }
    target[offset..end].copy_from_slice(bytes);
}
