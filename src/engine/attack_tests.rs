//! Attacks against a log in memory and a trainer inside this process: killed after every event,
//! resumed, lied to.
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]

use std::collections::VecDeque;
use std::time::Duration;

use super::made::single;
use super::*;
use crate::adversary::Classifier as _;
use crate::adversary::craft::along;
use crate::adversary::linear::Linear;
use crate::adversary::noise::noisy;
use crate::adversary::opening::opening;
use crate::adversary::protocol::{Grid, Settings};
use crate::adversary::rank;
use crate::chance::Stream;
use crate::data::Images;
use crate::engine::jobs::Index;
use crate::engine::journal::Journal;
use crate::engine::keeper::Keeper;
use crate::engine::pool::Post;
use crate::engine::{Ending, Machine, SoFar};
use crate::events::digest::Digests;
use crate::events::{
    AttackData, AttackStarted, AttackVictim, ConfigPart, Hash, Recorded, Scope, ScoredImage, Victim,
};
use crate::log::{MemoryLog, Store};
use crate::trainer::process::{Said, StartError};
use crate::trainer::protocol::{CraftedAnswer, ErrorCause, Member, PROTOCOL, ScoredAnswer};
use crate::trainer::{Start, Talk};

const SCOPE: Scope = Scope::Attack(1);

/// What a trainer does to what it is about to answer.
type Lie = fn(&mut Vec<u8>, &mut Vec<f32>);

/// A trainer of linear models: which one, the name of the file says.
struct Honest {
    hello: Hello,
    said: VecDeque<Said>,
    with: Starts,
    /// Times to be listened to before it answers.
    pause: u64,
}

fn model(request: &ModelRequest) -> Linear {
    let Member::Torchscript { file, .. } = &request.members[0] else { panic!("no such model") };
    let rows: [[f64; 4]; 3] = match file.to_str() {
        Some("one") => [[2.0, -1.0, 0.0, 3.0], [-1.0, 4.0, 1.0, 0.0], [0.0, 0.0, -2.0, 1.0]],
        _ => [[0.5, 1.0, -1.0, 0.0], [3.0, 0.0, 1.0, -2.0], [0.0, -3.0, 2.0, 1.0]],
    };
    Linear { weights: rows.map(|row| row.to_vec()).to_vec(), bias: vec![0.0; 3], scale: 1.0 }
}

fn logits(model: &Linear, images: &[u8]) -> Vec<f32> {
    images.chunks(4).flat_map(|image| model.logits(image)).map(single).collect()
}

fn write(folder: &std::path::Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).unwrap();
}

