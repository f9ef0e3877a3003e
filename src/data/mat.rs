//! SVHN's cropped digits: MATLAB files of level 5 with two arrays, `X` (height x width x channels x
//! images, bytes) and `y` (the labels).
//!
//! MATLAB stores arrays column by column, so image after image lies in the file, in it channel after
//! channel, but column after column. Labels are 1 to 10, and 10 is the digit 0: class `label % 10`,
//! so that every class is its digit. (The MetaQNN authors' program takes `label - 1` instead, in
//! which the digit 0 is class 9; accuracies do not depend on it.)
//!
//! Layout, little-endian: 128 bytes of header, then elements: type and length (u32 each), then that
//! many bytes. An element is a matrix (14) or a compressed one (15, zlib). A matrix holds flags,
//! dimensions, name and values, each an element again, padded to 8 bytes; one of at most 4 bytes
//! may have its length in the upper half of its type.
//!
//! Nothing is believed: what is announced is held against limits, and against the most that the
//! stored bytes can unpack to, before anything is reserved; values are read image by image.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::assemble::{Collector, Raw};
use super::idx::{DEFLATE_RATIO_MAX, RESERVE_MAX};
use super::{BYTES_MAX, COUNT_MAX, DataError, Images, SIDE_MAX};

/// The training images.
pub const TRAIN: &str = "train_32x32.mat";
/// The test images.
pub const TEST: &str = "test_32x32.mat";
/// Further, easier images to train on.
pub const EXTRA: &str = "extra_32x32.mat";

const NAME: &str = "SVHN MAT file";
const HEADER: usize = 128;
/// Types of elements.
const UINT8: u32 = 2;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// Longest name of an array, and most dimensions: a longer list is none of SVHN's.
const NAME_MAX: usize = 64;
const DIMENSIONS_MAX: usize = 4;

/// Reads the file at `path`.
///
/// # Errors
/// [`DataError`] naming the file and what is wrong with it.
pub fn read(path: &Path, resize: Option<u32>) -> Result<Images, DataError> {
    let (mut images, mut labels) = (None, None);
    each(path, &mut |array| {
        match array.name.as_str() {
            "X" if images.is_none() => images = Some(array.images(resize)?),
            "y" if labels.is_none() => labels = Some(array.labels()?),
            "X" | "y" => return Err(wrong(path, format!("it has two arrays {}", array.name))),
            _ => return Ok(Then::Next),
        }
        Ok(if images.is_some() && labels.is_some() { Then::Stop } else { Then::Next })
    })?;
    match (images, labels) {
        (Some(images), Some(labels)) => images.finish(labels, path),
        (None, _) => Err(wrong(path, "it has no array X with the images")),
        (_, None) => Err(wrong(path, "it has no array y with the labels")),
    }
}

/// The shape of the images in the file at `path`: images, channels, width, height.
///
/// # Errors
/// [`DataError`] naming the file and what is wrong with it.
pub fn peek(path: &Path) -> Result<[u32; 4], DataError> {
    let mut shape = None;
    each(path, &mut |array| {
        if array.name != "X" {
            return Ok(Then::Next);
        }
        shape = Some(array.shape()?);
        Ok(Then::Stop)
    })?;
    shape.ok_or_else(|| wrong(path, "it has no array X with the images"))
}

/// What to do after an array.
#[derive(PartialEq, Eq)]
enum Then {
    Next,
    Stop,
}

/// One array, up to its values.
struct Array<'a> {
    path: &'a Path,
    name: String,
    dimensions: Vec<u32>,
    /// What holds the values, from their tag on.
    input: &'a mut dyn Read,
    /// The most bytes that `input` can hold.
    most: u64,
}

