//! What can be wrong with a data set, said so that a person can act on it.

use std::io;
use std::path::{Path, PathBuf};

use super::fetch::SourceFailure;
use super::split::SplitError;
use crate::paths;

/// What can be wrong with a data set.
///
/// Every message names the file or the set, what is wrong with it, and what was expected; where
/// there is an obvious next step, it names that too. ([`DataError::NotFetched`] leaves it to the
/// command line, which knows its own verbs.)
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused something.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried: `open`, `read`, `rename`, …
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The first four bytes are not those of the wanted kind of IDX file.
    #[error(
        "{} is not an IDX file of {kind}: it starts with 0x{found:08x}, expected 0x{expected:08x}",
        path.display()
    )]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// `images` or `labels`.
        kind: &'static str,
        /// The magic number of that kind.
        expected: u32,
        /// What the file starts with.
        found: u32,
    },
    /// The file ends before its own header says.
    #[error(
        "{} is truncated: its header announces {expected} bytes in all, there are at most {found}; \
         get the file again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes announced, header included, decompressed.
        expected: u64,
        /// Bytes found, header included, decompressed.
        found: u64,
    },
    /// There are bytes after the end that the header announces.
    #[error(
        "{} is longer than the {expected} bytes that its header announces; get the file again",
        path.display()
    )]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// Bytes announced, header included, decompressed.
        expected: u64,
    },
    /// The compressed data is broken.
    #[error("{} is damaged gzip data ({reason}); get the file again", path.display())]
    DamagedGzip {
        /// The file.
        path: PathBuf,
        /// What the decompressor says.
        reason: String,
    },
    /// The header announces more than this program reads, or nothing.
    #[error("{} announces {found} {what}; allowed are 1 to {limit}", path.display())]
    OutOfLimits {
        /// The file.
        path: PathBuf,
        /// What there is too much (or nothing) of.
        what: &'static str,
        /// How much is announced.
        found: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The images are not square.
    #[error(
        "{} has images of {rows} x {columns} pixels; qtrail needs square images: pad or crop them, \
         or have them cut and resampled (--resize SIDE, the setting data.resize)",
        path.display()
    )]
    NotSquare {
        /// The file.
        path: PathBuf,
        /// Height in pixels.
        rows: u32,
        /// Width in pixels.
        columns: u32,
    },
    /// The images of a part are not all of one size.
    #[error(
        "{} is an image of {found}, the ones before it are of {expected}; qtrail needs images of \
         one size: have them cut and resampled (--resize SIDE, the setting data.resize)",
        path.display()
    )]
    MixedSizes {
        /// The first file that is of another size.
        path: PathBuf,
        /// Size of the images before it.
        expected: String,
        /// Its size.
        found: String,
    },
    /// The pictures of a folder are not all of one size.
    #[error(
        "the pictures in {} have {count} different sizes; qtrail needs squares of one size: have them \
         cut and resampled (--resize SIDE, the setting data.resize). Height x width in pixels:{}",
        folder.display(),
        listed(*count, named)
    )]
    PictureSizes {
        /// The folder.
        folder: PathBuf,
        /// How many sizes there are.
        count: usize,
        /// The most frequent ones, with the number of their pictures and the first of those.
        named: Vec<String>,
    },
    /// Names of classes would be those of other classes.
    #[error(
        "{}: {told} class names for {classes} classes{}; expected a name for each class from 0 on",
        folder.display(),
        remark.as_ref().map(|remark| format!("; {remark}")).unwrap_or_default()
    )]
    ClassNames {
        /// The folder of the set.
        folder: PathBuf,
        /// How many names there are.
        told: usize,
        /// The highest label, and one.
        classes: usize,
        /// What may have shifted them.
        remark: Option<String>,
    },
    /// A file is not what its format demands.
    #[error("{} is no good {format}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be: `CIFAR-10 file`, `PNG picture`, …
        format: &'static str,
        /// What is wrong, and where in it.
        reason: String,
    },
    /// Several files of a set cannot be used.
    #[error("{count} files in {} cannot be used:{}", folder.display(), listed(*count, named))]
    BadFiles {
        /// The folder.
        folder: PathBuf,
        /// How many.
        count: usize,
        /// What is wrong with the first of them.
        named: Vec<String>,
    },
    /// Several things are wrong; each is told.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<DataError>),
    /// A picture was replaced while it was in use.
    #[error("{} is another picture than when the set was opened; restore it, or begin anew", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// An image is asked for that the part does not have.
    #[error("there is no image {index}; the part has {count}")]
    NoImage {
        /// Its index.
        index: u32,
        /// Number of images.
        count: u32,
    },
    /// Nothing in a folder is recognised.
    #[error(
        "{} holds no data set that qtrail knows the format of. It reads the four IDX files \
         (train-images-idx3-ubyte, …), CIFAR's binary files (data_batch_1.bin, …, test_batch.bin, or \
         train.bin and test.bin), SVHN's train_32x32.mat and test_32x32.mat, one .npz file with \
         x_train, y_train, x_test and y_test, and pictures (PNG, JPEG) in train/CLASS/ and test/CLASS/, in \
         one of them alone, or in CLASS/",
        folder.display()
    )]
    Unrecognised {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder can be read in two ways.
    #[error(
        "{} holds {first} and {second}: which of them is meant? Keep one data set a folder",
        folder.display()
    )]
    Ambiguous {
        /// The folder.
        folder: PathBuf,
        /// One format.
        first: &'static str,
        /// Another.
        second: &'static str,
    },
    /// Extra images are wanted where there are none.
    #[error(
        "{} has no {}, which the setting data.extra asks for; of the known sets only svhn has extra \
         images: `qtrail data fetch svhn --extra` brings them", folder.display(), super::mat::EXTRA
    )]
    NoExtra {
        /// The folder.
        folder: PathBuf,
    },
    /// A named set that does not hold what it is known to hold.
    #[error(
        "the {part} part in {} has {found} {what}, {set} has {expected}; `qtrail data fetch {set}` \
         replaces it", folder.display()
    )]
    NotTheKnownSet {
        /// The folder.
        folder: PathBuf,
        /// The named set.
        set: &'static str,
        /// The part.
        part: &'static str,
        /// What there is another number of.
        what: String,
        /// How many there should be.
        expected: u32,
        /// How many there are.
        found: u32,
    },
    /// A list of classes that cannot be taken.
    #[error("{0}")]
    Classes(String),
    /// The two files of a part do not belong together.
    #[error(
        "{} holds {images} images but {} holds {labels} labels; both files must be of one set",
        images_path.display(), labels_path.display()
    )]
    CountMismatch {
        /// The file with the images.
        images_path: PathBuf,
        /// How many there are.
        images: u32,
        /// The file with the labels.
        labels_path: PathBuf,
        /// How many there are.
        labels: u32,
    },
    /// Training and test images differ in size.
    #[error("{} holds images of side {found}, but the training images have side {expected}", path.display())]
    SideMismatch {
        /// The file with the test images.
        path: PathBuf,
        /// Side of the training images in pixels.
        expected: u32,
        /// Side of the test images in pixels.
        found: u32,
    },
    /// Training and test images differ in their channels.
    #[error(
        "{} holds images of {found} channels, but the training images have {expected}",
        path.display()
    )]
    ChannelMismatch {
        /// The file with the test images.
        path: PathBuf,
        /// Channels of the training images.
        expected: u32,
        /// Channels of the test images.
        found: u32,
    },
    /// A test label names a class that the training part does not have.
    #[error(
        "{} has labels up to {found}, but the training part knows only the {classes} classes 0 to {}",
        path.display(), classes.saturating_sub(1)
    )]
    UnknownClass {
        /// The file with the test labels.
        path: PathBuf,
        /// Number of classes of the training part.
        classes: u32,
        /// The highest test label.
        found: u32,
    },
    /// One of the files of a set is not there.
    #[error("{} has no {file}", folder.display())]
    MissingFile {
        /// The folder.
        folder: PathBuf,
        /// The usual name of the file.
        file: &'static str,
    },
    /// A file of a named set does not hold what the set holds.
    #[error(
        "{} is not the file of {set}: {hash} is {found}, \
         expected {expected}; `qtrail data fetch {set}` replaces it; a set of your own is named by \
         its folder instead",
        path.display()
    )]
    NotTheKnownFile {
        /// The file.
        path: PathBuf,
        /// The named set.
        set: &'static str,
        /// Which hash: `SHA-256 of its decompressed content`, `its MD5`.
        hash: &'static str,
        /// That of the known content, in hexadecimal.
        expected: String,
        /// That of the content found, in hexadecimal.
        found: String,
    },
    /// A known set that nobody has fetched yet.
    #[error("the data set {name} is not here (looked in {})", list(looked))]
    NotFetched {
        /// The set.
        name: String,
        /// Folders that were looked at, in order.
        looked: Vec<PathBuf>,
    },
    /// The folder's path cannot be told to a trainer, nor recorded.
    #[error(
        "the path {} is not UTF-8 text, as which a trainer is told of it and the log records it; \
         rename the folder that is not, or use a copy elsewhere", path.display()
    )]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// Neither a known set nor a folder.
    #[error(
        "there is no data set and no folder `{name}`; known sets: {}; or name a folder with images \
         (`qtrail data --help` says in which formats)", known.join(", ")
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The known names.
        known: Vec<&'static str>,
    },
    /// A split that cannot be made, or bytes that are none.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A download did not come through.
    #[error("cannot download {url}: {reason}")]
    Download {
        /// What was asked for.
        url: String,
        /// What the server or the network said.
        reason: String,
    },
    /// A program of the system did not do its work.
    #[error("`{command}` failed: {reason}")]
    Tool {
        /// The command line.
        command: String,
        /// The last thing that it said.
        reason: String,
    },
    /// A file is larger than what is known of it allows.
    #[error("{} is larger than {limit} bytes, more than such a file can have", path.display())]
    Oversized {
        /// The file.
        path: PathBuf,
        /// The most it may have.
        limit: u64,
    },
    /// No source had the set.
    #[error("{}", no_source(name, failures, folder, files))]
    NoSource {
        /// The set.
        name: &'static str,
        /// What was tried, in order, and why it did not do.
        failures: Vec<SourceFailure>,
        /// Where the files can be placed by hand.
        folder: PathBuf,
        /// The files.
        files: Vec<String>,
    },
}

