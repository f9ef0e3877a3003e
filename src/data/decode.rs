//! One picture: PNG or JPEG, by what is in it, whatever it is called.
//!
//! Transparency is dropped, of 16 bits the upper eight are taken, and the orientation in EXIF data is not
//! heeded: what counts is what is stored. The inks of a CMYK picture are turned into colours. All of
//! this is counted ([`Stored`]), so that it can be said.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _};
use std::path::Path;

use zune_core::bytestream::{ZByteReaderTrait, ZCursor};
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::DataError;
use super::idx::DEFLATE_RATIO_MAX;
use crate::guard::guarded;

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
    pub(super) stored: Stored,
}

/// What of a stored picture is not seen, or not as it was stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// It is stored as inks.
    pub(super) is_cmyk: bool,
    /// It has 16 bits a value.
    pub(super) is_deep: bool,
    /// It has transparency.
    pub(super) is_transparent: bool,
    /// Its EXIF data says that it is to be turned or mirrored.
    pub(super) is_turned: bool,
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
    if DataError::check_folder(path)? {
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
    asked(path, JPEG, || decoder.decode_headers().map_err(|error| jpeg_error(path, &error)))?;
    let (channels, width, height, _) = jpeg_shape(path, &decoder)?;
    Ok((channels, width, height))
}

pub(super) fn decode(path: &Path) -> Result<Picture, DataError> {
    match kind(path)? {
        Kind::Png => decode_png(path),
        Kind::Jpeg => decode_jpeg(path),
    }
}

/// A call into a decoder. A panic there says that it does not understand the picture.
fn asked<T>(
    path: &Path,
    format: &'static str,
    call: impl FnOnce() -> Result<T, DataError>,
) -> Result<T, DataError> {
    guarded(call).unwrap_or_else(|text| {
        Err(DataError::malformed(path, format, format!("its decoder gave up: {text}")))
    })
}

type PngReader = png::Reader<BufReader<File>>;

fn png_reader(path: &Path) -> Result<PngReader, DataError> {
    let wrong = |error: png::DecodingError| DataError::malformed(path, PNG, error);
    let mut decoder = png::Decoder::new_with_limits(open(path)?, png::Limits { bytes: MEMORY_MAX });
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let reader = asked(path, PNG, || decoder.read_info().map_err(wrong))?;
    let (width, height) = reader.info().size();
    check_sides(path, width, height)?;
    // The decoder relies on whole colours.
    if reader.info().palette.as_ref().is_some_and(|palette| !palette.len().is_multiple_of(3)) {
        return Err(DataError::malformed(path, PNG, "its palette ends within a colour"));
    }
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
    asked(path, PNG, || {
        reader.next_frame(&mut stored).map_err(wrong)?;
        reader.finish().map_err(wrong)
    })?;
    let pixels = planes(&stored, samples, channels as usize);
    let exif = reader.info().exif_metadata.as_deref();
    let stored = Stored {
        is_cmyk: false,
        is_deep: reader.info().bit_depth == png::BitDepth::Sixteen,
        is_transparent: samples > channels as usize,
        is_turned: exif.is_some_and(is_turned),
    };
    Ok(Picture { kind: Kind::Png, channels, width, height, pixels, stored })
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
    asked(path, JPEG, || decoder.decode_headers().map_err(wrong))?;
    let (channels, width, height, was_cmyk) = jpeg_shape(path, &decoder)?;
    if was_cmyk && !has_adobe_marker(&bytes) {
        // Inks are inverted where Adobe's marker says who wrote them, and may be anywhere else.
        let reason =
            "it is CMYK without Adobe's marker, so its inks are not known; convert it to RGB";
        return Err(DataError::malformed(path, JPEG, reason));
    }
    let space = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(jpeg_options().jpeg_set_out_colorspace(space));
    let values = asked(path, JPEG, || decoder.decode().map_err(wrong))?;
    let channels_in = channels as usize;
    if values.len() != channels_in * width as usize * height as usize {
        return Err(DataError::malformed(path, JPEG, "it does not fill its size"));
    }
    let pixels = planes(&values, channels_in, channels_in);
    let exif = segment(&bytes, 0xe1, b"Exif\0\0");
    let is_turned = exif.is_some_and(is_turned);
    let stored = Stored { is_cmyk: was_cmyk, is_turned, ..Stored::default() };
    Ok(Picture { kind: Kind::Jpeg, channels, width, height, pixels, stored })
}

/// Whether a JPEG has the segment APP14 of Adobe before its picture.
fn has_adobe_marker(bytes: &[u8]) -> bool {
    segment(bytes, 0xee, b"Adobe").is_some()
}

/// What follows `name` in the first segment of this marker and name before the picture of a JPEG.
fn segment<'b>(bytes: &'b [u8], marker: u8, name: &[u8]) -> Option<&'b [u8]> {
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [0xff, found, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(2);
        let (within, next) = after.split_at_checked(length).unwrap_or((after, &[]));
        if *found == marker && within.starts_with(name) {
            return within.get(name.len()..);
        }
        if *found == 0xda {
            return None;
        }
        rest = next;
    }
    None
}

/// Whether EXIF data has an orientation other than that of the pixels: tag 274 of the first directory
/// of a TIFF file, 1 to 8.
fn is_turned(exif: &[u8]) -> bool {
    let is_little = exif.starts_with(b"II*\0");
    if !is_little && !exif.starts_with(b"MM\0*") {
        return false;
    }
    let short = |at: usize| {
        let bytes: [u8; 2] = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes: [u8; 4] = exif.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) } as usize)
    };
    let orientation = || {
        let directory = long(4)?;
        let entries = (0..usize::from(short(directory)?)).map(|entry| directory + 2 + 12 * entry);
        entries.into_iter().find(|&at| short(at) == Some(274)).and_then(|at| short(at + 8))
    };
    orientation().is_some_and(|orientation| (2..=8).contains(&orientation))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orientation_is_found_in_either_order_of_bytes_and_nothing_else_is() {
        let little = |orientation: u8| {
            let mut exif = b"II*\0\x08\0\0\0\x02\0".to_vec();
            exif.extend(b"\x0f\x01\x02\0\x04\0\0\0abc\0");
            exif.extend([0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
            exif
        };
        for (orientation, expected) in [(0, false), (1, false), (6, true), (8, true), (9, false)] {
            assert_eq!(is_turned(&little(orientation)), expected, "{orientation}");
        }
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0";
        assert!(is_turned(big));
        let whole = little(6);
        for length in 0..whole.len() - 3 {
            assert!(!is_turned(&whole[..length]), "{length}");
        }
        // A directory beyond the end, however far.
        assert!(!is_turned(b"II*\0\xff\xff\xff\xff\x02\0"));
        assert!(!is_turned(b"GIF89a"));
        let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe1];
        jpeg.extend(u16::try_from(2 + 6 + whole.len()).unwrap().to_be_bytes());
        jpeg.extend(b"Exif\0\0");
        jpeg.extend(&whole);
        assert_eq!(segment(&jpeg, 0xe1, b"Exif\0\0"), Some(&whole[..]));
        assert_eq!(segment(&jpeg, 0xee, b"Adobe"), None);
        assert_eq!(segment(&[0xff, 0xd8, 0xff, 0xda, 0, 2], 0xe1, b"Exif\0\0"), None);
    }
}
