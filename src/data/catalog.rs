//! The data sets that have a name: what they hold, how to recognise them, where to get them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use md5::{Digest, Md5};

use super::folder::{self, FILES, PartFiles};
use super::{DataError, Format, IdxFolder, Images, Part, Reading, mat};

/// A data set that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSet {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// What the labels 0, 1, … mean.
    pub class_names: &'static [&'static str],
    /// What it holds.
    pub shape: KnownShape,
    /// Its files, and how they are recognised.
    pub files: KnownFiles,
    /// Folders on the web with the files.
    pub publishers: &'static [&'static str],
    /// Debian's package of it.
    pub debian: Option<DebianPackage>,
}

/// What a known set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownShape {
    /// Images of the training part.
    pub train: u32,
    /// Images of the test part.
    pub test: u32,
    /// Extra images to train on; 0 if there are none.
    pub extra: u32,
    /// Colour channels.
    pub channels: u32,
    /// Side in pixels.
    pub side: u32,
}

/// The files of a known set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownFiles {
    /// The four IDX files, in the order of [`FILES`]; publishers have them with `.gz`.
    Idx([KnownContent; 4]),
    /// Files that publishers have in one archive (tar, gzip).
    Archive {
        /// The archive.
        archive: KnownFile,
        /// What is taken out of it.
        members: &'static [KnownFile],
    },
    /// Files that are used as they are.
    Plain(&'static [KnownFile]),
}

/// What a file of a known set holds when decompressed.
///
/// The compressed files differ from copy to copy (Debian and the publisher of Fashion-MNIST
/// compress differently), what is in them does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownContent {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: &'static str,
}

/// A file of a known set that is used as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// Its name.
    pub name: &'static str,
    /// Length in bytes; 0 for a short text whose length is not known.
    pub bytes: u64,
    /// Its MD5, in hexadecimal, if that is published.
    pub md5: Option<&'static str>,
    /// Whether it holds extra images, which are fetched only when they are wanted.
    pub extra: bool,
}

impl KnownFile {
    const fn new(name: &'static str, bytes: u64, md5: Option<&'static str>) -> Self {
        Self { name, bytes, md5, extra: false }
    }

    /// The most bytes that it is given room for.
    #[must_use]
    pub fn most(&self) -> u64 {
        // A short text whose length is not known.
        if self.bytes == 0 { 64 << 10 } else { self.bytes }
    }

    /// Makes sure that the file at `path` is this one of `set`.
    ///
    /// # Errors
    /// [`DataError::NotTheKnownFile`] if it is not.
    pub fn verify(&self, path: &Path, set: &'static str) -> Result<(), DataError> {
        let Some(expected) = self.md5 else { return Ok(()) };
        // MD5 tells damage, not malice, which is what publishers use it for.
        let (_, found) = hash_file::<Md5>(path)?;
        if found == expected {
            return Ok(());
        }
        let (path, expected) = (path.to_path_buf(), expected.to_owned());
        Err(DataError::NotTheKnownFile { path, set, hash: "its MD5", expected, found })
    }
}

/// A package of Debian that holds a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DebianPackage {
    /// Its name.
    pub name: &'static str,
    /// Where its files lie once installed.
    pub folder: &'static str,
}

