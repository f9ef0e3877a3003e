//! A run: given models trained outside any sampling, each some number of times. `train` names one
//! architecture, `final` takes the best of a search, `transfer` takes one to other images, and a
//! search whose schedule enumerates takes every architecture of its space.

use super::space::Space;
use super::trials::{Trials, training_seed};
use super::{Decision, Impossible, Job, Terms, Training};
use crate::arch::shape::{Map, ShapeError};
use crate::arch::{Architecture, PoolRule, Shapes};
use crate::config::SearchConfig;
use crate::config::space::SpaceError;
use crate::events::{
    DataFacts, Event, Fold, Initial, Purpose, Recorded, RunFinished, RunModel, RunStarted,
    SearchFinished, SearchStarted, TrialLost, TrialPlanned,
};

/// Most architectures that an enumeration takes on.
const ENUMERATED_MAX: u128 = 100_000;

/// The state of a run, folded from its events.
#[derive(Debug, Clone)]
pub struct Run {
    /// What is trained, in this order, then all of it again for the next repetition.
    models: Vec<Model>,
    repeats: u32,
    seed: u64,
    threads: u32,
    data: DataFacts,
    folder: String,
    config: SearchConfig,
    trials: Trials,
    terms: Terms,
    /// Whether it is a search that enumerates its space.
    enumerates: bool,
    finished: bool,
}

#[derive(Debug, Clone)]
struct Model {
    architecture: Architecture,
    parameters: u64,
    multiply_adds: u64,
    initial: Option<Initial>,
}

/// Why a space cannot be enumerated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnumerationError {
    /// The space cannot be built.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// It is too large.
    #[error("the space has {0} architectures; an enumeration trains at most {ENUMERATED_MAX}")]
    Large(u128),
    /// No architecture is within the limits.
    #[error("no architecture of the space is within the limits")]
    Limits,
    /// An architecture in it does not fit the images.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

impl Run {
    /// The state of a run that has just begun.
    ///
    /// # Errors
    /// [`ShapeError`] if an architecture does not fit the images.
    pub fn new(
        started: RunStarted,
        models: Vec<RunModel>,
        config: SearchConfig,
    ) -> Result<Self, ShapeError> {
        let terms = Terms {
            fit: started.fit,
            initial: None,
            predicted: started.predicted,
            by_epoch: started.purpose != Purpose::Train,
        };
        let model = |model: RunModel| {
            let initial = model.initial;
            Ok(Model { initial, ..Model::new(model.architecture, &started.data, &config)? })
        };
        Ok(Self {
            models: models.into_iter().map(model).collect::<Result<_, ShapeError>>()?,
            terms,
            repeats: started.repeats,
            seed: started.seed,
            threads: started.threads,
            data: started.data,
            folder: started.folder,
            config,
            trials: Trials::default(),
            enumerates: false,
            finished: false,
        })
    }

    /// The state of an enumeration that has just begun: every legal architecture, in stored order.
    ///
    /// # Errors
    /// [`EnumerationError`] if the space cannot be built, or is too large to be trained.
    pub fn enumerate(
        started: SearchStarted,
        config: SearchConfig,
    ) -> Result<Self, EnumerationError> {
        let space = Space::new(&config.space, started.data.side, started.data.classes)?;
        if space.architectures() > ENUMERATED_MAX {
            return Err(EnumerationError::Large(space.architectures()));
        }
        let mut models = Vec::new();
        for architecture in space.all() {
            let model = Model::new(architecture, &started.data, &config)?;
            if config.limits.hold(model.parameters, model.multiply_adds) {
                models.push(model);
            }
        }
        if models.is_empty() {
            return Err(EnumerationError::Limits);
        }
        Ok(Self {
            models,
            repeats: config.schedule.repeats,
            seed: started.seed,
            threads: started.threads,
            data: started.data,
            folder: started.folder,
            config,
            trials: Trials::default(),
            terms: Terms::default(),
            enumerates: true,
            finished: false,
        })
    }

    /// The model and the repetition of the trial after `before` others.
    fn model(&self, before: u32) -> Option<(&Model, u32)> {
        let models = u32::try_from(self.models.len()).ok()?;
        let repeat = before.checked_div(models)?;
        Some((self.models.get((before % models) as usize)?, repeat))
    }

    /// The plan of the trial after `before` others, or `None` after the last.
    fn plan(&self, before: u32) -> Option<TrialPlanned> {
        let (model, repeat) = self.model(before).filter(|(_, repeat)| *repeat < self.repeats)?;
        Some(TrialPlanned {
            trial: before + 1,
            episode: 0,
            seed: training_seed(self.seed, &model.architecture, repeat),
            architecture: model.architecture.clone(),
            repeat,
            parameters: model.parameters,
            multiply_adds: model.multiply_adds,
        })
    }

    fn end(&self, trials: u32) -> Event {
        match self.enumerates {
            true => SearchFinished { episodes: 0, trials }.into(),
            false => RunFinished { trials }.into(),
        }
    }
}

impl Model {
    fn new(
        architecture: Architecture,
        data: &DataFacts,
        config: &SearchConfig,
    ) -> Result<Self, ShapeError> {
        let input = Map { channels: data.channels, side: data.side };
        let shapes = Shapes::of(&architecture, input, config.recipe.gap, PoolRule::True)?;
        let (parameters, multiply_adds) = (shapes.parameters(), shapes.multiply_adds());
        Ok(Self { architecture, parameters, multiply_adds, initial: None })
    }
}

impl Job for Run {
    type Task = u32;

