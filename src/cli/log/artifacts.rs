//! Copying the artifacts that a log names, and checking them: into a backup, beside an exported
//! log, back from there. What is missing or altered is reported; the others are copied.

use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::super::{CliError, Context, Exit, note};
use super::export::cannot_write;
use crate::engine::references::{Flaw, References, check};
use crate::events::codec::decode;
use crate::events::frame::{Frame, Position};
use crate::events::{Fold as _, Hash};
use crate::log::artifacts::{Artifacts, Copied, copy, has_ended};
use crate::log::plain::{is_not_plain, open_plain};
use crate::log::{LogError, Reader};

/// Flaws that are told one by one.
const TOLD: usize = 20;

/// What the events of a log name.
#[derive(Debug, Default)]
pub(in crate::cli) struct Named {
    /// The artifacts.
    pub(in crate::cli) references: References,
    /// The last event.
    position: Position,
    /// Events that this program cannot read: what they name is not known.
    unread: u64,
}

impl Named {
    /// Takes in the next frame.
    pub(in crate::cli) fn push(&mut self, frame: &Frame) {
        self.position = self.position.next();
        match decode(self.position, frame) {
            Ok(recorded) => {
                let Ok(()) = self.references.apply(&recorded);
            }
            Err(_) => self.unread += 1,
        }
    }
}

/// What came of copying artifacts.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Those that were copied.
    pub(super) copied: Vec<Hash>,
    flaws: Vec<(String, Exit)>,
    unread: u64,
}

impl Outcome {
    /// Hands every artifact that is named to `one`, which copies it, or says what is wrong with it.
    fn of(
        named: &Named,
        stop: &AtomicBool,
        mut one: impl FnMut(Hash) -> Result<Result<(), (String, Exit)>, CliError>,
    ) -> Result<Self, CliError> {
        let mut outcome = Self { unread: named.unread, ..Self::default() };
        for (hash, names) in named.references.iter() {
            super::going_on(stop)?;
            match one(hash)? {
                Ok(()) => outcome.copied.push(hash),
                Err((what, exit)) => {
                    let name = names.first().map(ToString::to_string).unwrap_or_default();
                    outcome.flaws.push((format!("{name}: {what}"), exit));
                }
            }
        }
        Ok(outcome)
    }

    /// Tells what was not copied; an error if there is anything.
    pub(super) fn report(self, to: &Path) -> Result<(), CliError> {
        for (flaw, _) in self.flaws.iter().take(TOLD) {
            note(flaw);
        }
        if self.flaws.len() > TOLD {
            note(&format!("and {} more", self.flaws.len() - TOLD));
        }
        if self.unread > 0 {
            let events = self.unread;
            note(&format!("{events} events cannot be read: artifacts that they name are left out"));
        }
        let damaged = self.unread > 0 || self.flaws.iter().any(|(_, exit)| *exit == Exit::Damaged);
        let exit = match self.flaws.first() {
            _ if damaged => Exit::Damaged,
            None => return Ok(()),
            Some((_, exit)) => *exit,
        };
        let (bad, all) = (self.flaws.len(), self.flaws.len() + self.copied.len());
        let message = format!("{bad} of {all} artifacts are missing, altered or unreadable");
        let hint = format!("everything else is in {} and can be used", to.display());
        Err(CliError::new(exit, message).hint(hint))
    }
}

/// Copies the artifacts of a store that are named. Hold a pin since before the log was read.
pub(super) fn from_store(
    named: &Named,
    artifacts: &Artifacts,
    stop: &AtomicBool,
    mut to: impl FnMut(Hash, &mut File) -> Result<Copied, CliError>,
) -> Result<Outcome, CliError> {
    Outcome::of(named, stop, |hash| {
        let flaw = |error: LogError| {
            let text = error.to_string();
            Ok(Err((text, CliError::from(error).exit)))
        };
        let mut from = match artifacts.open_unchecked(hash) {
            Ok(from) => from,
            Err(error) => return flaw(error),
        };
        match to(hash, &mut from)? {
            Copied::Whole(_) => Ok(Ok(())),
            Copied::Altered(found) => flaw(artifacts.altered(hash, found)),
            Copied::Unreadable(source) => {
                flaw(LogError::Io { action: "read", path: artifacts.path(hash), source })
            }
        }
    })
}

/// Copies the artifacts that are named from the folder beside an exported log.
pub(super) fn from_folder(
    named: &Named,
    folder: &Path,
    stop: &AtomicBool,
    mut to: impl FnMut(Hash, &mut File) -> Result<Copied, CliError>,
) -> Result<Outcome, CliError> {
    Outcome::of(named, stop, |hash| {
        let path = folder.join(hash.to_string());
        let flaw =
            |what: &dyn Display, exit| Ok(Err((format!("{}: {what}", path.display()), exit)));
        let mut from = match open_plain(&path) {
            Ok(from) => from,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return flaw(&"there is no such file", Exit::Damaged);
            }
            Err(error) if is_not_plain(&error) => {
                return flaw(&"it is not a plain file", Exit::Damaged);
            }
            Err(error) => return flaw(&error, Exit::System),
        };
        match to(hash, &mut from)? {
            Copied::Whole(_) => Ok(Ok(())),
            Copied::Altered(found) => flaw(&format!("its bytes have hash {found}"), Exit::Damaged),
            Copied::Unreadable(error) => flaw(&error, Exit::System),
        }
    })
}

/// Checks all artifacts that a log names: their number, and what is wrong with some.
pub(super) fn verify(
    log: &mut Reader,
    context: &Context,
    stop: &AtomicBool,
) -> Result<(usize, Vec<Flaw>), CliError> {
    let artifacts = log.store().artifacts();
    // Before the log is read: what it names then stays.
    let _pin = artifacts.pin(context.wait)?;
    let mut named = Named::default();
    super::frames(log, stop, |frame| {
        named.push(&frame);
        Ok(())
    })?;
    let count = named.references.iter().count();
    Ok((count, check(&named.references, &artifacts, || super::going_on(stop))?))
}

/// The folder that belongs to an exported file.
pub(super) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".artifacts");
    name.into()
}

/// The folder of artifacts beside an export in the making.
pub(super) struct Carried {
    folder: PathBuf,
}

/// Before the process id in the name of an unfinished copy.
const UNFINISHED: &str = ".copying-";

impl Carried {
    /// Makes the folder, and sweeps out of it what killed exports have left.
    pub(super) fn begin(folder: PathBuf) -> Result<Self, CliError> {
        fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix(UNFINISHED));
            if pid.and_then(|pid| pid.parse().ok()).is_some_and(has_ended) {
                // Best effort: what belongs to somebody else stays.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Self { folder })
    }

    /// Copies an artifact into it.
    pub(super) fn take(&self, hash: Hash, from: &mut File) -> Result<Copied, CliError> {
        let unfinished = self.folder.join(format!("{UNFINISHED}{}", std::process::id()));
        let path = self.folder.join(hash.to_string());
        let mut save = || {
            // A killed process of the same id may have left one.
            let _ = fs::remove_file(&unfinished);
            let mut to = File::create_new(&unfinished)?;
            let copied = copy(hash, from, &mut to)?;
            if matches!(copied, Copied::Whole(_)) {
                to.sync_all()?;
                fs::rename(&unfinished, &path)?;
            }
            Ok(copied)
        };
        save().map_err(|error| cannot_write(&path, &error))
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        let unfinished = self.folder.join(format!("{UNFINISHED}{}", std::process::id()));
        let _ = fs::remove_file(unfinished);
    }
}
