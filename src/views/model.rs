//! [`ReadModel`]: one file, the log position it shows, and applying events to it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::files::Files;
use super::fold::{Folder, position};
use super::mind::Digests;
use super::{ViewError, database};
use crate::events::frame::{Chain, Head, Position};
use crate::events::{Hash, Recorded};
use crate::log::store::StoreId;

/// How often opening is tried when other processes replace files at the same time.
const TRIES: u32 = 5;

/// What became of events that were to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The model shows them now.
    Done,
    /// It showed them already.
    Known,
    /// Another process writes to the model: they go with the next.
    Busy,
    /// They do not follow what the model shows; it has to read the log in between.
    Gap,
}

/// The read model of a store: a SQLite file that can take in events.
#[derive(Debug)]
pub struct ReadModel {
    connection: Connection,
    files: Files,
    generation: u64,
    store: StoreId,
    wait: Duration,
    folder: Folder,
    /// Which digests of Q-tables are compared.
    digests: Digests,
    /// What `folder` remembers is true for this stamp.
    folded: Head,
}

impl ReadModel {
    /// Opens the model in `folder`, or begins one. What is unusable is replaced by the next
    /// generation. `wait` is how long to wait for another process that writes to it.
    ///
    /// # Errors
    /// [`ViewError`] if the folder cannot be written, or another process keeps writing.
    pub fn open(folder: &Path, store: StoreId, wait: Duration) -> Result<Self, ViewError> {
        let files = Files::new(folder);
        for _ in 0..TRIES {
            let generation = match files.newest()? {
                Some(generation) => generation,
                None => files.create(None)?,
            };
            match Self::open_generation(&files, generation, store, wait) {
                Err(error) if error.is_unusable() => {
                    files.create(Some(generation))?;
                }
                // Somebody else has removed it in favour of a newer one.
                Err(_) if !files.path(generation).exists() => {}
                other => return other,
            }
        }
        let (path, found) = (folder.to_owned(), "each generation is damaged".to_owned());
        Err(ViewError::Unusable { path, found })
    }

    /// A model in memory, empty. It compares every digest of a Q-table: what is checked against it
    /// has to be right event by event.
    ///
    /// # Errors
    /// [`ViewError::Sqlite`] if there is no memory.
    pub fn in_memory(store: StoreId) -> Result<Self, ViewError> {
        let connection = database::in_memory()?;
        insert_stamp(&connection, store)?;
        let files = Files::new(Path::new(""));
        let (wait, folded, digests) = (Duration::ZERO, Head::default(), Digests::Each);
        let folder = Folder::new(digests);
        Ok(Self { connection, files, generation: 0, store, wait, folder, digests, folded })
    }

    /// An empty model in a file that nobody knows, to be built and then completed.
    pub(super) fn aside(
        path: &Path,
        files: &Files,
        (generation, store): (u64, StoreId),
    ) -> Result<Self, ViewError> {
        let connection = database::open_aside(path)?;
        insert_stamp(&connection, store)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Self::of(connection, files, (generation, store), Duration::ZERO))
    }

    /// Makes the indices of a model that was built aside, and closes it.
    pub(super) fn complete(self) -> Result<(), ViewError> {
        self.connection.execute_batch("COMMIT")?;
        database::create_indices(&self.connection)?;
        self.connection.close().map_err(|(_, error)| error.into())
    }

    fn open_generation(
        files: &Files,
        generation: u64,
        store: StoreId,
        wait: Duration,
    ) -> Result<Self, ViewError> {
        let mut connection = database::open(&files.path(generation), wait)?;
        if is_empty(&connection)? {
            begin(&mut connection, store)?;
        }
        let model = Self::existing(files, generation, store, wait)?;
        files.publish(generation);
        Ok(model)
    }

    /// Opens a generation that is there, and checks that it is of this store.
    pub(super) fn existing(
        files: &Files,
        generation: u64,
        store: StoreId,
        wait: Duration,
    ) -> Result<Self, ViewError> {
        let path = files.path(generation);
        let connection = database::open(&path, wait)?;
        check_owner(&connection, &path, store)?;
        Ok(Self::of(connection, files, (generation, store), wait))
    }

    fn of(
        connection: Connection,
        files: &Files,
        (generation, store): (u64, StoreId),
        wait: Duration,
    ) -> Self {
        let (files, folded, digests) = (files.clone(), Head::default(), Digests::Last);
        let folder = Folder::new(digests);
        Self { connection, files, generation, store, wait, folder, digests, folded }
    }

    /// Goes on with the next generation, empty: this one is not what it should be.
    ///
    /// # Errors
    /// As [`ReadModel::open`].
    pub fn replace(&mut self) -> Result<(), ViewError> {
        self.files.create(Some(self.generation))?;
        *self = Self::open(self.files.folder(), self.store, self.wait)?;
        Ok(())
    }

    /// Whether another process went on with a newer generation.
    ///
    /// # Errors
    /// [`ViewError::Io`] if the folder cannot be listed.
    pub fn is_superseded(&self) -> Result<bool, ViewError> {
        Ok(self.files.newest()?.is_some_and(|newest| newest > self.generation))
    }

    /// The end of the log as far as the model shows it.
    ///
    /// # Errors
    /// [`ViewError`] if the file cannot be read.
    pub fn stamp(&self) -> Result<Head, ViewError> {
        read_stamp(&self.connection)
    }

    /// Takes in events in the order of the log, in one transaction; `head` is the end of the log
    /// after them. Those the model shows already are left out.
    ///
    /// # Errors
    /// [`ViewError`] if the events cannot be (nothing is changed then), or the file is unusable.
    pub fn apply(&mut self, events: &[Recorded], head: Head) -> Result<Applied, ViewError> {
        let db = &self.connection;
        // Aside all of it is one transaction, which has begun.
        let transaction = match db.is_autocommit() {
            false => None,
            true => match Transaction::new_unchecked(db, TransactionBehavior::Immediate) {
                Ok(transaction) => Some(transaction),
                Err(error) => match ViewError::from(error) {
                    error if error.is_busy() => return Ok(Applied::Busy),
                    error => return Err(error),
                },
            },
        };
        let stamp = read_stamp(db)?;
        let known = events.partition_point(|event| event.position <= stamp.position);
        let new = &events[known..];
        let Some(first) = new.first() else {
            return match stamp.position == head.position && stamp.chain != head.chain {
                true => Err(foreign(&self.files, self.generation)),
                false => Ok(Applied::Known),
            };
        };
        if first.position != stamp.position.next() {
            return Ok(Applied::Gap);
        }
        if stamp != self.folded {
            self.folder = Folder::new(self.digests);
        }
        // Until the commit, what the folder remembers is not what the tables hold.
        let mut folder = std::mem::replace(&mut self.folder, Folder::new(self.digests));
        folder.fold(db, new)?;
        let sql = "UPDATE stamp SET position = ?, chain = ?";
        db.execute(sql, (position(head.position), head.chain.to_string()))?;
        if let Some(transaction) = transaction {
            transaction.commit()?;
        }
        (self.folder, self.folded) = (folder, head);
        Ok(Applied::Done)
    }

    /// The error that this model is of another log.
    pub(super) fn foreign(&self) -> ViewError {
        foreign(&self.files, self.generation)
    }

    /// Which file it is, among those of its schema.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Gives up writing.
    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }
}

