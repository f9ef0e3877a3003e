//! The IDX format of MNIST and its relatives, plain or gzipped.
//!
//! Strict: the magic number must be that of images or labels, and the file must hold exactly as
//! many bytes as its own header announces. The header is believed only within limits, and no more
//! than announced is ever read, so that neither a false count nor a gzip bomb fills the memory.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::DataError;

/// Magic number of a file of images: unsigned bytes, three dimensions.
const IMAGES: u32 = 0x0000_0803;
/// Magic number of a file of labels: unsigned bytes, one dimension.
const LABELS: u32 = 0x0000_0801;
/// Most bytes of content accepted.
const CONTENT_MAX: u64 = 8 << 30;

/// Images of one file: count, side, and count x side x side bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxImages {
    /// Number of images.
    pub count: u32,
    /// Side in pixels.
    pub side: u32,
    /// Bytes, image after image, row after row.
    pub pixels: Vec<u8>,
}

/// Reads a file of images.
///
/// # Errors
/// [`DataError`] if it cannot be read, or is not exactly such a file.
pub fn read_images(path: &Path) -> Result<IdxImages, DataError> {
    let mut reader = open(path)?;
    let [magic, count, rows, columns] = header(path, &mut reader)?;
    check_magic(path, magic, IMAGES, "images")?;
    if rows != columns {
        return Err(wrong(path, format!("its images are {rows} x {columns} pixels, not square")));
    }
    let length = u64::from(count).checked_mul(u64::from(rows) * u64::from(columns));
    let pixels = content(path, reader, length)?;
    Ok(IdxImages { count, side: rows, pixels })
}

/// Reads a file of labels.
///
/// # Errors
/// [`DataError`] if it cannot be read, or is not exactly such a file.
pub fn read_labels(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut reader = open(path)?;
    let [magic, count] = header(path, &mut reader)?;
    check_magic(path, magic, LABELS, "labels")?;
    content(path, reader, Some(count.into()))
}

fn open(path: &Path) -> Result<Box<dyn Read>, DataError> {
    let file = File::open(path).map_err(|source| DataError::io("read", path, source))?;
    let file = BufReader::new(file);
    let gzipped = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

fn header<const N: usize>(path: &Path, reader: &mut dyn Read) -> Result<[u32; N], DataError> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).map_err(|error| cut(path, &error))?;
        *number = u32::from_be_bytes(bytes);
    }
    Ok(numbers)
}

fn check_magic(path: &Path, found: u32, expected: u32, what: &str) -> Result<(), DataError> {
    if found == expected {
        return Ok(());
    }
    let reason =
        format!("it begins with {found:#010x}, not {expected:#010x}: no IDX file of {what}");
    Err(wrong(path, reason))
}

/// Reads exactly `length` bytes, and makes sure that nothing follows.
fn content(path: &Path, reader: impl Read, length: Option<u64>) -> Result<Vec<u8>, DataError> {
    let too_large = || wrong(path, "its header announces more than 8 GiB".to_owned());
    let length = length.filter(|&length| length <= CONTENT_MAX).ok_or_else(too_large)?;
    let mut bytes = Vec::new();
    let read =
        reader.take(length + 1).read_to_end(&mut bytes).map_err(|error| cut(path, &error))?;
    match (read as u64).cmp(&length) {
        std::cmp::Ordering::Equal => Ok(bytes),
        std::cmp::Ordering::Less => {
            Err(wrong(path, format!("its header announces {length} bytes, it holds {read}")))
        }
        std::cmp::Ordering::Greater => {
            Err(wrong(path, format!("more than the {length} bytes of its header follow")))
        }
    }
}

fn cut(path: &Path, error: &std::io::Error) -> DataError {
    wrong(path, format!("it is cut short or damaged: {error}"))
}

fn wrong(path: &Path, reason: String) -> DataError {
    DataError::Wrong { path: path.to_owned(), reason }
}
