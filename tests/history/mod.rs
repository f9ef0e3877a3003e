//! A fixed history of events, made by the search itself and a scripted trainer, without any
//! process or clock.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod attack;

use std::path::Path;

use qtrail::agent::run::Run;
use qtrail::agent::search::Search;
use qtrail::agent::{Decision, Training};
use qtrail::chance::Stream;
use qtrail::config::{SearchConfig, presets};
use qtrail::engine::references::References;
use qtrail::events::codec::encode;
use qtrail::events::frame::{Head, seal};
use qtrail::events::{
    AttemptLost, AttemptStarted, CheckpointKept, ConfigPart, Continues, DataFacts, Decided,
    EnsembleMember, EnsembleSaved, EpochFinished, Event, FailedReason, Fit, Fold as _, Hash,
    ImportFinished, ImportStarted, ImportedQ, Initial, Outcome, Predicted, PredictedPart,
    PredictionsRecorded, Purpose, Recorded, ResultLate, Resumed, RunModel, RunStarted, Scope,
    SearchStarted, SeriesJoined, Source, TrialFinished,
};
use qtrail::import::metaqnn::Log;
use qtrail::import::qvalues;
use qtrail::log::{EventLog, LocalLog, Options, Store};

/// When the history begins: 2026-11-20 12:00 UTC. Every event is a second later than the last.
pub const BEGINNING: i64 = 1_795_176_000_000;

/// Events being written down.
#[derive(Default)]
pub struct History {
    pub events: Vec<Recorded>,
    pub head: Head,
    pub frames: Vec<qtrail::events::frame::Frame>,
    pub ends: Vec<Head>,
    /// Large things that events refer to.
    pub artifacts: Vec<Vec<u8>>,
}

impl History {
    pub fn record(&mut self, scope: Scope, events: Vec<Event>) {
        for event in events {
            let at = BEGINNING + 1000 * i64::try_from(self.events.len()).unwrap();
            let payload = encode(at, scope, &event).unwrap();
            let (frame, head) = seal(self.head, &payload).unwrap();
            let position = head.position;
            self.events.push(Recorded { position, at, scope, event });
            self.frames.push(frame);
            self.ends.push(head);
            self.head = head;
        }
    }

    /// The head after so many events.
    pub fn head_after(&self, events: usize) -> Head {
        events.checked_sub(1).map_or(Head::default(), |last| self.ends[last])
    }

    /// Begins a search and carries it on until `steps` decisions were made, or to its end.
    pub fn search(&mut self, number: u32, name: &str, seed: u64, steps: usize) -> Search {
        let config = config();
        let text = config.to_toml();
        let parts = ConfigPart::cut(&text);
        let started = SearchStarted {
            name: name.into(),
            seed,
            chance: qtrail::chance::SCHEME.into(),
            data: data(),
            folder: "/data".into(),
            config: Hash::of(text.as_bytes()),
            config_parts: u16::try_from(parts.len()).unwrap(),
            threads: 1,
            program: "qtrail 0".into(),
        };
        let mut search = Search::new(started.clone(), config).unwrap();
        let parts = parts.into_iter().map(Event::from);
        let scope = Scope::Search(number);
        self.record(scope, std::iter::once(started.into()).chain(parts).collect());
        self.carry_on(scope, &mut search, steps);
        search
    }

    /// Trains one architecture outside of any search.
    pub fn run(&mut self, number: u32, repeats: u32) {
        let architecture = "[C(8,3,1), P(2,2), SM(10)]".parse().unwrap();
        let model = RunModel { index: 0, architecture, source: None, initial: None };
        self.run_for(number, (Purpose::Train, ""), repeats, vec![model], data());
    }

