//! Copies of the engine's files, taken before opening a log that was not closed properly.
//!
//! sled's recovery overwrites what it does not understand. So the copy is opened first, and the
//! original only if that went well.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{failed, make_folder, names};
use super::sled::is_unfinished_snapshot;
use super::{LogError, Store};

/// Copies kept: the newest ones.
const KEPT: usize = 2;

/// Copies `sled/` to `aside/copy-N`, without unfinished snapshots, and deletes old copies.
/// The caller holds the files.
pub(super) fn copy(store: &Store) -> Result<PathBuf, LogError> {
    let aside = store.aside_folder();
    make_folder(&aside)?;
    let copies = tidy(&aside)?;
    let number = copies.last().map_or(1, |(number, _)| number + 1);
    let (part, copy) = (aside.join("copy.part"), aside.join(format!("copy-{number}")));
    let copied = copy_folder(&store.sled_folder(), &part)
        .and_then(|()| fs::rename(&part, &copy).map_err(failed("create", &copy)));
    if copied.is_err() {
        // Best effort: on a full device half a copy would only make things worse.
        let _ = fs::remove_dir_all(&part);
    }
    copied.map(|()| copy)
}

/// Deletes interrupted copies, and old ones so that there is room for one more among those kept.
/// Returns the rest, oldest first.
fn tidy(aside: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let remove = |path: &Path| fs::remove_dir_all(path).map_err(failed("remove", path));
    let mut copies = Vec::new();
    for name in names(aside)? {
        let number = name.strip_prefix("copy-").and_then(|number| number.parse::<u64>().ok());
        match number {
            Some(number) => copies.push((number, aside.join(name))),
            None if name == "copy.part" => remove(&aside.join(name))?,
            // Something a person put there.
            None => {}
        }
    }
    copies.sort_unstable();
    let kept = copies.split_off(copies.len().saturating_sub(KEPT - 1));
    for (_, path) in copies {
        remove(&path)?;
    }
    Ok(kept)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), LogError> {
    fs::create_dir(to).map_err(failed("create", to))?;
    for name in names(from)?.iter().filter(|name| !is_unfinished_snapshot(name)) {
        let (from, to) = (from.join(name), to.join(name));
        if from.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            fs::copy(&from, &to).map_err(failed("copy to", &to))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_copies_are_kept_and_unfinished_things_are_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(&folder.path().join("s")).unwrap();
        fs::write(store.sled_folder().join("snap.00FF.generating"), "half").unwrap();
        for _ in 0..12 {
            copy(&store).unwrap();
            fs::create_dir(store.aside_folder().join("copy.part")).unwrap();
        }
        fs::create_dir(store.aside_folder().join("mine")).unwrap();
        let last = copy(&store).unwrap();
        assert_eq!(names(&store.aside_folder()).unwrap(), ["copy-12", "copy-13", "mine"]);
        assert_eq!(last, store.aside_folder().join("copy-13"));
        let mut files = names(&store.sled_folder()).unwrap();
        files.retain(|name| !is_unfinished_snapshot(name));
        assert_eq!(names(&last).unwrap(), files);
    }
}
