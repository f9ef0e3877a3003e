//! Series: `qtrail search --repeat N`, one search after the other, and going on where that stopped.

use std::sync::atomic::Ordering;

use super::cells::counted;
use super::resume;
use super::work::{self, WorkArgs};
use super::{CliError, Context, Exit, note};
use crate::config::expression::Expression;
use crate::config::{Order, SearchConfig};
use crate::data::Located;
use crate::engine::jobs::Index;
use crate::engine::posts::Trainers;
use crate::engine::series::{Series, member_name, seed};
use crate::engine::session::{Prepared, Session, SessionError, prepare};
use crate::events::{Event, Scope, SeriesJoined};
use crate::log::Store;

/// All that a series is told.
pub(super) struct Begin {
    /// Settings of each search.
    pub(super) config: SearchConfig,
    /// What the series is called; may be empty.
    pub(super) name: String,
    /// Searches in it.
    pub(super) repeats: u32,
    /// Where the seeds of the searches come from.
    pub(super) seed: u64,
    /// Whether results of earlier searches are taken over.
    pub(super) reuse_trials: bool,
    /// Threads a trainer computes with on a CPU, if that is told.
    pub(super) threads: Option<u32>,
    /// The images with their split.
    pub(super) prepared: Prepared,
}

/// The series that is in the store already under a name, with the session that found it.
pub(super) type Taken = (Session, Series);

/// Begins a series and carries it on, unless there is one of that name.
///
/// # Errors
/// What a person is to be told.
pub(super) fn begin(
    told: Begin,
    trainers: Trainers,
    args: &WorkArgs,
    context: &Context,
) -> Result<Result<(), Taken>, CliError> {
    if told.reuse_trials && told.config.schedule.order == Order::Enumerate {
        return Err(CliError::usage(
            "--reuse-trials: nothing is sampled here, every search takes every architecture",
        )
        .hint("without it each search trains them with seeds of its own"));
    }
    let expression = told.config.reward.expression.as_ref();
    if told.reuse_trials
        && let Some(fact) = expression.and_then(Expression::of_the_machine)
    {
        let message =
            format!("--reuse-trials: a result taken over has no {fact}, and --reward needs it");
        return Err(CliError::usage(message).hint("leave one of them out"));
    }
    let mut session = work::session_to_begin(context, trainers, told.config.recipe.precision)?;
    let facts = SeriesJoined {
        series: 0,
        name: told.name,
        repetition: 1,
        repeats: told.repeats,
        seed: told.seed,
        reuse_trials: told.reuse_trials,
    };
    let threads = work::threads_each(told.threads, session.hire(told.config.recipe.precision)?);
    let images = Images { found: told.prepared, config: told.config, threads };
    let begun = images.begin(&mut session, &facts, &|index| {
        index.new_series(&facts).map_err(SessionError::Settings)
    });
    let first = match (begun, session.index().series_named(&facts.name).cloned()) {
        (Err(_), Some(series)) => return Ok(Err((session, series))),
        (begun, _) => begun?,
    };
    let number = session.index().series_of(first).map(|series| series.facts.series);
    carry_on(session, number.unwrap_or_default(), &images, args, context).map(Ok)
}

/// Goes on with a series.
///
/// # Errors
/// What a person is to be told.
pub(super) fn go_on(
    mut session: Session,
    series: &Series,
    args: &WorkArgs,
    context: &Context,
) -> Result<(), CliError> {
    let Some(&first) = series.members.first().filter(|_| session.index().is_open(series)) else {
        session.close()?;
        note(&format!("nothing is left to do: {} is finished", series.label()));
        return Ok(());
    };
    // What the first search was told, all are told, but for the seed.
    let job = session.job(first)?;
    let data = resume::data(&*job, args, context)?;
    let data = Located { name: job.data().name.clone(), ..data };
    session.check_data(first, &*job, &data)?;
    let found = prepare(job.config(), &data)?;
    let images = Images { found, config: job.config().clone(), threads: job.threads() };
    carry_on(session, series.facts.series, &images, args, context)
}

/// What all searches of a series share.
struct Images {
    found: Prepared,
    config: SearchConfig,
    threads: u32,
}

