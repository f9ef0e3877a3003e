//! Pictures in folders: `train/CLASS/*.png`, `test/CLASS/*.jpg`, one folder a class.
//!
//! Classes are the folders of `train`, in the order of their names, byte by byte; so are the pictures
//! in them. Hidden files (`.name`) are passed over; any other file must be a picture. A set is in
//! colour if any picture to train on is: grey ones get three equal channels then. Transparency is
//! dropped, of 16 bits the upper eight are taken, and the orientation in a JPEG's EXIF data is not
//! heeded: what counts is what is stored.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::assemble::{Collector, Raw};
use super::idx::DEFLATE_RATIO_MAX;
use super::{COUNT_MAX, DataError, Images, Part};

const PNG: &str = "PNG picture";
const JPEG: &str = "JPEG picture";
/// Longest side of a picture as stored, in pixels.
const STORED_SIDE_MAX: u32 = 8192;
/// Most pixels of a picture as stored.
const PIXELS_MAX: u64 = 32 << 20;
/// Largest file of a picture in bytes.
const FILE_MAX: u64 = 64 << 20;
/// Memory for unpacking a picture, besides the picture itself, in bytes.
const MEMORY_MAX: usize = 256 << 20;
/// Most times a progressive JPEG may refine its picture.
const SCANS_MAX: usize = 64;
/// Labels are bytes.
const CLASSES_MAX: usize = 256;

/// One picture, channel after channel.
struct Picture {
    channels: u32,
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

/// Whether `folder` has folders with pictures to train on.
#[must_use]
pub fn is_begun(folder: &Path) -> bool {
    let entries = fs::read_dir(folder.join(Part::Train.name()));
    entries.is_ok_and(|entries| entries.flatten().any(|entry| entry.path().is_dir()))
}

/// The names of the classes.
///
/// # Errors
/// [`DataError`] if there are none, or too many.
pub fn classes(folder: &Path) -> Result<Vec<String>, DataError> {
    let train = folder.join(Part::Train.name());
    let names = names(&train)?;
    for name in &names {
        if !train.join(name).is_dir() {
            let reason = "it lies beside the folders of the classes";
            return Err(DataError::malformed(&train.join(name), "folder of a class", reason));
        }
    }
    DataError::limit(&train, "classes", names.len() as u64, CLASSES_MAX as u64)?;
    Ok(names)
}

/// The pictures of a part with their labels, in order.
///
/// # Errors
/// [`DataError`] naming a folder that has no pictures, or that is no class of the training part.
pub fn files(folder: &Path, part: Part) -> Result<Vec<(PathBuf, u8)>, DataError> {
    let classes = classes(folder)?;
    let part = folder.join(part.name());
    let mut files = Vec::new();
    for name in names(&part)? {
        let class = part.join(&name);
        let label = classes.iter().position(|known| *known == name);
        let Some(label) = label.and_then(|label| u8::try_from(label).ok()) else {
            let reason = format!("the training part has no class {name}");
            return Err(DataError::malformed(&class, "folder of a class", reason));
        };
        let before = files.len();
        files.extend(self::names(&class)?.into_iter().map(|name| (class.join(name), label)));
        if files.len() == before {
            return Err(DataError::malformed(&class, "folder of a class", "it has no pictures"));
        }
    }
    DataError::limit(&part, "pictures", files.len() as u64, COUNT_MAX.into())?;
    Ok(files)
}

/// Reads a part.
///
/// # Errors
/// [`DataError`] naming the picture and what is wrong with it.
pub fn read(folder: &Path, part: Part, resize: Option<u32>) -> Result<Images, DataError> {
    let files = files(folder, part)?;
    let channels = channels(folder)?;
    let (mut images, mut labels) = (Collector::new(resize), Vec::with_capacity(files.len()));
    for (path, label) in &files {
        let Picture { channels: found, width, height, pixels } = decode(path)?;
        let pixels = match (found, channels) {
            (1, 3) => pixels.repeat(3),
            (3, 1) => {
                let reason = "it is in colour, and all pictures to train on are grey";
                return Err(DataError::malformed(path, "grey picture", reason));
            }
            _ => pixels,
        };
        images.push(&Raw { channels, width, height, pixels: &pixels }, path)?;
        labels.push(*label);
    }
    images.finish(labels, &folder.join(part.name()))
}

/// The shape of the pictures of a part, going by the first: pictures, channels, width, height.
///
/// # Errors
/// [`DataError`] naming the folder or picture and what is wrong with it.
pub fn peek(folder: &Path, part: Part) -> Result<[u32; 4], DataError> {
    let files = files(folder, part)?;
    let first = files.first().map(|(path, _)| header(path)).transpose()?;
    let (channels, width, height) = first.unwrap_or_default();
    Ok([u32::try_from(files.len()).unwrap_or(u32::MAX), channels, width, height])
}

/// A square picture as PNG; `pixels` are channel after channel.
///
/// # Errors
/// [`DataError::Malformed`] if the picture has no size.
pub fn png(channels: u32, side: u32, pixels: &[u8]) -> Result<Vec<u8>, DataError> {
    let failed = |error: png::EncodingError| DataError::malformed(Path::new("it"), PNG, error);
    let size = side as usize * side as usize;
    // Three channels are colours; of any other number, the first is shown in grey.
    let (color, shown) =
        if channels == 3 { (png::ColorType::Rgb, 3) } else { (png::ColorType::Grayscale, 1) };
    let pixel = |place: usize| (0..shown).map(move |channel| pixels[channel * size + place]);
    let data: Vec<u8> = (0..size).flat_map(pixel).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&data).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

/// Three if any picture to train on is in colour, else one.
fn channels(folder: &Path) -> Result<u32, DataError> {
    for (path, _) in files(folder, Part::Train)? {
        if header(&path)?.0 == 3 {
            return Ok(3);
        }
    }
    Ok(1)
}

/// The names in a folder that are not hidden, sorted.
fn names(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io("read", folder))? {
        let entry = entry.map_err(DataError::io("read", folder))?;
        let name = entry.file_name().into_string().map_err(|_| {
            DataError::malformed(&entry.path(), "name", "it is not UTF-8; rename it")
        })?;
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What the name of a file promises.
fn format(path: &Path) -> Result<&'static str, DataError> {
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_lowercase);
    match extension.as_deref() {
        Some("png") if path.is_file() => Ok(PNG),
        Some("jpg" | "jpeg") if path.is_file() => Ok(JPEG),
        _ => {
            let reason = "it is no file named .png, .jpg or .jpeg";
            Err(DataError::malformed(path, "picture", reason))
        }
    }
}

