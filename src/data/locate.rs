//! Where data sets lie: `NAME` or a folder.

use std::path::PathBuf;

use super::DataError;

/// The folders in which named data sets are looked for.
#[derive(Debug, Clone, Default)]
pub struct DataHome {
    /// `$QTRAIL_DATA`: if set, fetched sets live here.
    pub told: Option<PathBuf>,
    /// The user cache, for example `~/.cache/qtrail/data`.
    pub cache: PathBuf,
}

/// A known data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// Where the system's package puts it.
    pub system: Option<&'static str>,
}

/// All known data sets.
pub const KNOWN: &[Known] = &[
    Known { name: "fashion-mnist", system: Some("/usr/share/datasets/fashion-mnist") },
    Known { name: "mnist", system: None },
];

/// A data set on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Its name, or that of its folder.
    pub name: String,
    /// The folder with its files.
    pub folder: PathBuf,
}

impl DataHome {
    /// The folder that holds, or would hold, a fetched data set.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.told.as_ref().unwrap_or(&self.cache).join(name)
    }

    /// Finds a data set by name or folder.
    ///
    /// # Errors
    /// [`DataError::NotFetched`] for a known one that is not here, [`DataError::Unknown`] else.
    pub fn locate(&self, name_or_folder: &str) -> Result<Located, DataError> {
        let Some(known) = KNOWN.iter().find(|known| known.name == name_or_folder) else {
            let folder = PathBuf::from(name_or_folder);
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
            return match (folder.is_dir().then(|| std::path::absolute(&folder)), name) {
                (Some(Ok(folder)), Some(name)) => Ok(Located { name, folder }),
                _ => Err(DataError::Unknown { name: name_or_folder.into(), known: known_names() }),
            };
        };
        let name = known.name.to_owned();
        let told = self.told.iter().map(|told| told.join(known.name));
        let cache = std::iter::once(self.cache.join(known.name));
        let system = known.system.iter().map(PathBuf::from);
        match told.chain(cache).chain(system).find(|folder| folder.is_dir()) {
            Some(folder) => Ok(Located { name, folder }),
            None => Err(DataError::NotFetched { name }),
        }
    }
}

/// The known names, for messages.
#[must_use]
pub fn known_names() -> String {
    KNOWN.iter().map(|known| known.name).collect::<Vec<_>>().join(", ")
}
