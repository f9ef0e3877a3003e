//! A close look at a data set: everything that `data check` tells.

use std::path::PathBuf;

use sha2::Sha256;

use super::catalog::hash_file;
use super::folder::{IdxFolder, part_files};
use super::{DataError, Format, ImageSet, Located, Part};

/// What a data set holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The format of the files.
    pub format: Format,
    /// Training part, then test part; only those that there are.
    pub parts: Vec<PartReport>,
    /// The files, training first; none of pictures, which may be many.
    pub files: Vec<FileReport>,
}

/// What one part holds.
#[derive(Debug, Clone, PartialEq)]
pub struct PartReport {
    /// Which part.
    pub part: Part,
    /// Number of images.
    pub count: u32,
    /// Colour channels.
    pub channels: u32,
    /// Side in pixels.
    pub side: u32,
    /// Images of each class.
    pub class_counts: Vec<u32>,
    /// Mean of all pixels, 0 to 255.
    pub mean_pixel: f64,
    /// Mean of all images: channels x side x side, 0 to 255.
    pub mean_image: Vec<f64>,
    /// BLAKE3 of pixels and labels, as recorded with every search.
    pub digest: [u8; 32],
    /// Facts about its files that a person should know, a sentence each.
    pub remarks: Vec<String>,
}

/// What one file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Its size as stored.
    pub bytes: u64,
    /// SHA-256 of the file as stored, in hexadecimal.
    pub sha256: String,
    /// Whether the content is that of the known set; unset if nothing says what that would be.
    pub known: Option<bool>,
}

/// Reads all of a data set.
///
/// Content that differs from a known set is no error here, but told file by file.
///
/// # Errors
/// [`DataError`] if files of either part are missing or damaged, or the parts do not fit each other.
pub fn check(located: &Located) -> Result<Report, DataError> {
    let (folder, extra) = (&located.folder, located.reading.extra);
    let format = Format::of(folder)?;
    let mut report = Report { format, parts: Vec::new(), files: Vec::new() };
    let mut paths = Vec::new();
    // Pictures to be attacked need no training part.
    let there = |part: &Part| match format {
        Format::Pictures => format.files(folder, *part, false).is_ok(),
        _ => true,
    };
    let parts: Vec<Part> = Part::ALL.into_iter().filter(there).collect();
    for &part in &parts {
        paths.extend(format.files(folder, part, extra)?.into_iter().map(|path| (part, path)));
    }
    // An NPZ file holds both parts.
    paths.dedup_by(|(_, a), (_, b)| a == b);
    // Content that differs from a known set is looked at all the same.
    let plain = Located { known: None, ..located.clone() };
    let mut wrong = Vec::new();
    for part in parts {
        let mut found = match part_report(part, &plain) {
            Ok(found) => found,
            Err(error) => {
                wrong.push(error);
                continue;
            }
        };
        // What is true of the folder of both parts is said once.
        found
            .remarks
            .retain(|remark| report.parts.iter().all(|part| !part.remarks.contains(remark)));
        report.parts.push(found);
    }
    DataError::all(wrong)?;
    if format != Format::Pictures {
        for (part, path) in paths {
            report.files.push(file_report(located, part, path)?);
        }
    }
    check_fit(located, &report.parts)?;
    Ok(report)
}

fn part_report(part: Part, located: &Located) -> Result<PartReport, DataError> {
    let mut sums: Vec<u64> = Vec::new();
    let images = ImageSet::open_with(located, part, &mut |image| {
        sums.resize(image.len(), 0);
        sums.iter_mut().zip(image).for_each(|(sum, &pixel)| *sum += u64::from(pixel));
    })?;
    let count = f64::from(images.count.max(1));
    // At most 10 million images of bytes: the sum of all pixels is exact in a f64.
    let all = sums.iter().sum::<u64>() as f64;
    Ok(PartReport {
        part,
        count: images.count,
        channels: images.channels,
        side: images.side,
        class_counts: images.class_counts(),
        mean_pixel: all / (count * sums.len().max(1) as f64),
        mean_image: sums.iter().map(|&sum| sum as f64 / count).collect(),
        digest: images.digest(),
        remarks: images.remarks,
    })
}

fn file_report(located: &Located, part: Part, path: PathBuf) -> Result<FileReport, DataError> {
    let (bytes, sha256) = hash_file::<Sha256>(&path)?;
    let verdict = match located.known {
        Some(set) => set.verify_file(&located.folder, part, &path)?,
        None => None,
    };
    let known = verdict.map(|verdict| verdict.is_ok());
    Ok(FileReport { path, bytes, sha256, known })
}

/// Test images must be of the size and the classes that training has shown.
fn check_fit(located: &Located, parts: &[PartReport]) -> Result<(), DataError> {
    let [train, test] = parts else { return Ok(()) };
    let (folder, format) = (&located.folder, Format::of(&located.folder)?);
    let path = |at: usize| match format {
        Format::Idx => IdxFolder::new(folder).path(part_files(Part::Test)[at]),
        _ => Ok(format.files(folder, Part::Test, false)?.remove(0)),
    };
    if train.channels != test.channels {
        let (path, expected, found) = (path(0)?, train.channels, test.channels);
        return Err(DataError::ChannelMismatch { path, expected, found });
    }
    if train.side != test.side {
        let (path, expected, found) = (path(0)?, train.side, test.side);
        return Err(DataError::SideMismatch { path, expected, found });
    }
    if test.class_counts.len() > train.class_counts.len() {
        let count = |counts: &[u32]| u32::try_from(counts.len()).unwrap_or(u32::MAX);
        let (classes, tested) = (count(&train.class_counts), count(&test.class_counts));
        return Err(DataError::UnknownClass { path: path(1)?, classes, found: tested - 1 });
    }
    Ok(())
}
