//! Where the pictures of a set lie in its folder, and which file is which picture of which part.
//!
//! | in the folder | training part | test part |
//! |---|---|---|
//! | `train/CLASS/`, `test/CLASS/` | `train` | `test` |
//! | `train/CLASS/`, `val/CLASS/` | `train` | `val` |
//! | `test/CLASS/` or `val/CLASS/` alone | none | that one |
//! | `CLASS/` | four fifths of each class | one fifth, drawn by the data seed |
//!
//! Classes are numbered by the names of their folders, byte by byte; pictures follow in the order of
//! theirs. Hidden files and files that other programs leave ([`is_clutter`]) are passed over.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{COUNT_MAX, DataError, Part};
use crate::chance::Stream;

/// Most classes: ranks are recorded in 16 bits.
const CLASSES_MAX: u64 = 65_000;
/// One of so many pictures of a class is a test image, where nobody has set test images apart.
const TEST_OF: usize = 5;
/// Names of folders that hold the test part; the first that is there counts.
const TEST: [&str; 2] = ["test", "val"];
/// What other programs leave in folders, in lower case.
const CLUTTER: [&str; 9] = [
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "icon\r",
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "lost+found",
];

/// Where the pictures of a set lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Each part has a folder of its own, with a folder for each class in it.
    Parts {
        /// The folder of the training part.
        train: Option<PathBuf>,
        /// The folder of the test part.
        test: Option<PathBuf>,
    },
    /// The folders of the classes lie in the folder of the set. Their names, sorted.
    Classes(Vec<String>),
}

/// The pictures of a part with the numbers of their classes, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files.
    pub files: Vec<(PathBuf, u16)>,
    /// Facts about the folder that a person should know, a sentence each.
    pub remarks: Vec<String>,
}

/// What is in a folder.
#[derive(Debug, Default)]
struct Names {
    /// Sorted.
    names: Vec<String>,
    /// Entries that were passed over.
    clutter: usize,
}

impl Layout {
    /// The layout of the pictures in `folder`; nothing if there are none in folders of classes.
    ///
    /// # Errors
    /// [`DataError`] if the system refuses to look, or a name is not UTF-8.
    pub fn of(folder: &Path) -> Result<Option<Self>, DataError> {
        if let Some(parts) = Self::parts(folder)? {
            return Ok(Some(parts));
        }
        // Names that are no text are those of another format, or of none.
        let names = match names(folder) {
            Err(DataError::Malformed { .. }) => return Ok(None),
            found => found?.names,
        };
        let (mut classes, mut has_any) = (Vec::new(), false);
        for name in names {
            match holds(&folder.join(&name))? {
                Holds::Pictures => has_any = true,
                // A class without pictures, which is refused: left out, it would shift the numbers of
                // those that follow.
                Holds::Nothing => {}
                Holds::Other => continue,
            }
            classes.push(name);
        }
        Ok(has_any.then_some(Self::Classes(classes)))
    }

    fn parts(folder: &Path) -> Result<Option<Self>, DataError> {
        let part = |name: &str| {
            let part = folder.join(name);
            Ok::<_, DataError>(has_folders(&part)?.then_some(part))
        };
        let (train, mut test) = (part(Part::Train.name())?, None);
        for name in TEST {
            if test.is_none() {
                test = part(name)?;
            }
        }
        Ok((train.is_some() || test.is_some()).then_some(Self::Parts { train, test }))
    }

    /// The folder of a part; of classes without parts, the folder of the set.
    ///
    /// # Errors
    /// [`DataError::MissingFile`] if the set has no such part.
    pub fn folder(&self, folder: &Path, part: Part) -> Result<PathBuf, DataError> {
        let (found, file) = match (self, part) {
            (Self::Classes(_), _) => return Ok(folder.to_path_buf()),
            (Self::Parts { train, .. }, Part::Train) => (train, "folder `train` with its classes"),
            (Self::Parts { test, .. }, Part::Test) => {
                (test, "folder `test` or `val` with its classes")
            }
        };
        let missing = || DataError::MissingFile { folder: folder.to_path_buf(), file };
        found.clone().ok_or_else(missing)
    }

