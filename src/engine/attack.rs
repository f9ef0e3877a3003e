//! Attacks as [`Work`]: a task is a step, about a micro-batch. The trainers differentiate and evaluate,
//! this transforms, checks, ranks, packs and records.
//!
//! A step is one request, or several that follow one another: [`Piece`] is how far it is. Each trainer
//! is at a step of its own. What does not hold loses the step, and its trainer; another trainer tries
//! it again, if there is one.

mod blocks;
mod made;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::inbox::{Inbox, Refusal};
use super::news::{News, Seen, Task};
use super::pool::{Pool, share};
use super::rows::Rows;
use super::{Engine, EngineError, Work};
use crate::adversary::job::{Attack, Plan, Step};
use crate::adversary::pack::{self, Part};
use crate::adversary::spec::Label;
use crate::agent::trials::{ATTEMPTS_MAX, Computer};
use crate::data::ImageSet;
use crate::events::job::{Decision, Impossible, Job as _};
use crate::events::{AttackTrainer, Event, Fold as _, ImagesScored, Recorded};
use crate::log::EventLog;
use crate::trainer::protocol::{Answer, CraftRequest, Hello, ModelRequest, Request, ScoreRequest};
use blocks::{Batch, Block, judged};
use made::Made;

/// An attack, as this process carries it on.
pub struct Attacking<'a> {
    /// The state.
    pub attack: &'a mut Attack,
    /// The test part.
    pub images: &'a ImageSet,
    /// The models by number.
    pub models: &'a [ModelRequest],
    /// What each worker was at last.
    hands: BTreeMap<usize, Hand>,
    /// The workers whose trainers lost a step, each as often as that.
    failed: BTreeMap<Step, Vec<usize>>,
}

/// A micro-batch that is in memory: its clean images, and those crafted against a victim.
struct Hand {
    batch: Rc<Batch>,
    crafted: Option<(u16, Rc<Vec<Part>>)>,
}

/// A step that a trainer is at.
pub struct Piece {
    step: Step,
    worker: usize,
    batch: Rc<Batch>,
    /// Images that were crafted, if it is about them.
    parts: Rc<Vec<Part>>,
    /// The outputs that random targets aim at; none if no attack does.
    targets: Vec<u16>,
    /// What is to be scored, and the scores so far.
    blocks: Vec<Block>,
    rows: Rows,
    /// How many of the blocks are scored.
    scored: usize,
}

impl Piece {
    /// The blocks of the next request.
    fn next(&self) -> &[Block] {
        let end = self.blocks.len().min(self.scored + self.batch.at_once());
        &self.blocks[self.scored..end]
    }

    /// The fraction of the step that is done, where this fraction of the request is.
    fn share(&self, of_request: f64) -> f64 {
        let all = self.blocks.len().max(1) as f64;
        (self.scored as f64 + of_request * self.next().len().max(1) as f64) / all
    }
}

impl<'a> Attacking<'a> {
    /// An attack that is carried on with these images and models.
    pub fn new(attack: &'a mut Attack, images: &'a ImageSet, models: &'a [ModelRequest]) -> Self {
        let (hands, failed) = Default::default();
        Self { attack, images, models, hands, failed }
    }

    fn plan(&self) -> Result<&Plan, Refusal> {
        let none = || Refusal::Trainer("the attack is not open".to_owned());
        self.attack.plan().ok_or_else(none)
    }

    /// Steps that a worker must not be given: others are at them, or it lost them and others did not.
    fn not_for(&self, worker: usize, pool: &Pool<Piece>) -> Vec<Step> {
        let running = pool.tasks().map(|piece| piece.step);
        let others = |failed: &[usize]| (0..pool.size()).any(|other| !failed.contains(&other));
        let failed = self.failed.iter();
        let failed = failed.filter(|(_, by)| by.contains(&worker) && others(by));
        running.chain(failed.map(|(step, _)| *step)).collect()
    }

    /// The micro-batch at `first`, which may be in memory.
    fn batch(&self, first: u32) -> Result<Rc<Batch>, EngineError> {
        let mut known = self.hands.values().map(|hand| &hand.batch);
        if let Some(batch) = known.find(|batch| batch.first == first) {
            return Ok(Rc::clone(batch));
        }
        let length = self.attack.plan().map_or(0, |plan| plan.length(first, self.attack.images()));
        let range = first as usize..(first + length) as usize;
        let indices = self.attack.pool().get(range.clone()).unwrap_or_default().to_vec();
        let output =
            |&class: &u16| self.attack.plan().map_or(class, |plan| plan.settings.output(class));
        let labels = self.attack.labels().get(range).unwrap_or_default().iter().map(output);
        let labels = labels.collect();
        let (values, pixels) = (self.images.length(), self.images.gather(&indices)?);
        Ok(Rc::new(Batch { first, length: indices.len(), values, pixels, indices, labels }))
    }

