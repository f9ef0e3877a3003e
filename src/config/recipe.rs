//! Recipes: how a network is trained, as data.
//!
//! The default is the paper's exploration recipe (Baker et al. 2017, section 4.2 and appendix D.1).

use serde::{Deserialize, Serialize};

use crate::arch::GapHead;
use crate::arch::dropout::DropoutRule;

/// How one network is trained. Everything that can change a result and is not the data, the
/// architecture or the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Passes over the training images.
    pub epochs: u32,
    /// Images per gradient step.
    pub batch: u32,
    /// The optimiser and its constants.
    pub optimiser: Optimiser,
    /// Learning rate of the first epochs of the first attempt.
    pub learning_rate: f64,
    /// The learning rate is multiplied by this every `decay-every` epochs.
    pub decay: f64,
    /// Epochs between two decays; 0 means never.
    pub decay_every: u32,
    /// How often training starts anew when the first epoch was no better than chance.
    pub restarts: u32,
    /// Each restart multiplies the learning rate by this.
    pub restart_factor: f64,
    /// Validation accuracy that counts as chance after the first epoch; unset: 1 / classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// L2 penalty added to the gradient.
    pub weight_decay: f64,
    /// Where dropout goes.
    pub dropout: DropoutRule,
    /// How weights start.
    pub init: Init,
    /// What follows the average of a GAP layer.
    pub gap: GapHead,
    /// What happens to pixels (0..255) before the first layer.
    pub preprocess: Preprocess,
}

/// The optimiser and its constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "name")]
pub enum Optimiser {
    /// Adam (Kingma and Ba 2015).
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the denominator.
        epsilon: f64,
    },
}

/// How weights start; biases start at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Uniform within ± sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010; the paper).
    #[default]
    Glorot,
    /// Uniform within ± sqrt(3 / fan in) (the authors' code, Caffe's "xavier" filler).
    FanIn,
}

/// What happens to pixels before the first layer. Statistics are those of the training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preprocess {
    /// Divided by 255.
    Scale,
    /// Mean image subtracted, then divided by 255.
    #[default]
    MeanSubtract,
    /// Mean and standard deviation of each pixel over the training images (deviation at least
    /// 0.001 of the pixel range): what the authors' code calls GCN.
    PerPixelStandardise,
}

/// The epoch whose weights (and accuracy) stand for a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightsOf {
    /// The epoch of the highest validation accuracy, the earliest of equals.
    #[default]
    Best,
    /// The last epoch.
    Last,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch: 128,
            optimiser: Optimiser::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
            learning_rate: 0.001,
            decay: 0.2,
            decay_every: 5,
            restarts: 5,
            restart_factor: 0.4,
            chance: None,
            weight_decay: 0.0,
            dropout: DropoutRule::Placed,
            init: Init::Glorot,
            gap: GapHead::Direct,
            preprocess: Preprocess::MeanSubtract,
        }
    }
}

/// Why a recipe cannot be followed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("recipe.{key} = {value}: {rule}")]
pub struct RecipeError {
    /// The setting.
    pub key: &'static str,
    /// Its value.
    pub value: f64,
    /// What is allowed.
    pub rule: &'static str,
}

impl Recipe {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// The first setting outside its range.
    pub fn check(&self) -> Result<(), RecipeError> {
        let Optimiser::Adam { beta1, beta2, epsilon } = self.optimiser;
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let share = |x: f64| (0.0..1.0).contains(&x);
        let rules = [
            ("epochs", self.epochs.into(), (1..=10_000).contains(&self.epochs), "1 to 10000"),
            ("batch", self.batch.into(), (1..=65_536).contains(&self.batch), "1 to 65536"),
            ("learning-rate", self.learning_rate, positive(self.learning_rate), "above 0"),
            ("decay", self.decay, self.decay > 0.0 && self.decay <= 1.0, "above 0, at most 1"),
            ("restarts", self.restarts.into(), self.restarts <= 20, "0 to 20"),
            ("restart-factor", self.restart_factor, positive(self.restart_factor), "above 0"),
            (
                "chance",
                self.chance.unwrap_or(0.0),
                share(self.chance.unwrap_or(0.0)),
                "from 0 to below 1",
            ),
            (
                "weight-decay",
                self.weight_decay,
                self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
                "0 or more",
            ),
            ("optimiser.beta1", beta1, share(beta1), "from 0 to below 1"),
            ("optimiser.beta2", beta2, share(beta2), "from 0 to below 1"),
            ("optimiser.epsilon", epsilon, positive(epsilon), "above 0"),
        ];
        match rules.into_iter().find(|&(_, _, holds, _)| !holds) {
            Some((key, value, _, rule)) => Err(RecipeError { key, value, rule }),
            None => Ok(()),
        }
    }

    /// Learning rate of `epoch` (from 1) in the attempt after `restart` restarts.
    #[must_use]
    pub fn learning_rate_at(&self, restart: u32, epoch: u32) -> f64 {
        let decays = (epoch - 1).checked_div(self.decay_every).unwrap_or(0);
        let times = |factor: f64, n: u32| (0..n).fold(1.0, |product: f64, _| product * factor);
        self.learning_rate * times(self.restart_factor, restart) * times(self.decay, decays)
    }

    /// Validation accuracy that counts as chance after the first epoch.
    #[must_use]
    pub fn chance_for(&self, classes: u32) -> f64 {
        self.chance.unwrap_or(1.0 / f64::from(classes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_legal_and_the_rate_steps() {
        let recipe = Recipe::default();
        assert_eq!(recipe.check(), Ok(()));
        let rates: Vec<f64> = [(0, 1), (0, 5), (0, 6), (0, 11), (1, 1)]
            .map(|(restart, epoch)| recipe.learning_rate_at(restart, epoch))
            .into();
        let expected = [1e-3, 1e-3, 2e-4, 4e-5, 4e-4];
        for (rate, expected) in rates.iter().zip(expected) {
            assert!((rate - expected).abs() < 1e-18, "{rates:?}");
        }
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let recipe = Recipe { learning_rate: f64::NAN, ..Recipe::default() };
        assert_eq!(recipe.check().unwrap_err().to_string(), "recipe.learning-rate = NaN: above 0");
        let recipe = Recipe { epochs: 0, ..Recipe::default() };
        assert_eq!(recipe.check().unwrap_err().to_string(), "recipe.epochs = 0: 1 to 10000");
    }
}
