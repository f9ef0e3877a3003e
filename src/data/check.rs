//! A close look at a data set: everything that `data check` tells.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::catalog::{KnownContent, hex};
use super::folder::{IdxFolder, part_files};
use super::{DataError, Images, Located, Part};

/// What a data set holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Training part, then test part.
    pub parts: Vec<PartReport>,
    /// The four files, training first, images first.
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
    /// BLAKE3 of pixels and labels, as recorded with every search.
    pub digest: [u8; 32],
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
    /// SHA-256 of its decompressed content, in hexadecimal.
    pub content_sha256: String,
    /// Whether the content is that of the known set; unset if the name promises none.
    pub known: Option<bool>,
}

impl Report {
    /// The first file that is not what the name of the set promises.
    #[must_use]
    pub fn impostor(&self) -> Option<&FileReport> {
        self.files.iter().find(|file| file.known == Some(false))
    }
}

/// Reads all of a data set.
///
/// Content that differs from a known set is no error here, but told file by file; see
/// [`Report::impostor`].
///
/// # Errors
/// [`DataError`] if a file is missing or damaged, or the parts do not fit each other.
pub fn check(located: &Located) -> Result<Report, DataError> {
    let folder = IdxFolder::new(&located.folder);
    folder.paths()?;
    let mut report = Report { parts: Vec::new(), files: Vec::new() };
    for part in Part::ALL {
        let read = folder.read(part)?;
        for (file, content) in part_files(part).into_iter().zip(read.content_sha256()) {
            let known = located.known.and_then(|set| set.content(file));
            report.files.push(file_report(folder.path(file)?, hex(&content), known)?);
        }
        report.parts.push(part_report(part, &read.into()));
    }
    check_fit(&folder, &report.parts)?;
    Ok(report)
}

fn part_report(part: Part, images: &Images) -> PartReport {
    PartReport {
        part,
        count: images.count,
        channels: images.channels,
        side: images.side,
        class_counts: images.class_counts(),
        mean_pixel: images.mean_pixel(),
        digest: images.digest(),
    }
}

fn file_report(
    path: PathBuf,
    content_sha256: String,
    known: Option<&KnownContent>,
) -> Result<FileReport, DataError> {
    let (bytes, sha256) = stored_sha256(&path)?;
    let known = known.map(|known| known.sha256 == content_sha256);
    Ok(FileReport { path, bytes, sha256, content_sha256, known })
}

fn stored_sha256(path: &Path) -> Result<(u64, String), DataError> {
    let mut file = File::open(path).map_err(DataError::io("open", path))?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block).map_err(DataError::io("read", path))? {
            0 => return Ok((bytes, hex(&hash.finalize()))),
            n => {
                hash.update(&block[..n]);
                bytes += n as u64;
            }
        }
    }
}

/// Test images must be of the size and the classes that training has shown.
fn check_fit(folder: &IdxFolder, parts: &[PartReport]) -> Result<(), DataError> {
    let [train, test] = parts else { return Ok(()) };
    let [images, labels] = part_files(Part::Test);
    if train.side != test.side {
        let (path, expected, found) = (folder.path(images)?, train.side, test.side);
        return Err(DataError::SideMismatch { path, expected, found });
    }
    if test.class_counts.len() > train.class_counts.len() {
        let count = |counts: &[u32]| u32::try_from(counts.len()).unwrap_or(u32::MAX);
        let (classes, tested) = (count(&train.class_counts), count(&test.class_counts));
        let path = folder.path(labels)?;
        return Err(DataError::UnknownClass { path, classes, found: tested - 1 });
    }
    Ok(())
}
