//! Training one network by a recipe.
//!
//! The paper's way (Baker et al. 2017, section 4.2): Adam, a learning rate that falls in steps,
//! validation after every epoch, and, if the first epoch left the network no better than chance, a
//! new start at a lower rate. Within an epoch the host never waits for the device: loss and counts
//! add up there and are read once.

use std::time::Instant;

use tch::{Device, Kind, Reduction, Tensor};

use super::augment::Variation;
use super::checkpoint::Checkpoint;
use super::data::DeviceData;
use super::masks::Masks;
use super::network::{Mode, Network};
use super::optimiser::Optimiser;
use super::preprocess::Preprocessing;
use super::reporter::Place;
use super::{TorchError, files};
use crate::chance::Stream;
use crate::config::recipe::WeightsOf;
use crate::trainer::protocol::{
    Answer, EpochAnswer, FailedReason, FinishedAnswer, PredictedPart, PredictionAnswer,
    TrainRequest,
};

/// Images evaluated at once. Fixed, so that no result depends on it.
const EVALUATION_BATCH: u32 = 256;

/// How a training ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Well.
    Finished(FinishedAnswer),
    /// It cannot be trained.
    Failed {
        /// Why.
        reason: FailedReason,
        /// For people.
        message: String,
    },
}

/// Follows a request on images that are on their device. Each epoch and checkpoint is told to
/// `tell`; where training is can be seen in `place` at any time.
///
/// # Errors
/// [`TorchError`] if the request contradicts itself, or libtorch or a file fails.
pub fn train(
    request: &TrainRequest,
    data: &DeviceData,
    place: &Place,
    tell: &mut dyn FnMut(Answer),
) -> Result<Outcome, TorchError> {
    request.recipe.check()?;
    if request.architecture.classes() != data.classes {
        let (found, classes) = (request.architecture.classes(), data.classes);
        let message = format!("the architecture has {found} classes, the data {classes}");
        return Err(TorchError::Request(message));
    }
    let preprocessing = data.preprocessing(request.recipe.preprocess)?;
    if let Some(resume) = &request.resume {
        let checkpoint = Checkpoint::load(&resume.file, data.device())?;
        let (is, told) = ((checkpoint.restart, checkpoint.epoch), (resume.restart, resume.epoch));
        if is != told {
            let message = format!("the checkpoint is of (restart, epoch) {is:?}, not {told:?}");
            return Err(TorchError::Request(message));
        }
        let mut attempt = Attempt::new(request, data, &preprocessing, place, is.0)?;
        attempt.restore(checkpoint)?;
        return attempt.go_on(is.1 + 1, tell);
    }
    let chance = request.recipe.chance_for(data.classes);
    for restart in 0..=request.recipe.restarts {
        let mut attempt = Attempt::new(request, data, &preprocessing, place, restart)?;
        let Some(first) = attempt.epoch(1)? else { return Ok(non_finite(restart, 1)) };
        tell(Answer::Epoch(first));
        if accuracy(&first) > chance {
            attempt.checkpoint(1, tell)?;
            return attempt.go_on(2, tell);
        }
    }
    Ok(Outcome::Failed {
        reason: FailedReason::Chance,
        message: format!(
            "no better than chance ({chance}) after the first epoch at each of {} learning rates",
            request.recipe.restarts + 1
        ),
    })
}

fn accuracy(epoch: &EpochAnswer) -> f64 {
    f64::from(epoch.validation_correct) / f64::from(epoch.validation_total)
}

fn non_finite(restart: u32, epoch: u32) -> Outcome {
    let message = format!("the loss of epoch {epoch} (restart {restart}) is not a finite number");
    Outcome::Failed { reason: FailedReason::NonFinite, message }
}

/// One training from the start, at one series of learning rates.
struct Attempt<'a> {
    request: &'a TrainRequest,
    data: &'a DeviceData,
    preprocessing: &'a Preprocessing,
    place: &'a Place,
    restart: u32,
    seed: u64,
    network: Network,
    optimiser: Optimiser,
    masks: Masks,
    best: Option<Best>,
}

/// The weights of the best epoch so far.
struct Best {
    correct: u32,
    weights: Tensor,
}

impl<'a> Attempt<'a> {
    fn new(
        request: &'a TrainRequest,
        data: &'a DeviceData,
        preprocessing: &'a Preprocessing,
        place: &'a Place,
        restart: u32,
    ) -> Result<Self, TorchError> {
        let seed = match restart {
            0 => request.seed,
            again => Stream::new(request.seed, "restart", again.into()).bits(),
        };
        let recipe = &request.recipe;
        let (device, shape) = (data.device(), data.shape);
        let mut network = Network::new(&request.architecture, shape, recipe, seed, device)?;
        if let Some(initial) = &request.initial {
            network.parameters().take_over(&initial.file, &initial.layers)?;
            network.parameters_mut().freeze(initial.freeze.into())?;
        }
        let optimiser = Optimiser::new(recipe, &network.parameters().trained()?)?;
        Ok(Self {
            request,
            data,
            preprocessing,
            place,
            restart,
            seed,
            network,
            optimiser,
            masks: Masks::new(seed),
            best: None,
        })
    }

