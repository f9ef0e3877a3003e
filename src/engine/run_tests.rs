//! Final training against a log in memory, artifacts in a folder, and fake trainers that leave
//! checkpoints: killed after every event, resumed, and always the same run.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use super::inbox::Inbox;
use super::jobs::State;
use super::presence::Alive;
use super::tests::fake_post;
use super::trainings::Trainings;
use super::*;
use crate::chance::{self, Stream};
use crate::config::{SearchConfig, presets};
use crate::events::digest::Digests;
use crate::events::{
    ConfigPart, DataFacts, Fit, Hash, Predicted, PredictedPart, Purpose, RunModel, RunStarted,
};
use crate::log::{MemoryLog, Store};
use crate::trainer::fake::{Script, by_seed};
use crate::trainer::process::Said;
use crate::trainer::protocol::{PredictionAnswer, TrainRequest};

const SCOPE: Scope = Scope::Run(1);
const LABELS: [&[u8]; 2] = [&[0, 1, 2, 3], &[5, 5, 5, 5, 5, 5]];

fn beginning() -> Vec<Event> {
    let settings = ["recipe.epochs=3".to_owned(), "keep-weights=all".to_owned()];
    let config = SearchConfig::read(presets::text("tiny").unwrap(), None, &settings).unwrap();
    let text = config.to_toml();
    let parts = ConfigPart::cut(&text);
    let data = DataFacts {
        name: "test".into(),
        content: Hash::default(),
        channels: 1,
        side: 28,
        classes: 10,
        train: 100,
        validation: 100,
        split: Hash::default(),
    };
    let models = ["[SM(10)]", "[C(8,3,1), SM(10)]", "[FC(32), SM(10)]"];
    let models: Vec<RunModel> = models
        .iter()
        .zip(0..)
        .map(|(text, index)| {
            let architecture = text.parse().unwrap();
            RunModel { index, architecture, source: None, initial: None }
        })
        .collect();
    let predicted = Predicted {
        validation_labels: Hash::of(LABELS[0]),
        test: Hash::default(),
        test_images: 6,
        test_labels: Hash::of(LABELS[1]),
    };
    let started = RunStarted {
        purpose: Purpose::Final,
        models: 3,
        repeats: 1,
        recipe: "short".into(),
        fit: Fit::Train,
        predicted: Some(predicted),
        seed: 3,
        chance: chance::SCHEME.into(),
        data,
        folder: String::new(),
        config: Hash::of(text.as_bytes()),
        config_parts: u16::try_from(parts.len()).unwrap(),
        threads: 1,
        program: "test".into(),
    };
    let models = models.into_iter().map(Event::from);
    let rest = models.chain(parts.into_iter().map(Event::from));
    std::iter::once(started.into()).chain(rest).collect()
}

/// What [`by_seed`] says, with checkpoints, from the one it is to go on from, and probabilities.
fn with_checkpoints(request: &TrainRequest) -> Vec<Said> {
    let leave = |name: String, content: &[u8]| {
        fs::write(request.staging.join(&name), content).unwrap();
        name
    };
    let done = request.resume.as_ref().map_or(0, |resume| {
        let content = fs::read(&resume.file).unwrap();
        assert_eq!(
            content,
            [request.seed.to_le_bytes(), u64::from(resume.epoch).to_le_bytes()].concat()
        );
        resume.epoch
    });
    let mut said = Vec::new();
    for line in by_seed(request) {
        match line {
            Said::Answer(Answer::Epoch(epoch)) if epoch.epoch <= done => {}
            Said::Answer(Answer::Epoch(epoch)) => {
                said.push(line);
                let (id, restart, epoch) = (epoch.id, epoch.restart, epoch.epoch);
                let content = [request.seed.to_le_bytes(), u64::from(epoch).to_le_bytes()].concat();
                let file = leave(format!("checkpoint-{epoch}"), &content);
                said.push(Said::Answer(Answer::Checkpoint { id, restart, epoch, file }));
            }
            Said::Answer(Answer::Finished(mut finished)) => {
                for (part, labels) in PredictedPart::ALL.into_iter().zip(LABELS) {
                    let mut chance = Stream::new(request.seed, part.name(), 0);
                    let rows = labels.iter().flat_map(|_| {
                        let right = chance.index(10);
                        (0..10).map(move |class| f32::from(u8::from(class == right)))
                    });
                    let bytes: Vec<u8> = rows.flat_map(f32::to_le_bytes).collect();
                    let file = leave(part.name().into(), &bytes);
                    finished.predictions.push(PredictionAnswer { part, file });
                }
                finished.weights = Some(leave("weights".into(), &request.seed.to_le_bytes()));
                said.push(Said::Answer(Answer::Finished(finished)));
            }
            other => said.push(other),
        }
    }
    said
}

