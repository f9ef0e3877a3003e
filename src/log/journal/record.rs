//! The bytes of the journal: segment headers and records. Pure; the layout is a promise
//! (`schema/README.md`).
//!
//! A record is one atomic batch. Its checksum covers all of it, so that a write that was cut short
//! cannot pass for a shorter batch.

use crate::events::frame::{Chain, Frame, HEADER_LEN, Head, PAYLOAD_MAX, Position, TRAILER_LEN};
use crate::log::store::StoreId;

/// Bytes of a segment header.
pub const SEGMENT_HEADER_LEN: usize = 68;
/// Bytes of a record besides its frames.
pub const RECORD_OVERHEAD: usize = 24;
/// Most frames in a record: ten batches that were made durable together.
pub const RECORD_FRAMES_MAX: usize = 1_000;

/// First bytes of a segment: name and layout version.
const MAGIC: [u8; 8] = *b"qtJRNL\0\x01";
/// Bytes of a record before its frames: length, count, first position.
const PREFIX_LEN: usize = 16;
/// Largest frame.
const FRAME_MAX: usize = HEADER_LEN + PAYLOAD_MAX + TRAILER_LEN;

/// Why bytes are not a record or a segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The bytes end before the record does.
    #[error("a record is cut short: {needed} bytes are needed")]
    Short {
        /// Bytes that the record has, as far as can be told.
        needed: usize,
    },
    /// The bytes cannot be what was written.
    #[error("{0}")]
    Invalid(&'static str),
}

/// What a segment header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The store the segment belongs to.
    pub store: StoreId,
    /// The head before its first event.
    pub before: Head,
}

impl Header {
    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(&self.store.0);
        bytes[24..32].copy_from_slice(&self.before.position.next().0.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.before.chain.0);
        let crc = crc32fast::hash(&bytes[..64]);
        bytes[64..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header at the beginning of `bytes`.
    ///
    /// # Errors
    /// [`Flaw`] if there are too few bytes or they are no header.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let short = Flaw::Short { needed: SEGMENT_HEADER_LEN };
        let header = bytes.first_chunk::<SEGMENT_HEADER_LEN>().ok_or(short)?;
        let (checked, crc) = header.split_last_chunk::<4>().ok_or(short)?;
        if crc32fast::hash(checked) != u32::from_le_bytes(*crc) {
            return Err(Flaw::Invalid("a segment header does not fit its checksum"));
        }
        if checked[..8] != MAGIC {
            return Err(Flaw::Invalid("a segment does not begin with qtJRNL"));
        }
        let mut store = [0; 16];
        store.copy_from_slice(&checked[8..24]);
        let mut chain = [0; 32];
        chain.copy_from_slice(&checked[32..64]);
        let first = u64_at(checked, 24);
        let Some(position) = first.checked_sub(1) else {
            return Err(Flaw::Invalid("a segment begins at event 0"));
        };
        let before = Head { position: Position(position), chain: Chain(chain) };
        Ok(Self { store: StoreId(store), before })
    }
}

/// A record whose checksum and lengths fit; borrows the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Position of its first event.
    pub first: Position,
    /// Number of its events.
    pub count: usize,
    /// Its frames, one after another.
    frames: &'a [u8],
}

/// The bytes of a record of `frames`, the first of which is at `first`.
#[must_use]
pub fn encode(first: Position, frames: &[Frame]) -> Vec<u8> {
    let length = frames.iter().map(|frame| frame.0.len()).sum::<usize>();
    let field = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = Vec::with_capacity(length + RECORD_OVERHEAD);
    bytes.extend(field(length));
    bytes.extend(field(frames.len()));
    bytes.extend(first.0.to_le_bytes());
    for frame in frames {
        bytes.extend_from_slice(&frame.0);
    }
    bytes.extend(field(length));
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Reads the record at the beginning of `bytes`. Checks its checksum and that its frames fill it;
/// the frames' own checksums and the chain are left to whoever uses them.
///
/// # Errors
/// [`Flaw::Short`] if the bytes end before the record does, [`Flaw::Invalid`] if they are none.
pub fn parse(bytes: &[u8]) -> Result<Record<'_>, Flaw> {
    let Some(prefix) = bytes.first_chunk::<PREFIX_LEN>() else {
        return Err(Flaw::Short { needed: RECORD_OVERHEAD });
    };
    let (length, count) = (u32_at(prefix, 0) as usize, u32_at(prefix, 4) as usize);
    let first = u64_at(prefix, 8);
    if !(1..=RECORD_FRAMES_MAX).contains(&count) || length > count * FRAME_MAX || first == 0 {
        return Err(Flaw::Invalid("a record has impossible lengths"));
    }
    let needed = length + RECORD_OVERHEAD;
    let record = bytes.get(..needed).ok_or(Flaw::Short { needed })?;
    let (checked, crc) =
        record.split_last_chunk::<4>().ok_or(Flaw::Short { needed: RECORD_OVERHEAD })?;
    if crc32fast::hash(checked) != u32::from_le_bytes(*crc) {
        return Err(Flaw::Invalid("a record does not fit its checksum"));
    }
    if u32_at(checked, needed - 8) as usize != length {
        return Err(Flaw::Invalid("a record has two different lengths"));
    }
    if first.checked_add(count as u64).is_none() {
        return Err(Flaw::Invalid("a record has impossible positions"));
    }
    let frames = &record[PREFIX_LEN..PREFIX_LEN + length];
    let record = Record { first: Position(first), count, frames };
    match record.frames().try_fold(0, |found, frame| frame.map(|_| found + 1)) {
        Some(found) if found == count => Ok(record),
        _ => Err(Flaw::Invalid("the frames of a record do not fill it")),
    }
}

