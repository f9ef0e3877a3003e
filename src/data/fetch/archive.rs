//! The files of a data set out of a tar archive compressed with gzip.
//!
//! Nothing is unpacked to a path that the archive names: a wanted file is known by the last part of
//! its name, written under its own one, and may be no longer than it is known to be. An archive that
//! names a file outside of itself, or has a wanted one twice, is refused.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;
use tar::Archive;

use crate::data::DataError;
use crate::data::catalog::KnownFile;
use crate::data::staging::write_synced;

const NAME: &str = "archive (.tar.gz)";
/// Room for headers, padding and files that are not wanted, in bytes.
const BESIDES: u64 = 16 << 20;

/// Unpacks the `wanted` files from the archive at `path` into the folder `to`.
pub(super) fn unpack(path: &Path, wanted: &[KnownFile], to: &Path) -> Result<(), DataError> {
    let wrong = |reason: String| DataError::malformed(path, NAME, reason);
    let damaged = |error: std::io::Error| wrong(format!("{error}; get it again"));
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let limit = wanted.iter().map(KnownFile::most).sum::<u64>() + BESIDES;
    let content = MultiGzDecoder::new(BufReader::new(file)).take(limit);
    let mut archive = Archive::new(content);
    let mut found = vec![false; wanted.len()];
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path().map_err(damaged)?.into_owned();
        if !name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(wrong(format!("it names a file outside of itself, {}", name.display())));
        }
        let Some(at) = wanted.iter().position(|file| name.ends_with(file.name)) else { continue };
        let (file, size) = (&wanted[at], entry.size());
        if !entry.header().entry_type().is_file() {
            return Err(wrong(format!("{} in it is no plain file", name.display())));
        }
        if std::mem::replace(&mut found[at], true) {
            return Err(wrong(format!("it has {} twice", file.name)));
        }
        if size > file.most() || (file.bytes > 0 && size != file.bytes) {
            let expected = file.most();
            return Err(wrong(format!(
                "{} in it has {size} bytes, expected {expected}",
                file.name
            )));
        }
        let to = to.join(file.name);
        write_synced(&mut entry, &to, file.most(), path, &mut |_| ()).map_err(
            |error| match error {
                DataError::Io { path: of, source, .. } if of == path => damaged(source),
                other => other,
            },
        )?;
        let written = to.metadata().map_err(DataError::io("read", &to))?.len();
        if written != size {
            return Err(wrong(format!("it ends within {}; get it again", file.name)));
        }
    }
    match found.iter().position(|found| !found) {
        Some(missing) => Err(wrong(format!("it has no {}", wanted[missing].name))),
        None => Ok(()),
    }
}
