//! The IDX format of MNIST and its relatives, plain or gzip-compressed, read strictly.
//!
//! Layout, all numbers big-endian: magic (u32: 0x00000803 images, 0x00000801 labels), one u32 per
//! dimension (count, then rows and columns for images), then one byte per pixel or label.
//!
//! A file is believed only as far as its own length allows: what the header announces is held
//! against limits and against the most that the stored bytes can unpack to before anything is
//! reserved, and never more than one byte beyond the announced end is unpacked.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::DataError;

/// Most images or labels in one file.
pub const COUNT_MAX: u32 = 10_000_000;
/// Longest side of an image in pixels.
pub const SIDE_MAX: u32 = 1024;
/// Most payload bytes in one file: what is kept in memory at once.
pub const BYTES_MAX: u64 = 4 << 30;

/// First two bytes of gzip data. No IDX file starts so, hence names need not tell.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Deflate cannot pack better than 1032 to 1 (a match of 258 bytes takes two bits).
const DEFLATE_RATIO_MAX: u64 = 1032;
/// Memory reserved on the word of a header alone; beyond it, memory follows the data.
const RESERVE_MAX: u64 = 64 << 20;

/// What an IDX file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Images: count, rows, columns.
    Images,
    /// Labels: count.
    Labels,
}

impl Kind {
    /// The number at the start of such a file: type u8 (0x08) and the number of dimensions.
    #[must_use]
    pub fn magic(self) -> u32 {
        match self {
            Self::Images => 0x0803,
            Self::Labels => 0x0801,
        }
    }

    fn dimensions(self) -> usize {
        match self {
            Self::Images => 3,
            Self::Labels => 1,
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Labels => "labels",
        }
    }
}

/// The content of one IDX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// What it holds.
    pub kind: Kind,
    /// Number of images or labels, at least 1.
    pub count: u32,
    /// Side of the square images in pixels; 1 for labels.
    pub side: u32,
    /// count × side × side bytes.
    pub payload: Vec<u8>,
}

impl Idx {
    /// SHA-256 of the decompressed file, header included: what `gunzip | sha256sum` says.
    #[must_use]
    pub fn content_sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.header());
        hash.update(&self.payload);
        hash.finalize().into()
    }

    /// The file's bytes before the payload.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let numbers = [self.kind.magic(), self.count, self.side, self.side];
        numbers[..=self.kind.dimensions()].iter().flat_map(|n| n.to_be_bytes()).collect()
    }
}

/// Reads the IDX file at `path`, plain or gzip-compressed whatever its name says.
///
/// # Errors
/// [`DataError`] if the file cannot be read, is not of this `kind`, exceeds the limits, or its
/// length is not exactly what its header announces.
pub fn read(path: &Path, kind: Kind) -> Result<Idx, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let stored = file.metadata().map_err(DataError::io("open", path))?.len();
    let mut file = BufReader::with_capacity(1 << 16, file);
    let packed = file.fill_buf().map_err(DataError::io("read", path))?.starts_with(&GZIP_MAGIC);
    if packed {
        let most = stored.saturating_mul(DEFLATE_RATIO_MAX);
        Decoder { path, kind, packed, most, input: MultiGzDecoder::new(file) }.decode()
    } else {
        Decoder { path, kind, packed, most: stored, input: file }.decode()
    }
}

struct Decoder<'a, R> {
    path: &'a Path,
    kind: Kind,
    packed: bool,
    /// The most bytes that `input` can hold.
    most: u64,
    input: R,
}

impl<R: Read> Decoder<'_, R> {
    fn decode(mut self) -> Result<Idx, DataError> {
        self.check_magic()?;
        let dimensions = self.numbers(self.kind.dimensions(), 4)?;
        let (count, side) = self.check_dimensions(&dimensions)?;
        let header = 4 + 4 * self.kind.dimensions() as u64;
        let payload = self.payload(header, u64::from(count) * u64::from(side) * u64::from(side))?;
        Ok(Idx { kind: self.kind, count, side, payload })
    }

    fn check_magic(&mut self) -> Result<(), DataError> {
        let (expected, found) = (self.kind.magic(), self.numbers(1, 0)?[0]);
        if found == expected {
            return Ok(());
        }
        let kind = self.kind.plural();
        Err(DataError::WrongMagic { path: self.path.to_path_buf(), kind, expected, found })
    }

    /// The next `n` numbers of the header, which stand at `offset`.
    fn numbers(&mut self, n: usize, offset: u64) -> Result<Vec<u32>, DataError> {
        let bytes = self.take(4 * n as u64)?;
        if bytes.len() < 4 * n {
            let expected = offset + 4 * n as u64;
            return Err(self.truncated(expected, offset + bytes.len() as u64));
        }
        let number = |b: &[u8]| b.iter().fold(0, |n, &byte| n << 8 | u32::from(byte));
        Ok(bytes.chunks_exact(4).map(number).collect())
    }

    fn check_dimensions(&self, dimensions: &[u32]) -> Result<(u32, u32), DataError> {
        let &[count, ref sides @ ..] = dimensions else {
            return Err(self.truncated(8, 4));
        };
        self.check_limit(self.kind.plural(), count.into(), COUNT_MAX.into())?;
        let &[rows, columns] = sides else {
            return Ok((count, 1));
        };
        self.check_limit("rows", rows.into(), SIDE_MAX.into())?;
        self.check_limit("columns", columns.into(), SIDE_MAX.into())?;
        if rows != columns {
            return Err(DataError::NotSquare { path: self.path.to_path_buf(), rows, columns });
        }
        let bytes = u64::from(count) * u64::from(rows) * u64::from(columns);
        self.check_limit("bytes of pixels", bytes, BYTES_MAX)?;
        Ok((count, rows))
    }

    fn check_limit(&self, what: &'static str, found: u64, limit: u64) -> Result<(), DataError> {
        if (1..=limit).contains(&found) {
            return Ok(());
        }
        Err(DataError::OutOfLimits { path: self.path.to_path_buf(), what, found, limit })
    }

    fn payload(&mut self, header: u64, bytes: u64) -> Result<Vec<u8>, DataError> {
        let expected = header + bytes;
        if expected > self.most {
            return Err(self.truncated(expected, self.most));
        }
        // One byte more than announced: it shows trailing bytes, and asking for it makes the
        // decompressor check the CRC at the end of its data.
        let payload = self.take(bytes + 1)?;
        let found = payload.len() as u64;
        if found < bytes {
            return Err(self.truncated(expected, header + found));
        }
        if found > bytes {
            return Err(DataError::TrailingBytes { path: self.path.to_path_buf(), expected });
        }
        Ok(payload)
    }

    /// Up to `n` bytes; fewer only at the end.
    fn take(&mut self, n: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::with_capacity(n.min(RESERVE_MAX) as usize);
        let input = self.input.by_ref();
        input.take(n).read_to_end(&mut bytes).map_err(|error| self.read_error(error))?;
        Ok(bytes)
    }

    fn read_error(&self, source: io::Error) -> DataError {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        let path = self.path.to_path_buf();
        match source.kind() {
            UnexpectedEof if self.packed => {
                DataError::DamagedGzip { path, reason: "it does not end where it should".into() }
            }
            InvalidData | InvalidInput if self.packed => {
                DataError::DamagedGzip { path, reason: source.to_string() }
            }
            _ => DataError::Io { doing: "read", path, source },
        }
    }

    fn truncated(&self, expected: u64, found: u64) -> DataError {
        DataError::Truncated { path: self.path.to_path_buf(), expected, found }
    }
}