fn foreign(files: &Files, generation: u64) -> ViewError {
    let found = "it shows another log".to_owned();
    ViewError::Unusable { path: files.path(generation), found }
}

fn is_empty(connection: &Connection) -> Result<bool, ViewError> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Makes the tables, unless another process was faster.
fn begin(connection: &mut Connection, store: StoreId) -> Result<(), ViewError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_empty(&transaction)? {
        database::create_tables(&transaction)?;
        insert_stamp(&transaction, store)?;
    }
    Ok(transaction.commit()?)
}

fn insert_stamp(connection: &Connection, store: StoreId) -> Result<(), ViewError> {
    let chain = Chain::default().to_string();
    connection.execute("INSERT INTO stamp VALUES (1, ?, 0, ?)", (store.to_string(), chain))?;
    Ok(())
}

fn check_owner(connection: &Connection, path: &Path, store: StoreId) -> Result<(), ViewError> {
    let unusable = |found: &str| {
        let (path, found) = (path.to_owned(), found.to_owned());
        ViewError::Unusable { path, found }
    };
    let read = connection.query_row("SELECT store FROM stamp", [], |row| row.get(0)).optional();
    let owner: Option<String> = match read.map_err(ViewError::from) {
        Ok(owner) => owner,
        Err(error) if error.is_busy() => return Err(error),
        Err(_) => return Err(unusable("it is no read model")),
    };
    match owner {
        Some(owner) if owner == store.to_string() => Ok(()),
        Some(_) => Err(unusable("it belongs to another store")),
        None => Err(unusable("it has no stamp")),
    }
}

/// The stamp; a stamp that is none reads as unusable.
pub(super) fn read_stamp(connection: &Connection) -> Result<Head, ViewError> {
    let (position, chain): (i64, String) =
        connection.query_row("SELECT position, chain FROM stamp", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let chain = blake3::Hash::from_hex(&chain).ok().map(|bytes| Chain(*bytes.as_bytes()));
    match (u64::try_from(position), chain) {
        (Ok(position), Some(chain)) => Ok(Head { position: Position(position), chain }),
        _ => {
            let path = connection.path().unwrap_or("in memory").into();
            Err(ViewError::Unusable { path, found: "its stamp is not one".to_owned() })
        }
    }
}

impl ReadModel {
    /// A hash over all rows of all base tables: equal for two models that hold the same.
    ///
    /// # Errors
    /// [`ViewError`] if the file cannot be read.
    pub fn fingerprint(&self) -> Result<Hash, ViewError> {
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table'
                     AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name";
        let mut tables = self.connection.prepare(sql)?;
        let tables: Vec<String> =
            tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut hasher = blake3::Hasher::new();
        for table in tables {
            self.hash_rows(&table, &mut hasher)?;
        }
        Ok(Hash(*hasher.finalize().as_bytes()))
    }

    /// What its indices are.
    #[cfg(test)]
    pub(super) fn indices(&self) -> Result<Vec<String>, ViewError> {
        let sql =
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL ORDER BY name";
        let mut statement = self.connection.prepare(sql)?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    fn hash_rows(&self, table: &str, hasher: &mut blake3::Hasher) -> Result<(), ViewError> {
        let mut statement = self.connection.prepare(&format!("SELECT * FROM \"{table}\""))?;
        let width = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            hasher.update(table.as_bytes());
            for column in 0..width {
                // `Debug` of a float reads back as the same number: bits, not roundings.
                let value = database::Value::from(row.get_ref(column)?);
                hasher.update(format!("\t{value:?}").as_bytes());
            }
        }
        Ok(())
    }
}