    /// Images that were crafted and may be in memory.
    fn parts(&self, victim: u16, first: u32) -> Option<Rc<Vec<Part>>> {
        let crafted = self.hands.values().filter(|hand| hand.batch.first == first);
        let mut crafted = crafted.filter_map(|hand| hand.crafted.as_ref());
        crafted.find(|(of, _)| *of == victim).map(|(_, parts)| Rc::clone(parts))
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

    /// The events of what was scored.
    fn scored(&self, piece: &Piece) -> Result<Vec<Event>, Refusal> {
        let (plan, batch) = (self.plan()?, &*piece.batch);
        let judge = match piece.step {
            Step::Craft { victim, .. } | Step::Noise { victim, .. } | Step::Own { victim, .. } => {
                victim
            }
            Step::Cross { judge, .. } => judge,
        };
        let event = |(block, number): (&Block, usize)| {
            let Block { source, transformation, repeat } = *block;
            let targets = source.and_then(|source| match plan.is_noise(source.spec) {
                // Noise has no other class in view than the true one.
                true => Some(&*batch.labels),
                false => self.attack.targets(source.victim, source.spec, batch.first),
            });
            let images = judged(&piece.rows, number * batch.length, batch, targets);
            let first = batch.first;
            ImagesScored { judge, source, transformation, repeat, first, images }.into()
        };
        Ok(piece.blocks.iter().zip(0..).map(event).collect())
    }
}

impl Work for Attacking<'_> {
    type Task = Step;
    type Piece = Piece;
    const REFUSALS_COUNT: bool = true;

    fn decide(&self, pool: &Pool<Piece>, idle: &[usize]) -> Decision<(usize, Step)> {
        for &worker in idle {
            let busy = self.not_for(worker, pool);
            let hand = self.hands.get(&worker);
            let at_hand = hand.and_then(|hand| Some((hand.crafted.as_ref()?.0, hand.batch.first)));
            if let Some(step) = at_hand.and_then(|crafted| self.attack.next_about(crafted, &busy)) {
                return Decision::Do((worker, step));
            }
            match self.attack.decide(true, &busy).and_then(|step| Decision::Do((worker, step))) {
                Decision::Wait => {}
                decision => return decision,
            }
        }
        self.attack.decide(false, &[]).and_then(|_| Decision::Wait)
    }

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Impossible> {
        self.attack.apply(recorded)
    }

    fn seen(&self) -> Seen<'_> {
        Seen::Attack(self.attack)
    }

    /// Its images, for each way to craft or transform them.
    fn expected_bytes(&self, _: Step) -> u64 {
        let Some(plan) = self.attack.plan() else { return 0 };
        let blocks = plan.specs.len().max(plan.transforms.len()) as u64 + 1;
        let batch = u64::from(plan.settings.batch).min(u64::from(self.attack.images()));
        (self.images.length() as u64).saturating_mul(batch).saturating_mul(blocks)
    }

    fn task(piece: &Piece) -> Step {
        piece.step
    }

    fn is_hopeless(&self) -> bool {
        self.failed.values().any(|by| by.len() >= ATTEMPTS_MAX as usize)
    }

    fn begin<L: EventLog>(
        engine: &mut Engine<'_, L, Self>,
        worker: usize,
        step: Step,
        hello: Hello,
    ) -> Result<(), EngineError> {
        engine.introduce(worker, hello)?;
        engine.tell(&News::Progress { task: Task::Step(step), epoch: 0, share: 0.0 });
        let batch = engine.work.batch(step.first())?;
        let (rows, scored, parts) = Default::default();
        let (targets, blocks) = (Vec::new(), Vec::new());
        let mut piece = Piece { step, worker, batch, parts, targets, blocks, rows, scored };
        match engine.prepare(&mut piece) {
            Ok(()) => engine.ask(piece),
            Err(refusal) => engine.refuse(piece, refusal),
        }
    }

    fn hear<L: EventLog>(
        engine: &mut Engine<'_, L, Self>,
        worker: usize,
        answer: Answer,
    ) -> Result<(), EngineError> {
        if let Answer::Progress { batch, batches, .. } = answer {
            let Some(piece) = engine.pool.task(worker) else { return Ok(()) };
            let (task, share) = (Task::Step(piece.step), piece.share(share(batch, batches)));
            engine.tell(&News::Progress { task, epoch: 0, share });
            return Ok(());
        }
        let Some(mut piece) = engine.pool.release(worker) else { return Ok(()) };
        let events = match engine.take(&mut piece, answer) {
            Ok(None) => return engine.ask(piece),
            Ok(Some(events)) => events,
            Err(refusal) => return engine.refuse(piece, refusal),
        };
        engine.succeed();
        engine.work.failed.remove(&piece.step);
        engine.record_while(|_| true, &events).map(drop)
    }

    fn lost<L: EventLog>(
        engine: &mut Engine<'_, L, Self>,
        piece: Piece,
        reason: String,
        counts: bool,
    ) -> Result<(), EngineError> {
        if counts {
            engine.work.failed.entry(piece.step).or_default().push(piece.worker);
            engine.tell(&News::Lost(piece.step, &reason));
        }
        Ok(())
    }
}

