//! The tables of a store, compared with what follows from its log: definitions, indices, rows.

use std::time::Duration;

use rusqlite::Connection;

use super::files::Files;
use super::query::fold;
use super::{ReadModel, Value, ViewError, database, model, schema, stamp};
use crate::events::frame::{Head, Position};
use crate::log::{EventLog, Store};
use crate::paths;

/// How long to wait for others who write.
const WAIT: Duration = Duration::from_secs(1);
/// Most differences that are told of one kind.
const TOLD: usize = 5;

/// How the file of a store compares with a model built from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The same definitions, indices and rows, up to this event.
    Same(Position),
    /// What differs, a line each.
    Differs(Vec<String>),
    /// There is none, or one that was only begun. The next query builds it.
    Absent,
    /// Another process has it for itself.
    Busy,
    /// It is no read model of this store. The next query replaces it.
    Unusable(String),
}

/// Folds a log up to `end` and compares the tables of its store on the way, as they are at this
/// moment, also while others record: one snapshot of the file holds both its stamp and its rows.
/// Nothing is changed.
///
/// # Errors
/// [`ViewError`] naming the first event that cannot be; [`LogError::RolledBack`](crate::log::LogError::RolledBack) if
/// the tables show what the log does not have.
pub fn compare<L: EventLog>(
    store: &Store,
    log: &mut L,
    end: Position,
) -> Result<Comparison, ViewError> {
    let files = Files::new(store.root());
    let mut built = ReadModel::in_memory(store.id())?;
    let snapshot = match files.newest()? {
        Some(generation) => Snapshot::take(&files, generation, store),
        None => Err(Comparison::Absent),
    };
    let compared = match snapshot {
        Ok(snapshot) => {
            fold(&mut built, log, snapshot.stamp.position)?;
            let reached = built.stamp()?;
            if reached != snapshot.stamp {
                return Err(model::rolled_back(snapshot.stamp, reached).into());
            }
            match snapshot.differences(built.connection())? {
                none if none.is_empty() => Comparison::Same(reached.position),
                some => Comparison::Differs(some),
            }
        }
        Err(instead) => instead,
    };
    fold(&mut built, log, end)?;
    Ok(compared)
}

/// A file, held still.
struct Snapshot {
    connection: Connection,
    stamp: Head,
}

impl Snapshot {
    fn take(files: &Files, generation: u64, store: &Store) -> Result<Self, Comparison> {
        let path = files.path(generation);
        let open = || -> Result<Option<Self>, ViewError> {
            let connection = database::open(&path, WAIT)?;
            connection.execute_batch("BEGIN")?;
            if model::is_empty(&connection)? {
                return Ok(None);
            }
            let stamp = stamp::read(&connection, store.id())?;
            Ok(Some(Self { connection, stamp }))
        };
        match open() {
            Ok(Some(snapshot)) => Ok(snapshot),
            Ok(None) => Err(Comparison::Absent),
            Err(_) if matches!(paths::is_there(&path), Ok(false)) => Err(Comparison::Absent),
            Err(error) if error.is_busy() => Err(Comparison::Busy),
            Err(error) => Err(Comparison::Unusable(error.to_string())),
        }
    }

    /// What differs from a model with the same stamp.
    fn differences(&self, built: &Connection) -> Result<Vec<String>, ViewError> {
        let mut found: Vec<String> = schema::defined_otherwise(&self.connection)?
            .iter()
            .map(|name| format!("{name} is not defined as by this program"))
            .collect();
        if !found.is_empty() {
            found.truncate(TOLD);
            return Ok(found);
        }
        found.extend(integrity(&self.connection).unwrap_or_else(|error| vec![error.to_string()]));
        for table in schema::base_tables() {
            let difference = rows(table, &self.connection, built);
            found.extend(difference.unwrap_or_else(|error| Some(format!("{table}: {error}"))));
        }
        Ok(found)
    }
}

/// What SQLite itself finds wrong: pages, and indices that are not what the rows say.
fn integrity(connection: &Connection) -> Result<Vec<String>, ViewError> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({TOLD})"))?;
    let lines = statement.query_map([], |row| row.get(0))?;
    let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// The first row of a table that differs, and how many do.
fn rows(table: &str, shown: &Connection, built: &Connection) -> Result<Option<String>, ViewError> {
    let sql = format!("SELECT * FROM \"{table}\"");
    let (mut shown, mut built) = (shown.prepare(&sql)?, built.prepare(&sql)?);
    let names: Vec<String> = shown.column_names().map(ToOwned::to_owned).collect();
    let (mut shown, mut built) = (shown.query([])?, built.query([])?);
    let (mut number, mut differ, mut first) = (0_u64, 0_u64, None);
    loop {
        let (shown, built) = (shown.next()?, built.next()?);
        if shown.is_none() && built.is_none() {
            break;
        }
        number += 1;
        let difference = match (shown, built) {
            (Some(shown), Some(built)) => {
                let mut difference = None;
                for (column, name) in names.iter().enumerate() {
                    let values: [Value; 2] =
                        [shown.get_ref(column)?.into(), built.get_ref(column)?.into()];
                    if difference.is_none() && !same(&values[0], &values[1]) {
                        let [shown, built] = values.map(|value| told(&value));
                        difference = Some(format!("{name} is {shown}, folded anew {built}"));
                    }
                }
                difference
            }
            (Some(_), None) => Some("it follows from no event".to_owned()),
            (None, _) => Some("it is missing".to_owned()),
        };
        if let Some(difference) = difference {
            differ += 1;
            first.get_or_insert(format!("{table}, row {number}: {difference}"));
        }
    }
    Ok(first.map(|first| match differ {
        1 => first,
        _ => format!("{first} ({differ} rows differ)"),
    }))
}

/// Equal bit for bit.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

fn told(value: &Value) -> String {
    let text = match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    };
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
