//! Pictures in folders, one folder a class; [`super::layout`] finds them, `super::decode` reads one.
//!
//! A set is in colour if any picture to train on is (of a set without training part, any to test on):
//! grey ones get three equal channels then. Files that cannot be used are all named at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::assemble::{self, Collector, Raw};
use super::decode::{Picture, Stored, decode, header};
use super::layout::{Layout, Listing, has_folders};
use super::resize::resample;
use super::{DataError, Images, Part, Reading};

pub use super::decode::png;

/// Classes of a set that networks are trained on: labels are bytes.
const TRAINED_CLASSES_MAX: u64 = 256;
/// Pictures decoded at a time.
const AT_ONCE: usize = 64;
/// Most files named of those that cannot be used.
const NAMED_MAX: usize = 20;

/// The pictures of a part; none of them is decoded yet.
#[derive(Debug, Clone)]
pub struct Pictures {
    folder: PathBuf,
    files: Vec<(PathBuf, u16)>,
    channels: u32,
    resize: Option<u32>,
    remarks: Vec<String>,
}

/// What decoding all pictures of a part has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// Side of each picture, resampled if that is wanted.
    pub side: u32,
    /// Facts that a person should know, a sentence each.
    pub remarks: Vec<String>,
}

/// Is shown each picture: its file, class, side and pixels.
pub type Each<'a> = &'a mut dyn FnMut(&Path, u16, u32, &[u8]) -> Result<(), DataError>;

/// One picture as it is seen, and what it was.
struct Seen {
    side: u32,
    pixels: Vec<u8>,
    misnamed: Option<&'static str>,
    stored: Stored,
}

/// What may be said of how pictures are stored, and how it is said.
type Said = (fn(&Stored) -> bool, &'static str);

/// What is not seen of pictures, or not as it was stored.
const STORED: [Said; 4] = [
    (|stored| stored.is_cmyk, "CMYK pictures turned into RGB"),
    (|stored| stored.is_deep, "pictures with 16 bits a value, of which the upper eight are taken"),
    (|stored| stored.is_transparent, "pictures with transparency (RGBA), which is dropped"),
    (
        |stored| stored.is_turned,
        "pictures that their EXIF orientation turns or mirrors, which is not heeded: they are seen as \
         they are stored",
    ),
];

/// How many pictures something is true of, and the first of them.
#[derive(Default)]
struct Tally<'a> {
    count: usize,
    first: Option<(&'a Path, &'static str)>,
}

/// Whether `folder` has folders with pictures to train on.
///
/// # Errors
/// [`DataError::Io`] if the system refuses to look.
pub fn is_begun(folder: &Path) -> Result<bool, DataError> {
    has_folders(&folder.join(Part::Train.name()))
}

/// Whether `folder` has pictures in folders of classes, however they are laid out.
///
/// # Errors
/// As [`is_begun`].
pub fn is_there(folder: &Path) -> Result<bool, DataError> {
    Ok(Layout::of(folder)?.is_some())
}

fn layout(folder: &Path) -> Result<Layout, DataError> {
    Layout::of(folder)?.ok_or_else(|| DataError::Unrecognised { folder: folder.to_path_buf() })
}

/// Whether the folders of the classes lie in `folder` itself, so that the test part is drawn.
#[must_use]
pub fn is_drawn(folder: &Path) -> bool {
    matches!(Layout::of(folder), Ok(Some(Layout::Classes(_))))
}

/// The names of the classes.
///
/// # Errors
/// [`DataError`] if there are none, or too many.
pub fn classes(folder: &Path) -> Result<Vec<String>, DataError> {
    layout(folder)?.classes(folder)
}

/// The folder that the pictures of a part lie in.
///
/// # Errors
/// [`DataError`] if there is no such part.
pub fn folder_of(folder: &Path, part: Part) -> Result<PathBuf, DataError> {
    layout(folder)?.folder(folder, part)
}

