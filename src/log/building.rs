//! [`Building`]: a store made aside, with a history, and given its name only when all of it is
//! there: restoring and backing up are all or nothing.

use std::fs::{self, File};
use std::path::PathBuf;

use super::artifacts::{Artifacts, Copied, copy};
use super::files::{failed, is_there, make_folder, sync_tree};
use super::leftovers::{Purpose, Sibling};
use super::store::{furnish, publish, settled};
use super::{BATCH_MAX, EventLog as _, LocalLog, LogError, Options, Store};
use crate::events::Hash;
use crate::events::frame::{Frame, Head};

/// A store in the making. Dropped before [`Building::finish`], nothing of it is left; a killed
/// process leaves a folder `.NAME.building-PID-ID` that counts for nothing, and that the next one
/// making a store in the same folder removes.
#[derive(Debug)]
pub struct Building {
    root: PathBuf,
    log: Option<LocalLog>,
    artifacts: Artifacts,
    // After the log, which would write on into a folder that goes.
    aside: Sibling,
    head: Head,
    pending: Vec<Frame>,
}

impl Building {
    /// Begins a store at `root`, where nothing may be yet but an empty folder.
    ///
    /// # Errors
    /// [`LogError::Exists`] if something is there, or what the file system says.
    pub fn begin(root: &std::path::Path, options: Options) -> Result<Self, LogError> {
        let root = settled(root)?;
        let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
            return Err(LogError::Exists { path: root });
        };
        if is_there(&root)? && !is_empty_folder(&root) {
            return Err(LogError::Exists { path: root });
        }
        make_folder(parent)?;
        // From here on dropping it cleans up.
        let aside = Sibling::make(parent, name, Purpose::Building)?;
        furnish(aside.path(), aside.id())?;
        let store = Store::open(aside.path())?;
        let (artifacts, head, pending) = (store.artifacts(), Head::default(), Vec::new());
        let log = Some(LocalLog::open(store, options)?);
        Ok(Self { root, log, artifacts, aside, head, pending })
    }

    /// Takes in the next frame.
    ///
    /// # Errors
    /// [`LogError::Frame`] if it does not continue the log, or what keeps it from being written.
    pub fn push(&mut self, frame: Frame) -> Result<(), LogError> {
        self.pending.push(frame);
        if self.pending.len() == BATCH_MAX { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), LogError> {
        if let Some(log) = &mut self.log
            && !self.pending.is_empty()
        {
            self.head = log.append_relaxed(self.head, &self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }

    /// Takes in the bytes of `from` as the artifact `hash`, unless they have another hash.
    ///
    /// # Errors
    /// What keeps it from being written.
    pub fn take(&mut self, hash: Hash, from: &mut File) -> Result<Copied, LogError> {
        let path = self.artifacts.path(hash);
        let mut to = File::create_new(&path).map_err(failed("create", &path))?;
        let copied = copy(hash, from, &mut to).map_err(failed("write", &path))?;
        if !matches!(copied, Copied::Whole(_)) {
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        Ok(copied)
    }

    /// Makes all of it durable and gives it its name. Returns the store and the end of its log.
    ///
    /// # Errors
    /// [`LogError::Exists`] if something has taken the name, or what the file system says.
    pub fn finish(mut self) -> Result<(Store, Head), LogError> {
        self.write()?;
        if let Some(mut log) = self.log.take() {
            self.head = log.head()?;
            log.close()?;
        }
        sync_tree(self.aside.path())?;
        if !publish(self.aside.path(), &self.root)? {
            return Err(LogError::Exists { path: self.root.clone() });
        }
        Ok((Store::open(&self.root)?, self.head))
    }
}

fn is_empty_folder(path: &std::path::Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::files::names;
    use crate::log::memory::tests::batch;

    fn begin(root: &std::path::Path) -> Result<Building, LogError> {
        Building::begin(root, Options::default())
    }

    #[test]
    fn a_built_store_is_a_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let (frames, head) = batch(Head::default(), 250);
        let mut building = begin(&root).unwrap();
        frames.iter().for_each(|frame| building.push(frame.clone()).unwrap());
        assert!(!crate::paths::is_there(&root).unwrap());
        let (store, built) = building.finish().unwrap();
        assert_eq!((built, store.read_head().unwrap().record.head), (head, head));
        let mut reader = crate::log::Reader::open(&store).unwrap();
        assert!(crate::log::verify::verify(&mut reader).unwrap().is_good());
        assert_eq!(names(folder.path()).unwrap(), ["store"]);
    }

    #[test]
    fn nothing_is_left_of_one_given_up_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        // Killed in the middle of making a store of another name.
        let left = ".other.building-17-0123456789abcdef0123456789abcdef";
        fs::create_dir(folder.path().join(left)).unwrap();
        let mut building = begin(&root).unwrap();
        let (frames, _) = batch(Head::default(), 3);
        building.push(frames[1].clone()).unwrap();
        building.finish().unwrap_err();
        assert_eq!(names(folder.path()).unwrap(), [""; 0]);

        fs::create_dir(&root).unwrap();
        let late = begin(&root).unwrap();
        fs::write(root.join("thesis"), "").unwrap();
        assert!(matches!(late.finish(), Err(LogError::Exists { .. })));
        assert!(matches!(begin(&root), Err(LogError::Exists { .. })));
        assert_eq!(names(folder.path()).unwrap(), ["store"]);
    }
}
