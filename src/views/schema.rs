//! `schema/tables.sql` as the program sees it.
//!
//! One text is the schema, its documentation, and the list of result tables with their questions,
//! order and units: what people read cannot differ from what runs.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension};

use super::{FOLD_VERSION, Value, ViewError};

/// The text of `schema/tables.sql`.
pub const TABLES_SQL: &str = include_str!("../../schema/tables.sql");

/// Where the views begin that are not in the file.
const TEMPORARY: &str = "temporary result tables\n";

/// What is in the file.
pub(super) fn permanent() -> &'static str {
    TABLES_SQL.split_once(TEMPORARY).map_or(TABLES_SQL, |(file, _)| {
        // The line that says so begins with dashes.
        &file[..file.rfind('\n').unwrap_or(file.len())]
    })
}

/// What is made whenever the file is opened.
pub(super) fn temporary() -> &'static str {
    TABLES_SQL.split_once(TEMPORARY).map_or("", |(_, temporary)| temporary)
}

/// The statement that makes a view of the file.
pub(super) fn statement(view: &str) -> &'static str {
    let start = permanent().find(&format!("CREATE VIEW {view} AS\n"));
    let text = start.map_or("", |start| &permanent()[start..]);
    text.split_inclusive(";\n").next().unwrap_or_default()
}

/// What defines the tables, indices and views of the file: by name, as SQLite keeps it.
fn definitions() -> &'static BTreeMap<&'static str, String> {
    static DEFINITIONS: LazyLock<BTreeMap<&'static str, String>> = LazyLock::new(|| {
        let mut found: BTreeMap<_, _> = permanent()
            .match_indices("\nCREATE ")
            .filter_map(|(start, _)| {
                let text = &permanent()[start + 1..];
                let text = text.split_once(";\n").map_or(text, |(text, _)| text);
                let words = text.split_whitespace().skip(1);
                let name =
                    words.skip_while(|word| ["UNIQUE", "TABLE", "INDEX", "VIEW"].contains(word));
                Some((name.take(1).next()?, text.to_owned()))
            })
            .collect();
        // SQLite writes some of them itself: it is asked what it writes.
        found.extend(written_by_sqlite(&found).unwrap_or_default());
        found
    });
    &DEFINITIONS
}

/// What defines the tables that are made as copies of others, and those of `ANALYZE`.
fn written_by_sqlite(
    texts: &BTreeMap<&'static str, String>,
) -> rusqlite::Result<Vec<(&'static str, String)>> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch("ANALYZE sqlite_schema")?;
    for name in ["episode", "trial"].iter().chain(&COPIES) {
        connection.execute_batch(texts.get(name).map_or("", String::as_str))?;
    }
    let mut made = Vec::new();
    for name in COPIES.into_iter().chain(STATISTICS) {
        let text = connection.query_row(DEFINITION, [name], |row| row.get(0)).optional()?;
        made.extend(text.map(|text| (name, text)));
    }
    Ok(made)
}

/// The tables that are made as copies of others.
const COPIES: [&str; 2] = ["quarantined_episode", "quarantined_trial"];
/// The tables that `ANALYZE` may make, depending on how SQLite was built.
const STATISTICS: [&str; 2] = ["sqlite_stat1", "sqlite_stat4"];

/// What SQLite keeps of a name.
const DEFINITION: &str = "SELECT sql FROM sqlite_master WHERE name = ?";

/// Whether a file defines a name as this program does.
///
/// # Errors
/// [`ViewError::Sqlite`] if the file cannot be read.
pub(super) fn is_defined(connection: &Connection, name: &str) -> Result<bool, ViewError> {
    let found = connection.query_row(DEFINITION, [name], |row| Ok(told(&row.get_ref(0)?.into())));
    Ok(found.optional()?.is_some_and(|text| definitions().get(name) == Some(&text)))
}

/// Names that a file defines otherwise than this program, lacks, or has besides: all that answers
/// follow from must be what the text says, not what a file says.
///
/// # Errors
/// [`ViewError::Sqlite`] if the file cannot be read.
pub(super) fn defined_otherwise(connection: &Connection) -> Result<Vec<String>, ViewError> {
    // Indices without a text are part of a table's own definition.
    let sql = "SELECT name, sql FROM sqlite_master WHERE sql NOT NULL";
    let mut statement = connection.prepare(sql)?;
    // Whatever is there is read as text: bytes that are none differ.
    let rows = statement.query_map([], |row| {
        let text = |column| row.get_ref(column).map(|value| told(&value.into()));
        Ok((text(0)?, text(1)?))
    })?;
    let mut missing: Vec<&str> = definitions().keys().copied().collect();
    let mut wrong: Vec<String> = Vec::new();
    for row in rows {
        let (name, text) = row?;
        missing.retain(|wanted| *wanted != name);
        if definitions().get(name.as_str()) != Some(&text) {
            wrong.push(name);
        }
    }
    wrong.extend(missing.into_iter().map(ToOwned::to_owned));
    wrong.sort();
    Ok(wrong)
}

fn told(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// The base tables of the file.
pub(super) fn base_tables() -> impl Iterator<Item = &'static str> {
    let tables = definitions().iter().filter(|(_, text)| text.starts_with("CREATE TABLE "));
    tables.map(|(name, _)| *name).filter(|name| !STATISTICS.contains(name))
}

