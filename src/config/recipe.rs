//! Recipes: how a network is trained, as data.
//!
//! The default is the paper's exploration recipe (Baker et al. 2017, section 4.2 and appendix D.1).

use serde::{Deserialize, Serialize};

use crate::arch::GapHead;
use crate::arch::dropout::DropoutRule;
use crate::events::Outcome;

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
    /// How the learning rate changes; unset: by `decay` and `decay-every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<RateSchedule>,
    /// Share of each label that is spread evenly over all classes (Szegedy et al. 2016).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// Whether weight decay acts on the weights themselves and not by way of the gradient, each
    /// step by learning rate times `weight-decay` (Loshchilov and Hutter 2019).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub decoupled: bool,
    /// How training images are varied each time they are shown.
    #[serde(default, skip_serializing_if = "Augment::is_none")]
    pub augment: Augment,
    /// What convolutions and matrix products are computed in.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
}

/// What convolutions and matrix products are computed in. Weights are kept, and the loss and the
/// steps of the optimiser computed, in single precision always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16: the range of single precision with 8 bits of precision in the place of 24.
    Bf16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    // Serde asks with a reference.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|known| known.name() == text);
        known.ok_or_else(|| format!("expected f32 or bf16, not `{text}`"))
    }
}

/// How the learning rate changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "name"
)]
pub enum RateSchedule {
    /// One rate after the other; the last holds to the end. `learning-rate` is not used.
    Steps {
        /// Epochs and the rate in them.
        steps: Vec<RateStep>,
    },
    /// From 0 up to `learning-rate` and down to 0 again, step by step, in straight lines (Smith
    /// and Topin 2018).
    OneCycle {
        /// Share of all steps until the peak.
        warm_up: f64,
    },
}

/// Epochs with the same learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateStep {
    /// How many.
    pub epochs: u32,
    /// The rate.
    pub rate: f64,
}

/// How training images are varied each time they are shown. Nothing is done to images that are
/// validated or tested on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Augment {
    /// Whether half of them are mirrored, left to right.
    #[serde(default)]
    pub mirror: bool,
    /// They are moved by up to so many pixels each way; what comes in from outside is 0, as the
    /// network sees it.
    #[serde(default)]
    pub translate: u32,
}

impl Augment {
    // Serde asks with a reference.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
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
    /// Stochastic gradient descent with momentum: v := momentum v + gradient, weights -= rate v.
    Sgd {
        /// Share of the last movement that is kept.
        momentum: f64,
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
    /// Global contrast normalisation: mean and standard deviation over each image (deviation at
    /// least 0.001 of the pixel range).
    Gcn,
    /// Mean and standard deviation over each channel of each image (deviation at least
    /// 1 / sqrt(pixels)): the authors' `standard_whiten`.
    Whiten,
    /// Local contrast normalisation of each channel (Jarrett et al. 2009): mean and deviation in a
    /// Gaussian window of 7 x 7 pixels, sigma 1.
    Lcn,
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

impl WeightsOf {
    /// The one of two figures of a training that counts.
    #[must_use]
    pub fn of<T>(self, best: T, last: T) -> T {
        match self {
            Self::Best => best,
            Self::Last => last,
        }
    }

    /// Right validation images of a training, and of how many, in the epoch that counts; `None` if
    /// it failed.
    #[must_use]
    pub fn correct(self, outcome: &Outcome) -> Option<(u32, u32)> {
        match *outcome {
            Outcome::Trained { best_correct, last_correct, total, .. } => {
                Some((self.of(best_correct, last_correct), total))
            }
            Outcome::Failed { .. } => None,
        }
    }

    /// The same as a share: the validation accuracy.
    #[must_use]
    pub fn accuracy(self, outcome: &Outcome) -> Option<f64> {
        let (correct, total) = self.correct(outcome).filter(|(_, total)| *total > 0)?;
        Some(f64::from(correct) / f64::from(total))
    }
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
            schedule: None,
            label_smoothing: 0.0,
            decoupled: false,
            augment: Augment::default(),
            precision: Precision::F32,
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
        let (beta1, beta2, epsilon, momentum) = match self.optimiser {
            Optimiser::Adam { beta1, beta2, epsilon } => (beta1, beta2, epsilon, 0.0),
            Optimiser::Sgd { momentum } => (0.0, 0.0, 1.0, momentum),
        };
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
            ("optimiser.momentum", momentum, share(momentum), "from 0 to below 1"),
            (
                "label-smoothing",
                self.label_smoothing,
                share(self.label_smoothing),
                "from 0 to below 1",
            ),
            (
                "augment.translate",
                self.augment.translate.into(),
                self.augment.translate <= 64,
                "0 to 64",
            ),
        ];
        let schedule = self.schedule.as_ref().map_or(Ok(()), RateSchedule::check);
        match rules.into_iter().find(|&(_, _, holds, _)| !holds) {
            Some((key, value, _, rule)) => Err(RecipeError { key, value, rule }),
            None => schedule,
        }
    }

    /// Learning rate of `epoch` (from 1; where it changes within one, in its middle) in the attempt after `restart` restarts.
    #[must_use]
    pub fn learning_rate_at(&self, restart: u32, epoch: u32) -> f64 {
        self.learning_rate_in(restart, epoch, 0, 1)
    }

