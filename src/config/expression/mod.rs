//! Expressions over what is known of a trial, as in `accuracy - 0.02*ln(params/1e6)`: rewards.
//!
//! Arithmetic on real numbers with the operators, conditions and unknowns of SQL, evaluated here
//! and the same on every machine: `ln`, `exp` and powers come from `libm`, not from the system. An
//! unknown fact makes unknown what needs it.

mod node;
mod parse;

use std::fmt;

use serde::{Deserialize, Serialize};

use node::Node;

/// What is known of a trial, and whether it depends on the machine.
pub const FACTS: &[(&str, bool)] = &[
    ("accuracy", false),
    ("params", false),
    ("madds", false),
    ("seconds", true),
    ("epochs", false),
    ("depth", false),
    ("epsilon", false),
    ("restarts", false),
    ("failed", false),
    ("best_epoch", false),
    ("best_correct", false),
    ("last_correct", false),
    ("total", false),
    ("peak_memory", true),
];

/// What is known of one trial: a value or nothing for each of [`FACTS`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known([Option<f64>; FACTS.len()]);

impl Known {
    /// Says what a fact is.
    ///
    /// Names that are no facts are left out.
    pub fn set(&mut self, fact: &str, value: Option<f64>) {
        if let Some(place) = FACTS.iter().position(|(name, _)| *name == fact) {
            self.0[place] = value;
        }
    }

    fn get(&self, place: usize) -> Option<f64> {
        self.0.get(place).copied().flatten()
    }
}

/// An expression, as it was written and understood.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    root: Node,
    /// Places in [`FACTS`] of the facts in it, each once, in the order of the text.
    facts: Vec<usize>,
}

/// What cannot be understood, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong.
    pub message: String,
    /// The part of the text that is meant, in bytes.
    pub at: (usize, usize),
    /// The word that is no fact, if that is what is wrong.
    pub no_fact: Option<String>,
}

impl Expression {
    /// Most bytes of a text.
    pub const BYTES: usize = 1_000;

    /// Its value; `None` if something it needs is not known, or it is no finite number.
    #[must_use]
    pub fn value(&self, known: &Known) -> Option<f64> {
        self.root.value(known).filter(|value| value.is_finite())
    }

    /// The facts in it, each once.
    pub fn facts(&self) -> impl Iterator<Item = &'static str> {
        self.facts.iter().map(|&place| FACTS[place].0)
    }

    /// The facts in it that are not known.
    #[must_use]
    pub fn lacks(&self, known: &Known) -> Vec<&'static str> {
        let lacking = self.facts.iter().filter(|&&place| known.get(place).is_none());
        lacking.map(|&place| FACTS[place].0).collect()
    }

    /// The first fact in it that depends on the machine.
    #[must_use]
    pub fn of_the_machine(&self) -> Option<&'static str> {
        let place = self.facts.iter().find(|&&place| FACTS[place].1)?;
        Some(FACTS[*place].0)
    }

    /// Names of the functions, for messages.
    #[must_use]
    pub fn functions() -> Vec<&'static str> {
        node::FUNCTIONS.iter().map(|function| function.name).collect()
    }
}

/// Equal if written the same.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let (root, facts) = parse::parse(text)?;
        Ok(Self { text: text.to_owned(), root, facts })
    }
}

impl Serialize for Expression {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
