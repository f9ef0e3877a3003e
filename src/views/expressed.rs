//! Accuracies where a reward is not one: in searches whose reward is an expression.

use rusqlite::{Connection, OptionalExtension as _};

use super::ViewError;
use super::fold::{About, JobId, cached, run};
use super::jobs::read_config;
use crate::events::FailedReason;

/// Gives an episode that has just got its reward, and the trial that answered it, the accuracy of
/// that trial, if the reward is something else.
pub(super) fn accuracy(
    db: &Connection,
    about: &About<'_>,
    job: JobId,
    episode: u32,
) -> Result<(), ViewError> {
    let sql = "SELECT config, classes FROM job WHERE id = ? AND expression IS NOT NULL";
    let expressed: Option<(String, u32)> =
        cached(db, sql)?.query_row([job], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((text, classes)) = expressed else { return Ok(()) };
    let rewards = read_config(about.recorded, &text)?.reward;
    let correct = rewards.accuracy.of("best_correct", "last_correct");
    let sql = format!(
        "SELECT t.id, t.{correct} * 1.0 / nullif(t.total, 0), t.reason
         FROM episode e JOIN trial t ON t.job = e.job AND t.ordinal = e.ordinal
         WHERE e.job = ? AND e.episode = ?"
    );
    let (trial, share, reason): (i64, Option<f64>, Option<String>) = cached(db, &sql)?
        .query_row((job, episode), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let reasons = [FailedReason::Chance, FailedReason::NonFinite, FailedReason::TooLarge];
    let failed = reasons.into_iter().find(|known| Some(known.name()) == reason.as_deref());
    let accuracy = failed.map(|reason| rewards.failed(reason, classes)).or(share);
    run(
        db,
        "UPDATE episode SET accuracy = ? WHERE job = ? AND episode = ?",
        (accuracy, job, episode),
    )?;
    run(db, "UPDATE trial SET accuracy = ? WHERE id = ?", (accuracy, trial))
}