    /// The epochs from `next` on, and the end.
    fn go_on(mut self, next: u32, tell: &mut dyn FnMut(Answer)) -> Result<Outcome, TorchError> {
        for epoch in next..=self.request.recipe.epochs {
            let Some(answer) = self.epoch(epoch)? else {
                return Ok(non_finite(self.restart, epoch));
            };
            tell(Answer::Epoch(answer));
            self.checkpoint(epoch, tell)?;
        }
        let weights = self.save()?;
        let predictions = if self.request.predict { self.predict()? } else { Vec::new() };
        Ok(Outcome::Finished(FinishedAnswer {
            id: self.request.id,
            parameters: self.network.parameters().count(),
            weights,
            peak_memory: 0, // the process knows
            predictions,
        }))
    }

    /// Leaves a checkpoint after `epoch`, if any are wanted.
    fn checkpoint(&self, epoch: u32, tell: &mut dyn FnMut(Answer)) -> Result<(), TorchError> {
        if !self.request.checkpoints || self.request.staging.as_os_str().is_empty() {
            return Ok(());
        }
        let (id, restart) = (self.request.id, self.restart);
        let (tensors, numbers) = self.optimiser.state();
        let best = self.best.as_ref().map(|best| (best.correct, best.weights.shallow_clone()));
        let checkpoint = Checkpoint {
            restart,
            epoch,
            drawn: self.masks.drawn(),
            weights: self.network.parameters().buffer().shallow_clone(),
            best,
            tensors: tensors.into_iter().map(Tensor::shallow_clone).collect(),
            numbers,
        };
        let file = format!("checkpoint-{id}-{restart}-{epoch}.safetensors");
        checkpoint.save(&self.request.staging.join(&file))?;
        tell(Answer::Checkpoint { id, restart, epoch, file });
        Ok(())
    }

    /// Takes up where a checkpoint was made.
    fn restore(&mut self, checkpoint: Checkpoint) -> Result<(), TorchError> {
        self.network.parameters().set(&checkpoint.weights)?;
        self.optimiser.restore(&checkpoint.tensors, checkpoint.numbers)?;
        self.masks = Masks::after(self.seed, checkpoint.drawn);
        self.best = checkpoint.best.map(|(correct, weights)| Best { correct, weights });
        Ok(())
    }

