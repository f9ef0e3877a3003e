//! Where the events come from that are folded: the log of a store, to be read.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::ViewError;
use super::files::failed;
use super::query::is_writable;
use crate::log::{Options, SledLog, Store};

/// The log of a store. A store that cannot be written to is copied first, because the engine
/// writes when it opens; the folder of the copy has to be kept.
pub(super) fn open(
    store: &Store,
    options: &Options,
) -> Result<(SledLog, Option<TempDir>), ViewError> {
    if is_writable(store.root()) {
        return Ok((SledLog::outside(store.clone(), options.clone()), None));
    }
    let temporary = temporary()?;
    let root = temporary.path().join("store");
    copy_store(store, &root)?;
    Ok((SledLog::outside(Store::open(&root)?, options.clone()), Some(temporary)))
}

/// A temporary folder.
pub(super) fn temporary() -> Result<TempDir, ViewError> {
    tempfile::Builder::new()
        .prefix("qtrail-")
        .tempdir()
        .map_err(failed("create", Path::new("a temporary folder")))
}

/// Copies what is needed to read the log.
fn copy_store(store: &Store, to: &Path) -> Result<(), ViewError> {
    for folder in ["sled", "lock", "artifacts"] {
        let folder = to.join(folder);
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
    }
    for name in ["STORE", "HEAD"] {
        let from = store.root().join(name);
        fs::copy(&from, to.join(name)).map_err(failed("copy", &from))?;
    }
    copy_folder(&store.sled_folder(), &to.join("sled"))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), ViewError> {
    fs::create_dir_all(to).map_err(failed("create", to))?;
    for entry in fs::read_dir(from).map_err(failed("list", from))? {
        let path = entry.map_err(failed("list", from))?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_folder(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name)).map_err(failed("copy", &path))?;
        }
    }
    Ok(())
}