impl<'a> Record<'a> {
    /// The frames; `None` in the place of one that does not fit the bytes. Whole ones fill them.
    fn frames(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        split_frames(self.frames, 0)
    }

    /// The frames with their positions.
    pub fn positioned(&self) -> impl Iterator<Item = (Position, &'a [u8])> + use<'a> {
        // All fit: `parse` has looked.
        let positions = (self.first.0..).map(Position);
        positions.zip(self.frames().flatten())
    }

    /// Bytes of the record.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.frames.len() + RECORD_OVERHEAD
    }

    /// Position of its last event.
    #[must_use]
    pub const fn last(&self) -> Position {
        Position(self.first.0 + self.count as u64 - 1)
    }

    /// The head after it, as its last frame says.
    pub(super) fn end(&self) -> Option<Head> {
        let last = self.frames().last().flatten()?;
        let chain = last.split_last_chunk::<4>()?.0.last_chunk::<32>()?;
        Some(Head { position: self.last(), chain: Chain(*chain) })
    }
}

/// Splits bytes into frames by the payload length in each header; `None`, and the end, where one
/// does not fit. Each lacks its last `without` bytes.
pub(in crate::log) fn split_frames(
    bytes: &[u8],
    without: usize,
) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let split = rest
            .first_chunk::<HEADER_LEN>()
            .map(|header| u32_at(header, 6) as usize)
            .filter(|payload| *payload <= PAYLOAD_MAX)
            .and_then(|payload| {
                rest.split_at_checked(HEADER_LEN + payload + TRAILER_LEN - without)
            });
        let Some((frame, after)) = split else {
            rest = &[];
            return Some(None);
        };
        rest = after;
        Some(Some(frame))
    })
}

/// The next record in `bytes` behind a flawed one, and where it begins: how much of a segment can
/// still be read is to be known before anything is given up.
pub(super) fn resync(bytes: &[u8], expected: Position) -> Option<(usize, Record<'_>)> {
    // Nothing is appended to a segment beyond this many events behind a flaw.
    let plausible = expected.0..=expected.0.saturating_add(1 << 32);
    (1..bytes.len().saturating_sub(RECORD_OVERHEAD - 1)).find_map(|at| {
        let rest = &bytes[at..];
        if !plausible.contains(&u64_at(rest, 8)) {
            return None;
        }
        parse(rest).ok().map(|record| (at, record))
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|b| b.first_chunk::<4>()).map_or(0, |b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|b| b.first_chunk::<8>()).map_or(0, |b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::memory::tests::batch;

    #[test]
    fn a_record_reads_back() {
        for count in [1, 2, RECORD_FRAMES_MAX] {
            let (frames, end) = batch(Head::default(), count);
            let mut bytes = encode(Position(1), &frames);
            let length = bytes.len();
            bytes.extend(b"the next record");
            let record = parse(&bytes).unwrap();
            assert_eq!((record.first, record.count, record.size()), (Position(1), count, length));
            assert_eq!((record.end(), record.last()), (Some(end), end.position));
            let read: Vec<&[u8]> = record.positioned().map(|(_, frame)| frame).collect();
            assert_eq!(read, frames.iter().map(|frame| &frame.0[..]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (frames, _) = batch(Head::default(), 3);
        let bytes = encode(Position(1), &frames);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&damaged).is_err(), "bit {bit} went unnoticed");
        }
        for length in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..length]), Err(Flaw::Short { .. })), "cut to {length}");
        }
        let header = Header { store: StoreId([4; 16]), before: Head::default() };
        let bytes = header.encode();
        assert_eq!(Header::parse(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(&damaged).is_err(), "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn what_can_be_read_behind_a_flaw_is_found() {
        let (frames, head) = batch(Head::default(), 3);
        let (more, _) = batch(head, 2);
        let (first, second) = (encode(Position(1), &frames), encode(Position(4), &more));
        for at in 0..first.len() {
            let mut bytes = [first.clone(), second.clone()].concat();
            bytes[at] ^= 0x20;
            assert!(parse(&bytes).is_err());
            let (offset, record) = resync(&bytes, Position(1)).unwrap();
            assert_eq!((offset, record.first), (first.len(), Position(4)));
        }
        assert_eq!(resync(&first[..first.len() - 1], Position(1)), None);
    }
}
