//! A data set out of Debian's package, without root: downloaded and unpacked, not installed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::data::DataError;
use crate::data::catalog::DebianPackage;

/// The programs that get and unpack a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageTools {
    /// `apt-get`.
    pub apt_get: PathBuf,
    /// `dpkg-deb`.
    pub dpkg_deb: PathBuf,
}

impl Default for PackageTools {
    fn default() -> Self {
        Self { apt_get: "apt-get".into(), dpkg_deb: "dpkg-deb".into() }
    }
}

/// Downloads `package` into `scratch` and unpacks it there; says where its data set is.
pub(super) fn unpack(
    tools: &PackageTools,
    package: &DebianPackage,
    scratch: &Path,
) -> Result<PathBuf, DataError> {
    let mut apt_get = Command::new(&tools.apt_get);
    // apt's own patience with a silent server is two minutes, several times over.
    apt_get.args(["-q", "-o", "Acquire::http::Timeout=30", "-o", "Acquire::Retries=1"]);
    apt_get.args(["download", package.name]);
    run(&mut apt_get, scratch)?;
    let deb = find_deb(scratch)?;
    let root = scratch.join("root");
    run(Command::new(&tools.dpkg_deb).arg("-x").arg(&deb).arg(&root), scratch)?;
    Ok(root.join(package.folder.trim_start_matches('/')))
}

fn find_deb(folder: &Path) -> Result<PathBuf, DataError> {
    let entries = fs::read_dir(folder).map_err(DataError::io("read", folder))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.find(|path| path.extension() == Some(OsStr::new("deb"))).ok_or_else(|| DataError::Tool {
        command: "apt-get download".to_owned(),
        reason: "it brought no package".to_owned(),
    })
}

/// Runs a command in `folder` and waits for it; nothing that it says reaches the terminal.
fn run(command: &mut Command, folder: &Path) -> Result<(), DataError> {
    command.current_dir(folder).env("LC_ALL", "C").stdin(Stdio::null());
    let failed = |command: &Command, reason| {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
        Err(DataError::Tool { command: words.join(" "), reason })
    };
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let reason = last_words(&output.stderr);
            failed(command, reason.unwrap_or_else(|| output.status.to_string()))
        }
        Err(error) => failed(command, error.to_string()),
    }
}

/// The last line of what a program wrote to stderr that says anything.
fn last_words(stderr: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map(str::to_owned)
}