impl DataError {
    /// Makes sure that a trainer can be told of a path, and that it can be recorded.
    ///
    /// # Errors
    /// [`DataError::NotText`] if it is not UTF-8.
    pub fn check_text(path: &Path) -> Result<(), Self> {
        match path.to_str() {
            Some(_) => Ok(()),
            None => Err(Self::NotText { path: path.to_path_buf() }),
        }
    }

    /// Whether a file is at `path`. Only "there is nothing" means that there is none: a system that
    /// refuses to look is an error of its own.
    pub(crate) fn check_file(path: &Path) -> Result<bool, Self> {
        paths::is_file(path).map_err(Self::io("look at", path))
    }

    /// Whether a folder is at `path`, like [`DataError::check_file`].
    pub(crate) fn check_folder(path: &Path) -> Result<bool, Self> {
        paths::is_folder(path).map_err(Self::io("look at", path))
    }

    /// Whether any of these files is in `folder`.
    pub(crate) fn check_any(folder: &Path, names: &[&str]) -> Result<bool, Self> {
        for name in names {
            if Self::check_file(&folder.join(name))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All errors as one; none is no error.
    ///
    /// # Errors
    /// The only one, or [`DataError::Several`].
    pub(crate) fn all(errors: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let mut errors: Vec<Self> = errors.into_iter().collect();
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }

    /// Whether there is no room left.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// What is wrong with a file of a format.
    pub(crate) fn malformed(
        path: &Path,
        format: &'static str,
        reason: impl std::fmt::Display,
    ) -> Self {
        Self::Malformed { path: path.to_path_buf(), format, reason: reason.to_string() }
    }

    /// Makes sure that there are 1 to `limit` of something.
    ///
    /// # Errors
    /// [`DataError::OutOfLimits`] if there are not.
    pub(crate) fn limit(
        path: &Path,
        what: &'static str,
        found: u64,
        limit: u64,
    ) -> Result<(), Self> {
        if (1..=limit).contains(&found) {
            return Ok(());
        }
        Err(Self::OutOfLimits { path: path.to_path_buf(), what, found, limit })
    }

    /// An answer of the operating system to `doing` something with `path`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }
}

fn listed(count: usize, named: &[String]) -> String {
    let lines: String = named.iter().map(|line| format!("\n  {line}")).collect();
    match count.saturating_sub(named.len()) {
        0 => lines,
        others => format!("{lines}\n  and {others} more"),
    }
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(", ")
}

fn no_source(name: &str, failures: &[SourceFailure], folder: &Path, files: &[String]) -> String {
    let tried: String = failures.iter().map(|failure| format!("\n  {failure}")).collect();
    let files: String = files.iter().map(|file| format!("\n  {file}")).collect();
    format!(
        "no source has the data set {name}:{tried}\nTo place it by hand, put these files into {}:{files}\n\
         or name a folder that has them: `qtrail data fetch {name} --from DIR`",
        folder.display()
    )
}
