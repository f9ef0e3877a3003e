//! Attacks on a device: gradients by pixels alone, whole steps, judging.
//!
//! The arithmetic is that of [`crate::adversary::craft`], on all images of a micro-batch at once.
//! Pixels are f32 of whole values, so a step and a clip round nothing. The loss is a sum over the
//! images: the gradient of one does not depend on how many there are.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Device, Kind, Reduction, Tensor};

use super::model::Model;
use super::reporter::Place;
use super::{TorchError, files};
use crate::adversary::rank::least_likely;
use crate::adversary::spec::Label;
use crate::adversary::sweep::{Chain, End, gradients};
use crate::trainer::protocol::{
    CraftRequest, CraftedAnswer, ModelRequest, ScoreRequest, ScoredAnswer,
};

/// A micro-batch under attack.
struct Attack<'a> {
    model: &'a Model,
    /// count x channels x side x side, f32 of whole values.
    clean: Tensor,
    /// Classes that losses are taken of (i64), by what they are.
    labels: BTreeMap<Label, Tensor>,
    /// Gradients of the clean images, by the same.
    first: BTreeMap<Label, Tensor>,
    place: &'a Place,
    taken: u32,
    all: u32,
}

/// Crafts a micro-batch after all chains of a request.
///
/// # Errors
/// [`TorchError`] if the request contradicts itself, or libtorch or a file fails.
pub fn craft(
    request: &CraftRequest,
    model: &Model,
    device: Device,
    place: &Place,
) -> Result<CraftedAnswer, TorchError> {
    let random = request.chains.iter().filter(|chain| chain.random_start).count();
    let mut blocks = read(&request.images, &request.model, request.count, 1 + random, device)?;
    blocks.reverse();
    let clean = blocks.pop().ok_or_else(|| TorchError::Request("there are no images".into()))?;
    let ends: usize = request.chains.iter().map(|chain| chain.ends.len()).sum();
    if ends == 0 || request.labels.len() != request.count as usize {
        return Err(TorchError::Request("there is nothing to craft, or labels are missing".into()));
    }
    let all = gradients(&request.chains);
    let (labels, first) = (BTreeMap::new(), BTreeMap::new());
    let mut attack = Attack { model, clean, labels, first, place, taken: 0, all };
    let clean_logits = attack.begin(request)?;
    let (mut crafted, mut zeros, mut invalid) = (Vec::new(), Vec::new(), Vec::new());
    for chain in &request.chains {
        let start = match chain.random_start {
            true => blocks.pop(),
            false => None,
        };
        let (images, first) = attack.walk(chain, start)?;
        crafted.extend(images);
        zeros.extend(counts(&first.f_eq(0.0)?)?);
        invalid.extend(counts(&first.f_isfinite()?.f_logical_not()?)?);
    }
    crafted.sort_by_key(|(spec, _)| *spec);
    let classes = u32::try_from(clean_logits.size()[1]).unwrap_or(0);
    let mut logits = numbers(&clean_logits)?;
    let mut images = Vec::new();
    let _guard = tch::no_grad_guard();
    for (_, block) in &crafted {
        place.touch();
        logits.extend(numbers(&model.logits(block)?)?);
        images.extend(bytes(block)?);
    }
    let leave = |what: &str, bytes: &[u8]| -> Result<String, TorchError> {
        let name = format!("{what}-{}", request.id);
        files::write(&request.staging.join(&name), bytes)?;
        Ok(name)
    };
    Ok(CraftedAnswer {
        id: request.id,
        images: leave("images", &images)?,
        logits: leave("logits", &little(&logits))?,
        zeros: leave("zeros", &zeros)?,
        invalid: leave("invalid", &invalid)?,
        classes,
        memory: None,
    })
}

/// Judges images by a model.
///
/// # Errors
/// [`TorchError`] if the request contradicts itself, or libtorch or a file fails.
pub fn score(
    request: &ScoreRequest,
    model: &Model,
    device: Device,
    place: &Place,
) -> Result<ScoredAnswer, TorchError> {
    let _guard = tch::no_grad_guard();
    let images = read(&request.images, &request.model, request.count, 1, device)?;
    let images = images.first().ok_or_else(|| TorchError::Request("no images".into()))?;
    let (mut logits, mut classes, mut start) = (Vec::new(), 0, 0);
    let batch = request.batch.max(1);
    let batches = request.count.div_ceil(batch);
    while start < request.count {
        place.set(1, start / batch, batches);
        let length = batch.min(request.count - start);
        let judged = model.logits(&images.f_narrow(0, start.into(), length.into())?)?;
        classes = u32::try_from(judged.size()[1]).unwrap_or(0);
        logits.extend(numbers(&judged)?);
        start += length;
    }
    let file = format!("logits-{}", request.id);
    files::write(&request.staging.join(&file), &little(&logits))?;
    Ok(ScoredAnswer { id: request.id, logits: file, classes, output: model.output() })
}

