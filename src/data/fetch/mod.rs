//! Fetching a known data set into the data home.
//!
//! Sources are tried in order: a folder that the user names, the folder of Debian's package, the
//! publishers, the package itself unpacked without root. Whatever the source, the four files are
//! written aside, verified by the hashes of their content, made durable and then renamed into
//! place: a data set is there as a whole or not at all, and a source cannot slip in anything else.

mod download;
mod package;
mod staging;

use std::fmt;
use std::path::{Path, PathBuf};

use super::catalog::DebianPackage;
use super::folder::FILES;
use super::{DataError, DataHome, IdxFolder, KnownSet};
pub use download::Http;
pub use package::PackageTools;
use staging::{Placed, Staging};

/// One fetch: what, where to, and what it may use.
#[derive(Debug, Clone, Copy)]
pub struct Fetch<'a> {
    /// The set.
    pub set: &'static KnownSet,
    /// Where data sets live.
    pub home: &'a DataHome,
    /// A folder that has the files already (`--from`).
    pub from: Option<&'a Path>,
    /// How to download.
    pub http: &'a Http,
    /// How to get Debian's package.
    pub tools: &'a PackageTools,
}

/// Where a data set can come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The folder named by the user.
    Given(PathBuf),
    /// The folder of Debian's package, installed.
    System(DebianPackage),
    /// A folder on the web.
    Publisher(&'static str),
    /// Debian's package, downloaded and unpacked without installing it.
    Package(DebianPackage),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(folder) => write!(f, "the folder {}", folder.display()),
            Self::System(package) => write!(f, "the system folder {}", package.folder),
            Self::Publisher(url) => f.write_str(url),
            Self::Package(package) => write!(f, "Debian's package {}", package.name),
        }
    }
}

/// A source that did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFailure {
    /// The source.
    pub source: Source,
    /// Why.
    pub reason: String,
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.reason)
    }
}

/// What a fetch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The set was there already, whole. Nothing was done.
    Present {
        /// Where it is.
        folder: PathBuf,
    },
    /// The set is there now.
    Placed {
        /// Where it is.
        folder: PathBuf,
        /// Where it came from.
        source: Source,
        /// Where the files went that were in its place but are not of this set.
        moved_aside: Option<PathBuf>,
    },
}

/// How a fetch is getting on.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A source is tried.
    Trying(&'a Source),
    /// A source did not do; the next is tried.
    Failed(&'a SourceFailure),
    /// A file is coming in.
    Receiving {
        /// Its name.
        file: &'a str,
        /// Bytes so far.
        done: u64,
        /// Bytes in all, if the server says so.
        total: Option<u64>,
    },
    /// All four files are here and are being verified.
    Verifying,
}

/// Hears how a fetch is getting on.
pub type Progress<'a> = &'a mut dyn FnMut(Step<'_>);

impl Fetch<'_> {
    /// Fetches the set, unless it is there already.
    ///
    /// May be interrupted at any moment and run by several processes at once: whoever is first
    /// places the set, and what an interrupted fetch left behind is swept away by the next.
    ///
    /// # Errors
    /// [`DataError::NoSource`] with the reason of each source; [`DataError::Io`] if the data home
    /// cannot be written to.
    pub fn run(&self, progress: Progress<'_>) -> Result<Fetched, DataError> {
        let folder = self.home.folder(self.set.name);
        if self.set.verify(&IdxFolder::new(&folder)).is_ok() {
            return Ok(Fetched::Present { folder });
        }
        let mut failures = Vec::new();
        for source in self.sources() {
            progress(Step::Trying(&source));
            let staging = Staging::create(self.home.root())?;
            match self.stage(&source, &staging, progress) {
                Ok(()) => return self.place(source, &staging, folder),
                // No other source helps against a full disk.
                Err(error) if error.is_out_of_space() => return Err(error),
                Err(error) => {
                    let failure = SourceFailure { source, reason: staging.tell(&error) };
                    progress(Step::Failed(&failure));
                    failures.push(failure);
                }
            }
        }
        Err(DataError::NoSource { name: self.set.name, failures, folder })
    }

    fn sources(&self) -> Vec<Source> {
        let given = self.from.map(|folder| Source::Given(folder.to_path_buf()));
        let system = self.set.debian.map(Source::System);
        let publishers = self.set.publishers.iter().map(|url| Source::Publisher(url));
        let package = self.set.debian.map(Source::Package);
        given.into_iter().chain(system).chain(publishers).chain(package).collect()
    }

    /// Brings the files of one source into the staging folder and verifies them there: what is
    /// verified is what will be used, not what it was copied from.
    fn stage(
        &self,
        source: &Source,
        staging: &Staging,
        progress: Progress<'_>,
    ) -> Result<(), DataError> {
        match source {
            Source::Given(folder) => self.copy(folder, staging)?,
            Source::System(package) => self.copy(Path::new(package.folder), staging)?,
            Source::Publisher(url) => self.download(url, staging, progress)?,
            Source::Package(package) => {
                let unpacked = package::unpack(self.tools, package, &staging.scratch()?)?;
                self.copy(&unpacked, staging)?;
            }
        }
        progress(Step::Verifying);
        self.set.verify(&IdxFolder::new(staging.set()))
    }

    fn copy(&self, folder: &Path, staging: &Staging) -> Result<(), DataError> {
        let from = IdxFolder::new(folder);
        FILES.into_iter().zip(self.limits()).try_for_each(|(file, limit)| {
            let path = from.path(file)?;
            staging.copy_in(&path, file, limit)
        })
    }

    fn download(
        &self,
        url: &str,
        staging: &Staging,
        progress: Progress<'_>,
    ) -> Result<(), DataError> {
        FILES.into_iter().zip(self.limits()).try_for_each(|(file, limit)| {
            let name = format!("{file}.gz");
            let to = staging.set().join(&name);
            self.http.download(&format!("{url}/{name}"), &to, limit, &mut |done, total| {
                progress(Step::Receiving { file: &name, done, total });
            })
        })
    }

    /// The most that each file can have: its plain length, and some room for what a compressor
    /// adds to what it cannot compress.
    fn limits(&self) -> [u64; 4] {
        self.set.contents.map(|content| content.bytes + content.bytes / 100 + 4096)
    }

    fn place(
        &self,
        source: Source,
        staging: &Staging,
        folder: PathBuf,
    ) -> Result<Fetched, DataError> {
        let is_whole = |folder: &Path| self.set.verify(&IdxFolder::new(folder)).is_ok();
        Ok(match staging.place(&folder, is_whole)? {
            Placed::WasThere => Fetched::Present { folder },
            Placed::Now { moved_aside } => Fetched::Placed { folder, source, moved_aside },
        })
    }
}