    /// Trains models for a purpose by a recipe of some name, and shows them test images if it is a
    /// purpose of after the search.
    pub fn run_for(
        &mut self,
        number: u32,
        (purpose, recipe): (Purpose, &str),
        repeats: u32,
        models: Vec<RunModel>,
        data: DataFacts,
    ) {
        let config = config();
        let text = config.to_toml();
        let parts = ConfigPart::cut(&text);
        let predicted = Predicted {
            validation_labels: Hash::of(b"validation labels"),
            test: Hash::of(b"test"),
            test_images: 1000,
            test_labels: Hash::of(b"test labels"),
        };
        let started = RunStarted {
            purpose,
            models: u16::try_from(models.len()).unwrap(),
            repeats,
            recipe: recipe.into(),
            fit: Fit::Train,
            predicted: (purpose != Purpose::Train).then_some(predicted),
            seed: 1,
            chance: qtrail::chance::SCHEME.into(),
            data,
            folder: "/data".into(),
            config: Hash::of(text.as_bytes()),
            config_parts: u16::try_from(parts.len()).unwrap(),
            threads: 1,
            program: "qtrail 0".into(),
        };
        let mut run = Run::new(started.clone(), models.clone(), config).unwrap();
        let models = models.into_iter().map(Event::from);
        let parts = models.chain(parts.into_iter().map(Event::from));
        let scope = Scope::Run(number);
        self.record(scope, std::iter::once(started.into()).chain(parts).collect());
        self.carry_on(scope, &mut run, usize::MAX);
    }

    /// The best of search 1 trained long, and the best of all taken to SVHN both ways.
    pub fn afterwards(&mut self) {
        let source = |trial| Some(Source { scope: Scope::Search(1), trial });
        let model = |index, text: &str, trial, initial| RunModel {
            index,
            architecture: text.parse().unwrap(),
            source: source(trial),
            initial,
        };
        let best = [("[GAP(10), SM(10)]", 2), ("[C(4,1,1), C(8,1,1), C(4,1,1), SM(10)]", 1)];
        let best = best.iter().zip(0..).map(|((text, trial), n)| model(n, text, *trial, None));
        let mnist = DataFacts { name: "mnist".into(), ..data() };
        self.run_for(1, (Purpose::Final, "short"), 1, best.collect(), mnist);
        let initial = Initial { weights: Hash::of(b"weights"), layers: vec![1, 3], freeze: 1 };
        let svhn = DataFacts { name: "svhn".into(), channels: 3, side: 32, ..data() };
        for (number, initial) in [(2, None), (3, Some(initial))] {
            let taken = model(0, "[C(4,3,1), C(4,3,1), C(8,3,1), SM(10)]", 4, initial);
            let purpose = (Purpose::Transfer, "svhn");
            self.run_for(number, purpose, 2, vec![taken], svhn.clone());
        }
    }

    /// Imports ten rows and a Q-table; `complete`: with the closing event.
    pub fn import(&mut self, number: u32, name: &str, complete: bool) {
        let config = SearchConfig::read(presets::text("svhn").unwrap(), None, &[]).unwrap();
        let text = config.to_toml();
        let parts = ConfigPart::cut(&text);
        let log = Log::read(IMPORTED_LOG, 32, &config.space).unwrap();
        let pairs = qvalues::read(IMPORTED_Q).unwrap();
        let started = ImportStarted {
            format: "metaqnn".into(),
            file: "log.csv".into(),
            content: Hash::of(IMPORTED_LOG.as_bytes()),
            rows: u32::try_from(log.rows.len()).unwrap(),
            q_file: Some("q.csv".into()),
            q_content: Some(Hash::of(IMPORTED_Q.as_bytes())),
            pairs: u32::try_from(pairs.len()).unwrap(),
        };
        let search = SearchStarted {
            name: name.into(),
            seed: 0,
            chance: "unknown".into(),
            data: DataFacts { name: "svhn".into(), channels: 3, side: 32, ..data() },
            folder: String::new(),
            config: Hash::of(text.as_bytes()),
            config_parts: u16::try_from(parts.len()).unwrap(),
            threads: 0,
            program: "qtrail 0".into(),
        };
        let finished = ImportFinished { foreign_pairs: 1, ..log.tally() };
        let mut events: Vec<Event> = vec![started.into(), search.into()];
        events.extend(parts.into_iter().map(Event::from));
        events.extend(log.rows.into_iter().map(Event::from));
        events.push(ImportedQ { first: 0, pairs }.into());
        if complete {
            events.push(finished.into());
        }
        self.record(Scope::Search(number), events);
    }

    pub fn carry_on(&mut self, scope: Scope, job: &mut dyn Training, steps: usize) {
        for _ in 0..steps {
            let events = match job.decide(true, &[]) {
                Decision::Record(events) => events,
                Decision::Do(trial) => train(job, trial),
                Decision::Wait | Decision::Done => return,
            };
            for event in &events {
                job.apply(&Recorded::unplaced(event.clone())).unwrap();
            }
            self.record(scope, events);
        }
    }