fn store(folder: &Path) -> Store {
    let store = Store::open_or_create(&folder.join("store")).unwrap();
    for labels in LABELS {
        store.artifacts().put(labels).unwrap();
    }
    store
}

fn read(log: &MemoryLog) -> Vec<Recorded> {
    let mut journal = Journal::new(log.clone().reopened(), || 0, Box::new(()));
    let mut events = Vec::new();
    journal.catch_up(|recorded| events.push(recorded.clone())).unwrap();
    events
}

fn digest(log: &MemoryLog) -> Hash {
    Digests::default().folded(&read(log)).unwrap().finish()[0].1
}

/// One process: takes up whatever the log holds, and works to the end, a fault, or being asked to
/// stop.
fn work(
    log: MemoryLog,
    store: &Store,
    script: Script,
    stop: &dyn Fn() -> bool,
) -> (MemoryLog, Result<Ending, EngineError>) {
    let (mut state, mut index) = (State::default(), Index::default());
    let mut journal = Journal::new(log, || 0, Box::new(()));
    journal
        .catch_up(|recorded| {
            let Ok(()) = index.apply(recorded);
            state.apply(recorded).unwrap();
        })
        .unwrap();
    if matches!(state, State::Unseen) {
        let batch = beginning();
        match journal.record(SCOPE, &batch, |_| {}) {
            Err(error) => return (journal.into_log(), Err(error.into())),
            Ok(recorded) => recorded.unwrap().iter().for_each(|one| state.apply(one).unwrap()),
        }
    }
    let State::Open(mut job) = state else { panic!("the beginning is one batch") };
    let artifacts = store.artifacts();
    let inbox = Inbox::new(&artifacts, artifacts.staging("run-r1").unwrap()).unwrap();
    let mut engine = Engine {
        scope: SCOPE,
        work: Trainings {
            job: &mut *job,
            presence: &mut Alive::among(&tests::Living::default()),
            reusable: Default::default(),
            looked: None,
            left: Vec::new(),
            others_work: false,
        },
        journal: &mut journal,
        index: &mut index,
        pool: Pool::new(vec![fake_post(script, 0)], vec![inbox]),
        keeper: Keeper::new(Some(artifacts)),
        machine: Machine::here(1),
        stop,
        report: &mut (),
        so_far: SoFar::default(),
    };
    let result = engine.run();
    (journal.into_log(), result)
}

fn artifacts(store: &Store) -> Vec<Hash> {
    store.artifacts().list().unwrap().into_iter().map(|(hash, _)| hash).collect()
}