    /// The names of the classes: those of the training part, if there is one.
    ///
    /// # Errors
    /// [`DataError`] if there are none or too many, or if a file lies among their folders.
    pub fn classes(&self, folder: &Path) -> Result<Vec<String>, DataError> {
        let (within, classes) = match self {
            Self::Classes(classes) => (folder, classes.clone()),
            Self::Parts { train, test } => {
                let within = train.as_deref().or(test.as_deref()).unwrap_or(folder);
                let names = names(within)?.names;
                for name in &names {
                    if !DataError::check_folder(&within.join(name))? {
                        let reason = "it lies beside the folders of the classes";
                        let path = within.join(name);
                        return Err(DataError::malformed(&path, "folder of a class", reason));
                    }
                }
                (within, names)
            }
        };
        DataError::limit(within, "classes", classes.len() as u64, CLASSES_MAX)?;
        Ok(classes)
    }

    /// The pictures of a part. `seed` decides which ones are test images where no folder does.
    ///
    /// # Errors
    /// [`DataError`] naming a folder that has no pictures, or that is no class of the training part.
    pub fn list(&self, folder: &Path, part: Part, seed: u64) -> Result<Listing, DataError> {
        let classes = self.classes(folder)?;
        let within = self.folder(folder, part)?;
        let mut found = names(&within)?;
        if let Self::Classes(classes) = self {
            found.names.clone_from(classes);
        }
        let (mut files, mut clutter) = (Vec::new(), found.clutter);
        for name in found.names {
            let class = within.join(&name);
            let label = classes.binary_search(&name).ok();
            let Some(label) = label.and_then(|label| u16::try_from(label).ok()) else {
                let reason = format!("the training part has no class {name}");
                return Err(DataError::malformed(&class, "folder of a class", reason));
            };
            let found = names(&class)?;
            if found.names.is_empty() {
                let reason = "it has no pictures";
                return Err(DataError::malformed(&class, "folder of a class", reason));
            }
            clutter += found.clutter;
            let mut pictures = found.names;
            if let Self::Classes(_) = self {
                pictures = of_part(pictures, part, seed, label);
            }
            files.extend(pictures.into_iter().map(|name| (class.join(name), label)));
        }
        if files.is_empty() && part == Part::Test {
            let reason = "no class has two pictures, one of which would be a test image; move \
                          pictures to test on into test/CLASS/";
            return Err(DataError::malformed(&within, "set of pictures", reason));
        }
        DataError::limit(&within, "pictures", files.len() as u64, COUNT_MAX.into())?;
        Ok(Listing { files, remarks: self.remarks(part, seed, clutter) })
    }

    fn remarks(&self, part: Part, seed: u64, clutter: usize) -> Vec<String> {
        let mut remarks = Vec::new();
        match self {
            Self::Classes(_) if part == Part::Test => remarks.push(format!(
                "there is no folder `test`: one of {TEST_OF} pictures of each class, drawn with the \
                 data seed {seed}, is a test image"
            )),
            Self::Parts { test: Some(test), .. }
                if part == Part::Test && test.ends_with(TEST[1]) =>
            {
                remarks.push("the folder `val` is the test part".to_owned());
            }
            _ => {}
        }
        let within = match self {
            // Both parts come from the same folders.
            Self::Classes(_) => String::new(),
            Self::Parts { .. } => format!(" in the {} part", part.name()),
        };
        if clutter > 0 {
            remarks.push(format!(
                "passed over{within}: {clutter} hidden files or files of other programs"
            ));
        }
        remarks
    }
}

