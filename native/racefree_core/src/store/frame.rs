//! The record frame, the same in memory blocks, in the write-ahead log and in pack files, and the seeds of all checksums.
//!
//! ```text
//! frame, 24 bytes and the payload, unaligned, little endian
//!  0  tx       u64
//!  8  op       u64
//! 16  length   u32   of the payload
//! 20  crc      u32   pack files: CRC32C over bytes 0..20 and the payload, seeded with the place; zero elsewhere
//! 24  payload
//! ```
//! In memory a checksum has no use, and in the write-ahead log the entry around the frames carries one.
//!
//! A seed is the CRC32C of store identity (16 bytes), kind of file (1), file number (8), incarnation of the store that created the file (8); the position of what
//! is checked (8) is appended to it. Stale bytes of another file, of another life of this file or of another place therefore never pass.

use super::planted::{self, Planted};
use super::position::Offset;

pub(super) const FRAME_HEADER_BYTES: usize = 24;

/// What precedes a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FrameHeader {
    pub(super) offset: Offset,
    pub(super) length: u32,
    pub(super) crc: u32,
}

/// A frame and where the next one starts.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) offset: Offset,
    pub(super) payload: &'a [u8],
    pub(super) crc: u32,
    pub(super) end: usize,
}

impl FrameHeader {
    #[inline]
    pub(super) fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        let (tx, rest) = bytes.split_at_mut(8);
        let (op, rest) = rest.split_at_mut(8);
        let (length, crc) = rest.split_at_mut(4);
        tx.copy_from_slice(&self.offset.tx.to_le_bytes());
        op.copy_from_slice(&self.offset.op.to_le_bytes());
        length.copy_from_slice(&self.length.to_le_bytes());
        crc.copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// The header at `at`; `None` if the bytes end before it does.
    #[inline]
    pub(super) fn decode(bytes: &[u8], at: usize) -> Option<Self> {
        let header: &[u8; FRAME_HEADER_BYTES] = bytes.get(at..)?.first_chunk()?;
        let (tx, rest) = header.split_first_chunk::<8>()?;
        let (op, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (crc, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            offset: Offset { tx: u64::from_le_bytes(*tx), op: u64::from_le_bytes(*op) },
            length: u32::from_le_bytes(*length),
            crc: u32::from_le_bytes(*crc),
        })
    }

    /// How many bytes the whole frame takes.
    pub(super) fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.length as usize
    }
}

impl<'a> Frame<'a> {
    /// The frame at `at`; `None` if the bytes end before it does.
    #[inline]
    pub(super) fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        let header = FrameHeader::decode(bytes, at)?;
        let start = at + FRAME_HEADER_BYTES;
        let end = start.checked_add(header.length as usize)?;
        Some(Self { offset: header.offset, payload: bytes.get(start..end)?, crc: header.crc, end })
    }
}

/// What kind of file a seed belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum FileKind {
    Wal = 1,
    Pack = 2,
    Manifest = 3,
    Clean = 4,
}

/// The start of every checksum in one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seed(u32);

impl Seed {
    pub(super) fn new(identity: u128, kind: FileKind, number: u64, incarnation: u64) -> Self {
        let mut crc = crc32c::crc32c(&identity.to_le_bytes());
        crc = crc32c::crc32c_append(crc, &[kind as u8]);
        if planted::has(Planted::ChecksumWithoutFile) {
            return Self(crc);
        }
        crc = crc32c::crc32c_append(crc, &number.to_le_bytes());
        Self(crc32c::crc32c_append(crc, &incarnation.to_le_bytes()))
    }

    /// The checksum of the parts, one after another, as they stand at `position` of the file.
    #[inline]
    pub(super) fn checksum(self, position: u64, parts: &[&[u8]]) -> u32 {
        let position = if planted::has(Planted::ChecksumWithoutPlace) { 0 } else { position };
        parts.iter().fold(crc32c::crc32c_append(self.0, &position.to_le_bytes()), |crc, part| crc32c::crc32c_append(crc, part))
    }
}

/// Reads little-endian numbers one after another; `None` from the first that is not whole.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }

    pub(super) fn offset(&mut self) -> Option<Offset> {
        Some(Offset { tx: self.u64()?, op: self.u64()? })
    }

    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(head)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*head)
    }
}
