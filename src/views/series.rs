//! Folding series: which searches are repetitions of one another, and which trials took over the
//! result of another one.

use rusqlite::{Connection, OptionalExtension as _};

use super::ViewError;
use super::fold::{About, JobId, cached, impossible, run};
use crate::events::{Outcome, Recorded, Scope, SeriesJoined, TrialReused};

/// Takes in that a search is one of a series.
pub(super) fn joined(
    db: &Connection,
    recorded: &Recorded,
    job: JobId,
    joined: &SeriesJoined,
) -> Result<(), ViewError> {
    let SeriesJoined { series, name, repetition, repeats, seed, reuse_trials } = joined;
    let known: u32 = cached(db, "SELECT count(*) FROM series_member WHERE series = ?")?
        .query_row([series], |row| row.get(0))?;
    if *repetition != known + 1 {
        return Err(impossible(recorded, "repetitions are numbered without gaps"));
    }
    if known == 0 {
        let sql = "INSERT INTO series VALUES (?, ?, ?, ?, ?)";
        run(db, sql, (series, name, repeats, seed.to_string(), reuse_trials))?;
    }
    run(db, "INSERT INTO series_member VALUES (?, ?, ?)", (series, repetition, job))
}

/// Takes in that a trial has the result of another one.
pub(super) fn reused(
    db: &Connection,
    about: &About<'_>,
    reused: &TrialReused,
) -> Result<(), ViewError> {
    let sql = "SELECT t.id FROM trial t JOIN job j ON j.id = t.job
               WHERE j.label = ? AND t.ordinal = ?";
    let label = Scope::Search(reused.search).to_string();
    let of: Option<i64> =
        cached(db, sql)?.query_row((label, reused.of), |row| row.get(0)).optional()?;
    let of =
        of.ok_or_else(|| impossible(about.recorded, "the trial it takes over is not there"))?;
    let TrialReused { outcome, epochs, restarts, .. } = reused;
    let (trial, at) = (about.trial, about.recorded.at);
    let sql = "UPDATE trial SET reused = ?, epochs = ?, restarts = ?, ended_at = ? WHERE id = ?";
    run(db, sql, (of, epochs, restarts, at, trial))?;
    match outcome {
        Outcome::Failed { reason, message } => {
            let sql = "UPDATE trial SET status = 'failed', reason = ?, message = ? WHERE id = ?";
            run(db, sql, (reason.name(), message, trial))
        }
        Outcome::Trained { best_epoch, best_correct, last_correct, total, weights, kept } => {
            let sql = "UPDATE trial SET status = 'trained', best_epoch = ?, best_correct = ?,
                         last_correct = ?, total = ?, weights = ?, kept = ? WHERE id = ?";
            let weights = weights.map(|hash| hash.to_string());
            run(db, sql, (best_epoch, best_correct, last_correct, total, weights, kept, trial))
        }
    }
}