/// Reads a part into memory.
///
/// # Errors
/// [`DataError`] naming the pictures that cannot be used, or too many classes.
pub fn read(folder: &Path, part: Part, reading: Reading) -> Result<Images, DataError> {
    let pictures = Pictures::open(folder, part, reading)?;
    let classes = pictures.files.iter().map(|(_, label)| u64::from(*label) + 1).max().unwrap_or(0);
    DataError::limit(&pictures.folder, "classes to train on", classes, TRAINED_CLASSES_MAX)?;
    let mut images = Collector::new(None);
    let mut labels = Vec::with_capacity(pictures.files.len());
    pictures.walk(&mut |path, label, side, pixels| {
        let (channels, width, height) = (pictures.channels, side, side);
        labels.extend(u8::try_from(label));
        images.push(&Raw { channels, width, height, pixels }, path)
    })?;
    images.finish(labels, &pictures.folder)
}

/// The shape of the pictures of a part, going by the first: pictures, channels, width, height.
///
/// # Errors
/// [`DataError`] naming the folder or picture and what is wrong with it.
pub fn peek(folder: &Path, part: Part) -> Result<[u32; 4], DataError> {
    let files = layout(folder)?.list(folder, part, 0)?.files;
    let first = files.first().map(|(path, _)| header(path)).transpose()?;
    let (channels, width, height) = first.unwrap_or_default();
    Ok([u32::try_from(files.len()).unwrap_or(u32::MAX), channels, width, height])
}

/// Three if any picture of the first part that there is is in colour, else one. A picture that cannot
/// be read has no say; whoever decodes it names it.
fn channels(layout: &Layout, folder: &Path, seed: u64) -> Result<u32, DataError> {
    let list = |part| layout.list(folder, part, seed);
    let files = list(Part::Train).or_else(|_| list(Part::Test))?.files;
    let coloured = |(path, _): &(PathBuf, u16)| header(path).is_ok_and(|header| header.0 == 3);
    Ok(if files.iter().any(coloured) { 3 } else { 1 })
}

impl Pictures {
    /// Finds the pictures of a part.
    ///
    /// # Errors
    /// [`DataError`] naming a folder that has no pictures, or that is no class of the training part.
    pub fn open(folder: &Path, part: Part, reading: Reading) -> Result<Self, DataError> {
        let layout = layout(folder)?;
        let Listing { files, remarks } = layout.list(folder, part, reading.seed)?;
        let channels = channels(&layout, folder, reading.seed)?;
        let (folder, resize) = (layout.folder(folder, part)?, reading.resize);
        Ok(Self { folder, files, channels, resize, remarks })
    }

    /// Number of colour channels, 1 or 3.
    #[must_use]
    pub fn channels(&self) -> u32 {
        self.channels
    }

