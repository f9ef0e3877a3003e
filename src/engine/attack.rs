//! Carrying out an attack, a micro-batch at a time: the trainer differentiates and evaluates, this
//! transforms, checks, ranks, packs and records.
//!
//! Nothing the trainer says is believed: crafted images must be within their boxes, files as long
//! as they have to be. What does not hold loses the step, and the trainer with it; a step is tried
//! three times.

mod noise;
use std::rc::Rc;

use rayon::prelude::*;

use super::faults::{self, Room};
use super::jobs::Index;
use super::journal::{Despite, Durable, Journal};
use super::micro_batch::{Batch, source};
use super::workplace::{Lost, Rows, Workplace};
use super::{Ending, EngineError};
use crate::adversary::job::{Attack, Plan, Step};
use crate::adversary::pack::{self, Part};
use crate::adversary::rank::{self, least_likely, loss};
use crate::adversary::spec::Label;
use crate::adversary::transform::{self, Image};
use crate::agent::trials::ATTEMPTS_MAX;
use crate::data::ImageSet;
use crate::events::{
    AttackTrainer, CraftedImage, Crafting, Event, Fold as _, Hash, ImagesCrafted, ImagesScored,
    Scope, ScoredImage, folding,
};
use crate::log::EventLog;
use crate::log::artifacts::Artifacts;
use crate::trainer::protocol::{Answer, CraftRequest, CraftedAnswer, Hello, ModelRequest, Request};

