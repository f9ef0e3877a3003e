//! Replay policies as data: which experiences are learned from after each episode.
//!
//! A policy is written as `name` or `name(parameter=value,…)`; a parameter that is left out has its
//! default, and a single parameter needs no name: `recency(200)`. [`Policy::LIST`] says what there
//! is. How each draws is in [`crate::agent::replay`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is learned from after each episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// How experiences are drawn.
    pub policy: Policy,
    /// Draws after each episode, the paper's K.
    pub draws: u32,
}

/// How experiences are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Policy {
    /// Every experience equally likely.
    #[default]
    Uniform,
    /// Every architecture equally likely.
    UniformDistinct,
    /// Nothing before the end; then every experience once a pass.
    Sweep {
        /// Passes over all experiences.
        passes: u32,
    },
    /// The newest, every time.
    Newest,
    /// The newest once, the rest uniform.
    Combined,
    /// The newer the likelier.
    Recency {
        /// Age in episodes at which an experience is half as likely as the newest.
        half_life: f64,
    },
    /// The more surprising the likelier, in proportion.
    Prioritized {
        /// Exponent of the priority; 0 is uniform.
        alpha: f64,
        /// Exponent of the importance weights; 0 is none.
        beta: f64,
    },
    /// The more surprising the likelier, by rank.
    RankPrioritized {
        /// Exponent of 1 / rank; 0 is uniform.
        alpha: f64,
        /// Exponent of the importance weights; 0 is none.
        beta: f64,
    },
    /// The better the likelier.
    RewardWeighted {
        /// Difference of rewards that makes an experience e times as likely.
        temperature: f64,
    },
    /// Every phase of the schedule so far equally likely.
    EpsilonBalanced,
    /// Whatever was drawn least.
    LeastReplayed,
    /// Only from the best.
    Top {
        /// Share of the experiences.
        fraction: f64,
    },
    /// From a uniform sample of the past.
    Reservoir {
        /// Experiences in it.
        capacity: u32,
    },
    /// From the newest.
    Window {
        /// Experiences in it.
        capacity: u32,
    },
    /// The draws on record.
    AsLogged,
}

/// A policy as it is listed.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// What it does.
    pub what: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// The policy with these values of its parameters, which are in their ranges.
    build: fn(&[f64]) -> Policy,
}

/// A parameter of a policy.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its value unless told otherwise.
    pub default: f64,
    /// What is allowed, in words.
    pub rule: &'static str,
    allows: fn(f64) -> bool,
}

const fn parameter(
    name: &'static str,
    default: f64,
    rule: &'static str,
    allows: fn(f64) -> bool,
) -> Parameter {
    Parameter { name, default, rule, allows }
}

fn positive(x: f64) -> bool {
    x > 0.0 && x.is_finite()
}

fn exponent(x: f64) -> bool {
    (0.0..=10.0).contains(&x)
}

fn share(x: f64) -> bool {
    x > 0.0 && x <= 1.0
}

