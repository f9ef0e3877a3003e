//! Folding imports. Their events wait, as bytes, until the one that closes the import is there;
//! then they become the same rows as those of a search of our own. Before, nothing of an import is
//! in any other table, so an import that was killed leaves nothing to be seen.

use std::collections::HashMap;

use rusqlite::Connection;

use super::ViewError;
use super::fold::{JobId, architecture_id, cached, impossible, number, run};
use super::forks;
use super::jobs::read_config;
use crate::agent::foreign::{Keys, action_name};
use crate::agent::space::Space;
use crate::arch::dropout::DropoutRule;
use crate::arch::shape::Map;
use crate::arch::{GapHead, PoolRule, Shapes};
use crate::events::codec::{encode, restore};
use crate::events::frame::{Payload, Position};
use crate::events::{
    Event, ForeignState, ImportFinished, ImportStarted, ImportedPair, ImportedRow, Recorded, Scope,
};

/// What is to be done with an event.
pub(super) enum Turn {
    /// It is not of an unfinished import or fork.
    Counts,
    /// It waits.
    Waits,
    /// It closes an import or a fork; these came before it.
    Closes(Vec<Recorded>),
}

/// Puts an event aside if it is of an import or a fork that is not finished.
pub(super) fn turn(db: &Connection, recorded: &Recorded) -> Result<Turn, ViewError> {
    match &recorded.event {
        Event::ImportStarted(started) => {
            begin(db, recorded, started)?;
            return Ok(Turn::Waits);
        }
        Event::ForkStarted(started) => {
            forks::begin(db, recorded, started)?;
            return Ok(Turn::Waits);
        }
        _ if !waits(db, recorded.scope)? => return Ok(Turn::Counts),
        event if event.counts() == Some(true) => {
            return Ok(Turn::Closes(waiting(db, recorded)?));
        }
        _ => {}
    }
    let payload = encode(recorded.at, recorded.scope, &recorded.event)
        .map_err(|error| impossible(recorded, error.to_string()))?;
    let sql = "INSERT INTO waiting VALUES (?, ?, ?, ?, ?)";
    let position = number(recorded.position.0);
    let label = recorded.scope.to_string();
    run(db, sql, (position, label, payload.kind, payload.version, payload.bytes))?;
    Ok(Turn::Waits)
}

/// The label of a search that begins as an import or a fork.
pub(super) fn unused_label(db: &Connection, recorded: &Recorded) -> Result<String, ViewError> {
    if !matches!(recorded.scope, Scope::Search(_)) {
        return Err(impossible(recorded, "it does not name a search"));
    }
    let label = recorded.scope.to_string();
    let known = "SELECT EXISTS (SELECT 1 FROM import WHERE label = ?1)
                   OR EXISTS (SELECT 1 FROM fork WHERE label = ?1)
                   OR EXISTS (SELECT 1 FROM job WHERE label = ?1)";
    if cached(db, known)?.query_row([&label], |row| row.get(0))? {
        return Err(impossible(recorded, "it has begun already"));
    }
    Ok(label)
}

fn begin(db: &Connection, recorded: &Recorded, started: &ImportStarted) -> Result<(), ViewError> {
    let ImportStarted { format, file, content, rows, q_file, q_content, pairs } = started;
    let label = unused_label(db, recorded)?;
    let sql = "INSERT INTO import (label, format, file, content, rows, q_file, q_content, pairs)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let (content, q_content) = (content.to_string(), q_content.map(|hash| hash.to_string()));
    run(db, sql, (label, format, file, content, rows, q_file, q_content, pairs))
}

/// Whether a scope is an import or a fork that is not finished.
fn waits(db: &Connection, scope: Scope) -> Result<bool, ViewError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM import WHERE label = ?1 AND job IS NULL)
                 OR EXISTS (SELECT 1 FROM fork WHERE label = ?1 AND job IS NULL)";
    Ok(cached(db, sql)?.query_row([scope.to_string()], |row| row.get(0))?)
}

/// Whether a scope is an import, finished or not.
pub(super) fn is_import(db: &Connection, scope: Scope) -> Result<bool, ViewError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM import WHERE label = ?)";
    Ok(cached(db, sql)?.query_row([scope.to_string()], |row| row.get(0))?)
}

/// The events that wait for this one.
fn waiting(db: &Connection, closing: &Recorded) -> Result<Vec<Recorded>, ViewError> {
    let sql = "SELECT position, kind, version, payload FROM waiting WHERE label = ?
               ORDER BY position";
    let mut statement = cached(db, sql)?;
    let mut rows = statement.query([closing.scope.to_string()])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let position = Position(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0));
        let payload = Payload { kind: row.get(1)?, version: row.get(2)?, bytes: row.get(3)? };
        let wrong = |source| ViewError::Event { position, source };
        events.push(restore(position, &payload).map_err(wrong)?);
    }
    Ok(events)
}

