//! Folding forks, and phases that are added to schedules. The events of a fork wait like those of
//! an import, until the one that closes it is there; then what it inherited becomes episodes and
//! trials, and all that follows is folded like the events of any other search.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::ViewError;
use super::fold::{JobId, architecture_id, cached, impossible, number, run};
use super::imports::unused_label;
use super::jobs::read_config;
use crate::arch::shape::Map;
use crate::arch::{PoolRule, Shapes};
use crate::config::SearchConfig;
use crate::events::{Event, ForkStarted, InheritedExperience, Outcome, Recorded, ScheduleExtended};

/// Notes that a fork is being recorded.
pub(super) fn begin(
    db: &Connection,
    recorded: &Recorded,
    started: &ForkStarted,
) -> Result<(), ViewError> {
    let label = unused_label(db, recorded)?;
    let ForkStarted { source, position, episodes } = started;
    let sql = "INSERT INTO fork (label, source, position, episodes) VALUES (?, ?, ?, ?)";
    run(db, sql, (label, source, number(*position), episodes))
}

/// Turns what a fork inherited into rows; the search itself is in the tables already.
pub(super) fn complete(
    db: &Connection,
    job: JobId,
    closing: &Recorded,
    waited: &[Recorded],
) -> Result<(), ViewError> {
    let mut rows = Rows::new(db, job, closing)?;
    for recorded in waited {
        match &recorded.event {
            Event::Inherited(part) => {
                for (one, index) in part.experiences.iter().zip(part.first..) {
                    rows.experience(closing, one, index.saturating_add(1))?;
                }
            }
            Event::PhaseEnded(ended) => super::fold::phase_ended(db, recorded.at, job, ended)?,
            _ => {}
        }
    }
    let mut known = cached(db, "UPDATE event SET job = ? WHERE position = ?")?;
    for event in waited {
        known.execute((job, number(event.position.0)))?;
    }
    let label = closing.scope.to_string();
    run(db, "UPDATE fork SET job = ?, trials = ? WHERE label = ?", (job, rows.count, &label))?;
    run(db, "DELETE FROM waiting WHERE label = ?", [label])
}

/// What is known while the rows of one fork are written.
struct Rows<'c> {
    db: &'c Connection,
    job: JobId,
    /// The search it is forked from.
    source: JobId,
    config: SearchConfig,
    input: Map,
    classes: u32,
    /// The ordinal of the trial of each architecture.
    trials: HashMap<i64, u32>,
    count: u32,
}

impl<'c> Rows<'c> {
    fn new(db: &'c Connection, job: JobId, closing: &Recorded) -> Result<Self, ViewError> {
        let sql = "SELECT config, channels, side, classes FROM job WHERE id = ?";
        let (text, channels, side, classes): (String, u32, u32, u32) = cached(db, sql)?
            .query_row([job], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let sql = "SELECT j.id FROM fork f JOIN job j ON j.label = f.source WHERE f.label = ?";
        let source = cached(db, sql)?
            .query_row([closing.scope.to_string()], |row| row.get(0))
            .optional()?
            .ok_or_else(|| impossible(closing, "the search it is forked from has not begun"))?;
        let (config, input) = (read_config(closing, &text)?, Map { channels, side });
        Ok(Self { db, job, source, config, input, classes, trials: HashMap::new(), count: 0 })
    }

    /// An experience as an episode, and as a trial if its architecture is new.
    fn experience(
        &mut self,
        closing: &Recorded,
        one: &InheritedExperience,
        episode: u32,
    ) -> Result<(), ViewError> {
        let id = architecture_id(self.db, &one.architecture)?;
        let known = self.trials.get(&id).copied();
        let ordinal = known.unwrap_or(self.count + 1);
        if known.is_none() {
            self.trials.insert(id, ordinal);
            self.count += 1;
            self.trial(closing, one, (episode, ordinal), id)?;
        }
        let sql = "INSERT INTO episode (job, episode, phase, epsilon, architecture, ordinal,
                     duplicate, inherited)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let InheritedExperience { phase, epsilon, .. } = *one;
        let (job, duplicate) = (self.job, known.is_some());
        run(self.db, sql, (job, episode, phase, epsilon, id, ordinal, duplicate, one.episode))
    }

    fn trial(
        &self,
        closing: &Recorded,
        one: &InheritedExperience,
        (episode, ordinal): (u32, u32),
        architecture: i64,
    ) -> Result<(), ViewError> {
        let db = self.db;
        // Of a fork of a fork: where it was trained.
        let sql = "SELECT coalesce(inherited, id) FROM trial WHERE job = ? AND ordinal = ?";
        let inherited: i64 = cached(db, sql)?
            .query_row((self.source, one.trial), |row| row.get(0))
            .optional()?
            .ok_or_else(|| impossible(closing, format!("no trial {} to inherit", one.trial)))?;
        let gap = self.config.recipe.gap;
        let shapes = Shapes::of(&one.architecture, self.input, gap, PoolRule::True).ok();
        let (params, madds) = shapes
            .map_or((0, 0), |shapes| (number(shapes.parameters()), number(shapes.multiply_adds())));
        let sql = "INSERT INTO trial (job, ordinal, episode, epsilon, architecture, repeat, params,
                     madds, status, accuracy, inherited)
                   VALUES (?, ?, ?, ?, ?, 0, ?, ?, 'trained', ?, ?)";
        let (job, epsilon) = (self.job, one.epsilon);
        let accuracy = self.config.reward.of(&one.outcome, self.classes);
        run(
            db,
            sql,
            (job, ordinal, episode, epsilon, architecture, params, madds, accuracy, inherited),
        )?;
        let trial = db.last_insert_rowid();
        match &one.outcome {
            Outcome::Failed { reason, .. } => {
                let sql = "UPDATE trial SET status = 'failed', reason = ? WHERE id = ?";
                run(db, sql, (reason.name(), trial))
            }
            Outcome::Trained { best_epoch, best_correct, last_correct, total, .. } => {
                let sql = "UPDATE trial SET best_epoch = ?, best_correct = ?, last_correct = ?,
                             total = ? WHERE id = ?";
                run(db, sql, (best_epoch, best_correct, last_correct, total, trial))
            }
        }
    }
}

/// Adds phases to a search, which is unfinished again.
pub(super) fn extended(
    db: &Connection,
    recorded: &Recorded,
    job: JobId,
    added: &ScheduleExtended,
) -> Result<(), ViewError> {
    let sql = "INSERT INTO extension VALUES (?, ?, ?, ?, ?)";
    for (phase, place) in added.phases.iter().zip(added.phase..) {
        run(db, sql, (job, place, phase.epsilon, phase.models, number(recorded.position.0)))?;
    }
    let models: i64 = added.phases.iter().map(|phase| i64::from(phase.models)).sum();
    let sql = "UPDATE job SET models = models + ?, finished_at = NULL WHERE id = ?";
    run(db, sql, (models, job))
}