impl Attack<'_> {
    /// Looks at the clean images: their logits, the classes that losses are taken of, and the
    /// gradients that chains begin with, all of one forward pass.
    fn begin(&mut self, request: &CraftRequest) -> Result<Tensor, TorchError> {
        let device = self.clean.device();
        let pixels = leaf(&self.clean)?;
        let logits = self.model.logits(&pixels)?;
        let classes = logits.size()[1];
        let class = |&class: &u16| i64::from(class);
        let known: Vec<i64> = request.labels.iter().map(class).collect();
        let targets: Vec<i64> = request.targets.iter().map(class).collect();
        let wide = usize::try_from(classes).unwrap_or(1);
        let least = numbers(&logits.f_detach()?)?
            .chunks(wide)
            .map(|row| least_likely(&row.iter().map(|&score| score.into()).collect::<Vec<f64>>()))
            .map(|class| i64::try_from(class).unwrap_or(0))
            .collect();
        for (label, list) in
            [(Label::True, known), (Label::LeastLikely, least), (Label::Random, targets)]
        {
            if !request.chains.iter().any(|chain| chain.label == label) {
                continue;
            }
            if list.len() != request.labels.len() || list.iter().any(|&class| class >= classes) {
                let why = format!("a class of the images is none of the model's {classes}");
                return Err(TorchError::Request(why));
            }
            self.labels.insert(label, Tensor::f_from_slice(&list)?.f_to_device(device)?);
        }
        let begin = |label: &Label| {
            request.chains.iter().any(|chain| chain.label == *label && chain.begins_clean())
        };
        let wanted: Vec<Label> = self.labels.keys().copied().filter(begin).collect();
        for (index, &label) in wanted.iter().enumerate() {
            self.tell();
            let keep = index + 1 < wanted.len();
            let gradient = differentiate(&logits, &self.labels[&label], &pixels, keep)?;
            self.first.insert(label, gradient);
        }
        Ok(logits.f_detach()?)
    }

    /// All attacks of a chain with the number of their specification, and the first gradient.
    fn walk(
        &mut self,
        chain: &Chain,
        start: Option<Tensor>,
    ) -> Result<(Vec<(u16, Tensor)>, Tensor), TorchError> {
        let first = match &start {
            None => self.first[&chain.label].shallow_clone(),
            Some(start) => self.gradient(start, chain.label)?,
        };
        let start = start.unwrap_or_else(|| self.clean.shallow_clone());
        let mut crafted = Vec::new();
        if chain.alpha == 0 {
            for end in &chain.ends {
                let image = self.step(&start, &first, chain.away, end.eps, end.eps)?;
                crafted.push((end.spec, image));
            }
            return Ok((crafted, first));
        }
        let largest = chain.ends.iter().map(|end| end.eps).max().unwrap_or(0);
        let mut trunk = start;
        for done in 0..=chain.trunk() {
            let here = |end: &&End| chain.shared(end) == done;
            for end in chain.ends.iter().filter(here) {
                let mut image = trunk.shallow_clone();
                for step in done..end.steps {
                    image = self.onward(chain, &image, step, &first, end.eps)?;
                }
                crafted.push((end.spec, image));
            }
            if done < chain.trunk() {
                trunk = self.onward(chain, &trunk, done, &first, largest)?;
            }
        }
        Ok((crafted, first))
    }

    /// The iterate after `iterate`, which is number `step` of its chain.
    fn onward(
        &mut self,
        chain: &Chain,
        iterate: &Tensor,
        step: u16,
        first: &Tensor,
        eps: u8,
    ) -> Result<Tensor, TorchError> {
        let gradient = match step {
            0 => first.shallow_clone(),
            _ => self.gradient(iterate, chain.label)?,
        };
        self.step(iterate, &gradient, chain.away, chain.alpha, eps)
    }

    fn gradient(&mut self, iterate: &Tensor, label: Label) -> Result<Tensor, TorchError> {
        self.tell();
        let pixels = leaf(iterate)?;
        differentiate(&self.model.logits(&pixels)?, &self.labels[&label], &pixels, false)
    }

    /// One step, clipped to the box around the clean images and to 0..255.
    fn step(
        &self,
        iterate: &Tensor,
        gradient: &Tensor,
        away: bool,
        step: u8,
        eps: u8,
    ) -> Result<Tensor, TorchError> {
        let _guard = tch::no_grad_guard();
        let by = if away { f64::from(step) } else { -f64::from(step) };
        // The sign of NaN is 0, so such a value stays where it is; that of an infinity is known.
        let moved = gradient.f_sign()?.f_mul_scalar(by)?.f_add(iterate)?;
        let (low, high) = (
            self.clean.f_sub_scalar(f64::from(eps))?.f_clamp_min(0.0)?,
            self.clean.f_add_scalar(f64::from(eps))?.f_clamp_max(255.0)?,
        );
        Ok(moved.f_maximum(&low)?.f_minimum(&high)?)
    }

    fn tell(&mut self) {
        self.place.set(1, self.taken, self.all);
        self.taken += 1;
    }
}