/// Calls `take` for each array in turn. What it does not read is skipped, without unpacking it.
fn each(
    path: &Path,
    take: &mut dyn FnMut(Array<'_>) -> Result<Then, DataError>,
) -> Result<(), DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let mut left = file.metadata().map_err(DataError::io("open", path))?.len();
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut header = [0; HEADER];
    fill(&mut file, &mut header, path)?;
    match &header[124..] {
        [0, 1, b'I', b'M'] => {}
        [1, 0, b'M', b'I'] => {
            return Err(wrong(path, "it is big-endian; qtrail reads little-endian"));
        }
        _ => return Err(wrong(path, "it does not start as MAT files of level 5 do")),
    }
    left -= HEADER as u64;
    while left > 0 {
        let mut tag = [0; 8];
        fill(&mut file, &mut tag, path)?;
        let (kind, length) = (word(&tag[..4]), u64::from(word(&tag[4..])));
        left -= 8;
        if length > left {
            let reason =
                format!("an element announces {length} bytes, {left} are left in the file");
            return Err(wrong(path, reason));
        }
        left -= length;
        let mut element = (&mut file).take(length);
        let then = match kind {
            COMPRESSED => {
                let mut input = ZlibDecoder::new(&mut element);
                let mut tag = [0; 8];
                fill(&mut input, &mut tag, path)?;
                if word(&tag[..4]) != MATRIX {
                    return Err(wrong(path, "a compressed element is no matrix"));
                }
                array(path, &mut input, length.saturating_mul(DEFLATE_RATIO_MAX), take)?
            }
            MATRIX => array(path, &mut element, length, take)?,
            _ => Then::Next,
        };
        if then == Then::Stop {
            return Ok(());
        }
        io::copy(&mut element, &mut io::sink()).map_err(DataError::io("read", path))?;
    }
    Ok(())
}

fn array(
    path: &Path,
    input: &mut dyn Read,
    most: u64,
    take: &mut dyn FnMut(Array<'_>) -> Result<Then, DataError>,
) -> Result<Then, DataError> {
    let (_, flags) = small(path, input, 8, "flags")?;
    if flags.get(1).is_some_and(|flags| flags & 0x08 != 0) {
        return Err(wrong(path, "an array has complex numbers"));
    }
    let (_, dimensions) = small(path, input, 4 * DIMENSIONS_MAX, "dimensions")?;
    let dimensions = dimensions.chunks_exact(4).map(word).collect();
    let (_, name) = small(path, input, NAME_MAX, "name")?;
    let name = String::from_utf8_lossy(&name).into_owned();
    take(Array { path, name, dimensions, input, most })
}

impl Array<'_> {
    /// Images, channels, width, height.
    fn shape(&self) -> Result<[u32; 4], DataError> {
        let &[height, width, channels, count] = self.dimensions.as_slice() else {
            let reason = format!("X has the dimensions {:?}, not four of them", self.dimensions);
            return Err(wrong(self.path, reason));
        };
        let limit = |what, found: u32, limit: u32| {
            DataError::limit(self.path, what, found.into(), limit.into())
        };
        limit("rows", height, SIDE_MAX)?;
        limit("columns", width, SIDE_MAX)?;
        limit("channels", channels, 3)?;
        limit("images", count, COUNT_MAX)?;
        let bytes = [height, width, channels, count].map(u64::from).iter().product();
        DataError::limit(self.path, "bytes of pixels", bytes, BYTES_MAX)?;
        Ok([count, channels, width, height])
    }

    fn images(self, resize: Option<u32>) -> Result<Collector, DataError> {
        let [count, channels, width, height] = self.shape()?;
        let length = channels as usize * width as usize * height as usize;
        let (kind, announced, inline) = tag(self.path, self.input)?;
        let expected = u64::from(count) * length as u64;
        if kind != UINT8 {
            return Err(wrong(
                self.path,
                format!("X has values of type {kind}, not bytes ({UINT8})"),
            ));
        }
        if announced != expected {
            let reason = format!("X has {announced} bytes, its dimensions announce {expected}");
            return Err(wrong(self.path, reason));
        }
        if expected > self.most {
            let reason =
                format!("X announces {expected} bytes, the file can hold at most {}", self.most);
            return Err(wrong(self.path, reason));
        }
        let mut images = Collector::new(resize);
        let (mut stored, mut pixels) = (vec![0; length], vec![0; length]);
        let mut input = inline.as_slice().chain(self.input);
        for _ in 0..count {
            fill(&mut input, &mut stored, self.path)?;
            by_rows(&stored, &mut pixels, width as usize, height as usize);
            images.push(&Raw { channels, width, height, pixels: &pixels }, self.path)?;
        }
        Ok(images)
    }

    fn labels(self) -> Result<Vec<u8>, DataError> {
        let (kind, bytes, inline) = tag(self.path, self.input)?;
        let count = self.dimensions.iter().fold(1_u64, |all, &n| all.saturating_mul(n.into()));
        DataError::limit(self.path, "labels", count, COUNT_MAX.into())?;
        let (size, number) = numbers(kind)
            .ok_or_else(|| wrong(self.path, format!("y has values of type {kind}, no numbers")))?;
        if bytes != count * size as u64 || bytes > self.most {
            let reason = format!("y has {bytes} bytes, its dimensions announce {count} labels");
            return Err(wrong(self.path, reason));
        }
        let mut input = inline.as_slice().chain(self.input);
        let mut labels = Vec::with_capacity(count.min(RESERVE_MAX) as usize);
        let mut value = vec![0; size];
        for place in 0..count {
            fill(&mut input, &mut value, self.path)?;
            match number(&value) {
                digit @ 1..=9 => labels.push(digit),
                10 => labels.push(0),
                _ => {
                    let reason = format!("label {place} in y is not one of 1 to 10");
                    return Err(wrong(self.path, reason));
                }
            }
        }
        Ok(labels)
    }
}

