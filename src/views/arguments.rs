//! Parameters of result tables: a window, a number of bins, whether rows in quarantine count.
//!
//! The file's own one-row table `args` holds what goes without saying, so that its views answer in
//! any program. A question that brings other parameters gets a TEMP table of that name, and all
//! result tables again as TEMP views, which see it first.

use rusqlite::Connection;

use super::schema::TABLES_SQL;
use super::{Answer, ViewError, guard};

/// The frame of the default window, which SQLite wants as a constant.
const WINDOW: &str = "ROWS BETWEEN 99 PRECEDING";

/// Parameters of result tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// Samples that `rolling` averages over.
    pub window: u32,
    /// Bins of `histogram`.
    pub bins: u32,
    /// Whether rows in quarantine count like all others.
    pub quarantined: bool,
    /// Only the episodes and trials of this search are looked at. A table that sums up its search
    /// would else sum up all of them before the others are left out.
    pub search: Option<String>,
}

impl Default for Arguments {
    /// As `schema/tables.sql` has them.
    fn default() -> Self {
        Self { window: 100, bins: 100, quarantined: false, search: None }
    }
}

impl Answer {
    /// Asks all that follows with these parameters.
    ///
    /// # Errors
    /// [`ViewError::Sqlite`] if there is no memory.
    pub fn set_arguments(&mut self, arguments: &Arguments) -> Result<(), ViewError> {
        if *arguments == Arguments::default() {
            return Ok(());
        }
        // The tables of the file stay as they are; only what is temporary is made.
        guard::make_writable(&mut self.connection)?;
        let made = make(&self.connection, arguments);
        guard::forbid_writing(&mut self.connection)?;
        made
    }
}

fn make(connection: &Connection, arguments: &Arguments) -> Result<(), ViewError> {
    let Arguments { window, bins, quarantined, ref search } = *arguments;
    let scope = match search {
        None => String::new(),
        Some(label) => {
            let sql = "SELECT id FROM job WHERE label = ?";
            let job: i64 = connection.query_row(sql, [label], |row| row.get(0))?;
            format!(" WHERE job = {job}")
        }
    };
    let mut sql = format!("CREATE TEMP TABLE args AS SELECT {window} AS window, {bins} AS bins;\n");
    if quarantined || search.is_some() {
        for table in ["episode", "trial"] {
            sql += &format!("CREATE TEMP VIEW {table} AS SELECT * FROM main.{table}{scope}");
            if quarantined {
                sql += &format!(" UNION ALL SELECT * FROM main.quarantined_{table}{scope}");
            }
            sql += ";\n";
        }
    }
    connection.execute_batch(&sql)?;
    make_views(connection, Some(window))
}

/// Makes the result tables again as TEMP views, which see what is temporary first. Those that are
/// there already stay.
pub(super) fn make_views(connection: &Connection, window: Option<u32>) -> Result<(), ViewError> {
    let window = window.unwrap_or(Arguments::default().window);
    let views = TABLES_SQL.find("-- table ").map_or("", |start| &TABLES_SQL[start..]);
    let views = views.replace(WINDOW, &WINDOW.replace("99", &window.saturating_sub(1).to_string()));
    let views = views.replace("\nCREATE VIEW ", "\nCREATE TEMP VIEW IF NOT EXISTS ");
    Ok(connection.execute_batch(&views)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_and_the_program_have_the_same_defaults() {
        let Arguments { window, bins, .. } = Arguments::default();
        assert!(TABLES_SQL.contains(&format!("INSERT INTO args VALUES ({window}, {bins});")));
        assert_eq!(TABLES_SQL.matches(WINDOW).count(), 1);
        assert!(WINDOW.contains(&format!(" {} ", window - 1)));
    }
}
