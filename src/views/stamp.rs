//! The stamp: which store a file is of, and how far it shows the log.
//!
//! It is also a witness. A stamp beyond the end of the log proves that the log lost events, so a
//! decayed stamp must not pass for one: the row has a checksum of its own.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::fold::position;
use super::{ViewError, database, files, schema};
use crate::events::frame::{Chain, Head, Position};
use crate::log::store::StoreId;

/// How long to wait for others who write to a file whose stamp is read.
const WAIT: Duration = Duration::from_millis(200);

/// Stamps a new file: it shows nothing yet.
pub(super) fn insert(connection: &Connection, store: StoreId) -> Result<(), ViewError> {
    let (store, chain) = (store.to_string(), Chain::default().to_string());
    let checksum = checksum(&store, 0, &chain);
    connection.execute("INSERT INTO stamp VALUES (1, ?, 0, ?, ?)", (store, chain, checksum))?;
    Ok(())
}

/// From now on the file shows the log up to `head`.
pub(super) fn write(connection: &Connection, store: StoreId, head: Head) -> Result<(), ViewError> {
    let (store, at, chain) = (store.to_string(), position(head.position), head.chain.to_string());
    let checksum = checksum(&store, at, &chain);
    let sql = "UPDATE stamp SET position = ?, chain = ?, checksum = ?";
    connection.execute(sql, (at, chain, checksum))?;
    Ok(())
}

/// How far a file shows the log of `store`.
///
/// # Errors
/// [`ViewError::Unusable`] if there is no stamp, it does not fit its checksum, or it names another
/// store; [`ViewError::Sqlite`] if another process is in the way.
pub(super) fn read(connection: &Connection, store: StoreId) -> Result<Head, ViewError> {
    let row = connection
        .query_row("SELECT store, position, chain, checksum FROM stamp", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional();
    let row: Option<(String, i64, String, String)> = match row.map_err(ViewError::from) {
        Ok(row) => row,
        Err(error) if error.is_busy() || error.is_of_storage() => return Err(error),
        Err(_) => return Err(unusable(connection, "it is no read model")),
    };
    let Some((owner, at, chain, sum)) = row else {
        return Err(unusable(connection, "it has no stamp"));
    };
    let bytes = blake3::Hash::from_hex(&chain).ok().map(|bytes| Chain(*bytes.as_bytes()));
    match (u64::try_from(at), bytes) {
        (Ok(_), Some(_)) if sum != checksum(&owner, at, &chain) => {
            Err(unusable(connection, "its stamp does not fit its checksum"))
        }
        (Ok(_), Some(_)) if owner != store.to_string() => {
            Err(unusable(connection, "it belongs to another store"))
        }
        (Ok(at), Some(chain)) => Ok(Head { position: Position(at), chain }),
        _ => Err(unusable(connection, "its stamp is not one")),
    }
}

/// The stamp in a file of any program version, if it has one of this store. The file stays as it
/// is, and whatever is wrong with it is no error: it is then no witness.
pub(super) fn of_file(path: &Path, store: StoreId) -> Option<Head> {
    files::check_plain(path).ok()?;
    let read = |connection: Connection| {
        // A stamp of another definition could be anything, a view that never ends among it.
        schema::is_defined(&connection, "stamp").ok().filter(|defined| *defined)?;
        read(&connection, store).ok()
    };
    // With a write-ahead log the newest stamp is in there.
    let logged = files::has_wal(path).then(|| database::open_reading(path, WAIT).ok());
    let logged = logged.flatten().and_then(read);
    logged.or_else(|| database::open_immutable(path).ok().and_then(read))
}

fn unusable(connection: &Connection, found: &str) -> ViewError {
    let path = connection.path().filter(|path| !path.is_empty()).unwrap_or("in memory").into();
    ViewError::Unusable { path, found: found.to_owned() }
}

fn checksum(store: &str, position: i64, chain: &str) -> String {
    blake3::hash(format!("{store} {position} {chain}").as_bytes()).to_hex()[..16].to_owned()
}
