//! Where a result goes that is not printed as rows: `-o FILE`, on every verb that has it.
//!
//! A regular file is there whole or not at all: it grows beside its name and is renamed. A link
//! stays: the file that it leads to is replaced. Devices and pipes are written to, and `-` is stdout.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::OFlags;

use super::{CliError, Exit};
use crate::log::artifacts::has_ended;

/// What stands between the name of a file in the making and the id of its process.
const MARK: &str = ".qtrail-";
/// Bytes of the name that its file in the making keeps: names end at 255.
const KEPT: usize = 200;
/// Links that are followed, as many as Linux follows.
const LINKS: usize = 40;

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    /// stdout: `-`.
    Stdout,
    /// This path.
    Path(PathBuf),
}

impl From<OsString> for Destination {
    fn from(text: OsString) -> Self {
        if text == "-" { Self::Stdout } else { Self::Path(text.into()) }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl Destination {
    /// The path, unless it is stdout.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout => None,
            Self::Path(path) => Some(path),
        }
    }

    /// What the name ends in, in lower case, without the dot.
    pub(super) fn ending(&self) -> String {
        let ending = self.path().and_then(Path::extension).unwrap_or_default();
        ending.to_string_lossy().to_lowercase()
    }

    /// Whether a regular file is, or will be, at this path: not stdout, no device, no pipe.
    pub(super) fn is_file(&self) -> bool {
        self.path().is_some_and(|path| fs::metadata(path).map_or(true, |found| found.is_file()))
    }

    /// Puts a whole result there.
    ///
    /// # Errors
    /// Exit code 2 if the path is wrong, 5 if the system refuses, 0 if nobody reads on.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut output = self.open()?;
        output.write_all(bytes).map_err(|error| self.failed(&error))?;
        output.finish()
    }

    /// Opens it for a result that comes piece by piece. It is there after [`Output::finish`].
    ///
    /// # Errors
    /// As [`Destination::write`].
    pub(super) fn open(&self) -> Result<Output<'_>, CliError> {
        let way = match self {
            Self::Stdout => Ok(Way::Stdout),
            Self::Path(path) => Way::to(path),
        };
        let way = way.map_err(|error| self.failed(&error))?;
        Ok(Output { destination: self, way })
    }

    /// An error of writing there.
    pub(super) fn failed(&self, error: &io::Error) -> CliError {
        match self {
            Self::Path(path) if error.kind() != ErrorKind::BrokenPipe => {
                let told = CliError::file("write", path, error);
                match told.exit {
                    Exit::Usage => told.hint("name another file, or - for stdout"),
                    _ => told,
                }
            }
            _ => CliError::output(error),
        }
    }
}

/// A result in the making.
#[derive(Debug)]
pub(super) struct Output<'d> {
    destination: &'d Destination,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Stdout,
    /// Something that is written to: a device, a pipe.
    Through(File),
    /// A file in the making.
    Beside(Beside),
}

impl Output<'_> {
    /// Where it goes.
    pub(super) fn failed(&self, error: &io::Error) -> CliError {
        self.destination.failed(error)
    }

    /// Ends the result: a file gets its name.
    ///
    /// # Errors
    /// As [`Destination::write`].
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        let finished = match &mut self.way {
            Way::Stdout => io::stdout().flush(),
            Way::Through(file) => file.flush(),
            Way::Beside(beside) => beside.finish(),
        };
        finished.map_err(|error| self.failed(&error))
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.way {
            Way::Stdout => io::stdout().write(bytes),
            Way::Through(file) | Way::Beside(Beside { file, .. }) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.way {
            Way::Stdout => io::stdout().flush(),
            Way::Through(file) | Way::Beside(Beside { file, .. }) => file.flush(),
        }
    }
}

impl Way {
    fn to(path: &Path) -> io::Result<Self> {
        let found = match fs::metadata(path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // /dev/stdout, whatever that is: opening it anew would begin at its first byte.
        let stdout = rustix::fs::fstat(io::stdout())?;
        if found
            .as_ref()
            .is_some_and(|found| (found.dev(), found.ino()) == (stdout.st_dev, stdout.st_ino))
        {
            return Ok(Self::Stdout);
        }
        if found.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(ErrorKind::IsADirectory.into());
        }
        let is_file = found.as_ref().is_none_or(fs::Metadata::is_file);
        match target(path)?.filter(|_| is_file) {
            Some(target) => {
                Ok(Self::Beside(Beside::new(target, found.map(|found| found.permissions()))?))
            }
            None => Ok(Self::Through(OpenOptions::new().append(true).open(path)?)),
        }
    }
}

