//! A micro-batch that a trainer crafted: nothing it says is believed. Crafted images must be within
//! reach, files as long as they have to be.

use super::blocks::{Batch, judged};
use crate::adversary::job::Plan;
use crate::adversary::pack::Part;
use crate::adversary::rank::{least_likely, loss};
use crate::adversary::spec::Label;
use crate::adversary::sweep::Chain;
use crate::engine::inbox::{Inbox, Refusal};
use crate::engine::rows::{Rows, take, take_counts};
use crate::events::{CraftedImage, Crafting, Event, Hash, ImagesCrafted, ImagesScored};
use crate::trainer::protocol::CraftedAnswer;

/// A micro-batch that a trainer crafted, checked.
pub(super) struct Made {
    pub(super) parts: Vec<Part>,
    /// Of the clean images, then of each part.
    logits: Rows,
    gradients: FirstGradients,
    /// For each specification, for each image.
    targets: Vec<Vec<u16>>,
}

/// Values of images by their gradients in the first iteration: for each chain, for each image.
struct FirstGradients {
    zero: Vec<u32>,
    /// NaN or infinite.
    invalid: Vec<u32>,
}

impl Made {
    /// Takes what the trainer left, and checks it; `targets` are the random ones.
    pub(super) fn take(
        inbox: &Inbox,
        plan: &Plan,
        batch: &Batch,
        answer: &CraftedAnswer,
        targets: &[u16],
    ) -> Result<Self, Refusal> {
        let images = take(inbox, &answer.images, plan.specs.len() * batch.pixels.len())?;
        let count = (plan.specs.len() + 1) * batch.length;
        let logits = Rows::take(inbox, &answer.logits, count, answer.classes)?;
        let counts = plan.chains.len() * batch.length;
        let zero = take_counts(inbox, &answer.zeros, counts)?;
        let invalid = take_counts(inbox, &answer.invalid, counts)?;
        made(plan, batch, &images, logits, FirstGradients { zero, invalid }, targets)
    }

    /// The events of a micro-batch that was crafted against a victim.
    pub(super) fn events(
        &self,
        plan: &Plan,
        victim: u16,
        batch: &Batch,
        artifact: Hash,
    ) -> Vec<Event> {
        let made = self;
        let mut events = Vec::new();
        for ((spec, number), part) in plan.specs.iter().zip(0_u16..).zip(&made.parts) {
            let holds = |chain: &&Chain| chain.ends.iter().any(|end| end.spec == number);
            let chain = plan.chains.iter().position(|chain| holds(&chain)).unwrap_or(0);
            let of_chain = chain * batch.length..(chain + 1) * batch.length;
            let block = (usize::from(number) + 1) * batch.length;
            let image = |at: usize| {
                let target = made.targets[usize::from(number)][at];
                let crafted = &part.pixels[at * batch.values..(at + 1) * batch.values];
                let difference =
                    || batch.image(at).iter().zip(crafted).map(|(x, y)| x.abs_diff(*y));
                let squares: u64 = difference().map(|d| u64::from(d) * u64::from(d)).sum();
                let lost = |row: usize| loss(&made.logits.wide_row(row), target.into());
                CraftedImage {
                    target,
                    linf: difference().max().unwrap_or(0),
                    l2: single((squares as f64).sqrt()),
                    changed: u32::try_from(difference().filter(|&d| d > 0).count()).unwrap_or(0),
                    zero_gradient: made.gradients.zero[chain * batch.length + at],
                    loss_before: single(lost(at)),
                    loss_after: single(lost(block + at)),
                }
            };
            let crafted = ImagesCrafted {
                victim,
                spec: number,
                first: batch.first,
                iterations: spec.iterations,
                artifact,
                images: (0..batch.length).map(image).collect(),
                invalid_gradient: Some(made.gradients.invalid[of_chain].to_vec())
                    .filter(|counts| counts.iter().any(|&count| count > 0)),
            };
            events.push(crafted.into());
        }
        let all = std::iter::once(None).chain((0..).take(made.parts.len()).map(Some));
        for (source, block) in all.zip(0..) {
            let targets = source.map(|spec: u16| made.targets[usize::from(spec)].as_slice());
            let images = judged(&made.logits, block * batch.length, batch, targets);
            let source = source.map(|spec| Crafting { victim, spec });
            let (first, transformation, repeat) = (batch.first, 0, 0);
            let scored =
                ImagesScored { judge: victim, source, transformation, repeat, first, images };
            events.push(scored.into());
        }
        events
    }
}

/// Checks what a trainer left.
fn made(
    plan: &Plan,
    batch: &Batch,
    images: &[u8],
    logits: Rows,
    gradients: FirstGradients,
    targets: &[u16],
) -> Result<Made, Refusal> {
    let mut counts = gradients.zero.iter().zip(&gradients.invalid);
    if counts.any(|(&zero, &invalid)| u64::from(zero) + u64::from(invalid) > batch.values as u64) {
        let why = "the trainer counts more values than an image has".to_owned();
        return Err(Refusal::Trainer(why));
    }
    let least: Vec<u16> = (0..batch.length)
        .map(|at| u16::try_from(least_likely(&logits.wide_row(at))).unwrap_or(u16::MAX))
        .collect();
    let mut parts = Vec::new();
    for ((spec, number), pixels) in
        plan.specs.iter().zip(0..).zip(images.chunks(batch.pixels.len()))
    {
        // After N whole steps from the clean image no value is further away.
        let reach = u32::from(spec.alpha) * u32::from(spec.iterations);
        let far = batch.pixels.iter().zip(pixels).map(|(x, y)| x.abs_diff(*y)).max();
        if !spec.random_start && u32::from(far.unwrap_or(0)) > reach {
            let far = far.unwrap_or(0);
            return Err(Refusal::Trainer(format!(
                "the trainer moved a value by {far} in {} steps of {}",
                spec.iterations, spec.alpha
            )));
        }
        parts.push(Part { spec: number, eps: spec.eps, pixels: pixels.to_vec() });
    }
    let of = |label| match label {
        Label::True => batch.labels.clone(),
        Label::LeastLikely => least.clone(),
        Label::Random => targets.to_vec(),
    };
    let targets = plan.specs.iter().map(|spec| of(spec.method.label())).collect();
    Ok(Made { parts, logits, gradients, targets })
}

pub(super) fn single(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "recorded in single precision")]
    return value as f32;
}
