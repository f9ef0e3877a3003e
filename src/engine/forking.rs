//! Forking a search, and extending the schedule of one.

use super::EngineError;
use super::session::{Session, SessionError, lock_name};
use crate::agent::Job as _;
use crate::agent::fork::{Heritage, HeritageError, Inheritance};
use crate::agent::search::Search;
use crate::config::{Phase, SearchConfig};
use crate::events::frame::Position;
use crate::events::{
    AddedPhase, ConfigPart, Event, Fold as _, ForkStarted, Hash, Recorded, ScheduleExtended, Scope,
    SearchStarted,
};
use crate::log::{BATCH_MAX, NamedLock};

/// How a fork differs from the search it begins with.
#[derive(Debug, Clone, Default)]
pub struct ForkAs {
    /// Its name; may be empty.
    pub name: String,
    /// Its seed, if it is to have another one.
    pub seed: Option<u64>,
    /// Settings laid over those of its source, `KEY=VALUE`.
    pub settings: Vec<String>,
    /// Phases after those of its source.
    pub phases: Vec<Phase>,
}

/// What came of forking.
#[derive(Debug, Clone)]
pub struct Forked {
    /// Its id.
    pub scope: Scope,
    /// The last event that it knows of.
    pub position: Position,
    /// Experiences inherited.
    pub episodes: u32,
    /// Distinct architectures among them.
    pub trials: u32,
    /// Its configuration.
    pub config: SearchConfig,
    /// New architectures it has yet to train.
    pub models_left: u32,
}

/// Records a fork: a search that begins with the experiences of `source` as `known` lets it
/// see them, and with what it learns from them. Nothing is trained. Killed before all is
/// inherited, it leaves nothing that counts; after that, `resume` learns the rest.
///
/// # Errors
/// [`SessionError::Settings`] if nothing can be inherited, or nothing would be left to train.
pub fn fork(
    session: &mut Session,
    source: Scope,
    known: &dyn Fn(&Recorded) -> bool,
    fork: &ForkAs,
) -> Result<Forked, SessionError> {
    session.index.check_free("search", &fork.name).map_err(SessionError::Settings)?;
    let (position, inheritance) = inheritance(session, source, known)?;
    let (started, config) = begins(session, fork, &inheritance)?;
    let (episodes, trials) = (inheritance.episodes, inheritance.trials);
    let text = config.to_toml();
    // What cannot be carried out is not begun.
    let mut search = Search::new(started.clone(), config.clone())
        .map_err(|error| SessionError::Settings(error.to_string()))?;
    for event in &inheritance.events {
        let recorded = Recorded::unplaced(event.clone());
        search.apply(&recorded).map_err(EngineError::from)?;
    }
    let models_left = models_left(source, position, &search)?;
    let label = source.to_string();
    let first = ForkStarted { source: label, position: position.0, episodes };
    let events: Vec<Event> = [first.into(), started.into()]
        .into_iter()
        .chain(ConfigPart::cut(&text).into_iter().map(Event::from))
        .chain(inheritance.events)
        .collect();

    let (scope, lock): (Scope, NamedLock) = session.claim(super::jobs::Index::next_search)?;
    for batch in events.chunks(BATCH_MAX) {
        session.record(scope, batch)?;
    }
    learn(session, scope, &mut search)?;
    drop(lock);
    Ok(Forked { scope, position, episodes, trials, config, models_left })
}

fn inheritance(
    session: &mut Session,
    source: Scope,
    known: &dyn Fn(&Recorded) -> bool,
) -> Result<(Position, Inheritance), SessionError> {
    let (mut heritage, mut position) = (Ok(Heritage::default()), Position::default());
    session.journal.reread(|recorded| {
        if !known(recorded) {
            return;
        }
        position = recorded.position;
        if recorded.scope == source {
            let Ok(()) = heritage.apply(recorded);
        }
    })?;
    let wrong = |error: HeritageError| {
        SessionError::Settings(format!("{source} cannot be forked at event {position}: {error}"))
    };
    Ok((position, heritage.and_then(Heritage::finish).map_err(wrong)?))
}