/// The file that a path leads to over links, which need not exist. `None`: a name of the system
/// (/dev, /proc), which is never replaced.
fn target(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let parent = fs::canonicalize(folder(&path))?;
        if parent == Path::new("/dev") || parent.starts_with("/proc") {
            return Ok(None);
        }
        let Some(name) = path.file_name() else { return Err(ErrorKind::IsADirectory.into()) };
        path = parent.join(name);
        match fs::read_link(&path) {
            Ok(link) => path = parent.join(link),
            // No link, or nothing.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
                return Ok(Some(path));
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// The folder of a path.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file in the making, `.NAME.qtrail-PID-N`, locked while its process lives. Removed if it is
/// dropped.
#[derive(Debug)]
struct Beside {
    file: File,
    path: PathBuf,
    /// What it is to become.
    target: PathBuf,
    finished: bool,
}

impl Beside {
    fn new(target: PathBuf, permissions: Option<Permissions>) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep(folder(&target));
        let name = target.file_name().unwrap_or_default().as_bytes();
        let name = &name[..name.len().min(KEPT)];
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let end = format!("{MARK}{}-{number}", std::process::id());
        let name = OsString::from_vec([b".", name, end.as_bytes()].concat());
        let path = folder(&target).join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let beside = Self { file, path, target, finished: false };
        // A file system without locks only loses the protection against a reused process id.
        let _ = beside.file.try_lock();
        if let Some(permissions) = permissions {
            beside.file.set_permissions(permissions)?;
        }
        Ok(beside)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.target)?;
        self.finished = true;
        File::open(folder(&self.target))?.sync_all()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: the next one sweeps it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the files in the making that killed processes have left in a folder. Best effort.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let left = maker(name.as_bytes()).is_some_and(has_ended);
        if !left || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        // On a shared folder the process may be one of another machine or container.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let flags = i32::try_from(flags).unwrap_or(0);
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(entry.path());
        if opened.is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The process that a file in the making is of, by its name.
fn maker(name: &[u8]) -> Option<i32> {
    let name = name.strip_prefix(b".")?;
    let mark = name.windows(MARK.len()).rposition(|part| part == MARK.as_bytes())?;
    let (pid, number) = std::str::from_utf8(&name[mark + MARK.len()..]).ok()?.split_once('-')?;
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<OsString> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    fn destination(path: &Path) -> Destination {
        Destination::from(path.as_os_str().to_owned())
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        destination(&path).write(b"one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let to = destination(&path);
        let mut output = to.open().unwrap();
        output.write_all(b"half").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        drop(output);
        assert_eq!(
            (names(folder.path()), fs::read(&path).unwrap()),
            (vec!["a".into()], b"one".into())
        );
        destination(&path).write(b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(names(folder.path()).len(), 1);
    }

    #[test]
    fn links_stay_and_the_file_they_lead_to_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d/target"), "old").unwrap();
        symlink("d/target", at("link")).unwrap();
        symlink("link", at("again")).unwrap();
        symlink("d/new", at("dangling")).unwrap();
        destination(&at("again")).write(b"new").unwrap();
        destination(&at("dangling")).write(b"made").unwrap();
        assert_eq!(fs::read(at("d/target")).unwrap(), b"new");
        assert_eq!(fs::read(at("d/new")).unwrap(), b"made");
        assert!(["link", "again", "dangling"].iter().all(|name| at(name).is_symlink()));
        assert_eq!(names(&at("d")).len(), 2, "nothing else stays");
        symlink("loop", at("loop")).unwrap();
        assert!(destination(&at("loop")).write(b"").is_err());
    }

    #[test]
    fn names_of_the_system_are_never_replaced() {
        for name in ["/dev/null", "/dev/fd/../null", "/proc/self/fd/0", "/dev/nothing"] {
            assert_eq!(target(Path::new(name)).unwrap(), None, "{name}");
        }
        destination(Path::new("/dev/full")).write(b"x").unwrap_err();
        assert!(destination(Path::new("/dev/nothing")).write(b"x").is_err());
        assert!(!crate::paths::is_there(Path::new("/dev/nothing")).unwrap());
    }

    #[test]
    fn what_killed_processes_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let alive = format!(".x.qtrail-{}-9", std::process::id());
        // Process ids above the largest of Linux.
        for name in [".a.qtrail-2000000000-0", ".b.svg.qtrail-2000000000-12", &alive] {
            fs::write(at(name), "half").unwrap();
        }
        let others =
            ["a.qtrail-2000000000-0", ".a.qtrail-2000000000", ".a.qtrail-x-1", ".qtrail-20"];
        others.iter().for_each(|name| fs::write(at(name), "mine").unwrap());
        symlink("a.qtrail-2000000000-0", at(".l.qtrail-2000000000-1")).unwrap();
        let held = File::create(at(".held.qtrail-2000000000-3")).unwrap();
        held.lock().unwrap();
        destination(&at("out")).write(b"").unwrap();
        let mut left: Vec<&str> = others.to_vec();
        left.extend([&alive, "out", ".l.qtrail-2000000000-1", ".held.qtrail-2000000000-3"]);
        left.sort_unstable();
        assert_eq!(names(folder.path()), left);
    }
}