fn counted(x: f64) -> bool {
    x.fract() == 0.0 && (1.0..=1e9).contains(&x)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked by `counted`")]
fn whole(x: f64) -> u32 {
    x as u32
}

const COUNTED: &str = "a whole number, 1 or more";
const CAPACITY: &[Parameter] = &[parameter("capacity", 500.0, COUNTED, counted)];

impl Policy {
    /// Every policy there is.
    pub const LIST: &[Entry] = &[
        Entry {
            name: "uniform",
            parameters: &[],
            what: "every experience equally likely",
            source: "Baker et al. 2017, Algorithm 1; Lin 1992",
            build: |_| Self::Uniform,
        },
        Entry {
            name: "uniform-distinct",
            parameters: &[],
            what: "an architecture, each equally likely; then one of its experiences",
            source: "qtrail",
            build: |_| Self::UniformDistinct,
        },
        Entry {
            name: "sweep",
            parameters: &[parameter("passes", 1.0, COUNTED, counted)],
            what: "no draws before the end; then every experience once a pass, in order",
            source: "the authors' program, when it reads a log back",
            build: |values| Self::Sweep { passes: whole(values[0]) },
        },
        Entry {
            name: "newest",
            parameters: &[],
            what: "the newest every time; one draw is Q-learning without replay",
            source: "Watkins 1989",
            build: |_| Self::Newest,
        },
        Entry {
            name: "combined",
            parameters: &[],
            what: "the newest once, all other draws uniform",
            source: "Zhang and Sutton 2017",
            build: |_| Self::Combined,
        },
        Entry {
            name: "recency",
            parameters: &[parameter("half_life", 200.0, "above 0, in episodes", positive)],
            what: "weight 2^(-age in episodes / half_life)",
            source: "qtrail",
            build: |values| Self::Recency { half_life: values[0] },
        },
        Entry {
            name: "prioritized",
            parameters: &[
                parameter("alpha", 0.6, "0 to 10", exponent),
                parameter("beta", 0.4, "0 to 10", exponent),
            ],
            what: "weight (largest |TD error| in its trajectory at its last update + 1e-6)^alpha; \
                   a new one enters at the greatest weight; importance weights by beta",
            source: "Schaul et al. 2016, section 3.3, proportional",
            build: |values| Self::Prioritized { alpha: values[0], beta: values[1] },
        },
        Entry {
            name: "rank-prioritized",
            parameters: &[
                parameter("alpha", 0.7, "0 to 10", exponent),
                parameter("beta", 0.5, "0 to 10", exponent),
            ],
            what: "weight (1 / rank by that TD error)^alpha; importance weights by beta",
            source: "Schaul et al. 2016, section 3.3, rank-based",
            build: |values| Self::RankPrioritized { alpha: values[0], beta: values[1] },
        },
        Entry {
            name: "reward-weighted",
            parameters: &[parameter("temperature", 0.1, "above 0, in rewards", positive)],
            what: "weight e^(reward / temperature)",
            source: "qtrail",
            build: |values| Self::RewardWeighted { temperature: values[0] },
        },
        Entry {
            name: "epsilon-balanced",
            parameters: &[],
            what: "a phase of the schedule seen so far, each equally likely; then one of its experiences",
            source: "qtrail",
            build: |_| Self::EpsilonBalanced,
        },
        Entry {
            name: "least-replayed",
            parameters: &[],
            what: "the one with the fewest draws, the newest of equals",
            source: "qtrail",
            build: |_| Self::LeastReplayed,
        },
        Entry {
            name: "top",
            parameters: &[parameter("fraction", 0.1, "above 0 to 1", share)],
            what: "one of the best ceil(fraction x n) by reward, the older of equals",
            source: "qtrail",
            build: |values| Self::Top { fraction: values[0] },
        },
        Entry {
            name: "reservoir",
            parameters: CAPACITY,
            what: "one of a uniform sample of the past, kept as it goes on",
            source: "Vitter 1985, algorithm R",
            build: |values| Self::Reservoir { capacity: whole(values[0]) },
        },
        Entry {
            name: "window",
            parameters: CAPACITY,
            what: "one of the newest, each equally likely",
            source: "Mnih et al. 2015",
            build: |values| Self::Window { capacity: whole(values[0]) },
        },
        Entry {
            name: "as-logged",
            parameters: &[],
            what: "the draws on record; every Q-table must have its recorded digest",
            source: "qtrail",
            build: |_| Self::AsLogged,
        },
    ];

    /// Name and values of the parameters.
    fn parts(self) -> (&'static str, Vec<f64>) {
        match self {
            Self::Uniform => ("uniform", vec![]),
            Self::UniformDistinct => ("uniform-distinct", vec![]),
            Self::Sweep { passes } => ("sweep", vec![passes.into()]),
            Self::Newest => ("newest", vec![]),
            Self::Combined => ("combined", vec![]),
            Self::Recency { half_life } => ("recency", vec![half_life]),
            Self::Prioritized { alpha, beta } => ("prioritized", vec![alpha, beta]),
            Self::RankPrioritized { alpha, beta } => ("rank-prioritized", vec![alpha, beta]),
            Self::RewardWeighted { temperature } => ("reward-weighted", vec![temperature]),
            Self::EpsilonBalanced => ("epsilon-balanced", vec![]),
            Self::LeastReplayed => ("least-replayed", vec![]),
            Self::Top { fraction } => ("top", vec![fraction]),
            Self::Reservoir { capacity } => ("reservoir", vec![capacity.into()]),
            Self::Window { capacity } => ("window", vec![capacity.into()]),
            Self::AsLogged => ("as-logged", vec![]),
        }
    }

    /// Its name, without parameters.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.parts().0
    }

    /// Whether a search that runs can follow it.
    ///
    /// # Errors
    /// Why not.
    pub fn live(self) -> Result<(), &'static str> {
        match self {
            Self::Sweep { .. } => {
                Err("sweep learns only after the last episode: a search would never learn")
            }
            Self::AsLogged => Err("as-logged repeats what is on record: a search has none yet"),
            _ => Ok(()),
        }
    }

    /// Most draws after one episode, so that they fit into an event with their weights.
    #[must_use]
    pub fn draws_max(self) -> u32 {
        use crate::events::ReplayUpdated;
        match self {
            Self::Prioritized { beta, .. } | Self::RankPrioritized { beta, .. } if beta > 0.0 => {
                ReplayUpdated::WEIGHTED_DRAWS
            }
            _ => ReplayUpdated::DRAWS,
        }
    }

    /// The policies of a comma list; a comma inside brackets does not separate.
    pub fn split(text: &str) -> impl Iterator<Item = &str> {
        let mut depth = 0_u32;
        text.split(move |c| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c == ',' && depth == 0
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, values) = self.parts();
        f.write_str(name)?;
        let parameters = Self::LIST.iter().find(|entry| entry.name == name);
        let named = parameters.into_iter().flat_map(|entry| entry.parameters).zip(&values);
        for (index, (parameter, value)) in named.enumerate() {
            let before = if index == 0 { '(' } else { ',' };
            write!(f, "{before}{}={value}", parameter.name)?;
        }
        if values.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

/// A text that is no replay policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {why}")]
pub struct PolicyError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let text = text.trim();
        let wrong = |why: String| PolicyError { text: text.to_owned(), why };
        let (name, inside) = match text.split_once('(') {
            None => (text, ""),
            Some((name, rest)) => {
                let inside = rest.strip_suffix(')');
                (name, inside.ok_or_else(|| wrong("the bracket is not closed".into()))?)
            }
        };
        let Some(entry) = Self::LIST.iter().find(|entry| entry.name == name.trim()) else {
            let names: Vec<&str> = Self::LIST.iter().map(|entry| entry.name).collect();
            return Err(wrong(format!("no policy of that name; there are {}", names.join(", "))));
        };
        let mut values: Vec<f64> = entry.parameters.iter().map(|p| p.default).collect();
        for given in inside.split(',').map(str::trim).filter(|given| !given.is_empty()) {
            let (index, value) = entry.given(given).map_err(wrong)?;
            values[index] = value;
        }
        Ok((entry.build)(&values))
    }
}

