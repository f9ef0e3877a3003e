//! Settings as data: what a search is told, in TOML.
//!
//! A configuration is a *flavour* (`paper` or `code`: what the paper says and what its authors'
//! program does where they differ), a preset or a file laid over it, and single keys laid over
//! that. A preset or file may have sections of one flavour, `[code.recipe]`, that are laid over the
//! rest of it under that flavour. The complete result is recorded with the search; [`SearchConfig::to_toml`] is its
//! canonical text.

pub mod expression;
pub mod learning;
pub mod limits;
pub mod presets;
pub mod recipe;
pub mod recipes;
pub mod replay;
pub mod space;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::events::{FailedReason, Outcome};
use expression::Expression;
use learning::{Epsilon, Learning};
use limits::Limits;
use recipe::{Recipe, RecipeError, WeightsOf};
use replay::{Policy, ReplayConfig};
use space::SpaceConfig;

/// Everything a search is told, except its seed, its name and where things lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SearchConfig {
    /// What holds where paper and code differ and nothing else is said.
    pub flavour: Flavour,
    /// Which weights are kept as artifacts.
    pub keep_weights: KeepWeights,
    /// The images and their split.
    pub data: DataConfig,
    /// What may be sampled.
    pub space: SpaceConfig,
    /// How large what is sampled may be.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// Which share of random actions, for how many models.
    pub schedule: Schedule,
    /// Constants of Q-learning.
    pub learning: Learning,
    /// What is learned from after each episode.
    pub replay: ReplayConfig,
    /// What an experience is worth.
    pub reward: RewardConfig,
    /// How a network is trained.
    pub recipe: Recipe,
}

/// What holds where the paper and its authors' code differ (fact by fact in the README).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// What the paper says.
    #[default]
    Paper,
    /// What the authors' program does.
    Code,
}

impl Flavour {
    /// All of them, as they are written.
    const ALL: [(Self, &str); 2] = [(Self::Paper, "paper"), (Self::Code, "code")];
}

impl std::str::FromStr for Flavour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|(_, name)| *name == text);
        known
            .map(|(flavour, _)| flavour)
            .ok_or_else(|| format!("`{text}` is neither `paper` nor `code`"))
    }
}

/// Which weights are kept: `top:10`, `all` or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepWeights {
    /// Those of the N best trials of the search so far.
    Top(u32),
    /// Those of every trial.
    All,
    /// None.
    None,
}

impl std::fmt::Display for KeepWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Top(n) => write!(f, "top:{n}"),
            Self::All => f.write_str("all"),
            Self::None => f.write_str("none"),
        }
    }
}

impl std::str::FromStr for KeepWeights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("top:").map(str::parse)) {
            ("all", _) => Ok(Self::All),
            ("none", _) => Ok(Self::None),
            (_, Some(Ok(n))) if n > 0 => Ok(Self::Top(n)),
            _ => Err(format!("`{text}` is none of `top:N`, `all`, `none`")),
        }
    }
}

impl Serialize for KeepWeights {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeepWeights {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The images and their split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataConfig {
    /// Name of a known data set.
    pub name: String,
    /// Images set aside for validation, of each class its share. With extra images, a third of them
    /// from those, and equally many of each class.
    pub validation: u32,
    /// Images trained on; unset, or the word `all`: all that are left.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number_or_all")]
    pub train: Option<u32>,
    /// Seed of the split; independent of the seed of the search.
    pub seed: u64,
    /// Side in pixels to which all images are resampled; unset: they stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<u32>,
    /// Whether the training part is the set's training images and its extra ones (SVHN has some).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extra: bool,
}

/// Reads a number, or `all`, which takes the number of a preset away.
fn number_or_all<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a number of images, or \"all\"")]
    enum Images {
        Number(u32),
        Word(String),
    }
    match Images::deserialize(deserializer)? {
        Images::Number(number) => Ok(Some(number)),
        Images::Word(word) if word == "all" => Ok(None),
        Images::Word(word) => Err(serde::de::Error::custom(format!(
            "expected a number of images, or \"all\", not {word:?}"
        ))),
    }
}

/// Which share of random actions, for how many models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Schedule {
    /// How architectures are chosen.
    #[serde(default, skip_serializing_if = "Order::is_sample")]
    pub order: Order,
    /// Trainings of each architecture, each with a seed of its own; above 1 only with `enumerate`.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub repeats: u32,
    /// Maximum number of trials that the agent has not learned from yet when it samples the next
    /// one. A larger number keeps more trainers busy; the agent then samples with an older Q-table.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub in_flight: u32,
    /// A phase also ends after this many architectures in a row that were known already.
    pub max_duplicates_in_a_row: u32,
    /// In order.
    pub phases: Vec<Phase>,
}

/// How architectures are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// By the agent, phase after phase.
    #[default]
    Sample,
    /// Every legal one, in stored order, without phases: nothing is sampled, nothing is learned.
    Enumerate,
}

impl Order {
    // Serde asks with a reference.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_sample(&self) -> bool {
        *self == Self::Sample
    }
}