fn little(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

impl Honest {
    fn craft(&self, request: &CraftRequest) -> Answer {
        let model = model(&request.model);
        let clean = std::fs::read(&request.images).unwrap();
        let (mut images, mut zeros) = (std::collections::BTreeMap::new(), Vec::new());
        let mut invalid = Vec::new();
        for chain in &request.chains {
            for (at, image) in clean.chunks(4).enumerate() {
                let truth = request.labels[at].into();
                let crafted = along(&model, chain, image, truth, 0, image);
                zeros.extend((crafted[0].1.zero_gradient as u32).to_le_bytes());
                invalid.extend((crafted[0].1.invalid_gradient as u32).to_le_bytes());
                for (spec, crafted) in crafted {
                    images.entry(spec).or_insert_with(Vec::new).extend(crafted.image);
                }
            }
        }
        let mut images: Vec<u8> = images.into_values().flatten().collect();
        let mut scores = logits(&model, &[clean, images.clone()].concat());
        (self.with.lie)(&mut images, &mut scores);
        write(&request.staging, "i", &images);
        write(&request.staging, "l", &little(&scores));
        write(&request.staging, "z", &zeros);
        let (id, classes) = (request.id, 3);
        write(&request.staging, "n", &invalid);
        let (images, logits, zeros, invalid) = ("i".into(), "l".into(), "z".into(), "n".into());
        let memory = None;
        Answer::Crafted(CraftedAnswer { id, images, logits, zeros, invalid, classes, memory })
    }
}

impl Talk for Honest {
    fn hello(&self) -> &Hello {
        &self.hello
    }

    fn send(&mut self, request: &Request) -> std::io::Result<()> {
        let id = match request {
            Request::Craft(request) => request.id,
            Request::Score(request) => request.id,
            other => panic!("{other:?}"),
        };
        if self.with.dies.is_some_and(|every| id % every == 0) {
            self.said.push_back(Said::Ended);
            return Ok(());
        }
        if self.with.pace > 0 {
            self.pause = Stream::new(self.with.pace, "pace", id).below(6);
        }
        self.said.push_back(Said::Answer(match request {
            Request::Craft(request) => self.craft(request),
            Request::Score(request) => {
                let images = std::fs::read(&request.images).unwrap();
                write(&request.staging, "l", &little(&logits(&model(&request.model), &images)));
                let (id, logits, classes, output) = (request.id, "l".into(), 3, None);
                Answer::Scored(ScoredAnswer { id, logits, classes, output })
            }
            other => panic!("{other:?}"),
        }));
        Ok(())
    }

    fn listen(&mut self, _: Duration) -> Option<Said> {
        match self.pause.checked_sub(1) {
            Some(pause) => self.pause = pause,
            None => return self.said.pop_front(),
        }
        None
    }

    fn end(self: Box<Self>) -> String {
        "the trainer was ended".to_owned()
    }
}

/// Starts trainers.
#[derive(Clone, Copy)]
struct Starts {
    lie: Lie,
    /// Draws how often they have nothing to say before they answer; 0: never.
    pace: u64,
    /// They die of requests whose numbers can be divided by this.
    dies: Option<u64>,
}

impl Starts {
    const fn honest(pace: u64) -> Self {
        Self { lie: honest, pace, dies: None }
    }
}

impl Start for Starts {
    fn start(&mut self) -> Result<Box<dyn Talk>, StartError> {
        let hello = Hello {
            protocol: PROTOCOL,
            program: "honest 1".into(),
            library: String::new(),
            devices: vec!["cpu".into()],
            isa: String::new(),
            threads: 1,
            bf16: None,
        };
        Ok(Box::new(Honest { hello, said: VecDeque::new(), with: *self, pause: 0 }))
    }
}

thread_local! {
    /// Images of a micro-batch in what is begun next.
    static BATCH: std::cell::Cell<u16> = const { std::cell::Cell::new(2) };
}

fn settings() -> Settings {
    let base = Settings::of_protocol("small", 1).unwrap();
    Settings {
        images: 3,
        batch: BATCH.get(),
        noise_images: 1,
        eps: vec![4, 16],
        transformations: vec![Grid::at("blur", &[0.5], 1), Grid::at("noise", &[8.0], 2)],
        victims: vec![vec![Hash([1; 32])], vec![Hash([2; 32])]],
        ..base
    }
}

fn images() -> ImageSet {
    let mut chance = crate::chance::Stream::new(9, "images", 0);
    let pixels = (0..7 * 4).map(|_| u8::try_from(chance.below(256)).unwrap()).collect();
    let labels = vec![0, 1, 2, 0, 1, 2, 0];
    Images { pixels, labels, count: 7, channels: 1, side: 2, classes: 3 }.into()
}

/// The batch that begins the attack.
fn beginning() -> Vec<Event> {
    let (settings, images) = (settings(), images());
    let pool = settings.pool(7);
    let plan = Plan::new(settings.clone(), 3).unwrap();
    let labelled: Vec<_> =
        pool.iter().map(|&index| (index, images.labels[index as usize])).collect();
    let victim = |number: u16| AttackVictim {
        victim: number,
        what: Victim::Torchscript { file: String::new() },
        label: String::new(),
        architecture: String::new(),
        weights: settings.victims[usize::from(number)].clone(),
    };
    let rest = opening(&plan, &labelled, vec![(victim(0), 3), (victim(1), 3)], 3);
    let text = settings.to_toml();
    let (to_craft, to_score) = plan.totals(3);
    let started = AttackStarted {
        name: String::new(),
        protocol: "small".into(),
        seed: 0,
        chance: String::new(),
        data: AttackData {
            name: String::new(),
            content: Hash::default(),
            channels: 1,
            side: 2,
            classes: 3,
            images: 7,
        },
        folder: String::new(),
        pool: Hash::default(),
        images: 3,
        pool_parts: 1,
        batch: BATCH.get(),
        victims: 2,
        specifications: u16::try_from(plan.specifications()).unwrap(),
        transformations: u16::try_from(plan.transforms.len()).unwrap(),
        to_craft,
        to_score,
        config: Hash::of(text.as_bytes()),
        config_parts: u16::try_from(ConfigPart::cut(&text).len()).unwrap(),
        threads: 1,
        program: String::new(),
    };
    let parts = ConfigPart::cut(&text).into_iter().map(Event::from);
    std::iter::once(started.into()).chain(parts).chain(rest).collect()
}

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Store::open_or_create(&folder.path().join("store")).unwrap();
        Self(folder)
    }

    /// One process: takes up whatever the log holds, and works until the end or a fault.
    fn work(&self, log: MemoryLog, lie: Lie) -> (MemoryLog, Result<Ending, EngineError>) {
        self.work_with(log, vec![Box::new(Starts { lie, ..Starts::honest(0) })])
    }

    /// The same with several trainers.
    fn work_by(&self, log: MemoryLog, with: &[Starts]) -> (MemoryLog, Result<Ending, EngineError>) {
        self.work_with(log, with.iter().map(|&start| Box::new(start) as Box<dyn Start>).collect())
    }

    fn work_with(
        &self,
        log: MemoryLog,
        trainers: Vec<Box<dyn Start>>,
    ) -> (MemoryLog, Result<Ending, EngineError>) {
        self.work_watched(log, trainers, &mut ())
    }

    fn work_watched(
        &self,
        log: MemoryLog,
        trainers: Vec<Box<dyn Start>>,
        report: &mut dyn crate::engine::news::Report,
    ) -> (MemoryLog, Result<Ending, EngineError>) {
        let artifacts = Store::open(&self.0.path().join("store")).unwrap().artifacts();
        let (mut attack, mut index) = (Attack::default(), Index::default());
        let mut journal = Journal::new(log, || 0, Box::new(()));
        journal
            .catch_up(|recorded| {
                let Ok(()) = index.apply(recorded);
                attack.apply(recorded).unwrap();
            })
            .unwrap();
        if attack.started().is_none() {
            let batch = beginning();
            if let Err(error) = journal.record(SCOPE, &batch, |_| {}) {
                return (journal.into_log(), Err(error.into()));
            }
            for event in batch {
                attack.apply(&Recorded::unplaced(event)).unwrap();
            }
        }
        let models = ["one", "two"].map(|file| ModelRequest {
            members: vec![Member::Torchscript { file: file.into(), input: Default::default() }],
            channels: 1,
            side: 2,
        });
        let staging = artifacts.staging("device-cpu").unwrap();
        let inbox = |n| Inbox::new(&artifacts, staging.part(n).unwrap()).unwrap();
        let inboxes = (0..trainers.len()).map(inbox).collect();
        let post = |start| Post { device: "cpu".into(), start };
        let images = images();
        let mut engine = Engine {
            scope: SCOPE,
            work: Attacking::new(&mut attack, &images, &models),
            journal: &mut journal,
            index: &mut index,
            pool: Pool::new(trainers.into_iter().map(post).collect(), inboxes),
            keeper: Keeper::new(Some(artifacts)),
            machine: Machine::here(1),
            stop: &|| false,
            report,
            so_far: SoFar::default(),
        };
        let result = engine.run();
        (journal.into_log(), result)
    }
}

