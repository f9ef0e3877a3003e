//! Attacks made of events: whoever scores images here is a function of their places.

use qtrail::adversary::pack::{Part, pack};
use qtrail::adversary::sampling::Sampling;
use qtrail::events::{
    AttackData, AttackFinished, AttackSpecified, AttackStarted, AttackTrainer,
    AttackTransformation, AttackVictim, ConfigPart, CraftedImage, Crafting, Event, Hash,
    ImagesCrafted, ImagesScored, PoolPart, Scope, ScoredImage, TrialOf, Victim,
};

use super::History;

/// An attack to be written down.
pub struct Attack {
    pub number: u32,
    pub protocol: &'static str,
    pub sampling: Sampling,
    pub classes: u32,
    pub images: u32,
    pub batch: u32,
    pub victims: Vec<AttackVictim>,
    /// Method and eps.
    pub specs: Vec<(&'static str, u16)>,
    /// Name, parameter, repeats; the identity comes before them.
    pub transformations: Vec<(&'static str, f64, u16)>,
    /// Whether it ends.
    pub finished: bool,
    /// The test part, if images are really crafted: its hash and its pixels, 784 an image.
    pub pixels: Option<(Hash, Vec<u8>)>,
}

/// The index of an image into the test part.
pub fn index(place: u32) -> u32 {
    place * 3 + 1
}

/// What a made-up attack does to a value.
pub fn moved(value: u8, at: usize, eps: u8) -> u8 {
    match at % 3 {
        0 => value.saturating_add(eps),
        1 => value.saturating_sub(eps),
        _ => value,
    }
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub judge: u16,
    pub source: Option<Crafting>,
    pub transformation: u16,
    pub repeat: u16,
    pub place: u32,
}

/// A model that nobody trained here.
pub fn script(number: u16) -> AttackVictim {
    let file = format!("net{number}.pt");
    AttackVictim {
        victim: number,
        what: Victim::Torchscript { file: file.clone() },
        label: file,
        architecture: String::new(),
        weights: vec![Hash::of(&number.to_le_bytes())],
    }
}

/// A trial of the first search or run of a store, whose ids are its ordinals.
pub fn trial(number: u16, scope: Scope, ordinal: u32, architecture: &str) -> AttackVictim {
    AttackVictim {
        victim: number,
        what: Victim::Trial(TrialOf { scope, trial: ordinal }),
        label: format!("t{ordinal}"),
        architecture: architecture.into(),
        weights: vec![Hash::of(&ordinal.to_le_bytes())],
    }
}

pub fn right(rank: u16, p_top1: f32) -> ScoredImage {
    let p_true = if rank == 0 { p_top1 } else { (1.0 - p_top1) / 4.0 };
    ScoredImage { rank, top1: rank, p_top1, p_true, target_rank: 9, flags: 0 }
}

impl Attack {
    /// The true class of an image.
    pub fn label(&self, place: u32) -> u16 {
        u16::try_from(place * 7 % self.classes).unwrap()
    }

    /// Writes it down; `look` says what a model makes of an image.
    pub fn record(&self, history: &mut History, look: impl Fn(Look) -> ScoredImage) {
        let scope = Scope::Attack(self.number);
        let text = format!("[sampling]\n{}", toml::to_string(&self.sampling).unwrap());
        let parts = ConfigPart::cut(&text);
        let indices: Vec<u32> = (0..self.images).map(index).collect();
        let bytes: Vec<u8> = indices.iter().flat_map(|index| index.to_le_bytes()).collect();
        let data = AttackData {
            name: "test".into(),
            content: self.pixels.as_ref().map_or(Hash::of(b"test part"), |(hash, _)| *hash),
            channels: 1,
            side: 28,
            classes: self.classes,
            images: self.images * 3 + 1,
        };
        let count = |n: usize| u16::try_from(n).unwrap();
        let crafted = self.images as usize * self.victims.len() * self.specs.len();
        let looks = self.looks();
        let started = AttackStarted {
            name: String::new(),
            protocol: self.protocol.into(),
            seed: 7,
            chance: qtrail::chance::SCHEME.into(),
            data,
            folder: "/data".into(),
            pool: Hash::of(&bytes),
            images: self.images,
            pool_parts: count(indices.chunks(PoolPart::IMAGES).len()),
            batch: count(self.batch as usize),
            victims: count(self.victims.len()),
            specifications: count(self.specs.len()),
            transformations: count(self.transformations.len() + 1),
            to_craft: crafted as u64,
            to_score: looks.len() as u64 * u64::from(self.images),
            config: Hash::of(text.as_bytes()),
            config_parts: count(parts.len()),
            threads: 1,
            program: "qtrail 0".into(),
        };
        let mut events: Vec<Event> = vec![started.into()];
        events.extend(parts.into_iter().map(Event::from));
        let mut first = 0;
        for part in indices.chunks(PoolPart::IMAGES) {
            let places = first..first + u32::try_from(part.len()).unwrap();
            let labels = places.clone().map(|place| self.label(place)).collect();
            events.push(PoolPart { first, indices: part.to_vec(), labels }.into());
            first = places.end;
        }
        events.extend(self.victims.iter().cloned().map(Event::from));
        for (spec, (method, eps)) in self.specs.iter().enumerate() {
            let text = format!("method = \"{method}\"\neps = {eps}\n");
            let hash = Hash::of(text.as_bytes());
            let (spec, method) = (count(spec), (*method).to_owned());
            events.push(AttackSpecified { spec, method, eps: *eps, hash, text }.into());
        }
        let all = std::iter::once(&("identity", 0.0, 1)).chain(&self.transformations);
        for (transformation, (name, parameter, repeats)) in all.enumerate() {
            let what = AttackTransformation {
                transformation: count(transformation),
                name: (*name).into(),
                parameter: *parameter,
                repeats: *repeats,
                random: *repeats > 1,
                text: format!("name = \"{name}\"\n"),
            };
            events.push(what.into());
        }
        let trainer = AttackTrainer {
            device: "cpu".into(),
            threads: 1,
            trainer: "fake 1".into(),
            library: "none".into(),
            isa: "any".into(),
            host: "host".into(),
        };
        events.push(trainer.into());
        history.record(scope, events);
        self.carry_out(history, scope, &looks, &look);
        if self.finished {
            let scored = looks.len() as u64 * u64::from(self.images);
            let finished = AttackFinished { crafted: crafted as u64, scored };
            history.record(scope, vec![finished.into()]);
        }
    }

    /// Judge, source, transformation and repeat of all that is scored.
    fn looks(&self) -> Vec<(u16, Option<Crafting>, u16, u16)> {
        let victims = || 0..u16::try_from(self.victims.len()).unwrap();
        let specs = || 0..u16::try_from(self.specs.len()).unwrap();
        let repeats = std::iter::once(1).chain(self.transformations.iter().map(|t| t.2));
        let ways: Vec<(u16, u16)> = (0..)
            .zip(repeats)
            .flat_map(|(t, repeats)| (0..repeats).map(move |repeat| (t, repeat)))
            .collect();
        let mut looks = Vec::new();
        for judge in victims() {
            looks.extend(ways.iter().map(|(t, repeat)| (judge, None, *t, *repeat)));
        }
        for victim in victims() {
            for spec in specs() {
                let source = Some(Crafting { victim, spec });
                looks.extend(ways.iter().map(|(t, repeat)| (victim, source, *t, *repeat)));
                let others = victims().filter(|judge| *judge != victim);
                looks.extend(others.map(|judge| (judge, source, 0, 0)));
            }
        }
        looks
    }

    /// The packed differences of a micro-batch, the same for every model.
    fn crafted(&self, places: std::ops::Range<u32>) -> Option<Vec<u8>> {
        let (_, pixels) = self.pixels.as_ref()?;
        let clean: Vec<u8> = places
            .flat_map(|place| {
                let from = index(place) as usize * 784;
                pixels[from..from + 784].to_vec()
            })
            .collect();
        let part = |(spec, (_, eps)): (usize, &(&str, u16))| {
            let eps = u8::try_from(*eps).unwrap();
            let pixels = clean.iter().enumerate().map(|(at, value)| moved(*value, at, eps));
            Part { spec: u16::try_from(spec).unwrap(), eps, pixels: pixels.collect() }
        };
        let parts: Vec<Part> = self.specs.iter().enumerate().map(part).collect();
        Some(pack(&clean, 784, &parts).unwrap())
    }

    fn carry_out(
        &self,
        history: &mut History,
        scope: Scope,
        looks: &[(u16, Option<Crafting>, u16, u16)],
        look: &impl Fn(Look) -> ScoredImage,
    ) {
        let step = self.batch as usize;
        for first in (0..self.images).step_by(step) {
            let places = first..(first + self.batch).min(self.images);
            let mut events: Vec<Event> = Vec::new();
            let artifact = match self.crafted(places.clone()) {
                Some(bytes) => {
                    let hash = Hash::of(&bytes);
                    history.artifacts.push(bytes);
                    hash
                }
                None => Hash::of(&first.to_le_bytes()),
            };
            for (victim, _) in self.victims.iter().enumerate() {
                let crafting = self.specs.iter().enumerate();
                for (spec, (_, eps)) in
                    crafting.filter(|(_, (method, _))| *method != "random-noise")
                {
                    let image = |place: u32| CraftedImage {
                        target: self.label(place),
                        linf: u8::try_from(*eps).unwrap(),
                        l2: f32::from(*eps) * 28.0,
                        changed: 784 - place % 5,
                        zero_gradient: place % 5,
                        loss_before: 0.25,
                        loss_after: 0.25 * f32::from(*eps),
                    };
                    let crafted = ImagesCrafted {
                        victim: u16::try_from(victim).unwrap(),
                        spec: u16::try_from(spec).unwrap(),
                        first,
                        iterations: eps + 4,
                        artifact,
                        images: places.clone().map(image).collect(),
                        invalid_gradient: None,
                    };
                    events.push(crafted.into());
                }
            }
            for &(judge, source, transformation, repeat) in looks {
                let images = places
                    .clone()
                    .map(|place| look(Look { judge, source, transformation, repeat, place }));
                let images = images.collect();
                let scored = ImagesScored { judge, source, transformation, repeat, first, images };
                events.push(scored.into());
            }
            history.record(scope, events);
        }
    }
}

/// A finished search, and attacks on its trials: `a1` on two of them, finished; `a2` on a model of
/// others, on its way. Ranks follow from place, model, method and transformation by a rule that a
/// person can compute.
pub fn attacked() -> History {
    let mut history = super::finished();
    let attack = Attack {
        number: 1,
        protocol: "custom",
        sampling: Sampling { draw: 30, fixed: 25, ..Sampling::small() },
        classes: 10,
        images: 40,
        batch: 16,
        victims: vec![
            trial(0, Scope::Search(1), 1, "[C(8,3,1), SM(10)]"),
            trial(1, Scope::Search(1), 3, "[P(2,2), SM(10)]"),
        ],
        specs: vec![("fast", 8), ("fast", 16), ("basic", 8), ("basic", 16)],
        transformations: vec![("jpeg", 50.0, 1), ("noise", 8.0, 3), ("camera", 1.0, 1)],
        finished: true,
        pixels: None,
    };
    attack.record(&mut history, |look| {
        let clean = if look.place % 9 == 4 { 2 } else { 0 };
        let Some(source) = look.source else {
            let worse = u32::from(look.transformation == 2) * u32::from(look.place % 10 == 3);
            return right(clean + u16::try_from(worse).unwrap(), 0.9);
        };
        let eps = attack.specs[usize::from(source.spec)].1;
        // Basic turns more than fast, 16 more than 8; another judge is turned half as often.
        let strength = 2 + u32::from(source.spec) + u32::from(source.victim);
        let turned =
            look.place % 6 < strength && (look.judge == source.victim || look.place % 2 == 0);
        if !turned {
            return right(clean, 0.8);
        }
        let back = match look.transformation {
            0 => false,
            2 => (look.place + u32::from(look.repeat)) % 4 == 0,
            t => look.place % (u32::from(t) + 2) == 0,
        };
        if back {
            right(clean, 0.6)
        } else {
            right(1 + eps / 4, if look.place % 3 == 0 { 0.4 } else { 0.7 })
        }
    });
    let other = Attack {
        number: 2,
        victims: vec![script(0)],
        specs: vec![("least-likely", 4)],
        transformations: Vec::new(),
        finished: false,
        ..attack
    };
    other.record(&mut history, |look| right(u16::from(look.source.is_some()), 0.75));
    history
}
