//! Where data sets lie: `NAME` or a folder.

use std::path::{Component, Path, PathBuf, absolute};
use std::{fs, io};

use super::{DataError, Images, KnownSet, Part, Reading, format, known_names};
use crate::paths;

/// The folders in which named data sets are looked for.
///
/// Only the command line reads the environment; it fills this in.
#[derive(Debug, Clone, Default)]
pub struct DataHome {
    /// `$QTRAIL_DATA`: if set, fetched sets live here.
    pub told: Option<PathBuf>,
    /// The user cache, for example `~/.cache/qtrail/data`.
    pub cache: PathBuf,
}

/// A data set on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Its name, or that of its folder.
    pub name: String,
    /// The folder with its files; absolute, so that it means the same to another process.
    pub folder: PathBuf,
    /// The known set that the name promises.
    pub known: Option<&'static KnownSet>,
    /// How its images are read.
    pub reading: Reading,
}

impl DataHome {
    /// The folder in which fetched data sets live.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.told.as_ref().unwrap_or(&self.cache)
    }

    /// The folder that holds, or would hold, a fetched data set.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Finds a data set by name or folder.
    ///
    /// A known name wins over a folder of that name in the working folder (`./NAME` means the
    /// folder). Any other word is a folder, or a set of the user's own in the data home.
    ///
    /// # Errors
    /// [`DataError::NotFetched`] for a known one that is not here, [`DataError::Unknown`] else.
    pub fn locate(&self, name_or_folder: &str) -> Result<Located, DataError> {
        if let Some(set) = KnownSet::named(name_or_folder) {
            return self.locate_known(set);
        }
        let homes = self.homes().into_iter().filter(|_| is_word(name_or_folder));
        let in_home = homes.map(|home| home.join(name_or_folder));
        for folder in std::iter::once(PathBuf::from(name_or_folder)).chain(in_home) {
            if DataError::check_folder(&folder)? {
                let name = folder_name(&folder);
                return Ok(Located::at(&name, &full(&folder), Reading::default()));
            }
        }
        Err(DataError::Unknown { name: name_or_folder.into(), known: known_names() })
    }

    /// Finds the images that were recorded as `name` in `folder`: there, if that is still a folder,
    /// else by their name.
    ///
    /// # Errors
    /// As [`DataHome::locate`].
    pub fn recorded(&self, folder: &str, name: &str) -> Result<Located, DataError> {
        let path = Path::new(folder);
        let is_there = match paths::is_folder(path) {
            // In the home of another user: the name may do.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => false,
            found => found.map_err(DataError::io("look at", path))?,
        };
        self.locate(if is_there { folder } else { name })
    }

    /// Finds a known set: where `$QTRAIL_DATA` says, in the user cache, in the folder of Debian's
    /// package.
    ///
    /// # Errors
    /// [`DataError::NotFetched`] if none of them has it.
    pub fn locate_known(&self, set: &'static KnownSet) -> Result<Located, DataError> {
        let name = set.name.to_owned();
        let system = set.debian.map(|package| PathBuf::from(package.folder));
        let homes = self.homes().into_iter().map(|home| home.join(set.name));
        let looked: Vec<PathBuf> = homes.chain(system).collect();
        for folder in &looked {
            if holds_something(folder)? {
                let located = Located::at(&name, &full(folder), Reading::default());
                return Ok(Located { known: Some(set), ..located });
            }
        }
        Err(DataError::NotFetched { name, looked })
    }

    /// The sets in the data home that are none of the known ones: made by `data split`, or placed by
    /// hand. In the order of their names.
    #[must_use]
    pub fn own(&self) -> Vec<Located> {
        let mut found: Vec<Located> = Vec::new();
        for entry in self.homes().into_iter().flat_map(fs::read_dir).flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let passed_over = name.starts_with('.')
                || name.contains(".aside-")
                || KnownSet::named(&name).is_some()
                || found.iter().any(|set| set.name == name);
            if !passed_over && matches!(DataError::check_folder(&entry.path()), Ok(true)) {
                found.push(Located::at(&name, &full(&entry.path()), Reading::default()));
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    fn homes(&self) -> Vec<&PathBuf> {
        self.told.iter().chain([&self.cache]).collect()
    }
}

impl Located {
    /// A folder as it is, without a name that promises anything.
    #[must_use]
    pub fn at(name: &str, folder: &Path, reading: Reading) -> Self {
        Self { name: name.to_owned(), folder: folder.to_path_buf(), known: None, reading }
    }

    /// The same set, read in this way.
    #[must_use]
    pub fn read_as(&self, reading: Reading) -> Self {
        Self { reading, ..self.clone() }
    }

    /// Reads one part. Of a known set, the content is held against the known hashes, so that a
    /// search never records results of damaged images under a well-known name.
    ///
    /// # Errors
    /// [`DataError`] naming the file and what is wrong with it.
    pub fn read(&self, part: Part) -> Result<Images, DataError> {
        match self.known {
            Some(set) => set.read(&self.folder, part, self.reading),
            None => format::read(&self.folder, part, self.reading),
        }
    }

    /// Images of the training part that are no extra ones; those come after them.
    ///
    /// # Errors
    /// [`DataError`] naming the file and what is wrong with it.
    pub fn ordinary(&self) -> Result<u32, DataError> {
        Ok(format::Format::of(&self.folder)?.glance(&self.folder, Part::Train)?.count)
    }

    /// What the classes are called by the set itself, from 0; empty if nothing says so.
    ///
    /// # Errors
    /// [`DataError`] if a file of names cannot be read.
    pub fn told_names(&self) -> Result<Vec<String>, DataError> {
        match self.known.map(|set| set.class_names) {
            None | Some([]) => format::class_names(&self.folder),
            Some(names) => Ok(names.iter().map(ToString::to_string).collect()),
        }
    }

    /// What to show for the labels 0, 1, … up to `classes`: their names if each has one, else the
    /// numbers themselves, because names that are too few may be those of other labels.
    #[must_use]
    pub fn class_names(&self, classes: u32) -> Vec<String> {
        let mut names = self.told_names().unwrap_or_default();
        if names.len() < classes as usize {
            names = (0..classes).map(|class| class.to_string()).collect();
        }
        names.truncate(classes as usize);
        names
    }
}

/// An empty folder (somebody made it in advance) must not hide the set behind it.
fn holds_something(folder: &Path) -> Result<bool, DataError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error)
            if paths::says_nothing_is_there(&error)
                || error.kind() == io::ErrorKind::PermissionDenied =>
        {
            Ok(false)
        }
        Err(error) => Err(DataError::io("read", folder)(error)),
    }
}

/// Whether `text` is a plain word, not a path.
fn is_word(text: &str) -> bool {
    let mut parts = Path::new(text).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == text)
}

/// What a folder is called, also if it is written `.` or `..`.
fn folder_name(folder: &Path) -> String {
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    let name = folder.file_name().or_else(|| real.file_name());
    name.map_or_else(|| "images".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn full(folder: &Path) -> PathBuf {
    absolute(folder).unwrap_or_else(|_| folder.to_path_buf())
}
