//! An attack as a job: what is recorded, and which step is next. Pure.
//!
//! A step is one atomic batch of the log, about one micro-batch: crafting it after all
//! specifications (with what the victim itself makes of the untransformed images), or judging it.
//! What is missing is decided from what is recorded alone, so an attack that was killed anywhere
//! goes on at the micro-batch. Steps are recorded in any order: several trainers are at steps at the
//! same time.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::gradients::{Judged, Tally};
use super::noise::RANDOM_NOISE;
pub use super::plan::{Plan, Step};
use super::protocol::{Settings, SettingsError};
use crate::events::job::{Decision, Impossible, Job};
use crate::events::{
    AttackFinished, AttackOutputs, AttackSpecified, AttackStarted, AttackTrainer,
    AttackTransformation, AttackVictim, ConfigPart, Crafting, Event, Hash, ImagesCrafted,
    ImagesScored, PoolPart, ScoredImage,
};

/// The state of an attack, folded from its events.
#[derive(Debug, Default)]
pub struct Attack {
    started: Option<AttackStarted>,
    config: String,
    pool: Vec<u32>,
    labels: Vec<u16>,
    victims: Vec<AttackVictim>,
    /// Of models that have not as many as the images have classes.
    outputs: BTreeMap<u16, u32>,
    specified: u16,
    transformed: u16,
    plan: Option<Plan>,
    /// Steps before this one are done.
    done_until: usize,
    /// Forward passes of all steps, and of those that are recorded, about.
    cost: u64,
    cost_done: u64,
    /// Events of each step that are recorded.
    recorded: BTreeMap<Step, u32>,
    /// Where the images crafted against a victim, from the first one on, are kept.
    artifacts: BTreeMap<(u16, u32), Hash>,
    /// What first gradients were like, by victim and specification.
    gradients: BTreeMap<(u16, u16), Tally>,
    /// Images for which a model gave no finite scores.
    not_finite: BTreeMap<u16, u64>,
    /// The classes aimed at, by victim, specification and first image.
    targets: BTreeMap<(u16, u16, u32), Vec<u16>>,
    trainers: Vec<AttackTrainer>,
    crafted: u64,
    scored: u64,
    finished: bool,
}

impl Job for Attack {
    type Task = Step;

    /// The first step in the order of the plan that can be done now.
    fn decide(&self, idle: bool, busy: &[Step]) -> Decision<Step> {
        match self.missing().find(|&step| self.is_ready(step, busy)) {
            _ if self.finished => Decision::Done,
            Some(step) if idle => Decision::Do(step),
            None if self.next().is_none() => Decision::Record(vec![self.closing().into()]),
            _ => Decision::Wait,
        }
    }

    fn apply(&mut self, event: &Event) -> Result<(), Impossible> {
        let refused = |why| Err(Impossible::of(event, why));
        if let Event::AttackStarted(started) = event {
            if self.started.is_some() {
                return refused("the attack has begun already");
            }
            self.started = Some(started.clone());
            return self.open_when_complete(event);
        }
        if self.started.is_none() {
            return refused("the attack has not begun");
        }
        match (event, self.plan.is_some()) {
            (Event::ConfigPart(ConfigPart { text, .. }), false) => self.config.push_str(text),
            (Event::PoolPart(PoolPart { first, indices, labels }), false) => {
                if *first as usize != self.pool.len() || indices.len() != labels.len() {
                    return refused("the pool has a gap");
                }
                self.pool.extend(indices);
                self.labels.extend(labels);
            }
            (Event::AttackVictim(victim), false) => {
                if usize::from(victim.victim) != self.victims.len() {
                    return refused("victims are numbered without gaps");
                }
                self.victims.push(victim.clone());
            }
            (Event::AttackOutputs(AttackOutputs { victim, outputs }), false) => {
                if usize::from(*victim) >= self.victims.len() {
                    return refused("there is no such victim yet");
                }
                self.outputs.insert(*victim, *outputs);
            }
            (Event::AttackSpecified(_), false) => self.specified += 1,
            (Event::AttackTransformation(_), false) => self.transformed += 1,
            (Event::ImagesCrafted(crafted), true) => self.take_crafted(event, crafted)?,
            (Event::ImagesScored(scored), true) => self.take_scored(event, scored)?,
            (Event::AttackTrainer(trainer), true) => self.trainers.push(trainer.clone()),
            (Event::Resumed(_), true) => {}
            (Event::AttackFinished(_), true) if self.next().is_none() => self.finished = true,
            _ => return refused("it is not the time for it"),
        }
        self.open_when_complete(event)
    }

