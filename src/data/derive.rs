//! A data set of some classes of another one, in the data home.
//!
//! Both parts, with the labels renumbered from 0 and the names of the classes kept, as IDX files. Its
//! name follows from the set and the classes, and so does every byte: making it again changes
//! nothing.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::catalog::hex;
use super::folder::FILES;
use super::format::{self, CLASS_NAMES};
use super::idx::{Header, Kind};
use super::staging::{Placed, Staging, write_synced};
use super::{DataError, DataHome, Images, Located, Part, Reading, names};

/// What a derived set says of itself, for people.
pub const ABOUT: &str = "about.txt";

/// Classes of a data set, ascending, at least two: `0-4,7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes(Vec<u8>);

impl FromStr for Classes {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let wrong = |reason: &str| {
            DataError::Classes(format!("`{text}` {reason}; a list of classes looks like 0-4,7"))
        };
        let number =
            |text: &str| text.trim().parse::<u8>().map_err(|_| wrong("is no list of classes"));
        let mut chosen = [false; 256];
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(wrong("has a range that runs backwards"));
            }
            for class in first..=last {
                if std::mem::replace(&mut chosen[usize::from(class)], true) {
                    return Err(wrong(&format!("names class {class} twice")));
                }
            }
        }
        let classes: Vec<u8> = (0..=u8::MAX).filter(|&class| chosen[usize::from(class)]).collect();
        match classes.len() {
            0 | 1 => Err(wrong("names one class; there is nothing to tell apart")),
            _ => Ok(Self(classes)),
        }
    }
}

impl fmt::Display for Classes {
    /// Canonical: ascending, in the longest ranges.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs: Vec<String> = self
            .0
            .chunk_by(|a, b| a + 1 == *b)
            .map(|run| match run {
                [first, .., last] => format!("{first}-{last}"),
                [only] => only.to_string(),
                [] => String::new(),
            })
            .collect();
        f.write_str(&runs.join(","))
    }
}

/// A set that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub folder: PathBuf,
    /// Whether it was there already.
    pub was_there: bool,
    /// Where that went which was in its place but is something else.
    pub moved_aside: Option<PathBuf>,
    /// Images of the training part and the test part.
    pub counts: [u32; 2],
}

/// Makes a set of some `classes` of `source` in the data home, unless it is there already.
///
/// # Errors
/// [`DataError`] if the source cannot be read or lacks a class, or the data home cannot be written
/// to.
pub fn derive(home: &DataHome, source: &Located, classes: &Classes) -> Result<Derived, DataError> {
    let train = source.read(Part::Train)?;
    let content = hex(&train.digest());
    names::look(source, Part::Train, &train.class_counts())?;
    let names = source.class_names(train.classes);
    let parts =
        [select(source, &train, classes)?, select(source, &source.read(Part::Test)?, classes)?];
    let name = format!("{}-{}", source.name, classes.to_string().replace(',', "_"));
    let staging = Staging::create(home.root())?;
    let write = |name: &str, bytes: &[u8]| {
        let (to, limit) = (staging.set().join(name), bytes.len() as u64);
        let mut bytes = bytes;
        write_synced(&mut bytes, &to, limit, &to, &mut |_| ())
    };
    for (part, files) in parts.iter().zip(FILES.chunks_exact(2)) {
        let Images { pixels, labels, count, channels, side, .. } = part;
        let (count, channels, rows, columns) = (*count, *channels, *side, *side);
        let images = Header { kind: Kind::Images, count, channels, rows, columns };
        let marks = Header { kind: Kind::Labels, channels: 1, rows: 1, columns: 1, ..images };
        let colour =
            if channels == 1 { files[0].into() } else { files[0].replacen("idx3", "idx4", 1) };
        write(&colour, &[&images.bytes(), pixels.as_slice()].concat())?;
        write(files[1], &[&marks.bytes(), labels.as_slice()].concat())?;
    }
    let kept: Vec<&str> = classes
        .0
        .iter()
        .filter_map(|&class| names.get(usize::from(class)))
        .map(String::as_str)
        .collect();
    write(CLASS_NAMES, format!("{}\n", kept.join("\n")).as_bytes())?;
    let about =
        format!("classes {classes} of {}, whose training part has BLAKE3 {content}\n", source.name);
    write(ABOUT, about.as_bytes())?;

    let folder = home.folder(&name);
    let is_whole = |folder: &Path| same(folder, staging.set());
    let (was_there, moved_aside) = match staging.place(&folder, is_whole)? {
        Placed::WasThere => (true, None),
        Placed::Now { moved_aside } => (false, moved_aside),
    };
    let counts = parts.map(|part| part.count);
    Ok(Derived { name, folder, was_there, moved_aside, counts })
}

/// The images of `classes`, with labels from 0.
fn select(source: &Located, images: &Images, classes: &Classes) -> Result<Images, DataError> {
    let counts = images.class_counts();
    let missing = |class: &&u8| counts.get(usize::from(**class)).is_none_or(|&count| count == 0);
    if let Some(class) = classes.0.iter().find(missing) {
        let last = images.classes.saturating_sub(1);
        return Err(DataError::Classes(format!(
            "{} has no images of class {class}; its classes are 0 to {last}",
            source.name
        )));
    }
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (&label, image) in images.labels.iter().zip(0..) {
        if let Ok(place) = classes.0.binary_search(&label) {
            pixels.extend_from_slice(images.image(image));
            labels.extend(u8::try_from(place));
        }
    }
    let count = u32::try_from(labels.len()).unwrap_or(u32::MAX);
    let classes = u32::try_from(classes.0.len()).unwrap_or(u32::MAX);
    let (channels, side) = (images.channels, images.side);
    Ok(Images { pixels, labels, count, channels, side, classes })
}

/// Whether two folders hold the same images under the same class names.
fn same(one: &Path, other: &Path) -> bool {
    let part = |folder, part| format::read(folder, part, Reading::default()).ok();
    fs::exists(one).unwrap_or(false)
        && format::class_names(one).ok() == format::class_names(other).ok()
        && Part::ALL.into_iter().all(|which| part(one, which) == part(other, which))
}
