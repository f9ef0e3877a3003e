//! Parameters of result tables: a window, a number of bins, whether rows in quarantine count.
//!
//! The file's own one-row table `args` holds what goes without saying, so that its views answer in
//! any program. A question that brings other parameters gets a TEMP table of that name, and all
//! result tables again as TEMP views, which see it first.

use rusqlite::Connection;

use super::schema::TABLES_SQL;
use super::{Answer, ViewError, database};

/// Parameters of result tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arguments {
    /// Samples that `rolling` averages over.
    pub window: u32,
    /// Bins of `histogram`.
    pub bins: u32,
    /// Whether rows in quarantine count like all others.
    pub quarantined: bool,
}

impl Default for Arguments {
    /// As `schema/tables.sql` has them.
    fn default() -> Self {
        Self { window: 100, bins: 100, quarantined: false }
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
        database::make_writable(&mut self.connection)?;
        let made = make(&self.connection, arguments);
        database::make_read_only(&mut self.connection)?;
        made
    }
}

fn make(connection: &Connection, arguments: &Arguments) -> Result<(), ViewError> {
    let Arguments { window, bins, quarantined } = arguments;
    let mut sql = format!("CREATE TEMP TABLE args AS SELECT {window} AS window, {bins} AS bins;\n");
    if *quarantined {
        for table in ["episode", "trial"] {
            sql += &format!(
                "CREATE TEMP VIEW {table} AS SELECT * FROM main.{table}
                   UNION ALL SELECT * FROM main.quarantined_{table};\n"
            );
        }
    }
    let views = TABLES_SQL.find("-- table ").map_or("", |start| &TABLES_SQL[start..]);
    sql += &views.replace("\nCREATE VIEW ", "\nCREATE TEMP VIEW ");
    Ok(connection.execute_batch(&sql)?)
}
