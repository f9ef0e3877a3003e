//! Frames: the bytes of one recorded event, and the hash chain through them.
//!
//! A frame is what the log stores under a position. Its layout is a promise, drawn byte by byte
//! in `schema/README.md`. This file knows bytes, checksums and the chain; it does not know what
//! a payload means (that is [`super::codec`]), nor where frames live (that is [`crate::log`]).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

/// The frame format written by this program.
pub const FORMAT: u8 = 1;
/// Payload codec: bincode 2, standard configuration (little-endian, varint).
pub const CODEC_BINCODE2: u8 = 1;
/// Largest payload in bytes. Larger things are artifacts, or several events.
pub const PAYLOAD_MAX: usize = 4096;
/// Bytes before the payload: format, codec, kind, kind version, payload length.
pub const HEADER_LEN: usize = 10;
/// Bytes after the payload: chain hash and CRC32.
pub const TRAILER_LEN: usize = 36;

/// Sequence number of an event in its log: from 1, without gaps. 0 is "before the first".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The key under which the log stores this position: big-endian, so that keys sort as numbers.
    #[must_use]
    pub const fn key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 over everything recorded up to and including one event; all zeros before the first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Chain(pub [u8; 32]);

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The end of a log: the last position and the chain there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Position of the last event; 0 for an empty log.
    pub position: Position,
    /// Chain hash of the last event; zeros for an empty log.
    pub chain: Chain,
}

/// An event as bytes, not yet at a place in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Number of the event kind in `schema/events.toml`.
    pub kind: u16,
    /// Version of that kind.
    pub version: u16,
    /// The encoded event, at most [`PAYLOAD_MAX`] bytes.
    pub bytes: Vec<u8>,
}

/// A sealed event: one value of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(pub Vec<u8>);

/// What is wrong with the bytes of a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than the header announces, or more.
    #[error("frame has {found} bytes where {expected} were expected")]
    Length {
        /// Bytes announced (or the smallest frame).
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// The checksum over position, header, payload and chain does not fit.
    #[error("checksum {found:08x} does not fit the bytes ({expected:08x})")]
    Checksum {
        /// CRC32 of the bytes as they are.
        expected: u32,
        /// CRC32 stored in the frame.
        found: u32,
    },
    /// A frame format that this program does not read.
    #[error("frame format {0} is not known to this program")]
    Format(u8),
    /// A payload codec that this program does not read.
    #[error("payload codec {0} is not known to this program")]
    Codec(u8),
    /// A payload above the limit.
    #[error("payload of {0} bytes exceeds the limit of {PAYLOAD_MAX}")]
    TooLarge(usize),
    /// The chain hash does not continue the one before it.
    #[error("chain hash at position {0} does not continue the one before it")]
    Chain(Position),
}

/// Seals a payload as the event that follows `head`, and returns it with the new head.
///
/// # Errors
/// [`FrameError::TooLarge`] if the payload exceeds [`PAYLOAD_MAX`].
pub fn seal(head: Head, payload: &Payload) -> Result<(Frame, Head), FrameError> {
    let length = payload.bytes.len();
    let short = u32::try_from(length).ok().filter(|_| length <= PAYLOAD_MAX);
    let Some(length_field) = short else {
        return Err(FrameError::TooLarge(length));
    };
    let position = head.position.next();
    let mut bytes = Vec::with_capacity(HEADER_LEN + length + TRAILER_LEN);
    bytes.extend([FORMAT, CODEC_BINCODE2]);
    bytes.extend(payload.kind.to_le_bytes());
    bytes.extend(payload.version.to_le_bytes());
    bytes.extend(length_field.to_le_bytes());
    bytes.extend(&payload.bytes);
    let chain = chain(head.chain, position, &bytes);
    bytes.extend(chain.0);
    let crc = crc(position, &bytes);
    bytes.extend(crc.to_le_bytes());
    Ok((Frame(bytes), Head { position, chain }))
}

