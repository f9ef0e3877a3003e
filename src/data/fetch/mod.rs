//! Fetching a known data set into the data home.
//!
//! Sources are tried in order: a folder that the user names, the folder of Debian's package, the
//! publishers, the package itself unpacked without root. Whatever the source, the files are
//! written aside, verified by their hashes, made durable and then renamed into
//! place: a data set is there as a whole or not at all, and a source cannot slip in anything else.

mod archive;
mod download;
mod package;

use std::fmt;
use std::path::{Path, PathBuf};

use super::catalog::{DebianPackage, KnownFile, KnownFiles};
use super::folder::FILES;
use super::staging::{Placed, Staging};
use super::{DataError, DataHome, IdxFolder, KnownSet};
pub use download::Http;
pub use package::PackageTools;

/// One fetch: what, where to, and what it may use.
#[derive(Debug, Clone, Copy)]
pub struct Fetch<'a> {
    /// The set.
    pub set: &'static KnownSet,
    /// Where data sets live.
    pub home: &'a DataHome,
    /// A folder that has the files already (`--from`).
    pub from: Option<&'a Path>,
    /// Whether the extra images of a set that has some are wanted too.
    pub extra: bool,
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
    /// All files are here and are being verified.
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
        let extra = match (self.extra, self.set.extra()) {
            (true, None) => return Err(DataError::NoExtra { folder }),
            (true, extra) => extra,
            (false, _) => None,
        };
        let fetched = if self.set.verify(&folder).is_ok() {
            Fetched::Present { folder: folder.clone() }
        } else {
            let files = self.set.file_names();
            self.first(&folder, files, progress, &|source, staging, progress| {
                self.stage(source, staging, progress)?;
                self.place(source.clone(), staging, folder.clone())
            })?
        };
        let Some(extra) = extra else { return Ok(fetched) };
        if extra.verify(&folder.join(extra.name), self.set.name).is_ok() {
            return Ok(fetched);
        }
        // It joins a set that is in its place and whole.
        let files = vec![extra.name.to_owned()];
        let placed = self.first(&folder, files, progress, &|source, staging, progress| {
            self.stage_file(source, extra, staging, progress)?;
            progress(Step::Verifying);
            extra.verify(&staging.set().join(extra.name), self.set.name)?;
            staging.place_file(extra.name, &folder)?;
            let (folder, source) = (folder.clone(), source.clone());
            Ok(Fetched::Placed { folder, source, moved_aside: None })
        })?;
        Ok(if matches!(fetched, Fetched::Placed { .. }) { fetched } else { placed })
    }

    /// The first source that does; `files` are what may be placed by hand if none does.
    fn first(
        &self,
        folder: &Path,
        files: Vec<String>,
        progress: Progress<'_>,
        bring: &dyn Fn(&Source, &Staging, Progress<'_>) -> Result<Fetched, DataError>,
    ) -> Result<Fetched, DataError> {
        let mut failures = Vec::new();
        for source in self.sources() {
            progress(Step::Trying(&source));
            let staging = Staging::create(self.home.root())?;
            match bring(&source, &staging, progress) {
                Ok(fetched) => return Ok(fetched),
                // No other source helps against a full disk.
                Err(error) if error.is_out_of_space() => return Err(error),
                Err(error) => {
                    let failure = SourceFailure { source, reason: staging.tell(&error) };
                    progress(Step::Failed(&failure));
                    failures.push(failure);
                }
            }
        }
        let folder = folder.to_path_buf();
        Err(DataError::NoSource { name: self.set.name, failures, folder, files })
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
        self.set.verify(staging.set())
    }

    fn copy(&self, folder: &Path, staging: &Staging) -> Result<(), DataError> {
        match &self.set.files {
            KnownFiles::Idx(contents) => {
                let from = IdxFolder::new(folder);
                FILES.into_iter().zip(contents).try_for_each(|(file, content)| {
                    let path = from.path(file)?;
                    let gz = path.extension().is_some_and(|extension| extension == "gz");
                    let name = if gz { format!("{file}.gz") } else { file.to_owned() };
                    staging.copy_in(&path, &name, limit(content.bytes))
                })
            }
            KnownFiles::Archive { archive, members } => {
                let path = folder.join(archive.name);
                if DataError::check_file(&path)? {
                    archive.verify(&path, self.set.name)?;
                    return archive::unpack(&path, members, staging.set());
                }
                members.iter().try_for_each(|file| copy_file(folder, file, staging))
            }
            KnownFiles::Plain(files) => files
                .iter()
                .filter(|file| !file.extra)
                .try_for_each(|file| copy_file(folder, file, staging)),
        }
    }

    fn download(
        &self,
        url: &str,
        staging: &Staging,
        progress: Progress<'_>,
    ) -> Result<(), DataError> {
        match &self.set.files {
            KnownFiles::Idx(contents) => {
                FILES.into_iter().zip(contents).try_for_each(|(file, content)| {
                    let (name, limit) = (format!("{file}.gz"), limit(content.bytes));
                    self.download_file(url, &name, staging.set(), limit, progress)
                })
            }
            KnownFiles::Archive { archive, members } => {
                let scratch = staging.scratch()?;
                self.download_file(url, archive.name, &scratch, archive.bytes, progress)?;
                progress(Step::Verifying);
                let path = scratch.join(archive.name);
                archive.verify(&path, self.set.name)?;
                archive::unpack(&path, members, staging.set())
            }
            KnownFiles::Plain(files) => {
                files.iter().filter(|file| !file.extra).try_for_each(|file| {
                    self.download_file(url, file.name, staging.set(), file.bytes, progress)
                })
            }
        }
    }

    /// Brings one file of the set from a source that has it.
    fn stage_file(
        &self,
        source: &Source,
        file: &'static KnownFile,
        staging: &Staging,
        progress: Progress<'_>,
    ) -> Result<(), DataError> {
        match source {
            Source::Publisher(url) => {
                self.download_file(url, file.name, staging.set(), file.bytes, progress)
            }
            Source::Given(folder) => copy_file(folder, file, staging),
            Source::System(package) | Source::Package(package) => {
                copy_file(Path::new(package.folder), file, staging)
            }
        }
    }

    fn download_file(
        &self,
        url: &str,
        name: &str,
        to: &Path,
        limit: u64,
        progress: Progress<'_>,
    ) -> Result<(), DataError> {
        let url = format!("{url}/{name}");
        self.http.download(&url, &to.join(name), limit, &mut |done, total| {
            progress(Step::Receiving { file: name, done, total });
        })
    }

    fn place(
        &self,
        source: Source,
        staging: &Staging,
        folder: PathBuf,
    ) -> Result<Fetched, DataError> {
        let is_whole = |folder: &Path| self.set.verify(folder).is_ok();
        Ok(match staging.place(&folder, is_whole)? {
            Placed::WasThere => Fetched::Present { folder },
            Placed::Now { moved_aside } => Fetched::Placed { folder, source, moved_aside },
        })
    }
}

/// The most that a file can have whose plain length is known: some room for what a compressor adds to
/// what it cannot compress.
fn limit(bytes: u64) -> u64 {
    bytes + bytes / 100 + 4096
}

/// Copies a file that is used as it is.
fn copy_file(folder: &Path, file: &'static KnownFile, staging: &Staging) -> Result<(), DataError> {
    let path = folder.join(file.name);
    if !DataError::check_file(&path)? {
        return Err(DataError::MissingFile { folder: folder.to_path_buf(), file: file.name });
    }
    staging.copy_in(&path, file.name, file.most())
}
