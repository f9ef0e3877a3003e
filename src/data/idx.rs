//! The IDX format of MNIST and its relatives, plain or gzip-compressed, read strictly.
//!
//! Layout, all numbers big-endian: magic (u32: 0x00000803 images, 0x00000801 labels), one u32 per
//! dimension (count, then rows and columns for images), then one byte per pixel or label. Images in
//! colour have one more dimension (magic 0x00000804: count, channels, rows, columns).
//!
//! A file is believed only as far as its own length allows: what the header announces is held
//! against limits and against the most that the stored bytes can unpack to before anything is
//! reserved, and never more than one byte beyond the announced end is unpacked.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::{BYTES_MAX, COUNT_MAX, DataError, SIDE_MAX};

/// Most colour channels of an image.
const CHANNELS_MAX: u32 = 16;
/// First two bytes of gzip data. No IDX file starts so, hence names need not tell.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Deflate cannot pack better than 1032 to 1 (a match of 258 bytes takes two bits).
pub(super) const DEFLATE_RATIO_MAX: u64 = 1032;
/// Memory reserved on the word of a header alone; beyond it, memory follows the data.
pub(super) const RESERVE_MAX: u64 = 64 << 20;

/// What an IDX file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Images: count, channels where there are several, rows, columns.
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

    fn plural(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Labels => "labels",
        }
    }
}

/// What the header of an IDX file says. Of labels, everything but the count is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the file holds.
    pub kind: Kind,
    /// Number of images or labels, at least 1.
    pub count: u32,
    /// Colour channels.
    pub channels: u32,
    /// Height of an image in pixels.
    pub rows: u32,
    /// Width of an image in pixels.
    pub columns: u32,
}

impl Header {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let Self { kind, count, channels, rows, columns } = *self;
        let numbers = match kind {
            Kind::Labels => vec![kind.magic(), count],
            Kind::Images if channels == 1 => vec![kind.magic(), count, rows, columns],
            Kind::Images => vec![kind.magic() + 1, count, channels, rows, columns],
        };
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    /// Bytes that follow it.
    #[must_use]
    pub fn payload(&self) -> u64 {
        [self.channels, self.rows, self.columns].map(u64::from).iter().product::<u64>()
            * u64::from(self.count)
    }
}

/// The content of one IDX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// What it holds.
    pub header: Header,
    /// Image after image, in it channel after channel, row after row; or the labels.
    pub payload: Vec<u8>,
}

impl Idx {
    /// SHA-256 of the decompressed file, header included: what `gunzip | sha256sum` says.
    #[must_use]
    pub fn content_sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.header.bytes());
        hash.update(&self.payload);
        hash.finalize().into()
    }
}

/// Reads the IDX file at `path`, plain or gzip-compressed whatever its name says. Images may be
/// of any shape if not `square`.
///
/// # Errors
/// [`DataError`] if the file cannot be read, is not of this `kind`, exceeds the limits, or its
/// length is not exactly what its header announces.
pub fn read(path: &Path, kind: Kind, square: bool) -> Result<Idx, DataError> {
    open(path, |input, packed, most| Decoder { path, kind, packed, most, square, input }.decode())
}

/// Reads the header alone.
///
/// # Errors
/// As [`read`]; that images are not square is no error.
pub fn peek(path: &Path, kind: Kind) -> Result<Header, DataError> {
    open(path, |input, packed, most| {
        Decoder { path, kind, packed, most, square: false, input }.header()
    })
}

/// Hands on what reads the content, whether that is unpacked, and the most bytes it can hold.
fn open<T>(
    path: &Path,
    read: impl FnOnce(&mut dyn Read, bool, u64) -> Result<T, DataError>,
) -> Result<T, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let stored = file.metadata().map_err(DataError::io("open", path))?.len();
    let mut file = BufReader::with_capacity(1 << 16, file);
    if file.fill_buf().map_err(DataError::io("read", path))?.starts_with(&GZIP_MAGIC) {
        read(&mut MultiGzDecoder::new(file), true, stored.saturating_mul(DEFLATE_RATIO_MAX))
    } else {
        read(&mut file, false, stored)
    }
}

struct Decoder<'a> {
    path: &'a Path,
    kind: Kind,
    packed: bool,
    /// The most bytes that `input` can hold.
    most: u64,
    square: bool,
    input: &'a mut dyn Read,
}

impl Decoder<'_> {
    fn decode(mut self) -> Result<Idx, DataError> {
        let header = self.header()?;
        let payload = self.payload(header.bytes().len() as u64, header.payload())?;
        Ok(Idx { header, payload })
    }

    fn header(&mut self) -> Result<Header, DataError> {
        let dimensions = self.dimensions()?;
        let numbers = self.numbers(dimensions, 4)?;
        self.check_dimensions(&numbers)
    }

    /// How many dimensions the magic number announces.
    fn dimensions(&mut self) -> Result<usize, DataError> {
        let (expected, found) = (self.kind.magic(), self.numbers(1, 0)?[0]);
        match self.kind {
            Kind::Labels if found == expected => Ok(1),
            Kind::Images if found == expected => Ok(3),
            Kind::Images if found == expected + 1 => Ok(4),
            _ => {
                let (path, kind) = (self.path.to_path_buf(), self.kind.plural());
                Err(DataError::WrongMagic { path, kind, expected, found })
            }
        }
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

    fn check_dimensions(&self, numbers: &[u32]) -> Result<Header, DataError> {
        let (kind, limit) = (self.kind, |what, found: u32, limit: u32| {
            DataError::limit(self.path, what, found.into(), limit.into())
        });
        let (count, channels, rows, columns) = match *numbers {
            [count] => (count, 1, 1, 1),
            [count, rows, columns] => (count, 1, rows, columns),
            [count, channels, rows, columns] => (count, channels, rows, columns),
            _ => return Err(self.truncated(8, 4)),
        };
        limit(kind.plural(), count, COUNT_MAX)?;
        limit("channels", channels, CHANNELS_MAX)?;
        limit("rows", rows, SIDE_MAX)?;
        limit("columns", columns, SIDE_MAX)?;
        if rows != columns && self.square {
            return Err(DataError::NotSquare { path: self.path.to_path_buf(), rows, columns });
        }
        let header = Header { kind, count, channels, rows, columns };
        DataError::limit(self.path, "bytes of pixels", header.payload(), BYTES_MAX)?;
        Ok(header)
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
        let input = &mut *self.input;
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