    fn is_finished(&self) -> bool {
        self.finished
    }
}

impl Attack {
    fn open_when_complete(&mut self, event: &Event) -> Result<(), Impossible> {
        let Some(started) = self.started.as_ref().filter(|_| self.plan.is_none()) else {
            return Ok(());
        };
        let complete = Hash::of(self.config.as_bytes()) == started.config
            && self.pool.len() == started.images as usize
            && self.victims.len() == usize::from(started.victims)
            && self.specified == started.specifications
            && self.transformed == started.transformations;
        if !complete {
            return Ok(());
        }
        let refused = |why: String| Impossible::of(event, why);
        let settings = self.settings().map_err(|error| refused(error.to_string()))?;
        let plan = Plan::new(settings, started.images).map_err(refused)?;
        let counts = (plan.specifications(), plan.transforms.len(), plan.settings.victims.len());
        let announced =
            (self.specified.into(), self.transformed.into(), usize::from(started.victims));
        if counts != announced || plan.settings.batch != started.batch {
            return Err(refused("the settings say something else".to_owned()));
        }
        self.cost = plan.steps.iter().map(|&step| plan.cost_of(step, started.images)).sum();
        self.plan = Some(plan);
        Ok(())
    }

    fn take_crafted(&mut self, event: &Event, crafted: &ImagesCrafted) -> Result<(), Impossible> {
        let step = Step::Craft { victim: crafted.victim, first: crafted.first };
        self.crafted += crafted.images.len() as u64;
        self.artifacts.insert((crafted.victim, crafted.first), crafted.artifact);
        let targets = crafted.images.iter().map(|image| image.target).collect();
        self.targets.insert((crafted.victim, crafted.spec, crafted.first), targets);
        if let Some(data) = self.started.as_ref().map(|started| &started.data) {
            let values = u64::from(data.channels) * u64::from(data.side) * u64::from(data.side);
            let tally = self.gradients.entry((crafted.victim, crafted.spec)).or_default();
            *tally = [*tally, Tally::of_images(crafted, values)].into_iter().sum();
        }
        self.count(event, step, crafted.images.len())
    }

    fn take_scored(&mut self, event: &Event, scored: &ImagesScored) -> Result<(), Impossible> {
        let ImagesScored { judge, source, transformation, first, .. } = *scored;
        let is_noise = |spec| self.plan.as_ref().is_some_and(|plan| plan.is_noise(spec));
        let step = match (source, transformation) {
            (Some(Crafting { victim, spec }), _) if is_noise(spec) => {
                if victim != judge || transformation != 0 {
                    let why = "noise is neither transformed nor crafted for a model";
                    return Err(Impossible::of(event, why));
                }
                Step::Noise { victim, first }
            }
            (Some(Crafting { victim, .. }), 0) if victim != judge => {
                Step::Cross { judge, victim, first }
            }
            (_, 0) => Step::Craft { victim: judge, first },
            (Some(Crafting { victim, .. }), _) if victim != judge => {
                let why = "images are transformed for their own victim alone";
                return Err(Impossible::of(event, why));
            }
            (source, _) => {
                Step::Own { victim: judge, spec: source.map(|source| source.spec), first }
            }
        };
        self.scored += scored.images.len() as u64;
        let invalid = scored.images.iter().filter(|one| one.flags & ScoredImage::NOT_FINITE != 0);
        *self.not_finite.entry(judge).or_default() += invalid.count() as u64;
        self.count(event, step, scored.images.len())
    }