/// The most trials in flight: more than any cluster trains at a time.
pub const IN_FLIGHT_MAX: u32 = 10_000;

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(repeats: &u32) -> bool {
    *repeats == 1
}

/// One phase of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Share of random actions.
    pub epsilon: Epsilon,
    /// New architectures to train.
    pub models: u32,
}

impl Schedule {
    /// New architectures over all phases; 0 where every one of a space is taken.
    #[must_use]
    pub fn models(&self) -> u32 {
        self.phases.iter().fold(0, |models, phase| models.saturating_add(phase.models))
    }
}

/// What an experience is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RewardConfig {
    /// The epoch whose validation accuracy is the reward, and whose weights are kept.
    pub accuracy: WeightsOf,
    /// Reward of a network no better than chance; unset: 1 / classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// Reward of a network whose loss was not finite; unset: 1 / classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub non_finite: Option<f64>,
    /// Reward of a network too large for the device; unset: 1 / classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_large: Option<f64>,
    /// What the reward is made of, if it is not that accuracy: of a failed network `accuracy` is one
    /// of the three above. Where it is no finite number the reward is `non-finite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<Expression>,
    /// Allows facts that depend on the machine in the expression.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_reproducible: bool,
}

impl RewardConfig {
    /// Accuracy of a trial that ended, on the validation images, or what a failure is worth: the
    /// reward, unless there is an expression.
    #[must_use]
    pub fn of(&self, outcome: &Outcome, classes: u32) -> f64 {
        match *outcome {
            Outcome::Trained { .. } => self.accuracy.accuracy(outcome).unwrap_or(f64::NAN),
            Outcome::Failed { reason, .. } => self.failed(reason, classes),
        }
    }

    /// Reward of a failed trial.
    #[must_use]
    pub fn failed(&self, reason: FailedReason, classes: u32) -> f64 {
        let set = match reason {
            FailedReason::Chance => self.chance,
            FailedReason::NonFinite => self.non_finite,
            FailedReason::TooLarge => self.too_large,
        };
        set.unwrap_or(1.0 / f64::from(classes))
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is no configuration.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A preset that does not exist.
    #[error("no preset is called `{name}`; there are {}", presets::names())]
    Preset {
        /// The name given.
        name: String,
    },
    /// A recipe that does not exist.
    #[error("no recipe is called `{name}`; there are {}", recipes::names())]
    RecipeName {
        /// The name given.
        name: String,
    },
    /// A value outside its range.
    #[error("{key} = {value}: {rule}")]
    Range {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// A recipe that cannot be followed.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A `KEY=VALUE` that is none.
    #[error("`{0}` is not KEY=VALUE, for example replay.draws=128")]
    Setting(String),
}

impl SearchConfig {
    /// Reads a text, over the flavour it names (or `flavour`), and checks every value.
    ///
    /// `settings` are single `KEY=VALUE` pairs laid over the text: `replay.draws=128`.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first thing that is wrong.
    pub fn read(
        text: &str,
        flavour: Option<Flavour>,
        settings: &[String],
    ) -> Result<Self, ConfigError> {
        let mut text: Table = toml::from_str(text)?;
        let mut over = Table::new();
        for setting in settings {
            lay_over(&mut over, parse_setting(setting)?);
        }
        if let Some(flavour) = flavour {
            over.insert(
                "flavour".into(),
                Value::try_from(flavour).unwrap_or(Value::Boolean(false)),
            );
        }
        let named = over.get("flavour").or_else(|| text.get("flavour")).cloned();
        let flavour: Flavour = named.map_or(Ok(Flavour::default()), Value::try_into)?;
        let sections = Flavour::ALL.map(|(of, name)| (of, section(&mut text, name)));
        let mut table = base(flavour);
        lay_over(&mut table, text);
        let own = sections.into_iter().filter(|(of, _)| *of == flavour);
        own.for_each(|(_, section)| lay_over(&mut table, section));
        lay_over(&mut table, over);
        let config: Self = toml::from_str(&toml::to_string(&table).unwrap_or_default())?;
        config.check()?;
        Ok(config)
    }

    /// The canonical text: complete, in a fixed order.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Every type in it is one TOML can hold.
        toml::to_string(self).unwrap_or_default()
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.recipe.check()?;
        let range = |key, value: String, rule| ConfigError::Range { key, value, rule };
        let unit = |x: f64| (0.0..=1.0).contains(&x);
        let Learning { alpha, gamma, init } = self.learning;
        let draws_max = self.replay.policy.draws_max();
        let live = self.replay.policy.live();
        let rewards = [self.reward.chance, self.reward.non_finite, self.reward.too_large];
        let sampled = self.schedule.order == Order::Sample;
        let expression = self.reward.expression.as_ref();
        let of_the_machine = expression.and_then(Expression::of_the_machine);
        let (phases, replay) = (&self.schedule.phases, &self.replay);
        let rules = [
            ("learning.alpha", alpha.to_string(), alpha > 0.0 && alpha <= 1.0, "above 0 to 1"),
            ("learning.gamma", gamma.to_string(), unit(gamma), "0 to 1"),
            ("learning.init", init.to_string(), init.is_finite(), "a finite number"),
            (
                "replay.draws",
                replay.draws.to_string(),
                (1..=draws_max).contains(&replay.draws),
                if draws_max == crate::events::ReplayUpdated::DRAWS {
                    "1 to 700"
                } else {
                    "1 to 300 where draws have weights"
                },
            ),
            (
                "replay.policy",
                replay.policy.to_string(),
                live.is_ok(),
                live.err().unwrap_or_default(),
            ),
            (
                "reward",
                format!("{rewards:?}"),
                rewards.iter().flatten().all(|reward| reward.is_finite()),
                "finite numbers",
            ),
            (
                "reward.expression",
                expression.map(ToString::to_string).unwrap_or_default(),
                of_the_machine.is_none() || self.reward.not_reproducible,
                "seconds and peak_memory depend on the machine: only in replay, or with \
                 --not-reproducible (reward.not-reproducible)",
            ),
            (
                "schedule.phases",
                format!("{} phases", phases.len()),
                (1..=1000).contains(&phases.len()) == sampled && phases.len() <= 1000,
                "1 to 1000 phases; none where schedule.order is enumerate",
            ),
            (
                "schedule.repeats",
                self.schedule.repeats.to_string(),
                (1..=if sampled { 1 } else { 1000 }).contains(&self.schedule.repeats),
                "1; up to 1000 where schedule.order is enumerate",
            ),
            (
                "schedule.phases.models",
                self.schedule.models().to_string(),
                phases.iter().all(|phase| (1..=1_000_000).contains(&phase.models)),
                "1 to 1000000 models a phase",
            ),
            (
                "schedule.in-flight",
                self.schedule.in_flight.to_string(),
                (1..=IN_FLIGHT_MAX).contains(&self.schedule.in_flight),
                "1 to 10000 trials",
            ),
            (
                "schedule.max-duplicates-in-a-row",
                self.schedule.max_duplicates_in_a_row.to_string(),
                self.schedule.max_duplicates_in_a_row > 0,
                "1 or more",
            ),
            (
                "data.validation",
                self.data.validation.to_string(),
                self.data.validation > 0,
                "above 0",
            ),
            (
                "limits.params",
                format!("{:?}", self.limits.params),
                self.limits.params != Some(0),
                "above 0",
            ),
            (
                "limits.madds",
                format!("{:?}", self.limits.madds),
                self.limits.madds != Some(0),
                "above 0",
            ),
            ("data.train", format!("{:?}", self.data.train), self.data.train != Some(0), "above 0"),
            (
                "data.resize",
                format!("{:?}", self.data.resize),
                self.data.resize.is_none_or(|side| (1..=1024).contains(&side)),
                "1 to 1024 pixels",
            ),
        ];
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((key, value, _, rule)) => Err(range(key, value, rule)),
            None => Ok(()),
        }
    }
}