impl Images {
    /// Begins the search of a repetition; `joined` says what it is of the series by then.
    fn begin(
        &self,
        session: &mut Session,
        facts: &SeriesJoined,
        joined: &dyn Fn(&Index) -> Result<SeriesJoined, SessionError>,
    ) -> Result<Scope, SessionError> {
        let name = member_name(&facts.name, facts.repetition);
        let seed = seed(facts.seed, facts.repetition);
        let (config, threads) = (&self.config, self.threads);
        let further = |index: &Index| Ok(vec![Event::from(joined(index)?)]);
        let begun =
            session.begin_search_with(config, seed, name, threads, &self.found, &further)?;
        Ok(begun.0)
    }
}

/// Carries on one search after the other. Other processes may do the same.
fn carry_on(
    mut session: Session,
    number: u32,
    images: &Images,
    args: &WorkArgs,
    context: &Context,
) -> Result<(), CliError> {
    let stop = work::stop_flag()?;
    let trainers = match session.trainers() {
        Some(trainers) => trainers.clone(),
        None => work::trainers(args, context)?,
    };
    loop {
        let index = session.index();
        let Some(series) = index.series(number).cloned() else { return Ok(()) };
        let open = |scope: &Scope| index.entries().get(scope).is_some_and(|entry| !entry.finished);
        let (scope, repetition) = match (series.members.iter().position(open), series.next()) {
            (Some(place), _) => (series.members[place], place + 1),
            (None, Some(facts)) => {
                let joined = |index: &Index| {
                    let next = index.series(number).and_then(Series::next);
                    next.filter(|next| *next == facts).ok_or(SessionError::Overtaken)
                };
                match images.begin(&mut session, &facts, &joined) {
                    Ok(scope) => (scope, facts.repetition as usize),
                    Err(SessionError::Overtaken) => continue, // somebody else has begun it
                    Err(error) => return Err(error.into()),
                }
            }
            (None, None) => {
                session.close()?;
                let (label, repeats) = (series.label(), series.facts.repeats);
                note(&format!("{label} is finished: {}", counted(repeats, "search")));
                return Ok(());
            }
        };
        note(&format!("{}, search {repetition} of {}", series.label(), series.facts.repeats));
        let lock = session.lock(scope)?;
        let job = session.job(scope)?;
        super::search::announce(scope, &*job, &session.devices(images.config.recipe.precision)?);
        work::carry_on_until(&stop, session, scope, lock, job, &images.found.folder)?;
        session = work::session_without_trainer(context, Store::open(&context.store)?)?;
        session.set_trainers(trainers.clone());
        let left = session.index().series(number).is_some_and(|series| series.next().is_some());
        if left && stop.load(Ordering::Relaxed) {
            session.close()?;
            let message = format!("{} was interrupted between two searches", series.label());
            return Err(CliError::new(Exit::Interrupted, message)
                .hint("`qtrail resume` goes on with the next"));
        }
    }
}

/// The series that `resume` is to go on with: the one of that name, or that the search named is
/// one of; without a name the one worked on last, if it was worked on after all else.
pub(super) fn meant<'a>(index: &'a Index, wanted: Option<&str>) -> Option<&'a Series> {
    match wanted {
        Some(name) => {
            let of_search = || index.find(name).and_then(|scope| index.series_of(scope));
            index.series_named(name).or_else(of_search)
        }
        None => {
            let (series, last) = index.newest_open_series()?;
            let other = index.newest_unfinished().and_then(|scope| index.entries().get(&scope));
            other.is_none_or(|other| other.last <= last).then_some(series)
        }
    }
}

/// Refuses to go on with a series that was told otherwise.
///
/// # Errors
/// Exit code 2 naming what differs.
pub(super) fn check_told(
    series: &Series,
    (repeats, reuse_trials): (Option<u32>, bool),
) -> Result<(), CliError> {
    let facts = &series.facts;
    let label = series.label();
    if repeats.is_some_and(|repeats| repeats != facts.repeats) {
        let message = format!("{label} has {}", counted(facts.repeats, "search"));
        return Err(CliError::usage(message).hint("--repeat is settled when a series begins"));
    }
    if repeats.is_some() && reuse_trials != facts.reuse_trials {
        let does = if facts.reuse_trials { "does" } else { "does not" };
        let message = format!("{label} {does} take over results of earlier searches");
        return Err(CliError::usage(message).hint("--reuse-trials is settled when a series begins"));
    }
    Ok(())
}