    fn count(&mut self, event: &Event, step: Step, images: usize) -> Result<(), Impossible> {
        let refused = |why| Err(Impossible::of(event, why));
        let Some(plan) = &self.plan else { return refused("the attack is not open") };
        if plan.images(step, self.images()) as usize != images {
            return refused("a micro-batch has another number of images");
        }
        let most = plan.events(step);
        let cost = plan.cost_of(step, self.images());
        let recorded = self.recorded.entry(step).or_default();
        *recorded += 1;
        match (*recorded).cmp(&most) {
            Ordering::Less => {}
            Ordering::Equal => self.cost_done += cost,
            Ordering::Greater => return refused("the step is recorded already"),
        }
        while self.step(self.done_until).is_some_and(|step| self.is_done(step)) {
            self.done_until += 1;
        }
        Ok(())
    }

    fn step(&self, number: usize) -> Option<Step> {
        self.plan.as_ref()?.steps.get(number).copied()
    }

    /// The first step that is missing; `None` if there is none.
    #[must_use]
    pub fn next(&self) -> Option<Step> {
        self.step(self.done_until)
    }

    /// Whether a step can be done now: it is neither done nor `busy`, and what it is about was crafted.
    fn is_ready(&self, step: Step, busy: &[Step]) -> bool {
        let craft = step.follows().map(|(victim, first)| Step::Craft { victim, first });
        let crafted = || craft.is_none_or(|craft| self.is_done(craft));
        !busy.contains(&step) && !self.is_done(step) && crafted()
    }

    fn missing(&self) -> impl Iterator<Item = Step> + '_ {
        let steps = self.plan.as_ref().map_or(&[][..], |plan| &plan.steps);
        steps.iter().copied().skip(self.done_until)
    }

    /// The first step that can be done now about a micro-batch that was crafted: a trainer that has its
    /// images at hand is best given it. Who judges images of others needs another model at hand.
    #[must_use]
    pub fn next_about(&self, crafted: (u16, u32), busy: &[Step]) -> Option<Step> {
        let about =
            |step: &Step| step.follows() == Some(crafted) && !matches!(step, Step::Cross { .. });
        self.missing().filter(about).find(|&step| self.is_ready(step, busy))
    }

    /// Whether a step is recorded.
    #[must_use]
    pub fn is_done(&self, step: Step) -> bool {
        let all = |plan: &Plan| self.recorded.get(&step).is_some_and(|&n| n >= plan.events(step));
        self.plan.as_ref().is_some_and(all)
    }

    /// What closes it.
    #[must_use]
    pub fn closing(&self) -> AttackFinished {
        AttackFinished { crafted: self.crafted, scored: self.scored }
    }

    /// Its settings.
    ///
    /// # Errors
    /// [`SettingsError`] if they are not complete, or cannot be followed.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        Settings::read(&self.config)
    }

    /// The plan, once all that belongs to the beginning is recorded.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// How it began.
    #[must_use]
    pub fn started(&self) -> Option<&AttackStarted> {
        self.started.as_ref()
    }

    /// The models by number.
    #[must_use]
    pub fn victims(&self) -> &[AttackVictim] {
        &self.victims
    }

    /// How many classes a model tells apart.
    #[must_use]
    pub fn outputs(&self, victim: u16) -> u32 {
        let classes = || self.started.as_ref().map_or(0, |started| started.data.classes);
        self.outputs.get(&victim).copied().unwrap_or_else(classes)
    }

    /// Indices of its images within the test part, in drawn order.
    #[must_use]
    pub fn pool(&self) -> &[u32] {
        &self.pool
    }

    /// True classes of its images, as the images number them, in the order of the pool.
    #[must_use]
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// The artifact with the images crafted from the micro-batch at `first`.
    #[must_use]
    pub fn artifact(&self, victim: u16, first: u32) -> Option<Hash> {
        self.artifacts.get(&(victim, first)).copied()
    }

    /// The classes that images of the micro-batch at `first` were to be taken for.
    #[must_use]
    pub fn targets(&self, victim: u16, spec: u16, first: u32) -> Option<&[u16]> {
        self.targets.get(&(victim, spec, first)).map(Vec::as_slice)
    }

    /// Images in the pool.
    #[must_use]
    pub fn images(&self) -> u32 {
        u32::try_from(self.pool.len()).unwrap_or(u32::MAX)
    }

    /// What first gradients were like, by model and method.
    #[must_use]
    pub fn gradients(&self) -> Vec<Judged> {
        let mut judged: Vec<Judged> = Vec::new();
        for (&(victim, spec), &tally) in &self.gradients {
            let victim = self.victims.get(usize::from(victim));
            let spec = self.plan.as_ref().and_then(|plan| plan.specs.get(usize::from(spec)));
            let Some((victim, spec)) = victim.zip(spec) else { continue };
            let (model, method) = (victim.label.clone(), spec.method.to_string());
            match judged.last_mut().filter(|last| (&last.model, &last.method) == (&model, &method))
            {
                Some(last) => last.tally = [last.tally, tally].into_iter().sum(),
                None => judged.push(Judged { model, method, tally }),
            }
        }
        judged
    }

    /// For how many images each model gave scores that are NaN or infinite.
    #[must_use]
    pub fn not_finite(&self) -> Vec<(String, u64)> {
        let count = |at| self.not_finite.get(&at).copied().unwrap_or(0);
        self.victims.iter().zip(0..).map(|(victim, at)| (victim.label.clone(), count(at))).collect()
    }

    /// The trainers that worked on it, in the order of first use.
    #[must_use]
    pub fn trainers(&self) -> &[AttackTrainer] {
        &self.trainers
    }

    /// Forward passes done and to be done in all, about.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.cost_done, self.cost)
    }
}