/// A frame whose checksum and layout have been checked; borrows the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameView<'a> {
    /// Number of the event kind.
    pub kind: u16,
    /// Version of that kind.
    pub version: u16,
    /// The encoded event.
    pub payload: &'a [u8],
    /// The chain hash as stored. Checked against the previous one by [`FrameView::follows`].
    pub chain: Chain,
    /// Header and payload: what the chain hash covers besides the previous hash and the position.
    covered: &'a [u8],
}

impl FrameView<'_> {
    /// Checks that this frame continues `head`, and returns the head after it.
    ///
    /// # Errors
    /// [`FrameError::Chain`] if it does not.
    pub fn follows(&self, head: Head) -> Result<Head, FrameError> {
        let position = head.position.next();
        if chain(head.chain, position, self.covered) != self.chain {
            return Err(FrameError::Chain(position));
        }
        Ok(Head { position, chain: self.chain })
    }
}

impl Frame {
    /// The frame at `position` whose bytes but for the checksum these are.
    #[must_use]
    pub fn with_checksum(position: Position, unchecked: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(unchecked.len() + 4);
        bytes.extend_from_slice(unchecked);
        bytes.extend(crc(position, unchecked).to_le_bytes());
        Self(bytes)
    }

    /// Checks length, checksum and format, in that order, and gives access to the parts.
    ///
    /// # Errors
    /// The first thing that is wrong, as [`FrameError`].
    pub fn view(&self, position: Position) -> Result<FrameView<'_>, FrameError> {
        view(position, &self.0)
    }
}

/// [`Frame::view`] on borrowed bytes.
///
/// # Errors
/// The first thing that is wrong, as [`FrameError`].
pub fn view(position: Position, bytes: &[u8]) -> Result<FrameView<'_>, FrameError> {
    let smallest = HEADER_LEN + TRAILER_LEN;
    let short = FrameError::Length { expected: smallest, found: bytes.len() };
    if bytes.len() < smallest {
        return Err(short);
    }
    let (checked, stored) = bytes.split_last_chunk::<4>().ok_or(short)?;
    let (expected, found) = (crc(position, checked), u32::from_le_bytes(*stored));
    if expected != found {
        return Err(FrameError::Checksum { expected, found });
    }
    parts(bytes)
}

/// The parts of a frame whose checksum was looked at already: that of the frame, or of the record
/// that it is from.
///
/// # Errors
/// [`FrameError`] if its lengths or formats are wrong.
pub fn parts(bytes: &[u8]) -> Result<FrameView<'_>, FrameError> {
    let smallest = HEADER_LEN + TRAILER_LEN;
    let wrong_length = |expected| FrameError::Length { expected, found: bytes.len() };
    let (checked, _) = bytes.split_last_chunk::<4>().ok_or(wrong_length(smallest))?;
    let (covered, chain) = checked.split_last_chunk::<32>().ok_or(wrong_length(smallest))?;
    let (header, payload) =
        covered.split_first_chunk::<HEADER_LEN>().ok_or(wrong_length(smallest))?;
    let [format, codec, k0, k1, v0, v1, l0, l1, l2, l3] = *header;
    if format != FORMAT {
        return Err(FrameError::Format(format));
    }
    if codec != CODEC_BINCODE2 {
        return Err(FrameError::Codec(codec));
    }
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    if length > PAYLOAD_MAX {
        return Err(FrameError::TooLarge(length));
    }
    if length != payload.len() {
        return Err(wrong_length(smallest + length));
    }
    Ok(FrameView {
        kind: u16::from_le_bytes([k0, k1]),
        version: u16::from_le_bytes([v0, v1]),
        payload,
        chain: Chain(*chain),
        covered,
    })
}