/// All sets that have a name.
pub static KNOWN: [KnownSet; 5] = [
    KnownSet {
        name: "fashion-mnist",
        about: "pieces of clothing (Xiao et al. 2017)",
        class_names: &[
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ],
        // Taken from Debian's package 0.0~git20200523.55506a9-1. Public listings of the
        // publisher's files, decompressed, agree with all four.
        shape: MNIST_SHAPE,
        files: mnist_like([
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ]),
        publishers: &[
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        ],
        debian: Some(DebianPackage {
            name: "dataset-fashion-mnist",
            folder: "/usr/share/datasets/fashion-mnist",
        }),
    },
    KnownSet {
        name: "mnist",
        about: "handwritten digits (LeCun et al. 1998)",
        class_names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        // Not taken from the files themselves: published alike, for the decompressed files, by
        // more than two independent public projects (as are the MD5 that torchvision publishes
        // for the compressed ones, f68b3c2d… for the training images).
        shape: MNIST_SHAPE,
        files: mnist_like([
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ]),
        // The page of the authors does not serve them reliably; these two serve the same files.
        publishers: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ],
        debian: None,
    },
    // MD5 of archives and of SVHN's files: as the publisher's page, or torchvision, and many public
    // projects have them; none was taken from the files themselves.
    KnownSet {
        name: "cifar10",
        about: "ten kinds of animals and vehicles (Krizhevsky 2009)",
        class_names: &[
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ],
        shape: CIFAR_SHAPE,
        files: KnownFiles::Archive {
            archive: KnownFile::new(
                "cifar-10-binary.tar.gz",
                170_052_171,
                Some("c32a1d4ab5d03f1284b67883e8d87530"),
            ),
            // Several independent public projects have these six.
            members: &[
                cifar_batch("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"),
                cifar_batch("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"),
                cifar_batch("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"),
                cifar_batch("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"),
                cifar_batch("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"),
                cifar_batch("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"),
            ],
        },
        publishers: &["https://www.cs.toronto.edu/~kriz"],
        debian: None,
    },
    KnownSet {
        name: "cifar100",
        about: "a hundred kinds of things (Krizhevsky 2009)",
        // The set tells them itself, in fine_label_names.txt.
        class_names: &[],
        shape: CIFAR_SHAPE,
        files: KnownFiles::Archive {
            archive: KnownFile::new(
                "cifar-100-binary.tar.gz",
                168_513_733,
                Some("03b5dce01913d631647c71ecec9e9cb8"),
            ),
            // Nothing sure is published of the single files. They come out of an archive that was
            // checked; a copy of them placed by hand is known by its structure and counts only.
            members: &[
                KnownFile::new("train.bin", 50_000 * 3074, None),
                KnownFile::new("test.bin", 10_000 * 3074, None),
                KnownFile::new("fine_label_names.txt", 0, None),
            ],
        },
        publishers: &["https://www.cs.toronto.edu/~kriz"],
        debian: None,
    },
    KnownSet {
        name: "svhn",
        about: "digits of house numbers; 531131 extra images (Netzer et al. 2011)",
        class_names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        shape: KnownShape { train: 73_257, test: 26_032, extra: 531_131, channels: 3, side: 32 },
        files: KnownFiles::Plain(&[
            KnownFile::new(mat::TRAIN, 182_040_794, Some("e26dedcc434d2e4c54c9b2d4a06d8373")),
            KnownFile::new(mat::TEST, 64_275_384, Some("eb5a983be6a315427106f1b164d9cef3")),
            KnownFile {
                extra: true,
                ..KnownFile::new(
                    mat::EXTRA,
                    1_329_278_602,
                    Some("a93ce644f1a588dc4d68dda5feec44a7"),
                )
            },
        ]),
        publishers: &["http://ufldl.stanford.edu/housenumbers"],
        debian: None,
    },
];

const MNIST_SHAPE: KnownShape =
    KnownShape { train: 60_000, test: 10_000, extra: 0, channels: 1, side: 28 };
const CIFAR_SHAPE: KnownShape =
    KnownShape { train: 50_000, test: 10_000, extra: 0, channels: 3, side: 32 };