/// A result table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The question it answers.
    pub question: &'static str,
    /// Its order unless told otherwise: columns, with `-` if descending.
    pub order: Vec<&'static str>,
    /// Most rows shown unless told otherwise.
    pub limit: Option<u64>,
    /// Its columns, in order.
    pub columns: Vec<Column>,
}

/// A column of a result table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its unit, if it has one: `bytes`; `id` for texts that sort by their number.
    pub unit: Option<&'static str>,
    /// What it is.
    pub what: &'static str,
}

impl Table {
    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// All result tables, in the order of the file.
#[must_use]
pub fn tables() -> &'static [Table] {
    static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| parse(TABLES_SQL));
    &TABLES
}

/// The result table of this name.
#[must_use]
pub fn table(name: &str) -> Option<&'static Table> {
    tables().iter().find(|table| table.name == name)
}

/// Names one schema and one way of filling it: eight hexadecimal digits.
pub(super) fn hash() -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(TABLES_SQL.as_bytes());
    hasher.update(&FOLD_VERSION.to_le_bytes());
    hasher.finalize().to_hex()[..8].to_owned()
}

fn parse(text: &'static str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    // Columns are those of the outermost SELECT: lines indented by two, after the last `SELECT`
    // that stands at the margin.
    let mut inside = false;
    for line in text.lines() {
        if let Some((name, question)) =
            line.strip_prefix("-- table ").and_then(|rest| rest.split_once(": "))
        {
            let (order, columns) = (Vec::new(), Vec::new());
            tables.push(Table { name, question, order, limit: None, columns });
            inside = false;
            continue;
        }
        let Some(table) = tables.last_mut() else { continue };
        if let Some(order) = line.strip_prefix("-- order: ") {
            table.order = order.split(", ").collect();
        } else if let Some(limit) = line.strip_prefix("-- limit: ") {
            table.limit = limit.parse().ok();
        } else if line == "SELECT" {
            inside = true;
        } else if !line.starts_with("  ") {
            inside = false;
        } else if inside {
            table.columns.extend(column(line));
        }
    }
    tables
}

fn column(line: &'static str) -> Option<Column> {
    let (code, what) = line.split_once(" -- ")?;
    let (_, name) = code.rsplit_once("AS ")?;
    let name = name.trim_end_matches(',').trim_matches('"');
    let (unit, what) = match what.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((unit, what)) => (Some(unit), what),
        None => (None, what),
    };
    Some(Column { name, unit, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::database;

    /// What the text says of columns is what SQLite finds.
    #[test]
    fn columns_are_documented_and_in_order() {
        let connection = database::in_memory().unwrap();
        database::make_temporary(&connection).unwrap();
        assert!(tables().len() >= 10);
        for table in tables() {
            let sql = format!("SELECT * FROM \"{}\"", table.name);
            let statement = connection.prepare(&sql).unwrap();
            let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(statement.column_names().collect::<Vec<_>>(), names, "{}", table.name);
            assert!(table.question.ends_with('?'), "{}", table.name);
            for name in &table.order {
                assert!(table.column(name.trim_start_matches('-')).is_some(), "{name}");
            }
        }
    }

    /// What the program expects of a file is what SQLite makes of the text.
    #[test]
    fn a_file_is_defined_as_the_text_says() {
        let connection = database::in_memory().unwrap();
        assert_eq!(defined_otherwise(&connection).unwrap(), [""; 0]);
        assert!(base_tables().count() > 30 && base_tables().all(|name| !name.contains('"')));
        for (change, name) in [
            ("DROP VIEW top", "top"),
            ("DROP INDEX trial_best", "trial_best"),
            ("CREATE TRIGGER t AFTER UPDATE ON trial BEGIN SELECT 1; END", "t"),
            ("CREATE VIEW mine AS SELECT 1", "mine"),
            ("ALTER TABLE trial ADD COLUMN more TEXT", "trial"),
        ] {
            connection.execute_batch(&format!("BEGIN; {change}")).unwrap();
            let found = defined_otherwise(&connection).unwrap();
            assert!(found.contains(&name.to_owned()), "{change}: {found:?}");
            connection.execute_batch("ROLLBACK").unwrap();
        }
        assert!(is_defined(&connection, "stamp").unwrap());
        assert!(!is_defined(&connection, "nothing").unwrap());
    }

    /// Those of the file can be asked without functions of ours.
    #[test]
    fn views_are_the_tables_and_those_of_the_file_need_nothing() {
        let connection = database::in_memory().unwrap();
        let plain = rusqlite::Connection::open_in_memory().unwrap();
        plain.execute_batch(permanent()).unwrap();
        let views = |connection: &rusqlite::Connection, master: &str| -> Vec<String> {
            let sql =
                format!("SELECT name FROM {master} WHERE type = 'view' AND name NOT LIKE '%_cell'");
            let mut statement = connection.prepare(&sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let mut found = views(&plain, "sqlite_master");
        for view in &found {
            // Square roots are SQLite's own where it is built with them; rates are not.
            let asked = plain.prepare(&format!("SELECT * FROM \"{view}\""));
            let why = asked.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(why.is_empty() || why.contains("no such function: sqrt"), "{view}: {why}");
        }
        database::make_temporary(&connection).unwrap();
        found.extend(views(&connection, "sqlite_temp_master").into_iter().filter(|v| v != "top"));
        let names: Vec<&str> = tables().iter().map(|table| table.name).collect();
        assert_eq!(found, names);
    }
}