/// The images of a pool that follow the first `known` ones, as events.
#[must_use]
pub fn pool_parts(pool: &[(u32, u16)], known: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let mut first = known;
    for part in pool.get(known..).unwrap_or_default().chunks(PoolPart::IMAGES) {
        let (indices, labels) = part.iter().copied().unzip();
        let place = u32::try_from(first).unwrap_or(u32::MAX);
        events.push(PoolPart { first: place, indices, labels }.into());
        first += part.len();
    }
    events
}

/// The events after the first with which an attack begins: victims, attacks, transformations and
/// the pool, which comes last because a large one takes more than one batch of the log. Each victim
/// comes with the number of its outputs; `classes` is that of the images, which is not recorded
/// again.
#[must_use]
pub fn opening(
    plan: &Plan,
    pool: &[(u32, u16)],
    victims: Vec<(AttackVictim, u32)>,
    classes: u32,
) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for (victim, outputs) in victims {
        let number = victim.victim;
        events.push(victim.into());
        if outputs != classes {
            events.push(AttackOutputs { victim: number, outputs }.into());
        }
    }
    let attacks = plan.specs.iter().map(|spec| (spec.method.name(), spec.eps, spec.text()));
    let noise = plan.noise.iter().map(|noise| (RANDOM_NOISE, noise.eps, noise.text()));
    for ((method, eps, text), spec) in attacks.chain(noise).zip(0..) {
        let (method, eps, hash) = (method.to_owned(), eps.into(), Hash::of(text.as_bytes()));
        events.push(AttackSpecified { spec, method, eps, hash, text }.into());
    }
    for (repeated, number) in plan.transforms.iter().zip(0..) {
        let transform = &*repeated.transform;
        let event = AttackTransformation {
            transformation: number,
            name: transform.name().to_owned(),
            parameter: transform.parameter(),
            repeats: repeated.repeats,
            random: transform.is_random(),
            text: super::transform::text(transform),
        };
        events.push(event.into());
    }
    events.extend(pool_parts(pool, 0));
    events
}
