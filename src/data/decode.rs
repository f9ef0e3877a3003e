//! One picture: PNG or JPEG, by what is in it, whatever it is called.
//!
//! Transparency is dropped, of 16 bits the upper eight are taken, and the orientation in a JPEG's EXIF
//! data is not heeded: what counts is what is stored. The inks of a CMYK picture are turned into
//! colours.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _};
use std::path::Path;

use zune_core::bytestream::{ZByteReaderTrait, ZCursor};
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::DataError;
use super::idx::DEFLATE_RATIO_MAX;

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
/// What other formats begin with: where, with what, and what they are called.
const OTHERS: [(usize, &[u8], &str); 8] = [
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (8, b"WEBP", "WebP"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"jP  ", "JPEG 2000"),
];

/// The format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Png,
    Jpeg,
}

/// One picture, channel after channel.
pub(super) struct Picture {
    pub(super) kind: Kind,
    /// Three or one.
    pub(super) channels: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixels: Vec<u8>,
    /// Whether it was stored as inks.
    pub(super) was_cmyk: bool,
}

impl Kind {
    /// What a file that begins like this is, if it is a picture that can be read.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            _ => None,
        }
    }

    /// As people know it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
        }
    }

    /// Whether a file of this name may be taken for something else.
    pub(super) fn is_misnamed(self, path: &Path) -> bool {
        let extension = path.extension().map(|end| end.to_string_lossy().to_lowercase());
        let usual: &[&str] = match self {
            Self::Png => &["png"],
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
        };
        !extension.is_some_and(|extension| usual.contains(&extension.as_str()))
    }
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

/// What is in the file at `path`.
fn kind(path: &Path) -> Result<Kind, DataError> {
    let wrong = |reason: &str| Err(DataError::malformed(path, "picture", reason));
    if path.is_dir() {
        return wrong("it is a folder in the folder of a class");
    }
    let mut start = Vec::new();
    open(path)?.take(16).read_to_end(&mut start).map_err(DataError::io("read", path))?;
    if let Some(kind) = Kind::of(&start) {
        return Ok(kind);
    }
    let other = OTHERS
        .iter()
        .find(|(at, begins, _)| start.get(*at..).is_some_and(|rest| rest.starts_with(begins)));
    match other {
        Some((_, _, name)) => {
            wrong(&format!("it is a {name} file; qtrail reads PNG and JPEG: convert it"))
        }
        None => wrong("its content is neither PNG nor JPEG"),
    }
}

/// Channels (1 or 3), width, height.
pub(super) fn header(path: &Path) -> Result<(u32, u32, u32), DataError> {
    if kind(path)? == Kind::Png {
        let reader = png_reader(path)?;
        let (width, height) = reader.info().size();
        return Ok((png_channels(&reader), width, height));
    }
    let mut decoder = JpegDecoder::new_with_options(open(path)?, jpeg_options());
    decoder.decode_headers().map_err(|error| jpeg_error(path, &error))?;
    let (channels, width, height, _) = jpeg_shape(path, &decoder)?;
    Ok((channels, width, height))
}

pub(super) fn decode(path: &Path) -> Result<Picture, DataError> {
    match kind(path)? {
        Kind::Png => decode_png(path),
        Kind::Jpeg => decode_jpeg(path),
    }
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
    let (pixels, was_cmyk) = (planes(&stored, samples, channels as usize), false);
    Ok(Picture { kind: Kind::Png, channels, width, height, pixels, was_cmyk })
}

fn jpeg_options() -> DecoderOptions {
    // Strict: a picture that is cut short is an error, not one with a grey end.
    DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_max_width(STORED_SIDE_MAX as usize)
        .set_max_height(STORED_SIDE_MAX as usize)
        .jpeg_set_max_scans(SCANS_MAX)
}

/// Channels, width, height, and whether it is stored as inks.
fn jpeg_shape<T: ZByteReaderTrait>(
    path: &Path,
    decoder: &JpegDecoder<T>,
) -> Result<(u32, u32, u32, bool), DataError> {
    let info = decoder.info();
    let components = info.as_ref().map_or(0, |info| info.components);
    let (width, height) = info.map_or((0, 0), |info| (info.width.into(), info.height.into()));
    check_sides(path, width, height)?;
    match (decoder.input_colorspace(), components) {
        (Some(ColorSpace::Luma), _) => Ok((1, width, height, false)),
        (Some(ColorSpace::YCbCr | ColorSpace::RGB), _) => Ok((3, width, height, false)),
        // Adobe's marker says of red, green and blue only that they are no YCbCr.
        (Some(ColorSpace::CMYK), 3) => Ok((3, width, height, false)),
        (Some(ColorSpace::CMYK | ColorSpace::YCCK), 4) => Ok((3, width, height, true)),
        (other, _) => {
            let reason = format!("its colours are {other:?}; qtrail reads grey, RGB and CMYK");
            Err(DataError::malformed(path, JPEG, reason))
        }
    }
}

fn decode_jpeg(path: &Path) -> Result<Picture, DataError> {
    let wrong = |error| jpeg_error(path, &error);
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(DataError::io("read", path))?;
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes), jpeg_options());
    decoder.decode_headers().map_err(wrong)?;
    let (channels, width, height, was_cmyk) = jpeg_shape(path, &decoder)?;
    if was_cmyk && !has_adobe_marker(&bytes) {
        // Inks are inverted where Adobe's marker says who wrote them, and may be anywhere else.
        let reason =
            "it is CMYK without Adobe's marker, so its inks are not known; convert it to RGB";
        return Err(DataError::malformed(path, JPEG, reason));
    }
    let space = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(jpeg_options().jpeg_set_out_colorspace(space));
    let stored = decoder.decode().map_err(wrong)?;
    let channels_in = channels as usize;
    if stored.len() != channels_in * width as usize * height as usize {
        return Err(DataError::malformed(path, JPEG, "it does not fill its size"));
    }
    let pixels = planes(&stored, channels_in, channels_in);
    Ok(Picture { kind: Kind::Jpeg, channels, width, height, pixels, was_cmyk })
}

/// Whether a JPEG has the segment APP14 of Adobe before its picture.
fn has_adobe_marker(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [0xff, marker, high, low, after @ ..] = rest {
        match marker {
            0xee if after.starts_with(b"Adobe") => return true,
            0xda => return false,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        rest = after.get(length.saturating_sub(2)..).unwrap_or_default();
    }
    false
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