impl Entry {
    /// `half_life=200`, or `200` where there is but one parameter.
    fn given(&self, text: &str) -> Result<(usize, f64), String> {
        let (name, value) = match (text.split_once('='), self.parameters) {
            (Some((name, value)), _) => (name.trim(), value.trim()),
            (None, [only]) => (only.name, text),
            (None, []) => return Err("it has no parameters".into()),
            (None, _) => return Err(format!("{text} needs a name, as in {}", self.defaults())),
        };
        let found = self.parameters.iter().enumerate().find(|(_, known)| known.name == name);
        let Some((index, parameter)) = found else {
            return Err(match self.parameters {
                [] => "it has no parameters".into(),
                _ => format!("it has no parameter {name}; all of them: {}", self.defaults()),
            });
        };
        let number: Option<f64> = value.parse().ok().filter(|&number| (parameter.allows)(number));
        let number = number.ok_or_else(|| format!("{name} = {value}: {}", parameter.rule))?;
        Ok((index, number))
    }

    /// The policy with all defaults, as it is written.
    #[must_use]
    pub fn defaults(&self) -> String {
        let values: Vec<f64> = self.parameters.iter().map(|parameter| parameter.default).collect();
        (self.build)(&values).to_string()
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_comes_back_from_its_text() {
        for entry in Policy::LIST {
            let policy: Policy = entry.name.parse().unwrap();
            assert_eq!(policy.name(), entry.name);
            assert_eq!(policy.to_string(), entry.defaults());
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        let policy: Policy = "prioritized( beta = 0 )".parse().unwrap();
        assert_eq!(policy, Policy::Prioritized { alpha: 0.6, beta: 0.0 });
        assert_eq!(policy.to_string(), "prioritized(alpha=0.6,beta=0)");
        assert_eq!("recency(50)".parse(), Ok(Policy::Recency { half_life: 50.0 }));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("unifrom", "no policy of that name; there are uniform,"),
            ("top(2)", "fraction = 2: above 0 to 1"),
            ("window(1.5)", "a whole number"),
            ("window(NaN)", "a whole number"),
            ("uniform(3)", "no parameters"),
            ("uniform(k=3)", "no parameters"),
            ("prioritized(0.5)", "needs a name"),
            ("prioritized(gamma=1)", "no parameter gamma"),
            ("window(3", "not closed"),
        ] {
            let error = text.parse::<Policy>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn commas_inside_brackets_do_not_separate() {
        let list: Vec<&str> = Policy::split("uniform,prioritized(alpha=1,beta=0),newest").collect();
        assert_eq!(list, ["uniform", "prioritized(alpha=1,beta=0)", "newest"]);
    }
}