fn all(log: &MemoryLog) -> Vec<Recorded> {
    let mut journal = Journal::new(log.clone().reopened(), || 0, Box::new(()));
    let mut events = Vec::new();
    journal.catch_up(|recorded| events.push(recorded.clone())).unwrap();
    events
}

fn digest(log: &MemoryLog) -> Hash {
    Digests::default().folded(&all(log)).unwrap().finish()[0].1
}

fn honest(_: &mut Vec<u8>, _: &mut Vec<f32>) {}

#[test]
fn killed_after_any_event_it_is_the_same_attack() {
    let world = World::new();
    let (whole, result) = world.work(MemoryLog::default(), honest);
    assert_eq!(result.unwrap(), Ending::Finished);
    let (expected, events) = (digest(&whole), all(&whole));
    let plan = Plan::new(settings(), 3).unwrap();
    let steps: u32 = plan.steps.iter().map(|step| plan.events(*step)).sum();
    let begun = beginning().len();
    assert_eq!(events.len(), begun + 1 + steps as usize + 1, "a trainer, all steps, the end");
    let Some(Event::AttackFinished(finished)) = events.last().map(|r| r.event.clone()) else {
        panic!("not finished")
    };
    assert_eq!((finished.crafted, finished.scored), plan.totals(3));
    assert_eq!(finished.crafted, 2 * 6 * 3);
    // What is recorded in one batch is there or not: a few places in each are enough.
    for stop in (0..events.len() as u64).step_by(5) {
        let (log, result) = world.work(MemoryLog::default().stopping_after(stop), honest);
        assert!(result.is_err());
        let (log, result) = world.work(log.reopened(), honest);
        assert_eq!(result.unwrap(), Ending::Finished);
        assert_eq!(digest(&log), expected, "stopped after {stop}");
    }
}