/// Channels (1 or 3), width, height.
fn header(path: &Path) -> Result<(u32, u32, u32), DataError> {
    if format(path)? == PNG {
        let reader = png_reader(path)?;
        let (width, height) = reader.info().size();
        return Ok((png_channels(&reader), width, height));
    }
    let mut decoder = JpegDecoder::new_with_options(open(path)?, jpeg_options());
    decoder.decode_headers().map_err(|error| jpeg_error(path, &error))?;
    jpeg_shape(path, &mut decoder)
}

fn decode(path: &Path) -> Result<Picture, DataError> {
    if format(path)? == PNG { decode_png(path) } else { decode_jpeg(path) }
}

type PngReader = png::Reader<BufReader<File>>;

fn png_reader(path: &Path) -> Result<PngReader, DataError> {
    let wrong = |error: png::DecodingError| DataError::malformed(path, PNG, error);
    let mut decoder = png::Decoder::new_with_limits(open(path)?, png::Limits { bytes: MEMORY_MAX });
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let reader = decoder.read_info().map_err(wrong)?;
    let (width, height) = reader.info().size();
    check_sides(path, width, height)?;
    // Memory for the pixels is had before they are unpacked: not on the word of the header alone.
    let stored = std::fs::metadata(path).map_err(DataError::io("open", path))?.len();
    if reader.info().raw_bytes() as u64 > stored.saturating_mul(DEFLATE_RATIO_MAX) {
        let reason =
            format!("{stored} bytes cannot hold {width} x {height} pixels; it is cut short");
        return Err(DataError::malformed(path, PNG, reason));
    }
    Ok(reader)
}