    pub fn resumed(&mut self, scope: Scope, job: &mut dyn Training) {
        let event = Event::from(Resumed { program: "qtrail 0".into(), host: "host".into() });
        job.apply(&Recorded::unplaced(event.clone())).unwrap();
        self.record(scope, vec![event]);
    }

    /// Writes the history into a new store.
    pub fn store(&self, root: &Path) -> Store {
        let store = Store::open_or_create(root).unwrap();
        let Ok(references) = References::default().folded(&self.events);
        let named = |bytes: &Vec<u8>| !references.names(Hash::of(bytes)).is_empty();
        for bytes in self.artifacts.iter().cloned().chain(invented().filter(named)) {
            store.artifacts().put(&bytes).unwrap();
        }
        let mut log = LocalLog::open(store.clone(), Options::default()).unwrap();
        let mut head = log.head().unwrap();
        let written = usize::try_from(head.position.0).unwrap();
        for batch in self.frames[written..].chunks(100) {
            head = log.append(head, batch).unwrap();
        }
        log.close().unwrap();
        store
    }
}

/// The bytes of the artifacts that these histories name.
fn invented() -> impl Iterator<Item = Vec<u8>> {
    let texts = ["split", "validation labels", "test labels", "weights", "validation", "test"];
    let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
    let narrow = (0..=255_u16).map(|number| number.to_le_bytes().to_vec());
    let wide = (0..=9_999_u32).map(|number| number.to_le_bytes().to_vec());
    texts.into_iter().map(|text| text.as_bytes().to_vec()).chain(bytes).chain(narrow).chain(wide)
}

/// One search, finished, as most tests want it.
pub fn finished() -> History {
    let mut history = History::default();
    history.search(1, "first", 3, usize::MAX);
    history
}

/// A finished search, a run, and a search that stopped in the middle.
pub fn several() -> History {
    let mut history = finished();
    history.run(1, 2);
    let mut search = history.search(2, "second", 4, 20);
    history.resumed(Scope::Search(2), &mut search);
    history
}

/// A finished search, and what came after it.
pub fn afterwards() -> History {
    let mut history = finished();
    history.afterwards();
    history
}

/// Two searches of a series, and a saved ensemble of models of both.
pub fn series() -> History {
    let mut history = History::default();
    for repetition in 1..=2 {
        let seed = qtrail::engine::series::seed(3, repetition);
        history.search(repetition, &format!("night.{repetition}"), seed, usize::MAX);
        let joined = SeriesJoined {
            series: 1,
            name: "night".into(),
            repetition,
            repeats: 3,
            seed: 3,
            reuse_trials: false,
        };
        history.record(Scope::Search(repetition), vec![joined.into()]);
    }
    let member = |search, trial, weight| {
        let trial = Source { scope: Scope::Search(search), trial };
        EnsembleMember { trial, weight }
    };
    let saved = EnsembleSaved {
        ensemble: 1,
        name: "both".into(),
        members: vec![member(1, 2, 2.0), member(2, 1, 1.0)],
        combine: "mean".into(),
        chosen: "greedy:3 by val".into(),
        position: 100,
        validation: None,
        test: Some(Decided { wrong: 31, images: 400 }),
        program: "qtrail 0".into(),
    };
    history.record(Scope::Store, vec![saved.into()]);
    // A process that was suspended has trained one of the trials too.
    let outcome = Outcome::Trained {
        best_epoch: 2,
        best_correct: 84,
        last_correct: 84,
        total: 100,
        weights: None,
        kept: false,
    };
    let (trial, attempt, epochs, restarts, seconds, peak_memory) = (2, 1, 2, 0, 12.5, 0);
    let late = ResultLate { trial, attempt, outcome, epochs, restarts, seconds, peak_memory };
    history.record(Scope::Search(1), vec![late.into()]);
    history
}

/// A finished search; an import that was killed, and one that is complete.
pub fn imported() -> History {
    let mut history = finished();
    history.import(2, "killed", false);
    history.import(3, "svhn", true);
    history
}