/// What is on record of each image, whatever micro-batch it was in: crafted pixels, then scores.
fn outcomes(world: &World, log: &MemoryLog) -> Vec<String> {
    let artifacts = Store::open(&world.0.path().join("store")).unwrap().artifacts();
    let (images, pool) = (images(), settings().pool(7));
    let mut outcomes = Vec::new();
    for recorded in all(log) {
        match recorded.event {
            Event::ImagesCrafted(crafted) => {
                let first = crafted.first as usize;
                let some = &pool[first..first + crafted.images.len()];
                let clean = images.gather(some).unwrap();
                let hash = crate::log::artifacts::ArtifactHash(crafted.artifact.0);
                let parts = pack::unpack(&artifacts.read(hash).unwrap(), &clean).unwrap();
                let part = parts.iter().find(|part| part.spec == crafted.spec).unwrap();
                for (at, image) in crafted.images.iter().enumerate() {
                    let (place, pixels) = (first + at, &part.pixels[at * 4..(at + 1) * 4]);
                    let (victim, spec) = (crafted.victim, crafted.spec);
                    outcomes.push(format!("{victim} {spec} {place} {pixels:?} {image:?}"));
                }
            }
            Event::ImagesScored(scored) => {
                let ImagesScored { judge, source, transformation, repeat, .. } = scored;
                for (image, place) in scored.images.iter().zip(scored.first..) {
                    outcomes.push(format!(
                        "{judge} {source:?} {transformation} {repeat} {place} {image:?}"
                    ));
                }
            }
            _ => {}
        }
    }
    outcomes.sort_unstable();
    outcomes
}

#[test]
fn the_size_of_micro_batches_decides_nothing() {
    let [one, two, three] = [1, 2, 3].map(|batch| {
        BATCH.set(batch);
        let world = World::new();
        let (log, result) = world.work(MemoryLog::default(), honest);
        assert_eq!(result.unwrap(), Ending::Finished);
        outcomes(&world, &log)
    });
    assert_eq!(
        one.len(),
        2 * 6 * 3 + 2 * (7 * 3 * 4 + 6 * 3) + 2 * 2,
        "crafted, own, cross, noise"
    );
    assert_eq!(one, two);
    assert_eq!(one, three);
}