fn png_channels(reader: &PngReader) -> u32 {
    match reader.output_color_type().0 {
        png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha => 1,
        _ => 3,
    }
}

fn decode_png(path: &Path) -> Result<Picture, DataError> {
    let wrong = |error: png::DecodingError| DataError::malformed(path, PNG, error);
    let mut reader = png_reader(path)?;
    let (width, height) = reader.info().size();
    let (channels, samples) = (png_channels(&reader), reader.output_color_type().0.samples());
    let mut stored = vec![0; reader.output_buffer_size().unwrap_or(0)];
    reader.next_frame(&mut stored).map_err(wrong)?;
    reader.finish().map_err(wrong)?;
    Ok(Picture { channels, width, height, pixels: planes(&stored, samples, channels as usize) })
}

fn jpeg_options() -> DecoderOptions {
    // Strict: a picture that is cut short is an error, not one with a grey end.
    DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_max_width(STORED_SIDE_MAX as usize)
        .set_max_height(STORED_SIDE_MAX as usize)
        .jpeg_set_max_scans(SCANS_MAX)
}

fn jpeg_shape<T: zune_core::bytestream::ZByteReaderTrait>(
    path: &Path,
    decoder: &mut JpegDecoder<T>,
) -> Result<(u32, u32, u32), DataError> {
    let info = decoder.info();
    let (width, height) = info.map_or((0, 0), |info| (info.width.into(), info.height.into()));
    check_sides(path, width, height)?;
    let channels = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => 1,
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => 3,
        other => {
            let reason = format!("its colours are {other:?}; qtrail reads grey and RGB");
            return Err(DataError::malformed(path, JPEG, reason));
        }
    };
    Ok((channels, width, height))
}

fn decode_jpeg(path: &Path) -> Result<Picture, DataError> {
    let wrong = |error| jpeg_error(path, &error);
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(DataError::io("read", path))?;
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes), jpeg_options());
    decoder.decode_headers().map_err(wrong)?;
    let (channels, width, height) = jpeg_shape(path, &mut decoder)?;
    let space = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(jpeg_options().jpeg_set_out_colorspace(space));
    let stored = decoder.decode().map_err(wrong)?;
    let channels_in = channels as usize;
    if stored.len() != channels_in * width as usize * height as usize {
        return Err(DataError::malformed(path, JPEG, "it does not fill its size"));
    }
    Ok(Picture { channels, width, height, pixels: planes(&stored, channels_in, channels_in) })
}

fn jpeg_error(path: &Path, error: &zune_jpeg::errors::DecodeErrors) -> DataError {
    DataError::malformed(path, JPEG, format!("{error:?}").lines().next().unwrap_or_default())
}

/// Opens a picture that is not too large a file.
fn open(path: &Path) -> Result<BufReader<File>, DataError> {
    let mut file = File::open(path).map_err(DataError::io("open", path))?;
    let bytes = file.metadata().map_err(DataError::io("open", path))?.len();
    DataError::limit(path, "bytes", bytes, FILE_MAX)?;
    file.rewind().map_err(DataError::io("open", path))?;
    Ok(BufReader::new(file))
}

fn check_sides(path: &Path, width: u32, height: u32) -> Result<(), DataError> {
    DataError::limit(path, "columns", width.into(), STORED_SIDE_MAX.into())?;
    DataError::limit(path, "rows", height.into(), STORED_SIDE_MAX.into())?;
    DataError::limit(path, "pixels", u64::from(width) * u64::from(height), PIXELS_MAX)
}

/// The first `channels` of `samples` values a pixel, channel after channel.
fn planes(stored: &[u8], samples: usize, channels: usize) -> Vec<u8> {
    let values = |channel: usize| stored.iter().skip(channel).step_by(samples.max(1)).copied();
    (0..channels).flat_map(values).collect()
}
