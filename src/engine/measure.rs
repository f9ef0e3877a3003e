//! What an attack will cost, measured before it begins: each model crafts one image and then a few.
//!
//! From that follow the size of micro-batches, so that memory is bounded, and an estimate of time
//! and disk. Results do not depend on either.

use std::time::{Duration, Instant};

use super::attacks::Target;
use super::error::SessionError;
use super::preflight::Trial;
use super::watch::{Trainers, Trying, Watch};
use crate::adversary::job::Plan;
use crate::adversary::pack;
use crate::adversary::spec::Label;
use crate::adversary::sweep::{self, Chain, End};
use crate::trainer::protocol::MemoryAnswer;

/// Sizes of micro-batches that are chosen: few, so that the same machine chooses the same again.
const SIZES: [u16; 13] = [100, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1];
/// Images crafted at once the second time.
const FEW: u32 = 4;
/// Memory of a trainer on a CPU unless told otherwise, in bytes.
const MEMORY: u64 = 4 << 30;
/// What crafting an image after one gradient costs, in forward passes: two of them and the gradient.
const PASSES: f64 = 3.5;
/// Bytes of the log and the tables for a score, and for a crafted image.
const SCORE_BYTES: u64 = 60;
const CRAFTED_BYTES: u64 = 100;

/// What crafting costs on a device: the mean time of the models, the memory of the largest.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Costs {
    /// Seconds of a forward pass of one image.
    pub forward: f64,
    /// Memory for an image in bytes, 0 if unknown.
    pub image: u64,
    /// Memory of the trainer without images in bytes; 0 on a GPU, where others may use some too.
    pub rest: u64,
    /// Memory of the device that is free, in bytes.
    pub free: u64,
}

/// What an attack will take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Gradients of single images.
    pub gradients: u64,
    /// Time for all of it.
    pub time: Duration,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Costs {
    /// The size of micro-batches that fit into `memory` bytes, at most `most`, where each image is
    /// crafted after so many specifications. Without `memory`, of a CPU 4 GiB and no more than most
    /// of what is free, of a GPU most of what is free.
    #[must_use]
    pub fn batch(&self, memory: Option<u64>, most: u16, values: usize, specs: usize) -> u16 {
        if self.image == 0 {
            return most;
        }
        // The trainer keeps crafted images as f32; here they are held three times over as bytes.
        let image = self.image + 7 * values as u64 * specs as u64;
        let free = self.free / 10 * 9;
        let room = match (memory, self.rest) {
            (Some(memory), rest) => memory.saturating_sub(rest),
            (None, 0) => free,
            (None, rest) => MEMORY.saturating_sub(rest).min(free),
        };
        let fits = |size: &&u16| **size <= most && u64::from(**size) * image <= room;
        SIZES.iter().find(fits).copied().unwrap_or(1)
    }

    /// What an attack on so many images of `values` values will take.
    #[must_use]
    pub fn estimate(&self, plan: &Plan, images: u32, values: usize) -> Estimate {
        let bits = plan.specs.iter().map(|spec| match spec.method.is_one_step() {
            true => 2,
            false => u64::from(pack::width(spec.eps)),
        });
        let bits: u64 = bits.sum();
        let victims = plan.settings.victims.len() as u64;
        let packed = bits * values as u64 / 8 * u64::from(images) * victims;
        let (crafted, scores) = plan.totals(images);
        let seconds = plan.forward_passes(images) as f64 * self.forward;
        let each = u64::from(sweep::gradients(&plan.chains));
        Estimate {
            gradients: each * u64::from(images) * victims,
            time: Duration::try_from_secs_f64(seconds.min(1e10)).unwrap_or_default(),
            bytes: packed + crafted * CRAFTED_BYTES + scores * SCORE_BYTES,
        }
    }
}

/// Measures what the models cost on the first device.
///
/// # Errors
/// As [`super::preflight::try_out`].
pub fn measure(
    trial: Trial<'_>,
    pool: &mut Trainers,
    watch: &mut Watch<'_>,
) -> Result<Costs, SessionError> {
    let mut costs = Costs::default();
    let Trial { targets, test, .. } = trial;
    for target in targets {
        let mut craft = |count| craft(trial, target, count, pool, watch);
        // The first request also brings the model into memory.
        let (_, one) = craft(1)?;
        let few = FEW.min(test.images.count);
        let (time, more) = craft(few)?;
        costs.forward += time.as_secs_f64() / f64::from(few) / PASSES / targets.len() as f64;
        let (Some(one), Some(more)) = (one, more) else { continue };
        let image = match few {
            1 => one.peak,
            few => more.peak.saturating_sub(one.peak) / u64::from(few - 1),
        };
        // What is free is for all trainers of the device.
        let free = more.free / pool.sharing(0).max(1) as u64;
        costs.free = if costs.free == 0 { free } else { costs.free.min(free) };
        costs.image = costs.image.max(image).max(1);
        if pool.device(0) == "cpu" {
            costs.rest = costs.rest.max(one.peak.saturating_sub(image));
        }
    }
    Ok(costs)
}