/// Random noise is scored on the first image alone, which is half a micro-batch, by each model, and as
/// the trainer sees it; nothing is crafted after it.
#[test]
fn noise_is_scored_where_it_was_asked_for() {
    let (log, result) = World::new().work(MemoryLog::default(), honest);
    assert_eq!(result.unwrap(), Ending::Finished);
    let (plan, images, pool) = (Plan::new(settings(), 3).unwrap(), images(), settings().pool(7));
    let mut seen = Vec::new();
    for recorded in all(&log) {
        let Event::ImagesScored(scored) = recorded.event else {
            let crafted =
                matches!(&recorded.event, Event::ImagesCrafted(c) if plan.is_noise(c.spec));
            assert!(!crafted);
            continue;
        };
        let Some(source) = scored.source.filter(|source| plan.is_noise(source.spec)) else {
            continue;
        };
        assert_eq!((source.victim, scored.transformation), (scored.judge, 0));
        seen.push((scored.judge, source.spec, scored.first, scored.images.len()));
        let file = if scored.judge == 0 { "one" } else { "two" };
        let members = vec![Member::Torchscript { file: file.into(), input: Default::default() }];
        let model = model(&ModelRequest { members, channels: 1, side: 2 });
        let eps = plan.noise[usize::from(source.spec) - plan.specs.len()].eps;
        for (image, &index) in scored.images.iter().zip(&pool) {
            let noise = noisy(0, index, eps, &images.gather(&[index]).unwrap());
            let truth = images.labels[index as usize].into();
            let expected = rank::score(&logits(&model, &noise), truth, Some(truth)).unwrap();
            assert_eq!((image.rank, image.target_rank), (expected.rank, expected.target_rank));
            assert_eq!(image.rank, image.target_rank);
        }
    }
    seen.sort_unstable();
    let specs = [plan.noise_number(0), plan.noise_number(1)];
    assert_eq!(specs, [6, 7]);
    assert_eq!(seen, [(0, 6, 0, 1), (0, 7, 0, 1), (1, 6, 0, 1), (1, 7, 0, 1)]);
}

#[test]
fn what_a_trainer_crafts_is_checked() {
    let lies: [(Lie, &str); 6] = [
        (|images, _| images[0] = images[0].wrapping_add(100), "moved a value by"),
        (|images, _| images.truncate(9), "with 9 bytes"),
        (|images, _| images.extend([0; 8]), "are taken"),
        (|_, logits| logits.truncate(3), "with 12 bytes"),
        (|_, logits| logits.extend([0.0; 3]), "are taken"),
        (|images, _| images.clear(), "with 0 bytes"),
    ];
    for (lie, expected) in lies {
        let (log, result) = World::new().work(MemoryLog::default(), lie);
        let Ok(Ending::Lost(reason)) = result else { panic!("{expected}: {result:?}") };
        assert!(reason.contains(expected), "{reason} has no {expected}");
        assert!(!all(&log).iter().any(|r| matches!(r.event, Event::ImagesCrafted(_))));
    }
}

/// Reports a fault of the machine whatever it is asked.
struct Fails(Hello);

impl Talk for Fails {
    fn hello(&self) -> &Hello {
        &self.0
    }

    fn send(&mut self, _: &Request) -> std::io::Result<()> {
        Ok(())
    }

    fn listen(&mut self, _: Duration) -> Option<Said> {
        let (message, cause) = ("no space".to_owned(), Some(ErrorCause::Machine));
        Some(Said::Answer(Answer::Error { id: 1, message, cause, errno: Some(28) }))
    }

    fn end(self: Box<Self>) -> String {
        String::new()
    }
}

struct StartsFailing;

impl Start for StartsFailing {
    fn start(&mut self) -> Result<Box<dyn Talk>, StartError> {
        let hello = Starts::honest(0).start()?.hello().clone();
        Ok(Box::new(Fails(hello)))
    }
}

#[test]
fn a_fault_of_the_machine_stops_an_attack_at_once() {
    let world = World::new();
    let (log, result) = world.work_with(MemoryLog::default(), vec![Box::new(StartsFailing)]);
    assert!(matches!(result, Err(EngineError::Machine(_))), "{result:?}");
    let (_, result) = world.work(log.reopened(), honest);
    assert_eq!(result.unwrap(), Ending::Finished);
}

#[test]
fn logits_that_are_no_numbers_count_as_wrong() {
    let (log, result) = World::new().work(MemoryLog::default(), |_, logits| logits[0] = f32::NAN);
    assert_eq!(result.unwrap(), Ending::Finished);
    let events = all(&log);
    let scored = events.iter().filter_map(|recorded| match &recorded.event {
        Event::ImagesScored(scored) if scored.source.is_none() && scored.transformation == 0 => {
            Some(scored)
        }
        _ => None,
    });
    for scored in scored {
        let first = scored.images[0];
        assert_eq!((first.rank, first.flags), (ScoredImage::NONE, ScoredImage::NOT_FINITE));
        assert!(scored.images[1..].iter().all(|image| image.flags == 0 && image.rank < 3));
    }
}

#[path = "attack_pool_tests.rs"]
mod pool_tests;
