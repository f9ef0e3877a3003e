//! What a study was told: enough to do it again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::measure::PathValue;
use super::rederive::{Duplicates, Task};
use crate::agent::replay::Order;
use crate::config::learning::Learning;
use crate::config::replay::Policy;

/// Everything that the rows of a study follow from, besides the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Id of the search: `s1`.
    pub search: String,
    /// Draws after each experience, the paper's K.
    pub draws: u32,
    /// In which order the transitions of a trajectory are learned from: `backward`, `forward`.
    #[serde(with = "name")]
    pub order: Order,
    /// What an architecture that was sampled again is worth.
    #[serde(with = "name")]
    pub duplicates: Duplicates,
    /// What a trajectory is worth by a Q-table.
    #[serde(with = "name")]
    pub path_value: PathValue,
    /// Whether rows in quarantine count.
    pub include_quarantined: bool,
    /// Whether each seed shuffles the experiences of each phase.
    pub shuffle: bool,
    /// The reward as an expression over the facts of a trial; unset: as recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<String>,
    /// Whether trials that lack a fact of it are left out.
    pub skip_missing: bool,
    /// Seeds of the draws.
    pub seeds: Seeds,
    /// Constants of Q-learning.
    pub learning: Learning,
}

impl Settings {
    /// How a policy learns under them.
    #[must_use]
    pub fn task(&self, policy: &Policy) -> Task {
        Task {
            policy: *policy,
            draws: self.draws,
            learning: self.learning,
            order: self.order,
            duplicates: self.duplicates,
            path_value: self.path_value,
        }
    }

    /// Their text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Every type in it is one TOML can hold.
        toml::to_string(self).unwrap_or_default()
    }
}

/// Seeds: `0..9` (both ends included), `7`, `0,3,5`, or several of these with commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(pub Vec<u64>);

impl Seeds {
    /// Most seeds.
    pub const MAX: u64 = 10_000;
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let wrong = || format!("`{text}` is no seed: 0..9, 7, or 0,3,5");
            text.trim().parse::<u64>().map_err(|_| wrong())
        };
        let mut seeds = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once("..") {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(format!("`{part}`: the first seed is above the last"));
            }
            if last - first >= Self::MAX || seeds.len() as u64 + (last - first) >= Self::MAX {
                return Err(format!("more than {} seeds", Self::MAX));
            }
            seeds.extend(first..=last);
        }
        let mut distinct = seeds.clone();
        distinct.sort_unstable();
        distinct.dedup();
        match distinct.len() == seeds.len() {
            true => Ok(Self(seeds)),
            false => Err("a seed occurs twice: it would count twice".to_owned()),
        }
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|a, b| a.checked_add(1) == Some(*b));
        for (index, run) in runs.enumerate() {
            let before = if index == 0 { "" } else { "," };
            match run {
                [first, .., last] => write!(f, "{before}{first}..{last}")?,
                [one] => write!(f, "{before}{one}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

impl Serialize for Seeds {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Seeds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A choice that is written by its name.
pub trait Named: Sized + Copy + 'static {
    /// All that can be chosen.
    const CHOICES: &'static [Self];

    /// The name of one.
    fn named(self) -> &'static str;

    /// The one of this name.
    ///
    /// # Errors
    /// A message that lists them.
    fn of_name(name: &str) -> Result<Self, String> {
        let found = Self::CHOICES.iter().copied().find(|choice| choice.named() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::CHOICES.iter().map(|choice| choice.named()).collect();
            format!("`{name}` is none of {}", names.join(", "))
        })
    }
}

impl Named for Duplicates {
    const CHOICES: &'static [Self] = &Self::ALL;

    fn named(self) -> &'static str {
        self.name()
    }
}

impl Named for PathValue {
    const CHOICES: &'static [Self] = &Self::ALL;

    fn named(self) -> &'static str {
        self.name()
    }
}

impl Named for Order {
    const CHOICES: &'static [Self] = &[Self::Backward, Self::Forward];

    fn named(self) -> &'static str {
        match self {
            Self::Backward => "backward",
            Self::Forward => "forward",
        }
    }
}

mod name {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Named;

    pub(super) fn serialize<T: Named, S: Serializer>(choice: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(choice.named())
    }

    pub(super) fn deserialize<'de, T: Named, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        T::of_name(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_as_people_write_them() {
        let seeds = |text: &str| text.parse::<Seeds>().map(|seeds| seeds.0);
        assert_eq!(seeds("0..3"), Ok(vec![0, 1, 2, 3]));
        assert_eq!(seeds("7"), Ok(vec![7]));
        assert_eq!(seeds("0,3,5..6"), Ok(vec![0, 3, 5, 6]));
        assert_eq!(seeds("18446744073709551615"), Ok(vec![u64::MAX]));
        for wrong in ["", "1..", "3..1", "a", "0,0", "0..9,5", "-1", "0..18446744073709551615"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
        for text in ["0..9", "7", "0,3,5..6", "4,3"] {
            assert_eq!(text.parse::<Seeds>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn settings_come_back_from_their_text() {
        let settings = Settings {
            search: "s1".into(),
            draws: 128,
            order: Order::Forward,
            duplicates: Duplicates::Mean,
            path_value: PathValue::Min,
            include_quarantined: true,
            shuffle: false,
            reward: Some("accuracy - 0.02*ln(params/1e6)".into()),
            skip_missing: true,
            seeds: "0..9".parse().unwrap(),
            learning: Learning { alpha: 0.1 + 0.2, ..Learning::default() },
        };
        assert_eq!(toml::from_str::<Settings>(&settings.to_toml()).unwrap(), settings);
    }
}