/// SHA-256 over previous chain hash, position (big-endian), header and payload.
fn chain(previous: Chain, position: Position, covered: &[u8]) -> Chain {
    // Nearly every frame is short. It is padded here and hashed in one go, as reading a log does
    // nothing that takes longer.
    let mut blocks = [[0; 64]; SHORT_BLOCKS];
    let length = 40 + covered.len();
    let used = (length + 9).div_ceil(64);
    let Some(all) = blocks.get_mut(..used) else {
        let parts = Sha256::new().chain_update(previous.0).chain_update(position.key());
        return Chain(parts.chain_update(covered).finalize().into());
    };
    let bytes = all.as_flattened_mut();
    bytes[..32].copy_from_slice(&previous.0);
    bytes[32..40].copy_from_slice(&position.key());
    bytes[40..length].copy_from_slice(covered);
    bytes[length] = 0x80;
    let end = bytes.len();
    bytes[end - 8..].copy_from_slice(&(8 * length as u64).to_be_bytes());
    let mut state = SHA256_INITIAL;
    compress256(&mut state, all);
    let mut hash = [0; 32];
    hash.chunks_exact_mut(4)
        .zip(state)
        .for_each(|(to, word)| to.copy_from_slice(&word.to_be_bytes()));
    Chain(hash)
}

/// Blocks of SHA-256 of the frames that are hashed in one go.
const SHORT_BLOCKS: usize = 5;
/// The state that SHA-256 begins with (FIPS 180-4, 5.3.3).
const SHA256_INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// CRC32 (IEEE) over position (big-endian), header, payload and chain hash.
fn crc(position: Position, checked: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&position.key());
    hash.update(checked);
    hash.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> (Frame, Head) {
        let payload = Payload { kind: 3, version: 1, bytes: b"an episode".to_vec() };
        seal(Head::default(), &payload).unwrap()
    }

    #[test]
    fn a_sealed_payload_reads_back() {
        let (frame, head) = sealed();
        let view = frame.view(Position(1)).unwrap();
        assert_eq!((view.kind, view.version, view.payload), (3, 1, &b"an episode"[..]));
        assert_eq!(view.follows(Head::default()), Ok(head));
    }

    #[test]
    fn the_chain_is_sha_256_whatever_the_length() {
        let (previous, position) = (Chain([7; 32]), Position(0x0102_0304_0506));
        let bytes: Vec<u8> = (0..600_u32).map(|byte| byte.to_le_bytes()[0]).collect();
        for length in 0..bytes.len() {
            let all = [&previous.0[..], &position.key(), &bytes[..length]].concat();
            let expected = Chain(Sha256::digest(all).into());
            assert_eq!(chain(previous, position, &bytes[..length]), expected, "{length} bytes");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (frame, _) = sealed();
        for bit in 0..frame.0.len() * 8 {
            let mut damaged = frame.clone();
            damaged.0[bit / 8] ^= 1 << (bit % 8);
            assert!(damaged.view(Position(1)).is_err(), "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn a_frame_at_another_position_is_noticed() {
        let (frame, _) = sealed();
        assert!(matches!(frame.view(Position(2)), Err(FrameError::Checksum { .. })));
    }

    #[test]
    fn every_cut_is_noticed() {
        let (frame, _) = sealed();
        for length in 0..frame.0.len() {
            assert!(view(Position(1), &frame.0[..length]).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn a_frame_from_another_history_breaks_the_chain() {
        let (frame, _) = sealed();
        let other = Head { position: Position(0), chain: Chain([1; 32]) };
        let view = frame.view(Position(1)).unwrap();
        assert_eq!(view.follows(other), Err(FrameError::Chain(Position(1))));
    }

    #[test]
    fn a_payload_over_the_limit_is_refused() {
        let payload = Payload { kind: 1, version: 1, bytes: vec![0; PAYLOAD_MAX + 1] };
        assert_eq!(
            seal(Head::default(), &payload).unwrap_err(),
            FrameError::TooLarge(PAYLOAD_MAX + 1)
        );
    }
}