/// Turns the events of an import into rows; the search itself is in the tables already.
pub(super) fn complete(
    db: &Connection,
    job: JobId,
    closing: &Recorded,
    waited: &[Recorded],
) -> Result<(), ViewError> {
    let mut rows = Rows::new(db, job, closing)?;
    let imported: Vec<&ImportedRow> = waited
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::ImportedRow(row) => Some(row),
            _ => None,
        })
        .collect();
    for row in &imported {
        rows.raw(row)?;
    }
    // Those in quarantine second: an architecture is new where it occurs in a row that counts.
    for quarantined in [false, true] {
        for row in &imported {
            if row.quarantine.is_some() == quarantined {
                rows.episode(row)?;
            }
        }
    }
    let values = waited.iter().filter_map(|recorded| match &recorded.event {
        Event::ImportedQ(values) => Some(&values.pairs),
        _ => None,
    });
    let pairs: Vec<ImportedPair> = values.flatten().copied().collect();
    rows.pairs(&pairs)?;
    if let Event::ImportFinished(finished) = &closing.event {
        rows.finished(closing, finished, waited)?;
    }
    Ok(())
}

/// What is known while the rows of one import are written.
struct Rows<'c> {
    db: &'c Connection,
    job: JobId,
    space: Space,
    classes: u32,
    input: Map,
    gap: GapHead,
    /// The ordinal of the trial of each architecture.
    trials: HashMap<i64, u32>,
    /// Shares of random actions in order of appearance: the phases.
    phases: Vec<f64>,
    experiences: u32,
}