    fn is_finished(&self) -> bool {
        self.finished
    }

    fn decide(&self, idle: bool, left: &[u32]) -> Decision<u32> {
        if self.finished {
            return Decision::Done;
        }
        if let Some(trial) = self.trials.hopeless() {
            return Decision::Record(vec![TrialLost { trial: trial.planned.trial }.into()]);
        }
        let planned = self.trials.next_ordinal() - 1;
        match (self.trials.next_waiting(left), self.plan(planned)) {
            (Some(trial), _) if idle => Decision::Do(trial.planned.trial),
            (None, Some(plan)) if idle => Decision::Record(vec![plan.into()]),
            (_, None) if self.trials.open() == 0 => Decision::Record(vec![self.end(planned)]),
            _ => Decision::Wait,
        }
    }
}

impl Fold for Run {
    type Error = Impossible;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Impossible> {
        let event = &recorded.event;
        match event {
            Event::TrialPlanned(planned)
                if self.plan(self.trials.next_ordinal() - 1).as_ref() != Some(planned) =>
            {
                return Err(Impossible::of(event, "another training is next"));
            }
            Event::EpisodeSampled(_)
            | Event::ExperienceRecorded(_)
            | Event::ReplayUpdated(_)
            | Event::Inherited(_)
            | Event::ScheduleExtended(_) => {
                return Err(Impossible::of(event, "nothing is sampled here"));
            }
            _ => {}
        }
        self.trials.apply(recorded)?;
        self.finished |= matches!(event, Event::RunFinished(_) | Event::SearchFinished(_));
        self.finished &= !matches!(event, Event::TrialRetried(_));
        Ok(())
    }
}

impl Training for Run {
    fn trials(&self) -> &Trials {
        &self.trials
    }

    fn config(&self) -> &SearchConfig {
        &self.config
    }

    fn data(&self) -> &DataFacts {
        &self.data
    }

    fn folder(&self) -> &str {
        &self.folder
    }

    fn threads(&self) -> u32 {
        self.threads
    }

    fn terms(&self, ordinal: u32) -> Terms {
        let initial =
            self.model(ordinal.saturating_sub(1)).and_then(|(model, _)| model.initial.clone());
        Terms { initial, ..self.terms.clone() }
    }

    fn planned_models(&self) -> u32 {
        u32::try_from(self.models.len()).unwrap_or(u32::MAX).saturating_mul(self.repeats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::presets;
    use crate::events::{AttemptStarted, FailedReason, Hash, Outcome, TrialFinished};

    fn enumeration(settings: &[&str]) -> Result<Run, EnumerationError> {
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let text = presets::text("exhaustive-demo").unwrap();
        let config = SearchConfig::read(text, None, &settings).unwrap();
        let data = DataFacts {
            name: "test".into(),
            content: Hash::default(),
            channels: 1,
            side: 28,
            classes: 10,
            train: 200,
            validation: 100,
            split: Hash::default(),
        };
        let (name, chance, folder, program) = Default::default();
        let started = SearchStarted {
            name,
            seed: 7,
            chance,
            data,
            folder,
            config: Hash::default(),
            config_parts: 0,
            threads: 1,
            program,
        };
        Run::enumerate(started, config)
    }

    fn ended(trial: u32) -> [Event; 2] {
        let text = String::new;
        let (device, trainer, library, isa, host) = (text(), text(), text(), text(), text());
        let started = AttemptStarted {
            trial,
            attempt: 1,
            device,
            threads: 1,
            trainer,
            library,
            isa,
            host,
            continues: None,
            worker: text(),
            precision: text(),
        };
        let outcome = Outcome::Failed { reason: FailedReason::Chance, message: String::new() };
        let (attempt, epochs, restarts, seconds, peak_memory) = (1, 1, 0, 0.0, 0);
        let finished =
            TrialFinished { trial, attempt, outcome, epochs, restarts, seconds, peak_memory };
        [started.into(), finished.into()]
    }

    #[test]
    fn every_architecture_is_trained_with_every_seed_and_nothing_is_sampled() {
        let mut run = enumeration(&[]).unwrap();
        assert_eq!(run.planned_models(), 558);
        let mut trained = std::collections::HashSet::new();
        loop {
            let batch = match run.decide(true, &[]) {
                Decision::Record(batch) => batch,
                Decision::Do(trial) => ended(trial).into(),
                Decision::Wait => panic!("nothing runs, so nothing can be waited for"),
                Decision::Done => break,
            };
            for event in &batch {
                run.apply(&Recorded::unplaced(event.clone())).unwrap();
                if let Event::TrialPlanned(planned) = event {
                    let TrialPlanned { architecture, seed, repeat, .. } = planned.clone();
                    assert!(trained.insert((architecture, seed)), "trained twice with one seed");
                    assert_eq!(repeat, (planned.trial - 1) / 186);
                }
            }
        }
        assert_eq!(trained.len(), 558);
    }

    #[test]
    fn a_space_too_large_is_refused() {
        let error = enumeration(&["space.layer-limit=12"]).unwrap_err();
        assert!(matches!(error, EnumerationError::Large(n) if n > ENUMERATED_MAX), "{error}");
    }

    #[test]
    fn only_the_next_training_may_be_planned() {
        let mut run = enumeration(&[]).unwrap();
        let Some(planned) = run.plan(0) else { panic!("there is a first training") };
        let wrong = TrialPlanned { seed: planned.seed ^ 1, ..planned };
        assert!(run.apply(&Recorded::unplaced(wrong.into())).is_err());
    }
}