/// Turns the channels of an image from column after column to row after row.
fn by_rows(stored: &[u8], pixels: &mut [u8], width: usize, height: usize) {
    let channels = stored.chunks_exact(width * height).zip(pixels.chunks_exact_mut(width * height));
    for (stored, pixels) in channels {
        for (column, values) in stored.chunks_exact(height).enumerate() {
            for (row, &value) in values.iter().enumerate() {
                pixels[row * width + column] = value;
            }
        }
    }
}

/// Reads a number that may be a label; 0 is none.
type Number = fn(&[u8]) -> u8;

/// Size of a number of this type, and how to read one.
fn numbers(kind: u32) -> Option<(usize, Number)> {
    fn whole(bytes: &[u8]) -> u8 {
        match bytes {
            [low, high @ ..] if high.iter().all(|&byte| byte == 0) => *low,
            _ => 0,
        }
    }
    fn double(bytes: &[u8]) -> u8 {
        let value = bytes.try_into().map_or(0.0, f64::from_le_bytes);
        (1..=10).find(|&label| f64::from(label) == value).unwrap_or(0)
    }
    match kind {
        1 | UINT8 => Some((1, whole)),
        3 | 4 => Some((2, whole)),
        5 | 6 => Some((4, whole)),
        9 => Some((8, double)),
        12 | 13 => Some((8, whole)),
        _ => None,
    }
}

/// An element of at most `limit` bytes, with its padding: its type and its bytes.
fn small(
    path: &Path,
    input: &mut dyn Read,
    limit: usize,
    what: &str,
) -> Result<(u32, Vec<u8>), DataError> {
    let (kind, length, inline) = tag(path, input)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > limit {
        return Err(wrong(path, format!("the {what} of an array take {length} bytes")));
    }
    if !inline.is_empty() {
        return Ok((kind, inline));
    }
    let mut bytes = vec![0; length.next_multiple_of(8)];
    fill(input, &mut bytes, path)?;
    bytes.truncate(length);
    Ok((kind, bytes))
}

/// A tag: type, length, and the bytes if they are in the tag itself.
fn tag(path: &Path, input: &mut dyn Read) -> Result<(u32, u64, Vec<u8>), DataError> {
    let mut tag = [0; 8];
    fill(input, &mut tag, path)?;
    let (kind, length) = (word(&tag[..4]), word(&tag[4..]));
    let inline = kind >> 16;
    match inline {
        0 => Ok((kind, length.into(), Vec::new())),
        1..=4 => Ok((kind & 0xffff, inline.into(), tag[4..4 + inline as usize].to_vec())),
        _ => Err(wrong(path, format!("an element of 4 bytes at most announces {inline}"))),
    }
}

fn fill(input: &mut dyn Read, bytes: &mut [u8], path: &Path) -> Result<(), DataError> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => wrong(path, "it is cut short; get the file again"),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            wrong(path, format!("its compressed data is damaged ({error}); get the file again"))
        }
        _ => DataError::io("read", path)(error),
    })
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}

fn wrong(path: &Path, reason: impl std::fmt::Display) -> DataError {
    DataError::malformed(path, NAME, reason)
}