impl<'c> Rows<'c> {
    fn new(db: &'c Connection, job: JobId, closing: &Recorded) -> Result<Self, ViewError> {
        let sql = "SELECT config, channels, side, classes FROM job WHERE id = ?";
        let (text, channels, side, classes): (String, u32, u32, u32) = cached(db, sql)?
            .query_row([job], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let config = read_config(closing, &text)?;
        let space = Space::new(&config.space, side, classes)
            .map_err(|error| impossible(closing, format!("the space cannot be built: {error}")))?;
        Ok(Self {
            db,
            job,
            space,
            classes,
            input: Map { channels, side },
            gap: config.recipe.gap,
            trials: HashMap::new(),
            phases: Vec::new(),
            experiences: 0,
        })
    }

    /// The row as it was.
    fn raw(&mut self, row: &ImportedRow) -> Result<(), ViewError> {
        if !self.phases.contains(&row.epsilon) {
            self.phases.push(row.epsilon);
        }
        let architecture = architecture_id(self.db, &row.architecture)?;
        let sql = "INSERT INTO imported VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let time = Some(row.time_finished).filter(|seconds| *seconds > 0.0);
        cached(self.db, sql)?.execute(rusqlite::params![
            self.job,
            row.row,
            row.line,
            architecture,
            row.epsilon,
            row.best,
            row.best_iteration,
            row.last,
            row.last_iteration,
            row.best_test,
            row.last_test,
            row.update,
            time,
            row.machine,
            row.dropout.map(rule_name),
            row.quarantine,
        ])?;
        Ok(())
    }

    /// The row as an episode, and as a trial if its architecture is new.
    fn episode(&mut self, row: &ImportedRow) -> Result<(), ViewError> {
        let quarantined = row.quarantine.is_some();
        let id = architecture_id(self.db, &row.architecture)?;
        let known = self.trials.get(&id).copied();
        let next = u32::try_from(self.trials.len() + 1).unwrap_or(u32::MAX);
        let ordinal = *self.trials.entry(id).or_insert(next);
        let phase = self.phases.iter().position(|epsilon| *epsilon == row.epsilon);
        let phase = i64::try_from(phase.unwrap_or(0)).unwrap_or(0);
        let experience = (!quarantined).then_some(self.experiences);
        self.experiences += u32::from(!quarantined);
        let table = if quarantined { "quarantined_episode" } else { "episode" };
        let sql = format!(
            "INSERT INTO {table} (job, episode, phase, epsilon, architecture, ordinal, duplicate,
               reward, failed, experience)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        let (job, episode, epsilon) = (self.job, row.row + 1, row.epsilon);
        let duplicate = known.is_some();
        run(
            self.db,
            &sql,
            (
                job, episode, phase, epsilon, id, ordinal, duplicate, row.best, row.failed,
                experience,
            ),
        )?;
        if duplicate { Ok(()) } else { self.trial(row, id, ordinal) }
    }

    fn trial(&self, row: &ImportedRow, architecture: i64, ordinal: u32) -> Result<(), ViewError> {
        let table = if row.quarantine.is_some() { "quarantined_trial" } else { "trial" };
        let sql = format!(
            "INSERT INTO {table} (job, ordinal, episode, epsilon, architecture, repeat, params,
               madds, status, reason, accuracy, ended_at, attempts, lost_attempts, kept)
             VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, 0, 0, 0)"
        );
        let shapes = Shapes::of(&row.architecture, self.input, self.gap, PoolRule::True).ok();
        let (params, madds) = shapes
            .map_or((0, 0), |shapes| (number(shapes.parameters()), number(shapes.multiply_adds())));
        let status = if row.failed { "failed" } else { "trained" };
        let reason = row.failed.then_some("chance");
        #[expect(clippy::cast_possible_truncation, reason = "a date, checked when it was read")]
        let ended = (row.time_finished > 0.0).then_some((row.time_finished * 1000.0) as i64);
        let (job, episode, epsilon) = (self.job, row.row + 1, row.epsilon);
        run(
            self.db,
            &sql,
            (
                job,
                ordinal,
                episode,
                epsilon,
                architecture,
                params,
                madds,
                status,
                reason,
                row.best,
                ended,
            ),
        )
    }

    /// A foreign Q-table. Pairs that the space does not have follow those it has.
    fn pairs(&self, pairs: &[ImportedPair]) -> Result<(), ViewError> {
        if pairs.is_empty() {
            return Ok(());
        }
        let keys = Keys::of(&self.space);
        let mut foreign = u32::try_from(self.space.pair_count()).unwrap_or(u32::MAX);
        let sql = "INSERT INTO pair VALUES
                     (?, ?, ?, NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let mut insert = cached(self.db, sql)?;
        for pair in pairs {
            let known = keys.find(pair);
            let index = known.unwrap_or(foreign);
            foreign += u32::from(known.is_none());
            let ForeignState { layer_type, layer_depth, filter_depth, filter_size, stride, .. } =
                pair.start;
            insert.execute(rusqlite::params![
                self.job,
                index,
                pair.value,
                action_name(&pair.end, self.classes),
                layer_type.name(),
                layer_depth,
                filter_depth,
                filter_size,
                stride,
                pair.start.image_size,
                pair.start.fc_size,
                pair.end.layer_type.name(),
                pair.end.layer_depth,
                pair.end.filter_depth,
                pair.end.filter_size,
                pair.end.stride,
                pair.end.image_size,
                pair.end.fc_size,
                pair.end.terminate,
                known.is_none(),
            ])?;
        }
        run(self.db, "UPDATE job SET q_source = 'imported' WHERE id = ?", [self.job])
    }

    fn finished(
        &self,
        closing: &Recorded,
        finished: &ImportFinished,
        waited: &[Recorded],
    ) -> Result<(), ViewError> {
        let (db, job, at) = (self.db, self.job, closing.at);
        let sql = "UPDATE job SET finished_at = ?, experiences = ? WHERE id = ?";
        run(db, sql, (at, self.experiences, job))?;
        let ImportFinished { episodes, trials, repeated, conflicts, quarantined, .. } = finished;
        let missing: Vec<String> = finished.missing.iter().map(ToString::to_string).collect();
        let label = closing.scope.to_string();
        let sql =
            "UPDATE import SET job = ?, episodes = ?, trials = ?, repeated = ?, conflicts = ?,
                     quarantined = ?, conflicts_with_quarantined = ?, missing = ?,
                     foreign_pairs = ?
                   WHERE label = ?";
        let (conflicts_all, foreign) =
            (finished.conflicts_with_quarantined, finished.foreign_pairs);
        let missing = missing.join(", ");
        run(
            db,
            sql,
            (
                job,
                episodes,
                trials,
                repeated,
                conflicts,
                quarantined,
                conflicts_all,
                missing,
                foreign,
                &label,
            ),
        )?;
        let mut known = cached(db, "UPDATE event SET job = ? WHERE position = ?")?;
        for event in waited {
            known.execute((job, number(event.position.0)))?;
        }
        run(db, "DELETE FROM waiting WHERE label = ?", [label])
    }
}

fn rule_name(rule: DropoutRule) -> &'static str {
    match rule {
        DropoutRule::Placed => "placed",
        DropoutRule::Slots => "slots",
        DropoutRule::Logged => "logged",
        DropoutRule::None => "none",
    }
}
