//! The data sets that have a name: what they hold, how to recognise them, where to get them.

use super::folder::{self, FILES, PartFiles};
use super::{DataError, IdxFolder, Part};

/// A data set that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSet {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// What the labels 0, 1, … mean.
    pub class_names: &'static [&'static str],
    /// What the files hold, in the order of [`FILES`].
    pub contents: [KnownContent; 4],
    /// Folders on the web with the four files, each named as in [`FILES`] plus `.gz`.
    pub publishers: &'static [&'static str],
    /// Debian's package of it.
    pub debian: Option<DebianPackage>,
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

/// A package of Debian that holds a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DebianPackage {
    /// Its name.
    pub name: &'static str,
    /// Where its files lie once installed.
    pub folder: &'static str,
}

/// All sets that have a name.
pub static KNOWN: [KnownSet; 2] = [
    KnownSet {
        name: "fashion-mnist",
        about: "pieces of clothing in grey, 28 x 28; 60,000 + 10,000 (Xiao et al. 2017)",
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
        contents: mnist_like([
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
        about: "handwritten digits in grey, 28 x 28; 60,000 + 10,000 (LeCun et al. 1998)",
        class_names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        // Not taken from the files themselves: published alike, for the decompressed files, by
        // more than two independent public projects (as are the MD5 that torchvision publishes
        // for the compressed ones, f68b3c2d… for the training images).
        contents: mnist_like([
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
];

/// 60,000 + 10,000 images of 28 x 28 pixels.
const fn mnist_like(sha256: [&'static str; 4]) -> [KnownContent; 4] {
    let [train_images, train_labels, test_images, test_labels] = sha256;
    [
        KnownContent { bytes: 16 + 60_000 * 28 * 28, sha256: train_images },
        KnownContent { bytes: 8 + 60_000, sha256: train_labels },
        KnownContent { bytes: 16 + 10_000 * 28 * 28, sha256: test_images },
        KnownContent { bytes: 8 + 10_000, sha256: test_labels },
    ]
}

impl KnownSet {
    /// The set called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|set| set.name == name)
    }

    /// What the file of the usual name `file` holds.
    #[must_use]
    pub fn content(&self, file: &str) -> Option<&KnownContent> {
        FILES.iter().position(|&name| name == file).map(|at| &self.contents[at])
    }

    /// Makes sure that `folder` holds all of this set, and nothing else under its names.
    ///
    /// # Errors
    /// [`DataError`] naming the first file that is missing, damaged or another one.
    pub fn verify(&self, folder: &IdxFolder) -> Result<(), DataError> {
        folder.paths()?;
        Part::ALL
            .into_iter()
            .try_for_each(|part| self.verify_part(folder, part, &folder.read(part)?))
    }

    /// Makes sure that `files`, read from `folder`, are this set's.
    ///
    /// # Errors
    /// [`DataError::NotTheKnownFile`] naming the first that is not.
    pub fn verify_part(
        &self,
        folder: &IdxFolder,
        part: Part,
        files: &PartFiles,
    ) -> Result<(), DataError> {
        for (file, found) in folder::part_files(part).into_iter().zip(files.content_sha256()) {
            let expected = self.content(file).map_or("", |content| content.sha256);
            let found = hex(&found);
            if found != expected {
                let (path, expected) = (folder.path(file)?, expected.to_owned());
                return Err(DataError::NotTheKnownFile { path, set: self.name, expected, found });
            }
        }
        Ok(())
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
