//! What models make of random noise of the sizes of an attack.

use rayon::prelude::*;

use super::{AttackEngine, judged};
use crate::adversary::job::{Plan, Step};
use crate::adversary::noise::{NoiseSpec, noisy};
use crate::engine::EngineError;
use crate::engine::workplace::Lost;
use crate::events::{Crafting, Event, ImagesScored};
use crate::log::EventLog;

impl<L: EventLog> AttackEngine<'_, L> {
    /// Has a model judge a micro-batch with noise of all sizes.
    pub(super) fn judge_noise(
        &mut self,
        step: Step,
        victim: u16,
        first: u32,
    ) -> Result<Result<Vec<Event>, Lost>, EngineError> {
        let batch = self.batch(first)?;
        let Some(plan) = self.plan() else { return Ok(Err("the attack is not open".into())) };
        let batch = batch.start(plan.images(step, self.attack.images()) as usize);
        let (seed, noise) = (plan.settings.seed, plan.noise.clone());
        let numbers: Vec<u16> = (0..noise.len()).map(|at| plan.noise_number(at)).collect();
        let clean = &batch;
        let block = |spec: &NoiseSpec| -> Vec<u8> {
            let images = clean.pixels.chunks(clean.values).zip(&clean.indices);
            images.flat_map(|(clean, &index)| noisy(seed, index, spec.eps, clean)).collect()
        };
        let make = |_: &Plan, noise: &[NoiseSpec]| noise.par_iter().map(block).collect();
        let logits = match self.score(step, victim, &batch, &noise, &make)? {
            Ok(logits) => logits,
            Err(lost) => return Ok(Err(lost)),
        };
        let event = |(spec, block): (u16, usize)| {
            // Noise has no other class in view than the true one.
            let images = judged(&logits, block * batch.length, &batch, Some(&batch.labels));
            let source = Some(Crafting { victim, spec });
            let (transformation, repeat) = (0, 0);
            ImagesScored { judge: victim, source, transformation, repeat, first, images }.into()
        };
        Ok(Ok(numbers.into_iter().zip(0..).map(event).collect()))
    }
}
