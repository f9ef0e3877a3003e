//! Which format a folder's images are in, and reading them whatever it is.

use std::fs;
use std::path::{Path, PathBuf};

use super::cifar::Version;
use super::idx::{self, Kind};
use super::{DataError, IdxFolder, Images, Part, Reading, mat, names, npz, pictures};

/// A file with the names of the classes, one a line; in a folder of any format.
pub const CLASS_NAMES: &str = "class-names.txt";

/// A format of image data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The four IDX files.
    Idx,
    /// CIFAR's binary version.
    Cifar(Version),
    /// SVHN's MAT files.
    Svhn,
    /// NumPy arrays.
    Npz,
    /// Pictures, one folder a class.
    Pictures,
}

/// What a look at the headers tells of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// Number of images.
    pub count: u32,
    /// Colour channels.
    pub channels: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 6] = [
        Self::Idx,
        Self::Cifar(Version::Ten),
        Self::Cifar(Version::Hundred),
        Self::Svhn,
        Self::Npz,
        Self::Pictures,
    ];

    /// Recognises what is in `folder` by the names in it.
    ///
    /// # Errors
    /// [`DataError::Unrecognised`] if nothing is, [`DataError::Ambiguous`] if two formats are,
    /// [`DataError::Io`] if there is no such folder.
    pub fn of(folder: &Path) -> Result<Self, DataError> {
        fs::read_dir(folder).map_err(DataError::io("read", folder))?;
        let mut found = Vec::new();
        for format in Self::ALL {
            if format.is_begun(folder)? {
                found.push(format);
            }
        }
        let mut found = found.into_iter();
        let (first, second) = (found.next(), found.next());
        // Folders of pictures beside files of another format do not make it doubtful.
        let first = match first {
            None if pictures::is_there(folder)? => Some(Self::Pictures),
            first => first,
        };
        let folder = folder.to_path_buf();
        match (first, second) {
            (Some(format), None) => Ok(format),
            (None, _) => Err(DataError::Unrecognised { folder }),
            (Some(first), Some(second)) => {
                let (first, second) = (first.name(), second.name());
                Err(DataError::Ambiguous { folder, first, second })
            }
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idx => "IDX files",
            Self::Cifar(Version::Ten) => "CIFAR-10 files",
            Self::Cifar(Version::Hundred) => "CIFAR-100 files",
            Self::Svhn => "SVHN MAT files",
            Self::Npz => "an NPZ file",
            Self::Pictures => "pictures",
        }
    }

    fn is_begun(self, folder: &Path) -> Result<bool, DataError> {
        Ok(match self {
            Self::Idx => IdxFolder::new(folder).is_begun()?,
            Self::Cifar(version) => version.is_begun(folder)?,
            Self::Svhn => DataError::check_any(folder, &[mat::TRAIN, mat::TEST])?,
            Self::Npz => npz::file(folder)?.is_some(),
            Self::Pictures => pictures::is_begun(folder)?,
        })
    }

    /// The files of a part, in order; of pictures, the folder that they are in.
    ///
    /// # Errors
    /// [`DataError`] naming the first that is missing.
    pub fn files(self, folder: &Path, part: Part, extra: bool) -> Result<Vec<PathBuf>, DataError> {
        let extra = extra && part == Part::Train;
        if extra && self != Self::Svhn {
            return Err(DataError::NoExtra { folder: folder.to_path_buf() });
        }
        let file = |name: &'static str| {
            let path = folder.join(name);
            if DataError::check_file(&path)? {
                return Ok(path);
            }
            let folder = folder.to_path_buf();
            Err(match name {
                mat::EXTRA => DataError::NoExtra { folder },
                file => DataError::MissingFile { folder, file },
            })
        };
        match (self, part) {
            (Self::Idx, _) => Ok(IdxFolder::new(folder).part_paths(part)?.to_vec()),
            (Self::Cifar(version), _) => version.files(folder, part),
            (Self::Svhn, Part::Test) => Ok(vec![file(mat::TEST)?]),
            (Self::Svhn, Part::Train) if extra => Ok(vec![file(mat::TRAIN)?, file(mat::EXTRA)?]),
            (Self::Svhn, Part::Train) => Ok(vec![file(mat::TRAIN)?]),
            (Self::Npz, _) => Ok(npz::file(folder)?.into_iter().collect()),
            (Self::Pictures, _) => Ok(vec![pictures::folder_of(folder, part)?]),
        }
    }

    /// Reads a part of the set in `folder`.
    ///
    /// # Errors
    /// [`DataError`] naming the file and what is wrong with it.
    pub fn read(self, folder: &Path, part: Part, reading: Reading) -> Result<Images, DataError> {
        let (files, resize) = (self.files(folder, part, reading.extra)?, reading.resize);
        match self {
            Self::Idx => {
                let read = IdxFolder::new(folder).read(part, resize.is_none())?;
                read.into_images(resize, &files[0])
            }
            Self::Cifar(version) => version.read(folder, part, resize),
            Self::Svhn => {
                let mut parts = files.iter().map(|path| mat::read(path, resize));
                let first =
                    parts.next().unwrap_or_else(|| mat::read(&folder.join(mat::TRAIN), resize))?;
                parts.zip(&files[1..]).try_fold(first, |all, (more, path)| all.and(more?, path))
            }
            Self::Npz => npz::read(&files[0], part, resize),
            Self::Pictures => pictures::read(folder, part, reading),
        }
    }

    /// A look at the headers of a part.
    ///
    /// # Errors
    /// [`DataError`] naming the file and what is wrong with it.
    pub fn glance(self, folder: &Path, part: Part) -> Result<Glance, DataError> {
        let files = self.files(folder, part, false)?;
        let [count, channels, width, height] = match self {
            Self::Idx => {
                let header = idx::peek(&files[0], Kind::Images)?;
                [header.count, header.channels, header.columns, header.rows]
            }
            Self::Cifar(version) => {
                let count = u32::try_from(version.count(folder, part)?).unwrap_or(u32::MAX);
                [count, super::cifar::CHANNELS, super::cifar::SIDE, super::cifar::SIDE]
            }
            Self::Svhn => mat::peek(&files[0])?,
            Self::Npz => npz::peek(&files[0], part)?,
            Self::Pictures => pictures::peek(folder, part)?,
        };
        Ok(Glance { count, channels, width, height })
    }

    /// The names of the classes that the set itself tells; empty if it tells none.
    ///
    /// # Errors
    /// [`DataError`] if a file of names cannot be read.
    pub fn class_names(self, folder: &Path) -> Result<Vec<String>, DataError> {
        match self {
            Self::Cifar(version) => names::read(&folder.join(version.names_file())),
            Self::Pictures => pictures::classes(folder),
            Self::Idx | Self::Svhn | Self::Npz => Ok(Vec::new()),
        }
    }
}

/// Reads a part of the set in `folder`, whatever its format.
///
/// # Errors
/// [`DataError`] naming the file and what is wrong with it.
pub fn read(folder: &Path, part: Part, reading: Reading) -> Result<Images, DataError> {
    Format::of(folder)?.read(folder, part, reading)
}

/// The names of the classes of the set in `folder`: its `class-names.txt`, or what its format
/// tells; empty if neither names any.
///
/// # Errors
/// [`DataError`] if a file of names cannot be read.
pub fn class_names(folder: &Path) -> Result<Vec<String>, DataError> {
    let told = names::read(&folder.join(CLASS_NAMES))?;
    if !told.is_empty() {
        return Ok(told);
    }
    // They are shown on terminals; a folder may be called anything.
    let shown = |name: String| name.chars().filter(|c| !c.is_control()).collect();
    Ok(Format::of(folder)?.class_names(folder)?.into_iter().map(shown).collect())
}