impl<L: EventLog> Engine<'_, L, Attacking<'_>> {
    /// Records who works on the attack, unless that is known.
    fn introduce(&mut self, worker: usize, hello: Hello) -> Result<(), EngineError> {
        let Hello { program: trainer, library, isa, .. } = hello;
        let (device, threads) = (self.pool.device(worker), self.machine.threads);
        let host = self.machine.host.clone();
        let now = AttackTrainer { device, threads, trainer, library, isa, host };
        let known = self.work.attack.trainers();
        if known.contains(&now) {
            return Ok(());
        }
        let like = |known: &AttackTrainer| {
            known.threads == now.threads && computer(known).is_like(&computer(&now))
        };
        if let Some(before) = known.last().filter(|_| !known.iter().any(like)) {
            let line = |c: &AttackTrainer| {
                let AttackTrainer { device, threads, trainer, library, isa, .. } = c;
                format!("{trainer} {library} on {device} ({isa}, {threads} threads)")
            };
            let (before, now) = (line(before), line(&now));
            self.tell(&News::OtherComputer { before, now });
        }
        self.record_while(|_| true, &[now.into()]).map(drop)
    }

    fn inbox(&self, worker: usize) -> Result<&Inbox, Refusal> {
        let none = || Refusal::Trainer("there is no folder for its files".to_owned());
        self.pool.inbox(worker).ok_or_else(none)
    }

    /// Brings together what a step is about.
    fn prepare(&mut self, piece: &mut Piece) -> Result<(), Refusal> {
        let (first, plan) = (piece.batch.first, self.work.plan()?);
        piece.blocks = Block::of(piece.step, plan);
        let (images, clean) = (plan.images(piece.step, self.work.attack.images()), &piece.batch);
        let mut crafted = None;
        match piece.step {
            Step::Craft { victim, .. } => {
                piece.targets = self.work.random_targets(plan, victim, clean);
            }
            Step::Own { spec: None, .. } | Step::Noise { .. } => {}
            Step::Own { victim, .. } | Step::Cross { victim, .. } => {
                let parts = match self.work.parts(victim, first) {
                    Some(parts) => parts,
                    None => {
                        let none = || Refusal::Trainer("nothing was crafted".to_owned());
                        let hash = self.work.attack.artifact(victim, first).ok_or_else(none)?;
                        let bytes = self.keeper.read(hash)?;
                        let wrong = |error| Refusal::Trainer(format!("artifact {hash}: {error}"));
                        Rc::new(pack::unpack(&bytes, &clean.pixels).map_err(wrong)?)
                    }
                };
                piece.parts = Rc::clone(&parts);
                crafted = Some((victim, parts));
            }
        }
        let hand = self.work.hands.get(&piece.worker);
        let batch = Rc::clone(clean);
        if crafted.is_some() || hand.is_none_or(|hand| hand.batch.first != first) {
            self.work.hands.insert(piece.worker, Hand { batch, crafted });
        }
        if piece.batch.length > images as usize {
            piece.batch = Rc::new(piece.batch.start(images as usize));
        }
        Ok(())
    }

    /// Asks for what is next of a step.
    fn ask(&mut self, piece: Piece) -> Result<(), EngineError> {
        let id = self.pool.next_id();
        match self.request(&piece, id) {
            Ok(request) => {
                self.pool.give(piece.worker, id, &request, piece);
                Ok(())
            }
            Err(refusal) => self.refuse(piece, refusal),
        }
    }

