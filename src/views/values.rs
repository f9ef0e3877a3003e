//! Q-values that are not on record, in the place of those that are: for a question about what an
//! agent would have learned under another replay policy. Only what is temporary is made.

use rusqlite::Connection;

use super::agent::pair_rows;
use super::arguments::make_views;
use super::{Answer, ViewError, guard};
use crate::agent::qtable::QTable;
use crate::agent::space::Space;

/// A Q-table that was learned outside the log.
#[derive(Debug)]
pub struct Values<'a> {
    /// Label of the search whose Q-table it takes the place of.
    pub search: &'a str,
    /// What tables call its source.
    pub source: &'a str,
    /// The state space it is over.
    pub space: &'a Space,
    /// The values.
    pub q: &'a QTable,
    /// Value of a pair before its first update.
    pub init: f64,
}

impl Answer {
    /// Answers all that follows with these Q-values for their search; the others keep theirs.
    ///
    /// # Errors
    /// [`ViewError::Sqlite`] if there is no such search, or no memory.
    pub fn show_values(&mut self, values: &Values<'_>) -> Result<(), ViewError> {
        guard::make_writable(&mut self.connection)?;
        let made = make(&self.connection, values);
        guard::forbid_writing(&mut self.connection)?;
        made
    }
}

fn make(connection: &Connection, values: &Values<'_>) -> Result<(), ViewError> {
    let sql = "SELECT id FROM main.job WHERE label = ?";
    let job: i64 = connection.query_row(sql, [values.search], |row| row.get(0))?;
    connection.execute_batch(&format!(
        "DROP VIEW IF EXISTS temp.pair;
         DROP VIEW IF EXISTS temp.job;
         CREATE TEMP TABLE pair AS SELECT * FROM main.pair WHERE job <> {job};
         CREATE TEMP TABLE job AS SELECT * FROM main.job;"
    ))?;
    let q = values.q;
    pair_rows(connection, "temp.pair", job, values.space, |pair| {
        (q.values()[pair as usize], q.updates()[pair as usize])
    })?;
    // As other temporary tables do, it hides that of the file.
    let sql = "UPDATE temp.job SET q_source = ?, q_init = ?, q_digest = NULL WHERE id = ?";
    connection.execute(sql, (values.source, values.init, job))?;
    connection.execute_batch("CREATE INDEX temp.pair_job ON pair (job, pair)")?;
    make_views(connection, None)
}
