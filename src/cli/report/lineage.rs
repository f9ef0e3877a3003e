//! Where a forked search comes from and what was added to a schedule: as facts, and as commands.

use super::facts::quoted;
use super::first;
use crate::cli::CliError;
use crate::config::{Phase, SearchConfig};
use crate::views::Answer;

/// What happened to a search besides being carried out.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    /// Of a fork: the search it is forked from, and the event it knows.
    source: Option<(String, String)>,
    /// Phases that a fork has after those of its source.
    more: Vec<String>,
    /// Phases that were added once it was finished.
    added: Vec<String>,
}

impl Lineage {
    /// That of the search with this label and configuration.
    pub(super) fn of(answer: &Answer, label: &str, config: &str) -> Result<Self, CliError> {
        let sql = format!("SELECT source, position FROM fork WHERE label = '{label}'");
        let mut lineage = Self { added: phases_added(answer, label, None)?, ..Self::default() };
        if let Some([source, position]) = first(answer, &sql)?.as_deref() {
            let sql = format!("SELECT config FROM job WHERE label = '{source}'");
            let text = first(answer, &sql)?.and_then(|row| row.into_iter().next());
            let before = phases(&text.unwrap_or_default()).len()
                + phases_added(answer, source, Some(position))?.len();
            lineage.more = phases(config).iter().skip(before).map(written).collect();
            lineage.source = Some((source.clone(), position.clone()));
        }
        Ok(lineage)
    }

    /// For people.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let source = self.source.as_ref();
        let forked =
            source.map(|(source, at)| ("Forked from", format!("{source} as of event {at}")));
        let added = ("Schedule extended by", self.added.join(", "));
        forked.into_iter().chain((!self.added.is_empty()).then_some(added)).collect()
    }

    /// The command that forks it again, if it is a fork; `name` is an option or nothing.
    pub(super) fn fork(&self, config: &str, seed: &str, name: &str) -> Option<String> {
        let (source, at) = self.source.as_ref()?;
        let config = SearchConfig::read(config, None, &[]).ok()?;
        let (replay, learning) = (&config.replay, config.learning);
        let extend = match self.more.is_empty() {
            true => String::new(),
            false => format!(" --extend {}", self.more.join(",")),
        };
        Some(format!(
            "qtrail fork {source} --at {at} --policy {} --draws {} --alpha {} --gamma {} --init {} \
             --seed {seed}{extend}{name}\n",
            quoted(&replay.policy.to_string()),
            replay.draws,
            learning.alpha,
            learning.gamma,
            learning.init,
        ))
    }

    /// The commands that follow the one that begins it.
    pub(super) fn then(&self, label: &str) -> String {
        let mut text = String::new();
        if self.source.is_some() {
            text += &format!("qtrail resume {label}\n");
        }
        if !self.added.is_empty() {
            let phases = self.added.join(",");
            text += &format!("qtrail search --extend {phases} {label}\nqtrail resume {label}\n");
        }
        text
    }
}

fn phases(config: &str) -> Vec<Phase> {
    SearchConfig::read(config, None, &[]).map(|config| config.schedule.phases).unwrap_or_default()
}

fn written(phase: &Phase) -> String {
    format!("{}:{}", phase.epsilon, phase.models)
}

/// Phases that were added to a search, by some event if one is named.
fn phases_added(answer: &Answer, label: &str, by: Option<&str>) -> Result<Vec<String>, CliError> {
    let by = by.map_or(String::new(), |by| format!(" AND e.position <= {by}"));
    let sql = format!(
        "SELECT coalesce(group_concat(epsilon || ':' || models, ' '), '') FROM
           (SELECT e.epsilon, e.models FROM extension e JOIN job j ON j.id = e.job
            WHERE j.label = '{label}'{by} ORDER BY e.phase)"
    );
    let text = first(answer, &sql)?.and_then(|row| row.into_iter().next()).unwrap_or_default();
    Ok(text.split_whitespace().map(str::to_owned).collect())
}