/// A flavour's complete settings: what holds if nothing else is said.
fn base(flavour: Flavour) -> Table {
    let paper = Recipe::default();
    let (recipe, draws) = match flavour {
        Flavour::Paper => (paper, 100),
        Flavour::Code => (
            Recipe {
                restarts: 4,
                chance: Some(0.15),
                weight_decay: 0.0005,
                dropout: crate::arch::dropout::DropoutRule::Slots,
                init: recipe::Init::FanIn,
                gap: crate::arch::GapHead::ReluAndFull,
                ..paper
            },
            128,
        ),
    };
    let config = SearchConfig {
        flavour,
        keep_weights: KeepWeights::Top(10),
        data: DataConfig {
            name: String::new(),
            validation: 5_000,
            train: None,
            seed: 0,
            resize: None,
            extra: false,
        },
        space: SpaceConfig::paper(12),
        schedule: Schedule {
            order: Order::Sample,
            repeats: 1,
            in_flight: 1,
            max_duplicates_in_a_row: 1_000,
            phases: Vec::new(),
        },
        learning: Learning::default(),
        replay: ReplayConfig { policy: Policy::Uniform, draws },
        reward: RewardConfig {
            accuracy: WeightsOf::Best,
            chance: None,
            non_finite: None,
            too_large: None,
            expression: None,
            not_reproducible: false,
        },
        limits: Limits::default(),
        recipe,
    };
    Table::try_from(config).unwrap_or_default()
}

/// Lays one table over another, key by key; lists are replaced as a whole.
/// Takes a section out of a table; nothing if there is none. What is no section stays, and is
/// refused with all other settings that there are not.
fn section(table: &mut Table, name: &str) -> Table {
    match table.remove(name) {
        Some(Value::Table(section)) => section,
        Some(other) => {
            table.insert(name.to_owned(), other);
            Table::new()
        }
        None => Table::new(),
    }
}

fn lay_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// `a.b=1` as a table; a value that is no TOML is taken as a text.
fn parse_setting(setting: &str) -> Result<Table, ConfigError> {
    let wrong = || ConfigError::Setting(setting.to_owned());
    let (key, value) = setting.split_once('=').ok_or_else(wrong)?;
    let quoted = || toml::from_str(&format!("{key} = {:?}", value.trim()));
    toml::from_str(&format!("{key} = {value}")).or_else(|_| quoted()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests;
