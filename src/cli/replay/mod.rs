//! `qtrail replay`: learns again from the experiences of a search, under other replay policies.

pub(super) mod history;
pub(super) mod lesson;
mod rewards;
mod rows;
pub(super) mod study;

use super::destination::Destination;
use super::export::{csv, header};
use super::output::FormatArgs;
use super::parameters::QuarantineArgs;
use super::reading::{AtArgs, answer, answer_from_log, footer};
use super::{CliError, Context, Exit, names, note};
use crate::agent::foreign::target;
use crate::agent::qtable::QTable;
use crate::agent::space::{Space, State};
use crate::config::replay::Policy;
use crate::lab::rederive::Check;
use crate::views::Value;
use lesson::{Learned, Lesson, LessonArgs};

/// Learns again from the experiences of a search, in their order, under other replay policies.
/// Nothing is trained; the search and its Q-table stay as they are.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which search: s1, or its name [default: the newest]
    search: Option<String>,
    #[command(flatten)]
    lesson: LessonArgs,
    #[command(flatten)]
    rows: QuarantineArgs,
    /// Prints how often each experience was drawn, instead of one row a policy
    #[arg(long)]
    exposure: bool,
    /// Writes the Q-table to a file, in the authors' 17 columns; of one policy and one seed; - for stdout
    #[arg(long, value_name = "FILE")]
    export_q: Option<Destination>,
    /// Records what came of it under this name: `qtrail table replays`
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// Does a recorded study again and says whether the same comes out
    #[arg(long, value_name = "NAME", conflicts_with_all = [
        "search", "policies", "draws", "alpha", "gamma", "init", "order", "duplicates", "reward",
        "missing", "include_quarantined", "seeds", "shuffle", "path_value", "exposure", "export_q",
        "save", "columns", "at",
    ])]
    check: Option<String>,
    /// Only these columns, in this order
    #[arg(long, value_name = "COL,…", value_delimiter = ',')]
    columns: Vec<String>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told; exit code 1 if `as-logged` finds another Q-table than on record.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    if let Some(name) = &args.check {
        return study::find(&answer_from_log(context, None)?, name)?.check(context);
    }
    // Mistakes first: reading a store may take a while.
    args.save.iter().try_for_each(|name| names::check("--save", name))?;
    let policies = args.lesson.check()?;
    rows::check(&args.columns, args.exposure)?;
    let at = args.at.at;
    let mut answer = match &args.save {
        Some(_) => answer_from_log(context, at)?,
        None => answer(context, at)?,
    };
    let label = history::search(&answer, args.search.as_deref())?;
    if let Some(name) = &args.save {
        study::check_name(&answer, name)?;
    }
    let lesson = args.lesson.lesson(context, &mut answer, &label, args.rows)?;
    if let Some(file) = &args.export_q {
        export(file, &lesson, &policies)?;
    }
    let learned = lesson.learn(&policies)?;
    let shown = rows::Shown { lesson: &lesson, learned: &learned, as_of: footer(&answer) };
    match args.exposure {
        true => shown.exposure(args.format, &args.columns)?,
        false => shown.summary(args.format, &args.columns)?,
    }
    checked(&learned)?;
    match &args.save {
        Some(name) => study::save(context, name, &lesson, &learned, answer.as_of.position),
        None => Ok(()),
    }
}

/// Says how `as-logged` compares with the record.
fn checked(learned: &[Learned]) -> Result<(), CliError> {
    for one in learned {
        match one.check {
            Check::Other => {}
            Check::Equal(count) => {
                note(&format!("as-logged: {count} digests of Q-tables on record, all equal"));
            }
            Check::Differs { episode, recorded, found } => {
                let message = format!(
                    "as-logged: the Q-table after episode {episode} is {found}, recorded was \
                     {recorded}; it is the first that differs"
                );
                return Err(CliError::new(Exit::No, message)
                    .hint("`qtrail log verify` says whether the log is whole"));
            }
        }
    }
    Ok(())
}

/// Writes the Q-table of one policy under one seed.
fn export(file: &Destination, lesson: &Lesson, policies: &[Policy]) -> Result<(), CliError> {
    let [policy] = policies else {
        return Err(CliError::usage("--export-q writes one Q-table: name one policy"));
    };
    let [seed] = lesson.seeds(policy) else {
        let message = format!("--export-q writes one Q-table: {policy} has one for each seed");
        return Err(CliError::usage(message).hint("give one, as in --seeds 0"));
    };
    let derived = lesson.derive(policy, *seed)?;
    let space = &lesson.history.space;
    file.write(csv(&header(17), &pairs(space, &derived.q)).as_bytes())?;
    let count = space.pair_count();
    note(&format!("{file}: {count} pairs of state and action under {policy}"));
    Ok(())
}

/// The rows of the authors' 17 columns, in the order of the state space: an action is the state
/// that it leads to.
fn pairs(space: &Space, q: &QTable) -> Vec<Vec<Value>> {
    let row = |(pair, value): (u32, &f64)| {
        let state = space.states()[space.owner(pair) as usize];
        let (next, terminate) = target(state, space.action(pair));
        let fields = |state: State, terminate: bool| {
            let whole = |number: u32| Value::Integer(number.into());
            [
                whole(state.width),
                whole(state.filters),
                whole(state.field),
                whole(state.bin),
                whole(state.depth),
                Value::Text(state.kind.name().to_owned()),
                whole(state.stride),
                Value::Integer(terminate.into()),
            ]
        };
        let (end, start) = (fields(next, terminate), fields(state, false));
        end.into_iter().chain(start).chain([Value::Real(*value)]).collect()
    };
    (0..).zip(q.values()).map(row).collect()
}
