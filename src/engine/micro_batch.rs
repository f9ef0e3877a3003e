//! Micro-batches of an attack: their clean images, and what models make of copies of them.

use std::rc::Rc;

use super::EngineError;
use super::attack::AttackEngine;
use super::workplace::{Lost, Rows};
use crate::adversary::job::{Plan, Step};
use crate::adversary::pack::Part;
use crate::log::EventLog;
use crate::trainer::protocol::{Answer, Request, ScoreRequest, ScoredAnswer};

/// Most bytes of images in one request: copies of a micro-batch go to the trainer some at a time.
const REQUEST_BYTES: usize = 64 << 20;

/// Makes copies of a micro-batch, a block of images each.
pub(super) type Make<'a, T> = &'a dyn Fn(&Plan, &[T]) -> Vec<Vec<u8>>;

/// A micro-batch of clean images.
#[derive(Debug)]
pub struct Batch {
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

    pub(super) fn image(&self, at: usize) -> &[u8] {
        &self.pixels[at * self.values..(at + 1) * self.values]
    }
}

/// The clean images of a micro-batch, or those of `last` that were crafted after a specification.
pub(super) fn source(
    batch: &Batch,
    spec: Option<u16>,
    last: Option<&(u16, u32, Vec<Part>)>,
) -> Vec<u8> {
    match (spec, last) {
        (Some(spec), Some((_, _, parts))) => {
            let part = parts.iter().find(|part| part.spec == spec);
            part.map(|part| part.pixels.clone()).unwrap_or_default()
        }
        _ => batch.pixels.clone(),
    }
}

impl<L: EventLog> AttackEngine<'_, L> {
    /// The micro-batch at `first`. Steps that follow one another are about the same one.
    pub(super) fn batch(&mut self, first: u32) -> Result<Rc<Batch>, EngineError> {
        if let Some(batch) = self.clean.as_ref().filter(|batch| batch.first == first) {
            return Ok(Rc::clone(batch));
        }
        let length = self.plan().map_or(0, |plan| plan.length(first, self.attack.images()));
        let range = first as usize..(first + length) as usize;
        let indices = self.attack.pool().get(range.clone()).unwrap_or_default().to_vec();
        let output = |&class: &u16| self.plan().map_or(class, |plan| plan.settings.output(class));
        let labels = self.attack.labels().get(range).unwrap_or_default().iter().map(output);
        let labels = labels.collect();
        let (values, pixels) = (self.images.length(), self.images.gather(&indices)?);
        let batch =
            Rc::new(Batch { first, length: indices.len(), values, pixels, indices, labels });
        self.clean = Some(Rc::clone(&batch));
        Ok(batch)
    }

    /// What a model makes of copies of a micro-batch, a block each, which `make` makes. No more of
    /// them are in memory than fit into a request.
    pub(super) fn score<T>(
        &mut self,
        step: Step,
        judge: u16,
        batch: &Batch,
        copies: &[T],
        make: Make<'_, T>,
    ) -> Result<Result<Rows, Lost>, EngineError> {
        let at_once = (REQUEST_BYTES / batch.pixels.len().max(1)).max(1);
        let requests = copies.len().div_ceil(at_once);
        let mut all = Rows::default();
        for (copies, number) in copies.chunks(at_once).zip(0..) {
            let Some(plan) = self.plan() else { return Ok(Err("the attack is not open".into())) };
            let (images, dtype) = (make(plan, copies).concat(), plan.settings.dtype);
            let images = self.workplace.inbox.give("judged", &images)?;
            let (id, count) = (self.workplace.next_id(), copies.len() * batch.length);
            let request = ScoreRequest {
                id,
                model: self.models[usize::from(judge)].clone(),
                images,
                count: u32::try_from(count).unwrap_or(0),
                batch: u32::try_from(batch.length).unwrap_or(1),
                dtype,
                device: self.workplace.device.clone(),
                threads: self.workplace.threads,
                staging: self.workplace.inbox.path().to_owned(),
            };
            let request = Request::Score(Box::new(request));
            let rows = match self.ask(step, &request, id, (number, requests))? {
                Ok(Answer::Scored(ScoredAnswer { logits, classes, .. })) => {
                    self.workplace.take_logits(&logits, count, classes)?
                }
                Ok(other) => Err(format!("it said {other:?} to what was to be judged")),
                Err(lost) => Err(lost),
            };
            match rows.and_then(|rows| all.append(rows)) {
                Ok(()) => {}
                Err(lost) => return Ok(Err(lost)),
            }
        }
        Ok(Ok(all))
    }
}