/// A hand-made log in the authors' format.
pub const IMPORTED_LOG: &str = include_str!("replay_database.csv");
/// A hand-made Q-table in their format, in 17 columns.
pub const IMPORTED_Q: &str = include_str!("q_values.csv");

pub fn config() -> SearchConfig {
    SearchConfig::read(presets::text("tiny").unwrap(), None, &[]).unwrap()
}

pub fn data() -> DataFacts {
    DataFacts {
        name: "test".into(),
        content: Hash::of(b"content"),
        channels: 1,
        side: 28,
        classes: 10,
        train: 200,
        validation: 100,
        split: Hash::of(b"split"),
    }
}

/// What a trainer makes of a trial: one in eight is no better than chance, one in eight is lost
/// once, the others get accuracies from their seed.
fn train(job: &dyn Training, ordinal: u32) -> Vec<Event> {
    let trial = job.trials().get(ordinal).unwrap();
    let mut chance = Stream::new(trial.planned.seed, "fake", 0);
    let kind = chance.below(8);
    let attempt = trial.attempts + 1;
    let mut events = vec![
        AttemptStarted {
            trial: ordinal,
            attempt,
            device: "cpu".into(),
            threads: 1,
            trainer: "fake 1".into(),
            library: "none".into(),
            isa: "any".into(),
            host: "host".into(),
            continues: trial.checkpoint.as_ref().map(|kept| Continues {
                attempt: kept.attempt,
                restart: kept.restart,
                epoch: kept.epoch,
            }),
            worker: "worker-test".into(),
            precision: "f32".into(),
        }
        .into(),
    ];
    let terms = job.terms(ordinal);
    let done = trial.checkpoint.as_ref().map_or(0, |kept| kept.epoch);
    let mut correct = Vec::new();
    for epoch in 1..=if kind == 0 { 1 } else { 2 } {
        let right = if kind == 0 { 10 } else { 20 + u32::try_from(chance.below(75)).unwrap() };
        correct.push(right);
        if epoch <= done {
            continue;
        }
        events.push(
            EpochFinished {
                trial: ordinal,
                attempt,
                restart: 0,
                epoch,
                learning_rate: 0.001,
                train_loss: 2.0 / f64::from(epoch),
                train_correct: right * 2,
                train_total: 200,
                validation_loss: 2.5 / f64::from(epoch),
                validation_correct: right,
                validation_total: 100,
                seconds: 0.25,
            }
            .into(),
        );
        if terms.by_epoch {
            let artifact = Hash::of(&[u8::try_from(epoch).unwrap()]);
            let kept = CheckpointKept { trial: ordinal, attempt, restart: 0, epoch, artifact };
            events.push(kept.into());
        }
        if (kind == 1 || terms.by_epoch) && attempt == 1 {
            let reason = "the trainer ended: killed".into();
            events.push(AttemptLost { trial: ordinal, attempt, counts: true, reason }.into());
            return events;
        }
    }
    let best = *correct.iter().max().unwrap();
    let outcome = if kind == 0 {
        let (reason, message) = (FailedReason::Chance, "no better than chance".into());
        Outcome::Failed { reason, message }
    } else {
        Outcome::Trained {
            best_epoch: 1 + u32::try_from(correct.iter().position(|n| *n == best).unwrap())
                .unwrap(),
            best_correct: best,
            last_correct: *correct.last().unwrap(),
            total: 100,
            weights: Some(Hash::of(&ordinal.to_le_bytes())),
            kept: false,
        }
    };
    if let (Some(predicted), true) = (terms.predicted, kind != 0) {
        for (part, images, labels) in [
            (PredictedPart::Validation, 100, predicted.validation_labels),
            (PredictedPart::Test, predicted.test_images, predicted.test_labels),
        ] {
            events.push(
                PredictionsRecorded {
                    trial: ordinal,
                    attempt,
                    part,
                    images,
                    classes: 10,
                    correct: best * images / 100 - images / 50,
                    probabilities: Hash::of(part.name().as_bytes()),
                    labels,
                }
                .into(),
            );
        }
    }
    events.push(
        TrialFinished {
            trial: ordinal,
            attempt,
            outcome,
            epochs: u32::try_from(correct.len()).unwrap(),
            restarts: 0,
            seconds: 0.5,
            peak_memory: 0,
        }
        .into(),
    );
    events
}
