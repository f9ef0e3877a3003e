//! `qtrail resume`: goes on with an unfinished search, run or attack.

use super::cells::counted;
use super::{CliError, Context, note, series, work};
use crate::agent::Training;
use crate::data::Located;
use crate::engine::posts::Trainers;
use crate::engine::session::Session;
use crate::engine::trainings;
use crate::events::Scope;
use crate::log::Store;

/// Goes on with an unfinished search, run or attack, and with the series it is one of.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its id (s1, a1) or name, or the name of a series; without it the one worked on last
    search: Option<String>,
    /// Tries trials again that were given up after three lost attempts. Nothing else is sampled or
    /// learned from until they have ended
    #[arg(long)]
    retry_lost: bool,
    /// Threads of each trainer on a CPU [default: as the search began]. Another number may change
    /// results in some bits
    #[arg(long, value_name = "N", value_parser = work::thread_count)]
    threads: Option<u32>,
    /// Allow bf16 on a device without instructions for it, where it is slower than f32
    #[arg(long)]
    emulate_bf16: bool,
    #[command(flatten)]
    work: work::WorkArgs,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let store = Store::open(&context.store)?;
    let mut session = work::session_without_trainer(context, store)?;
    let wanted = args.search.as_deref();
    if let Some(series) = series::meant(session.index(), wanted).cloned() {
        // All its searches have the settings of the first.
        let scope = series.members.first().copied();
        let trainers = args.trainers(&mut session, scope, context)?;
        session.set_trainers(trainers);
        return series::go_on(session, &series, &args.work, context);
    }
    let scope = match wanted {
        Some(name) => session.index().find(name).ok_or_else(|| {
            CliError::usage(format!("no search, run or attack is called {name}"))
                .hint("`qtrail table searches` lists them")
        })?,
        None => match session.index().newest_unfinished() {
            Some(scope) => scope,
            None => {
                session.close()?;
                note(
                    "nothing is left to do: every search, run and attack in the store is finished",
                );
                return Ok(());
            }
        },
    };
    let entry = session.index().entries().get(&scope);
    if entry.is_some_and(|entry| entry.imported.is_some()) {
        session.close()?;
        note(&format!("nothing is left to do: {scope} was imported, and is finished"));
        return Ok(());
    }
    let trainers = args.trainers(&mut session, Some(scope), context)?;
    session.set_trainers(trainers);
    if args.retry_lost && !matches!(scope, Scope::Attack(_)) {
        let retried = session.retry_lost(scope)?;
        note(&match retried {
            0 => format!("{scope}: no trial was given up"),
            1 => format!("{scope}: 1 trial that was given up is tried again"),
            _ => format!("{scope}: {retried} trials that were given up are tried again"),
        });
    }
    if let Scope::Attack(_) = scope {
        return super::attack::go_on(session, scope, &args.work, context);
    }
    go_on(session, scope, &args.work, context)
}

impl Args {
    /// How to get trainers for what goes on. How many can be at work at once, and with how many threads
    /// each, is on record.
    fn trainers(
        &self,
        session: &mut Session,
        scope: Option<Scope>,
        context: &Context,
    ) -> Result<Trainers, CliError> {
        let (at_once, each) = match scope {
            Some(scope @ (Scope::Search(_) | Scope::Run(_))) if self.work.trainers.is_some() => {
                let job = session.job(scope)?;
                let in_flight = job.as_search().map(|search| search.config().schedule.in_flight);
                (in_flight.unwrap_or(u32::MAX), Some(job.threads()))
            }
            _ => (u32::MAX, None),
        };
        let work = self.work.with_trainers_for(at_once, self.threads.or(each))?;
        let (threads, emulate_bf16) = (self.threads, self.emulate_bf16);
        Ok(Trainers { threads, emulate_bf16, ..work::trainers(&work, context)? })
    }
}

/// Goes on with a search or run of the session's store.
///
/// # Errors
/// What a person is to be told.
pub fn go_on(
    mut session: Session,
    scope: Scope,
    args: &work::WorkArgs,
    context: &Context,
) -> Result<(), CliError> {
    let lock = session.lock(scope)?;
    let job = session.job(scope)?;
    if job.is_finished() {
        session.close()?;
        note(&format!("nothing is left to do: {scope} is finished"));
        return Ok(());
    }
    let data = data(&*job, args, context)?;
    session.check_data(scope, &*job, &data)?;
    work::announce(scope, &*job);
    let others = trainings::others_at_work(&mut session, &*job)?;
    if others > 0 {
        let in_flight = job.as_search().map(|search| search.config().schedule.in_flight);
        let at_once = in_flight.map_or(String::new(), |in_flight| {
            let trials = counted(in_flight, "trial");
            format!("; {trials} at a time (--in-flight), more where epsilon is 1")
        });
        let others = work::others_are(others);
        note(&format!("{scope}: {others} working on it; this process joins{at_once}"));
    }
    let told = session.trainers().and_then(|trainers| trainers.threads);
    if let Some(threads) = told.filter(|&threads| threads != job.threads()) {
        let before = job.threads();
        note(&format!(
            "{scope} began with {before} threads for each trainer and goes on with {threads}: results on a CPU \
             may differ in some bits from those of an unbroken search"
        ));
    }
    work::carry_on(session, scope, lock, job, &data.folder)
}

/// Where the images of a search or run are now.
pub(super) fn data(
    job: &dyn Training,
    args: &work::WorkArgs,
    context: &Context,
) -> Result<Located, CliError> {
    Ok(match &args.data {
        Some(data) => context.data.locate(data)?,
        None => context.data.recorded(job.folder(), &job.data().name)?,
    })
}
