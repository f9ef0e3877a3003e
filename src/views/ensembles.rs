//! Folding ensembles that were given a name.

use rusqlite::{Connection, OptionalExtension as _};

use super::ViewError;
use super::fold::{cached, impossible, run};
use crate::events::{EnsembleSaved, Recorded};

/// Takes in an ensemble.
pub(super) fn saved(
    db: &Connection,
    recorded: &Recorded,
    saved: &EnsembleSaved,
) -> Result<(), ViewError> {
    let EnsembleSaved { ensemble, name, members, combine, chosen, validation, test, .. } = saved;
    let (validation, test) = (*validation, *test);
    let sql = "INSERT INTO ensemble VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let (validation_wrong, validation_images) =
        validation.map(|decided| (decided.wrong, decided.images)).unzip();
    let (test_wrong, test_images) = test.map(|decided| (decided.wrong, decided.images)).unzip();
    cached(db, sql)?.execute(rusqlite::params![
        ensemble,
        name,
        combine,
        chosen,
        validation_wrong,
        validation_images,
        test_wrong,
        test_images,
        recorded.at,
    ])?;
    for (place, member) in (0_u32..).zip(members) {
        let sql = "SELECT t.id FROM trial t JOIN job j ON j.id = t.job
                   WHERE j.label = ? AND t.ordinal = ?";
        let of = (member.trial.scope.to_string(), member.trial.trial);
        let trial: Option<i64> = cached(db, sql)?.query_row(of, |row| row.get(0)).optional()?;
        let trial = trial.ok_or_else(|| impossible(recorded, "a member is not in the store"))?;
        let sql = "INSERT INTO ensemble_member VALUES (?, ?, ?, ?)";
        run(db, sql, (ensemble, place, trial, member.weight))?;
    }
    Ok(())
}