#[test]
fn killed_after_every_event_it_is_the_same_run_and_no_checkpoint_stays() {
    let folder = tempfile::tempdir().unwrap();
    let whole = store(&folder.path().join("whole"));
    let (mut log, result) = work(MemoryLog::default(), &whole, with_checkpoints, &|| false);
    assert_eq!(result.unwrap(), Ending::Finished);
    let (expected, length) = (digest(&log), log.head().unwrap().position.0);
    let made = |event: &Recorded| matches!(event.event, Event::PredictionsRecorded(_));
    assert!(read(&log).iter().filter(|event| made(event)).count() >= 4);
    let mut went_on = 0;
    for events in 0..length {
        let store = store(&folder.path().join(format!("killed-{events}")));
        let log = MemoryLog::default().stopping_after(events);
        let (log, result) = work(log, &store, with_checkpoints, &|| false);
        assert!(result.is_err(), "not killed after {events} events");
        let (log, result) = work(log.reopened(), &store, with_checkpoints, &|| false);
        assert_eq!(result.unwrap(), Ending::Finished);
        assert_eq!(digest(&log), expected, "killed after {events} events");
        // A kill between an artifact and its event leaves one that nothing names, as anywhere.
        let named = |hash: &Hash| {
            read(&log).iter().any(|recorded| match &recorded.event {
                Event::CheckpointKept(kept) => kept.artifact == *hash,
                _ => false,
            })
        };
        assert!(!artifacts(&store).iter().any(named), "a checkpoint stays after {events} events");
        let continues = |recorded: &Recorded| match &recorded.event {
            Event::AttemptStarted(started) => u32::from(started.continues.is_some()),
            _ => 0,
        };
        went_on += read(&log).iter().map(continues).sum::<u32>();
    }
    assert!(went_on >= 6, "only {went_on} attempts went on from a checkpoint");
}

#[test]
fn asked_to_stop_it_stops_after_each_epoch_and_is_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let whole = store(&folder.path().join("whole"));
    let (log, result) = work(MemoryLog::default(), &whole, with_checkpoints, &|| false);
    assert_eq!(result.unwrap(), Ending::Finished);
    let expected = digest(&log);
    let store = store(&folder.path().join("stopped"));
    let (mut log, mut times) = (MemoryLog::default(), 0);
    loop {
        // Asked as soon as a trainer is at work: the first look is before that.
        let looks = Cell::new(0);
        let stop = || looks.replace(looks.get() + 1) > 3;
        let (next, result) = work(log.reopened(), &store, with_checkpoints, &stop);
        log = next;
        times += 1;
        match result.unwrap() {
            Ending::Finished => break,
            Ending::Interrupted => assert!(times < 100, "it does not get on"),
            Ending::Lost(reason) | Ending::Refused(reason) => panic!("{reason}"),
        }
    }
    assert!(times >= 6, "stopped only {times} times");
    assert_eq!(digest(&log), expected);
    let kept: Vec<Hash> = artifacts(&whole);
    assert_eq!(artifacts(&store), kept);
}

/// Probabilities that are none lose the attempt, and are never recorded.
#[test]
fn probabilities_are_not_believed() {
    fn lies(request: &TrainRequest) -> Vec<Said> {
        let said = with_checkpoints(request);
        fs::write(request.staging.join("test"), [0; 240]).unwrap();
        said
    }
    fn leaves_none(request: &TrainRequest) -> Vec<Said> {
        let mut said = with_checkpoints(request);
        if let Some(Said::Answer(Answer::Finished(finished))) = said.last_mut() {
            finished.predictions.truncate(1);
        }
        said
    }
    for (script, expected) in [
        (lies as Script, "test: the probabilities of image 0 add up to 0"),
        (leaves_none, "the trainer left no probabilities of test images"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (log, result) = work(MemoryLog::default(), &store(folder.path()), script, &|| false);
        let lost = |recorded: &Recorded| match &recorded.event {
            Event::AttemptLost(lost) => Some(lost.reason.clone()),
            _ => None,
        };
        let reasons: Vec<String> = read(&log).iter().filter_map(lost).collect();
        assert!(
            !reasons.is_empty() && reasons.iter().all(|reason| reason == expected),
            "{reasons:?}"
        );
        let made = |event: &Recorded| matches!(event.event, Event::PredictionsRecorded(_));
        assert!(!read(&log).iter().any(made));
        assert!(result.is_ok());
    }
}
