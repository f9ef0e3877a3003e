//! NumPy arrays: one `.npz` file (of `np.savez` or `np.savez_compressed`) with `x_train`, `y_train`,
//! `x_test` and `y_test`.
//!
//! `x_*` are bytes (`uint8`), images x height x width, or x channels after that (one or three);
//! `y_*` are whole numbers of any type from 0 to 255, images or images x 1.
//!
//! An `.npz` is a ZIP archive of `.npy` files: a magic number, the length of a header, the header (a
//! Python dictionary with type, order and shape), then the values. A header is believed only within
//! limits, and never more is unpacked than it announces, and one byte.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::assemble::{Collector, Raw};
use super::idx::RESERVE_MAX;
use super::{BYTES_MAX, COUNT_MAX, DataError, Images, Part, SIDE_MAX};

const NAME: &str = "NPZ file";
/// Longest header of an array in bytes; NumPy writes some 100.
const HEADER_MAX: usize = 16 << 10;
/// Most arrays in a file.
const ARRAYS_MAX: usize = 1000;

/// The `.npz` file in `folder`, if there is exactly one.
///
/// # Errors
/// [`DataError::Io`] if the system refuses to look.
pub fn file(folder: &Path) -> Result<Option<PathBuf>, DataError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io("read", folder))? {
        let path = entry.map_err(DataError::io("read", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "npz")
            && DataError::check_file(&path)?
        {
            files.push(path);
        }
    }
    Ok(if files.len() == 1 { files.pop() } else { None })
}

/// Reads a part from the file at `path`.
///
/// # Errors
/// [`DataError`] naming the file, the array, and what is wrong with it.
pub fn read(path: &Path, part: Part, resize: Option<u32>) -> Result<Images, DataError> {
    let mut archive = open(path)?;
    let mut images = Collector::new(resize);
    array(path, &mut archive, &format!("x_{}", part.name()), &mut |array| {
        let [count, channels, width, height] = array.shape()?;
        let length = channels as usize * width as usize * height as usize;
        let (mut stored, mut pixels) = (vec![0; length], vec![0; length]);
        for _ in 0..count {
            array.fill(&mut stored)?;
            by_channels(&stored, &mut pixels, channels as usize);
            images.push(&Raw { channels, width, height, pixels: &pixels }, path)?;
        }
        Ok(())
    })?;
    let mut labels = Vec::new();
    array(path, &mut archive, &format!("y_{}", part.name()), &mut |array| {
        labels = array.labels()?;
        Ok(())
    })?;
    images.finish(labels, path)
}

/// The shape of the images of a part: images, channels, width, height.
///
/// # Errors
/// [`DataError`] naming the file, the array, and what is wrong with it.
pub fn peek(path: &Path, part: Part) -> Result<[u32; 4], DataError> {
    let mut archive = open(path)?;
    let name = format!("x_{}", part.name());
    let member = archive.by_name(&format!("{name}.npy"));
    let member = member.map_err(|error| wrong(path, format!("{name}: {error}")))?;
    Array::open(path, &name, member)?.shape()
}

/// Whether there is an array with the images of a part.
#[must_use]
pub fn has(path: &Path, part: Part) -> bool {
    let name = format!("x_{}.npy", part.name());
    open(path).is_ok_and(|archive| archive.index_for_name(&name).is_some())
}

type Archive = ZipArchive<BufReader<File>>;
type Member<'a> = zip::read::ZipFile<'a, BufReader<File>>;
/// What reads an array as far as it wants.
type ReadArray<'a> = &'a mut dyn FnMut(&mut Array<'_, Member<'_>>) -> Result<(), DataError>;

fn open(path: &Path) -> Result<Archive, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let archive = ZipArchive::new(BufReader::new(file)).map_err(|error| wrong(path, error))?;
    if archive.len() > ARRAYS_MAX {
        return Err(wrong(path, format!("it has {} members", archive.len())));
    }
    Ok(archive)
}

/// Hands on the array `name`, and makes sure that nothing follows what was read of it, whereby its
/// checksum is checked too.
fn array(
    path: &Path,
    archive: &mut Archive,
    name: &str,
    read: ReadArray<'_>,
) -> Result<(), DataError> {
    let member = archive.by_name(&format!("{name}.npy")).map_err(|error| match error {
        zip::result::ZipError::FileNotFound => wrong(path, format!("it has no array {name}")),
        other => wrong(path, format!("{name}: {other}")),
    })?;
    let mut array = Array::open(path, name, member)?;
    read(&mut array)?;
    let mut beyond = [0];
    match array.input.read(&mut beyond) {
        Ok(0) => Ok(()),
        Ok(_) => Err(wrong(path, format!("{name} is longer than its header announces"))),
        Err(error) => Err(array.refused(error)),
    }
}

struct Array<'a, R> {
    path: &'a Path,
    name: &'a str,
    /// As NumPy writes it: `|u1`.
    kind: String,
    dimensions: Vec<u64>,
    input: R,
}

