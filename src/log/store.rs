//! The store: one folder. Creating it whole or not at all, recognising it, the names inside.
//!
//! Whether a folder is a store, whole, and not too new, is decided here from the text file `STORE`
//! alone, before sled is opened, because opening sled writes.

use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::artifacts::Artifacts;
use super::error::Damage;
use super::files::{
    failed, from_hex, hex, is_there, make_folder, sync_folder, sync_tree, write_new,
};
use super::head::{self, HeadFile, Reading};
use super::leftovers::{Purpose, Sibling};
use super::plain::read_plain;
use super::{Database, LogError};
use crate::paths;

/// The store format this program writes, and the newest it reads. 0 means: not frozen yet.
pub const FORMAT: u32 = 0;
/// The oldest program version that reads what this one writes.
pub const MINIMUM_PROGRAM: &str = "0.1.0";

/// The folders of a store.
const FOLDERS: [&str; 6] = ["journal", "sled", "lock", "artifacts", "artifacts/staging", "aside"];

/// A random name that tells stores apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A store that exists, is whole as far as `STORE` tells, and is not too new.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    id: StoreId,
    format: u32,
}

/// A store to try something in, which is gone when this is dropped.
#[derive(Debug)]
pub struct Aside {
    /// The store.
    pub store: Store,
    _sibling: Sibling,
}