/// The pictures of a class that belong to a part, in their order. A class with one picture is
/// trained on.
fn of_part(pictures: Vec<String>, part: Part, seed: u64, class: u16) -> Vec<String> {
    let count = pictures.len();
    let wanted = if count < 2 { 0 } else { ((count + TEST_OF / 2) / TEST_OF).max(1) };
    let mut order: Vec<usize> = (0..count).collect();
    Stream::new(seed, "test part", class.into()).shuffle(&mut order);
    let mut tests = vec![false; count];
    order.iter().take(wanted).for_each(|&place| tests[place] = true);
    let here = |is_test: &bool| *is_test == (part == Part::Test);
    pictures.into_iter().zip(tests).filter(|(_, test)| here(test)).map(|(name, _)| name).collect()
}

/// Whether a name is that of a hidden file, or of one that a file manager or archiver leaves.
#[must_use]
pub fn is_clutter(name: &str) -> bool {
    name.starts_with('.') || CLUTTER.contains(&name.to_lowercase().as_str())
}

/// The names in a folder, sorted, without clutter.
fn names(folder: &Path) -> Result<Names, DataError> {
    let mut found = Names::default();
    for entry in fs::read_dir(folder).map_err(DataError::io("read", folder))? {
        let entry = entry.map_err(DataError::io("read", folder))?;
        let name = entry.file_name().into_string().map_err(|_| {
            DataError::malformed(&entry.path(), "name", "it is not UTF-8; rename it")
        })?;
        if is_clutter(&name) { found.clutter += 1 } else { found.names.push(name) }
    }
    found.names.sort_unstable();
    Ok(found)
}

/// Whether a folder is there, and holds folders.
///
/// # Errors
/// [`DataError::Io`] if the system refuses to look.
pub fn has_folders(folder: &Path) -> Result<bool, DataError> {
    if !DataError::check_folder(folder)? {
        return Ok(false);
    }
    for entry in fs::read_dir(folder).map_err(DataError::io("read", folder))? {
        let entry = entry.map_err(DataError::io("read", folder))?;
        if DataError::check_folder(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What lies somewhere in the place of a class.
enum Holds {
    /// A folder with at least one picture: by content, whatever its name.
    Pictures,
    /// A folder with nothing in it, or nothing but clutter.
    Nothing,
    /// Anything else.
    Other,
}

fn holds(folder: &Path) -> Result<Holds, DataError> {
    if !DataError::check_folder(folder)? {
        return Ok(Holds::Other);
    }
    let found = names(folder)?.names;
    for name in &found {
        let path = folder.join(name);
        if DataError::check_file(&path)? {
            let mut start = Vec::new();
            let read = File::open(&path).and_then(|file| file.take(8).read_to_end(&mut start));
            read.map_err(DataError::io("read", &path))?;
            if super::decode::Kind::of(&start).is_some() {
                return Ok(Holds::Pictures);
            }
        }
    }
    Ok(if found.is_empty() { Holds::Nothing } else { Holds::Other })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{number:03}")).collect()
    }

    #[test]
    fn a_fifth_of_each_class_is_tested_on_and_nothing_is_in_both_parts() {
        for (count, tests) in [(0, 0), (1, 0), (2, 1), (5, 1), (7, 1), (8, 2), (50, 10), (52, 10)] {
            let test = of_part(named(count), Part::Test, 3, 1);
            let train = of_part(named(count), Part::Train, 3, 1);
            assert_eq!((test.len(), train.len()), (tests, count - tests), "of {count}");
            let mut all = [train, test.clone()].concat();
            all.sort_unstable();
            assert_eq!(all, named(count));
            assert!(test.is_sorted());
        }
        let drawn = |seed, class| of_part(named(50), Part::Test, seed, class);
        assert_eq!(drawn(3, 1), drawn(3, 1));
        assert_ne!(drawn(3, 1), drawn(4, 1));
        assert_ne!(drawn(3, 1), drawn(3, 2));
    }

    #[test]
    fn what_other_programs_leave_is_clutter() {
        for name in [".DS_Store", "Thumbs.db", "THUMBS.DB", "desktop.ini", "._a.png", "__MACOSX"] {
            assert!(is_clutter(name), "{name}");
        }
        for name in ["thumbs.png", "notes.txt", "desktop", "a.DS_Store"] {
            assert!(!is_clutter(name), "{name}");
        }
    }
}