/// How a fork begins.
fn begins(
    session: &Session,
    fork: &ForkAs,
    inheritance: &Inheritance,
) -> Result<(SearchStarted, SearchConfig), SessionError> {
    let mut config = inheritance.config.clone();
    config.schedule.phases.extend(&fork.phases);
    let config = SearchConfig::read(&config.to_toml(), None, &fork.settings)
        .map_err(|error| SessionError::Settings(error.to_string()))?;
    let text = config.to_toml();
    let started = SearchStarted {
        name: fork.name.clone(),
        seed: fork.seed.unwrap_or(inheritance.started.seed),
        chance: crate::chance::SCHEME.into(),
        config: Hash::of(text.as_bytes()),
        config_parts: u16::try_from(ConfigPart::cut(&text).len()).unwrap_or(u16::MAX),
        program: session.surroundings.program.clone(),
        ..inheritance.started.clone()
    };
    Ok((started, config))
}

/// New architectures that a fork has yet to train; there must be some.
fn models_left(source: Scope, position: Position, fork: &Search) -> Result<u32, SessionError> {
    let phases = fork.config().schedule.phases.iter().enumerate();
    let now = fork.phase().unwrap_or(usize::MAX);
    let left = phases
        .filter(|(index, _)| *index >= now)
        .map(|(index, phase)| phase.models.saturating_sub(fork.models_in(index)))
        .fold(0, u32::saturating_add);
    match left {
        0 => Err(SessionError::Settings(format!(
            "nothing would be left to train: at event {position} the schedule of {source} is \
             complete; --extend 0.1:200 adds 200 models at epsilon 0.1, an earlier --at leaves some"
        ))),
        _ => Ok(left),
    }
}

/// Learns from all that was inherited, many experiences a batch.
fn learn(session: &mut Session, scope: Scope, search: &mut Search) -> Result<(), SessionError> {
    let mut batch: Vec<Event> = Vec::new();
    while let Some(lesson) = search.lesson() {
        for event in &lesson {
            let recorded = Recorded::unplaced(event.clone());
            search.apply(&recorded).map_err(EngineError::from)?;
        }
        if batch.len() + lesson.len() > BATCH_MAX {
            session.record(scope, &batch)?;
            batch.clear();
        }
        batch.extend(lesson);
    }
    session.record(scope, &batch)
}

/// Adds phases to the schedule of a finished search, which is unfinished from then on.
///
/// # Errors
/// [`SessionError::Settings`] if it is not finished, or has no schedule.
pub fn extend(session: &mut Session, scope: Scope, phases: &[Phase]) -> Result<u32, SessionError> {
    let lock = session.named_lock(&lock_name(scope))?;
    session.catch_up()?;
    let refused = |why: &str| SessionError::Settings(format!("{scope}: {why}"));
    let imported = session.index.entries().get(&scope).is_some_and(|one| one.imported.is_some());
    if imported {
        return Err(refused("it was imported; it cannot be carried on"));
    }
    let mut job = session.job(scope)?;
    let Some(search) = job.as_search() else {
        return Err(refused("it has no schedule that could be extended"));
    };
    if !search.is_finished() {
        return Err(refused("it is not finished; `qtrail resume` goes on with it"));
    }
    let before = search.config().schedule.phases.len();
    // The rules are those of a schedule as a whole.
    let mut config = search.config().clone();
    config.schedule.phases.extend(phases);
    SearchConfig::read(&config.to_toml(), None, &[])
        .map_err(|error| refused(&error.to_string()))?;
    if phases.len() > ScheduleExtended::PHASES {
        return Err(refused(&format!("at most {} phases at a time", ScheduleExtended::PHASES)));
    }
    let added = |phase: &Phase| AddedPhase { epsilon: phase.epsilon.share(), models: phase.models };
    let event = Event::from(ScheduleExtended {
        phase: u16::try_from(before).unwrap_or(u16::MAX),
        phases: phases.iter().map(added).collect(),
    });
    job.apply(&Recorded::unplaced(event.clone())).map_err(EngineError::from)?;
    session.record(scope, &[event])?;
    drop(lock);
    Ok(phases.iter().fold(0, |models, phase| models.saturating_add(phase.models)))
}