/// Crafts the first images by one gradient, and forgets them: how long it took, and what memory.
fn craft(
    trial: Trial<'_>,
    target: &Target,
    count: u32,
    pool: &mut Trainers,
    watch: &mut Watch<'_>,
) -> Result<(Duration, Option<MemoryAnswer>), SessionError> {
    let indices: Vec<u32> = (0..count).collect();
    let chain = Chain {
        label: Label::True,
        away: true,
        alpha: 0,
        random_start: false,
        ends: vec![End { spec: 0, eps: 1, steps: 1 }],
    };
    let along = (vec![0; count as usize], vec![chain]);
    let started = Instant::now();
    let mut trier = trial.trier(target, pool, watch);
    let images = (&trial.test.images, &*indices);
    let crafted = trier.craft(&Trying::Cost, &target.model, images, along);
    let elapsed = started.elapsed();
    if let Ok(inbox) = trier.inbox() {
        inbox.sweep();
    }
    match crafted {
        Ok(answer) => Ok((elapsed, answer.memory)),
        Err(why) => Err(why.refused(pool, &target.victim.label)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::protocol::Settings;

    /// Inception v3 on a CPU: 107 MB an image of 299 x 299 pixels in colour.
    const INCEPTION: Costs =
        Costs { forward: 0.1, image: 107_000_000, rest: 400_000_000, free: 60 << 30 };
    const VALUES: usize = 3 * 299 * 299;

    #[test]
    fn micro_batches_fit_into_memory() {
        let batch = |memory, costs: Costs| costs.batch(memory, 100, VALUES, 12);
        assert_eq!(batch(None, INCEPTION), 24, "3.9 GB of 130 MB each");
        assert_eq!(batch(Some(16 << 30), INCEPTION), 100);
        assert_eq!(batch(Some(1 << 30), INCEPTION), 4);
        assert_eq!(batch(Some(1 << 20), INCEPTION), 1, "it is tried all the same");
        // Little is free on this machine.
        assert_eq!(batch(None, Costs { free: 1 << 30, ..INCEPTION }), 6);
        // A GPU: what is free counts, not the 4 GiB of a CPU.
        assert_eq!(batch(None, Costs { rest: 0, ..INCEPTION }), 100);
        assert_eq!(batch(None, Costs { rest: 0, free: 8 << 30, ..INCEPTION }), 48);
        // A trainer that says nothing of memory.
        assert_eq!(batch(None, Costs::default()), 100);
        assert_eq!(Costs::default().batch(None, 20, 784, 9), 20);
        assert_eq!(Costs { image: 1_000, ..INCEPTION }.batch(None, 100, 784, 9), 100);
    }

    #[test]
    fn an_estimate_follows_from_what_was_measured() {
        let base = Settings::of_protocol("small", 3).unwrap();
        let settings = Settings {
            eps: vec![2, 16],
            transformations: Vec::new(),
            victims: vec![Vec::new(), Vec::new()],
            ..base
        };
        let plan = Plan::new(settings, 200).unwrap();
        let estimate = INCEPTION.estimate(&plan, 200, VALUES);
        let each = u64::from(sweep::gradients(&plan.chains));
        assert_eq!(estimate.gradients, each * 200 * 2);
        // Each gradient is two and a half forward passes of 0.1 s, and images are looked at too.
        let seconds = estimate.time.as_secs_f64() / (200.0 * 2.0 * each as f64 * 0.25);
        assert!((1.0..1.3).contains(&seconds), "{seconds}");
        // Fast: two bits a value; the others 3 for eps 2 and 6 for eps 16.
        let packed = 200 * 2 * (2 + 2 + 3 + 6 + 3 + 6) * VALUES as u64 / 8;
        assert!((packed..packed + packed / 50).contains(&estimate.bytes), "{estimate:?}");
    }
}
