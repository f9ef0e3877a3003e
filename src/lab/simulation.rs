//! What simulated searches were told: enough to carry them out again.

use serde::{Deserialize, Serialize};

use super::environment::Unknown;
use super::settings::Seeds;
use super::simulate::World;
use super::trained::Trained;
use crate::config::learning::Learning;
use crate::config::{Order, Phase, Schedule};
use crate::events::Hash;

/// Everything that the rows of a study of simulated searches follow from, besides the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Simulation {
    /// Id of the search whose trials are the environment, or whose state space the table is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// The preset whose results come with the program, or whose state space the table is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// File with the table that is the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Hash of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Hash>,
    /// Draws after each episode.
    pub draws: u32,
    /// A phase also ends after this many architectures in a row that were known already.
    pub max_duplicates_in_a_row: u32,
    /// What is done about an architecture without a record.
    pub unknown: Unknown,
    /// Seeds of the searches.
    pub seeds: Seeds,
    /// Constants of Q-learning.
    pub learning: Learning,
    /// The schedule.
    pub phases: Vec<Phase>,
}

impl Simulation {
    /// The world in which they search.
    #[must_use]
    pub fn world(&self, trained: Trained) -> World {
        let Trained { space, environment, .. } = trained;
        World {
            guess: self.unknown.neighbours().map(|count| environment.neighbours(count)),
            space,
            environment,
            schedule: Schedule {
                order: Order::Sample,
                repeats: 1,
                in_flight: 1,
                max_duplicates_in_a_row: self.max_duplicates_in_a_row,
                phases: self.phases.clone(),
            },
            draws: self.draws,
            learning: self.learning,
            unknown: self.unknown,
        }
    }

    /// Their text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Every type in it is one TOML can hold.
        toml::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::simulate::scaled_schedule;

    #[test]
    fn settings_come_back_from_their_text() {
        let simulation = Simulation {
            search: None,
            preset: Some("exhaustive-demo".into()),
            table: Some("t.csv".into()),
            content: Some(Hash([7; 32])),
            draws: 100,
            max_duplicates_in_a_row: 1_000,
            unknown: Unknown::Surrogate,
            seeds: "0..99".parse().unwrap(),
            learning: Learning { alpha: 0.1 + 0.2, ..Learning::default() },
            phases: scaled_schedule(111),
        };
        assert_eq!(toml::from_str::<Simulation>(&simulation.to_toml()).unwrap(), simulation);
    }
}