    fn request(&self, piece: &Piece, id: u64) -> Result<Request, Refusal> {
        let (plan, inbox) = (self.work.plan()?, self.inbox(piece.worker)?);
        let (device, threads) = (self.pool.device(piece.worker), self.machine.threads);
        let (dtype, staging, batch) = (plan.settings.dtype, inbox.path().to_owned(), &*piece.batch);
        let model = |number: u16| self.work.models[usize::from(number)].clone();
        let count = |blocks: usize| u32::try_from(blocks * batch.length).unwrap_or(0);
        let judge = match piece.step {
            Step::Craft { victim, .. } => {
                let mut pixels = batch.pixels.clone();
                let chains = plan.chains.iter().filter(|chain| chain.random_start);
                for end in chains.flat_map(|chain| &chain.ends) {
                    for (at, &index) in batch.indices.iter().enumerate() {
                        let clean = batch.image(at);
                        pixels.extend(plan.settings.random_start(index, end.spec, end.eps, clean));
                    }
                }
                return Ok(Request::Craft(Box::new(CraftRequest {
                    id,
                    model: model(victim),
                    images: inbox.give("clean", &pixels)?,
                    count: count(1),
                    labels: batch.labels.clone(),
                    targets: piece.targets.clone(),
                    chains: plan.chains.clone(),
                    dtype,
                    device,
                    threads,
                    staging,
                    measure: false,
                })));
            }
            Step::Noise { victim, .. } | Step::Own { victim, .. } => victim,
            Step::Cross { judge, .. } => judge,
        };
        let (some, images) = (piece.next(), self.work.images);
        let size = (images.channels as usize, images.side as usize);
        let images = Block::images(some, plan, batch, &piece.parts, size);
        Ok(Request::Score(Box::new(ScoreRequest {
            id,
            model: model(judge),
            images: inbox.give("judged", &images)?,
            count: count(some.len()),
            batch: count(1).max(1),
            dtype,
            device,
            threads,
            staging,
        })))
    }

    /// Takes what a trainer answers: the events of the step, if it is done.
    fn take(&mut self, piece: &mut Piece, answer: Answer) -> Result<Option<Vec<Event>>, Refusal> {
        let (plan, inbox) = (self.work.plan()?, self.inbox(piece.worker)?);
        let batch = Rc::clone(&piece.batch);
        match (piece.step, answer) {
            (Step::Craft { victim, .. }, Answer::Crafted(answer)) => {
                let made = Made::take(inbox, plan, &batch, &answer, &piece.targets)?;
                let packed = pack::pack(&batch.pixels, batch.values, &made.parts);
                let wrong = |error| format!("what the trainer crafted cannot be: {error}");
                let packed = packed.map_err(|error| Refusal::Trainer(wrong(error)))?;
                let artifact = self.keeper.put(Some(inbox), &packed)?;
                let events = made.events(plan, victim, &batch, artifact);
                let crafted = Some((victim, Rc::new(made.parts)));
                self.work.hands.insert(piece.worker, Hand { batch, crafted });
                Ok(Some(events))
            }
            (Step::Craft { .. }, other) => {
                let why = format!("it said {other:?} to what was to be crafted");
                Err(Refusal::Trainer(why))
            }
            (_, Answer::Scored(answer)) => {
                let blocks = piece.next().len();
                let count = blocks * batch.length;
                let rows = Rows::take(inbox, &answer.logits, count, answer.classes)?;
                piece.rows.append(rows)?;
                piece.scored += blocks;
                let done = piece.scored == piece.blocks.len();
                done.then(|| self.work.scored(piece)).transpose()
            }
            (_, other) => {
                Err(Refusal::Trainer(format!("it said {other:?} to what was to be judged")))
            }
        }
    }

    /// Ends a step that cannot go on.
    fn refuse(&mut self, piece: Piece, why: Refusal) -> Result<(), EngineError> {
        match why {
            Refusal::Trainer(reason) => {
                let loss = self.pool.dismiss(piece.worker, reason);
                self.lose(piece, loss)
            }
            Refusal::Engine(error) => Err(error),
        }
    }
}

/// What a trainer computes with.
fn computer(trainer: &AttackTrainer) -> Computer {
    let AttackTrainer { device, trainer, library, isa, .. } = trainer.clone();
    // Its precision is that of its specifications.
    Computer { device, trainer, library, isa, precision: String::new() }
}

#[cfg(test)]
#[path = "attack_tests.rs"]
mod tests;
