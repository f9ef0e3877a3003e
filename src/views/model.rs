//! [`ReadModel`]: one file, the log position it shows, and applying events to it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::files::Files;
use super::fold::Tables;
use super::mind::Digests;
use super::{ViewError, database, schema, stamp};
use crate::events::frame::Head;
use crate::events::{Hash, Recorded};
use crate::log::LogError;
use crate::log::store::StoreId;
use crate::paths;

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
    tables: Tables,
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
                Err(_) if matches!(paths::is_there(&files.path(generation)), Ok(false)) => {}
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
        Self::without_name(database::in_memory()?, store, Digests::Each)
    }

    /// An empty model for one answer, in memory as long as it is small.
    pub(super) fn temporary(store: StoreId) -> Result<Self, ViewError> {
        Self::without_name(database::temporary()?, store, Digests::Last)
    }

    fn without_name(
        connection: Connection,
        store: StoreId,
        digests: Digests,
    ) -> Result<Self, ViewError> {
        stamp::insert(&connection, store)?;
        let files = Files::new(Path::new(""));
        let model = Self::of(connection, &files, (0, store), Duration::ZERO);
        Ok(Self { tables: Tables::new(digests), digests, ..model })
    }

    /// An empty model in a file that nobody knows, to be built and then completed.
    pub(super) fn aside(
        path: &Path,
        files: &Files,
        (generation, store): (u64, StoreId),
    ) -> Result<Self, ViewError> {
        let connection = database::open_aside(path)?;
        stamp::insert(&connection, store)?;
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
        let path = files.path(generation);
        let mut connection = database::open(&path, wait)?;
        let begun = !is_empty(&connection)?;
        if begun {
            check(&connection, &path, store)?;
        }
        database::make_shared(&connection)?;
        if !begun {
            begin(&mut connection, store)?;
        }
        files.publish(generation);
        Ok(Self::of(connection, files, (generation, store), wait))
    }

    fn of(
        connection: Connection,
        files: &Files,
        (generation, store): (u64, StoreId),
        wait: Duration,
    ) -> Self {
        let (files, folded, digests) = (files.clone(), Head::default(), Digests::Last);
        let tables = Tables::new(digests);
        Self { connection, files, generation, store, wait, tables, digests, folded }
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

    /// Removes older generations. One that has shown more than this one stays: should the log have
    /// lost events, it is the evidence.
    pub(super) fn retire_older(&self) -> Result<(), ViewError> {
        let shown = self.stamp()?.position;
        self.files.retire(self.generation, |path| {
            stamp::of_file(path, self.store).is_none_or(|stamp| stamp.position <= shown)
        });
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
        stamp::read(&self.connection, self.store)
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
        let stamp = stamp::read(db, self.store)?;
        let known = events.partition_point(|event| event.position <= stamp.position);
        let new = &events[known..];
        let Some(first) = new.first() else {
            return match stamp.position == head.position && stamp.chain != head.chain {
                true => Err(rolled_back(stamp, head).into()),
                false => Ok(Applied::Known),
            };
        };
        if first.position != stamp.position.next() {
            return Ok(Applied::Gap);
        }
        if stamp != self.folded {
            self.tables = Tables::new(self.digests);
        }
        // Until the commit, what the fold remembers is not what the tables hold.
        let mut tables = std::mem::replace(&mut self.tables, Tables::new(self.digests));
        tables.fold(db, new)?;
        stamp::write(db, self.store, head)?;
        if let Some(transaction) = transaction {
            transaction.commit()?;
        }
        (self.tables, self.folded) = (tables, head);
        Ok(Applied::Done)
    }

    /// The error that another process has changed the file under this one.
    pub(super) fn changed(&self) -> ViewError {
        let found = "it was changed while events were folded in".to_owned();
        ViewError::Unusable { path: self.files.path(self.generation), found }
    }

    /// Which file it is, among those of its schema.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The store it is of.
    pub(super) fn store(&self) -> StoreId {
        self.store
    }

    /// Gives up writing; says which file it is, unless it has no name.
    pub(super) fn into_parts(self) -> (Connection, Option<(Files, u64)>) {
        let named = self.generation > 0;
        (self.connection, named.then_some((self.files, self.generation)))
    }

    /// What it is asked by.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// The error that a file has shown what the log does not have.
pub(super) fn rolled_back(shown: Head, log: Head) -> LogError {
    LogError::RolledBack { shown: shown.position, log: log.position }
}

/// Whether nobody has made tables in a file yet.
pub(super) fn is_empty(connection: &Connection) -> Result<bool, ViewError> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Makes the tables, unless another process was faster.
fn begin(connection: &mut Connection, store: StoreId) -> Result<(), ViewError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_empty(&transaction)? {
        database::create_tables(&transaction)?;
        stamp::insert(&transaction, store)?;
    }
    Ok(transaction.commit()?)
}

/// Checks that a file is of this store, and that all in it is defined as this program does.
///
/// # Errors
/// [`ViewError::Unusable`] if not.
pub(super) fn check(connection: &Connection, path: &Path, store: StoreId) -> Result<(), ViewError> {
    let otherwise = schema::defined_otherwise(connection)?;
    if otherwise.is_empty() {
        return stamp::read(connection, store).map(drop);
    }
    let mut names = otherwise;
    names.truncate(3);
    let found = format!("not defined as by this program: {}", names.join(", "));
    Err(ViewError::Unusable { path: path.to_owned(), found })
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
