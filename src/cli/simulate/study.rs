//! Simulated searches on record: as a study, and again.

use super::super::replay::study::{SIMULATE, Saved, record};
use super::super::{CliError, Context};
use super::{Simulations, agents};
use crate::engine::studies::Study;
use crate::events::{StudyFigure, StudyRow, StudyStarted};
use crate::lab::compared::{Compared, MEASURES};

/// Records what came of simulated searches.
pub(super) fn save(context: &Context, name: &str, done: &Simulations) -> Result<(), CliError> {
    let started = StudyStarted {
        study: 0,
        name: name.to_owned(),
        kind: SIMULATE.to_owned(),
        search: done.settings.search.clone().unwrap_or_default(),
        position: done.position.0,
        settings: done.settings.to_toml(),
        rows: 0,
        program: String::new(),
    };
    record(context, Study { started, rows: rows(done) })
}

/// Carries out again what is on record.
pub(super) fn again(saved: &Saved, context: &Context) -> Result<Simulations, CliError> {
    let texts: Vec<String> = saved.rows.iter().map(|row| row.policy.clone()).collect();
    let agents = agents(&texts)?;
    Simulations::again(saved.told()?, &agents, saved.position, context)
}

/// What is recorded of each agent.
pub(super) fn rows(done: &Simulations) -> Vec<StudyRow> {
    let seeds = u32::try_from(done.settings.seeds.0.len()).unwrap_or(u32::MAX);
    let row = |(index, row): (u32, &Compared)| StudyRow {
        study: 0,
        row: index,
        policy: row.agent.to_string(),
        seeds,
        greedy: String::new(),
        figures: figures(row),
    };
    (0..).zip(&done.rows()).map(row).collect()
}

/// Figures of replay have other names: both are in one table.
fn figures(row: &Compared) -> Vec<StudyFigure> {
    let plain = |name: &str, mean: f64| StudyFigure {
        name: format!("sim_{name}"),
        mean: Some(mean),
        sd: None,
        low: None,
        high: None,
    };
    let mut figures = vec![
        plain("models", row.models),
        plain("episodes", row.episodes),
        plain("unknown", row.unknown),
    ];
    let measures = row.measures.iter().zip(&row.differences).zip(MEASURES);
    for ((summary, difference), measure) in measures {
        figures.push(StudyFigure {
            sd: summary.sd,
            mean: summary.mean,
            ..plain(measure.name, 0.0)
        });
        if let Some(difference) = difference {
            let name = format!("{}_vs_uniform", measure.name);
            figures.push(StudyFigure {
                low: difference.interval.map(|ends| ends.0),
                high: difference.interval.map(|ends| ends.1),
                ..plain(&name, difference.mean)
            });
        }
    }
    figures
}