impl<'a, R: Read> Array<'a, R> {
    fn open(path: &'a Path, name: &'a str, input: R) -> Result<Self, DataError> {
        let mut array = Self { path, name, kind: String::new(), dimensions: Vec::new(), input };
        let mut start = [0; 8];
        array.fill(&mut start)?;
        let long = match &start {
            b"\x93NUMPY\x01\x00" => 2,
            b"\x93NUMPY\x02\x00" | b"\x93NUMPY\x03\x00" => 4,
            _ => return Err(array.wrong("it does not start as NumPy's arrays do")),
        };
        let mut length = [0; 4];
        array.fill(&mut length[..long])?;
        let length = u32::from_le_bytes(length) as usize;
        if length > HEADER_MAX {
            return Err(array.wrong(format!("its header announces {length} bytes")));
        }
        let mut header = vec![0; length];
        array.fill(&mut header)?;
        let header = String::from_utf8_lossy(&header).into_owned();
        let unread = || array.wrong("its header is not one that NumPy writes");
        let kind = value(&header, "descr").and_then(|rest| rest.strip_prefix('\''));
        let kind = kind.and_then(|rest| rest.split('\'').next()).ok_or_else(unread)?.to_owned();
        if !value(&header, "fortran_order").ok_or_else(unread)?.starts_with("False") {
            return Err(array.wrong("it is stored column by column; save it in C order"));
        }
        let shape = value(&header, "shape").and_then(|rest| rest.strip_prefix('('));
        let shape = shape.and_then(|rest| rest.split(')').next()).ok_or_else(unread)?;
        let numbers = shape.split(',').map(str::trim).filter(|number| !number.is_empty());
        let dimensions: Result<Vec<u64>, _> = numbers.map(str::parse).collect();
        let dimensions = dimensions.map_err(|_| unread())?;
        Ok(Self { kind, dimensions, ..array })
    }

    /// Images, channels, width, height.
    fn shape(&self) -> Result<[u32; 4], DataError> {
        if self.kind != "|u1" {
            let reason = format!("it is of type {}; qtrail reads uint8 (|u1)", self.kind);
            return Err(self.wrong(reason));
        }
        let (count, height, width, channels) = match *self.dimensions.as_slice() {
            [count, height, width] => (count, height, width, 1),
            [count, height, width, channels @ (1 | 3)] => (count, height, width, channels),
            _ => {
                return Err(self.wrong(format!(
                    "its shape is {:?}, expected images x height x width, or images x height x width x \
                     channels with one channel or three",
                    self.dimensions
                )));
            }
        };
        DataError::limit(self.path, "images", count, COUNT_MAX.into())?;
        DataError::limit(self.path, "rows", height, SIDE_MAX.into())?;
        DataError::limit(self.path, "columns", width, SIDE_MAX.into())?;
        DataError::limit(
            self.path,
            "bytes of pixels",
            count * height * width * channels,
            BYTES_MAX,
        )?;
        let fit = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Ok([count, channels, width, height].map(fit))
    }

    fn labels(&mut self) -> Result<Vec<u8>, DataError> {
        let (&[count] | &[count, 1]) = self.dimensions.as_slice() else {
            let reason = format!("its shape is {:?}, expected one label an image", self.dimensions);
            return Err(self.wrong(reason));
        };
        DataError::limit(self.path, "labels", count, COUNT_MAX.into())?;
        let whole = self.kind.starts_with(['|', '<', '>']);
        let size: usize = match self.kind.get(1..) {
            Some("u1" | "i1") if whole => 1,
            Some("u2" | "i2") if whole => 2,
            Some("u4" | "i4") if whole => 4,
            Some("u8" | "i8") if whole => 8,
            _ => {
                return Err(
                    self.wrong(format!("it is of type {}; qtrail reads whole numbers", self.kind))
                );
            }
        };
        let signed = self.kind[1..].starts_with('i');
        let mut labels = Vec::with_capacity(count.min(RESERVE_MAX) as usize);
        let mut value = vec![0; size];
        for place in 0..count {
            self.fill(&mut value)?;
            if self.kind.starts_with('>') {
                value.reverse();
            }
            let small = value[1..].iter().all(|&byte| byte == 0);
            if !small || (size == 1 && signed && value[0] > 127) {
                return Err(self.wrong(format!("label {place} is not from 0 to 255")));
            }
            labels.push(value[0]);
        }
        Ok(labels)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), DataError> {
        self.input.read_exact(bytes).map_err(|error| self.refused(error))
    }

    fn refused(&self, error: io::Error) -> DataError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.wrong("it is cut short"),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                self.wrong(format!("it is damaged ({error})"))
            }
            _ => DataError::io("read", self.path)(error),
        }
    }

    fn wrong(&self, reason: impl std::fmt::Display) -> DataError {
        wrong(self.path, format!("{}: {reason}", self.name))
    }
}

/// What follows `'key':` in a Python dictionary.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let quoted = format!("'{key}'");
    let after = &header[header.find(&quoted)? + quoted.len()..];
    after.trim_start().strip_prefix(':').map(str::trim_start)
}

/// Turns an image from pixel after pixel to channel after channel.
fn by_channels(stored: &[u8], pixels: &mut [u8], channels: usize) {
    let size = stored.len() / channels.max(1);
    for (place, values) in stored.chunks_exact(channels.max(1)).enumerate() {
        for (channel, &value) in values.iter().enumerate() {
            pixels[channel * size + place] = value;
        }
    }
}

fn wrong(path: &Path, reason: impl std::fmt::Display) -> DataError {
    DataError::malformed(path, NAME, reason)
}
