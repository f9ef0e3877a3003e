//! The settings of the agent: how much it explores, how fast it learns.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Constants of Q-learning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learning {
    /// Learning rate.
    pub alpha: f64,
    /// Discount factor.
    pub gamma: f64,
    /// Q-value of a pair before its first update.
    pub init: f64,
}

impl Default for Learning {
    /// Appendix D.1 of the paper.
    fn default() -> Self {
        Self { alpha: 0.01, gamma: 1.0, init: 0.5 }
    }
}

/// The share of random actions, in ten-thousandths, so that equal means equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epsilon(u16);

impl Epsilon {
    /// The parts of a whole.
    pub const WHOLE: u16 = 10_000;

    /// In ten-thousandths.
    #[must_use]
    pub fn parts(self) -> u16 {
        self.0
    }

    /// From a share between 0 and 1, rounded to four decimals; `None` outside.
    #[must_use]
    pub fn new(share: f64) -> Option<Self> {
        let scaled = (share * f64::from(Self::WHOLE)).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        (0.0..=f64::from(Self::WHOLE)).contains(&scaled).then_some(Self(scaled as u16))
    }

    /// As a share between 0 and 1.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

impl fmt::Display for Epsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.share().fmt(f)
    }
}

impl Serialize for Epsilon {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.share())
    }
}

impl<'de> Deserialize<'de> for Epsilon {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        Self::new(share).ok_or_else(|| serde::de::Error::custom("epsilon is a share from 0 to 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epsilon(share: f64) -> Epsilon {
        Epsilon::new(share).unwrap()
    }

    #[test]
    fn epsilon_is_a_share() {
        assert_eq!(epsilon(0.1 + 0.2), epsilon(0.3));
        assert_eq!(epsilon(0.9).to_string(), "0.9");
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert_eq!(Epsilon::new(wrong), None);
        }
    }
}