    /// Learning rate in the step after `batch` of the `batches` of an epoch. Only a schedule that
    /// changes within an epoch asks for them.
    #[must_use]
    pub fn learning_rate_in(&self, restart: u32, epoch: u32, batch: u32, batches: u32) -> f64 {
        let times = |factor: f64, n: u32| (0..n).fold(1.0, |product: f64, _| product * factor);
        let restarts = times(self.restart_factor, restart);
        match &self.schedule {
            None => {
                let decays = (epoch - 1).checked_div(self.decay_every).unwrap_or(0);
                self.learning_rate * restarts * times(self.decay, decays)
            }
            Some(RateSchedule::Steps { steps }) => {
                let mut until = 0_u32;
                let step = steps.iter().find(|step| {
                    until = until.saturating_add(step.epochs);
                    epoch <= until
                });
                step.or(steps.last()).map_or(0.0, |step| step.rate) * restarts
            }
            Some(RateSchedule::OneCycle { warm_up }) => {
                let all = f64::from(self.epochs) * f64::from(batches);
                // The middle of the step: neither the first nor the last one has rate 0.
                let done = f64::from(epoch - 1) * f64::from(batches) + f64::from(batch) + 0.5;
                let share = done / all;
                let height = match share < *warm_up {
                    true => share / warm_up,
                    false => (1.0 - share) / (1.0 - warm_up),
                };
                self.learning_rate * height * restarts
            }
        }
    }

    /// Validation accuracy that counts as chance after the first epoch.
    #[must_use]
    pub fn chance_for(&self, classes: u32) -> f64 {
        self.chance.unwrap_or(1.0 / f64::from(classes))
    }
}

impl RateSchedule {
    fn check(&self) -> Result<(), RecipeError> {
        let wrong = |key, value, rule| Err(RecipeError { key, value, rule });
        match self {
            Self::Steps { steps } if steps.is_empty() || steps.len() > 100 => {
                wrong("schedule.steps", steps.len() as f64, "1 to 100 steps")
            }
            Self::Steps { steps } => {
                let right = |step: &&RateStep| step.rate > 0.0 && step.rate.is_finite();
                match steps.iter().find(|step| !right(step)) {
                    Some(step) => wrong("schedule.steps.rate", step.rate, "above 0"),
                    None => Ok(()),
                }
            }
            Self::OneCycle { warm_up } if !(*warm_up > 0.0 && *warm_up < 1.0) => {
                wrong("schedule.warm-up", *warm_up, "above 0, below 1")
            }
            Self::OneCycle { .. } => Ok(()),
        }
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
    fn rates_follow_their_schedule() {
        let steps = [(2, 0.5), (1, 0.25)].map(|(epochs, rate)| RateStep { epochs, rate });
        let schedule = Some(RateSchedule::Steps { steps: steps.into() });
        let recipe = Recipe { schedule, restart_factor: 0.5, ..Recipe::default() };
        let rates = [(0, 1), (0, 2), (0, 3), (0, 9), (1, 1)]
            .map(|(restart, epoch)| recipe.learning_rate_at(restart, epoch));
        assert_eq!(rates, [0.5, 0.5, 0.25, 0.25, 0.25]);

        let schedule = Some(RateSchedule::OneCycle { warm_up: 0.25 });
        let recipe = Recipe { schedule, epochs: 2, learning_rate: 1.0, ..Recipe::default() };
        let rates: Vec<f64> = [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 3)]
            .map(|(epoch, batch)| recipe.learning_rate_in(0, epoch, batch, 4))
            .into();
        let expected = [1.0 / 4.0, 3.0 / 4.0, 11.0 / 12.0, 9.0 / 12.0, 7.0 / 12.0, 1.0 / 12.0];
        for (rate, expected) in rates.iter().zip(expected) {
            assert!((rate - expected).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn what_is_not_set_is_not_written() {
        let text = toml::to_string(&Recipe::default()).unwrap();
        for word in ["schedule", "label-smoothing", "decoupled", "augment", "precision"] {
            assert!(!text.contains(word), "{text}");
        }
        let schedule = Some(RateSchedule::OneCycle { warm_up: 0.3 });
        let augment = Augment { mirror: true, translate: 5 };
        let optimiser = Optimiser::Sgd { momentum: 0.9 };
        let recipe = Recipe {
            schedule,
            augment,
            optimiser,
            decoupled: true,
            label_smoothing: 0.1,
            precision: Precision::Bf16,
            ..Recipe::default()
        };
        assert_eq!(toml::from_str::<Recipe>(&toml::to_string(&recipe).unwrap()).unwrap(), recipe);
        assert_eq!(recipe.check(), Ok(()));
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let recipe = Recipe { learning_rate: f64::NAN, ..Recipe::default() };
        assert_eq!(recipe.check().unwrap_err().to_string(), "recipe.learning-rate = NaN: above 0");
        let recipe = Recipe { epochs: 0, ..Recipe::default() };
        assert_eq!(recipe.check().unwrap_err().to_string(), "recipe.epochs = 0: 1 to 10000");
    }
}