impl Store {
    /// Opens the store at `root`. Reads `STORE`, nothing else, and writes nothing.
    ///
    /// # Errors
    /// [`LogError::Missing`], [`LogError::Damaged`] or [`LogError::TooNew`].
    pub fn open(root: &Path) -> Result<Self, LogError> {
        let root = settled(root)?;
        let path = root.join("STORE");
        let bytes = match read_plain(&path) {
            Ok(bytes) => bytes,
            Err(error) if absent(&error) => return Err(no_store(root)),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let card = parse(&bytes).map_err(|found| Damage::of_file(path, found))?;
        if card.format > FORMAT || !runs(&card.minimum) {
            let Card { format, minimum, .. } = card;
            return Err(LogError::TooNew { path: root, format, minimum });
        }
        let Some(id) = card.id else {
            let found = "STORE has no readable id";
            return Err(Damage::of_file(root.join("STORE"), found).into());
        };
        let store = Self { root, id, format: card.format };
        store.refuse_links()?;
        Ok(store)
    }

    /// Opens the store at `root` if one is there. One that cannot be read is there all the same.
    ///
    /// # Errors
    /// As [`Store::open`], but for [`LogError::Missing`].
    pub fn open_if_there(root: &Path) -> Result<Option<Self>, LogError> {
        match Self::open(root) {
            Err(LogError::Missing { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// A store may come from somebody else. A folder in it that is a link could make this program
    /// write anywhere.
    fn refuse_links(&self) -> Result<(), LogError> {
        for name in FOLDERS {
            let path = self.root.join(name);
            match fs::symlink_metadata(&path) {
                Ok(there) if !there.is_dir() => return Err(LogError::NotPlain { path }),
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed("read", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Creates a store at `root`, whole or not at all, or opens the one that is there.
    ///
    /// It is made in a folder beside `root` and renamed when all of it is on disk. Two processes
    /// may do this at once: who loses the rename opens the winner's. What an interrupted creation
    /// leaves (`.NAME.creating-…`) counts for nothing, and the next one beside it removes it.
    ///
    /// # Errors
    /// [`LogError::Occupied`] if `root` holds other files; otherwise as [`Store::open`], or what
    /// the file system says.
    pub fn open_or_create(root: &Path) -> Result<Self, LogError> {
        if let Some(store) = Self::open_if_there(root)? {
            return Ok(store);
        }
        let root = settled(root)?;
        let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
            return Err(LogError::Occupied { path: root });
        };
        make_folder(parent)?;
        // Unless it is renamed, it goes when it is dropped.
        let sibling = Sibling::make(parent, name, Purpose::Creating)?;
        furnish(sibling.path(), sibling.id())?;
        publish(sibling.path(), &root)?;
        Self::open(&root).map_err(|error| match error {
            LogError::Missing { path } => LogError::Occupied { path },
            other => other,
        })
    }

    /// An empty store in a hidden folder near `root`, to try something in before there is a store at
    /// `root`. No folder is made for it but its own; a killed process leaves `.NAME.creating-…`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn aside(root: &Path) -> Result<Aside, LogError> {
        let root = settled(root)?;
        let mut near = None;
        for folder in root.ancestors().skip(1) {
            if paths::is_folder(folder).map_err(failed("look at", folder))? {
                near = Some(folder);
                break;
            }
        }
        let (Some(parent), Some(name)) = (near, root.file_name()) else {
            return Err(LogError::Occupied { path: root });
        };
        let sibling = Sibling::make(parent, name, Purpose::Creating)?;
        furnish(sibling.path(), sibling.id())?;
        let store = Self::open(sibling.path())?;
        Ok(Aside { store, _sibling: sibling })
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The random id given at creation.
    #[must_use]
    pub const fn id(&self) -> StoreId {
        self.id
    }

    /// The store's format.
    #[must_use]
    pub const fn format(&self) -> u32 {
        self.format
    }

    /// How far the log was acknowledged, read without a lock.
    ///
    /// # Errors
    /// [`LogError::Damaged`] if `HEAD` cannot be read.
    pub fn read_head(&self) -> Result<Reading, LogError> {
        head::read(&self.head_path())
    }

    /// The artifacts of this store.
    #[must_use]
    pub fn artifacts(&self) -> Artifacts {
        Artifacts::new(self.root.join("artifacts"))
    }

    /// Path of `HEAD`.
    #[must_use]
    pub fn head_path(&self) -> PathBuf {
        self.root.join("HEAD")
    }

    /// Folder of the lock files.
    #[must_use]
    pub fn lock_folder(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Folder of the journal's segments.
    #[must_use]
    pub fn journal_folder(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Folder of sled's own files.
    #[must_use]
    pub fn sled_folder(&self) -> PathBuf {
        self.root.join("sled")
    }

    /// Folder of damaged files that were replaced.
    #[must_use]
    pub fn aside_folder(&self) -> PathBuf {
        self.root.join("aside")
    }
}

/// An absolute path, symbolic links followed where it exists: what the store is called from now
/// on, wherever the process goes.
pub(super) fn settled(root: &Path) -> Result<PathBuf, LogError> {
    fs::canonicalize(root).or_else(|_| std::path::absolute(root)).map_err(failed("find", root))
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// What a folder without `STORE` is: a damaged store, a folder of other things, or nothing.
fn no_store(root: PathBuf) -> LogError {
    let there = |name: &str| is_there(&root.join(name));
    let is_store = there("HEAD").and_then(|head| Ok(head && (there("journal")? || there("sled")?)));
    match is_store {
        Ok(true) => Damage::of_file(root.join("STORE"), "STORE is missing").into(),
        Ok(false) => LogError::Missing { path: root },
        Err(error) => error,
    }
}

/// Makes all of an empty store in the empty folder `at`, durable but for the folder's own name.
pub(super) fn furnish(at: &Path, id: StoreId) -> Result<(), LogError> {
    for name in ["journal", "sled", "lock", "artifacts"] {
        make_folder(&at.join(name))?;
    }
    for name in ["turn", "log"] {
        write_new(&at.join("lock").join(name), b"")?;
    }
    Database::create(&at.join("sled"))?;
    HeadFile::create(&at.join("HEAD"))?;
    write_new(&at.join("STORE"), card(id).as_bytes())?;
    sync_tree(at)
}

/// Gives the finished folder its name. `false`: something else has that name by now.
pub(super) fn publish(sibling: &Path, root: &Path) -> Result<bool, LogError> {
    match fs::rename(sibling, root) {
        Ok(()) => {}
        Err(error) if occupied(&error) => return Ok(false),
        Err(error) => return Err(failed("create", root)(error)),
    }
    root.parent().map_or(Ok(()), sync_folder)?;
    Ok(true)
}

fn occupied(error: &io::Error) -> bool {
    use ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | NotADirectory)
}

pub(super) fn random_id() -> Result<StoreId, LogError> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(failed("read", path))?;
    Ok(StoreId(bytes))
}

/// A name that no other call gets, on this or another machine.
///
/// # Errors
/// [`LogError::Io`] if the system has no random numbers.
pub fn random_name() -> Result<String, LogError> {
    Ok(hex(&random_id()?.0[..8]))
}

/// The text of `STORE`.
fn card(id: StoreId) -> String {
    let text = format!("qtrail-store {FORMAT}\nid {id}\nminimum-program {MINIMUM_PROGRAM}\n");
    let crc = crc32fast::hash(text.as_bytes());
    format!("{text}crc32 {crc:08x}\n")
}

/// What `STORE` says. Of a newer format only the lines that every format has are read.
struct Card {
    format: u32,
    minimum: String,
    id: Option<StoreId>,
}

fn parse(bytes: &[u8]) -> Result<Card, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "STORE is not text")?;
    let body = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
    let (lines, last) = text.split_at(body);
    if last != format!("crc32 {:08x}\n", crc32fast::hash(lines.as_bytes())) {
        return Err("STORE does not fit its checksum");
    }
    let first = lines.lines().next().and_then(|line| line.strip_prefix("qtrail-store "));
    let format = first.ok_or("STORE does not begin with qtrail-store")?;
    let value = |name: &str| lines.lines().find_map(|line| line.strip_prefix(name));
    Ok(Card {
        format: format.parse().map_err(|_| "the format in STORE is not a number")?,
        minimum: value("minimum-program ").ok_or("STORE lacks minimum-program")?.to_owned(),
        id: value("id ").and_then(from_hex).map(StoreId),
    })
}

/// Whether this program is at least version `minimum`. What cannot be read is taken as newer.
fn runs(minimum: &str) -> bool {
    let parts = |version: &str| -> Option<Vec<u32>> {
        version.split('.').map(|part| part.parse().ok()).collect()
    };
    match (parts(minimum), parts(env!("CARGO_PKG_VERSION"))) {
        (Some(minimum), Some(running)) => minimum <= running,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kind;

    fn with_crc(text: &str) -> String {
        format!("{text}crc32 {:08x}\n", crc32fast::hash(text.as_bytes()))
    }

    fn store_says(text: &str) -> Result<Store, LogError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("STORE"), text).unwrap();
        Store::open(folder.path())
    }

    #[test]
    fn a_store_to_try_something_in_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("not/yet/store");
        let aside = Store::aside(&root).unwrap();
        assert!(aside.store.read_head().is_ok() && !crate::paths::is_there(&root).unwrap());
        assert_eq!(aside.store.root().parent(), Some(&*folder.path().canonicalize().unwrap()));
        drop(aside);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_created_store_opens_with_the_same_id() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("deeper/store");
        let made = Store::open_or_create(&root).unwrap();
        let opened = Store::open(&root).unwrap();
        assert_eq!((made.id(), made.format()), (opened.id(), FORMAT));
        assert_eq!(Store::open_or_create(&root).unwrap().id(), made.id());
        assert_eq!(fs::read_dir(root.parent().unwrap()).unwrap().count(), 1, "no leftovers");
    }

    #[test]
    fn an_empty_folder_becomes_a_store_and_one_with_files_does_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Store::open(folder.path()), Err(LogError::Missing { .. })));
        let (empty, full) = (folder.path().join("empty"), folder.path().join("full"));
        fs::create_dir_all(&empty).unwrap();
        Store::open_or_create(&empty).unwrap();
        fs::create_dir_all(full.join("thesis")).unwrap();
        assert!(matches!(Store::open_or_create(&full), Err(LogError::Occupied { .. })));
        assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
        fs::write(folder.path().join("file"), "").unwrap();
        let error = Store::open_or_create(&folder.path().join("file")).unwrap_err();
        assert!(matches!(error, LogError::Occupied { .. }), "{error}");
    }

    #[test]
    fn every_flipped_bit_of_store_is_noticed() {
        let text = card(StoreId([5; 16])).into_bytes();
        assert!(parse(&text).is_ok());
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&damaged).is_err(), "bit {bit} went unnoticed");
        }
        for length in 0..text.len() {
            assert!(parse(&text[..length]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn a_newer_store_says_which_program_it_needs() {
        let text = with_crc("qtrail-store 7\nminimum-program 3.1.0\nsomething new\n");
        let error = store_says(&text).unwrap_err();
        assert_eq!(error.kind(), Kind::TooNew);
        assert!(error.to_string().contains("needs qtrail 3.1.0"), "{error}");
        let text = with_crc("qtrail-store 0\nid 00\nminimum-program 99.0.0\n");
        assert_eq!(store_says(&text).unwrap_err().kind(), Kind::TooNew);
    }

    #[test]
    fn a_store_without_its_card_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(&folder.path().join("s")).unwrap();
        fs::remove_file(store.root().join("STORE")).unwrap();
        assert_eq!(Store::open(store.root()).unwrap_err().kind(), Kind::Damaged);
        assert_eq!(Store::open_or_create(store.root()).unwrap_err().kind(), Kind::Damaged);
        assert_eq!(store_says("").unwrap_err().kind(), Kind::Damaged);
    }

    #[test]
    fn the_loser_of_a_creation_opens_the_winners_store() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let makers: Vec<_> = (0..4)
            .map(|_| {
                let root = root.clone();
                std::thread::spawn(move || Store::open_or_create(&root).unwrap().id())
            })
            .collect();
        let ids: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no leftovers");
    }

    #[test]
    fn what_an_interrupted_creation_leaves_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        // Of a store of another name, by a process that was killed.
        let sibling = folder.path().join(format!(".other.creating-17-{}", StoreId([0; 16])));
        fs::create_dir(&sibling).unwrap();
        furnish(&sibling, StoreId([0; 16])).unwrap();
        fs::remove_file(sibling.join("STORE")).unwrap();
        assert!(matches!(Store::open(&root), Err(LogError::Missing { .. })));
        Store::open_or_create(&root).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no leftovers");
    }
}