/// Pixels that a loss can be differentiated by.
fn leaf(pixels: &Tensor) -> Result<Tensor, TorchError> {
    Ok(pixels.f_detach()?.f_set_requires_grad(true)?)
}

/// The gradient by the pixels of the cross-entropy of the images' classes, summed over the images.
///
/// libtorch would dereference a null pointer for a loss that depends on nothing, and gives an
/// undefined tensor if it depends on something else than the pixels.
fn differentiate(
    logits: &Tensor,
    labels: &Tensor,
    pixels: &Tensor,
    keep_graph: bool,
) -> Result<Tensor, TorchError> {
    let none = || TorchError::Request("its output cannot be differentiated by the pixels".into());
    let loss = logits.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::Sum, -100, 0.0)?;
    if !loss.requires_grad() {
        return Err(none());
    }
    let mut gradients = Tensor::f_run_backward(&[&loss], &[pixels], keep_graph, false)?;
    gradients.pop().filter(Tensor::defined).ok_or_else(none)
}

/// Blocks of `count` images from a file of bytes.
fn read(
    path: &Path,
    model: &ModelRequest,
    count: u32,
    blocks: usize,
    device: Device,
) -> Result<Vec<Tensor>, TorchError> {
    let bytes = files::read(path)?;
    let side = model.side as usize;
    let block = count as usize * model.channels as usize * side * side;
    if bytes.len() != block * blocks || block == 0 {
        let (found, expected, path) = (bytes.len(), block * blocks, path.display());
        let message = format!("{path} has {found} bytes, the images have {expected}");
        return Err(TorchError::Request(message));
    }
    let size = [count.into(), model.channels.into(), model.side.into(), model.side.into()];
    let tensor = |bytes: &[u8]| -> Result<Tensor, TorchError> {
        let bytes = Tensor::f_from_slice(bytes)?.f_view(size)?.f_to_device(device)?;
        Ok(bytes.f_to_kind(Kind::Float)?)
    };
    bytes.chunks(block).map(tensor).collect()
}

/// Whole values from 0 to 255 as bytes.
fn bytes(images: &Tensor) -> Result<Vec<u8>, TorchError> {
    let images = images.f_to_kind(Kind::Uint8)?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0_u8; images.numel()];
    images.f_copy_data(&mut bytes, images.numel())?;
    Ok(bytes)
}

fn numbers(values: &Tensor) -> Result<Vec<f32>, TorchError> {
    let values = values.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut numbers = vec![0_f32; values.numel()];
    values.f_copy_data(&mut numbers, values.numel())?;
    Ok(numbers)
}

/// How many values of each image are marked, as bytes.
fn counts(marked: &Tensor) -> Result<Vec<u8>, TorchError> {
    let sums = marked.f_flatten(1, -1)?.f_sum_dim_intlist(1, false, Kind::Int64)?;
    let sums = sums.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut counts = vec![0_i64; sums.numel()];
    sums.f_copy_data(&mut counts, sums.numel())?;
    let narrow = |count: i64| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
    Ok(counts.into_iter().flat_map(narrow).collect())
}

fn little(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
