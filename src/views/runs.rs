//! Folding what only runs have: their models, what those make of images, and attempts that go on
//! from earlier ones.

use rusqlite::{Connection, params};

use super::ViewError;
use super::fold::{About, JobId, architecture_id, run};
use crate::events::{AttemptStarted, Outcome, PredictionsRecorded, ResultLate, RunModel};

/// A model of a run. The trial it was taken from is known by then, if it is of this store.
pub(super) fn run_model(db: &Connection, job: JobId, model: &RunModel) -> Result<(), ViewError> {
    let architecture = architecture_id(db, &model.architecture)?;
    let source = model.source.map(|source| (source.scope.to_string(), source.trial)).unzip();
    let initial = model.initial.as_ref();
    let weights = initial.map(|initial| initial.weights.to_string());
    let taken = initial.map(|initial| {
        initial.layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    });
    let sql = "INSERT INTO run_model VALUES (?, ?, ?,
                 (SELECT t.id FROM trial t JOIN job j ON j.id = t.job
                  WHERE j.label = ? AND t.ordinal = ?), ?, ?, ?)";
    let freeze = initial.map(|initial| initial.freeze);
    run(db, sql, (job, model.index, architecture, source.0, source.1, weights, taken, freeze))
}

/// An attempt that begins: epochs of lost ones count as far as it goes on from them.
pub(super) fn carry(
    db: &Connection,
    about: &About<'_>,
    started: &AttemptStarted,
) -> Result<(), ViewError> {
    let from = started
        .continues
        .map_or((0, None, None), |from| (from.attempt, Some(from.restart), Some(from.epoch)));
    let sql = "UPDATE attempt SET carried_restart = NULL, carried_epoch = NULL
               WHERE trial = ? AND attempt >= ?";
    run(db, sql, (about.trial, from.0))?;
    let sql = "UPDATE attempt SET carried_restart = ?, carried_epoch = ?
               WHERE trial = ? AND attempt = ?";
    run(db, sql, (from.1, from.2, about.trial, from.0))?;
    let sql = "UPDATE attempt SET continues = nullif(?, 0) WHERE trial = ? AND attempt = ?";
    run(db, sql, (from.0, about.trial, started.attempt))
}

/// A result that came after its trial had ended.
pub(super) fn result_late(
    db: &Connection,
    about: &About<'_>,
    late: &ResultLate,
) -> Result<(), ViewError> {
    let (mut counts, mut hash) = ((None, None, None), None);
    let status = match &late.outcome {
        Outcome::Failed { .. } => "failed",
        Outcome::Trained { best_correct, last_correct, total, weights, .. } => {
            counts = (Some(*best_correct), Some(*last_correct), Some(*total));
            hash = weights.map(|hash| hash.to_string());
            "trained"
        }
    };
    let sql = "INSERT INTO late VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let (best, last, total) = counts;
    let ResultLate { attempt, seconds, .. } = *late;
    let (trial, at) = (about.trial, about.recorded.at);
    run(db, sql, params![trial, attempt, status, best, last, total, hash, seconds, at])
}

/// Class probabilities of a trained model.
pub(super) fn predictions_recorded(
    db: &Connection,
    about: &About<'_>,
    made: &PredictionsRecorded,
) -> Result<(), ViewError> {
    let PredictionsRecorded { part, images, classes, correct, .. } = *made;
    let (artifact, labels) = (made.probabilities.to_string(), made.labels.to_string());
    let sql = "INSERT INTO prediction VALUES (?, ?, ?, ?, ?, ?, ?)";
    run(db, sql, (about.trial, part.name(), images, classes, correct, artifact, labels))
}
