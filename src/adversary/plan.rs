//! The plan of an attack: its steps in order, and what each does and costs. Pure.

use super::noise::NoiseSpec;
use super::protocol::{Repeated, Settings};
use super::spec::AttackSpec;
use super::sweep::{self, Chain};

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Craft a micro-batch against a victim, after all specifications.
    Craft {
        /// The victim.
        victim: u16,
        /// Place of the first image in the pool.
        first: u32,
    },
    /// What a model makes of random noise of all sizes.
    Noise {
        /// The victim, and judge.
        victim: u16,
        /// Place of the first image in the pool.
        first: u32,
    },
    /// What a model makes of its own images, crafted after one specification (or clean), after all
    /// transformations.
    Own {
        /// The victim, and judge.
        victim: u16,
        /// The specification; `None`: clean images.
        spec: Option<u16>,
        /// Place of the first image in the pool.
        first: u32,
    },
    /// What a model makes of images that were crafted against another one.
    Cross {
        /// The judge.
        judge: u16,
        /// The other one.
        victim: u16,
        /// Place of the first image in the pool.
        first: u32,
    },
}

impl Step {
    /// Place of the first image of its micro-batch in the pool.
    #[must_use]
    pub fn first(self) -> u32 {
        match self {
            Self::Craft { first, .. }
            | Self::Noise { first, .. }
            | Self::Own { first, .. }
            | Self::Cross { first, .. } => first,
        }
    }

    /// The micro-batch whose crafting must be recorded before this step: its victim and first image.
    #[must_use]
    pub fn follows(self) -> Option<(u16, u32)> {
        match self {
            Self::Craft { .. } => None,
            Self::Noise { victim, first }
            | Self::Own { victim, first, .. }
            | Self::Cross { victim, first, .. } => Some((victim, first)),
        }
    }
}

/// What follows from the settings.
#[derive(Debug)]
pub struct Plan {
    /// The settings.
    pub settings: Settings,
    /// The attacks by number.
    pub specs: Vec<AttackSpec>,
    /// Random noise; its numbers follow those of the attacks.
    pub noise: Vec<NoiseSpec>,
    /// How they share gradients.
    pub chains: Vec<Chain>,
    /// The transformations by number.
    pub transforms: Vec<Repeated>,
    /// All steps, in order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The plan of an attack on so many images.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(settings: Settings, images: u32) -> Result<Self, String> {
        settings.check().map_err(|error| error.to_string())?;
        let transforms = settings.transforms().map_err(|error| error.to_string())?;
        let specs = settings.specs();
        let (noise, chains) = (settings.noise(), sweep::plan(&specs));
        let mut plan = Self { settings, specs, noise, chains, transforms, steps: Vec::new() };
        plan.steps = plan.all_steps(images);
        Ok(plan)
    }

    fn all_steps(&self, images: u32) -> Vec<Step> {
        let victims = 0..u16::try_from(self.settings.victims.len()).unwrap_or(u16::MAX);
        let specs = u16::try_from(self.specs.len()).unwrap_or(u16::MAX);
        let firsts = || (0..images).step_by(usize::from(self.settings.batch.max(1)));
        let mut steps = Vec::new();
        for victim in victims.clone() {
            for first in firsts() {
                steps.push(Step::Craft { victim, first });
                steps.extend(self.has_noise(first).then_some(Step::Noise { victim, first }));
                let sources = std::iter::once(None).chain((0..specs).map(Some));
                let own = sources.map(|spec| Step::Own { victim, spec, first });
                steps.extend(own.filter(|step| self.events(*step) > 0));
            }
        }
        for judge in victims.clone() {
            for victim in victims.clone().filter(|&victim| victim != judge) {
                steps.extend(firsts().map(|first| Step::Cross { judge, victim, first }));
            }
        }
        steps
    }

    /// Whether random noise is scored on the micro-batch at `first`.
    fn has_noise(&self, first: u32) -> bool {
        first < self.settings.noise_images
    }

    /// The number of the specification of some noise.
    #[must_use]
    pub fn noise_number(&self, noise: usize) -> u16 {
        u16::try_from(self.specs.len() + noise).unwrap_or(u16::MAX)
    }

    /// Whether a specification is random noise: nothing is crafted after it.
    #[must_use]
    pub fn is_noise(&self, spec: u16) -> bool {
        usize::from(spec) >= self.specs.len()
    }

    /// Number of specifications: attacks and noise.
    #[must_use]
    pub fn specifications(&self) -> usize {
        self.specs.len() + self.noise.len()
    }

    /// The transformations of a step, by number, without the identity: with their repetitions.
    pub fn copies(&self, step: Step) -> impl Iterator<Item = (u16, u16)> + '_ {
        let undergoes = move |transform: &Repeated| match step {
            Step::Own { spec, first, .. } => {
                let spec = spec.and_then(|spec| self.specs.get(usize::from(spec)));
                self.settings.undergoes(spec, first, &*transform.transform)
            }
            _ => false,
        };
        let numbered = self.transforms.iter().zip(0_u16..).skip(1);
        let some = numbered.filter(move |(transform, _)| undergoes(transform));
        some.flat_map(|(transform, number)| (0..transform.repeats).map(move |r| (number, r)))
    }

    /// Events that a step records.
    #[must_use]
    pub fn events(&self, step: Step) -> u32 {
        let specs = u32::try_from(self.specs.len()).unwrap_or(u32::MAX);
        match step {
            Step::Craft { .. } => 2 * specs + 1,
            Step::Noise { .. } => u32::try_from(self.noise.len()).unwrap_or(u32::MAX),
            Step::Own { .. } => u32::try_from(self.copies(step).count()).unwrap_or(u32::MAX),
            Step::Cross { .. } => specs,
        }
    }

    /// What a step costs an image, about, in forward passes.
    #[must_use]
    pub fn cost(&self, step: Step) -> u32 {
        match step {
            // A gradient is two and a half of them.
            Step::Craft { .. } => sweep::gradients(&self.chains) * 5 / 2 + self.events(step) / 2,
            _ => self.events(step),
        }
    }

    /// What a step costs, about, in forward passes, where the pool has so many images.
    pub(super) fn cost_of(&self, step: Step, images: u32) -> u64 {
        u64::from(self.cost(step)) * u64::from(self.images(step, images))
    }

    /// Forward passes of all steps, about.
    #[must_use]
    pub fn forward_passes(&self, images: u32) -> u64 {
        self.steps.iter().map(|&step| self.cost_of(step, images)).sum()
    }

    /// Images of the micro-batch at `first`.
    #[must_use]
    pub fn length(&self, first: u32, images: u32) -> u32 {
        u32::from(self.settings.batch).min(images.saturating_sub(first))
    }

    /// Images that a step is about: those of its micro-batch; of noise the first ones of the pool.
    #[must_use]
    pub fn images(&self, step: Step, images: u32) -> u32 {
        let images = match step {
            Step::Noise { .. } => images.min(self.settings.noise_images),
            _ => images,
        };
        self.length(step.first(), images)
    }

    /// Images that will be crafted, and scores that will be recorded.
    #[must_use]
    pub fn totals(&self, images: u32) -> (u64, u64) {
        let (mut craft, mut score) = (0, 0);
        let specs = self.specs.len() as u64;
        for &step in &self.steps {
            let length = u64::from(self.images(step, images));
            let crafted = if matches!(step, Step::Craft { .. }) { specs } else { 0 };
            craft += length * crafted;
            score += length * (u64::from(self.events(step)) - crafted);
        }
        (craft, score)
    }
}
