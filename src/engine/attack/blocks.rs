//! Micro-batches of an attack, and copies of them, a block of images each, that a model is to score:
//! with noise, transformed, or crafted against another model.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::adversary::job::{Plan, Step};
use crate::adversary::noise::noisy;
use crate::adversary::pack::Part;
use crate::adversary::rank;
use crate::adversary::transform::{self, Image};
use crate::engine::rows::Rows;
use crate::events::{Crafting, ScoredImage};

/// Most bytes of images in one request: blocks go to the trainer some at a time.
const REQUEST_BYTES: usize = 64 << 20;

/// A micro-batch of clean images.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) first: u32,
    pub(super) length: usize,
    /// Values of an image.
    pub(super) values: usize,
    pub(super) pixels: Vec<u8>,
    pub(super) indices: Vec<u32>,
    /// The outputs that mean their true classes.
    pub(super) labels: Vec<u16>,
}

impl Batch {
    /// Its first so many images.
    pub(super) fn start(&self, length: usize) -> Self {
        let length = self.length.min(length);
        Self {
            length,
            pixels: self.pixels[..length * self.values].to_vec(),
            indices: self.indices[..length].to_vec(),
            labels: self.labels[..length].to_vec(),
            ..*self
        }
    }

    /// How many blocks are in a request, and so in memory.
    pub(super) fn at_once(&self) -> usize {
        (REQUEST_BYTES / self.pixels.len().max(1)).max(1)
    }

    pub(super) fn image(&self, at: usize) -> &[u8] {
        &self.pixels[at * self.values..(at + 1) * self.values]
    }
}

/// A copy of a micro-batch: where its images come from, and what is done to them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// How they were crafted; `None`: they are clean.
    pub(super) source: Option<Crafting>,
    pub(super) transformation: u16,
    pub(super) repeat: u16,
}

impl Block {
    /// What a step has a model score.
    pub(super) fn of(step: Step, plan: &Plan) -> Vec<Self> {
        let crafted = |victim, spec| {
            let source = Some(Crafting { victim, spec });
            Self { source, transformation: 0, repeat: 0 }
        };
        match step {
            Step::Craft { .. } => Vec::new(),
            Step::Noise { victim, .. } => {
                let noise = 0..plan.noise.len();
                noise.map(|noise| crafted(victim, plan.noise_number(noise))).collect()
            }
            Step::Own { victim, spec, .. } => {
                let source = spec.map(|spec| Crafting { victim, spec });
                let copies = plan.copies(step);
                copies
                    .map(|(transformation, repeat)| Self { source, transformation, repeat })
                    .collect()
            }
            Step::Cross { victim, .. } => {
                let specs = u16::try_from(plan.specs.len()).unwrap_or(u16::MAX);
                (0..specs).map(|spec| crafted(victim, spec)).collect()
            }
        }
    }

    /// The images of some blocks; `parts` are those that were crafted.
    pub(super) fn images(
        some: &[Self],
        plan: &Plan,
        batch: &Batch,
        parts: &[Part],
        (channels, side): (usize, usize),
    ) -> Vec<u8> {
        let image = |block: &Self| {
            let pixels = block.pixels(plan, batch, parts);
            let Some(repeated) = plan
                .transforms
                .get(usize::from(block.transformation))
                .filter(|_| block.transformation > 0)
            else {
                return pixels.into_owned();
            };
            let (what, seed) = (&*repeated.transform, plan.settings.seed);
            let images = pixels.chunks(batch.values).zip(&batch.indices);
            let one = |(values, &index): (&[u8], &u32)| {
                let mut chance = transform::chance(seed, what, block.repeat, index);
                what.apply(Image { values, channels, side }, &mut chance)
            };
            images.flat_map(one).collect()
        };
        let blocks: Vec<Vec<u8>> = some.par_iter().map(image).collect();
        blocks.concat()
    }

    /// Its images before they are transformed.
    fn pixels<'a>(&self, plan: &Plan, batch: &'a Batch, parts: &'a [Part]) -> Cow<'a, [u8]> {
        match self.source.map(|source| source.spec) {
            None => Cow::Borrowed(&batch.pixels),
            Some(spec) if plan.is_noise(spec) => {
                let noise = plan.noise.get(usize::from(spec) - plan.specs.len());
                let (eps, seed) = (noise.map_or(0, |noise| noise.eps), plan.settings.seed);
                let images = batch.pixels.chunks(batch.values).zip(&batch.indices);
                images.flat_map(|(clean, &index)| noisy(seed, index, eps, clean)).collect()
            }
            Some(spec) => {
                let part = parts.iter().find(|part| part.spec == spec);
                Cow::Borrowed(part.map_or(&[], |part| &part.pixels))
            }
        }
    }
}

/// What a model made of the images from row `start` on.
pub(super) fn judged(
    logits: &Rows,
    start: usize,
    batch: &Batch,
    targets: Option<&[u16]>,
) -> Vec<ScoredImage> {
    let image = |(at, &truth): (usize, &u16)| {
        let target = targets.and_then(|targets| targets.get(at)).map(|&target| target.into());
        match rank::score(logits.row(start + at), truth.into(), target) {
            Some(score) => ScoredImage {
                rank: score.rank,
                top1: score.top1,
                p_top1: score.p_top1,
                p_true: score.p_true,
                target_rank: score.target_rank,
                flags: 0,
            },
            None => ScoredImage {
                rank: ScoredImage::NONE,
                top1: ScoredImage::NONE,
                p_top1: 0.0,
                p_true: 0.0,
                target_rank: ScoredImage::NONE,
                flags: ScoredImage::NOT_FINITE,
            },
        }
    };
    batch.labels.iter().enumerate().map(image).collect()
}
