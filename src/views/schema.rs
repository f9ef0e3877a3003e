//! `schema/tables.sql` as the program sees it.
//!
//! One text is the schema, its documentation, and the list of result tables with their questions,
//! order and units: what people read cannot differ from what runs.

use std::sync::LazyLock;

use super::FOLD_VERSION;

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
