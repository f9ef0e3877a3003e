//! [`Building`]: a store made aside, with a history, and given its name only when all of it is
//! there: restoring and backing up are all or nothing.

use std::fs;
use std::path::PathBuf;

use super::artifacts::has_ended;
use super::files::{failed, make_folder, names, sync_tree};
use super::store::{furnish, publish, random_id, settled};
use super::{BATCH_MAX, EventLog as _, LocalLog, LogError, Options, Store};
use crate::events::frame::{Frame, Head};

/// A store in the making. Dropped before [`Building::finish`], nothing of it is left; a killed
/// process leaves a folder `.NAME.building-PID` that counts for nothing, and that the next one
/// building there removes.
#[derive(Debug)]
pub struct Building {
    root: PathBuf,
    aside: PathBuf,
    log: Option<LocalLog>,
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
        if fs::symlink_metadata(&root).is_ok() && !is_empty_folder(&root) {
            return Err(LogError::Exists { path: root });
        }
        make_folder(parent)?;
        let prefix = format!(".{}.building-", name.to_string_lossy());
        remove_leftovers(parent, &prefix)?;
        let id = random_id()?;
        let aside = parent.join(format!("{prefix}{}-{id}", std::process::id()));
        // From here on dropping it cleans up.
        let (log, head, pending) = (None, Head::default(), Vec::new());
        let mut building = Self { root, aside, log, head, pending };
        furnish(&building.aside, id)?;
        building.log = Some(LocalLog::open(Store::open(&building.aside)?, options)?);
        Ok(building)
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

    /// The store as it is now, aside: for its artifacts.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn store(&self) -> Result<Store, LogError> {
        Store::open(&self.aside)
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
        sync_tree(&self.aside)?;
        if !publish(&self.aside, &self.root)? {
            return Err(LogError::Exists { path: self.root.clone() });
        }
        Ok((Store::open(&self.root)?, self.head))
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // The database first: it would write on into a folder that goes. After `finish` there is
        // nothing to remove.
        drop(self.log.take());
        let _ = fs::remove_dir_all(&self.aside);
    }
}

fn is_empty_folder(path: &std::path::Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Removes what processes that were killed while building here have left.
fn remove_leftovers(parent: &std::path::Path, prefix: &str) -> Result<(), LogError> {
    for name in names(parent)? {
        let pid = name.strip_prefix(prefix).and_then(|rest| rest.split('-').next());
        if pid.and_then(|pid| pid.parse().ok()).is_some_and(has_ended) {
            let path = parent.join(name);
            fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert!(!root.exists());
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
        // Above the largest process id of Linux: killed in the middle.
        fs::create_dir(folder.path().join(".store.building-2000000000-x")).unwrap();
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