/// What a person may want to see.
#[derive(Debug)]
pub enum AttackNews<'a> {
    /// A trainer was started.
    Trainer(&'a Hello),
    /// A step has begun, or goes on: this share of it is done.
    Working(Step, f64),
    /// A step is recorded.
    Done(Step),
    /// A step was lost; it is tried again.
    Lost(&'a str),
    /// There is little free space.
    LowSpace(&'a Room),
    /// It goes on with something else than before: its results may differ in some bits.
    OtherComputer(&'a AttackTrainer, &'a AttackTrainer),
    /// Asked to stop: the running step is the last.
    Stopping,
}

/// Sees what happens.
pub trait AttackReport {
    /// Something happened; `attack` is the state after it.
    fn news(&mut self, attack: &Attack, news: &AttackNews<'_>);
}

impl AttackReport for () {
    fn news(&mut self, _: &Attack, _: &AttackNews<'_>) {}
}

/// Everything needed to carry out one attack.
pub struct AttackEngine<'a, L> {
    /// Whose events they are.
    pub scope: Scope,
    /// The state.
    pub attack: &'a mut Attack,
    /// The way into the log.
    pub journal: &'a mut Journal<L>,
    /// What else the log holds.
    pub index: &'a mut Index,
    /// Where crafted images are kept.
    pub artifacts: Artifacts,
    /// The test part.
    pub images: &'a ImageSet,
    /// The models by number.
    pub models: &'a [ModelRequest],
    /// Who computes.
    pub workplace: &'a mut Workplace,
    /// Whether it was asked to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Who watches.
    pub report: &'a mut dyn AttackReport,
    /// What was crafted last: victim, first image, images.
    pub last: Option<(u16, u32, Vec<Part>)>,
    /// The clean images that were looked at last.
    pub clean: Option<Rc<Batch>>,
}

impl<L: EventLog> AttackEngine<'_, L> {
    /// Carries on until nothing is left to do, or it is asked to stop.
    ///
    /// # Errors
    /// [`EngineError`]. What is recorded by then is whole, and can be resumed.
    pub fn run(&mut self) -> Result<Ending, EngineError> {
        let (mut lost, mut warned) = (0, false);
        while let Some(step) = self.attack.next() {
            if (self.stop)() {
                return Ok(Ending::Interrupted);
            }
            let room = self.workplace.inbox.check(self.needed())?;
            if room.free < faults::LOW && !warned {
                warned = true;
                self.report.news(self.attack, &AttackNews::LowSpace(&room));
            }
            self.muster()?;
            self.report.news(self.attack, &AttackNews::Working(step, 0.0));
            match self.carry_out(step)? {
                Ok(events) => {
                    lost = 0;
                    self.record(&events)?;
                    self.report.news(self.attack, &AttackNews::Done(step));
                }
                Err(reason) => {
                    let reason = self.workplace.dismiss(&reason);
                    self.workplace.look_for_faults(self.needed())?;
                    lost += 1;
                    if lost >= ATTEMPTS_MAX {
                        return Ok(Ending::Lost(reason));
                    }
                    self.report.news(self.attack, &AttackNews::Lost(&reason));
                }
            }
        }
        if !self.attack.is_finished() {
            let closing = self.attack.closing();
            self.record(&[closing.into()])?;
        }
        Ok(Ending::Finished)
    }

    /// Bytes of free space that a step may need: its images, as they come and packed, for each way
    /// to craft or transform them.
    fn needed(&self) -> u64 {
        let Some(plan) = self.plan() else { return faults::MARGIN };
        let values = u64::from(self.images.channels) * u64::from(self.images.side).pow(2);
        let blocks = plan.specs.len().max(plan.transforms.len()) as u64 + 1;
        let batch = u64::from(plan.settings.batch).min(u64::from(self.attack.images()));
        faults::MARGIN.saturating_add(values.saturating_mul(batch).saturating_mul(2 * blocks))
    }

    fn record(&mut self, events: &[Event]) -> Result<(), EngineError> {
        let (index, despite) = (&mut *self.index, Despite::Anything);
        let recorded =
            self.journal.put(self.scope, events, Durable::Now, despite, folding(index))?;
        self.artifacts.settled();
        for recorded in recorded.unwrap_or_default() {
            let Ok(()) = index.apply(recorded);
            self.attack.apply(recorded)?;
        }
        Ok(())
    }

    /// Makes sure that there is a trainer; who that is, is recorded.
    fn muster(&mut self) -> Result<(), EngineError> {
        let hello = self.workplace.muster()?;
        let now = AttackTrainer {
            device: self.workplace.device.clone(),
            threads: self.workplace.threads,
            trainer: hello.program.clone(),
            library: hello.library.clone(),
            isa: hello.isa.clone(),
            host: self.workplace.host.clone(),
        };
        let before = self.attack.trainer().cloned();
        if before.as_ref() == Some(&now) {
            return Ok(());
        }
        self.report.news(self.attack, &AttackNews::Trainer(&hello));
        let elsewhere = |before: &&AttackTrainer| {
            let before = AttackTrainer { host: now.host.clone(), ..(*before).clone() };
            before != now
        };
        if let Some(before) = before.as_ref().filter(elsewhere) {
            self.report.news(self.attack, &AttackNews::OtherComputer(before, &now));
        }
        self.record(&[now.into()])
    }

    fn carry_out(&mut self, step: Step) -> Result<Result<Vec<Event>, Lost>, EngineError> {
        match step {
            Step::Craft { victim, first } => self.craft(victim, first),
            Step::Noise { victim, first } => self.judge_noise(step, victim, first),
            Step::Own { victim, spec, first } => self.judge_own(step, victim, spec, first),
            Step::Cross { judge, victim, first } => self.judge_cross(step, judge, victim, first),
        }
    }

    pub(super) fn plan(&self) -> Option<&Plan> {
        self.attack.plan()
    }

    /// Asks the trainer for a part of a step: `before` of `of` such parts are done.
    pub(super) fn ask(
        &mut self,
        step: Step,
        request: &Request,
        id: u64,
        (before, of): (usize, usize),
    ) -> Result<Result<Answer, Lost>, EngineError> {
        let (report, attack) = (&mut *self.report, &*self.attack);
        let (stop, mut told) = (self.stop, false);
        self.workplace.ask(request, id, |share| {
            if let Some(share) = share {
                let share = (before as f64 + share) / of as f64;
                report.news(attack, &AttackNews::Working(step, share));
            }
            if !told && stop() {
                told = true;
                report.news(attack, &AttackNews::Stopping);
            }
            Ok(())
        })
    }

    fn craft(&mut self, victim: u16, first: u32) -> Result<Result<Vec<Event>, Lost>, EngineError> {
        let (batch, step) = (self.batch(first)?, Step::Craft { victim, first });
        let Some(plan) = self.plan() else { return Ok(Err("the attack is not open".into())) };
        let (chains, dtype) = (plan.chains.clone(), plan.settings.dtype);
        let mut pixels = batch.pixels.clone();
        for end in chains.iter().filter(|chain| chain.random_start).flat_map(|c| &c.ends) {
            for (at, &index) in batch.indices.iter().enumerate() {
                let clean = batch.image(at);
                pixels.extend(plan.settings.random_start(index, end.spec, end.eps, clean));
            }
        }
        let targets = self.random_targets(plan, victim, &batch);
        let images = self.workplace.inbox.give("clean", &pixels)?;
        let id = self.workplace.next_id();
        let request = CraftRequest {
            id,
            model: self.models[usize::from(victim)].clone(),
            images,
            count: u32::try_from(batch.length).unwrap_or(0),
            labels: batch.labels.clone(),
            targets: targets.clone(),
            chains,
            dtype,
            device: self.workplace.device.clone(),
            threads: self.workplace.threads,
            staging: self.workplace.inbox.path().to_owned(),
            measure: false,
        };
        let answer = match self.ask(step, &Request::Craft(Box::new(request)), id, (0, 1))? {
            Ok(Answer::Crafted(answer)) => answer,
            Ok(other) => return Ok(Err(format!("it said {other:?} to what was to be crafted"))),
            Err(lost) => return Ok(Err(lost)),
        };
        let made = match self.check(&batch, &answer, &targets)? {
            Ok(made) => made,
            Err(lost) => return Ok(Err(lost)),
        };
        let packed = match pack::pack(&batch.pixels, batch.values, &made.parts) {
            Ok(packed) => packed,
            Err(error) => return Ok(Err(format!("what the trainer crafted cannot be: {error}"))),
        };
        let hash = self.workplace.inbox.publish(|| self.artifacts.put(&packed))?;
        let events = self.crafted(victim, &batch, &made, Hash(hash.0));
        self.last = Some((victim, first, made.parts));
        Ok(Ok(events))
    }

    /// The outputs that random targets aim at; none if no attack does.
    fn random_targets(&self, plan: &Plan, victim: u16, batch: &Batch) -> Vec<u16> {
        if !plan.chains.iter().any(|chain| chain.label == Label::Random) {
            return Vec::new();
        }
        let classes = self.attack.outputs(victim);
        let images = batch.indices.iter().zip(&batch.labels);
        images.map(|(&index, &truth)| plan.settings.random_target(index, truth, classes)).collect()
    }

    /// Takes what the trainer left, and checks it.
    fn check(
        &self,
        batch: &Batch,
        answer: &CraftedAnswer,
        targets: &[u16],
    ) -> Result<Result<Made, Lost>, EngineError> {
        let Some(plan) = self.plan() else { return Ok(Err("the attack is not open".into())) };
        let workplace = &*self.workplace;
        let images = workplace.take(&answer.images, plan.specs.len() * batch.pixels.len())?;
        let count = (plan.specs.len() + 1) * batch.length;
        let logits = workplace.take_logits(&answer.logits, count, answer.classes)?;
        let counts = plan.chains.len() * batch.length;
        let zeros = workplace.take_counts(&answer.zeros, counts)?;
        let invalid = workplace.take_counts(&answer.invalid, counts)?;
        let (images, logits, gradients) = match (images, logits, zeros, invalid) {
            (Ok(images), Ok(logits), Ok(zero), Ok(invalid)) => {
                (images, logits, FirstGradients { zero, invalid })
            }
            (Err(lost), ..) | (_, Err(lost), ..) | (.., Err(lost), _) | (.., Err(lost)) => {
                return Ok(Err(lost));
            }
        };
        Ok(made(plan, batch, &images, logits, gradients, targets))
    }

    /// The events of a micro-batch that was crafted.
    fn crafted(&self, victim: u16, batch: &Batch, made: &Made, artifact: Hash) -> Vec<Event> {
        let Some(plan) = self.plan() else { return Vec::new() };
        let mut events = Vec::new();
        for ((spec, number), part) in plan.specs.iter().zip(0_u16..).zip(&made.parts) {
            let holds = |chain: &&crate::adversary::sweep::Chain| {
                chain.ends.iter().any(|end| end.spec == number)
            };
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

    /// Crafted images of a micro-batch: those at hand, or from their artifact.
    fn parts(&mut self, victim: u16, batch: &Batch) -> Result<Result<(), Lost>, EngineError> {
        if self.last.as_ref().is_some_and(|(v, f, _)| (*v, *f) == (victim, batch.first)) {
            return Ok(Ok(()));
        }
        let Some(hash) = self.attack.artifact(victim, batch.first) else {
            return Ok(Err("nothing was crafted".to_owned()));
        };
        let bytes = self.artifacts.read(crate::log::artifacts::ArtifactHash(hash.0))?;
        match pack::unpack(&bytes, &batch.pixels) {
            Ok(parts) => {
                self.last = Some((victim, batch.first, parts));
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(format!("artifact {hash}: {error}"))),
        }
    }

    fn judge_own(
        &mut self,
        step: Step,
        victim: u16,
        spec: Option<u16>,
        first: u32,
    ) -> Result<Result<Vec<Event>, Lost>, EngineError> {
        let batch = self.batch(first)?;
        if spec.is_some()
            && let Err(lost) = self.parts(victim, &batch)?
        {
            return Ok(Err(lost));
        }
        let pixels = source(&batch, spec, self.last.as_ref());
        let Some(plan) = self.plan() else { return Ok(Err("the attack is not open".into())) };
        let copies: Vec<(u16, u16)> = plan.copies(step).collect();
        let (channels, side) = (self.images.channels as usize, self.images.side as usize);
        let (values, indices) = (batch.values, &batch.indices);
        let make = |plan: &Plan, some: &[(u16, u16)]| -> Vec<Vec<u8>> {
            let transformed = |&(number, repeat): &(u16, u16)| -> Vec<u8> {
                let what = &*plan.transforms[usize::from(number)].transform;
                let images = pixels.chunks(values).zip(indices);
                let one = |(values, &index): (&[u8], &u32)| {
                    let mut chance = transform::chance(plan.settings.seed, what, repeat, index);
                    what.apply(Image { values, channels, side }, &mut chance)
                };
                images.flat_map(one).collect()
            };
            some.par_iter().map(transformed).collect()
        };
        let logits = match self.score(step, victim, &batch, &copies, &make)? {
            Ok(logits) => logits,
            Err(lost) => return Ok(Err(lost)),
        };
        let targets = spec.and_then(|spec| self.attack.targets(victim, spec, first));
        let event = |(&(transformation, repeat), block): (&(u16, u16), usize)| {
            let images = judged(&logits, block * batch.length, &batch, targets);
            let source = spec.map(|spec| Crafting { victim, spec });
            ImagesScored { judge: victim, source, transformation, repeat, first, images }.into()
        };
        Ok(Ok(copies.iter().zip(0..).map(event).collect()))
    }

    fn judge_cross(
        &mut self,
        step: Step,
        judge: u16,
        victim: u16,
        first: u32,
    ) -> Result<Result<Vec<Event>, Lost>, EngineError> {
        let batch = self.batch(first)?;
        if let Err(lost) = self.parts(victim, &batch)? {
            return Ok(Err(lost));
        }
        let specs = self.plan().map_or(0, |plan| plan.specs.len());
        let specs: Vec<u16> = (0..u16::try_from(specs).unwrap_or(u16::MAX)).collect();
        // Taken out meanwhile: who makes copies of them borrows them.
        let last = self.last.take();
        let crafted = |spec: &u16| source(&batch, Some(*spec), last.as_ref());
        let make = |_: &Plan, some: &[u16]| some.iter().map(crafted).collect();
        let logits = self.score(step, judge, &batch, &specs, &make);
        self.last = last;
        let logits = match logits? {
            Ok(logits) => logits,
            Err(lost) => return Ok(Err(lost)),
        };
        let event = |(spec, block): (u16, usize)| {
            let targets = self.attack.targets(victim, spec, first);
            let images = judged(&logits, block * batch.length, &batch, targets);
            let source = Some(Crafting { victim, spec });
            ImagesScored { judge, source, transformation: 0, repeat: 0, first, images }.into()
        };
        Ok(Ok(specs.into_iter().zip(0..).map(event).collect()))
    }
}

/// A micro-batch that a trainer crafted, checked.
struct Made {
    parts: Vec<Part>,
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

/// Checks what a trainer left.
fn made(
    plan: &Plan,
    batch: &Batch,
    images: &[u8],
    logits: Rows,
    gradients: FirstGradients,
    targets: &[u16],
) -> Result<Made, Lost> {
    let mut counts = gradients.zero.iter().zip(&gradients.invalid);
    if counts.any(|(&zero, &invalid)| u64::from(zero) + u64::from(invalid) > batch.values as u64) {
        return Err("the trainer counts more values than an image has".to_owned());
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
            return Err(format!(
                "the trainer moved a value by {far} in {} steps of {}",
                spec.iterations, spec.alpha
            ));
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

/// What a model made of the images from row `start` on.
fn judged(logits: &Rows, start: usize, batch: &Batch, targets: Option<&[u16]>) -> Vec<ScoredImage> {
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

fn single(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "recorded in single precision")]
    return value as f32;
}

#[cfg(test)]
#[path = "attack_tests.rs"]
mod tests;