    /// The classes of the pictures, in order.
    pub fn labels(&self) -> impl Iterator<Item = u16> + '_ {
        self.files.iter().map(|(_, label)| *label)
    }

    /// The file of a picture.
    #[must_use]
    pub fn path(&self, index: usize) -> &Path {
        self.files.get(index).map_or(&self.folder, |(path, _)| path)
    }

    /// The bytes of a picture, as all others are seen.
    ///
    /// # Errors
    /// [`DataError`] naming the file and what is wrong with it.
    pub fn pixels(&self, index: usize) -> Result<Vec<u8>, DataError> {
        Ok(self.see(self.path(index))?.pixels)
    }

    /// Decodes all pictures, some at a time, and shows each with its file, class and side.
    ///
    /// # Errors
    /// [`DataError`] naming the pictures that cannot be used, or what `each` says.
    pub fn walk(&self, each: Each<'_>) -> Result<Walked, DataError> {
        let mut shape = None;
        let mut bad = Bad::default();
        // What the first picture of another size, or that is not square, has shown.
        let mut unequal = None;
        let mut misnamed = Tally::default();
        let mut stored = STORED.map(|_| Tally::default());
        for some in self.files.chunks(AT_ONCE) {
            let seen: Vec<_> = some.par_iter().map(|(path, _)| self.see(path)).collect();
            for ((path, label), seen) in some.iter().zip(seen) {
                let seen = match seen {
                    Ok(seen) => seen,
                    Err(error @ DataError::NotSquare { .. }) => {
                        unequal.get_or_insert(error);
                        continue;
                    }
                    Err(error) => {
                        bad.take(error);
                        continue;
                    }
                };
                let found = (self.channels, seen.side);
                let same = assemble::same(*shape.get_or_insert(found), found, path);
                unequal = unequal.or(same.err());
                // Whoever is wrong is named; nothing is shown any more.
                if bad.count > 0 || unequal.is_some() {
                    continue;
                }
                for (tally, (is, _)) in stored.iter_mut().zip(STORED) {
                    tally.note(path, is(&seen.stored).then_some(""));
                }
                misnamed.note(path, seen.misnamed);
                each(path, *label, seen.side, &seen.pixels)?;
            }
        }
        let unequal = unequal.map(|error| self.sizes(error));
        DataError::all(bad.told(&self.folder).into_iter().chain(unequal))?;
        let mut remarks = self.remarks.clone();
        for (tally, (_, what)) in stored.iter().zip(STORED) {
            if let Some((first, _)) = tally.first {
                let (count, first) = (tally.count, first.display());
                remarks.push(format!("{what}: {count}; the first is {first}"));
            }
        }
        if let Some((first, format)) = misnamed.first {
            let (count, first) = (misnamed.count, first.display());
            remarks.push(format!(
                "pictures of another format than their names say: {count}; the first is {first}, \
                 a {format} file"
            ));
        }
        Ok(Walked { side: shape.map_or(1, |(_, side)| side), remarks })
    }

    /// The sizes that the pictures have, by what they say of themselves; `error` is what the first
    /// one that does not fit has shown, and stays if all are alike.
    fn sizes(&self, error: DataError) -> DataError {
        let headers: Vec<_> = self.files.par_iter().map(|(path, _)| header(path).ok()).collect();
        let mut sizes: BTreeMap<(u32, u32), (usize, &Path)> = BTreeMap::new();
        for ((path, _), header) in self.files.iter().zip(headers) {
            if let Some((_, width, height)) = header {
                sizes.entry((height, width)).or_insert((0, path)).0 += 1;
            }
        }
        if sizes.len() < 2 {
            return error;
        }
        let mut sizes: Vec<_> = sizes.into_iter().collect();
        sizes.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        let named = sizes.iter().take(NAMED_MAX).map(|((height, width), (count, first))| {
            let pictures = if *count == 1 { "picture" } else { "pictures" };
            format!("{height} x {width}: {count} {pictures}; the first is {}", first.display())
        });
        let (folder, count) = (self.folder.clone(), sizes.len());
        DataError::PictureSizes { folder, count, named: named.collect() }
    }

    fn see(&self, path: &Path) -> Result<Seen, DataError> {
        let Picture { kind, channels: found, width, height, pixels, stored } = decode(path)?;
        let channels = self.channels;
        let pixels = match (found, channels) {
            (1, 3) => pixels.repeat(3),
            (3, 1) => {
                let reason = "it is in colour, and all pictures to train on are grey";
                return Err(DataError::malformed(path, "grey picture", reason));
            }
            _ => pixels,
        };
        let raw = Raw { channels, width, height, pixels: &pixels };
        let side = assemble::side(&raw, self.resize, path)?;
        let pixels = match self.resize {
            None => pixels,
            Some(side) => {
                let mut resized = Vec::new();
                resample(&raw, side, &mut resized);
                resized
            }
        };
        let misnamed = kind.is_misnamed(path).then(|| kind.name());
        Ok(Seen { side, pixels, misnamed, stored })
    }
}

impl<'a> Tally<'a> {
    fn note(&mut self, path: &'a Path, what: Option<&'static str>) {
        if let Some(what) = what {
            self.count += 1;
            self.first.get_or_insert((path, what));
        }
    }
}

/// Files that cannot be used.
#[derive(Default)]
struct Bad {
    count: usize,
    named: Vec<DataError>,
}

impl Bad {
    /// Takes in what is wrong with a file.
    fn take(&mut self, error: DataError) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(error);
        }
    }

    fn told(mut self, folder: &Path) -> Option<DataError> {
        if self.count < 2 {
            return self.named.pop();
        }
        let named = self.named.iter().map(ToString::to_string).collect();
        Some(DataError::BadFiles { folder: folder.to_path_buf(), count: self.count, named })
    }
}
