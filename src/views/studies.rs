//! Folding studies: rows that are in no result table before the study is complete.

use rusqlite::{Connection, OptionalExtension as _};

use super::ViewError;
use super::fold::{cached, impossible, number, run};
use crate::events::{Event, Recorded, StudyFinished, StudyRow, StudyStarted};

/// Takes in an event of the store; those that are not about studies are left out.
pub(super) fn fold(db: &Connection, recorded: &Recorded) -> Result<(), ViewError> {
    match &recorded.event {
        Event::StudyStarted(started) => begin(db, recorded, started),
        Event::StudyRow(row) => self::row(db, recorded, row),
        Event::StudyFinished(finished) => finish(db, recorded, *finished),
        _ => Ok(()),
    }
}

fn begin(db: &Connection, recorded: &Recorded, started: &StudyStarted) -> Result<(), ViewError> {
    let StudyStarted { study, name, kind, search, position, settings, rows, program } = started;
    let known = "SELECT EXISTS (SELECT 1 FROM study WHERE study = ?)";
    if cached(db, known)?.query_row([study], |row| row.get(0))? {
        return Err(impossible(recorded, format!("study {study} has begun already")));
    }
    let sql = "INSERT INTO study VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)";
    let position = number(*position);
    run(db, sql, (study, name, kind, search, position, settings, rows, program))
}

fn row(db: &Connection, recorded: &Recorded, fields: &StudyRow) -> Result<(), ViewError> {
    let StudyRow { study, row, policy, seeds, greedy, figures } = fields;
    open(db, recorded, *study)?;
    if self::rows(db, *study)? != *row {
        return Err(impossible(recorded, "the rows of a study are numbered without gaps"));
    }
    let sql = "INSERT INTO study_row VALUES (?, ?, ?, ?, ?)";
    run(db, sql, (study, row, policy, seeds, greedy))?;
    let mut insert = cached(db, "INSERT INTO study_figure VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
    for (place, figure) in (0_u32..).zip(figures) {
        let name = &figure.name;
        insert.execute((
            study,
            row,
            name,
            place,
            figure.mean,
            figure.sd,
            figure.low,
            figure.high,
        ))?;
    }
    Ok(())
}

fn finish(db: &Connection, recorded: &Recorded, finished: StudyFinished) -> Result<(), ViewError> {
    let StudyFinished { study, rows } = finished;
    open(db, recorded, study)?;
    let found = self::rows(db, study)?;
    if found != rows {
        return Err(impossible(recorded, format!("study {study} has {found} rows, not {rows}")));
    }
    run(db, "UPDATE study SET saved_at = ? WHERE study = ?", (recorded.at, study))
}

fn rows(db: &Connection, study: u32) -> Result<u32, ViewError> {
    let sql = "SELECT count(*) FROM study_row WHERE study = ?";
    Ok(cached(db, sql)?.query_row([study], |row| row.get(0))?)
}

/// An error unless a study has begun and is not complete.
fn open(db: &Connection, recorded: &Recorded, study: u32) -> Result<(), ViewError> {
    let open = cached(db, "SELECT saved_at IS NULL FROM study WHERE study = ?")?
        .query_row([study], |row| row.get(0))
        .optional()?;
    match open {
        Some(true) => Ok(()),
        _ => Err(impossible(recorded, format!("study {study} is not being recorded"))),
    }
}
