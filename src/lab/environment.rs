//! The environment of simulated searches: what training an architecture gives, from what is on
//! record, without training anything.
//!
//! Where a space was trained exhaustively the environment is exact: a simulated search draws one of
//! the recorded trainings of each architecture it comes to. Elsewhere an architecture without a
//! record is handled as [`Unknown`] says, and what comes of it is not history.

use std::collections::HashMap;

use super::neighbours::{Neighbour, Neighbours};
use crate::arch::Architecture;
use crate::chance::Stream;

/// What a simulated search does when it comes to an architecture without a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// Ends there.
    Stop,
    /// Samples again until it comes to one with a record.
    Resample,
    /// Takes the result of the nearest architecture on record.
    Nearest,
    /// Takes the mean of the ten nearest, the nearer ones counting more.
    Surrogate,
}

impl Unknown {
    /// Every way, with what it does.
    pub const ALL: &[(Self, &str, &str)] = &[
        (Self::Stop, "stop", "the simulated search ends there"),
        (Self::Resample, "resample", "it samples again until it comes to one with a record"),
        (Self::Nearest, "nearest", "the result of the nearest architecture on record"),
        (Self::Surrogate, "surrogate", "the mean of the ten nearest, weighted by 1 / distance"),
    ];

    /// How it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(way, ..)| *way == self).map_or("", |(_, name, _)| name)
    }

    /// Neighbours it asks, if it guesses.
    #[must_use]
    pub fn neighbours(self) -> Option<usize> {
        match self {
            Self::Stop | Self::Resample => None,
            Self::Nearest => Some(1),
            Self::Surrogate => Some(10),
        }
    }
}

/// What came of training one architecture.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The architecture.
    pub architecture: Architecture,
    /// The reward of each of its trainings, in the order in which they were recorded; never empty.
    pub rewards: Vec<f64>,
}

impl Record {
    /// Mean over its trainings.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.rewards.iter().sum::<f64>() / self.rewards.len() as f64
    }
}

/// All records, by architecture.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    records: Vec<Record>,
    index: HashMap<Architecture, usize>,
}

impl Environment {
    /// Adds the reward of one training.
    pub fn push(&mut self, architecture: &Architecture, reward: f64) {
        if let Some(&index) = self.index.get(architecture) {
            self.records[index].rewards.push(reward);
            return;
        }
        self.index.insert(architecture.clone(), self.records.len());
        self.records.push(Record { architecture: architecture.clone(), rewards: vec![reward] });
    }

    /// The records, in the order in which their architectures first appeared.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The record of an architecture, by its index.
    #[must_use]
    pub fn find(&self, architecture: &Architecture) -> Option<usize> {
        self.index.get(architecture).copied()
    }

    /// Draws one of the trainings of a record. The same seed draws the same training whatever the
    /// policy, so that policies are compared in pairs.
    #[must_use]
    pub fn draw(&self, index: usize, seed: u64) -> f64 {
        let rewards = &self.records[index].rewards;
        rewards[Stream::new(seed, "outcome", index as u64).index(rewards.len())]
    }

    /// How many records are better on average than this one, plus one.
    #[must_use]
    pub fn rank(&self, index: usize) -> usize {
        let mean = self.records[index].mean();
        1 + self.records.iter().filter(|record| record.mean() > mean).count()
    }

    /// The highest mean of all records.
    #[must_use]
    pub fn best(&self) -> Option<f64> {
        self.records.iter().map(Record::mean).reduce(f64::max)
    }

    /// What guesses the rewards of architectures without a record.
    #[must_use]
    pub fn neighbours(&self, count: usize) -> Neighbours {
        let known = self.records.iter().map(|record| Neighbour {
            architecture: record.architecture.clone(),
            reward: record.mean(),
        });
        Neighbours::new(known.collect(), count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_every_training_and_draws_do_not_depend_on_the_policy() {
        let mut environment = Environment::default();
        let (a, b) = ("[C(8,3,1), SM(10)]".parse().unwrap(), "[SM(10)]".parse().unwrap());
        for (net, reward) in [(&a, 0.7), (&b, 0.4), (&a, 0.8), (&a, 0.9)] {
            environment.push(net, reward);
        }
        assert_eq!(environment.records().len(), 2);
        assert_eq!(environment.find(&a), Some(0));
        assert!((environment.records()[0].mean() - 0.8).abs() < 1e-15);
        assert_eq!((environment.rank(0), environment.rank(1)), (1, 2));
        let draws: Vec<f64> = (0..300).map(|seed| environment.draw(0, seed)).collect();
        for reward in [0.7, 0.8, 0.9] {
            // Binomial(300, 1/3): mean 100, sd 8.2.
            let count = draws.iter().filter(|&&draw| draw == reward).count();
            assert!((63..=137).contains(&count), "{reward}: {count}");
        }
        assert_eq!(draws, (0..300).map(|seed| environment.draw(0, seed)).collect::<Vec<_>>());
        assert!((0..10).all(|seed| environment.draw(1, seed) == 0.4));
    }
}
