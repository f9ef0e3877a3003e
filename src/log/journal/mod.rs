//! The journal: the copy of the events that is made durable first, and from which the other one,
//! sled, can be made again.
//!
//! Append-only segment files in the folder `journal/`, each named by the position of its first
//! event. At most one record is ever written and not yet durable, so a flawed record with another
//! one behind it is damage, and a flawed one at the end, which nothing else names, is a write that
//! was cut short.
//!
//! | file | what it holds |
//! |---|---|
//! | `record` | the bytes of segment headers and records: pure |
//! | `reader` | [`Reader`]: reading up to the acknowledged end, without a lock |
//! | `tail` | the end of the journal: finding it, appending to it |
//! | `mend` | putting one whole journal together from a damaged one and from sled |

pub(super) mod mend;
pub(super) mod reader;
pub mod record;
pub(super) mod tail;

use std::fs::File;
use std::path::{Path, PathBuf};

use super::LogError;
use super::error::Damage;
use super::files::{failed, is_there, names};
use super::plain::open_plain;
use crate::events::frame::Position;
pub use reader::Reader;

/// Length from which on a segment is not appended to.
const SEGMENT_FULL: u64 = 4 << 20;

/// Path of the segment whose first event is at `first`.
fn path(folder: &Path, first: Position) -> PathBuf {
    folder.join(format!("{:020}", first.0))
}

/// First positions of the segments in a folder, in order. No folder: no segments.
fn segments(folder: &Path) -> Result<Vec<Position>, LogError> {
    if !is_there(folder)? {
        return Ok(Vec::new());
    }
    let digits = |name: &String| name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit());
    let names = names(folder)?;
    let firsts = names.iter().filter(|name| digits(name)).filter_map(|name| name.parse().ok());
    Ok(firsts.map(Position).collect())
}

/// Opens a segment for reading.
fn open(folder: &Path, first: Position) -> Result<File, LogError> {
    let path = path(folder, first);
    open_plain(&path).map_err(failed("read", &path))
}

/// Damage to a segment.
fn damage(folder: &Path, first: Position, at: Position, found: impl Into<String>) -> LogError {
    Damage { position: Some(at), ..Damage::of_file(path(folder, first), found) }.into()
}