    /// Leaves the class probabilities of validation and test images by the weights that stand for
    /// the training.
    fn predict(&self) -> Result<Vec<PredictionAnswer>, TorchError> {
        let _guard = tch::no_grad_guard();
        if let Some(best) = &self.best {
            self.network.parameters().set(&best.weights)?;
        }
        let test = self.data.test(&self.request.data)?;
        let (mut answers, mut done) = (Vec::new(), 0);
        let counts = [self.data.validation.count(), test.count()];
        let all = counts.map(|count| count.div_ceil(EVALUATION_BATCH)).iter().sum();
        for part in PredictedPart::ALL {
            let images = match part {
                PredictedPart::Validation => &self.data.validation,
                PredictedPart::Test => &test,
            };
            let mut bytes = Vec::new();
            for batch in batches(images.count(), EVALUATION_BATCH) {
                self.place.set(self.request.recipe.epochs, done, all);
                done += 1;
                let (pixels, _) = images.slice(batch.start, batch.length, self.preprocessing)?;
                let logits = self.network.forward(&pixels, Mode::Evaluate)?;
                let rows = logits.f_softmax(1, Kind::Double)?.f_to_kind(Kind::Float)?;
                let mut values = vec![0_f32; rows.numel()];
                rows.f_to_device(Device::Cpu)?.f_copy_data(&mut values, rows.numel())?;
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            let file = format!("probabilities-{}-{}", part.name(), self.request.id);
            files::write(&self.request.staging.join(&file), &bytes)?;
            answers.push(PredictionAnswer { part, file });
        }
        Ok(answers)
    }

    /// Trains for an epoch and validates; `None` if a loss is not finite.
    fn epoch(&mut self, epoch: u32) -> Result<Option<EpochAnswer>, TorchError> {
        let started = Instant::now();
        let learning_rate = self.request.recipe.learning_rate_at(self.restart, epoch);
        let train = self.train(epoch)?;
        let validation = self.validate(epoch)?;
        if !(train.loss.is_finite() && validation.loss.is_finite()) {
            return Ok(None);
        }
        self.keep(validation.correct)?;
        Ok(Some(EpochAnswer {
            id: self.request.id,
            restart: self.restart,
            epoch,
            learning_rate,
            train_loss: train.loss,
            train_correct: train.correct,
            train_total: train.total,
            validation_loss: validation.loss,
            validation_correct: validation.correct,
            validation_total: validation.total,
            seconds: started.elapsed().as_secs_f64(),
        }))
    }

    fn train(&mut self, epoch: u32) -> Result<Measured, TorchError> {
        let (images, recipe) = (&self.data.train, &self.request.recipe);
        let mut order: Vec<i64> = (0..i64::from(images.count())).collect();
        Stream::new(self.seed, "order", epoch.into()).shuffle(&mut order);
        let order = Tensor::f_from_slice(&order)?.f_to_device(self.data.device())?;
        let mut tally = Tally::new(self.data.device())?;
        let variation =
            Variation::new(recipe.augment, self.seed, epoch, images.count(), self.data.device())?;
        let evaluated = self.data.validation.count().div_ceil(EVALUATION_BATCH);
        for batch in batches(images.count(), recipe.batch) {
            self.place.set(epoch, batch.number, batch.of + evaluated);
            let indices = order.f_narrow(0, batch.start.into(), batch.length.into())?;
            let (pixels, labels) = images.gather(&indices, self.preprocessing)?;
            let pixels = variation.apply(pixels, batch.start)?;
            let logits = self.network.forward(&pixels, Mode::Train(&mut self.masks))?;
            let loss = cross_entropy(&logits, &labels, recipe.label_smoothing)?;
            let parameters = self.network.parameters();
            let gradient = parameters.gradient(&loss)?;
            let rate = recipe.learning_rate_in(self.restart, epoch, batch.number, batch.of);
            self.optimiser.step(&parameters.trained()?, gradient, rate)?;
            tally.add(&loss, &logits, &labels, batch.length)?;
        }
        tally.read()
    }

    /// Its batches follow those of the epoch's training, so that progress never stands still.
    fn validate(&self, epoch: u32) -> Result<Measured, TorchError> {
        let _guard = tch::no_grad_guard();
        let images = &self.data.validation;
        let trained = self.data.train.count().div_ceil(self.request.recipe.batch);
        let mut tally = Tally::new(self.data.device())?;
        for batch in batches(images.count(), EVALUATION_BATCH) {
            self.place.set(epoch, trained + batch.number, trained + batch.of);
            let (pixels, labels) = images.slice(batch.start, batch.length, self.preprocessing)?;
            let logits = self.network.forward(&pixels, Mode::Evaluate)?;
            let loss = cross_entropy(&logits, &labels, 0.0)?;
            tally.add(&loss, &logits, &labels, batch.length)?;
        }
        tally.read()
    }

    /// Keeps a copy of the weights if they are the best so far, the earliest of equals.
    fn keep(&mut self, correct: u32) -> Result<(), TorchError> {
        let better = self.best.as_ref().is_none_or(|best| correct > best.correct);
        if self.request.weights == WeightsOf::Best && better {
            let weights = self.network.parameters().snapshot()?;
            self.best = Some(Best { correct, weights });
        }
        Ok(())
    }

    /// Leaves the weights in the staging folder; their name there.
    fn save(&self) -> Result<Option<String>, TorchError> {
        if self.request.staging.as_os_str().is_empty() {
            return Ok(None); // nobody would take them
        }
        let name = format!("weights-{}.safetensors", self.request.id);
        let parameters = self.network.parameters();
        let weights = self.best.as_ref().map_or(parameters.buffer(), |best| &best.weights);
        parameters.save(weights, &self.request.staging.join(&name))?;
        Ok(Some(name))
    }
}

/// Consecutive images of an epoch.
struct Batch {
    number: u32,
    of: u32,
    start: u32,
    length: u32,
}

/// All images in batches of `size`; the last may be smaller.
fn batches(count: u32, size: u32) -> impl Iterator<Item = Batch> {
    let of = count.div_ceil(size);
    (0..of).map(move |number| {
        let start = number * size;
        Batch { number, of, start, length: size.min(count - start) }
    })
}

fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor, TorchError> {
    let none = None::<Tensor>;
    Ok(logits.f_cross_entropy_loss(labels, none, Reduction::Mean, -100, smoothing)?)
}

/// Mean loss and counts over images.
struct Measured {
    loss: f64,
    correct: u32,
    total: u32,
}

/// Sums that grow on the device.
struct Tally {
    loss: Tensor,
    correct: Tensor,
    total: u32,
}

impl Tally {
    fn new(device: Device) -> Result<Self, TorchError> {
        let loss = Tensor::f_zeros([0; 0], (Kind::Double, device))?;
        let correct = Tensor::f_zeros([0; 0], (Kind::Int64, device))?;
        Ok(Self { loss, correct, total: 0 })
    }

    fn add(
        &mut self,
        loss: &Tensor,
        logits: &Tensor,
        labels: &Tensor,
        images: u32,
    ) -> Result<(), TorchError> {
        let sum = loss.f_detach()?.f_to_kind(Kind::Double)?.f_mul_scalar(f64::from(images))?;
        let right = logits.f_argmax(1, false)?.f_eq_tensor(labels)?.f_sum(Kind::Int64)?;
        let _ = self.loss.f_add_(&sum)?;
        let _ = self.correct.f_add_(&right)?;
        self.total += images;
        Ok(())
    }

    /// Waits for the device.
    fn read(self) -> Result<Measured, TorchError> {
        let loss = self.loss.f_double_value(&[])? / f64::from(self.total);
        let correct = u32::try_from(self.correct.f_int64_value(&[])?).unwrap_or(0);
        Ok(Measured { loss, correct, total: self.total })
    }
}