/// 60,000 + 10,000 images of 28 x 28 pixels.
const fn mnist_like(sha256: [&'static str; 4]) -> KnownFiles {
    let [train_images, train_labels, test_images, test_labels] = sha256;
    KnownFiles::Idx([
        KnownContent { bytes: 16 + 60_000 * 28 * 28, sha256: train_images },
        KnownContent { bytes: 8 + 60_000, sha256: train_labels },
        KnownContent { bytes: 16 + 10_000 * 28 * 28, sha256: test_images },
        KnownContent { bytes: 8 + 10_000, sha256: test_labels },
    ])
}

/// 10,000 records of CIFAR-10.
const fn cifar_batch(name: &'static str, md5: &'static str) -> KnownFile {
    KnownFile::new(name, 10_000 * 3073, Some(md5))
}

impl KnownSet {
    /// The set called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|set| set.name == name)
    }

    /// What the IDX file of the usual name `file` holds.
    #[must_use]
    pub fn content(&self, file: &str) -> Option<&KnownContent> {
        let KnownFiles::Idx(contents) = &self.files else { return None };
        FILES.iter().position(|&name| name == file).map(|at| &contents[at])
    }

    /// The files that are used as they are.
    #[must_use]
    pub fn plain(&self) -> &'static [KnownFile] {
        match self.files {
            KnownFiles::Idx(_) => &[],
            KnownFiles::Archive { members, .. } => members,
            KnownFiles::Plain(files) => files,
        }
    }

    /// The file with the extra images.
    #[must_use]
    pub fn extra(&self) -> Option<&'static KnownFile> {
        self.plain().iter().find(|file| file.extra)
    }

    /// What a person has to place by hand, where nothing else helps.
    #[must_use]
    pub fn file_names(&self) -> Vec<String> {
        match self.files {
            KnownFiles::Idx(_) => FILES.map(|file| format!("{file}.gz (or plain)")).to_vec(),
            _ => self.plain().iter().filter(|file| !file.extra).map(|f| f.name.into()).collect(),
        }
    }

    /// Reads one part from `folder`, and makes sure that it is this set's.
    ///
    /// # Errors
    /// [`DataError`] naming the file and what is wrong with it.
    pub fn read(&self, folder: &Path, part: Part, reading: Reading) -> Result<Images, DataError> {
        if let KnownFiles::Idx(_) = self.files {
            Format::Idx.files(folder, part, reading.extra)?;
            let idx = IdxFolder::new(folder);
            let files = idx.read(part, true)?;
            self.verify_part(&idx, part, &files)?;
            let [path, _] = idx.part_paths(part)?;
            return files.into_images(reading.resize, &path);
        }
        let format = Format::of(folder)?;
        for path in format.files(folder, part, reading.extra)? {
            let known = self.plain().iter().find(|file| path.ends_with(file.name));
            known.map_or(Ok(()), |file| file.verify(&path, self.name))?;
        }
        let images = format.read(folder, part, reading)?;
        self.check_counts(folder, part, reading, &images)?;
        Ok(images)
    }

    /// Numbers of images and classes: all there is to hold against files without a known hash.
    fn check_counts(
        &self,
        folder: &Path,
        part: Part,
        reading: Reading,
        images: &Images,
    ) -> Result<(), DataError> {
        let (shape, extra) = (self.shape, if reading.extra { self.shape.extra } else { 0 });
        let total = match part {
            Part::Train => shape.train + extra,
            Part::Test => shape.test,
        };
        let wrong = |what: &str, expected, found| {
            let (folder, set, part, what) =
                (folder.to_path_buf(), self.name, part.name(), what.to_owned());
            Err(DataError::NotTheKnownSet { folder, set, part, what, expected, found })
        };
        if images.count != total {
            return wrong("images", total, images.count);
        }
        if !matches!(self.files, KnownFiles::Archive { .. }) {
            return Ok(());
        }
        // Both CIFAR sets have equally many images of each class.
        let counts = images.class_counts();
        let each = total / images.classes.max(1);
        match counts.iter().position(|&count| count != each) {
            Some(class) => wrong(&format!("images of class {class}"), each, counts[class]),
            None => Ok(()),
        }
    }

    /// Makes sure that `folder` holds all of this set, and nothing else under its names. Extra
    /// images are not asked for.
    ///
    /// # Errors
    /// [`DataError`] naming the first file that is missing, damaged or another one.
    pub fn verify(&self, folder: &Path) -> Result<(), DataError> {
        if let KnownFiles::Idx(_) = self.files {
            IdxFolder::new(folder).paths()?;
        }
        for file in self.plain().iter().filter(|file| !file.extra) {
            if !DataError::check_file(&folder.join(file.name))? {
                let folder = folder.to_path_buf();
                return Err(DataError::MissingFile { folder, file: file.name });
            }
        }
        Part::ALL
            .into_iter()
            .try_for_each(|part| self.read(folder, part, Reading::default()).map(drop))
    }

    /// Whether the file at `path`, one of a part in `folder`, is this set's; unset if nothing is known
    /// of it.
    ///
    /// # Errors
    /// [`DataError`] if it cannot be read.
    pub fn verify_file(
        &self,
        folder: &Path,
        part: Part,
        path: &Path,
    ) -> Result<Option<Result<(), DataError>>, DataError> {
        let verdict = match &self.files {
            KnownFiles::Idx(_) => {
                let idx = IdxFolder::new(folder);
                let read = idx.read(part, false)?;
                let at = usize::from(idx.part_paths(part)?[0] != path);
                let file = folder::part_files(part)[at];
                Some(self.verify_content(&idx, file, &read.content_sha256()[at]))
            }
            _ => {
                let known = self.plain().iter().find(|file| path.ends_with(file.name));
                known.filter(|file| file.md5.is_some()).map(|file| file.verify(path, self.name))
            }
        };
        match verdict {
            Some(Err(error)) if !matches!(error, DataError::NotTheKnownFile { .. }) => Err(error),
            verdict => Ok(verdict),
        }
    }

    /// Makes sure that IDX `files`, read from `folder`, are this set's.
    ///
    /// # Errors
    /// [`DataError::NotTheKnownFile`] naming the first that is not.
    fn verify_part(
        &self,
        folder: &IdxFolder,
        part: Part,
        files: &PartFiles,
    ) -> Result<(), DataError> {
        let hashes = files.content_sha256();
        let mut files = folder::part_files(part).into_iter().zip(hashes);
        files.try_for_each(|(file, found)| self.verify_content(folder, file, &found))
    }

    fn verify_content(
        &self,
        folder: &IdxFolder,
        file: &'static str,
        found: &[u8; 32],
    ) -> Result<(), DataError> {
        let expected = self.content(file).map_or("", |content| content.sha256);
        let found = hex(found);
        if found == expected {
            return Ok(());
        }
        let (path, expected) = (folder.path(file)?, expected.to_owned());
        let hash = "SHA-256 of its decompressed content";
        Err(DataError::NotTheKnownFile { path, set: self.name, hash, expected, found })
    }
}

/// Length of a file in bytes, and a hash of it, in hexadecimal.
pub(super) fn hash_file<H: Digest>(path: &Path) -> Result<(u64, String), DataError> {
    let mut file = File::open(path).map_err(DataError::io("open", path))?;
    let (mut hash, mut bytes) = (H::new(), 0);
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

/// The names of all known sets.
#[must_use]
pub fn known_names() -> Vec<&'static str> {
    KNOWN.iter().map(|set| set.name).collect()
}

/// Bytes in hexadecimal, as `sha256sum` prints them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
